package workflow

import (
	"context"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

// LocalTask is a short function that the engine itself carries out, with no worker and
// no topic between: after the commit that scheduled it, never inside the step. Its
// result is an input like a timer's. It may do I/O; it may run more than once (after a
// crash), each time with the same input; its context ends with the attempt's limit, when
// the task is cancelled and when the partition moves.
//
// It is a constant value; name it in Define.
type LocalTask[In, Out any] struct {
	name   string
	policy RetryPolicy
	limits TaskLimits
	keyed  bool // it was given LimitBy, which Define refuses
	fn     func(ctx context.Context, in In) (Out, error)
}

// NewLocalTask names a function. An error that is a *Failure counts as it says, any
// other is retried with the policy; a panic fails the task.
func NewLocalTask[In, Out any](name string, fn func(ctx context.Context, in In) (Out, error), opts ...TaskOption) LocalTask[In, Out] {
	return LocalTask[In, Out]{name: name, fn: fn}.With(opts...)
}

// With is the same task with other options.
func (t LocalTask[In, Out]) With(opts ...TaskOption) LocalTask[In, Out] {
	o := taskOptions{policy: t.policy, limits: t.limits}
	for _, opt := range opts {
		opt.applyTask(&o)
	}
	t.policy, t.limits, t.keyed = o.policy, o.limits, t.keyed || o.limitBy != nil
	return t
}

// Name is the task's name.
func (t LocalTask[In, Out]) Name() string { return t.name }

// Run asks for the task and waits for its result. The error is a *TaskError, with the
// service "local", or a *CancelledError.
func (t LocalTask[In, Out]) Run(ctx Context, in In) (Out, error) { return t.Start(ctx, in).Get(ctx) }

// Start asks for the task and does not wait.
func (t LocalTask[In, Out]) Start(ctx Context, in In) Future[Out] {
	h := ctx.enter()
	if ctx.def.local(t.name) == nil {
		h.Stick("local task " + t.name + " is not among what Define was given for workflow type " + ctx.def.typ + ": add it there")
	}
	if err := ctx.cancelled(); err != nil {
		return Future[Out]{host: h, err: err}
	}
	d := &record.LocalScheduled{Name: t.name, Policy: t.policy, Limits: t.limits}
	input, err := encode(in)
	switch {
	case err != nil:
		return refused[Out](h, localName(d), Failure{Kind: FailureEngine, Code: CodeInputInvalid,
			Message: "the input of local task " + t.name + " cannot be encoded: " + err.Error()})
	case len(input) > PayloadBytesMax:
		return refused[Out](h, localName(d), tooLarge("the input of local task "+t.name, len(input)))
	}
	d.Input, d.InputHash = input, codec.Hash(input)
	return Future[Out]{host: h, open: h.Open(d, ctx.scope), decode: decodeTask[Out]}
}

// localService is what errors and views show as a local task's service.
const localService = "local"

func localName(d *record.LocalScheduled) *record.TaskScheduled {
	return &record.TaskScheduled{Service: localService, Operation: d.Name}
}

// scheduled names the task that an Open stands for.
func scheduled(o *Open) *record.TaskScheduled {
	if d, ok := o.Decision.(*record.LocalScheduled); ok {
		return localName(d)
	}
	return o.Decision.(*record.TaskScheduled)
}

// use declares the task (see Use).
func (t LocalTask[In, Out]) use(d *definition) {
	d.locals = append(d.locals, localUse{t.name, t.policy, t.limits, t.keyed, func(ctx context.Context, input []byte) ([]byte, error) {
		in, err := decode[In](input, lenient)
		if err != nil {
			return nil, &Failure{Kind: FailureEngine, Code: CodeInputInvalid, Message: "the input of local task " + t.name + " does not fit its Go type: " + err.Error()}
		}
		out, err := t.fn(ctx, in)
		if err != nil {
			return nil, err
		}
		b, err := encode(out)
		switch {
		case err != nil:
			return nil, &Failure{Kind: FailureEngine, Code: CodeResultInvalid, Message: "the result of local task " + t.name + " cannot be encoded: " + err.Error()}
		case len(b) > PayloadBytesMax:
			f := tooLarge("the result of local task "+t.name, len(b))
			return nil, &f
		}
		return b, nil
	}})
}

type localUse struct {
	name   string
	policy RetryPolicy
	limits TaskLimits
	keyed  bool
	call   LocalFunc
}

// LocalFunc carries out a local task: its input and result are payloads.
type LocalFunc func(ctx context.Context, input []byte) ([]byte, error)

// Local finds a local task of the type; nil if it has none of that name.
func (d Definition) Local(name string) LocalFunc {
	if u := d.d.local(name); u != nil {
		return u.call
	}
	return nil
}

func (d *definition) local(name string) *localUse {
	for i := range d.locals {
		if d.locals[i].name == name {
			return &d.locals[i]
		}
	}
	return nil
}
