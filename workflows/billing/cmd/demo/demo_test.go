package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/workflows/billing/apis"
)

const (
	january  = "2026-01-31T23:00:00Z"
	february = "2026-02-28T23:00:00Z"
)

// ledgers writes entries as the APIs would.
func ledgers(t *testing.T, entries ...apis.Entry) *books {
	t.Helper()
	dir := t.TempDir()
	for _, e := range entries {
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
	b := newBooks(dir)
	if err := b.update(); err != nil {
		t.Fatal(err)
	}
	return b
}

// month is a customer's month at all services, as it should be.
func month(customer, month string) (out []apis.Entry) {
	for _, s := range apis.Services() {
		out = append(out, apis.Entry{Service: s, Outcome: apis.Effect, Key: customer + s + month, Customer: customer, Month: month})
	}
	return out
}

// TestJudging: exactly one effect per customer, month and service is right; anything
// else is told.
func TestJudging(t *testing.T) {
	t.Parallel()
	right := slices.Concat(month("ada", january), month("ada", february), month("bela", january), month("bela", february))
	with := func(more ...apis.Entry) []apis.Entry { return slices.Concat(right, more) }
	for name, c := range map[string]struct {
		entries          []apis.Entry
		missing, doubled int
		problem          string
	}{
		"right":           {right, 0, 0, ""},
		"repeats":         {with(apis.Entry{Service: "payment", Outcome: apis.Repeat, Customer: "ada", Month: january}), 0, 0, ""},
		"refused":         {with(apis.Entry{Service: "payment", Outcome: apis.Refused, Customer: "ada", Month: january}), 0, 0, ""},
		"doubled":         {with(apis.Entry{Service: "payment", Outcome: apis.Effect, Key: "other", Customer: "ada", Month: january}), 0, 1, "payment has 2 effects for ada in the month that ended " + january},
		"missing":         {right[1:], 1, 0, "consumption has 1 months of ada, not 2"},
		"a month too far": {with(month("ada", "2026-03-31T22:00:00Z")...), 0, 0, "email has 3 months of ada, not 2"},
		"only refused":    {slices.Concat(right[4:], []apis.Entry{{Service: "payment", Outcome: apis.Refused, Customer: "ada", Month: january}}), 4, 0, "payment has 1 months of ada, not 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			missing, doubled, problems := ledgers(t, c.entries...).judge([]string{"ada", "bela"}, 2)
			if missing != c.missing || doubled != c.doubled {
				t.Errorf("missing %d, doubled %d, want %d and %d", missing, doubled, c.missing, c.doubled)
			}
			if c.problem == "" != (len(problems) == 0) || c.problem != "" && !slices.Contains(problems, c.problem) {
				t.Errorf("problems %q, want %q", problems, c.problem)
			}
		})
	}
}

// TestTallies counts what the screen shows.
func TestTallies(t *testing.T) {
	t.Parallel()
	b := ledgers(t,
		apis.Entry{Service: "payment", Outcome: apis.Refused, Customer: "ada", Month: january},
		apis.Entry{Service: "payment", Outcome: apis.Effect, Customer: "ada", Month: january, Lost: true},
		apis.Entry{Service: "payment", Outcome: apis.Repeat, Customer: "ada", Month: january},
		apis.Entry{Service: "payment", Outcome: apis.Invalid},
		apis.Entry{Service: "email", Outcome: apis.Refused, Customer: "ada", Month: january},
	)
	if got, want := *b.services["payment"], (tally{Calls: 1, Effects: 1, Requests: 4, Repeats: 1, Refused: 1, Lost: 1}); got != want {
		t.Errorf("payment: %+v, want %+v", got, want)
	}
	if got, want := b.total(), (tally{Calls: 2, Effects: 1, Requests: 5, Repeats: 1, Refused: 2, Lost: 1}); got != want {
		t.Errorf("all: %+v, want %+v", got, want)
	}
}

var now = time.Date(2026, 2, 1, 12, 0, 0, 0, time.UTC)

func events(lines ...string) (out []json.RawMessage) {
	for i, l := range lines {
		out = append(out, json.RawMessage(fmt.Sprintf(`{"event":%d,"at":"2026-02-01T11:59:%02dZ",%s}`, i+1, i, l)))
	}
	return out
}

// TestProgress reads a process's state of its history and what it waits for.
func TestProgress(t *testing.T) {
	t.Parallel()
	oneMonth := []string{`"kind":"run_started"`, `"kind":"timer_started"`, `"kind":"timer_fired","timer":2`}
	for i, s := range []string{"consumption", "payment", "invoice", "email"} {
		oneMonth = append(oneMonth, `"kind":"task_scheduled","service":"`+s+`","operation":"do"`, fmt.Sprintf(`"kind":"task_completed","task":%d`, 4+2*i))
	}
	running := func(p api.Pending) *client.Workflow { return &client.Workflow{Status: api.StatusRunning, Pending: &p} }
	for name, c := range map[string]struct {
		run    *client.Workflow
		events []json.RawMessage
		want   progress
	}{
		"waits for the month": {
			running(api.Pending{Timers: []api.PendingTimer{{Due: now.Add(3400 * time.Millisecond)}}}), events(oneMonth[:2]...),
			progress{last: "started", waiting: "end of the month in 3.4 s"},
		},
		"calls the second": {
			running(api.Pending{Tasks: []api.PendingTask{{Service: "payment", Operation: "do", Attempt: 1}}}), events(oneMonth[:6]...),
			progress{done: 1, running: true, last: "consumption.do completed", waiting: "payment.do"},
		},
		"tries again": {
			running(api.Pending{Tasks: []api.PendingTask{{Service: "payment", Operation: "do", Attempt: 3, NextAt: now.Add(time.Second), LastFailure: &api.Failure{Code: "http_503"}}}}),
			events(oneMonth[:6]...),
			progress{done: 1, running: true, last: "consumption.do completed", waiting: "payment.do, attempt 3 after http_503 in 1.0 s"},
		},
		"billed one month": {running(api.Pending{}), events(oneMonth...), progress{billed: 1, last: "email.do completed"}},
		"completed": {
			&client.Workflow{Status: api.StatusCompleted}, events(append(oneMonth, `"kind":"signal_received","name":"unsubscribe"`, `"kind":"run_completed"`)...),
			progress{billed: 1, closed: true, last: "completed", waiting: "done"},
		},
		"stuck": {&client.Workflow{Status: api.StatusRunning, Stuck: &api.Stuck{Code: "panic"}}, events(oneMonth[:1]...), progress{last: "started", waiting: "stuck: panic"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := progressOf("ada", c.run, c.events, now)
			if err != nil {
				t.Fatal(err)
			}
			c.want.customer, c.want.known, c.want.lastAt = "ada", true, got.lastAt
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// TestScreen compares frames with testdata; ODRADEK_UPDATE=1 writes them.
func TestScreen(t *testing.T) {
	t.Parallel()
	b := ledgers(t, append(month("ada", january), apis.Entry{Service: "payment", Outcome: apis.Refused, Customer: "bela", Month: january})...)
	v := view{
		now: now, since: now.Add(-83 * time.Second), month: 8 * time.Second, books: b, http: "127.0.0.1:8080", pid: 4711, ready: true, starts: 2, kills: 1,
		customers: []progress{
			{customer: "ada", known: true, billed: 1, waiting: "end of the month in 3.4 s", last: "email.send completed", lastAt: now.Add(-4600 * time.Millisecond)},
			{customer: "bela", known: true, done: 1, running: true, waiting: "payment.request, attempt 2 after try_later in 0.8 s", last: "consumption.get completed", lastAt: now.Add(-time.Second)},
			{customer: "chidi"},
			{customer: "dora", known: true, closed: true, billed: 2, waiting: "done", last: "completed", lastAt: now.Add(-20 * time.Second)},
		},
		notes: []string{"   80.1 s  process 4600 has ended: signal: killed", "   81.0 s  process 4711 is ready: the processes go on where they were"},
	}
	down := v
	down.pid, down.ready = 0, false
	for name, c := range map[string]struct {
		view  view
		style style
		width int
	}{
		"plain": {v, style{}, 160}, "colour": {v, style{on: true}, 160}, "down": {down, style{}, 160}, "narrow": {v, style{on: true}, 40},
	} {
		got := strings.Join(render(c.view, c.style, c.width), "\n") + "\n"
		path := filepath.Join("testdata", name+".txt")
		if os.Getenv("ODRADEK_UPDATE") != "" {
			if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

// TestDoubledEffectIsTold: the one thing that must never happen is not to be missed.
func TestDoubledEffectIsTold(t *testing.T) {
	t.Parallel()
	if got := verdict(tally{Calls: 4, Effects: 5, Doubled: 1}, style{on: true}); !strings.Contains(got, "\x1b[31m1 effects were done twice") {
		t.Error(got)
	}
}
