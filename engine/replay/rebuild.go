package replay

import (
	"fmt"
	"iter"
	"log/slog"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

// Rebuild runs the code against a run's history, whose events are those of whole
// turns: each input followed by the decisions of its turn. With next the last input's
// decisions are not history yet: its turn is run, and they are returned. The first of them
// is numbered next.
//
// An error is a *StuckError where the code is the reason, else the history's own.
func Rebuild(def workflow.Definition, id Identity, history iter.Seq2[record.HistoryEvent, error], next uint64, logger *slog.Logger) (*Live, []record.HistoryBody, error) {
	l := New(def, id, logger)
	done := false
	defer func() { // also when AfterSwitch leaves
		if !done {
			l.Drop()
		}
	}()
	decisions, err := l.rebuild(history, next)
	if err != nil {
		return nil, nil, err
	}
	done = true
	return l, decisions, nil
}

func (l *Live) rebuild(history iter.Seq2[record.HistoryEvent, error], next uint64) ([]record.HistoryBody, error) {
	var in record.HistoryEvent // of the turn that is being read
	var expect []record.HistoryEvent
	for e, err := range history {
		if err != nil {
			return nil, fmt.Errorf("read the history of run %s of workflow %q: %w", l.id.Run, l.id.WorkflowID, err)
		}
		if !e.Body.HistoryKind().IsInput() {
			if in.Body == nil {
				return nil, stuckf(CodeDivergence, "the history starts with event %d, %s, instead of run_started", e.No, describe(e.Body))
			}
			expect = append(expect, e)
			continue
		}
		if in.Body != nil {
			if err := l.replayTurn(in, expect); err != nil {
				return nil, err
			}
		}
		in, expect = e, expect[:0]
	}
	switch {
	case in.Body == nil:
		return nil, stuckf(CodeDivergence, "the history of run %s of workflow %q is empty", l.id.Run, l.id.WorkflowID)
	case next > 0 && len(carried(expect)) == len(expect):
		l.Carry(expect)
		return l.Turn(in, next)
	case next > 0 && len(expect) > 0:
		return nil, stuckf(CodeDivergence, "the last turn is said to be open, but event %d, %s, follows its input", expect[0].No, describe(expect[0].Body))
	}
	return nil, l.replayTurn(in, expect)
}

// replayTurn runs one turn and compares its decisions with the history's.
func (l *Live) replayTurn(in record.HistoryEvent, expect []record.HistoryEvent) error {
	if err := l.check(in); err != nil {
		return err
	}
	before := carried(expect)
	l.Carry(before)
	l.h.beginReplay(in, expect[len(before):])
	if err := l.advance(in); err != nil {
		return err
	}
	if missing := l.h.expect[l.h.asked:]; len(missing) > 0 {
		return l.stick(stuckf(CodeDivergence, "the code does not match its history: event %d is %s, but the code asks for nothing more in the turn of event %d and %s",
			missing[0].No, describe(missing[0].Body), in.No, l.h.whereabouts()).diverged(missing[0].No, describe(missing[0].Body), "nothing: it "+l.h.whereabouts(), nil))
	}
	l.h.expect = nil
	return nil
}

// IsCarried reports whether an event says what the run before this one had: it is no
// decision of the code's.
func IsCarried(b record.HistoryBody) bool {
	k := b.HistoryKind()
	return k == record.KindSignalCarried || k == record.KindChildCarried
}

// carried are the events in front that IsCarried.
func carried(events []record.HistoryEvent) []record.HistoryEvent {
	for i := range events {
		if !IsCarried(events[i].Body) {
			return events[:i]
		}
	}
	return events
}

// Carry takes over what the run before this one had: signals that it had not consumed,
// and open children. It comes before the first turn.
func (l *Live) Carry(events []record.HistoryEvent) {
	for i := range events {
		switch b := events[i].Body.(type) {
		case *record.SignalCarried:
			l.h.weight += len(b.Payload)
			l.h.box(b.Name).put(signal{events[i].No, b.Payload})
		case *record.ChildCarried:
			l.h.open = append(l.h.open, &workflow.Open{No: events[i].No, Decision: b, Scope: &l.h.root})
		}
	}
}
