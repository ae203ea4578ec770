package replay

import (
	"errors"
	"iter"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

// Check replays a history against code: nil where the code does what it did then. The
// error is a *StuckError for a divergence, which names the event, what it has and what the
// code asks for, and the line; a decision with another input is one too (C4).
func Check(def workflow.Definition, f codec.HistoryFile) error {
	id := Identity{WorkflowID: f.WorkflowID, Run: f.Run, Type: f.Type, Version: f.Version}
	live := New(def, id, nil)
	defer live.Drop()
	live.h.exact = true
	_, err := live.rebuild(Seen(machine.Counting(f.Events)), 0)
	return err
}

// Seen gives the events that code sees: without what is noted for the engine alone.
func Seen(events []record.HistoryEvent) iter.Seq2[record.HistoryEvent, error] {
	return func(yield func(record.HistoryEvent, error) bool) {
		for _, e := range events {
			if !Unseen(e.Body) && !yield(e, nil) {
				return
			}
		}
	}
}

// Unseen reports whether the event is an input that the code does not see.
func Unseen(b record.HistoryBody) bool { return machine.Noted(b) }

// IsDivergence reports whether an error says that the code does not match a history.
func IsDivergence(err error) bool {
	_, ok := errors.AsType[*StuckError](err)
	return ok
}
