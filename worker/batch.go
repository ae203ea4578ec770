package worker

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

// Batch says how tasks are put together.
type Batch struct {
	// Max is how many tasks one call of the function gets at most. Default 100. Each of
	// them holds a permit of its service while it waits: the service's concurrency bounds
	// a batch too.
	Max int
	// Wait is how long the first task of a batch waits for more. Default 10 ms.
	Wait time.Duration
}

// BatchResult is one task's part of a batch's result.
type BatchResult[Out any] struct {
	Value Out
	Err   error // as a handler's
}

// HandleBatch binds a task to a function that does many at once, of any runs: as many as
// have come within Batch.Wait, at most Batch.Max, all with the same key (nil: any). It
// gives as many results as it got inputs, in their order, or an error for all. Its
// context ends when that of every task has.
func HandleBatch[In, Out any](task workflow.Task[In, Out], b Batch, key func(In) string, fn func(ctx context.Context, ins []In) ([]BatchResult[Out], error), opts ...Option) Handler {
	if b.Max == 0 {
		b.Max = 100
	}
	if b.Wait == 0 {
		b.Wait = 10 * time.Millisecond
	}
	c := collector[In, Out]{Batch: b, fn: fn, open: map[string]*batch[In, Out]{}}
	return Handle(task, func(ctx context.Context, in In) (Out, error) {
		k := ""
		if key != nil {
			k = key(in)
		}
		return c.do(ctx, k, in)
	}, opts...)
}

// collector puts calls together.
type collector[In, Out any] struct {
	Batch
	fn func(ctx context.Context, ins []In) ([]BatchResult[Out], error)

	mu   sync.Mutex
	open map[string]*batch[In, Out] // by key: those that still wait for more
}

// batch is one call of the function.
type batch[In, Out any] struct {
	ins     []In
	ctxs    []context.Context
	full    chan struct{} // closed when there are Max of them
	done    chan struct{} // closed when results are there
	results []BatchResult[Out]
	err     error
}

// do waits for the batch that it is part of. The first of a batch carries it out.
func (c *collector[In, Out]) do(ctx context.Context, key string, in In) (out Out, err error) {
	c.mu.Lock()
	b := c.open[key]
	first := b == nil
	if first {
		b = &batch[In, Out]{full: make(chan struct{}), done: make(chan struct{})}
		c.open[key] = b
	}
	at := len(b.ins)
	b.ins, b.ctxs = append(b.ins, in), append(b.ctxs, ctx)
	if len(b.ins) == c.Max {
		delete(c.open, key)
		close(b.full)
	}
	c.mu.Unlock()
	if first {
		wait := time.NewTimer(c.Wait)
		select {
		case <-b.full:
		case <-wait.C:
		}
		wait.Stop()
		c.mu.Lock()
		if c.open[key] == b {
			delete(c.open, key)
		}
		c.mu.Unlock()
		c.run(b)
	}
	select {
	case <-b.done:
	case <-ctx.Done():
		return out, context.Cause(ctx)
	}
	if b.err != nil {
		return out, b.err
	}
	return b.results[at].Value, b.results[at].Err
}

// run calls the function.
func (c *collector[In, Out]) run(b *batch[In, Out]) {
	defer close(b.done)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	var left atomic.Int64
	left.Store(int64(len(b.ctxs)))
	for _, one := range b.ctxs {
		defer context.AfterFunc(one, func() {
			if left.Add(-1) == 0 { // nobody waits for any of it
				cancel(context.Cause(one))
			}
		})()
	}
	func() {
		defer func() {
			if p := recover(); p != nil {
				b.err = &record.Failure{Kind: record.FailureApplication, Code: CodePanic, Retryable: true, Message: fmt.Sprintf("the batch handler panicked: %v\n%s", p, debug.Stack())}
			}
		}()
		b.results, b.err = c.fn(ctx, b.ins)
	}()
	if b.err == nil && len(b.results) != len(b.ins) {
		b.err = &record.Failure{Kind: record.FailureApplication, Code: "batch_result_invalid", Retryable: true,
			Message: fmt.Sprintf("the batch handler gave %d results for %d tasks", len(b.results), len(b.ins))}
	}
}
