package workflow

import (
	"fmt"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

// Child is another workflow that a run starts: a run of its own, with its own history,
// on whatever partition its workflow ID is. It is a constant value. The type need not
// be in this binary.
type Child[In, Out any] struct {
	typ   string
	id    string
	close ClosePolicy
}

// ClosePolicy says what happens to an open child when its parent closes. A parent that
// continues as new has not closed: the run that goes on has the child (see Attach).
type ClosePolicy = record.ClosePolicy

// Policies. The default is TerminateChild.
const (
	TerminateChild = record.ChildTerminate // it is closed at once, unless it was asked to end before
	CancelChild    = record.ChildCancel    // it is asked to end
	AbandonChild   = record.ChildAbandon   // it goes on
)

// ChildOption changes how a child is started.
type ChildOption interface{ applyChild(o *childOptions) }

type childOptions struct {
	id    string
	close ClosePolicy
}

type childOptionFunc func(o *childOptions)

func (f childOptionFunc) applyChild(o *childOptions) { f(o) }

// WithID gives the child a workflow ID: 1 to 200 bytes. By default it gets one that
// nobody else has.
func WithID(workflowID string) ChildOption {
	return childOptionFunc(func(o *childOptions) { o.id = workflowID })
}

// OnClose says what happens to the child when its parent closes first.
func OnClose(p ClosePolicy) ChildOption {
	return childOptionFunc(func(o *childOptions) { o.close = p })
}

// NewChild names a workflow type that is started by workflows.
func NewChild[In, Out any](typ string, opts ...ChildOption) Child[In, Out] {
	return Child[In, Out]{typ: typ}.With(opts...)
}

// With is the same child with other options, for one call say.
func (c Child[In, Out]) With(opts ...ChildOption) Child[In, Out] {
	o := childOptions{c.id, c.close}
	for _, opt := range opts {
		opt.applyChild(&o)
	}
	c.id, c.close = o.id, o.close
	return c
}

// Type is the child's workflow type.
func (c Child[In, Out]) Type() string { return c.typ }

// Run starts the child and waits for its close. The error is a *ChildError, or a
// *CancelledError.
func (c Child[In, Out]) Run(ctx Context, in In) (Out, error) { return c.Start(ctx, in).Get(ctx) }

// Start starts the child and does not wait. Where its workflow ID is in use, the future
// fails as soon as that is known, with the code workflow_id_in_use.
func (c Child[In, Out]) Start(ctx Context, in In) Future[Out] {
	h := ctx.enter()
	if err := ctx.cancelled(); err != nil {
		return Future[Out]{host: h, err: err}
	}
	id := c.id
	if id == "" {
		run, event, count := h.Seed()
		id = fmt.Sprintf("%s.%d.%d", run, event, count)
	}
	refuse := func(code, message string) Future[Out] {
		return Future[Out]{host: h, err: &ChildError{WorkflowID: id, Type: c.typ, Failure: Failure{Kind: FailureEngine, Code: code, Message: message}}}
	}
	if err := record.CheckWorkflowID(id); err != nil {
		return refuse(CodeInputInvalid, "a child of type "+c.typ+": "+err.Error())
	}
	input, err := encode(in)
	switch {
	case err != nil:
		return refuse(CodeInputInvalid, "the input of child "+c.typ+" cannot be encoded: "+err.Error())
	case len(input) > PayloadBytesMax:
		return refuse(CodePayloadTooLarge, tooLarge("the input of child "+c.typ, len(input)).Message)
	}
	d := &record.ChildScheduled{WorkflowID: id, Type: c.typ, Input: input, InputHash: codec.Hash(input), Close: c.close}
	return Future[Out]{host: h, open: h.Open(d, ctx.scope), decode: decodeChild[Out]}
}

// Attach gives the future of an open child that the run before this one has started and
// that moved along when it continued as new; false: there is none with that workflow ID.
// Cancelling ctx's scope asks it to end.
func (c Child[In, Out]) Attach(ctx Context, workflowID string) (Future[Out], bool) {
	h := ctx.enter()
	for _, o := range h.Opened() {
		if d, ok := o.Decision.(*record.ChildCarried); ok && d.WorkflowID == workflowID {
			o.Scope = ctx.scope
			return Future[Out]{host: h, open: o, decode: decodeChild[Out]}, true
		}
	}
	return Future[Out]{}, false
}

// Await waits for the close of a workflow that was started elsewhere, and gives its
// result. The error is a *ChildError: at once, with the code workflow_not_found, where
// there is no such workflow. A workflow that continues as new has not closed.
func Await[Out any](ctx Context, workflowID string) Future[Out] {
	h := ctx.enter()
	if err := ctx.cancelled(); err != nil {
		return Future[Out]{host: h, err: err}
	}
	if err := record.CheckWorkflowID(workflowID); err != nil {
		return Future[Out]{host: h, err: &ChildError{WorkflowID: workflowID, Failure: Failure{Kind: FailureEngine, Code: CodeInputInvalid, Message: err.Error()}}}
	}
	d := &record.WorkflowAwaited{WorkflowID: workflowID}
	return Future[Out]{host: h, open: h.Open(d, ctx.scope), decode: decodeChild[Out]}
}

// ChildError is how a child, or an awaited workflow, did not complete. errors.As finds
// it, and in it the *Failure.
type ChildError struct {
	WorkflowID string
	Type       string // empty: awaited
	RunID      string // empty: there is no run, the start was refused or nothing was found
	Status     string // failed, cancelled or terminated; empty as RunID
	Failure    Failure
}

// Error names the workflow and its failure.
func (e *ChildError) Error() string {
	what := "child "
	if e.Type == "" {
		what = "workflow "
	}
	return what + e.WorkflowID + ": " + e.Failure.Error()
}

// Unwrap gives the *Failure.
func (e *ChildError) Unwrap() error { return &e.Failure }

// decodeChild makes the typed result of a closed child.
func decodeChild[T any](h Host, o *Open) (T, error) {
	e := &ChildError{}
	switch d := o.Decision.(type) {
	case *record.ChildScheduled:
		e.WorkflowID, e.Type = d.WorkflowID, d.Type
	case *record.ChildCarried:
		e.WorkflowID, e.Type = d.WorkflowID, d.Type
	case *record.WorkflowAwaited:
		e.WorkflowID = d.WorkflowID
	}
	var zero T
	c, ok := o.Closed.(*record.ChildClosed)
	if !ok {
		h.Stick("the history closes a child with something else than its close")
	}
	if !c.Run.IsZero() {
		e.RunID, e.Status = c.Run.String(), c.Status.String()
	}
	if c.Status != record.StatusCompleted {
		e.Failure = c.Failure
		return zero, e
	}
	v, err := decode[T](c.Result, lenient)
	if err != nil {
		e.Failure = Failure{Kind: FailureEngine, Code: CodeResultInvalid, Message: "the result of workflow " + e.WorkflowID + " does not fit its Go type: " + err.Error()}
		return v, e
	}
	return v, nil
}

// Send gives the signal to another workflow, once. It does not wait: where there is no
// such workflow, or it takes no such signal, the signal becomes a dead letter of the
// partition that it went to. The error is of the arguments, or a *CancelledError.
func (s Signal[T]) Send(ctx Context, workflowID string, v T) error {
	h := ctx.enter()
	if err := ctx.cancelled(); err != nil {
		return err
	}
	if err := record.CheckWorkflowID(workflowID); err != nil {
		return &Failure{Kind: FailureEngine, Code: CodeInputInvalid, Message: "signal " + s.name + ": " + err.Error()}
	}
	payload, err := encode(v)
	switch {
	case err != nil:
		return &Failure{Kind: FailureEngine, Code: CodeInputInvalid, Message: "the payload of signal " + s.name + " cannot be encoded: " + err.Error()}
	case len(payload) > PayloadBytesMax:
		f := tooLarge("the payload of signal "+s.name, len(payload))
		return &f
	}
	h.Decide(&record.SignalSent{WorkflowID: workflowID, Name: s.name, Payload: payload, PayloadHash: codec.Hash(payload)})
	return nil
}
