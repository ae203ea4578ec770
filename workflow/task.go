package workflow

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

// Task is a unit of work that a service worker carries out: In goes out, Out comes back,
// each as JSON, or as Protobuf where the type is a pointer to a generated message. It is a
// constant value; name it in Define.
type Task[In, Out any] struct {
	service   string
	operation string
	policy    RetryPolicy
	limits    TaskLimits
	json      bool
	limitBy   any // func(In) string; nil: none
}

// TaskOption changes how a task is carried out.
type TaskOption interface{ applyTask(o *taskOptions) }

type taskOptions struct {
	policy  RetryPolicy
	limits  TaskLimits
	json    bool
	limitBy any // func(In) string
}

type taskOptionFunc func(o *taskOptions)

func (f taskOptionFunc) applyTask(o *taskOptions) { f(o) }

// RetryPolicy says when a task is tried again after a retryable failure. The zero
// value is the built-in policy: after 1 s, doubling up to 100 s, without end.
type RetryPolicy = record.RetryPolicy

// WithRetry replaces the built-in retry policy. Fields that are zero keep the
// built-in value.
func WithRetry(p RetryPolicy) TaskOption {
	return taskOptionFunc(func(o *taskOptions) { o.policy = p })
}

// TaskLimits bound the time of a task; zero is no limit of the workflow's. Queued: no
// worker has started an attempt in time; it counts as failed. Attempt: of one attempt,
// enforced by the worker, in place of its own. Heartbeat: no sign of life of a started
// attempt for so long; it counts as failed, and the next attempt gets the details of the
// last heartbeat. Total: of the task, all attempts and pauses together; it then fails.
// Failures by a limit have the kind timeout. A local task knows Attempt and Total.
type TaskLimits = record.TaskLimits

// WithLimits bounds the time of a task.
func WithLimits(l TaskLimits) TaskOption {
	return taskOptionFunc(func(o *taskOptions) { o.limits = l })
}

// AsJSON sends a Protobuf message as JSON, as Protobuf maps it: for an HTTP API that takes
// JSON, behind svcworker. An answer in JSON is understood with and without it.
func AsJSON() TaskOption { return taskOptionFunc(func(o *taskOptions) { o.json = true }) }

// LimitBy gives the task's key of limits, a function of its input: a customer, an account,
// a shop. All tasks of a service with the same key go to one partition of its topic, so
// that the one worker that has it can limit the calls of each key (`per_key` in bindings,
// worker.Service.PerKey). The empty key is none. In is the task's input; a function of
// another type is refused by Define. Key functions follow the rules of workflow code.
func LimitBy[In any](key func(in In) string) TaskOption {
	return taskOptionFunc(func(o *taskOptions) { o.limitBy = key })
}

// NewTask names an operation of a service: its records go to the topic
// <namespace>.tasks.<service>. Both names are 1 to 100 of A-Z a-z 0-9 . _ -
// without a leading dot or "..": the engine refuses others at its start.
func NewTask[In, Out any](service, operation string, opts ...TaskOption) Task[In, Out] {
	return Task[In, Out]{service: service, operation: operation}.With(opts...)
}

// With is the same task with other options, for one call say:
//
//	Charge.With(workflow.WithRetry(workflow.RetryPolicy{MaxAttempts: 3})).Run(ctx, in)
func (t Task[In, Out]) With(opts ...TaskOption) Task[In, Out] {
	o := taskOptions{t.policy, t.limits, t.json, t.limitBy}
	for _, opt := range opts {
		opt.applyTask(&o)
	}
	t.policy, t.limits, t.json, t.limitBy = o.policy, o.limits, o.json, o.limitBy
	return t
}

// Service is the service that carries the task out.
func (t Task[In, Out]) Service() string { return t.service }

// Operation is what the service is asked for.
func (t Task[In, Out]) Operation() string { return t.operation }

// Run asks for the task and waits until it succeeds or fails for good. The error is
// a *TaskError.
func (t Task[In, Out]) Run(ctx Context, in In) (Out, error) { return t.Start(ctx, in).Get(ctx) }

// Start asks for the task and does not wait: several tasks may run at once. A task
// whose future nobody gets is carried out nevertheless, unless the run ends first.
func (t Task[In, Out]) Start(ctx Context, in In) Future[Out] {
	h := ctx.enter()
	if !ctx.def.declares(t.service, t.operation) {
		h.Stick("task " + t.service + "/" + t.operation + " is not among what Define was given for workflow type " + ctx.def.typ + ": add it there, so that its topic is made and checked")
	}
	if err := ctx.cancelled(); err != nil {
		return Future[Out]{host: h, err: err}
	}
	d := &record.TaskScheduled{Service: t.service, Operation: t.operation, Policy: t.policy, Limits: t.limits}
	input, err := codec.EncodePayload(in, t.json)
	if err != nil {
		return refused[Out](h, d, Failure{Kind: FailureEngine, Code: CodeInputInvalid,
			Message: "the input of task " + taskName(d) + " cannot be encoded: " + err.Error()})
	}
	if len(input) > PayloadBytesMax {
		return refused[Out](h, d, tooLarge("the input of task "+taskName(d), len(input)))
	}
	d.Input, d.InputHash = input, codec.Hash(input)
	if t.limitBy != nil {
		key, ok := t.limitBy.(func(In) string)
		if !ok {
			h.Stick("task " + taskName(d) + " has a LimitBy that does not fit: " + t.limitByWrong())
		}
		d.LimitKey = key(in)
		if why := limitKeyWrong(d.LimitKey); why != "" {
			return refused[Out](h, d, Failure{Kind: FailureEngine, Code: CodeInputInvalid,
				Message: "the key of limits of task " + taskName(d) + " " + why})
		}
	}
	return Future[Out]{host: h, open: h.Open(d, ctx.scope), decode: decodeTask[Out]}
}

// refused is a future that fails without any decision (A3).
func refused[Out any](h Host, d *record.TaskScheduled, f Failure) Future[Out] {
	return Future[Out]{host: h, err: newTaskError(d, 0, nil, f)}
}

func taskName(t *record.TaskScheduled) string { return t.Service + "/" + t.Operation }

// use declares the task (see Use).
func (t Task[In, Out]) use(d *definition) {
	d.tasks = append(d.tasks, taskUse{service: t.service, operation: t.operation, policy: t.policy, limits: t.limits, limitBy: t.limitByWrong()})
}

// limitByWrong says why the task's key function does not fit, or nothing.
func (t Task[In, Out]) limitByWrong() string {
	if _, ok := t.limitBy.(func(In) string); ok || t.limitBy == nil {
		return ""
	}
	var in In
	return fmt.Sprintf("it is a %T, the task's input a %T: give LimitBy a function of that", t.limitBy, in)
}

// limitKeyWrong says why a key of limits cannot travel, or nothing.
func limitKeyWrong(key string) string {
	switch {
	case len(key) > record.LimitKeyBytesMax:
		return fmt.Sprintf("has %d bytes, at most %d are allowed: hash it", len(key), record.LimitKeyBytesMax)
	case !utf8.ValidString(key) || strings.ContainsFunc(key, unicode.IsControl):
		return "has control characters or is not UTF-8: encode it"
	}
	return ""
}
