package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/partition"
	"github.com/odradek/odradek/engine/processor"
	"github.com/odradek/odradek/httpapi"
	"github.com/odradek/odradek/internal/kafka"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/statestore"
)

// instance is a processor.Instance as telemetry sees it.
type instance struct {
	status processor.InstanceStatus
	stores map[int32]*statestore.Store
}

func (i *instance) Status() processor.InstanceStatus { return i.status }
func (i *instance) Store(p int32) (*statestore.Store, bool) {
	s, ok := i.stores[p]
	return s, ok
}

// errText must be in no scrape.
var errText = errors.New("text of an error")

// full is an engine that has heard of everything once, about partition 3.
func full(t *testing.T, log *slog.Logger) *Engine {
	t.Helper()
	e := NewEngine(log)
	e.Build("v1.2.3")
	l := e.Listener()
	run := record.RunID{0xab, 1}
	lost := processor.LaneError{Partition: 3, Err: fmt.Errorf("end: %w: %w", processor.ErrOutcomeUnknown, errText), Pause: time.Second}
	l.Rebalanced(processor.RebalanceInfo{Generation: 4, Assigned: []int32{3}, Lost: true})
	l.TakenOver(processor.TakeoverInfo{Partition: 3, Takeover: 1, Records: 70, End: 71, Took: 2 * time.Second, Init: time.Second, Restore: time.Second})
	l.Committed(&processor.CommitInfo{
		Partition: 3, Records: 17, Bytes: 18, AddRetries: 19, Took: 60 * time.Millisecond, Step: 10 * time.Millisecond,
		Add: 11 * time.Millisecond, Produce: 12 * time.Millisecond, End: 13 * time.Millisecond, Settle: 14 * time.Millisecond,
		Counts: partition.Counts{
			Inputs: 1, Turns: 2, Events: 3, Started: 4, Closed: 5, Stuck: 6, Tasks: 7, Retries: 8, Timers: 9, Forwarded: 10,
			DeadLetters: 11, Replays: 12, HashMismatches: 13, Ignored: map[string]int{"run_closed": 14}, Lost: map[string]int{"pay": 2}, RunsCached: 15,
		},
	})
	l.Fenced(processor.LaneError{Partition: 3, Err: processor.ErrFenced})
	l.Unknown(lost)
	l.Failed(processor.LaneError{Partition: 3, Err: errText})
	l.Undeliverable(processor.UndeliveredInfo{Partition: 3, Topic: record.TopicTasks, Service: "card", Code: "topic_missing", Detail: errText.Error()})
	l.Refused(processor.RefusedInfo{Partition: 3, Origin: record.Origin{Topic: record.TopicEvents, Offset: 9}, Run: run, Err: errText})
	l.Hung(processor.HungInfo{Partition: 3, Run: run, Condemned: true, Abandoned: 2})
	l.Incident(processor.LaneError{Partition: 3, Err: processor.ErrDataLoss})
	l.Rebuilt(processor.StoreInfo{Partition: 3, To: "3.bad", Err: errText})
	l.GaveBack(lost)
	l.Released(processor.ReleaseInfo{Partition: 5, Err: errText})
	l.Purged(processor.PurgeInfo{Topic: "shop.events", Partition: 3, Before: 8})
	l.Purged(processor.PurgeInfo{Topic: "shop.events", Partition: 3, Err: errText})
	l.Warning(processor.WarningInfo{What: "report", Err: errText})
	e.Request(httpapi.RequestInfo{Operation: "GET /v1/workflows/{id}", Status: 404, Code: "run_not_found", Elapsed: time.Second})

	e.Kafka(kafka.Request{Name: "produce", Written: 100, Read: 30})
	e.Kafka(kafka.Request{Name: "produce", Written: 50, Failed: true})

	store, err := statestore.Open(statestore.Config{Dir: "3", Cluster: "c", Partition: 3, FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	var rows codec.RowEncoder
	rows.PutType(&record.TypeRow{Type: "billing", Acts: []record.TypeAct{{Op: record.OperatePause}}})
	rows.PutType(&record.TypeRow{Type: "order", Acts: []record.TypeAct{{Op: record.OperatePause}, {Op: record.OperateResume}}})
	if err := store.Apply(rows.Rows, record.Checkpoint{}); err != nil {
		t.Fatal(err)
	}
	e.Watch(&instance{
		status: processor.InstanceStatus{
			Instance: "one", Generation: 4, Ready: true, Abandoned: 2,
			Lanes: []processor.LaneStatus{{Partition: 3, State: processor.StateRunning, Since: time.Now(), RestoreLeft: 6, LagCommands: 21, LagEvents: 22, LagInternal: 23, Inputs: map[record.Topic]processor.InputStatus{record.TopicEvents: {}}}},
		},
		stores: map[int32]*statestore.Store{3: store},
	})
	return e
}

func TestListenerIsComplete(t *testing.T) {
	t.Parallel()
	v := reflect.ValueOf(NewEngine(nil).Listener())
	for i := range v.NumField() {
		if v.Field(i).IsNil() {
			t.Errorf("nobody hears %s", v.Type().Field(i).Name)
		}
	}
}

func scrape(t *testing.T, reg registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	reg.handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("scrape: %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// described are the names of all metrics that a registry may show.
func described(reg registry) []string {
	ch := make(chan *prometheus.Desc)
	go func() {
		defer close(ch)
		reg.Describe(ch)
	}()
	var names []string
	for d := range ch {
		if m := regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String()); m != nil && strings.HasPrefix(m[1], "odradek") {
			names = append(names, m[1])
		}
	}
	return names
}

// checkNames checks what holds for the metrics of every process.
func checkNames(t *testing.T, reg registry, components string) {
	t.Helper()
	text := scrape(t, reg)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	form := regexp.MustCompile(`^odradek_(` + components + `)_[a-z0-9]+(_[a-z0-9]+)*$`)
	names := described(reg)
	if len(names) < 10 {
		t.Fatalf("only %v", names)
	}
	for _, name := range names {
		if !form.MatchString(name) {
			t.Errorf("%s is not odradek_<component>_<noun>_<unit>", name)
		}
		kind := regexp.MustCompile(`(?m)^# TYPE ` + name + ` (\w+)$`).FindStringSubmatch(text)
		switch {
		case kind == nil:
			t.Errorf("%s is not in the scrape", name)
		case kind[1] == "histogram" && !strings.HasSuffix(name, "_seconds"):
			t.Errorf("histogram %s has no unit", name)
		case (kind[1] == "counter") != strings.HasSuffix(name, "_total"):
			t.Errorf("%s is a %s", name, kind[1])
		}
	}
	for _, bad := range []string{errText.Error(), record.RunID{0xab, 1}.String()} {
		if strings.Contains(text, bad) {
			t.Errorf("a label holds %q", bad)
		}
	}
	if m := regexp.MustCompile(`odradek_\w+_bucket\{[^}]*partition=`).FindString(text); m != "" {
		t.Errorf("a histogram has a partition: %s", m)
	}
}

func TestEngineNames(t *testing.T) {
	t.Parallel()
	checkNames(t, full(t, nil).reg, "instance|lane|store|api|kafka")
}

func TestEngineValues(t *testing.T) {
	t.Parallel()
	text := scrape(t, full(t, nil).reg)
	for _, line := range []string{
		`odradek_instance_info{version="v1.2.3"} 1`,
		`odradek_instance_ready 1`,
		`odradek_instance_abandoned_goroutines 2`,
		`odradek_instance_group_generation 4`,
		`odradek_instance_partitions{state="running"} 1`,
		`odradek_instance_partitions{state="restoring"} 0`,
		`odradek_instance_rebalances_total 1`,
		`odradek_instance_sessions_lost_total 1`,
		`odradek_instance_warnings_total 1`,
		`odradek_instance_purges_total{outcome="failed",topic="shop.events"} 1`,
		`odradek_instance_purges_total{outcome="ok",topic="shop.events"} 1`,
		`odradek_kafka_requests_total{request="produce"} 2`,
		`odradek_kafka_failed_requests_total{request="produce"} 1`,
		`odradek_kafka_request_bytes_total{request="produce"} 150`,
		`odradek_kafka_response_bytes_total{request="produce"} 30`,
		`odradek_lane_commit_seconds_sum 0.06`,
		`odradek_lane_step_seconds_sum 0.01`,
		`odradek_lane_add_seconds_sum 0.011`,
		`odradek_lane_produce_seconds_sum 0.012`,
		`odradek_lane_end_seconds_sum 0.013`,
		`odradek_lane_settle_seconds_sum 0.014`,
		`odradek_lane_takeover_seconds_sum 2`,
		`odradek_lane_fence_seconds_sum 1`,
		`odradek_lane_restore_seconds_sum 1`,
		`odradek_lane_commits_total{partition="3"} 1`,
		`odradek_lane_commits_total{partition="5"} 0`, // there before the first one
		`odradek_lane_inputs_total{partition="3"} 1`,
		`odradek_lane_turns_total{partition="3"} 2`,
		`odradek_lane_history_events_total{partition="3"} 3`,
		`odradek_lane_runs_started_total{partition="3"} 4`,
		`odradek_lane_runs_closed_total{partition="3"} 5`,
		`odradek_lane_runs_stuck_total{partition="3"} 6`,
		`odradek_lane_tasks_total{partition="3"} 7`,
		`odradek_lane_retries_total{partition="3"} 8`,
		`odradek_lane_timers_total{partition="3"} 9`,
		`odradek_lane_forwarded_total{partition="3"} 10`,
		`odradek_lane_dead_letters_total{partition="3"} 11`,
		`odradek_lane_replays_total{partition="3"} 12`,
		`odradek_lane_hash_mismatches_total{partition="3"} 13`,
		`odradek_lane_ignored_total{partition="3",reason="run_closed"} 14`,
		`odradek_lane_lost_total{partition="3",service="pay"} 2`,
		`odradek_lane_cached_runs{partition="3"} 15`,
		`odradek_lane_paused_types{partition="3",type="billing"} 1`,
		`odradek_lane_produced_records_total{partition="3"} 17`,
		`odradek_lane_produced_bytes_total{partition="3"} 18`,
		`odradek_lane_add_retries_total{partition="3"} 19`,
		`odradek_lane_takeovers_total{partition="3"} 1`,
		`odradek_lane_restored_records_total{partition="3"} 70`,
		`odradek_lane_unknown_outcomes_total{partition="3"} 1`,
		`odradek_lane_fenced_total{partition="3"} 1`,
		`odradek_lane_incidents_total{partition="3"} 1`,
		`odradek_lane_stores_rebuilt_total{partition="3"} 1`,
		`odradek_lane_given_back_total{partition="3"} 1`,
		`odradek_lane_unclean_releases_total{partition="3"} 0`,
		`odradek_lane_unclean_releases_total{partition="5"} 1`,
		`odradek_lane_undeliverable_total{code="topic_missing",partition="3",service="card",topic="tasks"} 1`,
		`odradek_lane_aborts_total{cause="failed",partition="3"} 1`,
		`odradek_lane_aborts_total{cause="fenced",partition="3"} 1`,
		`odradek_lane_aborts_total{cause="hung",partition="3"} 1`,
		`odradek_lane_aborts_total{cause="incident",partition="3"} 1`,
		`odradek_lane_aborts_total{cause="refused",partition="3"} 1`,
		`odradek_lane_aborts_total{cause="unknown",partition="3"} 1`,
		`odradek_lane_state{partition="3",state="running"} 1`,
		`odradek_lane_restore_left_records{partition="3"} 6`,
		`odradek_lane_input_lag_records{partition="3",topic="commands"} 21`,
		`odradek_lane_input_lag_records{partition="3",topic="events"} 22`,
		`odradek_lane_input_lag_records{partition="3",topic="internal"} 23`,
		`odradek_store_damaged{partition="3"} 0`,
		`odradek_api_requests_total{forwarded="false",operation="GET /v1/workflows/{id}",status="404"} 1`,
		`odradek_api_problems_total{code="run_not_found",operation="GET /v1/workflows/{id}"} 1`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			name, _, _ := strings.Cut(line, " ")
			t.Errorf("want %s, the scrape has %s", line, regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(name)+` .*$`).FindString(text))
		}
	}
}

func TestFencedWithUnknownOutcomeIsCountedAsBoth(t *testing.T) {
	t.Parallel()
	e := NewEngine(nil)
	e.Listener().Fenced(processor.LaneError{Partition: 1, Err: fmt.Errorf("end: %w: %w", processor.ErrOutcomeUnknown, processor.ErrFenced)})
	text := scrape(t, e.reg)
	for _, line := range []string{
		`odradek_lane_fenced_total{partition="1"} 1`,
		`odradek_lane_unknown_outcomes_total{partition="1"} 1`,
		`odradek_lane_aborts_total{cause="fenced",partition="1"} 1`,
		`odradek_lane_aborts_total{cause="unknown",partition="1"} 0`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no %s", line)
		}
	}
}

func TestLaneAges(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		name          string
		lane          processor.LaneStatus
		commit, state string
	}{
		{"committed", processor.LaneStatus{Since: now.Add(-time.Minute), LastCommit: now.Add(-5 * time.Second)}, "5", "60"},
		{"never committed", processor.LaneStatus{Since: now.Add(-time.Minute)}, "60", "60"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			reg := newRegistry("instance")
			var p atomic.Pointer[Instance]
			var i Instance = &instance{status: processor.InstanceStatus{Lanes: []processor.LaneStatus{c.lane}}}
			p.Store(&i)
			s := newLaneStates(reg, &p)
			s.clock = func() time.Time { return now }
			reg.MustRegister(s)
			text := scrape(t, reg)
			for _, line := range []string{`odradek_lane_last_commit_age_seconds{partition="0"} ` + c.commit, `odradek_lane_state_age_seconds{partition="0"} ` + c.state} {
				if !strings.Contains(text, line+"\n") {
					t.Errorf("no %s", line)
				}
			}
		})
	}
}

// TestInputAges: how long an open transaction stalls an input (P9), and how old what
// waits is (W7), in seconds; the changelog is no input.
func TestInputAges(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	reg := newRegistry("instance")
	var p atomic.Pointer[Instance]
	var i Instance = &instance{status: processor.InstanceStatus{Lanes: []processor.LaneStatus{{Inputs: map[record.Topic]processor.InputStatus{
		record.TopicEvents:    {Oldest: now.Add(-time.Hour), Stalled: now.Add(-21 * time.Second)},
		record.TopicCommands:  {Oldest: now.Add(time.Second)}, // by a clock that is ahead
		record.TopicChangelog: {Stalled: now.Add(-time.Second)},
	}}}}}
	p.Store(&i)
	s := newLaneStates(reg, &p)
	s.clock = func() time.Time { return now }
	reg.MustRegister(s)
	text := scrape(t, reg)
	for _, line := range []string{
		`odradek_lane_lso_lag_seconds{partition="0",topic="events"} 21`,
		`odradek_lane_lso_lag_seconds{partition="0",topic="commands"} 0`,
		`odradek_lane_lso_lag_seconds{partition="0",topic="changelog"} 1`,
		`odradek_lane_oldest_input_age_seconds{partition="0",topic="events"} 3600`,
		`odradek_lane_oldest_input_age_seconds{partition="0",topic="commands"} 0`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no %s", line)
		}
	}
	if strings.Contains(text, `oldest_input_age_seconds{partition="0",topic="changelog"}`) {
		t.Error("the changelog has an age as input")
	}
}

func TestGaugesOfALaneGoWithIt(t *testing.T) {
	t.Parallel()
	e := NewEngine(nil)
	l := e.Listener()
	l.Committed(&processor.CommitInfo{Partition: 2, Counts: partition.Counts{RunsCached: 4}})
	i := &instance{status: processor.InstanceStatus{Lanes: []processor.LaneStatus{{Partition: 2}}}}
	e.Watch(i)
	gauges := []string{`odradek_lane_cached_runs{partition="2"}`, `odradek_lane_state{partition="2"`, `odradek_lane_input_lag_records{partition="2"`}
	before := scrape(t, e.reg)
	l.Released(processor.ReleaseInfo{Partition: 2, Clean: true})
	i.status.Lanes = nil
	after := scrape(t, e.reg)
	for _, g := range gauges {
		if !strings.Contains(before, g) || strings.Contains(after, g) {
			t.Errorf("%s: before %v, after the release %v", g, strings.Contains(before, g), strings.Contains(after, g))
		}
	}
	if !strings.Contains(after, `odradek_lane_commits_total{partition="2"} 1`) {
		t.Error("the counters went too")
	}
}

func TestScrapeBeforeTheInstance(t *testing.T) {
	t.Parallel()
	if text := scrape(t, NewEngine(nil).reg); strings.Contains(text, "odradek_instance_ready") {
		t.Error("an instance that is not there has gauges")
	}
}

// Messages are constants: what differs is in attributes, and what an error says only
// in err and detail.
func TestEngineLog(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	log, level, err := Logger(&b, "", "debug", false)
	if err != nil {
		t.Fatal(err)
	}
	_ = level
	full(t, log)
	want := map[string][]string{ // message: attributes that it must have
		"group rebalanced":     {"generation", "assigned", "lost"},
		"partition taken over": {"partition", "records", "seconds"},
		"batch committed":      {"partition", "inputs", "seconds"},
		"runs became stuck":    {"partition", "runs"},
		"attempts are lost and made again: a worker committed before it answered, or offsets were reset": {"partition", "service", "attempts"},
		"fenced by another owner":                       {"partition", "cause", "err"},
		"replay made other inputs than the history has": {"partition", "mismatches"},
		"outcome of a transaction is unknown":           {"partition", "cause", "err", "pause_seconds"},
		"partition failed and is taken over again":      {"partition", "cause", "err"},
		"output cannot be written":                      {"partition", "topic", "service", "code", "detail"},
		"what an input leads to is refused":             {"partition", "cause", "topic", "offset", "run_id", "err"},
		"workflow code does not come back":              {"partition", "cause", "run_id", "condemned"},
		"partition stands until an operator decides":    {"partition", "cause", "err"},
		"store is rebuilt from Kafka":                   {"partition", "renamed_to", "err"},
		"partition is offered to others":                {"partition", "err"},
		"partition released":                            {"partition", "clean", "err"},
		"consumed input deleted":                        {"partition", "topic", "before"},
		"consumed input cannot be deleted":              {"partition", "topic", "err"},
		"something beside the lanes does not work":      {"what", "err"},
	}
	for line := range strings.Lines(b.String()) {
		var got map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		msg := got["msg"].(string)
		keys, ok := want[msg]
		if !ok {
			t.Errorf("unexpected line %s", line)
		}
		delete(want, msg)
		for _, k := range keys {
			if _, ok := got[k]; !ok {
				t.Errorf("%q has no %s: %s", msg, k, line)
			}
		}
	}
	for msg := range want {
		t.Errorf("not logged: %s", msg)
	}
}
