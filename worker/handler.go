package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

// timeoutDefault bounds an attempt whose handler says nothing.
const timeoutDefault = time.Minute

// Call is one attempt of a task as its handler sees it. It is valid until the
// handler returns; Input aliases a fetch buffer and is not to be changed.
type Call struct {
	Service    string
	Operation  string
	WorkflowID string
	// WorkflowType is empty if the record does not tell.
	WorkflowType string
	Task         record.TaskID
	// Key is the idempotency key: the same on all attempts of the task.
	Key     string
	Attempt uint32 // from 1
	// Sending counts how often this attempt was sent out, from 1: once more after each
	// PollAfter.
	Sending uint32
	Input   []byte
	// Trace is the W3C trace context of the record: traceparent, tracestate, baggage.
	Trace []record.Header
	// Details of the last heartbeat of an attempt before this one, or what PollAfter left,
	// JSON; nil: there was none.
	Details []byte

	tokenKey []byte
	beats    *beater
	// joined: it is part of a call that another task began. The service is not judged by
	// it once more.
	joined bool
	poll   *poll // how the attempt goes on that is pending; nil: it is answered from outside
	forget bool  // the next attempt gets no details
}

// CallFunc makes one attempt: it returns the result's bytes, or an error. What an
// error becomes is told by Failure. It is called from many goroutines, and ctx ends
// when the attempt's time is up or the worker gives the record up.
type CallFunc func(ctx context.Context, call *Call) ([]byte, error)

// Handler binds an operation of a service to the function that does it.
type Handler struct {
	Service   string
	Operation string
	// Timeout of an attempt whose task has no limit of its own. 0: one minute; negative:
	// none.
	Timeout time.Duration
	// Beats lets the worker send signs of life while the call runs, where the workflow's
	// code asks for heartbeats: for functions that cannot call Heartbeat.
	Beats bool
	Call  CallFunc
}

// Option changes a Handler.
type Option func(*Handler)

// WithTimeout bounds one attempt; a negative duration means no bound.
func WithTimeout(d time.Duration) Option { return func(h *Handler) { h.Timeout = d } }

// WithBeats lets the worker send signs of life while the call runs (Handler.Beats).
func WithBeats() Option { return func(h *Handler) { h.Beats = true } }

// Handle binds a task to a Go function. The function gets the decoded input and its
// result is encoded as the workflow decodes it, so that a handler of other types
// does not compile. CallOf(ctx) tells the idempotency key.
func Handle[In, Out any](task workflow.Task[In, Out], fn func(context.Context, In) (Out, error), opts ...Option) Handler {
	h := Handler{Service: task.Service(), Operation: task.Operation()}
	h.Call = func(ctx context.Context, call *Call) ([]byte, error) {
		var in In
		if err := codec.DecodePayload(call.Input, &in); err != nil {
			return nil, &record.Failure{
				Kind: record.FailureApplication, Code: "input_invalid", Retryable: true,
				Message: fmt.Sprintf("the input of %s.%s does not fit %T: %v; workflow and worker were built with different types, deploy the older one anew", call.Service, call.Operation, in, err),
			}
		}
		out, err := fn(ctx, in)
		if err != nil {
			return nil, err
		}
		b, err := codec.EncodePayload(out, false)
		if err != nil {
			return nil, &record.Failure{
				Kind: record.FailureApplication, Code: "result_invalid", Retryable: true,
				Message: fmt.Sprintf("the result of %s.%s cannot be encoded: %v", call.Service, call.Operation, err),
			}
		}
		return b, nil
	}
	for _, opt := range opts {
		opt(&h)
	}
	return h
}

// HandleRaw binds an operation to a function of bytes, for payloads that are not
// JSON and for bindings.
func HandleRaw(service, operation string, fn CallFunc, opts ...Option) Handler {
	h := Handler{Service: service, Operation: operation, Call: fn}
	for _, opt := range opts {
		opt(&h)
	}
	return h
}

type callKey struct{}

// CallOf gives the attempt that a handler was called for. It panics outside of a
// handler's context.
func CallOf(ctx context.Context) *Call {
	c, ok := ctx.Value(callKey{}).(*Call)
	if !ok {
		panic("worker.CallOf: the context is not one that a handler was called with")
	}
	return c
}
