package workflow

import (
	"errors"
	"fmt"
)

// Saga collects what undoes the steps of a process, and does it in reverse when the
// process cannot be finished:
//
//	var saga workflow.Saga
//	if _, err := ReserveStock.Run(ctx, order); err != nil {
//		return receipt, saga.Rollback(ctx, err)
//	}
//	workflow.Compensate(&saga, "stock", ReleaseStock, order)
//
// The zero Saga is ready. It belongs to one run. Like all code of a run it survives
// crashes: a rollback goes on where it was, and each compensation is asked for once.
type Saga struct {
	// ContinueOnError lets a rollback go on after a compensation that has failed for good.
	// Without it the rollback stops there and the run closes: an operator sees which step
	// could not be undone, mends what is in the way and retries the run, which takes up
	// the same task and goes on with the steps before it. With it the other steps are
	// undone without waiting for anybody, and what failed is left to be undone by hand.
	ContinueOnError bool

	steps []compensation
	done  bool
}

type compensation struct {
	name string
	undo func(ctx Context) error
}

// Add notes how a step is undone, whatever that takes. name is for people.
func (s *Saga) Add(name string, undo func(ctx Context) error) {
	if s.done {
		panic("workflow: Saga.Add after Rollback: what is added now would never be undone")
	}
	s.steps = append(s.steps, compensation{name, undo})
}

// Compensate notes a task that undoes a step.
func Compensate[In, Out any](s *Saga, name string, task Task[In, Out], in In) {
	s.Add(name, func(ctx Context) error {
		_, err := task.Run(ctx, in)
		return err
	})
}

// Rollback undoes the steps, the last one first, each once, in a scope that
// cancellation does not reach. It stops at a compensation that fails, or goes on with
// ContinueOnError. The error is cause, joined with a *CompensationError for each that
// failed. Called again it undoes nothing and gives cause.
func (s *Saga) Rollback(ctx Context, cause error) error {
	if s.done {
		return cause
	}
	s.done = true
	detached := Detached(ctx)
	errs := []error{cause}
	for i := len(s.steps) - 1; i >= 0; i-- {
		if err := s.steps[i].undo(detached); err != nil {
			errs = append(errs, &CompensationError{Step: s.steps[i].name, Err: err})
			if !s.ContinueOnError {
				break
			}
		}
	}
	if len(errs) == 1 {
		return cause
	}
	return errors.Join(errs...)
}

// CompensationError is a step that could not be undone.
type CompensationError struct {
	Step string // as Add was given it
	Err  error
}

// Error names the step.
func (e *CompensationError) Error() string { return fmt.Sprintf("undo %s: %v", e.Step, e.Err) }

// Unwrap gives the reason.
func (e *CompensationError) Unwrap() error { return e.Err }
