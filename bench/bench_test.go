package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

func TestCPUOfAProcessWithSpacesInItsName(t *testing.T) {
	t.Parallel()
	got, err := parseStat([]byte("42 (a b) c) S 1 42 42 0 -1 4194304 900 0 0 0 150 25 0 0 20 0 9 0 100 1 2\n"))
	if want := 1750 * time.Millisecond; err != nil || got != want {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	if _, err := parseStat([]byte("42 (a) S 1")); err == nil {
		t.Error("a cut line was read")
	}
}

func history(id, typ string) *kgo.Record {
	return &kgo.Record{Key: []byte(id), Headers: []kgo.RecordHeader{{Key: codec.HeaderCEType, Value: []byte("io.odradek." + typ + ".v1")}}}
}

// TestOracle: B3, whatever is wrong is told.
func TestOracle(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		add  []*kgo.Record // beyond workflow 0, which is as it must be
		says string        // "": nothing
	}{
		"all closed once":     {[]*kgo.Record{history(workflowID(1), "run_started"), history(workflowID(1), "run_completed")}, ""},
		"nothing of one":      {nil, "1 did not close"},
		"one is still open":   {[]*kgo.Record{history(workflowID(1), "run_started")}, "1 did not close"},
		"closed twice":        {[]*kgo.Record{history(workflowID(1), "run_started"), history(workflowID(1), "run_completed"), history(workflowID(1), "run_completed")}, "1 started or closed more than once"},
		"two runs":            {[]*kgo.Record{history(workflowID(1), "run_started"), history(workflowID(1), "run_started"), history(workflowID(1), "run_completed")}, "1 started or closed more than once"},
		"failed":              {[]*kgo.Record{history(workflowID(1), "run_started"), history(workflowID(1), "run_failed")}, "1 failed"},
		"one that nobody had": {[]*kgo.Record{history(workflowID(1), "run_started"), history(workflowID(1), "run_completed"), history(workflowID(7), "run_completed")}, "1 closed that nobody started"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tally := newTally(2)
			for _, k := range append([]*kgo.Record{history(workflowID(0), "run_started"), history(workflowID(0), "run_completed")}, c.add...) {
				tally.add(k)
			}
			err := tally.judge()
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("the oracle says %v", err)
			}
		})
	}
}

// TestRawRecordsAreTheEngines: B1. What the raw loop writes decodes as what an engine
// writes, and goes on as the engine would.
func TestRawRecordsAreTheEngines(t *testing.T) {
	t.Parallel()
	r := newRawRecords("ns", 0, newPayloads().bytes)
	in := &r.command
	for turn := range steps + 1 {
		if got := turnOf(in.Headers) + 1; got != turn {
			t.Fatalf("turn %d counts as %d", turn, got)
		}
		events, err := codec.DecodeChunk(r.chunks[turn].Value)
		if err != nil || len(events) != 2 || events[0].No != uint64(2*turn+1) {
			t.Fatalf("chunk %d: %v, %v", turn, events, err)
		}
		if turn == steps {
			break
		}
		var hs []record.Header
		for _, h := range r.tasks[turn].Headers {
			hs = append(hs, record.Header(h))
		}
		task, err := codec.DecodeTask(r.tasks[turn].Key, r.tasks[turn].Value, hs)
		if err != nil || task.ID.No != events[1].No || task.Operation != operation || len(task.Input) != payloadBytes {
			t.Fatalf("task %d: %+v, %v", turn, task, err)
		}
		in = &kgo.Record{Key: task.ID.Run[:], Headers: answer(r.tasks[turn].Headers)}
		want := codec.EncodeCompleted(workflowID(0), &record.TaskCompleted{Task: task.ID, Attempt: 1}).Headers
		if !slices.EqualFunc(in.Headers, want, func(a kgo.RecordHeader, b record.Header) bool {
			return a.Key == b.Key && string(a.Value) == string(b.Value)
		}) {
			t.Errorf("event %d has the headers %v, an engine's worker writes %v", turn, in.Headers, want)
		}
	}
	if isClosing(&r.started) || !isClosing(&r.closed) {
		t.Error("the start closes, or the close does not")
	}
}

func TestResult(t *testing.T) {
	t.Parallel()
	at := func(engine, raw, bytes float64) (point, point) {
		v := func(b float64) volume { return volume{"changelog": {Records: 4, Bytes: b}} }
		return point{PerSecond: engine, Volume: v(bytes), CPU: map[string]float64{"broker": 0.1, "engine": 0.2}},
			point{PerSecond: raw, Volume: v(1000), CPU: map[string]float64{"broker": 0.1}}
	}
	for name, c := range map[string]struct {
		engine, bytes float64
		valid, ok     bool
	}{
		"fast":          {2000, 1010, true, true},
		"slow":          {900, 1010, true, false},
		"less work":     {2000, 900, false, false},
		"more work too": {2000, 1100, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newResult(config{row: rowChainExternal, reps: 3})
			for _, level := range levels {
				for i := range 3 { // the middle pair counts
					e, w := at(c.engine*float64(i+1)/2, 4000, c.bytes)
					r.add(level, e, w)
				}
			}
			r.finish()
			f := r.At["1000"]
			if r.Valid != c.valid || r.OK != c.ok || f.PerSecond != c.engine || f.RawPerSecond != 4000 || f.Ratio != round(c.engine/4000, 3) || r.CPU != 0.3 {
				t.Errorf("%+v, valid %v, ok %v", f, r.Valid, r.OK)
			}
			if text := r.markdown(); strings.Contains(text, "INVALID") == c.valid || !strings.Contains(text, "MISSED") {
				t.Errorf("the report:\n%s", text)
			}
		})
	}
}
