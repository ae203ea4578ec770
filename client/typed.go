package client

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/odradek/odradek/workflow"
)

// Option changes one command.
type Option func(*options)

type options struct{ commandID string }

// CommandID gives the command an ID of the caller's: sent again, also by another
// process, it changes nothing.
func CommandID(id string) Option { return func(o *options) { o.commandID = id } }

func apply(opts []Option) (o options) {
	for _, f := range opts {
		f(&o)
	}
	return o
}

// Handle is the handle of a run whose result is an Out.
type Handle[Out any] struct{ run Run }

// WorkflowID is the workflow's ID.
func (h Handle[Out]) WorkflowID() string { return h.run.WorkflowID() }

// Result waits until the run has closed. A failed run is a *FailedError; the error
// wraps ctx's if ctx ends first.
func (h Handle[Out]) Result(ctx context.Context) (Out, error) {
	r, err := h.run.Result(ctx)
	if err != nil {
		var zero Out
		return zero, err
	}
	return decodeResult[Out](r)
}

// Start asks for a run of the workflow type typ, whose function takes an In and
// returns an Out.
func Start[In, Out any](ctx context.Context, c Client, typ, workflowID string, in In, opts ...Option) (Handle[Out], error) {
	input, err := json.Marshal(in)
	if err != nil {
		return Handle[Out]{}, fmt.Errorf("encode the input of workflow %q: %w", workflowID, err)
	}
	run, err := c.Start(ctx, StartRequest{WorkflowID: workflowID, Type: typ, Input: input, CommandID: apply(opts).commandID})
	return Handle[Out]{run}, err
}

// Attach gives the handle of a workflow that somebody else started.
func Attach[Out any](ctx context.Context, c Client, workflowID string) (Handle[Out], error) {
	run, err := c.Attach(ctx, workflowID)
	return Handle[Out]{run}, err
}

// Signal gives a signal to the workflow's current run.
func Signal[T any](ctx context.Context, c Client, workflowID string, signal workflow.Signal[T], payload T, opts ...Option) error {
	b, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("encode signal %s for workflow %q: %w", signal.Name(), workflowID, err)
	}
	return c.Signal(ctx, SignalRequest{WorkflowID: workflowID, Name: signal.Name(), Payload: b, CommandID: apply(opts).commandID})
}
