package workflow

import (
	"errors"
	"time"

	"github.com/odradek/odradek/record"
)

// Errors of a cancelled scope, for errors.Is. A *CancelledError is one or the other.
var (
	// ErrCancelled: the run was asked to end, or the code cancelled the scope.
	ErrCancelled = errors.New("cancelled")
	// ErrTimeout: the scope's time limit has passed.
	ErrTimeout = errors.New("the scope's time limit has passed")
)

// CancelledError is what waits and starts in a cancelled scope give.
type CancelledError struct {
	Reason  string // for people
	Timeout bool   // by a scope's time limit
}

// Error says why.
func (e *CancelledError) Error() string {
	switch {
	case e.Timeout:
		return ErrTimeout.Error()
	case e.Reason == "":
		return ErrCancelled.Error()
	}
	return ErrCancelled.Error() + ": " + e.Reason
}

// Is makes errors.Is find ErrTimeout or ErrCancelled.
func (e *CancelledError) Is(target error) bool {
	return e.Timeout && target == ErrTimeout || !e.Timeout && target == ErrCancelled
}

// Scope is what cancellation reaches: everything that was started with a Context of the
// scope or of one below it. A run has a root scope. It is part of Host's contract;
// authors use WithCancel, WithTimeout and Detached.
type Scope struct {
	parent *Scope // nil: the root, or detached
	cause  *CancelledError
}

// Cause says why the scope, or one above it, was cancelled; nil: it was not.
func (s *Scope) Cause() *CancelledError {
	for ; s != nil; s = s.parent {
		if s.cause != nil {
			return s.cause
		}
	}
	return nil
}

// within reports whether s is of, or below it.
func (s *Scope) within(of *Scope) bool {
	for ; s != nil; s = s.parent {
		if s == of {
			return true
		}
	}
	return false
}

// Cancel cancels the scope: its open tasks and timers are closed, its open children
// asked to end. A scope that is cancelled already stays as it is. It runs on a
// coroutine of the run's.
func (s *Scope) Cancel(h Host, cause *CancelledError) {
	if s.Cause() != nil {
		return
	}
	s.cause = cause
	for _, o := range h.Opened() {
		if o.Scope.within(s) && o.Closed == nil {
			o.cancel(h, cause)
		}
	}
}

// cancel ends what is open.
func (o *Open) cancel(h Host, cause *CancelledError) {
	switch o.Decision.(type) {
	case *record.TaskScheduled, *record.LocalScheduled:
		d := &record.TaskCancelled{Task: o.No}
		h.Decide(d)
		o.Closed = d
	case *record.TimerStarted:
		d := &record.TimerCancelled{Timer: o.No}
		h.Decide(d)
		o.Closed = d
	case *record.ChildScheduled, *record.ChildCarried:
		h.Decide(&record.ChildCancelRequested{Child: o.No, Reason: cause.Reason})
	}
}

// CancelFunc cancels a scope. Called again, it does nothing.
type CancelFunc func()

// WithCancel gives a Context of a scope below ctx's. The function cancels it: its open
// tasks and timers end, its children are asked to, and waits in it give a
// *CancelledError.
func WithCancel(ctx Context) (Context, CancelFunc) {
	h := ctx.enter()
	s := &Scope{parent: ctx.scope}
	ctx.scope = s
	return ctx, func() {
		h.Enter()
		s.Cancel(h, &CancelledError{})
	}
}

// WithTimeout is WithCancel, and the scope is cancelled after d of durable time: waits
// in it then give an error that is ErrTimeout. Cancel it when it is no longer needed,
// which ends the timer.
func WithTimeout(ctx Context, d time.Duration) (Context, CancelFunc) {
	scoped, cancel := WithCancel(ctx)
	h := ctx.enter()
	if ctx.cancelled() != nil {
		return scoped, cancel
	}
	timer := startTimer(h, scoped.scope, h.Now().Time().Add(d))
	Go(Detached(ctx), func(Context) {
		for timer.Closed == nil {
			h.Block(Awaited{Open: timer})
		}
		if _, fired := timer.Closed.(*record.TimerFired); fired {
			scoped.scope.Cancel(h, &CancelledError{Timeout: true})
		}
	})
	return scoped, cancel
}

// Detached gives a Context that cancellation of ctx's scopes does not reach: clean-up
// code runs with it.
func Detached(ctx Context) Context {
	ctx.enter()
	ctx.scope = &Scope{}
	return ctx
}

// Err says why ctx's scope was cancelled, as a *CancelledError; nil: it was not.
func Err(ctx Context) error {
	ctx.enter()
	return ctx.cancelled()
}

// cancelled is Err for code that has entered.
func (c Context) cancelled() error {
	if cause := c.scope.Cause(); cause != nil {
		return cause
	}
	return nil
}

// vain is cancelled for a wait that ends at once because of it: without end, such waits
// would be a loop that nobody can leave.
func (c Context) vain(h Host) error {
	err := c.cancelled()
	if err != nil {
		h.Vain()
	}
	return err
}
