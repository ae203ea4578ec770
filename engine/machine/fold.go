package machine

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/odradek/odradek/record"
)

// NewState is a run before its first event.
func NewState(workflowID string, run record.RunID) *State {
	return &State{Run: record.RunRow{WorkflowID: workflowID, Run: run}}
}

// Apply folds one history event, which stands in the given chunk, into the state
// (M1). It panics if the event is not the next one: whoever reads a history
// checks that it is dense before.
func Apply(s *State, e record.HistoryEvent, chunk uint32) {
	if e.No != s.Run.Events+1 || chunk < s.Run.Chunks {
		panic(fmt.Sprintf("machine: M2 broken: event %d in chunk %d applied to a run with %d events in %d chunks", e.No, chunk, s.Run.Events, s.Run.Chunks))
	}
	r := &s.Run
	r.Events, r.Chunks, r.UpdatedAt = e.No, chunk, e.At
	switch b := e.Body.(type) {
	case *record.RunStarted:
		r.Type, r.Version, r.Status, r.StartedAt, r.Parent = b.Type, b.Version, record.StatusRunning, e.At, b.Parent
		r.Previous, r.Build = b.Previous, b.Build
		s.command(b.CommandID, e.No)
	case *record.SignalReceived:
		s.Signals = append(s.Signals, record.SignalRow{No: e.No, Chunk: chunk, Name: b.Name})
		s.command(b.CommandID, e.No)
	case *record.SignalCarried:
		s.Signals = append(s.Signals, record.SignalRow{No: e.No, Chunk: chunk, Name: b.Name})
		s.command(b.CommandID, e.No)
	case *record.SignalConsumed:
		s.Signals = remove(s.Signals, b.Signal, signalNo)
	case *record.VersionPinned:
		r.Version = b.Version
	case *record.TaskScheduled:
		s.Tasks = append(s.Tasks, record.TaskRow{
			No: e.No, Chunk: chunk, Service: b.Service, Operation: b.Operation, Policy: b.Policy, Limits: b.Limits, LimitKey: b.LimitKey, ScheduledAt: e.At,
		})
	case *record.HistoryTaskCompleted:
		s.closeTask(b.Task)
	case *record.HistoryTaskFailed:
		s.closeTask(b.Task)
	case *record.TimerStarted:
		s.Timers = append(s.Timers, record.TimerRow{No: e.No, Due: b.Due})
	case *record.TimerFired:
		s.Timers = remove(s.Timers, b.Timer, timerNo)
	case *record.TimerCancelled:
		s.Timers = remove(s.Timers, b.Timer, timerNo)
	case *record.RunCompleted:
		s.closeRun(record.StatusCompleted, e, chunk, e.At.Add(b.Retain))
	case *record.RunFailed:
		s.closeRun(record.StatusFailed, e, chunk, e.At.Add(b.Retain))
	case *record.TaskCancelled:
		s.closeTask(b.Task)
	case *record.LocalScheduled:
		s.Tasks = append(s.Tasks, record.TaskRow{
			No: e.No, Chunk: chunk, Operation: b.Name, Policy: b.Policy, Limits: b.Limits, ScheduledAt: e.At,
		})
	case *record.CancelRequested:
		r.CancelAsked = true
		s.command(b.CommandID, e.No)
	case *record.ChildScheduled:
		s.Children = append(s.Children, record.ChildRow{No: e.No, WorkflowID: b.WorkflowID, Type: b.Type, Close: b.Close,
			Run: record.ChildRunID(r.Run, e.No, e.At), From: record.TaskID{Run: r.Run, No: e.No}})
	case *record.WorkflowAwaited:
		s.Children = append(s.Children, record.ChildRow{No: e.No, WorkflowID: b.WorkflowID, From: record.TaskID{Run: r.Run, No: e.No}})
	case *record.ChildCarried:
		s.Children = append(s.Children, record.ChildRow{No: e.No, WorkflowID: b.WorkflowID, Type: b.Type, Close: b.Close, Run: b.Run, From: b.From})
	case *record.AwaitReceived:
		r.Awaited = true
	case *record.ChildClosed:
		s.Children = remove(s.Children, b.Child, childNo)
	case *record.UpdateReceived:
		s.Updates = append(s.Updates, record.UpdateRow{No: e.No, Chunk: chunk, Name: b.Name, CommandID: b.CommandID})
		s.command(b.CommandID, e.No)
	case *record.UpdateCompleted:
		s.Updates = remove(s.Updates, b.Update, updateNo)
	case *record.ChildCancelRequested:
		if c := s.Child(b.Child); c != nil {
			c.Asked = true
		}
	case *record.PatchMarked:
		s.setAttributes([]record.Attribute{{Name: record.PatchAttribute(b.ID), Type: record.AttributeBool, Value: []byte{1}}})
	case *record.AttributesSet:
		s.setAttributes(b.Attributes)
	case *record.OperatorActed:
		s.operated(b, e.No)
	case *record.RunRewound:
		s.rewind(b)
		s.command(b.CommandID, e.No)
	case *record.SignalSent, *record.Published:
	case *record.RunTerminated:
		s.command(b.CommandID, e.No)
		s.closeRun(record.StatusTerminated, e, chunk, e.At.Add(b.Retain))
	case *record.RunCancelled:
		s.closeRun(record.StatusCancelled, e, chunk, e.At.Add(b.Retain))
	case *record.RunContinued:
		s.closeRun(record.StatusContinued, e, chunk, e.At.Add(b.Retain))
	default:
		panic(fmt.Sprintf("machine: no fold for a history event of type %T", e.Body))
	}
	r.OpenTasks, r.OpenTimers, r.OpenSignals = uint32(len(s.Tasks)), uint32(len(s.Timers)), uint32(len(s.Signals))
	r.OpenChildren, r.OpenUpdates = uint32(len(s.Children)), uint32(len(s.Updates))
}

func (s *State) command(id string, event uint64) {
	if id != "" {
		s.commands = append(s.commands, record.CommandRow{CommandID: id, Event: event})
	}
}

// operated folds what an operator did to an open run.
func (s *State) operated(b *record.OperatorActed, event uint64) {
	switch b.Verb {
	case record.VerbPause:
		s.Run.Paused = true
	case record.VerbResume:
		s.Run.Paused = false
	case record.VerbRetry:
		if t := s.Task(b.Task); t != nil && b.NewKey {
			t.Key = event
		}
	}
	s.command(b.CommandID, event)
}

// rewind makes the run what it was, and open.
func (s *State) rewind(b *record.RunRewound) {
	r, o := &s.Run, &b.Open
	r.Status, r.ClosedAt, r.CloseEvent, r.CloseChunk, r.DropAt = record.StatusRunning, 0, 0, 0, 0
	r.CancelAsked, r.Paused, r.Rewound = o.CancelAsked, false, true
	s.Tasks, s.Timers, s.Signals = slices.Clone(o.Tasks), slices.Clone(o.Timers), slices.Clone(o.Signals)
	s.Children, s.Updates, s.Attributes = slices.Clone(o.Children), slices.Clone(o.Updates), o.Attributes
	s.Attempts = slices.DeleteFunc(s.Attempts, func(a record.AttemptRow) bool { return s.Task(a.Task) == nil })
	s.Stuck = nil
}

func (s *State) closeTask(no uint64) {
	s.Tasks = remove(s.Tasks, no, taskNo)
	s.DeleteAttempt(no)
}

// setAttributes changes some of the attributes; a nil value removes one.
func (s *State) setAttributes(as []record.Attribute) {
	now := make([]record.Attribute, 0, len(s.Attributes)+len(as))
	for _, old := range s.Attributes {
		if !slices.ContainsFunc(as, func(a record.Attribute) bool { return a.Name == old.Name }) {
			now = append(now, old)
		}
	}
	for _, a := range as {
		if a.Value != nil {
			now = append(now, a)
		}
	}
	slices.SortFunc(now, func(a, b record.Attribute) int { return cmp.Compare(a.Name, b.Name) })
	s.Attributes = now
}

// closeRun ends the run: what was open in it is nobody's business any more.
func (s *State) closeRun(status record.Status, e record.HistoryEvent, chunk uint32, drop record.Millis) {
	s.Run.Status, s.Run.ClosedAt, s.Run.CloseEvent, s.Run.CloseChunk, s.Run.DropAt = status, e.At, e.No, chunk, drop
	s.Run.Paused = false
	s.Tasks, s.Timers, s.Signals, s.Attempts, s.Inbox, s.Stuck = s.Tasks[:0], s.Timers[:0], s.Signals[:0], nil, nil, nil
	s.Children, s.Updates = nil, nil
}

// SetAttempt overwrites the attempts of an open task. It is ignored for a task
// that is not open: compaction may show a row whose tombstone is still to come.
func (s *State) SetAttempt(a record.AttemptRow) {
	if s.Task(a.Task) == nil {
		return
	}
	i, found := slices.BinarySearchFunc(s.Attempts, a.Task, func(x record.AttemptRow, no uint64) int { return cmp.Compare(x.Task, no) })
	if found {
		s.Attempts[i] = a
		return
	}
	s.Attempts = slices.Insert(s.Attempts, i, a)
}

// DeleteAttempt forgets the attempts of a task.
func (s *State) DeleteAttempt(task uint64) {
	s.Attempts = remove(s.Attempts, task, attemptNo)
}

// SetStuck says why the run does not go on; nil says that it does.
func (s *State) SetStuck(row *record.StuckRow) {
	if s.Run.Status == record.StatusRunning {
		s.Stuck = row
	}
}

// AddInbox lets an input wait outside the history (T4). A row that is there
// already is overwritten.
func (s *State) AddInbox(row record.InboxRow) {
	if s.Run.Status != record.StatusRunning {
		return
	}
	i, found := slices.BinarySearchFunc(s.Inbox, row.No, func(x record.InboxRow, no uint64) int { return cmp.Compare(x.No, no) })
	if found {
		s.Inbox[i] = row
		s.reused = append(s.reused, row.No)
		return
	}
	s.Inbox = slices.Insert(s.Inbox, i, row)
}

// DeleteInbox takes an input out.
func (s *State) DeleteInbox(no uint64) {
	s.Inbox = remove(s.Inbox, no, inboxNo)
	s.reused = append(s.reused, no)
}

// SetSummary lets the run's summary stand for it. The chunks are dropped after it.
func (s *State) SetSummary(sum *record.SummaryRow) {
	s.Summary = sum
	if s.Run.Events == 0 { // compaction has taken the chunks
		s.Run, s.Gone, s.Attributes = sum.RunRow, true, sum.Attributes
	}
}

// Drop forgets everything that is derived from the run's chunks: chunk 1, the
// last one to go, has got its tombstone (F2). commands are the command IDs whose
// rows are there. A summary stays.
func (s *State) Drop(commands []record.CommandRow) {
	s.dropped = append(s.dropped, commands...)
	s.Gone = true
	s.Tasks, s.Timers, s.Signals, s.Attempts, s.Inbox, s.Stuck = nil, nil, nil, nil, nil, nil
	s.Children, s.Updates, s.Attributes = nil, nil, nil
	if s.Summary != nil {
		s.Run, s.Attributes = s.Summary.RunRow, s.Summary.Attributes
	}
}

// DropSummary forgets the summary: the workflow is unknown from then on (F4).
func (s *State) DropSummary() { s.Summary, s.Attributes = nil, nil }

// Task finds an open task; nil if it is not open.
func (s *State) Task(no uint64) *record.TaskRow { return find(s.Tasks, no, taskNo) }

// Timer finds an open timer; nil if it is not open.
func (s *State) Timer(no uint64) *record.TimerRow { return find(s.Timers, no, timerNo) }

// Attempt finds the failed attempts of an open task; nil if none has failed.
func (s *State) Attempt(task uint64) *record.AttemptRow { return find(s.Attempts, task, attemptNo) }

// OpenAttempt is the number of the attempt of an open task whose failure counts,
// from 1 (W1).
func (s *State) OpenAttempt(task uint64) uint32 {
	if a := s.Attempt(task); a != nil {
		return a.Open
	}
	return 1
}

func taskNo(t *record.TaskRow) uint64       { return t.No }
func timerNo(t *record.TimerRow) uint64     { return t.No }
func signalNo(t *record.SignalRow) uint64   { return t.No }
func attemptNo(t *record.AttemptRow) uint64 { return t.Task }
func childNo(t *record.ChildRow) uint64     { return t.No }
func updateNo(t *record.UpdateRow) uint64   { return t.No }
func inboxNo(t *record.InboxRow) uint64     { return t.No }

func find[T any](rows []T, no uint64, key func(*T) uint64) *T {
	lo, hi := 0, len(rows)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch k := key(&rows[mid]); {
		case k == no:
			return &rows[mid]
		case k < no:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return nil
}

func remove[T any](rows []T, no uint64, key func(*T) uint64) []T {
	for i := range rows {
		if key(&rows[i]) == no {
			return slices.Delete(rows, i, i+1)
		}
	}
	return rows
}
