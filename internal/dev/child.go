package dev

import (
	"context"
	"errors"
	"io"
)

// ErrParentGone is the cause with which UntilParentGone's context ends.
var ErrParentGone = errors.New("the parent process ended, or asked the child to stop")

// UntilParentGone gives a context that ends when input does, which is the child's
// standard input: the parent closes it to stop the child, and the system when the
// parent is gone.
func UntilParentGone(ctx context.Context, input io.Reader) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, input) // whatever ends it is the end
		cancel(ErrParentGone)
	}()
	return ctx
}
