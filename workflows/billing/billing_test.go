package billing_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/engine/replay"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflows/billing"
)

// TestEachMonthIsBilledOnce: over three years with a leap year and six changes of the
// clocks, each month's four calls are made in order, with each other's results, and
// none before the month has ended in the customer's zone.
func TestEachMonthIsBilledOnce(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	w := begin(t, time.Date(2027, 1, 17, 9, 30, 0, 0, time.UTC), billing.Subscription{
		Customer: "c-7", Calendar: billing.Calendar{Zone: "Europe/Berlin"}, Months: 36,
	})
	w.runUntilClosed()
	var want []string
	cents := int64(0)
	for m := range 36 {
		due := time.Date(2027, time.Month(2+m), 1, 0, 0, 0, 0, berlin).UTC()
		at, units := due.Format(time.RFC3339), unitsOf(due)
		cents += units * 31
		want = append(want,
			fmt.Sprintf(`%s consumption/get {"customer":"c-7","due":"%s"}`, at, at),
			fmt.Sprintf(`%s payment/request {"customer":"c-7","due":"%s","cents":%d}`, at, at, units*31),
			fmt.Sprintf(`%s invoice/create {"customer":"c-7","due":"%s","units":%d,"payment":{"id":"p-%s","cents":%d}}`, at, at, units, at, units*31),
			fmt.Sprintf(`%s email/send {"customer":"c-7","due":"%s","invoice":"i-%s"}`, at, at, at),
		)
	}
	w.called(want)
	if want := (billing.Summary{Customer: "c-7", Months: 36, Cents: cents, LastInvoice: "i-2029-12-31T23:00:00Z"}); w.result() != want {
		t.Errorf("got %+v, want %+v", w.result(), want)
	}
}

// TestUnsubscribing: between two months, before the first, and while a month is
// being billed, which is then billed to its end.
func TestUnsubscribing(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 5, 10, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		at     time.Time
		slow   time.Duration // each answer
		months uint
	}{
		"before the first month": {start.Add(time.Hour), 0, 0},
		"between two months":     {time.Date(2026, 7, 20, 0, 0, 0, 0, time.UTC), 0, 2},
		"while it is billed":     {time.Date(2026, 7, 1, 0, 0, 30, 0, time.UTC), 20 * time.Second, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := begin(t, start, billing.Subscription{Customer: "c-7"})
			w.slow = c.slow
			w.signal(c.at, "unsubscribe", `{"reason":"moved"}`)
			w.runUntilClosed()
			got := w.result()
			if got.Months != c.months || got.Reason != "moved" || len(w.calls) != int(4*c.months) {
				t.Errorf("got %+v after %d calls, want %d months", got, len(w.calls), c.months)
			}
		})
	}
}

// TestMonthsThatEndedMeanwhileAreBilled: an outage longer than a month leaves no
// month out and makes none double.
func TestMonthsThatEndedMeanwhileAreBilled(t *testing.T) {
	t.Parallel()
	w := begin(t, time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC), billing.Subscription{Customer: "c-7", Months: 6})
	w.outage(time.Date(2026, 2, 20, 0, 0, 0, 0, time.UTC), time.Date(2026, 6, 3, 0, 0, 0, 0, time.UTC))
	w.runUntilClosed()
	var dues []string
	for _, c := range w.calls {
		if strings.Contains(c, "payment/request") {
			dues = append(dues, c[strings.Index(c, `"due":"`)+7:][:10])
		}
	}
	if want := []string{"2026-02-01", "2026-03-01", "2026-04-01", "2026-05-01", "2026-06-01", "2026-07-01"}; !slices.Equal(dues, want) {
		t.Errorf("billed %v, want %v", dues, want)
	}
}

// TestDemoCalendarIsTheSameProcess: seconds instead of months, nothing else.
func TestDemoCalendarIsTheSameProcess(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 5, 10, 0, 0, 0, 0, time.UTC)
	w := begin(t, start, billing.Subscription{Customer: "c-7", Calendar: billing.Calendar{Every: billing.Length(5 * time.Second)}, Months: 100})
	w.runUntilClosed()
	if got := w.now.Time(); !got.Equal(start.Add(500 * time.Second)) {
		t.Errorf("100 months of 5s ended %s after the start", got.Sub(start))
	}
	if len(w.calls) != 400 {
		t.Errorf("%d calls", len(w.calls))
	}
}

// TestRefusedPaymentFailsTheRun: with the API's own failure; no invoice is written.
func TestRefusedPaymentFailsTheRun(t *testing.T) {
	t.Parallel()
	w := begin(t, time.Date(2026, 5, 10, 0, 0, 0, 0, time.UTC), billing.Subscription{Customer: "c-7"})
	w.refuse = "payment"
	w.runUntilClosed()
	failed, ok := w.history[len(w.history)-1].Body.(*record.RunFailed)
	if !ok || failed.Failure.Code != "card_expired" {
		t.Errorf("closed with %+v", w.history[len(w.history)-1].Body)
	}
	if len(w.calls) != 2 {
		t.Errorf("calls: %v", w.calls)
	}
}

// TestInputsAreChecked: a start that does not fit is told by field.
func TestInputsAreChecked(t *testing.T) {
	t.Parallel()
	if err := billing.Definition.Validate(); err != nil {
		t.Fatal(err)
	}
	for input, want := range map[string]string{
		`{"customer":7}`:                 "customer",
		`{"customer":"c","months":-1}`:   "months",
		`{"customer":"c","calender":{}}`: "calender",
		`null`:                           "null",
	} {
		if err := billing.Definition.CheckInput([]byte(input)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want it to name %q", input, err, want)
		}
	}
	if err := billing.Definition.CheckSignal("unsubscribe", []byte(`{"reason":"moved"}`)); err != nil {
		t.Error(err)
	}
}

// world carries one run through time that nobody waits for: it answers tasks at
// once, or slowly, and fires timers when nothing else is left to do. After every
// turn the code is thrown away and made again of the history.
type world struct {
	t       *testing.T
	id      replay.Identity
	live    *replay.Live
	now     record.Millis
	history []record.HistoryEvent
	due     []arrival // what comes from outside, by time
	calls   []string
	slow    time.Duration
	refuse  string // service that refuses
	down    [2]record.Millis
}

type arrival struct {
	at    record.Millis
	timer uint64 // of TimerStarted, so that it can be cancelled
	body  record.HistoryBody
}

func begin(t *testing.T, at time.Time, sub billing.Subscription) *world {
	t.Helper()
	input, err := json.Marshal(sub)
	if err != nil {
		t.Fatal(err)
	}
	if err := billing.Definition.CheckInput(input); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, now: record.MillisOf(at), id: replay.Identity{
		WorkflowID: sub.Customer, Run: record.RunID{7}, Type: billing.Definition.Type(), Version: 1,
	}}
	w.arrive(w.now, 0, &record.RunStarted{Type: w.id.Type, Version: 1, Input: input})
	return w
}

func (w *world) signal(at time.Time, name, payload string) {
	w.arrive(record.MillisOf(at), 0, &record.SignalReceived{Name: name, Payload: []byte(payload)})
}

// outage holds everything back that would happen between from and to.
func (w *world) outage(from, to time.Time) {
	w.down = [2]record.Millis{record.MillisOf(from), record.MillisOf(to)}
}

func (w *world) arrive(at record.Millis, timer uint64, body record.HistoryBody) {
	w.due = append(w.due, arrival{at, timer, body})
	slices.SortStableFunc(w.due, func(a, b arrival) int { return int(a.at - b.at) })
}

func (w *world) runUntilClosed() {
	w.t.Helper()
	for len(w.due) > 0 {
		next := w.due[0]
		w.due = w.due[1:]
		w.now = max(w.now, next.at)
		if w.now >= w.down[0] && w.now < w.down[1] {
			w.now = w.down[1]
		}
		if w.turn(next.body) {
			return
		}
	}
	w.t.Fatal("the run is open and waits for nothing")
}

// turn gives the run one input; true: it has closed.
func (w *world) turn(in record.HistoryBody) bool {
	w.t.Helper()
	e := record.HistoryEvent{No: uint64(len(w.history) + 1), At: w.now, Body: in}
	w.history = append(w.history, e)
	var decisions []record.HistoryBody
	var err error
	if w.live == nil {
		w.live = replay.New(billing.Definition, w.id, nil)
		decisions, err = w.live.Turn(e, e.No+1)
	} else {
		w.live.Drop()
		w.live, decisions, err = replay.Rebuild(billing.Definition, w.id, all(w.history), e.No+1, nil)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if n := w.live.HashMismatches; n > 0 {
		w.t.Fatalf("%d inputs differ in replay", n)
	}
	for _, d := range decisions {
		no := uint64(len(w.history) + 1)
		w.history = append(w.history, record.HistoryEvent{No: no, At: w.now, Body: d})
		switch d := d.(type) {
		case *record.TaskScheduled:
			w.calls = append(w.calls, fmt.Sprintf("%s %s/%s %s", w.now.Time().Format(time.RFC3339), d.Service, d.Operation, d.Input))
			w.arrive(w.now.Add(w.slow), 0, w.answer(no, d))
		case *record.TimerStarted:
			w.arrive(d.Due, no, &record.TimerFired{Timer: no})
		case *record.TimerCancelled:
			w.due = slices.DeleteFunc(w.due, func(a arrival) bool { return a.timer == d.Timer })
		}
	}
	return w.live.Closed()
}

func unitsOf(due time.Time) int64 { return 100 + int64(due.Month()) }

// answer is what the APIs say.
func (w *world) answer(no uint64, d *record.TaskScheduled) record.HistoryBody {
	if d.Service == w.refuse {
		return &record.HistoryTaskFailed{Task: no, Failure: record.Failure{Kind: record.FailureHTTP, Code: "card_expired", HTTPStatus: 402}}
	}
	var in struct {
		Due   time.Time
		Cents int64
	}
	if err := json.Unmarshal(d.Input, &in); err != nil {
		w.t.Fatal(err)
	}
	at := in.Due.Format(time.RFC3339)
	result := map[string]any{
		"consumption": billing.Consumption{Units: unitsOf(in.Due)},
		"payment":     billing.Payment{ID: "p-" + at, Cents: in.Cents},
		"invoice":     billing.Invoice{Number: "i-" + at},
		"email":       billing.Sent{Message: "m-" + at},
	}[d.Service]
	b, err := json.Marshal(result)
	if err != nil {
		w.t.Fatal(err)
	}
	return &record.HistoryTaskCompleted{Task: no, Result: b}
}

func (w *world) called(want []string) {
	w.t.Helper()
	for i := range min(len(want), len(w.calls)) {
		if w.calls[i] != want[i] {
			w.t.Fatalf("call %d: got\n  %s\nwant\n  %s", i, w.calls[i], want[i])
		}
	}
	if len(w.calls) != len(want) {
		w.t.Fatalf("%d calls, want %d", len(w.calls), len(want))
	}
}

func (w *world) result() (s billing.Summary) {
	w.t.Helper()
	done, ok := w.history[len(w.history)-1].Body.(*record.RunCompleted)
	if !ok {
		w.t.Fatalf("closed with %+v", w.history[len(w.history)-1].Body)
	}
	if err := json.Unmarshal(done.Result, &s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

func all(events []record.HistoryEvent) iter.Seq2[record.HistoryEvent, error] {
	return func(yield func(record.HistoryEvent, error) bool) {
		for _, e := range events {
			if !yield(e, nil) {
				return
			}
		}
	}
}
