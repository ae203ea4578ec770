package statestore

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/record"
)

// model is a partition without author code: it draws what runs do, folds it with
// the machine, and writes rows as the step does.
type model struct {
	enc    codec.RowEncoder
	states map[string]*machine.State
	now    record.Millis
	offset int64
	log    []record.Row // the changelog
	ends   []int        // of each batch in log
}

func newModel() *model { return &model{states: map[string]*machine.State{}, now: 1_700_000_000_000} }

// batch draws a batch and gives its rows and Checkpoint. Those that travel, and
// the positions, are on the model's changelog then.
func (m *model) batch(t *rapid.T, view *Store) ([]record.Row, record.Checkpoint) {
	m.now += record.Millis(rapid.IntRange(0, 5).Draw(t, "ms"))
	m.enc.Reset()
	ids := []string{"a", "ab", "b", "order/1"}
	for range rapid.IntRange(1, 4).Draw(t, "runs") {
		id := rapid.SampledFrom(ids).Draw(t, "workflow")
		if rapid.IntRange(0, 4).Draw(t, "cold") == 0 && !m.inBatch(id) {
			s, err := view.Load(id)
			if err != nil {
				t.Fatal(err)
			}
			m.states[id] = s
		}
		m.run(t, view, id)
	}
	if rapid.IntRange(0, 9).Draw(t, "dead letter") == 0 {
		m.enc.PutDeadLetter(&record.DeadLetterRow{Origin: record.Origin{Topic: record.TopicEvents, Offset: m.offset % 7}, Code: "c", At: m.now, Raw: record.Raw{Value: []byte("v")}})
	}
	if rapid.IntRange(0, 9).Draw(t, "no dead letter") == 0 {
		m.enc.DeleteDeadLetter(record.Origin{Topic: record.TopicEvents, Offset: m.offset % 5})
	}
	if rapid.IntRange(0, 9).Draw(t, "ownership") == 0 {
		m.enc.PutOwnership(&record.OwnershipRow{Version: uint64(m.offset)})
	}
	m.offset++
	cp := m.checkpoint()
	m.enc.PutPositions(cp.Inputs)
	for _, r := range m.enc.Rows {
		if r.Travels {
			m.log = append(m.log, r)
		}
	}
	m.ends = append(m.ends, len(m.log))
	cp.Changelog.Offset = int64(len(m.log))
	return m.enc.Rows, cp
}

func (m *model) checkpoint() record.Checkpoint {
	return record.Checkpoint{Inputs: record.Positions{Commands: record.Position{Offset: m.offset, LeaderEpoch: 1}, Now: m.now}, At: m.now}
}

// inBatch: a run that the batch has changed is not reloaded (P8).
func (m *model) inBatch(id string) bool {
	for _, r := range m.enc.Rows {
		if k, err := codec.DecodeKey(r.Key); err == nil && k.WorkflowID == id {
			return true
		}
	}
	return false
}

// run is what one batch does to one run.
func (m *model) run(t *rapid.T, view *Store, id string) {
	s := m.states[id]
	var chunk []record.HistoryEvent
	var no uint32
	apply := func(body record.HistoryBody) {
		e := record.HistoryEvent{No: s.Run.Events + 1, At: m.now, Body: body}
		if no == 0 {
			no = s.Run.Chunks + 1
		}
		chunk = append(chunk, e)
		machine.Apply(s, e, no)
	}
	if s == nil || s.Gone && s.Summary == nil {
		s = machine.NewState(id, record.DeriveRunID(id, record.Origin{Offset: m.offset}, m.now))
		m.states[id] = s
		apply(&record.RunStarted{Type: rapid.SampledFrom([]string{"t", "tt", "u"}).Draw(t, "type"), Input: []byte("{}"), CommandID: maybe(t, "start")})
	}
	for range rapid.IntRange(1, 6).Draw(t, "steps") {
		switch {
		case s.Gone:
			m.enc.DeleteSummary(s.Summary)
			s.DropSummary()
			s.Flush(&m.enc)
			return
		case s.Run.Status.Closed() && len(chunk) == 0:
			m.drop(t, view, s)
			return
		case s.Run.Status.Closed():
		default:
			m.step(t, s, apply)
		}
	}
	if len(chunk) > 0 {
		m.enc.PutChunk(&s.Run, no, chunk)
	}
	s.Flush(&m.enc)
}

func maybe(t *rapid.T, id string) string {
	if rapid.Bool().Draw(t, "command?") {
		return id
	}
	return ""
}

func (m *model) step(t *rapid.T, s *machine.State, apply func(record.HistoryBody)) {
	pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") }
	switch rapid.IntRange(0, 12).Draw(t, "step") {
	case 0:
		apply(&record.SignalReceived{Name: "s", Payload: []byte("1"), CommandID: maybe(t, fmt.Sprintf("c%d", s.Run.Events))})
	case 1, 2:
		apply(&record.TaskScheduled{Service: "x", Operation: "y", Input: []byte("in"), Policy: record.RetryPolicy{MaxAttempts: uint32(pick(2))}})
	case 3:
		apply(&record.TimerStarted{Due: m.now + record.Millis(pick(100)) - 50})
	case 4:
		if n := len(s.Tasks); n > 0 {
			apply(&record.HistoryTaskCompleted{Task: s.Tasks[pick(n)].No, Result: []byte("r")})
		}
	case 5:
		if n := len(s.Timers); n > 0 {
			apply(&record.TimerFired{Timer: s.Timers[pick(n)].No})
		}
	case 6:
		if n := len(s.Signals); n > 0 {
			apply(&record.SignalConsumed{Signal: s.Signals[pick(n)].No})
		}
	case 7, 8:
		if n := len(s.Tasks); n > 0 {
			task := s.Tasks[pick(n)].No
			row := record.AttemptRow{Task: task, Open: s.OpenAttempt(task) + 1, NextAt: m.now + 5, Last: []record.Attempt{{No: 1, At: m.now, Failure: record.Failure{Kind: "http", Problem: []byte("{}")}}}}
			if a := s.Attempt(task); a != nil && a.NextAt > 0 {
				row = *a
				row.NextAt = 0
			}
			s.SetAttempt(row)
		}
	case 9:
		if s.Stuck == nil {
			s.SetStuck(&record.StuckRow{Code: "panic", Since: m.now, RetryAt: m.now + record.Millis(pick(3))})
		} else {
			s.SetStuck(nil)
		}
	case 10:
		row := record.InboxRow{No: 1, Signal: &record.Signal{Name: "s", Payload: fmt.Append(nil, m.offset, s.Run.Events)}}
		if n := len(s.Inbox); n > 0 {
			row.No = s.Inbox[n-1].No + 1
		}
		s.AddInbox(row)
	case 11:
		if len(s.Inbox) > 0 {
			s.DeleteInbox(s.Inbox[0].No)
		}
	case 12:
		if pick(2) == 0 {
			apply(&record.RunCompleted{Result: []byte("ok"), Retain: time.Second})
		} else {
			apply(&record.RunFailed{Failure: record.Failure{Kind: "application"}, Retain: time.Second})
		}
	}
}

// drop gives a closed run's chunks their tombstones, as the step does (F2, F4).
func (m *model) drop(t *rapid.T, view *Store, s *machine.State) {
	s.Flush(&m.enc) // nothing is left over from before
	if m.inBatch(s.Run.WorkflowID) {
		return // the view does not have its commands yet
	}
	commands, err := view.Commands(s.Run.WorkflowID, s.Run.Run)
	if err != nil {
		t.Fatal(err)
	}
	if rapid.IntRange(0, 3).Draw(t, "summary") > 0 {
		sum := &record.SummaryRow{RunRow: s.Run, ExpireAt: m.now + 50, Result: []byte("ok"), Input: 7}
		for _, c := range commands {
			sum.CommandIDs = append(sum.CommandIDs, c.CommandID)
		}
		m.enc.PutSummary(sum)
		s.SetSummary(sum)
	}
	run := s.Run
	for no := run.Chunks; no >= 1; no-- {
		m.enc.DeleteChunk(&run, no)
	}
	s.Drop(commands)
	s.Flush(&m.enc)
}

// compacted is what the changelog's cleaner may leave of its first n records: the
// last of each key, with or without tombstones that are old enough.
func (m *model) compacted(n int, tombstones bool) []record.Row {
	last := map[string]int{}
	for i, r := range m.log[:n] {
		last[string(r.Key)] = i
	}
	var out []record.Row
	for _, i := range slices.Sorted(maps.Values(last)) {
		if tombstones || m.log[i].Value != nil {
			out = append(out, m.log[i])
		}
	}
	return append(out, m.log[n:]...)
}

func open(t interface{ Fatal(...any) }, cfg Config) *Store {
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func memConfig() Config {
	return Config{Dir: "store", Cluster: "k/c", Partition: 3, FS: vfs.NewMem(), CacheBytes: 1 << 20, MemTableBytes: 256 << 10}
}

func dump(t interface{ Fatal(...any) }, s *Store) string {
	var b bytes.Buffer
	if err := s.Dump(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// pass is what time does to a store: what waits is written, and flushed.
func pass(t *rapid.T, s *Store) {
	n := rapid.IntRange(0, 5).Draw(t, "written, and how often flushed")
	if n == 0 {
		return
	}
	if err := s.write(); err != nil {
		t.Fatal(err)
	}
	for range n - 1 {
		if err := s.db.Flush(); err != nil {
			t.Fatal(err)
		}
	}
}

// explain names the rows of two dumps that differ.
func explain(live, other string) string {
	rows := map[string]int{}
	for line := range bytes.Lines([]byte(live)) {
		rows[string(line)]--
	}
	for line := range bytes.Lines([]byte(other)) {
		rows[string(line)]++
	}
	var out bytes.Buffer
	for _, line := range slices.Sorted(maps.Keys(rows)) {
		if rows[line] != 0 {
			var key, value []byte
			_, _ = fmt.Sscanf(line, "%x %x", &key, &value)
			k, _ := codec.DecodeKey(key)
			fmt.Fprintf(&out, "%+d  %+v  %q\n", rows[line], k, value)
		}
	}
	return out.String()
}

// TestAFoldedStoreEqualsTheLiveOne: D3, F1. The same batches reach one store by
// Apply, and others by a Folder that sees the rows that travel alone: cut into
// commits anywhere, with a new Folder or a reopened store between, with no state
// at hand, and after the changelog was compacted anywhere.
func TestAFoldedStoreEqualsTheLiveOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		live := open(t, memConfig())
		defer live.Close()
		for range rapid.IntRange(1, 25).Draw(t, "batches") {
			rows, cp := m.batch(t, live)
			if err := live.Apply(slices.Clone(rows), cp); err != nil {
				t.Fatal(err)
			}
			pass(t, live)
		}
		want := dump(t, live)

		cfg := memConfig()
		s := open(t, cfg)
		defer func() { s.Close() }()
		log := m.log
		if rapid.Bool().Draw(t, "compacted") {
			log = m.compacted(rapid.SampledFrom(m.ends).Draw(t, "at"), rapid.Bool().Draw(t, "tombstones"))
		}
		f := s.Folder()
		for i, r := range log {
			if err := f.Fold(r.Key, r.Value); err != nil {
				t.Fatal(err)
			}
			if i == len(log)-1 || rapid.IntRange(0, 4).Draw(t, "commit") == 0 {
				cp := record.Checkpoint{Inputs: f.Position(), Changelog: record.Position{Offset: int64(i + 1)}}
				if err := f.Commit(cp); err != nil {
					t.Fatal(err)
				}
				switch rapid.IntRange(0, 5).Draw(t, "after") {
				case 0:
					f = s.Folder()
				case 1:
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					s = open(t, cfg)
					f = s.Folder()
				case 2:
					f.statesMax = 0
				}
			}
		}
		if f.Position() != m.checkpoint().Inputs {
			t.Fatalf("the fold ends at %+v, the changelog at %+v", f.Position(), m.checkpoint().Inputs)
		}
		if got := dump(t, s); got != want {
			t.Fatalf("rows differ (-live +folded):\n%s", explain(want, got))
		}
	})
}

// TestLoadGivesTheStateThatWasFlushed: what a cold run is loaded as is what the
// live one is; a Flush of it writes nothing.
func TestLoadGivesTheStateThatWasFlushed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		live := open(t, memConfig())
		defer live.Close()
		for range rapid.IntRange(1, 12).Draw(t, "batches") {
			rows, cp := m.batch(t, live)
			if err := live.Apply(slices.Clone(rows), cp); err != nil {
				t.Fatal(err)
			}
			pass(t, live)
		}
		for id, s := range m.states {
			got, err := live.Describe(id)
			if err != nil {
				t.Fatal(err)
			}
			if s == nil || s.Gone && s.Summary == nil {
				if got != nil {
					t.Fatalf("%s is unknown, but loaded as %+v", id, got)
				}
				continue
			}
			if got == nil {
				t.Fatalf("%s is not there", id)
			}
			if want, have := show(s), show(got); want != have {
				t.Fatalf("%s:\n live %s\nstore %s", id, want, have)
			}
			var enc codec.RowEncoder
			if got.Flush(&enc); len(enc.Rows) > 0 {
				t.Fatalf("%s: a loaded state has %d rows to flush", id, len(enc.Rows))
			}
		}
	})
}

// show prints what of a state is stored.
func show(s *machine.State) string {
	var enc codec.RowEncoder
	fresh := machine.State{Run: s.Run, Tasks: s.Tasks, Timers: s.Timers, Signals: s.Signals, Attempts: s.Attempts, Stuck: s.Stuck, Inbox: s.Inbox, Summary: s.Summary, Gone: s.Gone}
	fresh.Flush(&enc)
	if s.Summary != nil {
		enc.PutSummary(s.Summary)
	}
	out := fmt.Sprintf("gone %v", s.Gone)
	for _, r := range enc.Rows {
		out += fmt.Sprintf("\n%x %x", r.Key, r.Value)
	}
	return out
}
