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
// task is a *TaskError; a timer has none.
func (f Future[T]) Get(ctx Context) (T, error) {
	h := ctx.enter()
	var zero T
	switch {
	case f.host == nil:
		panic("workflow: Get of a Future that nothing was started for: get it from Task.Start or NewTimer")
	case f.host != h:
		panic("workflow: Get of a Future of another run: a Future belongs to the run that started it")
	case f.err != nil:
		return zero, f.err
	}
	for f.open.Closed == nil {
		h.Block(Awaited{Open: f.open})
	}
	return f.decode(h, f.open)
}

// Ready reports whether Get would give the result at once.
func (f Future[T]) Ready(ctx Context) bool {
	ctx.enter()
	return f.err != nil || f.open != nil && f.open.Closed != nil
}

// decodeTask makes the typed result of a closed task.
func decodeTask[T any](h Host, o *Open) (T, error) {
	task := o.Decision.(*record.TaskScheduled)
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
