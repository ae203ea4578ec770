package client

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

// Option changes one command.
type Option func(*options)

type options struct {
	commandID      string
	reuse          record.ReusePolicy
	signal, update string
	payload        []byte
	err            error
}

// CommandID gives the command an ID of the caller's: sent again, also by another
// process, it changes nothing.
func CommandID(id string) Option { return func(o *options) { o.commandID = id } }

// Reuse says when a start may use the ID of a known workflow again. Default: never.
func Reuse(p record.ReusePolicy) Option { return func(o *options) { o.reuse = p } }

// WithSignal lets a start give the run a signal in the same step, whether the run is
// started now or was open.
func WithSignal[T any](signal workflow.Signal[T], payload T) Option {
	return func(o *options) {
		o.signal = signal.Name()
		o.payload, o.err = encode(payload)
	}
}

// WithUpdate is WithSignal for an update. Its answer is found by the start's CommandID.
func WithUpdate[In, Out any](update workflow.Update[In, Out], payload In) Option {
	return func(o *options) {
		o.update = update.Name()
		o.payload, o.err = encode(payload)
	}
}

// encode makes a payload: of a Protobuf message as such, of anything else as JSON.
func encode(v any) ([]byte, error) { return codec.EncodePayload(v, false) }

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
	input, err := encode(in)
	if err != nil {
		return Handle[Out]{}, fmt.Errorf("encode the input of workflow %q: %w", workflowID, err)
	}
	o := apply(opts)
	if o.err != nil {
		return Handle[Out]{}, fmt.Errorf("encode what the start of workflow %q gives it: %w", workflowID, o.err)
	}
	run, err := c.Start(ctx, StartRequest{WorkflowID: workflowID, Type: typ, Input: input, CommandID: o.commandID,
		Reuse: o.reuse, Signal: o.signal, Update: o.update, Payload: o.payload})
	return Handle[Out]{run}, err
}

// Attach gives the handle of a workflow that somebody else started.
func Attach[Out any](ctx context.Context, c Client, workflowID string) (Handle[Out], error) {
	run, err := c.Attach(ctx, workflowID)
	return Handle[Out]{run}, err
}

// Signal gives a signal to the workflow's current run.
func Signal[T any](ctx context.Context, c Client, workflowID string, signal workflow.Signal[T], payload T, opts ...Option) error {
	b, err := encode(payload)
	if err != nil {
		return fmt.Errorf("encode signal %s for workflow %q: %w", signal.Name(), workflowID, err)
	}
	return c.Signal(ctx, SignalRequest{WorkflowID: workflowID, Name: signal.Name(), Payload: b, CommandID: apply(opts).commandID})
}

// Ask gives the answer of a workflow's current run to a query. An error that the query's
// code returned is a *record.Failure.
func Ask[In, Out any](ctx context.Context, c *HTTP, workflowID string, query workflow.Query[In, Out], in In) (out Out, err error) {
	b, err := encode(in)
	if err != nil {
		return out, fmt.Errorf("encode query %s for workflow %q: %w", query.Name(), workflowID, err)
	}
	a, err := c.Query(ctx, QueryRequest{WorkflowID: workflowID, Name: query.Name(), Input: b})
	switch {
	case err != nil:
		return out, err
	case a.Failure != nil:
		return out, a.Failure
	}
	return out, unmarshalAnswer(a.Result, string(a.ResultEncoding), &out)
}

// Do lets a workflow's current run carry out an update and gives its answer, however long
// that takes. An update that failed is a *record.Failure.
func Do[In, Out any](ctx context.Context, c *HTTP, workflowID string, update workflow.Update[In, Out], in In, opts ...Option) (out Out, err error) {
	b, err := encode(in)
	if err != nil {
		return out, fmt.Errorf("encode update %s for workflow %q: %w", update.Name(), workflowID, err)
	}
	u, err := c.Update(ctx, UpdateRequest{WorkflowID: workflowID, Name: update.Name(), Payload: b, CommandID: apply(opts).commandID}, 1<<62)
	switch {
	case err != nil:
		return out, err
	case u.Failure != nil:
		return out, u.Failure
	}
	return out, unmarshalAnswer(u.Result, string(u.ResultEncoding), &out)
}

func unmarshalAnswer(raw json.RawMessage, encoding string, out any) error {
	b, err := payloadOf(raw, encoding)
	if err != nil {
		return err
	}
	if err := codec.DecodePayload(b, out); err != nil {
		return fmt.Errorf("the answer is no %T: %w", out, err)
	}
	return nil
}
