package replay_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/engine/replay"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

func TestTasksOneAfterTheOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t, workflow.Define("test", func(ctx workflow.Context, n int) (int, error) {
		for range 3 {
			var err error
			if n, err = add.Run(ctx, n); err != nil {
				return 0, err
			}
		}
		return n, nil
	}, add))
	w.turn(&record.RunStarted{Input: []byte("1")}, "task_scheduled math/add 1")
	w.turn(completed(2, "5"), "task_scheduled math/add 5")
	w.swap()
	w.turn(completed(4, "7"), "task_scheduled math/add 7")
	w.turn(completed(6, "9"), "run_completed 9")
	if !w.live.Closed() {
		t.Error("not closed")
	}
	if _, err := w.try(completed(6, "9")); !errors.Is(err, replay.ErrDropped) {
		t.Errorf("a turn after the close: %v", err)
	}
}

// TestFuturesStartedThenAwaited: the answers come in any order, and a future can be
// asked again.
func TestFuturesStartedThenAwaited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, define(func(ctx workflow.Context) error {
		a, b, c := add.Start(ctx, 1), add.Start(ctx, 2), add.Start(ctx, 3)
		sum := 0
		for _, f := range []workflow.Future[int]{a, b, c, a, c} {
			n, err := f.Get(ctx)
			if err != nil {
				return err
			}
			sum += n
		}
		_, err := note.Run(ctx, fmt.Sprint(sum, a.Ready(ctx)))
		return err
	}, add, note))
	w.start("task_scheduled math/add 1", "task_scheduled math/add 2", "task_scheduled math/add 3")
	w.turn(completed(4, "300"))
	w.turn(completed(2, "100"))
	w.swap()
	w.turn(completed(3, "200"), `task_scheduled log/note "1000 true"`)
	w.turn(completed(8, "null"), "run_completed {}")
}

func TestTaskFailures(t *testing.T) {
	t.Parallel()
	declined := record.Failure{Kind: record.FailureHTTP, Code: "card_declined", Message: "no money", HTTPStatus: 402}
	for name, c := range map[string]struct {
		ret  func(err error) error
		want string
	}{
		"own":     {func(err error) error { return err }, `run_failed {"Failure":{"kind":"http","code":"card_declined","message":"no money","retryable":false,"http_status":402},"Retain":0}`},
		"wrapped": {func(err error) error { return fmt.Errorf("month 3: %w", err) }, `run_failed {"Failure":{"kind":"http","code":"card_declined","message":"month 3: task shop/buy: http card_declined: no money","retryable":false,"http_status":402},"Retain":0}`},
		"plain":   {func(error) error { return errors.New("plain") }, `run_failed {"Failure":{"kind":"application","message":"plain","retryable":false},"Retain":0}`},
		"coded": {func(error) error {
			return &workflow.Failure{Kind: workflow.FailureApplication, Code: "no_stock", Message: "sold out"}
		}, `run_failed {"Failure":{"kind":"application","code":"no_stock","message":"sold out","retryable":false},"Retain":0}`},
		"long": {func(error) error { return errors.New(strings.Repeat("é", 8<<10)) }, `run_failed {"Failure":{"kind":"application","message":"` + strings.Repeat("é", 4<<10) + `","retryable":false},"Retain":0}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got *workflow.TaskError
			w := newWorld(t, define(func(ctx workflow.Context) error {
				_, err := buy.Run(ctx, item{"tea", 3})
				failure, ok := errors.AsType[*record.Failure](err)
				if !ok || failure.Code != "card_declined" || !errors.As(err, &got) {
					t.Errorf("error %v is no TaskError with its Failure", err)
				}
				return c.ret(err)
			}, buy))
			w.start(`task_scheduled shop/buy {"name":"tea","price":3}`)
			w.turn(&record.HistoryTaskFailed{Task: 2, Failure: declined, Attempts: []record.Attempt{{No: 1, Failure: declined}}}, c.want)
			if got.Task != 2 || got.Service != "shop" || got.Operation != "buy" || len(got.Attempts) != 1 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestResultsThatDoNotFit are typed failures that name the field.
func TestResultsThatDoNotFit(t *testing.T) {
	t.Parallel()
	for result, want := range map[string]string{
		`{"name":"tea","price":"3"}`: `field "price" is a string ("3"), want an integer (int)`,
		`{"name":["tea"]}`:           `field "name" is a list, want a string`,
		`[]`:                         `the payload is a list, want an object`,
		``:                           `the payload is empty or null, want an object`,
		`{"name":`:                   `the payload is not JSON`,
	} {
		w := newWorld(t, define(func(ctx workflow.Context) error {
			_, err := buy.Run(ctx, item{})
			return err
		}, buy))
		w.start(`task_scheduled shop/buy {"name":"","price":0}`)
		ds, err := w.try(completed(2, result))
		if err != nil {
			t.Fatal(err)
		}
		f := ds[0].(*record.RunFailed).Failure
		if f.Kind != record.FailureEngine || f.Code != workflow.CodeResultInvalid || f.Retryable || !strings.Contains(f.Message, want) || !strings.Contains(f.Message, "shop/buy") {
			t.Errorf("%s: %+v, want %s", result, f, want)
		}
	}
	// An API may answer with more than the type names.
	w := newWorld(t, define(func(ctx workflow.Context) error { _, err := buy.Run(ctx, item{}); return err }, buy))
	w.start(`task_scheduled shop/buy {"name":"","price":0}`)
	w.turn(completed(2, `{"price":1,"colour":"green"}`), "run_completed {}")
}

// TestPayloadsTooLarge: F5, refused without a decision.
func TestPayloadsTooLarge(t *testing.T) {
	t.Parallel()
	if workflow.PayloadBytesMax != machine.PayloadBytesMax {
		t.Errorf("payloads: workflow %d, machine %d", workflow.PayloadBytesMax, machine.PayloadBytesMax)
	}
	fits, large := strings.Repeat("x", workflow.PayloadBytesMax-2), strings.Repeat("x", workflow.PayloadBytesMax-1)
	w := newWorld(t, workflow.Define("test", func(ctx workflow.Context, _ struct{}) (string, error) {
		f := note.Start(ctx, large)
		for range 2 {
			_, err := f.Get(ctx)
			if e, ok := errors.AsType[*workflow.TaskError](err); !ok || e.Task != 0 || e.Failure.Kind != record.FailureEngine || e.Failure.Code != workflow.CodePayloadTooLarge {
				t.Errorf("too large: %v", err)
			}
		}
		if _, err := note.Run(ctx, fits); err != nil {
			return "", err
		}
		return large, nil
	}, note))
	w.start("task_scheduled log/note \"" + fits + "\"")
	w.swap()
	ds, err := w.try(completed(2, "{}"))
	if err != nil {
		t.Fatal(err)
	}
	if f := ds[0].(*record.RunFailed).Failure; f.Code != workflow.CodePayloadTooLarge || f.Kind != record.FailureEngine {
		t.Errorf("%+v", f)
	}
}

func TestInputThatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	odd := workflow.NewTask[func(), int]("math", "odd")
	w := newWorld(t, define(func(ctx workflow.Context) error { _, err := odd.Run(ctx, nil); return err }, odd))
	ds, err := w.try(&record.RunStarted{})
	if err != nil {
		t.Fatal(err)
	}
	if f := ds[0].(*record.RunFailed).Failure; f.Code != workflow.CodeInputInvalid || !strings.Contains(f.Message, "math/odd") {
		t.Errorf("%+v", f)
	}
}

// TestRunInputThatDoesNotFit: it came while the binary had no code to check it.
func TestRunInputThatDoesNotFit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, workflow.Define("test", func(workflow.Context, item) (int, error) { panic("not reached") }))
	ds, err := w.try(&record.RunStarted{Input: []byte(`{"price":true}`)})
	if err != nil {
		t.Fatal(err)
	}
	if f := ds[0].(*record.RunFailed).Failure; f.Code != workflow.CodeInputInvalid || !strings.Contains(f.Message, `field "price" is true or false, want an integer (int)`) {
		t.Errorf("%+v", f)
	}
}

func TestSignals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, define(func(ctx workflow.Context) error {
		a, _ := number.Receive(ctx)
		b, _ := number.Receive(ctx)
		c, ok := number.TryReceive(ctx)
		if _, err := note.Run(ctx, fmt.Sprint(a, b, c, ok)); err != nil {
			return err
		}
		d, ok := number.TryReceive(ctx)
		_, err := note.Run(ctx, fmt.Sprint(d, ok))
		return err
	}, number, stop, note))
	w.start()
	w.turn(signalled("stop", ""))
	w.turn(signalled("number", "1"), `signal_consumed {"Signal":3}`)
	w.swap()
	w.turn(signalled("number", "2"), `signal_consumed {"Signal":5}`, `task_scheduled log/note "1 2 0 false"`)
	w.turn(signalled("number", "3"))
	w.swap()
	w.turn(signalled("number", "4"))
	w.turn(completed(7, ""), `signal_consumed {"Signal":8}`, `task_scheduled log/note "3 true"`)
	w.turn(completed(12, ""), "run_completed {}")
}

// TestReceiveUntil: a buffered signal at once; else timer and signal race.
func TestReceiveUntil(t *testing.T) {
	t.Parallel()
	w := newWorld(t, define(func(ctx workflow.Context) error {
		for {
			n, ok := number.ReceiveUntil(ctx, workflow.Now(ctx).Add(time.Hour))
			if _, err := note.Run(ctx, fmt.Sprint(n, ok)); err != nil || n == 3 {
				return err
			}
		}
	}, number, note))
	w.start("timer_started 2026-01-31T10:00:01Z")
	w.turn(signalled("number", "1"), `timer_cancelled {"Timer":2}`, `signal_consumed {"Signal":3}`, `task_scheduled log/note "1 true"`)
	w.turn(completed(6, ""), "timer_started 2026-01-31T10:00:03Z")
	w.swap()
	w.turn(&record.TimerFired{Timer: 8}, `task_scheduled log/note "0 false"`)
	w.turn(signalled("number", "3"))
	w.swap()
	w.turn(completed(10, ""), `signal_consumed {"Signal":11}`, `task_scheduled log/note "3 true"`)
	w.turn(completed(14, ""), "run_completed {}")
}

// TestTimers: moments are rounded up, never before now, never beyond what can be
// written; the past fires by a timer event like everything else.
func TestTimers(t *testing.T) {
	t.Parallel()
	start := epoch.Add(time.Second).Time()
	w := newWorld(t, define(func(ctx workflow.Context) error {
		_ = workflow.Sleep(ctx, -time.Hour)
		_ = workflow.SleepUntil(ctx, start.AddDate(-100, 0, 0))
		_ = workflow.SleepUntil(ctx, start.Add(time.Hour+time.Nanosecond))
		if _, ok := number.ReceiveUntil(ctx, time.Time{}); ok {
			return errors.New("a signal")
		}
		_ = workflow.SleepUntil(ctx, time.Unix(1<<60, 0)) // more milliseconds than there are
		a, b := workflow.NewTimer(ctx, 2*time.Second), workflow.NewTimer(ctx, time.Second)
		for _, f := range []workflow.Future[time.Time]{a, b, a} {
			at, err := f.Get(ctx)
			if err != nil {
				return err
			}
			_ = workflow.Sleep(ctx, time.Duration(at.Unix()-start.Unix())*time.Hour)
		}
		return nil
	}, number))
	w.start("timer_started 2026-01-31T09:00:01Z")
	w.turn(&record.TimerFired{Timer: 2}, "timer_started 2026-01-31T09:00:02Z")
	w.turn(&record.TimerFired{Timer: 4}, "timer_started 2026-01-31T10:00:01.001Z")
	w.swap()
	w.turn(&record.TimerFired{Timer: 6}, "timer_started 2026-01-31T09:00:04Z")
	w.turn(&record.TimerFired{Timer: 8}, "timer_started 9999-12-31T23:59:59.999Z")
	w.turn(&record.TimerFired{Timer: 10}, "timer_started 2026-01-31T09:00:08Z", "timer_started 2026-01-31T09:00:07Z")
	w.turn(&record.TimerFired{Timer: 13})
	w.swap()
	w.turn(&record.TimerFired{Timer: 12}, "timer_started 2026-01-31T16:00:08Z")
	w.turn(&record.TimerFired{Timer: 16}, "timer_started 2026-01-31T15:00:09Z")
	w.swap()
	w.turn(&record.TimerFired{Timer: 18}, "timer_started 2026-01-31T16:00:10Z")
	w.turn(&record.TimerFired{Timer: 20}, "run_completed {}")
}

func TestInfo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, define(func(ctx workflow.Context) error {
		_ = workflow.Sleep(ctx, time.Second)
		_, err := note.Run(ctx, fmt.Sprintf("%+v", workflow.Info(ctx)))
		return err
	}, note))
	w.start("timer_started 2026-01-31T09:00:02Z")
	w.turn(&record.TimerFired{Timer: 2}, `task_scheduled log/note "{WorkflowID:order-1 RunID:`+identity.Run.String()+` Type:test Version:1 StartedAt:2026-01-31 09:00:01 +0000 UTC}"`)
}

// TestRandomnessOfATurn does not depend on what earlier turns drew (R2).
func TestRandomnessOfATurn(t *testing.T) {
	t.Parallel()
	var ids []string
	for drawn := range 3 {
		w := newWorld(t, define(func(ctx workflow.Context) error {
			for range drawn {
				workflow.NewID(ctx)
			}
			_, _ = number.Receive(ctx)
			ids = append(ids, workflow.NewID(ctx))
			return nil
		}, number))
		w.start()
		w.turn(signalled("number", "1"), `signal_consumed {"Signal":2}`, "run_completed {}")
	}
	if ids[0] != ids[1] || ids[1] != ids[2] {
		t.Errorf("drawn %q", ids)
	}
}

// TestRandomness: the same in replay, different at each call, turn and run (R2).
func TestRandomness(t *testing.T) {
	t.Parallel()
	var drawn []string
	def := define(func(ctx workflow.Context) error {
		for range 3 {
			a, b := workflow.NewID(ctx), workflow.NewID(ctx)
			r, s := workflow.Rand(ctx).Int64(), workflow.Rand(ctx).Int64()
			drawn = append(drawn, a, b, fmt.Sprint(r), fmt.Sprint(s))
			if _, err := note.Run(ctx, fmt.Sprint(a, b, r, s)); err != nil {
				return err
			}
		}
		return nil
	}, note)
	w := newWorld(t, def)
	if _, err := w.try(&record.RunStarted{}); err != nil {
		t.Fatal(err)
	}
	for n := 2; n < 6; n += 2 {
		w.swap() // compares the tasks' inputs, and so what was drawn
		if _, err := w.try(completed(uint64(n), "")); err != nil {
			t.Fatal(err)
		}
	}
	other := newWorld(t, def)
	other.id.Run[15]++
	other.live = replay.New(def, other.id, nil)
	if _, err := other.try(&record.RunStarted{}); err != nil {
		t.Fatal(err)
	}
	live := append(drawn[:4:4], append(drawn[8:12:12], append(drawn[len(drawn)-8:len(drawn)-4:len(drawn)-4], drawn[len(drawn)-4:]...)...)...)
	seen := map[string]bool{}
	for _, s := range live {
		if seen[s] {
			t.Errorf("drawn twice: %s", s)
		}
		seen[s] = true
		if len(s) == 36 && (s[14] != '5' || !strings.ContainsRune("89ab", rune(s[19])) || strings.Count(s, "-") != 4) {
			t.Errorf("%s is no UUID of version 5", s)
		}
	}
	if len(seen) != 16 {
		t.Errorf("%d values drawn, want 16", len(seen))
	}
}
