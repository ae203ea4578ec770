package main

import (
	"encoding/json"
	"math"
	"os"
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
	r := newRawRecords("ns", chainLoad, 0, newPayloads().bytes)
	in := &r.command
	for turn := range chainLoad.steps + 1 {
		if got := turnOf(in.Headers) + 1; got != turn {
			t.Fatalf("turn %d counts as %d", turn, got)
		}
		events, err := codec.DecodeChunk(r.chunks[turn].Value)
		if err != nil || len(events) != 2 || events[0].No != uint64(2*turn+1) {
			t.Fatalf("chunk %d: %v, %v", turn, events, err)
		}
		if turn == chainLoad.steps {
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

// TestRawLocalTasks: local tasks have no records of their own; their answers come after the
// commit, and the workflow closes with the last.
func TestRawLocalTasks(t *testing.T) {
	t.Parallel()
	templates := newTemplates("ns", localLoad)
	inputs := []rawInput{{[]byte(workflowID(1)), 0}, {[]byte(workflowID(2)), 0}}
	topics := map[string]int{}
	for turns := 0; len(inputs) > 0; turns++ {
		for _, k := range batch(templates, inputs, 0) {
			topics[k.Topic]++
			if events, err := codec.DecodeChunk(k.Value); k.Topic == "ns.changelog" && err == nil && len(events) == 2 && turns < localLoad.steps {
				if d, ok := events[1].Body.(*record.LocalScheduled); !ok || len(d.Input) != payloadBytes {
					t.Errorf("turn %d decides %+v", turns, events[1].Body)
				}
			}
		}
		inputs = localLoad.answered(inputs)
	}
	if topics["ns.changelog"] != 2*4+4 || topics["ns.history"] != 2*2 || len(topics) != 2 {
		t.Errorf("%v", topics)
	}
}

func TestResult(t *testing.T) {
	t.Parallel()
	at := func(engine, raw, bytes float64) (point, point) {
		v := func(b float64) volume { return volume{"changelog": {Records: 4, Bytes: b}} }
		return point{loaded: loaded{P50: 3}, PerSecond: engine, Volume: v(bytes), CPU: map[string]float64{"broker": 0.1, "engine": 0.2}},
			point{loaded: loaded{P50: 2}, PerSecond: raw, Volume: v(1000), CPU: map[string]float64{"broker": 0.1}}
	}
	half, most := 0.5, 0.35
	goals := []goal{{Figure: "at.1000.ratio", Min: &half, About: "ratio"}, {Figure: "at.1000.cpu_s_per_1000", Max: &most, About: "CPU"}}
	for name, c := range map[string]struct {
		engine, bytes  float64
		valid, ok, met bool
	}{
		"fast":          {2100, 1010, true, true, true},
		"fast enough":   {1500, 1010, true, true, false},
		"slow":          {900, 1010, true, false, false},
		"less work":     {2100, 900, false, false, true},
		"more work too": {2100, 1100, false, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newResult(config{row: "chain-external", reps: 3})
			for _, key := range []string{"1", "1000"} {
				for i := range 3 { // the middle pair counts
					e, w := at(c.engine*float64(i+1)/2, 4000, c.bytes)
					r.add(key, e, w)
				}
			}
			r.finish()
			if err := r.judge(goals); err != nil {
				t.Fatal(err)
			}
			f := r.At["1000"]
			if r.Valid != c.valid || r.OK != c.ok || r.Met != c.met || f.PerSecond != c.engine || f.RawPerSecond != 4000 || f.Ratio != round(c.engine/4000, 3) || f.P50Ratio != 1.5 || r.CPU != 0.3 {
				t.Errorf("%+v, valid %v, ok %v, met %v", f, r.Valid, r.OK, r.Met)
			}
			if text := r.markdown(); strings.Contains(text, "INVALID") == c.valid || strings.Contains(text, "MISSED") == c.met {
				t.Errorf("the report:\n%s", text)
			}
		})
	}
}

// TestSpreadOverABoundIsUnresolved: a goal counts only where the noise lets it be seen.
func TestSpreadOverABoundIsUnresolved(t *testing.T) {
	t.Parallel()
	bound := 10.0
	for name, c := range map[string]struct {
		values []float64
		word   string
	}{
		"above":     {[]float64{11, 12, 13, 14, 15}, "met"},
		"one below": {[]float64{9, 12, 13, 14, 15}, "met"},
		"below":     {[]float64{5, 6, 7, 8, 9}, "MISSED"},
		"around":    {[]float64{8, 9, 10.5, 11, 12}, "unresolved"},
	} {
		r := newResult(config{})
		r.set("x", c.values...)
		if err := r.judge([]goal{{Figure: "figures.x", Min: &bound}}); err != nil {
			t.Fatal(err)
		}
		if r.goals[0].Word != c.word || r.Met != (c.word == "met") {
			t.Errorf("%s: %s", name, r.goals[0].Word)
		}
	}
	r := newResult(config{})
	if err := r.judge([]goal{{Figure: "figures.nothing", Min: &bound}}); err == nil {
		t.Error("a goal for a figure that is not there is met")
	}
}

// TestEveryRowHasGoals: goals.json names each row, and no other.
func TestEveryRowHasGoals(t *testing.T) {
	t.Parallel()
	for _, r := range rows() {
		if _, err := goalsOf("goals.json", r.name); err != nil {
			t.Error(err)
		}
	}
}

// TestCostPage: docs/cost.md shows what was measured last.
func TestCostPage(t *testing.T) {
	t.Parallel()
	var r struct {
		Began   time.Time
		Cores   int
		Figures map[string]float64
	}
	b, err := os.ReadFile("results/cost.json")
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/cost.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := costPage(string(page), r.Figures, r.Began, r.Cores)
	if err != nil {
		t.Fatal(err)
	}
	if want != string(page) {
		t.Error("docs/cost.md does not show bench/results/cost.json: run make cost")
	}
	for _, broken := range []string{"", costBegin} {
		if _, err := costPage(broken, r.Figures, r.Began, r.Cores); err == nil {
			t.Errorf("%q is a page", broken)
		}
	}
	if _, err := costPage(string(page), nil, r.Began, r.Cores); err == nil {
		t.Error("a result with nothing is a table")
	}
}

func TestParseMetrics(t *testing.T) {
	t.Parallel()
	got, err := parseMetrics(strings.NewReader("# HELP a b\n# TYPE a counter\na{x=\"1 2\"} 3\na{x=\"2\"} 4.5\nb 1e+06\n"))
	if err != nil || got["a"] != 7.5 || got["b"] != 1e6 || len(got) != 2 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := parseMetrics(strings.NewReader("a b\n")); err == nil {
		t.Error("a word is a value")
	}
}

// TestScalingPage: docs/scaling.md shows what the model makes of what was measured last.
func TestScalingPage(t *testing.T) {
	t.Parallel()
	u, err := readUnits("results")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/scaling.md")
	if err != nil {
		t.Fatal(err)
	}
	want, err := scalingPage(string(page), u)
	if err != nil {
		t.Fatal(err)
	}
	if want != string(page) {
		t.Error("docs/scaling.md does not show the model over bench/results: run make scaling")
	}
	if _, err := scalingPage(string(page), units{}); err == nil {
		t.Error("a model of nothing is a table")
	}
}

// TestModel: the arithmetic, with costs that are easy to follow.
func TestModel(t *testing.T) {
	t.Parallel()
	u := units{
		cost: map[string]float64{
			"chain_at_1_inputs": 4, "local_at_1_commit_ms": 10, "local_at_1_transactions": 4,
			"local_at_1_broker_cpu_us": 4100, "local_at_1000_broker_cpu_us": 100, "local_at_1_engine_cpu_us": 2100, "local_at_1000_engine_cpu_us": 100,
			"chain_at_1000_broker_cpu_us": 60, "chain_at_1000_engine_cpu_us": 100, "chain_at_1000_broker_bytes": 6000,
		},
		idle:     map[string]float64{"requests_per_s": 2, "broker_cpu_ms_per_s": 1, "engine_cpu_ms_per_s": 1, "memory_kb": 2000, "instance_memory_mb": 60},
		takeover: map[string]float64{"cold_mb_per_s": 50},
	}
	got := map[string]float64{}
	for _, q := range model(deployment{instances: 10, partitions: 100, brokers: 4, services: 2, workflows: 5000, parked: 1e11}, u) {
		got[q.about] = q.value
	}
	for about, want := range map[string]float64{
		"inputs per partition":                                         200, // 5000 x 4 / 100
		"inputs in a transaction":                                      2,   // in 10 ms
		"transactions":                                                 10_000,
		"transactions per broker, as coordinator":                      2500,
		"CPU of the brokers for transactions, before replication":      10, // 1 ms each
		"CPU of the brokers for records, before replication":           0.3,
		"CPU of one instance":                                          (5 + 0.5 + 0.1) / 10,
		"connections, all together":                                    100 * (3*(2+4) + 1 + 2 + 2),
		"memory of one instance, without cached runs":                  80,
		"an instance dies: partitions that move":                       10,
		"... with no copy of their state: time until the last is back": 10 + 2*1e9/50e6, // 10 partitions on 9 instances: two on one
	} {
		if math.Abs(got[about]-want) > 1e-9*want {
			t.Errorf("%s: %g, want %g", about, got[about], want)
		}
	}
}
