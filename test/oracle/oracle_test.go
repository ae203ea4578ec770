package oracle

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/statestore"
	"github.com/odradek/odradek/workflows/billing/apis"
)

const january, february = "2026-01-31T23:00:00Z", "2026-02-28T23:00:00Z"

// month is a customer's month at all services, as it should be.
func month(customer, month string) (out []apis.Entry) {
	for _, s := range apis.Services() {
		out = append(out, apis.Entry{Service: s, Outcome: apis.Effect, Key: customer + s + month, Customer: customer, Month: month})
	}
	return out
}

func TestLedgers(t *testing.T) {
	t.Parallel()
	right := append(month("ada", january), month("bela", january)...)
	first := right[0]
	again := func(outcome apis.Outcome, key string) []apis.Entry {
		e := first
		e.Outcome, e.Key = outcome, key
		return append(append([]apis.Entry{}, right...), e)
	}
	for name, c := range map[string]struct {
		entries          []apis.Entry
		missing, doubled int
	}{
		"right":                          {right, 0, 0},
		"repeats and refusals":           {append(again(apis.Repeat, first.Key), again(apis.Refused, first.Key)[len(right)]), 0, 0},
		"an effect is missing":           {right[1:], 1, 0},
		"only refused":                   {append(again(apis.Refused, first.Key)[len(right):], right[1:]...), 1, 0},
		"two effects, two keys":          {again(apis.Effect, "other"), 0, 2},
		"one effect, two keys":           {again(apis.Refused, "other"), 0, 1},
		"a month too many":               {append(append([]apis.Entry{}, right...), month("ada", february)...), 0, 4},
		"one who was not accepted":       {append(append([]apis.Entry{}, right...), month("chidi", january)...), 0, 0},
		"one who was not accepted twice": {append(append([]apis.Entry{}, right...), month("chidi", january)[0], month("chidi", january)[0]), 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for _, e := range c.entries {
				line, err := json.Marshal(e)
				if err != nil {
					t.Fatal(err)
				}
				f, err := os.OpenFile(apis.LedgerPath(dir, e.Service), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(f, "%s\n", line)
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
			}
			l, err := ReadLedgers(dir)
			if err != nil {
				t.Fatal(err)
			}
			var v Verdict
			l.Judge(&v, map[string]int{"ada": 1, "bela": 1})
			if v.Missing != c.missing || v.Doubled != c.doubled || v.OK() != (c.missing+c.doubled == 0) {
				t.Errorf("%d missing, %d doubled, want %d and %d: %q", v.Missing, v.Doubled, c.missing, c.doubled, v.Problems)
			}
		})
	}
}

var runA, runB = record.RunID{1}, record.RunID{2}

// log makes a changelog of one partition: a chunk for each list of events.
type log []Record

func (l *log) chunk(workflowID string, run record.RunID, no uint32, first uint64, bodies ...record.HistoryBody) {
	var events []record.HistoryEvent
	for i, b := range bodies {
		events = append(events, record.HistoryEvent{No: first + uint64(i), At: 1000, Body: b})
	}
	*l = append(*l, Record{Offset: int64(len(*l)), Key: codec.AppendChunkKey(nil, workflowID, run, no), Value: codec.AppendChunk(nil, events)})
}

var (
	started   = &record.RunStarted{Type: "t", Version: 1}
	scheduled = &record.TaskScheduled{Service: "s", Operation: "do"}
	completed = &record.RunCompleted{}
)

func done(task uint64) record.HistoryBody { return &record.HistoryTaskCompleted{Task: task} }

// life is a run as it should be.
func life(workflowID string, run record.RunID) (l log) {
	l.chunk(workflowID, run, 1, 1, started, scheduled)
	l.chunk(workflowID, run, 2, 3, done(2), completed)
	return l
}

func TestHistories(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		log                      func() log
		missing, doubled, broken int
	}{
		"right":       {func() log { return life("w", runA) }, 0, 0, 0},
		"no run":      {func() log { return nil }, 1, 0, 0},
		"not closed":  {func() log { return life("w", runA)[:1] }, 1, 0, 0},
		"two runs":    {func() log { return append(life("w", runA), life("w", runB)...) }, 0, 1, 0},
		"chunk twice": {func() log { l := life("w", runA); return append(l, l[1]) }, 0, 1, 0},
		"a gap": {func() (l log) {
			l.chunk("w", runA, 1, 1, started, scheduled)
			l.chunk("w", runA, 2, 4, done(2), completed)
			return l
		}, 0, 0, 1},
		"a chunk is missing": {func() (l log) {
			l.chunk("w", runA, 1, 1, started, scheduled)
			l.chunk("w", runA, 3, 3, done(2), completed)
			return l
		}, 0, 0, 1},
		"task closed twice": {func() (l log) {
			l.chunk("w", runA, 1, 1, started, scheduled)
			l.chunk("w", runA, 2, 3, done(2), done(2), completed)
			return l
		}, 0, 1, 1},
		"goes on after its end": {func() (l log) {
			l = life("w", runA)
			l.chunk("w", runA, 3, 5, scheduled)
			return l
		}, 0, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var v Verdict
			h := NewHistories()
			for _, r := range c.log() {
				if err := h.Add(&v, r); err != nil {
					t.Fatal(err)
				}
			}
			h.Judge(&v, map[string]int{"w": 1})
			if v.Missing != c.missing || v.Doubled != c.doubled || v.Broken != c.broken {
				t.Errorf("%d missing, %d doubled, %d broken, want %d, %d, %d: %q", v.Missing, v.Doubled, v.Broken, c.missing, c.doubled, c.broken, v.Problems)
			}
		})
	}
}

// TestStores: a store is the fold of a prefix, or it is told.
func TestStores(t *testing.T) {
	t.Parallel()
	all := life("w", runA)
	for name, c := range map[string]struct {
		folded log   // what the store has
		end    int64 // what its Checkpoint says
		log    log   // what the changelog has
		broken string
	}{
		"all of it":              {all, 2, all, ""},
		"a prefix":               {all[:1], 1, all, "the newest store"},
		"ahead of its rows":      {all[:1], 2, all, "is not the fold"},
		"behind its rows":        {all, 1, all, "is not the fold"},
		"rows of somebody else":  {life("other", runB), 2, all, "is not the fold"},
		"a log that cannot fold": {all, 2, all[1:], "cannot be folded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			st, err := statestore.Open(statestore.Config{Dir: dir + "/0", Cluster: "c"})
			if err != nil {
				t.Fatal(err)
			}
			f := st.Folder()
			for _, r := range c.folded {
				if err := f.Fold(r.Key, r.Value); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.Commit(record.Checkpoint{Changelog: record.Position{Offset: c.end}}); err != nil {
				t.Fatal(err)
			}
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
			var v Verdict
			n, err := Stores{Dirs: []string{dir, t.TempDir()}, Cluster: "c", Scratch: t.TempDir()}.Judge(&v, 0, c.log)
			if err != nil || n != 1 {
				t.Fatal(n, err)
			}
			if got := strings.Join(v.Problems, "; "); (v.Broken > 0) != (c.broken != "") || !strings.Contains(got, c.broken) {
				t.Errorf("%d broken: %s, want %q", v.Broken, got, c.broken)
			}
		})
	}
}
