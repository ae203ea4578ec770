package machine

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/odradek/odradek/record"
)

// flushed is what the rows say: the state at the last Flush.
type flushed struct {
	exists     bool // the run row is there
	listed     bool // its entry in the listing is there
	run        record.RunRow
	tasks      []record.TaskRow
	timers     []record.TimerRow
	signals    []record.SignalRow
	children   []record.ChildRow
	updates    []record.UpdateRow
	attempts   []record.AttemptRow
	attributes []record.Attribute
	stuck      *record.StuckRow
	inbox      []uint64
	dues       []record.Due
}

// Flush writes the rows that differ from what was written last, and remembers
// them. Chunks and summaries are written by who makes them. Two Flushes give the
// same rows as one at the end (M3).
func (s *State) Flush(w RowWriter) {
	f := &s.flushed
	r := &s.Run
	s.flushRun(w)
	for _, c := range s.commands {
		w.PutCommand(r, &c)
	}
	s.commands = s.commands[:0]
	diff(f.tasks, s.Tasks, taskNo, same[record.TaskRow], func(t *record.TaskRow) { w.PutTask(r, t) }, func(no uint64) { w.DeleteTask(r, no) })
	diff(f.timers, s.Timers, timerNo, same[record.TimerRow], func(t *record.TimerRow) { w.PutTimer(r, t) }, func(no uint64) { w.DeleteTimer(r, no) })
	diff(f.signals, s.Signals, signalNo, same[record.SignalRow], func(t *record.SignalRow) { w.PutSignal(r, t) }, func(no uint64) { w.DeleteSignal(r, no) })
	diff(f.children, s.Children, childNo, same[record.ChildRow], func(c *record.ChildRow) { w.PutChild(r, c) }, func(no uint64) { w.DeleteChild(r, no) })
	diff(f.updates, s.Updates, updateNo, same[record.UpdateRow], func(u *record.UpdateRow) { w.PutUpdate(r, u) }, func(no uint64) { w.DeleteUpdate(r, no) })
	diff(f.attempts, s.Attempts, attemptNo, sameAttempt, func(a *record.AttemptRow) { w.PutAttempt(r, a) }, func(no uint64) { w.DeleteAttempt(r, no) })
	s.flushStuck(w)
	s.flushInbox(w)
	s.flushDues(w)

	f.tasks = append(f.tasks[:0], s.Tasks...)
	f.timers = append(f.timers[:0], s.Timers...)
	f.signals = append(f.signals[:0], s.Signals...)
	f.children = append(f.children[:0], s.Children...)
	f.updates = append(f.updates[:0], s.Updates...)
	f.attempts = append(f.attempts[:0], s.Attempts...)
}

// flushRun writes the run row and its entry in the listing. A summary keeps the
// listing when the run row goes.
func (s *State) flushRun(w RowWriter) {
	f, r := &s.flushed, &s.Run
	exists := r.Events > 0 && !s.Gone
	listed := exists || s.Summary != nil
	s.flushAttributes(w, exists)
	switch {
	case exists && (!f.exists || f.run != *r):
		w.PutRun(r)
	case !exists && f.exists:
		w.DeleteRun(&f.run)
		for i := range s.dropped {
			w.DeleteCommand(&f.run, s.dropped[i].CommandID)
		}
		s.dropped = nil
	}
	if f.listed && (!listed || f.run.Status != r.Status) {
		w.DeleteListing(&f.run)
	}
	if listed && (!f.listed || f.run.Status != r.Status) {
		w.PutListing(r)
	}
	f.exists, f.listed, f.run = exists, listed, *r
}

// flushAttributes writes the run's attributes, and the entries of the index that find it
// by them. A summary keeps the entries when the run row goes.
func (s *State) flushAttributes(w RowWriter, exists bool) {
	f := &s.flushed
	if len(f.attributes) == 0 && len(s.Attributes) == 0 {
		return
	}
	same := len(f.attributes) == len(s.Attributes)
	for i := range f.attributes {
		if a := &f.attributes[i]; !has(s.Attributes, a) {
			w.DeleteIndex(&s.Run, a)
			same = false
		}
	}
	for i := range s.Attributes {
		if a := &s.Attributes[i]; !has(f.attributes, a) {
			w.PutIndex(&s.Run, a)
			same = false
		}
	}
	switch was := f.exists && len(f.attributes) > 0; {
	case exists && len(s.Attributes) > 0 && !(was && same):
		w.PutAttributes(&s.Run, s.Attributes)
	case was && (!exists || len(s.Attributes) == 0):
		w.DeleteAttributes(&s.Run)
	}
	f.attributes = s.Attributes
}

func has(as []record.Attribute, a *record.Attribute) bool {
	return slices.ContainsFunc(as, func(b record.Attribute) bool {
		return a.Name == b.Name && a.Type == b.Type && bytes.Equal(a.Value, b.Value)
	})
}

func (s *State) flushStuck(w RowWriter) {
	f := &s.flushed
	switch {
	case s.Stuck == nil && f.stuck != nil:
		w.DeleteStuck(&s.Run)
		f.stuck = nil
	case s.Stuck != nil && (f.stuck == nil || *f.stuck != *s.Stuck):
		w.PutStuck(&s.Run, s.Stuck)
		row := *s.Stuck
		f.stuck = &row
	}
}

// flushInbox: an input that waits does not change, but its number may be another
// input's by now, because an empty inbox begins with 1 again.
func (s *State) flushInbox(w RowWriter) {
	f := &s.flushed
	defer func() { s.reused = s.reused[:0] }()
	if len(f.inbox) == 0 && len(s.Inbox) == 0 {
		return
	}
	old := f.inbox
	f.inbox = make([]uint64, 0, len(s.Inbox))
	for i := range s.Inbox {
		no := s.Inbox[i].No
		f.inbox = append(f.inbox, no)
		if _, was := slices.BinarySearch(old, no); !was || slices.Contains(s.reused, no) {
			w.PutInbox(&s.Run, &s.Inbox[i])
		}
	}
	for _, no := range old {
		if _, is := slices.BinarySearch(f.inbox, no); !is {
			w.DeleteInbox(&s.Run, no)
		}
	}
}

func (s *State) flushDues(w RowWriter) {
	f := &s.flushed
	now := s.dues(nil)
	if len(now) == 0 && len(f.dues) == 0 {
		return
	}
	i, j := 0, 0
	for i < len(f.dues) || j < len(now) {
		c := -1
		switch {
		case i == len(f.dues):
			c = 1
		case j < len(now):
			c = CompareDue(f.dues[i], now[j])
		}
		switch {
		case c < 0:
			w.DeleteDue(f.dues[i])
			i++
		case c > 0:
			w.PutDue(now[j])
			j++
		default:
			i, j = i+1, j+1
		}
	}
	f.dues = now
}

// dues are the entries that the due index has of this run, in order.
func (s *State) dues(dst []record.Due) []record.Due {
	due := func(at record.Millis, kind record.DueKind, no uint64) {
		dst = append(dst, record.Due{At: at, Kind: kind, WorkflowID: s.Run.WorkflowID, Run: s.Run.Run, No: no})
	}
	switch {
	case s.Gone && s.Summary != nil:
		due(s.Summary.ExpireAt, record.DueSummary, 0)
		return dst
	case s.Gone || s.Run.Events == 0:
		return dst
	case s.Run.Status.Closed():
		due(s.Run.DropAt, record.DueRetention, 0)
		return dst
	}
	for i := range s.Timers {
		due(s.Timers[i].Due, record.DueTimer, s.Timers[i].No)
	}
	for i := range s.Tasks {
		t := &s.Tasks[i]
		if t.Local() {
			due(record.Never, record.DueLocal, t.No)
		}
		if t.Limits.IsZero() {
			continue
		}
		if t.Limits.Total > 0 {
			due(t.ScheduledAt.Add(t.Limits.Total), record.DueTotal, t.No)
		}
		if at := s.attemptDue(t); at > 0 {
			due(at, record.DueAttempt, t.No)
		}
	}
	for i := range s.Attempts {
		if s.Attempts[i].NextAt > 0 {
			due(s.Attempts[i].NextAt, record.DueRetry, s.Attempts[i].Task)
		}
	}
	if s.Stuck != nil {
		due(s.Stuck.RetryAt, record.DueStuck, 0)
	}
	slices.SortFunc(dst, CompareDue)
	return dst
}

// CompareDue orders the due index: by time, then kind, workflow, run, number. The
// keys that codec makes have the same order.
func CompareDue(a, b record.Due) int {
	return cmp.Or(
		cmp.Compare(a.At, b.At),
		cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.WorkflowID, b.WorkflowID),
		slices.Compare(a.Run[:], b.Run[:]),
		cmp.Compare(a.No, b.No),
	)
}

func same[T comparable](a, b *T) bool { return *a == *b }

// sameAttempt: an attempts row changes only together with these.
func sameAttempt(a, b *record.AttemptRow) bool {
	return a.Open == b.Open && a.NextAt == b.NextAt && a.OutAt == b.OutAt && a.BeatAt == b.BeatAt && a.Pending == b.Pending && bytes.Equal(a.Details, b.Details)
}

// diff walks two lists that ascend by key.
func diff[T any](old, now []T, key func(*T) uint64, same func(a, b *T) bool, put func(*T), del func(uint64)) {
	i, j := 0, 0
	for i < len(old) || j < len(now) {
		switch {
		case j == len(now) || i < len(old) && key(&old[i]) < key(&now[j]):
			del(key(&old[i]))
			i++
		case i == len(old) || key(&now[j]) < key(&old[i]):
			put(&now[j])
			j++
		default:
			if !same(&old[i], &now[j]) {
				put(&now[j])
			}
			i, j = i+1, j+1
		}
	}
}
