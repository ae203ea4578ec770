package partition

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/internal/filter"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/statestore"
	"github.com/odradek/odradek/topology"
	"github.com/odradek/odradek/workflow"
)

// TestScenarios plays testdata/*.txt with the cache at 20000, 1 and 0 runs: the
// answers are the same (S-4). After each scenario the store that a takeover would
// make of the changelog equals the live one.
func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		for _, runs := range []int{20_000, 1, -1} {
			t.Run(fmt.Sprintf("%s/cache=%d", filepath.Base(file), max(runs, 0)), func(t *testing.T) {
				t.Parallel()
				h := newHarness(t, runs)
				datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string { return h.play(t, d) })
				h.sameAfterTakeover(t)
			})
		}
	}
}

// sourceLine is what differs between machines and edits in a frame.
var sourceLine = regexp.MustCompile(`/[^ "]*/(\w+\.go):\d+`)

// harness drives a Partition over a real store, as a lane does, without Kafka.
type harness struct {
	active    map[string]topology.Active
	p         *Partition
	store     *statestore.Store
	cfg       Config
	now       record.Millis
	offset    int64
	changelog []record.Row
	internal  []record.Output
	runs      map[record.RunID]string // names for what would differ with the time
}

func newHarness(t *testing.T, cacheRuns int) *harness {
	t.Helper()
	return newHarnessOf(t, cacheRuns, 1)
}

func newHarnessOf(t *testing.T, cacheRuns int, partitions int32) *harness {
	t.Helper()
	h := &harness{
		now: record.MillisOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)),
		cfg: Config{
			Partition: 0, Namespace: "ns", Table: topology.TableZero(partitions),
			Services: map[string]int32{"pay": 1, "bank": 5}, Publish: map[string]int32{"orders": 8}, Definitions: definitions(), CacheRuns: cacheRuns, Build: "b1",
		},
		runs: map[record.RunID]string{},
	}
	h.store = openStore(t, "live")
	h.open(t)
	return h
}

func openStore(t *testing.T, dir string) *statestore.Store {
	t.Helper()
	s, err := statestore.Open(statestore.Config{Dir: dir, FS: vfs.NewMem(), Cluster: "c", Partition: 0})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// reopen loses everything in memory.
func (h *harness) reopen(t *testing.T) {
	t.Helper()
	h.p.Close()
	h.open(t)
}

func (h *harness) open(t *testing.T) {
	t.Helper()
	p, err := New(h.cfg, h.store)
	if err != nil {
		t.Fatal(err)
	}
	h.p = p
	p.SetActive(h.active)
	t.Cleanup(p.Close)
	h.batch(t, func() { p.Claim() })
}

// batch is one transaction: it commits at once.
func (h *harness) batch(t *testing.T, steps func()) *Batch {
	t.Helper()
	h.p.Begin(h.now)
	steps()
	b := h.p.Finish()
	if b == nil {
		return nil
	}
	h.settle(t, b)
	return b
}

func (h *harness) settle(t *testing.T, b *Batch) {
	t.Helper()
	for _, r := range b.Rows {
		if r.Travels {
			h.changelog = append(h.changelog, r)
		}
	}
	if err := h.store.Apply(b.Rows, record.Checkpoint{}); err != nil {
		t.Fatal(err)
	}
	h.p.Settled(b)
	for _, o := range b.Outputs {
		if o.Topic == record.TopicInternal {
			h.internal = append(h.internal, o)
		}
	}
}

// sameAfterTakeover folds the changelog into an empty store and compares.
func (h *harness) sameAfterTakeover(t *testing.T) {
	t.Helper()
	again := openStore(t, "again")
	f := again.Folder()
	for _, r := range h.changelog {
		if err := f.Fold(r.Key, r.Value); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Commit(record.Checkpoint{}); err != nil {
		t.Fatal(err)
	}
	var live, folded bytes.Buffer
	if err := h.store.Dump(&live); err != nil {
		t.Fatal(err)
	}
	if err := again.Dump(&folded); err != nil {
		t.Fatal(err)
	}
	if live.Len() == 0 || !bytes.Equal(live.Bytes(), folded.Bytes()) {
		t.Errorf("the store folded from the changelog differs from the live one:\nlive:\n%s\nfolded:\n%s", &live, &folded)
	}
}

// play is one command of a scenario. Its answer is what the batch wrote for
// others to see.
func (h *harness) play(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(d.Input), "\n")
	switch d.Cmd {
	case "batch": // all in one transaction
		return h.show(h.batch(t, func() {
			for _, l := range lines {
				h.step(t, l)
			}
		}))
	case "each": // a transaction per line
		var out strings.Builder
		for _, l := range lines {
			out.WriteString(h.show(h.batch(t, func() { h.step(t, l) })))
		}
		return out.String()
	case "internal": // what workflows have sent each other arrives, each in a transaction
		var out strings.Builder
		for len(h.internal) > 0 {
			o := h.internal[0]
			h.internal = h.internal[1:]
			h.offset++
			r := codec.Decode(codec.KafkaRecord{Topic: record.TopicInternal, Offset: h.offset, Key: o.Key, Value: o.Value, Headers: o.Headers})
			fmt.Fprintf(&out, "%s %s:\n", h.named(string(o.Key)), strings.TrimPrefix(fmt.Sprintf("%T", r.Body), "*record."))
			out.WriteString(h.show(h.batch(t, func() {
				if err := h.p.Step(&r); err != nil {
					t.Fatal(err)
				}
			})))
		}
		return out.String()
	case "wait": // time passes; what comes due is stepped
		for _, a := range d.CmdArgs {
			dur, err := time.ParseDuration(a.Key)
			if err != nil {
				t.Fatal(err)
			}
			h.now = h.now.Add(dur)
		}
		return h.show(h.batch(t, func() { h.due(t) }))
	case "pass": // time passes; what comes due waits for the next batch
		dur, err := time.ParseDuration(d.CmdArgs[0].Key)
		if err != nil {
			t.Fatal(err)
		}
		h.now = h.now.Add(dur)
		return "ok"
	case "discard": // everything in memory is lost
		h.reopen(t)
		return "ok"
	case "active": // SERVICE PARTITIONS: how many get new tasks
		n, err := strconv.ParseInt(d.CmdArgs[1].Key, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		h.active = map[string]topology.Active{d.CmdArgs[0].Key: {Partitions: int32(n)}}
		h.p.SetActive(h.active)
		return "ok\n"
	case "deploy": // another binary takes over
		h.p.Close()
		h.cfg.Build = d.CmdArgs[0].Key
		h.cfg.Definitions = definitions()
		for _, a := range d.CmdArgs[1:] {
			h.cfg.Definitions = append(h.cfg.Definitions, extra(a.Key))
		}
		h.open(t)
		return h.show(h.batch(t, func() { h.due(t) }))
	case "undeliverable":
		h.p.Undeliverable(record.TopicTasks, d.CmdArgs[0].Key, "topic_missing", "topic is missing")
		return "ok"
	case "query": // ID NAME INPUT
		var a record.Answer
		h.batch(t, func() {
			var err error
			if a, err = h.p.Query(d.CmdArgs[0].Key, d.CmdArgs[1].Key, []byte(d.CmdArgs[2].Key)); err != nil {
				t.Fatal(err)
			}
		})
		detail, _, _ := strings.Cut(a.Detail, "\n")
		out := fmt.Sprintf("%s %s%s", a.Outcome, a.Result, detail)
		if a.Failure != nil {
			out += a.Failure.Error()
		}
		return sourceLine.ReplaceAllString(out, "$1")
	case "find": // a filter
		src := strings.TrimSpace(d.Input)
		f, err := filter.Parse(src, h.now.Time())
		if err != nil {
			return err.Error()
		}
		rows, _, err := h.store.List(statestore.ListQuery{Filter: f})
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for i := range rows {
			ids = append(ids, rows[i].WorkflowID)
		}
		return strings.Join(ids, " ")
	case "types": // what was done to workflow types
		rows, err := h.store.TypeRows()
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		for i := range rows {
			fmt.Fprintf(&out, "%s", rows[i].Type)
			for _, a := range rows[i].Acts {
				fmt.Fprintf(&out, " %s by %s: %s", a.Op, a.By, a.Reason)
			}
			out.WriteByte('\n')
		}
		return out.String()
	case "letters": // the dead letters of the store
		rows, err := h.store.ListDeadLetters(nil, "", 100)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		for i := range rows {
			id := rows[i].ID()
			if rows[i].Code == record.CodeGivenUp {
				id = "of " + string(rows[i].Raw.Key)
			}
			fmt.Fprintf(&out, "%s %s %s\n", id, rows[i].Code, h.named(rows[i].Reason))
		}
		if out.Len() == 0 {
			return "none\n"
		}
		return out.String()
	case "condemn":
		s, err := h.store.Load(d.CmdArgs[0].Key)
		if err != nil {
			t.Fatal(err)
		}
		h.p.Condemn(s.Run.Run, "hang", "no progress")
		return "ok"
	case "run":
		return h.describe(t, d.CmdArgs[0].Key)
	}
	t.Fatalf("unknown command %q", d.Cmd)
	return ""
}

func (h *harness) due(t *testing.T) {
	t.Helper()
	if _, err := h.p.StepDue(1000); err != nil {
		t.Fatal(err)
	}
}

// step makes a record of one line:
//
//	start ID TYPE INPUT [id=COMMAND] [reply]
//	signal ID NAME PAYLOAD [id=COMMAND] [reply]
//	cancel|terminate ID REASON [id=COMMAND] [reply]
//	retry ID [task=N] [newkey], reset ID to=N, pause ID, resume ID [id=COMMAND] [reply]
//	pausetype|resumetype TYPE [id=COMMAND] [reply]
//	unreadable SERVICE/PARTITION/OFFSET VALUE
//	redrive|discard LETTER|ID [edit=INPUT] [reply]
//	completed ID TASK ATTEMPT RESULT
//	failed ID TASK ATTEMPT retryable|final
//	pending ID TASK ATTEMPT, poll ID TASK ATTEMPT SENDING AFTER DETAILS
//	refused ID TASK ATTEMPT SENDING, gone ID TASK ATTEMPT, lost ID TASK ATTEMPT|0 HOW-LONG-AGO
//	garbage ID
func (h *harness) step(t *testing.T, line string) {
	t.Helper()
	if err := h.p.Step(h.record(t, line)); err != nil {
		t.Fatal(err)
	}
}

// record makes the record; nil if the line names a run that there is not.
func (h *harness) record(t *testing.T, line string) *record.Record {
	t.Helper()
	f := strings.Fields(line)
	h.offset++
	r := &record.Record{Origin: record.Origin{Topic: record.TopicCommands, Offset: h.offset, Timestamp: 1}, WorkflowID: f[1], Raw: record.Raw{Key: []byte(f[1])}}
	commandID, reply := "", slices.Contains(f, "reply")
	for _, x := range f {
		if id, ok := strings.CutPrefix(x, "id="); ok {
			commandID = id
		}
	}
	if needsRun(line) && !h.has(t, f[1]) {
		return nil
	}
	task := func() record.TaskID {
		s, err := h.store.Load(f[1])
		if err != nil || s == nil {
			t.Fatalf("%s: no run (%v)", line, err)
		}
		no, err := strconv.ParseUint(f[2], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return record.TaskID{Run: s.Run.Run, No: no}
	}
	attempt := func() uint32 { n, _ := strconv.Atoi(f[3]); return uint32(n) }
	switch f[0] {
	case "start":
		c := &record.Start{CommandID: commandID, Type: f[2], Input: []byte(f[3]), Reply: reply}
		for _, x := range f {
			if p, ok := strings.CutPrefix(x, "reuse="); ok {
				c.Reuse, _ = record.ParseReusePolicy(p)
			}
			if name, ok := strings.CutPrefix(x, "signal="); ok {
				name, payload, _ := strings.Cut(name, ":")
				c.Signal = &record.Signal{Name: name, Payload: []byte(payload)}
			}
			if name, ok := strings.CutPrefix(x, "update="); ok {
				name, payload, _ := strings.Cut(name, ":")
				c.Update = &record.Update{Name: name, Payload: []byte(payload)}
			}
		}
		r.Body = c
	case "signal":
		s := &record.Signal{CommandID: commandID, Name: f[2], Payload: []byte(f[3]), Reply: reply}
		r.Body, r.Raw.Value, r.Raw.Headers = s, s.Payload, codec.EncodeSignal(f[1], s).Headers
	case "update":
		r.Body = &record.Update{CommandID: commandID, Name: f[2], Payload: []byte(f[3]), Reply: reply}
	case "cancel":
		r.Body = &record.Cancel{CommandID: commandID, Reason: f[2], By: "op", Reply: reply}
	case "terminate":
		r.Body = &record.Terminate{CommandID: commandID, Reason: f[2], By: "op", Reply: reply}
	case "redrive", "discard":
		c := &record.Redrive{Discard: f[0] == "discard", CommandID: commandID, Reply: reply}
		var err error
		if c.Origin, err = record.ParseDeadLetterID(f[1]); err != nil { // of a run
			s, err := h.store.Load(f[1])
			if err != nil {
				t.Fatal(err)
			}
			c.Origin = h.p.givenUpOrigin(s.Run.Run)
		}
		for _, x := range f {
			if payload, ok := strings.CutPrefix(x, "edit="); ok {
				c.Edited = &record.Raw{Key: []byte("m"), Value: []byte(payload), Headers: []record.Header{{Key: codec.HeaderType, Value: []byte("charge")}}}
			}
		}
		r.WorkflowID, r.Body = codec.RedriveKey, c
	case "retry", "reset", "pause", "resume":
		op, _ := record.ParseOperation(f[0])
		c := &record.Operate{Op: op, CommandID: commandID, Reason: "why", By: "op", Reply: reply, NewKey: slices.Contains(f, "newkey")}
		for _, x := range f {
			if n, ok := strings.CutPrefix(x, "to="); ok {
				c.To, _ = strconv.ParseUint(n, 10, 64)
			}
			if n, ok := strings.CutPrefix(x, "task="); ok {
				c.Task, _ = strconv.ParseUint(n, 10, 64)
			}
		}
		r.Body = c
	case "pausetype", "resumetype":
		c := &record.OperateType{Op: record.OperatePause, Type: f[1], CommandID: commandID, Reason: "why", By: "op", Reply: reply}
		if f[0] == "resumetype" {
			c.Op = record.OperateResume
		}
		r.Body = c
	case "completed":
		r.Body = &record.TaskCompleted{Task: task(), Attempt: attempt(), Result: []byte(f[4]), CommandID: commandID, Reply: reply}
	case "failed":
		r.Body = &record.TaskFailed{Task: task(), Attempt: attempt(), Failure: record.Failure{Kind: "http", Code: "down", HTTPStatus: 503, Retryable: f[4] != "final"}, CommandID: commandID, Reply: reply}
	case "hopeless":
		r.Body = &record.TaskFailed{Task: task(), Attempt: attempt(), Failure: record.Failure{Kind: "application", Code: "fraud", Retryable: true}}
	case "started":
		r.Body = &record.TaskBeat{Task: task(), Attempt: attempt(), Started: true}
	case "beat":
		r.Body = &record.TaskBeat{Task: task(), Attempt: attempt(), Details: []byte(f[4]), CommandID: commandID, Reply: reply}
	case "pending":
		r.Body = &record.TaskBeat{Task: task(), Attempt: attempt(), Pending: true}
	case "poll": // ID TASK ATTEMPT SENDING AFTER DETAILS
		after, err := time.ParseDuration(f[5])
		if err != nil {
			t.Fatal(err)
		}
		sending, _ := strconv.ParseUint(f[4], 10, 32)
		r.Body = &record.TaskBeat{Task: task(), Attempt: attempt(), Sending: uint32(sending), Pending: true, After: after, Details: []byte(f[6])}
	case "refused": // ID TASK ATTEMPT SENDING
		sending, _ := strconv.ParseUint(f[4], 10, 32)
		r.Body = &record.TaskFailed{Task: task(), Attempt: attempt(), Sending: uint32(sending), Failure: record.Failure{Kind: "http", Code: "conflict", HTTPStatus: 409}}
	case "gone":
		r.Body = &record.TaskFailed{Task: task(), Attempt: attempt(), Forget: true, Failure: record.Failure{Kind: "http", Code: "job_gone", Retryable: true}}
	case "lost": // ID TASK ATTEMPT HOW-LONG-AGO
		ago, err := time.ParseDuration(f[4])
		if err != nil {
			t.Fatal(err)
		}
		r.Origin, r.Body = record.Origin{}, &record.TaskLost{Task: task(), Attempt: attempt(), OutBy: h.now.Add(-ago)}
	case "quarantined":
		r.Body = &record.TaskFailed{Task: task(), Attempt: attempt(), Failure: record.Failure{Kind: record.FailureQuarantined, Code: "worker_died", Retryable: true}}
	case "unbound":
		r.Body = &record.TaskFailed{Task: task(), Attempt: attempt(), Failure: record.Failure{Kind: "binding", Code: "unbound_operation", Retryable: true}}
	case "limited": // given back, because the key's limit is reached
		r.Body = &record.TaskFailed{Task: task(), Attempt: attempt(), Failure: record.Failure{Kind: "worker", Code: "key_limited", Retryable: true, RetryAfter: 5 * time.Second}}
	case "draining": // given back, because the partition is not active any more
		r.Body = &record.TaskFailed{Task: task(), Attempt: attempt(), Failure: record.Failure{Kind: "worker", Code: "partition_draining", Retryable: true}}
	case "token": // an answer by a task token
		r.Body = &record.TaskCompleted{Task: task(), Attempt: attempt(), Result: []byte(f[4]), CommandID: commandID, Reply: true}
	case "unreadable":
		place, err := codec.ParseTaskPlace(f[1])
		if err != nil {
			t.Fatal(err)
		}
		out := codec.EncodeUnreadable(place, record.Raw{Key: []byte("k"), Value: []byte(f[2]), Headers: []record.Header{{Key: "x", Value: []byte("1")}}}, "header od-op is missing")
		at := codec.Decode(codec.KafkaRecord{Topic: record.TopicEvents, Offset: h.offset, Key: out.Key, Value: out.Value, Headers: out.Headers})
		return &at
	case "garbage":
		r.Body = &record.Undecodable{Code: "header_unknown", Reason: "od-cmd is \"x\""}
	default:
		t.Fatalf("unknown step %q", line)
	}
	return r
}

// show prints what a batch wrote, with run IDs as run1, run2 ...
func (h *harness) show(b *Batch) string {
	if b == nil {
		return "nothing\n"
	}
	var out strings.Builder
	for _, o := range b.Outputs {
		fmt.Fprintf(&out, "-> %s", o.Topic)
		if o.Service != "" {
			fmt.Fprintf(&out, ".%s", o.Service)
			if h.cfg.Services[o.Service] > 1 {
				fmt.Fprintf(&out, "/%d", o.Partition)
			}
		}
		for _, hd := range o.Headers {
			if strings.HasPrefix(hd.Key, "od-") && hd.Key != "od-dl-at" && hd.Key != "od-dl-origin" && hd.Key != "od-dl-reason" {
				fmt.Fprintf(&out, " %s=%s", hd.Key, h.named(string(hd.Value)))
			}
			if hd.Key == "ce_type" {
				fmt.Fprintf(&out, " %s", hd.Value)
			}
		}
		if o.Topic == record.TopicOwn {
			fmt.Fprintf(&out, "/%d %s", o.Partition, o.Key)
		}
		if o.Topic == record.TopicTasks || o.Topic == record.TopicOwn {
			fmt.Fprintf(&out, " %s", o.Value)
		}
		out.WriteByte('\n')
	}
	for _, l := range b.Locals {
		fmt.Fprintf(&out, "local %s %s attempt=%d %s\n", l.Name, h.named(l.Task.String()), l.Attempt, l.Input)
	}
	for _, id := range b.LocalEnds {
		fmt.Fprintf(&out, "local end %s\n", h.named(id.String()))
	}
	for _, r := range b.Replies {
		fmt.Fprintf(&out, "reply %s %s %s\n", r.CommandID, r.Outcome, h.named(r.Run.String()))
	}
	for _, key := range b.Answered {
		id, command, _ := strings.Cut(key, "\x00")
		fmt.Fprintf(&out, "answered %s %s\n", id, command)
	}
	for _, c := range b.Closed {
		fmt.Fprintf(&out, "closed %s %s\n", c.WorkflowID, c.Status)
	}
	for _, service := range slices.Sorted(mapsKeys(b.Counts.Lost)) {
		fmt.Fprintf(&out, "lost %d of %s\n", b.Counts.Lost[service], service)
	}
	for _, why := range slices.Sorted(mapsKeys(b.Counts.Ignored)) {
		fmt.Fprintf(&out, "ignored %s\n", why)
	}
	if out.Len() == 0 {
		return "nothing visible\n"
	}
	return out.String()
}

func mapsKeys(m map[string]int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (h *harness) named(s string) string {
	run, rest, _ := strings.Cut(s, ".")
	id, err := record.ParseRunID(run)
	if err != nil {
		return s
	}
	if id.IsZero() {
		return "-"
	}
	if h.runs[id] == "" {
		h.runs[id] = fmt.Sprintf("run%d", len(h.runs)+1)
	}
	if rest != "" {
		return h.runs[id] + "." + rest
	}
	return h.runs[id]
}

// describe prints a run and its history as the store has them.
func (h *harness) describe(t *testing.T, id string) string {
	t.Helper()
	s, err := h.store.Load(id)
	if err != nil {
		t.Fatal(err)
	}
	if s == nil {
		return "unknown\n"
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s %s events=%d chunks=%d tasks=%d timers=%d signals=%d inbox=%d", s.Run.Type, s.Run.Status, s.Run.Events, s.Run.Chunks, len(s.Tasks), len(s.Timers), len(s.Signals), len(s.Inbox))
	if s.Gone {
		out.WriteString(" summary")
	}
	if s.Stuck != nil {
		detail, _, _ := strings.Cut(s.Stuck.Detail, "\n")
		fmt.Fprintf(&out, " stuck=%s tries=%d build=%s (%s)", s.Stuck.Code, s.Stuck.Tries, s.Stuck.Build, detail)
	}
	out.WriteByte('\n')
	for _, a := range s.Attributes {
		fmt.Fprintf(&out, "  %s = %s\n", a.Name, codec.AppendAttributeJSON(nil, a))
	}
	for _, a := range s.Attempts {
		fmt.Fprintf(&out, "  attempt %d of task %d open, waiting=%v, %d failed", a.Open, a.Task, a.NextAt > 0, len(a.Last))
		if a.Sending > 1 {
			fmt.Fprintf(&out, ", sending %d", a.Sending)
		}
		out.WriteByte('\n')
	}
	if s.Gone {
		fmt.Fprintf(&out, "  result %s\n", s.Summary.Result)
		return out.String()
	}
	events, err := h.store.History(id, s.Run.Run, 1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		fmt.Fprintf(&out, "  %d %s", e.No, e.Body.HistoryKind())
		switch b := e.Body.(type) {
		case *record.TaskScheduled:
			fmt.Fprintf(&out, " %s.%s %s", b.Service, b.Operation, b.Input)
		case *record.HistoryTaskCompleted:
			fmt.Fprintf(&out, " %d %s", b.Task, b.Result)
		case *record.HistoryTaskFailed:
			fmt.Fprintf(&out, " %d after %d attempts", b.Task, len(b.Attempts))
		case *record.TimerFired:
			fmt.Fprintf(&out, " %d", b.Timer)
		case *record.VersionPinned:
			fmt.Fprintf(&out, " %d", b.Version)
		case *record.TimerCancelled:
			fmt.Fprintf(&out, " %d", b.Timer)
		case *record.SignalReceived:
			fmt.Fprintf(&out, " %s %s", b.Name, b.Payload)
		case *record.SignalConsumed:
			fmt.Fprintf(&out, " %d", b.Signal)
		case *record.RunCompleted:
			fmt.Fprintf(&out, " %s", b.Result)
		case *record.RunFailed:
			fmt.Fprintf(&out, " %s", b.Failure.Error())
		case *record.LocalScheduled:
			fmt.Fprintf(&out, " %s %s", b.Name, b.Input)
		case *record.TaskCancelled:
			fmt.Fprintf(&out, " %d", b.Task)
		case *record.ChildScheduled:
			fmt.Fprintf(&out, " %s %s %s", b.Type, h.named(b.WorkflowID), b.Input)
		case *record.ChildCarried:
			fmt.Fprintf(&out, " %s from %s", b.WorkflowID, h.named(b.From.String()))
		case *record.ChildClosed:
			fmt.Fprintf(&out, " %d %s %s%s", b.Child, b.Status, b.Result, b.Failure.Code)
		case *record.AwaitReceived:
			fmt.Fprintf(&out, " by %s", b.Parent.WorkflowID)
		case *record.UpdateReceived:
			fmt.Fprintf(&out, " %s %s", b.Name, b.Payload)
		case *record.UpdateCompleted:
			fmt.Fprintf(&out, " %d %s", b.Update, b.Result)
			if b.Failure != nil {
				fmt.Fprintf(&out, "%s", b.Failure.Error())
			}
		case *record.SignalSent:
			fmt.Fprintf(&out, " %s to %s", b.Name, b.WorkflowID)
		case *record.SignalCarried:
			fmt.Fprintf(&out, " %s %s", b.Name, b.Payload)
		case *record.RunContinued:
			fmt.Fprintf(&out, " %s", b.Input)
		case *record.CancelRequested:
			fmt.Fprintf(&out, " %s by %s", b.Reason, b.By)
		case *record.RunTerminated:
			fmt.Fprintf(&out, " %s by %s", b.Reason, b.By)
		case *record.RunCancelled:
			fmt.Fprintf(&out, " %s", b.Failure.Error())
		}
		out.WriteByte('\n')
	}
	return out.String()
}

// The workflow types of the scenarios.
var (
	charge   = workflow.NewTask[int, int]("pay", "charge")
	once     = workflow.NewTask[int, int]("pay", "once", workflow.WithRetry(record.RetryPolicy{MaxAttempts: 1}))
	nolost   = workflow.NewTask[int, int]("pay", "nolost", workflow.WithRetry(record.RetryPolicy{NonRetryable: "attempt_lost"}))
	refund   = workflow.NewTask[int, int]("pay", "refund", workflow.WithRetry(record.RetryPolicy{MaxAttempts: 2}))
	lost     = workflow.NewTask[int, int]("nowhere", "lose")
	more     = workflow.NewSignal[int]("more")
	customer = workflow.NewAttribute[string]("customer")
	amount   = workflow.NewAttribute[int64]("amount")
	paid     = workflow.NewAttribute[bool]("paid")
	orders   = workflow.NewTopic[int]("orders")
	hidden   = workflow.NewTopic[int]("hidden")
	balance  = workflow.NewQuery[string, int]("balance")
	deposit  = workflow.NewUpdate[int, int]("deposit")
	slow     = workflow.NewTask[int, int]("pay", "slow", workflow.WithRetry(record.RetryPolicy{Initial: time.Second, MaxAttempts: 3, Jitter: -1, NonRetryable: "hopeless fraud"}),
		workflow.WithLimits(record.TaskLimits{Queued: time.Minute, Attempt: 30 * time.Second, Heartbeat: 10 * time.Second, Total: time.Hour}))
	double = workflow.NewLocalTask("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })
)

// debit is limited by account, the last digit of its input; 0 has none.
var debit = workflow.NewTask[int, int]("bank", "debit", workflow.WithRetry(workflow.RetryPolicy{MaxAttempts: 2}), workflow.LimitBy(func(n int) string {
	if n%10 == 0 {
		return ""
	}
	return fmt.Sprint("account-", n%10)
}))

func get(_ int, err error) error { return err }

func definitions() []workflow.Definition {
	return []workflow.Definition{
		// charge asks one task for twice its input and returns the answer.
		workflow.Define("charge", func(ctx workflow.Context, n int) (int, error) { return charge.Run(ctx, n) }, charge),
		// two asks two tasks at once and adds.
		workflow.Define("two", func(ctx workflow.Context, n int) (int, error) {
			a, b := charge.Start(ctx, n), charge.Start(ctx, n+1)
			x, err := b.Get(ctx)
			if err != nil {
				return 0, err
			}
			y, err := a.Get(ctx)
			return x + y, err
		}, charge),
		// refund gives up after two attempts.
		workflow.Define("refund", func(ctx workflow.Context, n int) (int, error) { return refund.Run(ctx, n) }, refund),
		// sum adds signals until an hour has passed without one.
		workflow.Define("sum", func(ctx workflow.Context, n int) (int, error) {
			for {
				m, ok := more.ReceiveUntil(ctx, workflow.Now(ctx).Add(time.Hour))
				if !ok {
					return n, nil
				}
				if m < 0 {
					panic("negative")
				}
				n += m
			}
		}, more),
		// after awaits a signal: a negative one ends it, another is charged.
		workflow.Define("after", func(ctx workflow.Context, n int) (int, error) {
			m, _ := more.Receive(ctx)
			if m < 0 {
				return n + m, nil
			}
			return charge.Run(ctx, n+m)
		}, charge, more),
		// tidy charges; cancelled, it refunds and ends.
		workflow.Define("tidy", func(ctx workflow.Context, n int) (int, error) {
			out, err := charge.Run(ctx, n)
			if err != nil {
				_, e := refund.Run(workflow.Detached(ctx), n)
				return 0, errors.Join(err, e)
			}
			return out, nil
		}, charge, refund),
		// chain continues as new until its input is 0; it charges what a signal says.
		workflow.Define("chain", func(ctx workflow.Context, n int) (int, error) {
			m, err := more.Receive(ctx)
			if err != nil {
				return 0, err
			}
			if n == 0 {
				return m, nil
			}
			charge.Start(ctx, m)
			return 0, workflow.ContinueAsNew(ctx, n-1)
		}, charge, more),
		// parent starts kid<n>; with 0 it awaits the workflow ear, above 1 it waits for
		// a signal with the child open, and below 0 it continues as new with it.
		workflow.Define("parent", func(ctx workflow.Context, n int) (int, error) {
			c := workflow.NewChild[int, int]("charge", workflow.WithID(fmt.Sprintf("kid%d", n)))
			switch {
			case n == 0:
				return workflow.Await[int](ctx, "ear").Get(ctx)
			case n == 2:
				c = c.With(workflow.OnClose(workflow.CancelChild))
			case n == 3:
				c = c.With(workflow.OnClose(workflow.AbandonChild))
			case n < 0: // it continues as new with an open child
				if f, ok := c.Attach(ctx, fmt.Sprintf("kid%d", n)); ok {
					return f.Get(ctx)
				}
				c.Start(ctx, -n)
				m, err := more.Receive(ctx)
				if err != nil {
					return 0, err
				}
				return 0, workflow.ContinueAsNew(ctx, m)
			}
			f := c.Start(ctx, n)
			if n > 1 {
				m, err := more.Receive(ctx)
				return m, err
			}
			return f.Get(ctx)
		}, more),
		// account has a balance: asked, and changed by updates, of which a deposit of 7
		// charges first; it ends with a signal.
		workflow.Define("account", func(ctx workflow.Context, n int) (int, error) {
			balance.Handle(ctx, func(mode string) (int, error) {
				switch mode {
				case "fail":
					return 0, errors.New("no")
				case "wait":
					return 0, workflow.Sleep(ctx, time.Hour)
				case "panic":
					panic("oh")
				}
				return n, nil
			})
			if n == 1000 { // it handles updates late
				if err := workflow.Sleep(ctx, time.Hour); err != nil {
					return 0, err
				}
			}
			deposit.Handle(ctx, func(ctx workflow.Context, by int) (int, error) {
				if by == 7 {
					if _, err := charge.Run(ctx, by); err != nil {
						return 0, err
					}
				}
				n += by
				return n, nil
			}, workflow.Validate(func(by int) error {
				if by < 0 {
					return &workflow.Failure{Kind: workflow.FailureApplication, Code: "negative"}
				}
				return nil
			}))
			_, err := more.Receive(ctx)
			return n, err
		}, charge, more, balance, deposit),
		// slow has all limits; it charges again with what the policy calls hopeless.
		workflow.Define("slow", func(ctx workflow.Context, n int) (int, error) {
			return slow.Run(ctx, n)
		}, slow),
		// order sets attributes and publishes to a topic; 13 to one that the binary
		// may not publish to.
		workflow.Define("order", func(ctx workflow.Context, n int) (int, error) {
			workflow.SetDetails(ctx, "order of %d", n)
			if err := customer.Set(ctx, fmt.Sprint("c", n)); err != nil {
				return 0, err
			}
			first, err := amount.To(int64(n))
			if err != nil {
				return 0, err
			}
			workflow.SetAttributes(ctx, first, paid.Cleared())
			if n == 13 {
				return 0, hidden.Publish(ctx, "", n)
			}
			if err := orders.Publish(ctx, "", n); err != nil {
				return 0, err
			}
			if _, err := more.Receive(ctx); err != nil {
				return 0, err
			}
			amount.Clear(ctx)
			workflow.Patch(ctx, "p1")
			return n, errors.Join(paid.Set(ctx, true), orders.Publish(ctx, "done", n))
		}, customer, amount, paid, orders, hidden, more),
		// tell sends a signal to the workflow "ear".
		workflow.Define("tell", func(ctx workflow.Context, n int) (int, error) { return n, more.Send(ctx, "ear", n) }),
		// local doubles its input in the engine, and charges that.
		workflow.Define("local", func(ctx workflow.Context, n int) (int, error) {
			m, err := double.Run(ctx, n)
			if err != nil {
				return 0, err
			}
			return charge.Run(ctx, m)
		}, double, charge),
		// undeclared uses a task that no type declares.
		workflow.Define("undeclared", func(ctx workflow.Context, n int) (int, error) { return lost.Run(ctx, n) }),
		// undo charges, waits for a signal, charges again; when that fails it refunds, and
		// refunds again what the signal said.
		workflow.Define("undo", func(ctx workflow.Context, n int) (int, error) {
			var saga workflow.Saga
			if _, err := charge.Run(ctx, n); err != nil {
				return 0, err
			}
			workflow.Compensate(&saga, "first", refund, n)
			m, err := more.Receive(ctx)
			if err != nil {
				return 0, err
			}
			workflow.Compensate(&saga, "second", refund, m)
			out, err := charge.Run(ctx, m)
			if err != nil {
				return 0, saga.Rollback(ctx, err)
			}
			return out, nil
		}, charge, refund, more),
		// loop sleeps for n hours, one after the other.
		workflow.Define("loop", func(ctx workflow.Context, n int) (int, error) {
			return workflow.Loop(ctx, 0, func(ctx workflow.Context, i *int) (bool, error) {
				if err := workflow.Sleep(ctx, time.Hour); err != nil {
					return false, err
				}
				*i++
				return *i == n, nil
			})
		}),
		// once allows one attempt, nolost none after a lost one.
		workflow.Define("once", func(ctx workflow.Context, n int) (int, error) { return once.Run(ctx, n) }, once),
		workflow.Define("nolost", func(ctx workflow.Context, n int) (int, error) { return nolost.Run(ctx, n) }, nolost),
		// move debits two accounts at once, and a third by another key: limits are by account.
		workflow.Define("move", func(ctx workflow.Context, n int) (int, error) {
			a, b := debit.Start(ctx, n), debit.Start(ctx, n+10)
			c := debit.With(workflow.LimitBy(func(int) string { return "store" })).Start(ctx, n)
			err := errors.Join(get(a.Get(ctx)), get(b.Get(ctx)), get(c.Get(ctx)))
			return n, err
		}, debit),
	}
}

// extra are types that only some binaries have. A version 2 begins with a task.
func extra(typ string) workflow.Definition {
	if name, ok := strings.CutSuffix(typ, "@2"); ok {
		return workflow.Define(name, func(ctx workflow.Context, n int) (int, error) { return charge.Run(ctx, n) }, charge, workflow.Version(2))
	}
	return workflow.Define(typ, func(ctx workflow.Context, n int) (int, error) {
		m, _ := more.Receive(ctx)
		return n + m, nil
	}, more)
}
