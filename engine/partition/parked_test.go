//go:build !race

package partition

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/statestore"
)

// Bounds of what a parked run takes: in the cache; there while its code is kept too, for
// the first seconds of a wait; and beyond the cache. The state takes 1.7 KB. The frames of code
// that waits do not fit into a stack of 2 KB, so that it has the next one, of 4 KB, and what
// belongs to it takes 1 KB.
const (
	cachedBytesMax = 1900
	withCodeMax    = 7200
	coldBytesMax   = 200
)

// TestParkedRunsTakeLittleMemory is not parallel: it measures the process. The runs wait
// for a signal and a timer, in a store on the disk.
func TestParkedRunsTakeLittleMemory(t *testing.T) {
	const runs = 20_000
	for name, c := range map[string]struct {
		cache  int
		parked time.Duration
		most   int64
	}{
		"cached":     {runs, time.Minute, cachedBytesMax},
		"with code":  {runs, 0, withCodeMax},
		"not cached": {-1, 0, coldBytesMax},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, c.cache)
			h.p.Close()
			var err error
			if h.store, err = statestore.Open(statestore.Config{Dir: t.TempDir(), Cluster: "c", Partition: 0}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { h.store.Close() })
			h.open(t)
			park := func(from, to int) {
				for n := from; n < to; n += 500 {
					h.batch(t, func() {
						for i := n; i < n+500; i++ {
							h.step(t, fmt.Sprintf("start run-%d sum %d", i, i))
						}
					})
					h.changelog, h.internal = nil, nil
				}
			}
			park(0, runs)              // what is allocated once, and Pebble's memtables
			for range runs / restMax { // and what is left takes its time
				h.p.Rest(h.now.Add(c.parked))
				c.parked += restEvery
			}
			before := inUse(h.store)
			var got int64
			if c.cache > 0 {
				h.p.Close() // an empty cache is the difference
				got = (before - inUse(h.store)) / runs
			} else {
				const more = 5 * runs // what a burst keeps for a moment is not a run's
				park(runs, runs+more)
				got = (inUse(h.store) - before) / more
			}
			if got > c.most {
				t.Errorf("a run takes %d bytes, at most %d are allowed", got, c.most)
			}
			t.Logf("a run takes %d bytes", got)
			runtime.KeepAlive(h)
		})
	}
}

// TestCodeIsKeptAsLongAsItPays: the code of a run that waits is left after a time that grows
// with its history; the state stays, and the next input finds both.
func TestCodeIsKeptAsLongAsItPays(t *testing.T) {
	t.Parallel()
	h := newHarness(t, 10)
	h.batch(t, func() {
		h.step(t, "start short sum 1")
		h.step(t, "start long sum 1")
		for range 20 {
			h.step(t, "signal long more 1")
		}
	})
	hasCode := func(want ...string) {
		t.Helper()
		var got []string
		for id, e := range h.p.cache.byID {
			if e.live != nil {
				got = append(got, id)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) || h.p.cache.len() != 2 {
			t.Errorf("%v have code, not %v; %d are cached", got, want, h.p.cache.len())
		}
	}
	waits := func(d time.Duration) {
		h.now = h.now.Add(d)
		h.p.Rest(h.now)
	}
	waits(codeKeptMin - time.Millisecond)
	hasCode("long", "short")
	waits(restEvery)
	hasCode("long")
	waits(time.Duration(h.p.cache.byID["long"].state.Run.Events) * codeKeptPerEvent)
	hasCode()
	b := h.batch(t, func() {
		h.step(t, "signal short more 41")
		h.now = h.now.Add(time.Hour)
	})
	if b.Counts.Replays != 1 {
		t.Errorf("%d replays", b.Counts.Replays)
	}
	hasCode("short")
	b = h.batch(t, func() { h.due(t) })
	if len(b.Closed) != 2 || b.Counts.Replays != 1 { // short's code is there
		t.Errorf("%d runs closed, %d replays", len(b.Closed), b.Counts.Replays)
	}
}

// inUse is the memory that the process uses after collecting what it does not.
func inUse(s *statestore.Store) int64 {
	_, _, _ = s.Checkpoint() // what waits to be written does not count: a reader has it written
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// TestManyTimersAtOnce: 100,000 of them, none early, each once, in as many turns.
func TestManyTimersAtOnce(t *testing.T) {
	t.Parallel()
	const timers = 100_000
	h := newHarness(t, -1)
	for n := 0; n < timers; n += 1000 {
		h.batch(t, func() {
			for i := n; i < n+1000; i++ {
				h.step(t, fmt.Sprintf("start run-%d sum %d", i, i))
			}
		})
	}
	h.now = h.now.Add(time.Hour - time.Millisecond)
	h.batch(t, func() {
		if n, err := h.p.StepDue(timers); n != 0 || err != nil {
			t.Fatalf("%d timers are early, %v", n, err)
		}
	})
	h.now = h.now.Add(time.Millisecond)
	fired, closed := 0, 0
	for fired < timers {
		var n int
		b := h.batch(t, func() {
			var err error
			if n, err = h.p.StepDue(1000); err != nil {
				t.Fatal(err)
			}
		})
		if n == 0 {
			break
		}
		fired += n
		for _, c := range b.Closed {
			if c.Status != record.StatusCompleted {
				t.Fatalf("%s is %s", c.WorkflowID, c.Status)
			}
			closed++
		}
	}
	if fired != timers || closed != timers {
		t.Errorf("%d timers fired, %d runs completed", fired, closed)
	}
}

// TestALoopOfManyTurns: a loop that goes on for years keeps its history, and what the store
// has of it, within bounds. ODRADEK_TURNS plays more of them.
func TestALoopOfManyTurns(t *testing.T) {
	t.Parallel()
	turns := 20_000
	if n, err := strconv.Atoi(os.Getenv("ODRADEK_TURNS")); err == nil {
		turns = n
	}
	h := newHarness(t, 20_000)
	h.batch(t, func() { h.step(t, fmt.Sprintf("start clock loop %d", turns)) })
	events, rows := uint64(0), 0
	for n := range turns {
		h.now = h.now.Add(time.Hour)
		h.batch(t, func() { h.due(t) })
		h.changelog, h.internal = nil, nil
		if n%1000 == 999 {
			var dump bytes.Buffer
			if err := h.store.Dump(&dump); err != nil {
				t.Fatal(err)
			}
			rows = max(rows, bytes.Count(dump.Bytes(), []byte("\n")))
			s, err := h.store.Load("clock")
			if err != nil {
				t.Fatal(err)
			}
			events = max(events, s.Run.Events)
		}
	}
	s, err := h.store.Load("clock")
	if err != nil || s.Run.Status != record.StatusCompleted {
		t.Fatalf("the run is %v, %v", s, err)
	}
	t.Logf("%d turns: at most %d events in a run, %d rows in the store", turns, events, rows)
	if events > 6_000 || rows > 6_000 {
		t.Errorf("%d events in a run, %d rows in the store", events, rows)
	}
}
