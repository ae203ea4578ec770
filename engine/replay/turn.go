package replay

import (
	"fmt"

	"github.com/odradek/odradek/internal/coro"
	"github.com/odradek/odradek/record"
)

// Turn delivers one input event and runs the code until it waits or ends. It gives
// the turn's decisions in order; decision i gets the number next+i (T3). The caller
// owns them.
//
// An error is a *StuckError, after which the Live is dropped, or ErrDropped.
func (l *Live) Turn(in record.HistoryEvent, next uint64) ([]record.HistoryBody, error) {
	if err := l.check(in); err != nil {
		return nil, err
	}
	l.h.begin(in, next)
	if err := l.advance(in); err != nil {
		return nil, err
	}
	return l.h.decisions, nil
}

// check refuses an input for code that is gone or has not begun.
func (l *Live) check(in record.HistoryEvent) error {
	switch {
	case l.co.Stopped() || l.h.closed || l.h.stuck != nil:
		return l.dropped(in)
	case l.h.input == nil && in.Body.HistoryKind() != record.KindRunStarted:
		return l.stick(stuckf(CodeDivergence, "the history starts with event %d, %s, instead of run_started", in.No, describe(in.Body)))
	}
	return nil
}

func (l *Live) dropped(in record.HistoryEvent) error {
	return fmt.Errorf("event %d (%s) of run %s of workflow %q: %w", in.No, in.Body.HistoryKind(), l.id.Run, l.id.WorkflowID, ErrDropped)
}

// advance is one turn, live or in replay.
func (l *Live) advance(in record.HistoryEvent) error {
	if err := l.h.deliver(in); err != nil {
		return l.stick(err)
	}
	exit, _ := l.run()
	if l.co.Stopped() && exit.How == coro.Parked && l.h.stuck == nil {
		return l.dropped(in) // while it ran: it had been given up (C3)
	}
	if err := l.h.verdict(exit); err != nil {
		return l.stick(err)
	}
	return nil
}

func (l *Live) stick(e *StuckError) error {
	l.h.stuck = e
	l.Drop()
	return e
}

// verdict says how the turn went, now that the code has given control back.
func (h *host) verdict(exit coro.Exit) *StuckError {
	switch {
	case h.stuck != nil:
		return h.stuck
	case exit.How == coro.Panicked:
		return stuckf(CodePanic, "workflow code panicked: %v%s", exit.Value, stack(exit.Stack))
	case exit.How == coro.Goexited:
		return stuckf(CodePanic, "workflow code called runtime.Goexit (as FailNow of package testing does): return an error instead%s", stack(exit.Stack))
	}
	return h.misuse.Load()
}
