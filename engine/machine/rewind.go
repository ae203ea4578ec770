package machine

import (
	"fmt"
	"slices"

	"github.com/odradek/odradek/record"
)

// Counting gives the events of a history that count: without those that a RunRewound has
// taken back. events are dense from 1.
func Counting(events []record.HistoryEvent) []record.HistoryEvent {
	out := make([]record.HistoryEvent, 0, len(events))
	until := uint64(len(events)) // what is above has been taken back, up to the rewind that was met
	for i := len(events) - 1; i >= 0; i-- {
		e := events[i]
		if e.No > until {
			continue
		}
		out = append(out, e)
		until = e.No
		if b, ok := e.Body.(*record.RunRewound); ok {
			until = b.To
		}
	}
	slices.Reverse(out)
	return out
}

// Noted reports whether an event is an input that is noted for the engine and for people:
// the run's code does not see it.
func Noted(b record.HistoryBody) bool {
	switch b.HistoryKind() {
	case record.KindVersionPinned, record.KindAwaitReceived, record.KindRunTerminated, record.KindRunRewound, record.KindOperatorActed:
		return true
	}
	return false
}

// Rewind is what taking a run back to an event means.
type Rewind struct {
	To   uint64        // the last event that counts
	Open record.Opened // as it is after To
	// TurnOpen: the last event that counts starts a turn, which is run again.
	TurnOpen bool
	// Again are the open tasks whose answers have come since, or that were cancelled
	// since: another attempt of each goes out, with the same idempotency key.
	Again []Again
	// Undone are the decisions that do not count any more. What they asked for is not
	// undone in the world, and is asked for again as the code says, with new keys.
	Undone []record.HistoryEvent
	// Signals have come since and are given to the run again.
	Signals []*record.SignalReceived
}

// Again is a task of which another attempt goes out.
type Again struct {
	Task    uint64
	Attempt uint32 // its number
	Last    []record.Attempt
	Event   record.HistoryEvent // its TaskScheduled or LocalScheduled
}

// PlanRetry takes a run that has failed back to before the failure of the task at which it
// failed. It is offered only if nothing was scheduled or answered after that (I4); else the
// error says why not.
func PlanRetry(s *State, events []record.HistoryEvent, chunkOf func(no uint64) uint32) (Rewind, error) {
	if s.Run.Status != record.StatusFailed && s.Run.Status != record.StatusCancelled {
		return Rewind{}, fmt.Errorf("the run is %s: a retry is for runs that failed at a task", s.Run.Status)
	}
	if !s.Run.Parent.IsZero() || s.Run.Awaited {
		return Rewind{}, fmt.Errorf("another workflow was told that the run has failed: reset it, or start a new run")
	}
	counting := Counting(events)
	last := len(counting) - 1
	for last >= 0 && (Noted(counting[last].Body) || !counting[last].Body.HistoryKind().IsInput()) {
		last--
	}
	if last < 0 {
		return Rewind{}, fmt.Errorf("its history has no input")
	}
	if _, failed := counting[last].Body.(*record.HistoryTaskFailed); !failed {
		return Rewind{}, fmt.Errorf("it did not fail because of the last answer that it got, which is event %d, %s: reset it to the event from which it should go on", counting[last].No, counting[last].Body.HistoryKind())
	}
	for _, e := range counting[last+1:] {
		switch e.Body.HistoryKind() {
		case record.KindSignalConsumed, record.KindTimerCancelled, record.KindPatchMarked, record.KindAttributesSet, record.KindTaskCancelled, record.KindRunFailed, record.KindRunCancelled:
		default:
			if !Noted(e.Body) {
				return Rewind{}, fmt.Errorf("after its task had failed it has asked for more (event %d, %s): reset it to the event from which it should go on, or start a new run", e.No, e.Body.HistoryKind())
			}
		}
	}
	plan, err := planRewind(s, events, counting[last].No-1, chunkOf)
	if err == nil && len(plan.Open.Children) > 0 {
		return Rewind{}, fmt.Errorf("it had open children when it failed, which were told: reset it, or start a new run")
	}
	return plan, err
}

// PlanReset takes a run back to an input of its history: what came after it does not count
// any more, and its turn is run again. The error says what cannot be done.
func PlanReset(s *State, events []record.HistoryEvent, to uint64, chunkOf func(no uint64) uint32) (Rewind, error) {
	if s.Run.Status == record.StatusContinued {
		return Rewind{}, fmt.Errorf("another run goes on for it: reset that one")
	}
	if to > uint64(len(events)) {
		return Rewind{}, fmt.Errorf("its history has %d events, none of number %d", len(events), to)
	}
	counting := Counting(events)
	at := slices.IndexFunc(counting, func(e record.HistoryEvent) bool { return e.No == to })
	switch {
	case at < 0:
		return Rewind{}, fmt.Errorf("event %d does not count any more since an earlier reset or retry", to)
	case Noted(counting[at].Body):
		return Rewind{}, fmt.Errorf("event %d, %s, is a note, which starts no turn of the code: use an earlier event", to, counting[at].Body.HistoryKind())
	case !counting[at].Body.HistoryKind().IsInput():
		for at > 0 && (Noted(counting[at].Body) || !counting[at].Body.HistoryKind().IsInput()) {
			at--
		}
		return Rewind{}, fmt.Errorf("event %d is a decision in the turn of event %d: reset to event %d, whose turn is run again, or to one before it", to, counting[at].No, counting[at].No)
	}
	for at+1 < len(counting) { // what the run before it left belongs to the first turn
		if k := counting[at+1].Body.HistoryKind(); k != record.KindSignalCarried && k != record.KindChildCarried {
			break
		}
		at++
	}
	return planRewind(s, events, counting[at].No, chunkOf)
}

func planRewind(s *State, events []record.HistoryEvent, to uint64, chunkOf func(no uint64) uint32) (Rewind, error) {
	then := NewState(s.Run.WorkflowID, s.Run.Run)
	for _, e := range events[:to] {
		Apply(then, e, chunkOf(e.No))
	}
	r := Rewind{To: to, Open: record.Opened{
		Tasks: then.Tasks, Timers: then.Timers, Signals: then.Signals, Children: then.Children, Updates: then.Updates,
		Attributes: then.Attributes, CancelAsked: then.Run.CancelAsked,
	}}
	counting := Counting(events)
	for _, e := range counting {
		if e.No > to {
			r.after(e)
		} else if !Noted(e.Body) {
			k := e.Body.HistoryKind()
			r.TurnOpen = k.IsInput() || r.TurnOpen && (k == record.KindSignalCarried || k == record.KindChildCarried)
		}
	}
	next := s.Run.Events + 1
	for i := range r.Open.Tasks {
		t := &r.Open.Tasks[i]
		if now := s.Task(t.No); now != nil {
			*t = *now // it is open still
			continue
		}
		a := Again{Task: t.No, Event: events[t.No-1]}
		a.Attempt, a.Last = attemptsOf(events, t.No)
		t.Again, t.ScheduledAt = next, 0
		r.Again = append(r.Again, a)
	}
	return r, nil
}

// after sorts an event that does not count any more.
func (r *Rewind) after(e record.HistoryEvent) {
	switch b := e.Body.(type) {
	case *record.SignalReceived:
		r.Signals = append(r.Signals, b)
	case *record.TaskScheduled, *record.LocalScheduled, *record.ChildScheduled, *record.SignalSent, *record.Published, *record.UpdateCompleted:
		r.Undone = append(r.Undone, e)
	}
}

// attemptsOf is the number that the next attempt of a closed task has, above those of all
// that are known to have been made, and the last of those that failed.
func attemptsOf(events []record.HistoryEvent, task uint64) (next uint32, last []record.Attempt) {
	next = 2
	for _, e := range events[task:] {
		var as []record.Attempt
		answered := uint32(0) // the attempt that succeeded is not in the list
		switch b := e.Body.(type) {
		case *record.HistoryTaskFailed:
			if b.Task == task {
				as = b.Attempts
			}
		case *record.HistoryTaskCompleted:
			if b.Task == task {
				as, answered = b.Attempts, 1
			}
		}
		if n := len(as); n > 0 {
			next, last = max(next, as[n-1].No+1+answered), as
		}
	}
	return next, last
}
