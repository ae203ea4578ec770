package machine

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/odradek/odradek/record"
)

// rowMap is a store in a map: what a RowWriter has written so far.
type rowMap map[string]string

func (m rowMap) put(kind string, r *record.RunRow, sub, value any) {
	m[fmt.Sprintf("%s/%s/%v", kind, r.Run, sub)] = fmt.Sprintf("%+v", value)
}

func (m rowMap) del(kind string, r *record.RunRow, sub any) {
	delete(m, fmt.Sprintf("%s/%s/%v", kind, r.Run, sub))
}
func (m rowMap) PutRun(r *record.RunRow)                         { m.put("run", r, "", *r) }
func (m rowMap) DeleteRun(r *record.RunRow)                      { m.del("run", r, "") }
func (m rowMap) PutTask(r *record.RunRow, t *record.TaskRow)     { m.put("task", r, t.No, *t) }
func (m rowMap) DeleteTask(r *record.RunRow, no uint64)          { m.del("task", r, no) }
func (m rowMap) PutTimer(r *record.RunRow, t *record.TimerRow)   { m.put("timer", r, t.No, *t) }
func (m rowMap) DeleteTimer(r *record.RunRow, no uint64)         { m.del("timer", r, no) }
func (m rowMap) PutSignal(r *record.RunRow, s *record.SignalRow) { m.put("signal", r, s.No, *s) }
func (m rowMap) DeleteSignal(r *record.RunRow, no uint64)        { m.del("signal", r, no) }
func (m rowMap) PutChild(r *record.RunRow, c *record.ChildRow)   { m.put("child", r, c.No, *c) }
func (m rowMap) DeleteChild(r *record.RunRow, no uint64)         { m.del("child", r, no) }
func (m rowMap) PutUpdate(r *record.RunRow, u *record.UpdateRow) { m.put("update", r, u.No, *u) }
func (m rowMap) DeleteUpdate(r *record.RunRow, no uint64)        { m.del("update", r, no) }
func (m rowMap) PutCommand(r *record.RunRow, c *record.CommandRow) {
	m.put("command", r, c.CommandID, *c)
}
func (m rowMap) DeleteCommand(r *record.RunRow, id string) { m.del("command", r, id) }
func (m rowMap) PutDue(d record.Due)                       { m[fmt.Sprintf("due/%+v", d)] = "" }
func (m rowMap) DeleteDue(d record.Due)                    { delete(m, fmt.Sprintf("due/%+v", d)) }
func (m rowMap) PutListing(r *record.RunRow)               { m.put("listing", r, r.Status, "") }
func (m rowMap) DeleteListing(r *record.RunRow)            { m.del("listing", r, r.Status) }
func (m rowMap) PutAttributes(r *record.RunRow, as []record.Attribute) {
	m.put("attributes", r, "", fmt.Sprint(as))
}
func (m rowMap) DeleteAttributes(r *record.RunRow) { m.del("attributes", r, "") }
func (m rowMap) PutIndex(r *record.RunRow, a *record.Attribute) {
	m.put("index", r, fmt.Sprint(*a), "")
}
func (m rowMap) DeleteIndex(r *record.RunRow, a *record.Attribute)      { m.del("index", r, fmt.Sprint(*a)) }
func (m rowMap) PutChunk(*record.RunRow, uint32, []record.HistoryEvent) {}
func (m rowMap) DeleteChunk(*record.RunRow, uint32)                     {}
func (m rowMap) PutAttempt(r *record.RunRow, a *record.AttemptRow)      { m.put("attempt", r, a.Task, *a) }
func (m rowMap) DeleteAttempt(r *record.RunRow, task uint64)            { m.del("attempt", r, task) }
func (m rowMap) PutStuck(r *record.RunRow, s *record.StuckRow)          { m.put("stuck", r, "", *s) }
func (m rowMap) DeleteStuck(r *record.RunRow)                           { m.del("stuck", r, "") }
func (m rowMap) PutInbox(r *record.RunRow, i *record.InboxRow)          { m.put("inbox", r, i.No, i.Timer) }
func (m rowMap) DeleteInbox(r *record.RunRow, no uint64)                { m.del("inbox", r, no) }
func (m rowMap) PutSummary(s *record.SummaryRow)                        { m.put("summary", &s.RunRow, "", s.ExpireAt) }
func (m rowMap) DeleteSummary(s *record.SummaryRow)                     { m.del("summary", &s.RunRow, "") }

// history draws one more event that is possible in the state.
func drawEvent(t *rapid.T, s *State) record.HistoryBody {
	var could []record.HistoryBody
	could = append(could,
		&record.SignalReceived{Name: "s", CommandID: fmt.Sprintf("c%d", s.Run.Events)},
		&record.TaskScheduled{Service: "a", Operation: "b"},
		&record.TimerStarted{Due: record.Millis(rapid.Int64Range(1, 1000).Draw(t, "due"))},
		&record.LocalScheduled{Name: "l"},
		&record.PatchMarked{ID: "p"},
		&record.AttributesSet{Attributes: []record.Attribute{{Name: "a", Type: record.AttributeInt, Value: []byte{rapid.Byte().Draw(t, "value")}}}},
		&record.AttributesSet{Attributes: []record.Attribute{{Name: "a", Type: record.AttributeInt}}},
		&record.ChildScheduled{WorkflowID: "c", Type: "t"},
		&record.WorkflowAwaited{WorkflowID: "o"},
		&record.UpdateReceived{Name: "u", CommandID: fmt.Sprintf("c%d", s.Run.Events)},
		&record.CancelRequested{CommandID: fmt.Sprintf("c%d", s.Run.Events)},
	)
	for i := range s.Children {
		could = append(could, &record.ChildClosed{Child: s.Children[i].No}, &record.ChildCancelRequested{Child: s.Children[i].No}, &record.AwaitReceived{})
	}
	for i := range s.Updates {
		could = append(could, &record.UpdateCompleted{Update: s.Updates[i].No})
	}
	for i := range s.Tasks {
		could = append(could, &record.TaskCancelled{Task: s.Tasks[i].No}, &record.HistoryTaskCompleted{Task: s.Tasks[i].No}, &record.HistoryTaskFailed{Task: s.Tasks[i].No})
	}
	for i := range s.Timers {
		could = append(could, &record.TimerFired{Timer: s.Timers[i].No}, &record.TimerCancelled{Timer: s.Timers[i].No})
	}
	for i := range s.Signals {
		could = append(could, &record.SignalConsumed{Signal: s.Signals[i].No})
	}
	if rapid.IntRange(0, 30).Draw(t, "close") == 0 {
		could = []record.HistoryBody{&record.RunCompleted{Retain: time.Hour}, &record.RunFailed{Retain: time.Hour},
			&record.RunCancelled{Retain: time.Hour}, &record.RunTerminated{Retain: time.Hour}, &record.RunContinued{Retain: time.Hour}}
	}
	return rapid.SampledFrom(could).Draw(t, "event")
}

// TestRowsDoNotDependOnBatches: M3. One run is folded three times: flushed after
// every change, at random, and once at the end.
func TestRowsDoNotDependOnBatches(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		run := record.DeriveRunID("w", record.Origin{Offset: 7}, 1)
		states := []*State{NewState("w", run), NewState("w", run), NewState("w", run)}
		stores := []rowMap{{}, {}, {}}
		each := func(f func(*State)) {
			for i, s := range states {
				f(s)
				if i == 0 || i == 1 && rapid.Bool().Draw(t, "flush") {
					s.Flush(stores[i])
				}
			}
		}
		each(func(s *State) {
			Apply(s, record.HistoryEvent{No: 1, At: 1, Body: &record.RunStarted{Type: "t", CommandID: "c"}}, 1)
		})
		chunk := uint32(1)
		for n := rapid.IntRange(0, 60).Draw(t, "events"); n > 0 && !states[0].Run.Status.Closed(); n-- {
			chunk += uint32(rapid.IntRange(0, 1).Draw(t, "chunk"))
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				if len(states[0].Tasks) > 0 {
					task := states[0].Tasks[rapid.IntRange(0, len(states[0].Tasks)-1).Draw(t, "task")].No
					row := record.AttemptRow{Task: task, Open: states[0].OpenAttempt(task) + 1, NextAt: record.Millis(rapid.Int64Range(0, 3).Draw(t, "next"))}
					each(func(s *State) { s.SetAttempt(row) })
				}
			case 1:
				row := &record.StuckRow{Code: "panic", RetryAt: record.Never}
				if states[0].Stuck != nil {
					row = nil
				}
				each(func(s *State) { s.SetStuck(row) })
			case 2:
				if len(states[0].Inbox) > 0 && rapid.Bool().Draw(t, "take") {
					each(func(s *State) { s.DeleteInbox(s.Inbox[0].No) })
					continue
				}
				timer := uint64(n)
				no := uint64(1)
				if k := len(states[0].Inbox); k > 0 {
					no = states[0].Inbox[k-1].No + 1
				}
				each(func(s *State) { s.AddInbox(record.InboxRow{No: no, Timer: timer}) })
			default:
				e := record.HistoryEvent{No: states[0].Run.Events + 1, At: record.Millis(n), Body: drawEvent(t, states[0])}
				each(func(s *State) { Apply(s, e, chunk) })
			}
		}
		if states[0].Run.Status.Closed() && rapid.Bool().Draw(t, "drop") {
			var commands []record.CommandRow
			for no := uint64(1); no <= states[0].Run.Events; no++ {
				commands = append(commands, record.CommandRow{CommandID: fmt.Sprintf("c%d", no-1)})
			}
			commands = append(commands, record.CommandRow{CommandID: "c"})
			if rapid.Bool().Draw(t, "summary") {
				each(func(s *State) { s.SetSummary(&record.SummaryRow{RunRow: s.Run, ExpireAt: 99}) })
			}
			for i, s := range states {
				s.Flush(stores[i])
			}
			each(func(s *State) { s.Drop(commands) })
		}
		for i, s := range states {
			s.Flush(stores[i])
		}
		for i := 1; i < 3; i++ {
			if d := cmp.Diff(stores[0], stores[i]); d != "" {
				t.Fatalf("rows differ with the flushes of case %d (-every change, +case):\n%s", i, d)
			}
		}
		if states[0].Gone && states[0].Summary == nil && len(stores[0]) > 0 {
			t.Fatalf("a run that is gone leaves rows: %v", stores[0])
		}
	})
}

func TestApplyRefusesAGapInTheHistory(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("event 3 was applied after event 1")
		}
	}()
	s := started(t)
	Apply(s, record.HistoryEvent{No: 3, Body: &record.TimerStarted{}}, 1)
}

func started(t *testing.T, bodies ...record.HistoryBody) *State {
	t.Helper()
	s := NewState("w", record.DeriveRunID("w", record.Origin{}, 1))
	Apply(s, record.HistoryEvent{No: 1, At: 1, Body: &record.RunStarted{Type: "t"}}, 1)
	for i, b := range bodies {
		Apply(s, record.HistoryEvent{No: uint64(i + 2), At: 1, Body: b}, 1)
	}
	return s
}

// TestResultsAreAppliedOnce: W1.
func TestResultsAreAppliedOnce(t *testing.T) {
	t.Parallel()
	retryable := record.Failure{Kind: "http", Retryable: true}
	type result struct {
		attempt uint32
		fail    *record.Failure
	}
	for name, c := range map[string]struct {
		policy  record.RetryPolicy
		results []result
		want    []string
	}{
		"success closes":                         {results: []result{{1, nil}, {1, nil}}, want: []string{"task_completed", "task_closed"}},
		"failure opens the next attempt":         {results: []result{{1, &retryable}, {1, &retryable}}, want: []string{"attempt 2", "attempt_not_open"}},
		"late success of an old attempt closes":  {results: []result{{1, &retryable}, {1, nil}}, want: []string{"attempt 2", "task_completed"}},
		"failure of an attempt not yet sent":     {results: []result{{1, &retryable}, {2, &retryable}}, want: []string{"attempt 2", "attempt_not_open"}},
		"attempt 0 means the open one":           {results: []result{{0, &retryable}, {0, &retryable}}, want: []string{"attempt 2", "attempt_not_open"}},
		"not retryable fails the task":           {results: []result{{1, &record.Failure{Kind: "http"}}}, want: []string{"task_failed"}},
		"the policy's last attempt fails it too": {policy: record.RetryPolicy{MaxAttempts: 1}, results: []result{{1, &retryable}}, want: []string{"task_failed"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := started(t, &record.TaskScheduled{Service: "a", Operation: "b", Policy: c.policy})
			id := record.TaskID{Run: s.Run.Run, No: 2}
			for i, r := range c.results {
				var got Received
				if r.fail != nil {
					got = ReceiveFailed(s, &record.TaskFailed{Task: id, Attempt: r.attempt, Failure: *r.fail}, 10)
				} else {
					got = ReceiveCompleted(s, &record.TaskCompleted{Task: id, Attempt: r.attempt})
				}
				what := got.Ignored
				switch {
				case got.Attempt != nil:
					what = fmt.Sprintf("attempt %d", got.Attempt.Open)
					s.SetAttempt(*got.Attempt)
				case got.Event != nil:
					what = got.Event.HistoryKind().String()
					Apply(s, record.HistoryEvent{No: s.Run.Events + 1, At: 11, Body: got.Event}, 2)
				}
				if what != c.want[i] {
					t.Errorf("result %d means %q, want %q", i+1, what, c.want[i])
				}
			}
		})
	}
}

func TestResultOfAnotherRunIsIgnored(t *testing.T) {
	t.Parallel()
	s := started(t, &record.TaskScheduled{Service: "a", Operation: "b"})
	other := record.TaskID{Run: record.DeriveRunID("x", record.Origin{}, 1), No: 2}
	if got := ReceiveCompleted(s, &record.TaskCompleted{Task: other}); got.Ignored != "run_unknown" {
		t.Errorf("got %+v", got)
	}
	if got := ReceiveCompleted(nil, &record.TaskCompleted{Task: other}); got.Ignored != "run_unknown" {
		t.Errorf("got %+v", got)
	}
}

func TestBackoffGrowsWithinItsBounds(t *testing.T) {
	t.Parallel()
	task := record.TaskID{Run: record.DeriveRunID("w", record.Origin{}, 1), No: 2}
	for attempt, base := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second, 64 * time.Second, 100 * time.Second, 100 * time.Second} {
		got := Backoff(record.RetryPolicy{}, task, uint32(attempt+1))
		if got < base*8/10 || got > min(base*12/10, RetryMax) {
			t.Errorf("pause after attempt %d is %v, want %v +-20%% and at most %v", attempt+1, got, base, RetryMax)
		}
		if again := Backoff(record.RetryPolicy{}, task, uint32(attempt+1)); again != got {
			t.Errorf("pause after attempt %d is %v, then %v", attempt+1, got, again)
		}
	}
	if got := Backoff(record.RetryPolicy{}, task, 1<<31); got > RetryMax {
		t.Errorf("pause after attempt 2^31 is %v", got)
	}
}

func TestRetryAfterIsObeyed(t *testing.T) {
	t.Parallel()
	for after, want := range map[time.Duration]time.Duration{30 * time.Second: 30 * time.Second, 50 * time.Hour: RetryAfterMax} {
		s := started(t, &record.TaskScheduled{Service: "a", Operation: "b"})
		got := ReceiveFailed(s, &record.TaskFailed{Task: record.TaskID{Run: s.Run.Run, No: 2}, Attempt: 1, Failure: record.Failure{Retryable: true, RetryAfter: after}}, 1000)
		if got.Attempt == nil || got.Attempt.NextAt != record.Millis(1000).Add(want) {
			t.Errorf("Retry-After %v: %+v, want a pause of %v", after, got.Attempt, want)
		}
	}
}

type typ struct{ input, signal error }

func (t typ) CheckInput([]byte) error          { return t.input }
func (t typ) CheckSignal(string, []byte) error { return t.signal }
func (t typ) CheckUpdate(string, []byte) error { return t.signal }

// TestStarts: I2, S3.
func TestStarts(t *testing.T) {
	t.Parallel()
	running, ended := started(t), started(t)
	Apply(ended, record.HistoryEvent{No: ended.Run.Events + 1, At: 9, Body: &record.RunCompleted{}}, ended.Run.Chunks)
	for name, c := range map[string]struct {
		s      *State
		reuse  record.ReusePolicy
		known  bool
		typ    string
		input  uint64
		code   Type
		refuse bool
		want   record.Outcome
	}{
		"new":                        {typ: "t", code: typ{}, want: record.OutcomeStarted},
		"unknown type waits":         {typ: "x", want: record.OutcomeStarted},
		"unknown type refused":       {typ: "x", refuse: true, want: record.OutcomeUnknownType},
		"input does not fit":         {typ: "t", code: typ{input: errors.New("month: not a number")}, want: record.OutcomeInvalid},
		"same input":                 {s: running, typ: "t", input: 1, code: typ{}, want: record.OutcomeRepeated},
		"other input":                {s: running, typ: "t", input: 2, code: typ{}, want: record.OutcomeConflict},
		"other type":                 {s: running, typ: "x", input: 1, want: record.OutcomeConflict},
		"reused":                     {s: ended, reuse: record.ReuseClosed, typ: "t", input: 1, code: typ{}, want: record.OutcomeStarted},
		"reused, of a failed run":    {s: ended, reuse: record.ReuseFailed, typ: "t", input: 2, code: typ{}, want: record.OutcomeConflict},
		"reused too early":           {s: running, reuse: record.ReuseClosed, typ: "t", input: 2, code: typ{}, want: record.OutcomeConflict},
		"reused by force":            {s: running, reuse: record.ReuseTerminate, typ: "t", input: 1, code: typ{}, want: record.OutcomeStarted},
		"reused, known command":      {s: ended, reuse: record.ReuseTerminate, typ: "t", known: true, code: typ{}, want: record.OutcomeRepeated},
		"known command, other input": {s: running, typ: "t", input: 2, known: true, code: typ{}, want: record.OutcomeRepeated},
	} {
		got := ReceiveStart(c.s, &record.Start{Type: c.typ, CommandID: "c", Reuse: c.reuse}, c.input, Existing{Known: c.known, Type: "t", Input: 1}, c.code, 1, c.refuse)
		if got.Outcome != c.want || (got.Event != nil) != (c.want == record.OutcomeStarted) || got.Outcome.Rejected() == (got.Detail == "") {
			t.Errorf("%s: %+v, want %s", name, got, c.want)
		}
	}
}

func TestSignals(t *testing.T) {
	t.Parallel()
	closed := started(t, &record.RunCompleted{})
	for name, c := range map[string]struct {
		s     *State
		known bool
		code  Type
		want  record.Outcome
	}{
		"running":          {s: started(t), code: typ{}, want: record.OutcomeApplied},
		"without code":     {s: started(t), want: record.OutcomeApplied},
		"known":            {s: started(t), known: true, code: typ{}, want: record.OutcomeRepeated},
		"known, closed":    {s: closed, known: true, code: typ{}, want: record.OutcomeRepeated},
		"closed":           {s: closed, code: typ{}, want: record.OutcomeClosed},
		"unknown workflow": {want: record.OutcomeNotFound},
		"does not fit":     {s: started(t), code: typ{signal: errors.New("no")}, want: record.OutcomeInvalid},
	} {
		got := ReceiveSignal(c.s, "w", &record.Signal{Name: "s"}, c.known, c.code)
		if got.Outcome != c.want || (got.Event != nil) != (c.want == record.OutcomeApplied) {
			t.Errorf("%s: %+v, want %s", name, got, c.want)
		}
	}
}

// TestTurnLimits: T5, F5, P5.
func TestTurnLimits(t *testing.T) {
	t.Parallel()
	task := func(n int) record.HistoryBody { return &record.TaskScheduled{Service: "a", Input: make([]byte, n)} }
	many := func(n, size int) (ds []record.HistoryBody) {
		for range n {
			ds = append(ds, task(size))
		}
		return ds
	}
	fine := func(string) *Refusal { return nil }
	for name, c := range map[string]struct {
		decisions   []record.HistoryBody
		deliverable func(string) *Refusal
		want        string
	}{
		"within":         {many(10_000, 0), fine, ""},
		"one too many":   {many(10_001, 0), fine, "turn_limit"},
		"too many bytes": {many(17, 500<<10), fine, "turn_limit"},
		"payload":        {many(1, PayloadBytesMax+1), fine, "payload_too_large"},
		"undeliverable":  {many(1, 1), func(string) *Refusal { return &Refusal{Code: "output"} }, "output"},
	} {
		events, refusal := Decide(DecideConfig{Deliverable: c.deliverable}, 5, 1, c.decisions)
		if got := maps.Collect(func(yield func(string, bool) bool) {
			if refusal != nil {
				yield(refusal.Code, true)
			}
		}); c.want != "" && !got[c.want] || c.want == "" && (refusal != nil || len(events) != len(c.decisions) || events[0].No != 5) {
			t.Errorf("%s: refusal %v, want %q", name, refusal, c.want)
		}
	}
}

// TestFailuresThatSpendNoAttempt: nobody has tried the task; a failure for good is one.
func TestFailuresThatSpendNoAttempt(t *testing.T) {
	t.Parallel()
	for kind, codes := range map[string][]string{
		record.FailureQuarantined: {"worker_died"},
		record.FailureBinding:     {"unbound_operation"},
		record.FailureWorker:      {"key_limited", "task_old", "partition_draining"},
		record.FailureEngine:      {"local_task_missing", CodeAttemptLost},
	} {
		for _, code := range codes {
			if f := (record.Failure{Kind: kind, Code: code, Retryable: true}); !uncounted(&f) {
				t.Errorf("%s %s spends an attempt", kind, code)
			}
			if f := (record.Failure{Kind: kind, Code: code}); uncounted(&f) {
				t.Errorf("%s %s, for good, spends none", kind, code)
			}
		}
	}
	for _, f := range []record.Failure{
		{Kind: record.FailureHTTP, Code: "http_503", Retryable: true}, {Kind: record.FailureBinding, Code: "result_not_mapped", Retryable: true},
		{Kind: record.FailureWorker, Code: "task_undecodable", Retryable: true}, {Kind: record.FailureApplication, Code: "key_limited", Retryable: true},
	} {
		if uncounted(&f) {
			t.Errorf("%s %s spends no attempt", f.Kind, f.Code)
		}
	}
}
