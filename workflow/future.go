package workflow

import (
	"github.com/odradek/odradek/record"
)

// Future is a result that will be there later: of a task that was started, or of a
// timer. It is a value; copies are the same future.
type Future[T any] struct {
	host   Host
	open   *Open
	err    error // decided at once: there is nothing to wait for
	decode func(h Host, o *Open) (T, error)
}

// Get waits for the result. Called again, it gives the same at once. The error of a
// task is a *TaskError; a timer has none. In a cancelled scope it does not wait: the
// error is a *CancelledError, as that of a task whose own scope was cancelled.
func (f Future[T]) Get(ctx Context) (T, error) {
	h := ctx.enter()
	f.check(h)
	var zero T
	if f.err != nil {
		return zero, f.err
	}
	for f.open.Closed == nil {
		if err := ctx.vain(h); err != nil {
			return zero, err
		}
		h.Block(Awaited{Open: f.open, Scope: ctx.scope})
	}
	switch f.open.Closed.(type) {
	case *record.TaskCancelled, *record.TimerCancelled:
		if cause := f.open.Scope.Cause(); cause != nil {
			return zero, cause
		}
		return zero, &CancelledError{}
	}
	return f.decode(h, f.open)
}

// Ready reports whether Get would give the result at once.
func (f Future[T]) Ready(ctx Context) bool {
	ctx.enter()
	return f.settled()
}

func (f Future[T]) settled() bool { return f.err != nil || f.open != nil && f.open.Closed != nil }

// check refuses a future that cannot be waited for here.
func (f Future[T]) check(h Host) {
	switch f.host {
	case nil:
		panic("workflow: Get of a Future that nothing was started for: get it from Task.Start or NewTimer")
	case h:
		return
	}
	panic("workflow: Get of a Future of another run: a Future belongs to the run that started it")
}

// decodeTask makes the typed result of a closed task.
func decodeTask[T any](h Host, o *Open) (T, error) {
	task := scheduled(o)
	switch c := o.Closed.(type) {
	case *record.HistoryTaskCompleted:
		v, err := decode[T](c.Result, lenient)
		if err != nil {
			return v, newTaskError(task, o.No, nil, record.Failure{
				Kind: record.FailureEngine, Code: CodeResultInvalid,
				Message: "the result of task " + taskName(task) + " does not fit its Go type: " + err.Error(),
			})
		}
		return v, nil
	case *record.HistoryTaskFailed:
		var zero T
		return zero, newTaskError(task, o.No, c.Attempts, c.Failure)
	}
	h.Stick("the history closes a task with something else than its result")
	panic("unreachable: Stick does not return")
}
