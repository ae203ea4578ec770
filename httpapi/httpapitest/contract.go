package httpapitest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/httpapi"
	"github.com/odradek/odradek/internal/filter"
	"github.com/odradek/odradek/record"
)

// guard ends a contract test that hangs; nothing is measured with it.
const guard = 60 * time.Second

// Contract tests an Engine that owns all partitions and runs Definitions. Workflow
// IDs begin with prefix, so that it may be run again on the same state.
func Contract(t *testing.T, e httpapi.Engine, prefix string) {
	c := contract{e, prefix}
	t.Run("start is idempotent by ID and input", c.start)
	t.Run("command ID makes a repeat", c.commandID)
	t.Run("signal", c.signal)
	t.Run("failed run", c.failed)
	t.Run("ended run", c.ended)
	t.Run("update and query", c.update)
	t.Run("stack, filter and count", c.find)
	t.Run("paused type", c.types)
	t.Run("unknown workflow", c.unknown)
	t.Run("wait ends with its context", c.waitEnds)
	t.Run("history is dense", c.history)
	t.Run("list gives every run once", c.list)
}

// types pauses a type in one partition, and lets it go on.
func (c contract) types(t *testing.T) {
	id := c.id(t, "of a paused type")
	c.submit(t, id, &record.Start{CommandID: id, Type: Greeting, Input: []byte(`{"name":"Ada"}`), Reply: true}, record.OutcomeStarted)
	p := c.Partition(id)
	operate := func(op record.Operation, command string, want record.Outcome) {
		t.Helper()
		c.submit(t, Greeting, &record.OperateType{Op: op, Type: Greeting, Partition: p, CommandID: c.prefix + command, Reason: "why", By: "me", Reply: true}, want)
	}
	look := func(want bool) {
		t.Helper()
		run, err := c.Run(context.Background(), id)
		if err != nil || (run.TypePaused != nil) != want || want && (run.TypePaused.Reason != "why" || run.TypePaused.By != "me") {
			t.Errorf("the run's type is %+v, paused: want %v (%v)", run.TypePaused, want, err)
		}
		rows, err := c.TypeRows(context.Background(), p)
		if err != nil || len(rows) != 1 || rows[0].Type != Greeting || (rows[0].Paused() != nil) != want {
			t.Errorf("the partition knows %+v, %v", rows, err)
		}
	}
	operate(record.OperatePause, "1", record.OutcomeApplied)
	operate(record.OperatePause, "2", record.OutcomeRepeated)
	look(true)
	operate(record.OperateResume, "3", record.OutcomeApplied)
	operate(record.OperateResume, "4", record.OutcomeRepeated)
	operate(record.OperatePause, "1", record.OutcomeRepeated)
	look(false)
}

type contract struct {
	httpapi.Engine
	prefix string
}

func (c contract) id(t *testing.T, name string) string {
	t.Helper()
	return c.prefix + "/" + name
}

func (c contract) submit(t *testing.T, id string, b record.Body, want record.Outcome) record.Reply {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	defer cancel()
	r, err := c.Submit(ctx, id, b)
	if err != nil {
		t.Fatalf("submit %T for %q: %v", b, id, err)
	}
	if r.Outcome != want {
		t.Fatalf("submit %T for %q: outcome %v (%s), want %v", b, id, r.Outcome, r.Detail, want)
	}
	return r
}

func start(command, typ, input string) *record.Start {
	return &record.Start{CommandID: command, Type: typ, Input: []byte(input), Reply: true}
}

func signal(command, name, payload string) *record.Signal {
	return &record.Signal{CommandID: command, Name: name, Payload: []byte(payload), Reply: true}
}

func (c contract) closed(t *testing.T, id string) httpapi.Run {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	defer cancel()
	if err := c.WaitClosed(ctx, id); err != nil {
		t.Fatalf("wait for %q: %v", id, err)
	}
	run, err := c.Run(ctx, id)
	if err != nil {
		t.Fatalf("read %q: %v", id, err)
	}
	return run
}

func (c contract) start(t *testing.T) {
	id := c.id(t, "start")
	first := c.submit(t, id, start("s1", Greeting, `{"name":"Ada"}`), record.OutcomeStarted)
	if first.Run.IsZero() {
		t.Error("the reply of a start names no run")
	}
	if r := c.submit(t, id, start("s2", Greeting, ` { "name" : "Ada" }`), record.OutcomeRepeated); r.Run != first.Run {
		t.Errorf("a repeat names run %v, not %v", r.Run, first.Run)
	}
	for _, other := range []*record.Start{start("s3", Greeting, `{"name":"Bob"}`), start("s4", Echo, `{"name":"Ada"}`)} {
		if r := c.submit(t, id, other, record.OutcomeConflict); r.Detail == "" {
			t.Error("a conflict has no detail")
		}
	}
	r := c.submit(t, c.id(t, "misfit"), start("s5", Greeting, `{"nme":"Ada"}`), record.OutcomeInvalid)
	if !strings.Contains(r.Detail, "nme") {
		t.Errorf("the detail %q does not name the field nme", r.Detail)
	}
	run, err := c.Run(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	row := run.Row
	if row.WorkflowID != id || row.Run != first.Run || row.Type != Greeting || row.Version != 1 || row.Status != record.StatusRunning || row.StartedAt == 0 || row.ClosedAt != 0 || row.Events == 0 {
		t.Errorf("the run is %+v", row)
	}
}

func (c contract) commandID(t *testing.T) {
	id := c.id(t, "command")
	first := c.submit(t, id, start("c1", Greeting, `{"name":"Ada"}`), record.OutcomeStarted)
	if r := c.submit(t, id, start("c1", Greeting, `{"name":"Bob"}`), record.OutcomeRepeated); r.Run != first.Run {
		t.Errorf("a repeat names run %v, not %v", r.Run, first.Run)
	}
	c.submit(t, id, signal("c2", Finish, `{"word":"Hello"}`), record.OutcomeApplied)
	c.submit(t, id, signal("c2", Finish, `{"word":"Hello"}`), record.OutcomeRepeated)
	c.closed(t, id)
	c.submit(t, id, signal("c2", Finish, `{"word":"Hello"}`), record.OutcomeRepeated) // also when closed
}

func (c contract) signal(t *testing.T) {
	id := c.id(t, "signal")
	c.submit(t, id, signal("g0", Finish, `{"word":"Hello"}`), record.OutcomeNotFound)
	c.submit(t, id, start("g1", Greeting, `{"name":"Ada"}`), record.OutcomeStarted)
	if r := c.submit(t, id, signal("g2", "nonsense", `{}`), record.OutcomeInvalid); !strings.Contains(r.Detail, Finish) {
		t.Errorf("the detail %q does not name the signals that there are", r.Detail)
	}
	if r := c.submit(t, id, signal("g3", Finish, `{"word":1}`), record.OutcomeInvalid); !strings.Contains(r.Detail, "word") {
		t.Errorf("the detail %q does not name the field word", r.Detail)
	}
	c.submit(t, id, signal("g4", Finish, `{"word":"Hello"}`), record.OutcomeApplied)
	run := c.closed(t, id)
	if run.Row.Status != record.StatusCompleted || string(run.Result) != `{"text":"Hello Ada"}` || run.Row.ClosedAt == 0 {
		t.Errorf("the run is %v with result %s", run.Row.Status, run.Result)
	}
	c.submit(t, id, signal("g5", Finish, `{"word":"Hello"}`), record.OutcomeClosed)
	c.submit(t, id, start("g6", Greeting, `{"name":"Ada"}`), record.OutcomeRepeated)
}

func (c contract) failed(t *testing.T) {
	id := c.id(t, "failed")
	c.submit(t, id, start("f1", Greeting, `{"name":"Ada"}`), record.OutcomeStarted)
	c.submit(t, id, signal("f2", Finish, `{"fail":"no words"}`), record.OutcomeApplied)
	run := c.closed(t, id)
	if run.Row.Status != record.StatusFailed || run.Failure == nil || run.Failure.Message != "no words" || run.Failure.Kind != record.FailureApplication {
		t.Errorf("the run is %v with failure %+v", run.Row.Status, run.Failure)
	}
}

// ended: a cancelled run ends by its code, a terminated one without it.
func (c contract) ended(t *testing.T) {
	for name, e := range map[string]struct {
		command  func(id string) record.Body
		status   record.Status
		contains string
	}{
		"cancel": {func(id string) record.Body {
			return &record.Cancel{CommandID: id, Reason: "enough", By: "me", Reply: true}
		}, record.StatusCancelled, "enough"},
		"terminate": {func(id string) record.Body {
			return &record.Terminate{CommandID: id, Reason: "enough", By: "me", Reply: true}
		}, record.StatusTerminated, "enough"},
	} {
		id := c.id(t, name)
		c.submit(t, id, e.command("e0"), record.OutcomeNotFound)
		c.submit(t, id, start("e1", Greeting, `{"name":"Ada"}`), record.OutcomeStarted)
		c.submit(t, id, e.command("e2"), record.OutcomeApplied)
		run := c.closed(t, id)
		if run.Row.Status != e.status || run.Failure == nil || !strings.Contains(run.Failure.Message, e.contains) || run.Failure.Kind != record.FailureCancelled {
			t.Errorf("%s: the run is %v with failure %+v", name, run.Row.Status, run.Failure)
		}
		c.submit(t, id, e.command("e2"), record.OutcomeRepeated)
		c.submit(t, id, e.command("e3"), record.OutcomeClosed)
	}
}

func (c contract) update(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	defer cancel()
	id := c.id(t, "update")
	update := func(command, name, payload string) *record.Update {
		return &record.Update{CommandID: command, Name: name, Payload: []byte(payload), Reply: true}
	}
	c.submit(t, id, update("u0", Rename, `{"name":"Bob"}`), record.OutcomeNotFound)
	c.submit(t, id, start("u1", Greeting, `{"name":"Ada"}`), record.OutcomeStarted)
	c.submit(t, id, update("u2", Rename, `{"name":"Bob"}`), record.OutcomeApplied)
	c.submit(t, id, update("u2", Rename, `{"name":"Bob"}`), record.OutcomeRepeated)
	c.submit(t, id, update("u3", Rename, `{"nme":"Bob"}`), record.OutcomeInvalid)
	c.submit(t, id, update("u4", "dress", `{}`), record.OutcomeInvalid)
	if r := c.submit(t, id, update("u5", Rename, `{"name":""}`), record.OutcomeRefused); !strings.Contains(r.Detail, NameMissing) {
		t.Errorf("the detail %q does not say why", r.Detail)
	}
	if err := c.WaitUpdate(ctx, id, "u2"); err != nil {
		t.Fatal(err)
	}
	if u, err := c.Update(ctx, id, "u2"); err != nil || u.Open || string(u.Result) != `"Ada"` || u.Name != Rename || u.Run.IsZero() {
		t.Errorf("the update is %+v, %v", u, err)
	}
	for _, unknown := range []string{"u3", "u5", "never"} {
		if u, err := c.Update(ctx, id, unknown); !errors.Is(err, httpapi.ErrNotFound) {
			t.Errorf("update %s is %+v, %v", unknown, u, err)
		}
	}
	for _, stale := range []bool{false, true} {
		a, age, err := c.Query(ctx, id, Name, nil, stale)
		if err != nil || a.Outcome != record.OutcomeApplied || string(a.Result) != `"Bob"` || !stale && age != 0 {
			t.Errorf("the query gives %+v, %v, %v", a, age, err)
		}
	}
	if a, _, err := c.Query(ctx, id, "age", nil, false); err != nil || a.Outcome != record.OutcomeInvalid {
		t.Errorf("an unknown query gives %+v, %v", a, err)
	}
	if a, _, err := c.Query(ctx, c.id(t, "nobody"), Name, nil, false); err != nil || a.Outcome != record.OutcomeNotFound {
		t.Errorf("a query of nobody gives %+v, %v", a, err)
	}
	c.submit(t, id, &record.Terminate{CommandID: "u6", Reply: true}, record.OutcomeApplied)
	c.closed(t, id)
	c.submit(t, id, update("u7", Rename, `{"name":"Bob"}`), record.OutcomeClosed)
	if u, err := c.Update(ctx, id, "u2"); err != nil || string(u.Result) != `"Ada"` {
		t.Errorf("of a closed run, the update is %+v, %v", u, err)
	}
}

func (c contract) find(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	defer cancel()
	id := c.id(t, "find")
	c.submit(t, id, start("f1", Greeting, `{"name":"Ada"}`), record.OutcomeStarted)
	v, a, err := c.Stack(ctx, id)
	if err != nil || a.Outcome != record.OutcomeApplied || v.Details != "greets Ada" || len(v.Threads) != 1 || v.Threads[0].For != "signal finish" || len(v.Threads[0].Stack) == 0 {
		t.Errorf("the stack is %+v, %+v, %v", v, a, err)
	}
	if _, a, err := c.Stack(ctx, c.id(t, "nobody")); err != nil || a.Outcome != record.OutcomeNotFound {
		t.Errorf("the stack of nobody is %+v, %v", a, err)
	}
	f, err := filter.Parse(fmt.Sprintf("id = %q and status = running", id), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	q := httpapi.ListQuery{Filter: f, Limit: 10}
	rows, err := c.List(ctx, c.Partition(id), q)
	if err != nil || len(rows) != 1 || rows[0].WorkflowID != id {
		t.Errorf("the filter finds %+v, %v", rows, err)
	}
	if n, err := c.Count(ctx, c.Partition(id), q); err != nil || n != 1 {
		t.Errorf("the count is %d, %v", n, err)
	}
	c.submit(t, id, signal("f2", Finish, `{"word":"Hello"}`), record.OutcomeApplied)
	c.closed(t, id)
	if n, err := c.Count(ctx, c.Partition(id), q); err != nil || n != 0 {
		t.Errorf("the count of what is closed is %d, %v", n, err)
	}
	if v, _, err := c.Stack(ctx, id); err != nil || len(v.Threads) != 0 {
		t.Errorf("the stack of what is closed is %+v, %v", v, err)
	}
}

func (c contract) unknown(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	defer cancel()
	id := c.id(t, "unknown")
	if _, err := c.Run(ctx, id); !errors.Is(err, httpapi.ErrNotFound) {
		t.Errorf("Run: %v, want ErrNotFound", err)
	}
	if _, err := c.History(ctx, id, record.RunID{1}, 1, 10); !errors.Is(err, httpapi.ErrNotFound) {
		t.Errorf("History: %v, want ErrNotFound", err)
	}
	if err := c.WaitClosed(ctx, id); !errors.Is(err, httpapi.ErrNotFound) {
		t.Errorf("WaitClosed: %v, want ErrNotFound", err)
	}
}

func (c contract) waitEnds(t *testing.T) {
	id := c.id(t, "wait")
	c.submit(t, id, start("w1", Greeting, `{"name":"Ada"}`), record.OutcomeStarted)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.WaitClosed(ctx, id); !errors.Is(err, context.Canceled) {
		t.Errorf("WaitClosed: %v, want context.Canceled", err)
	}
}

func (c contract) history(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	defer cancel()
	id := c.id(t, "history")
	run := c.submit(t, id, start("h1", Greeting, `{"name":"Ada"}`), record.OutcomeStarted).Run
	c.submit(t, id, signal("h2", Finish, `{"word":"Hello"}`), record.OutcomeApplied)
	total := c.closed(t, id).Row.Events
	var kinds []string
	for from := uint64(1); ; {
		page, err := c.History(ctx, id, run, from, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range page {
			var e struct {
				Event uint64
				Kind  string
				At    time.Time
			}
			if err := json.Unmarshal(raw, &e); err != nil {
				t.Fatalf("history event %s: %v", raw, err)
			}
			if e.Event != from || e.At.IsZero() {
				t.Fatalf("history event %s has not the number %d, or no time", raw, from)
			}
			kinds = append(kinds, e.Kind)
			from++
		}
		if len(page) < 3 {
			break
		}
	}
	if want := "run_started signal_received signal_consumed run_completed"; strings.Join(kinds, " ") != want {
		t.Errorf("the history is %v, want %s", kinds, want)
	}
	if uint64(len(kinds)) != total {
		t.Errorf("the history has %d events, the run says %d", len(kinds), total)
	}
	if _, err := c.History(ctx, id, record.RunID{1}, 1, 1); !errors.Is(err, httpapi.ErrNotFound) {
		t.Errorf("History of another run: %v, want ErrNotFound", err)
	}
}

func (c contract) list(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	defer cancel()
	const n = 20
	want := map[string]record.Status{}
	for i := range n {
		id := c.id(t, fmt.Sprintf("list-%d", i))
		command := fmt.Sprintf("l%d", i)
		if i%2 == 0 {
			c.submit(t, id, start(command, Echo, `1`), record.OutcomeStarted)
			c.closed(t, id)
			want[id] = record.StatusCompleted
		} else {
			c.submit(t, id, start(command, Greeting, `{"name":"Ada"}`), record.OutcomeStarted)
			want[id] = record.StatusRunning
		}
	}
	for _, q := range []httpapi.ListQuery{
		{}, {Type: Echo}, {Type: Greeting}, {Status: record.StatusRunning}, {Status: record.StatusCompleted},
		{Type: Greeting, Status: record.StatusRunning}, {Type: Echo, Status: record.StatusFailed},
	} {
		seen := map[string]bool{}
		for p := range c.Partitions() {
			c.listPartition(ctx, t, p, q, seen)
		}
		for id, status := range want {
			typ := Greeting
			if status == record.StatusCompleted {
				typ = Echo
			}
			matches := (q.Type == "" || q.Type == typ) && (q.Status == record.StatusNone || q.Status == status)
			if seen[id] != matches {
				t.Errorf("query %+v: %q is listed: %v, want %v", q, id, seen[id], matches)
			}
		}
	}
}

func (c contract) listPartition(ctx context.Context, t *testing.T, p int32, q httpapi.ListQuery, seen map[string]bool) {
	t.Helper()
	q.Limit, q.After = 2, httpapi.ListPosition{}
	for {
		rows, err := c.List(ctx, p, q)
		if err != nil {
			t.Fatalf("list partition %d: %v", p, err)
		}
		for _, r := range rows {
			at := httpapi.ListPosition{StartedAt: r.StartedAt, Run: r.Run}
			if seen[r.WorkflowID] {
				t.Errorf("partition %d, query %+v: %q is listed twice", p, q, r.WorkflowID)
			}
			if c.Partition(r.WorkflowID) != p {
				t.Errorf("partition %d lists %q, which belongs to %d", p, r.WorkflowID, c.Partition(r.WorkflowID))
			}
			if !q.After.IsZero() && !q.After.Before(at) {
				t.Errorf("partition %d: %q does not come after %+v", p, r.WorkflowID, q.After)
			}
			seen[r.WorkflowID], q.After = true, at
		}
		if len(rows) < q.Limit {
			return
		}
	}
}
