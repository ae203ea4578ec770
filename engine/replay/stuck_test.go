package replay_test

import (
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/engine/replay"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

// TestAuthorsMistakes: each makes the run stuck with the author's file and line, and
// nothing more (R3).
func TestAuthorsMistakes(t *testing.T) {
	t.Parallel()
	var none map[string]int
	undeclared := workflow.NewTask[int, int]("math", "undeclared")
	secret := workflow.NewSignal[int]("secret")
	var nobody workflow.Context
	for name, c := range map[string]struct {
		fn      func(ctx workflow.Context) error
		code    string
		details []string
	}{
		"panic":         {func(workflow.Context) error { panic("boom") }, replay.CodePanic, []string{"panicked: boom"}},
		"error panic":   {func(workflow.Context) error { panic(errors.New("boom")) }, replay.CodePanic, []string{"panicked: boom"}},
		"nil panic":     {func(workflow.Context) error { panic(nil) }, replay.CodePanic, []string{"panic called with nil argument"}},
		"runtime error": {func(workflow.Context) error { none["a"] = 1; return nil }, replay.CodePanic, []string{"assignment to entry in nil map"}},
		"goexit":        {func(workflow.Context) error { runtime.Goexit(); return nil }, replay.CodePanic, []string{"runtime.Goexit"}},
		"no context":    {func(workflow.Context) error { workflow.Now(nobody); return nil }, replay.CodePanic, []string{"belongs to no run"}},
		"no future": {func(ctx workflow.Context) error {
			var f workflow.Future[int]
			_, err := f.Get(ctx)
			return err
		}, replay.CodePanic, []string{"nothing was started for"}},
		"undeclared task": {func(ctx workflow.Context) error {
			defer func() { _ = recover() }()
			_, err := undeclared.Run(ctx, 1)
			return err
		}, replay.CodePanic, []string{"math/undeclared", "Define"}},
		"undeclared signal": {func(ctx workflow.Context) error {
			defer func() { _ = recover() }()
			_, _ = secret.Receive(ctx)
			return nil
		}, replay.CodePanic, []string{"signal secret", "Define"}},
		"too many decisions (T5)": {func(ctx workflow.Context) error {
			defer func() { _ = recover() }()
			for n := 0; ; n++ {
				add.Start(ctx, n)
			}
		}, replay.CodeTurnLimit, []string{"10000 decisions"}},
		"too many bytes (T5)": {func(ctx workflow.Context) error {
			defer func() { _ = recover() }()
			for {
				note.Start(ctx, strings.Repeat("x", 500<<10))
			}
		}, replay.CodeTurnLimit, []string{"8388608 bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, define(c.fn, add, note, number))
			stuck := w.stuck(&record.RunStarted{}, c.code, append(c.details, "stuck_test.go:", "TestAuthorsMistakes.func")...)
			for _, ours := range []string{"replay.(*host)", "coro.(*Coro)", "runtime.gopanic", "workflow.Define"} {
				if strings.Contains(stuck.Detail, ours) {
					t.Errorf("the stack has frames of ours:\n%s", stuck.Detail)
				}
			}
			if _, err := w.try(signalled("number", "1")); !errors.Is(err, replay.ErrDropped) {
				t.Errorf("a turn of a stuck run: %v", err)
			}
		})
	}
}

// TestPanicAfterReturn has no frame of the author's: all frames are shown.
func TestPanicAfterReturn(t *testing.T) {
	t.Parallel()
	nothing := newWorld(t, define(func(workflow.Context) error { return (*workflow.TaskError)(nil) }))
	nothing.stuck(&record.RunStarted{}, replay.CodePanic, "nil pointer", "errors.AsType")
	w := newWorld(t, workflow.Define("test", func(workflow.Context, int) (func(), error) { return nil, nil }))
	w.stuck(&record.RunStarted{Input: []byte("1")}, replay.CodePanic, "the workflow's result cannot be encoded", "workflow.encodeResult")
}

// TestSignalThatDoesNotFit came before the code's type was changed.
func TestSignalThatDoesNotFit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, define(func(ctx workflow.Context) error { _, _ = number.Receive(ctx); return nil }, number))
	w.start()
	w.stuck(signalled("number", `"one"`), replay.CodePanic, `signal number does not fit its Go type: the payload is a string ("one"), want an integer (int)`, "stuck_test.go:")
}

// TestTurnLimit allows exactly the limit (T5).
func TestTurnLimit(t *testing.T) {
	t.Parallel()
	ask := func(n int) workflow.Definition {
		return define(func(ctx workflow.Context) error {
			for i := range n {
				add.Start(ctx, i)
			}
			_, _ = number.Receive(ctx)
			return nil
		}, add, number)
	}
	newWorld(t, ask(machine.TurnDecisionsMax+1)).stuck(&record.RunStarted{}, replay.CodeTurnLimit)
	w := newWorld(t, ask(machine.TurnDecisionsMax))
	ds, err := w.try(&record.RunStarted{})
	if err != nil || len(ds) != machine.TurnDecisionsMax {
		t.Fatalf("%d decisions, %v", len(ds), err)
	}
	w.swap()
}

// TestContextFromElsewhere: the run is stuck; the goroutine that did it leaves, and
// the process lives (A2).
func TestContextFromElsewhere(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(ctx workflow.Context){
		"task":   func(ctx workflow.Context) { _, _ = add.Run(ctx, 1) },
		"now":    func(ctx workflow.Context) { workflow.Now(ctx) },
		"signal": func(ctx workflow.Context) { _, _ = number.Receive(ctx) },
		"sleep":  func(ctx workflow.Context) { _ = workflow.Sleep(ctx, 1) },
		"id":     func(ctx workflow.Context) { workflow.NewID(ctx) },
		"logger": func(ctx workflow.Context) { workflow.Logger(ctx) },
	} {
		t.Run("another goroutine: "+name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, define(func(ctx workflow.Context) error {
				var wg sync.WaitGroup
				wg.Add(1)
				go func() {
					defer wg.Done()
					use(ctx)
					t.Error("the other goroutine went on")
				}()
				wg.Wait()
				_, _ = number.Receive(ctx)
				return nil
			}, add, number))
			w.stuck(&record.RunStarted{}, replay.CodePanic, "used from outside its run", "order-1", "starts no goroutine", "stuck_test.go:")
		})
	}

	t.Run("after the turn, the run is told at the next one", func(t *testing.T) {
		t.Parallel()
		var kept workflow.Context
		w := newWorld(t, define(func(ctx workflow.Context) error {
			kept = ctx
			_, _ = number.Receive(ctx)
			return nil
		}, number))
		w.start()
		elsewhere(func() { workflow.Now(kept) })
		w.stuck(signalled("number", "1"), replay.CodePanic, "used from outside its run")
	})

	t.Run("after the close it is lost", func(t *testing.T) {
		t.Parallel()
		var kept workflow.Context
		w := newWorld(t, define(func(ctx workflow.Context) error { kept = ctx; return nil }, add))
		w.start("run_completed {}")
		elsewhere(func() { _, _ = add.Run(kept, 1) })
	})

	t.Run("another run", func(t *testing.T) {
		t.Parallel()
		var kept workflow.Context
		var future workflow.Future[int]
		first := newWorld(t, define(func(ctx workflow.Context) error {
			kept, future = ctx, add.Start(ctx, 1)
			_, _ = number.Receive(ctx)
			return nil
		}, add, number))
		first.start("task_scheduled math/add 1")
		second := newWorld(t, define(func(workflow.Context) error { workflow.Now(kept); return nil }))
		second.stuck(&record.RunStarted{}, replay.CodePanic, "panicked: workflow: the Context of run", "used from outside its run", "stuck_test.go:")
		third := newWorld(t, define(func(ctx workflow.Context) error { _, err := future.Get(ctx); return err }))
		third.stuck(&record.RunStarted{}, replay.CodePanic, "Future of another run", "stuck_test.go:")
		first.turn(signalled("number", "1"), `signal_consumed {"Signal":3}`, "run_completed {}") // unharmed
	})
}

// elsewhere runs f on a goroutine of its own, which must leave without a panic.
func elsewhere(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
		panic("the wrong goroutine went on")
	}()
	<-done
}

// TestDivergence: another kind, name or number of decisions (C4).
func TestDivergence(t *testing.T) {
	t.Parallel()
	old := define(func(ctx workflow.Context) error {
		if _, err := add.Run(ctx, 1); err != nil {
			return err
		}
		note.Start(ctx, "a")
		n, _ := number.Receive(ctx)
		_ = workflow.Sleep(ctx, workflow.Now(ctx).Sub(epoch.Time())*0+1e9)
		_, err := add.Run(ctx, n)
		return err
	}, add, note, number)
	w := newWorld(t, old)
	w.start("task_scheduled math/add 1")
	w.turn(completed(2, "1"), `task_scheduled log/note "a"`)
	w.turn(signalled("number", "7"), `signal_consumed {"Signal":5}`, "timer_started 2026-01-31T09:00:04Z")
	subtract := workflow.NewTask[int, int]("math", "subtract")
	addElsewhere := workflow.NewTask[int, int]("shop", "add")
	for name, c := range map[string]struct {
		fn      func(ctx workflow.Context) error
		details []string
	}{
		"other name": {func(ctx workflow.Context) error {
			_, err := buy.Run(ctx, item{})
			return err
		}, []string{"event 2 is task_scheduled math/add", "asks for task_scheduled shop/buy", "stuck_test.go:"}},
		"other operation": {func(ctx workflow.Context) error {
			_, err := subtract.Run(ctx, 1)
			return err
		}, []string{"event 2 is task_scheduled math/add", "asks for task_scheduled math/subtract"}},
		"other service": {func(ctx workflow.Context) error {
			_, err := addElsewhere.Run(ctx, 1)
			return err
		}, []string{"event 2 is task_scheduled math/add", "asks for task_scheduled shop/add"}},
		"other kind": {func(ctx workflow.Context) error {
			_ = workflow.Sleep(ctx, 0)
			return nil
		}, []string{"event 2 is task_scheduled math/add", "asks for timer_started until 2026-01-31T09:00:01.000Z", "stuck_test.go:"}},
		"more": {func(ctx workflow.Context) error {
			add.Start(ctx, 1)
			add.Start(ctx, 2)
			_, _ = number.Receive(ctx)
			return nil
		}, []string{"asks for task_scheduled math/add as decision 2 of the turn of event 1, of which the history has 1", "stuck_test.go:"}},
		"fewer": {func(ctx workflow.Context) error {
			_, _ = add.Run(ctx, 1)
			_, _ = number.Receive(ctx)
			return nil
		}, []string{"event 4 is task_scheduled log/note", "nothing more in the turn of event 3 and waits for signal number"}},
		"waits for a task": {func(ctx workflow.Context) error {
			f := add.Start(ctx, 1)
			_, _ = f.Get(ctx)
			note.Start(ctx, "a")
			n, _ := number.Receive(ctx)
			_, err := add.Run(ctx, n)
			return err
		}, []string{"event 7 is timer_started", "asks for task_scheduled math/add"}},
		"ends early": {func(ctx workflow.Context) error {
			_, _ = add.Run(ctx, 1)
			return nil
		}, []string{"event 4 is task_scheduled log/note", "asks for run_completed"}},
		"other order of waiting": {func(ctx workflow.Context) error {
			f := add.Start(ctx, 1)
			_, _ = number.Receive(ctx)
			_, _ = f.Get(ctx)
			return nil
		}, []string{"event 4 is task_scheduled log/note", "waits for signal number"}},
		"recovers": {func(ctx workflow.Context) error {
			defer func() { _ = recover(); _, _ = add.Run(ctx, 1) }()
			note.Start(ctx, "no")
			return nil
		}, []string{"event 2 is task_scheduled math/add", "asks for task_scheduled log/note"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := w.rebuild(define(c.fn, add, buy, note, number, subtract, addElsewhere))
			wantStuck(t, err, replay.CodeDivergence, c.details...)
		})
	}
	if l, err := w.rebuild(old); err != nil || l.HashMismatches != 0 {
		t.Errorf("its own code: %v", err)
	}
}

// TestDivergenceOfReferences: what a decision takes back or consumes is part of its name.
func TestDivergenceOfReferences(t *testing.T) {
	t.Parallel()
	def := define(func(ctx workflow.Context) error {
		workflow.NewTimer(ctx, time.Minute)
		number.ReceiveUntil(ctx, workflow.Now(ctx).Add(time.Minute))
		return nil
	}, number)
	w := newWorld(t, def)
	w.start("timer_started 2026-01-31T09:01:01Z", "timer_started 2026-01-31T09:01:01Z")
	w.turn(signalled("number", "1"), `timer_cancelled {"Timer":3}`, `signal_consumed {"Signal":4}`, "run_completed {}")
	for i, c := range map[int]struct {
		body   record.HistoryBody
		detail string
	}{
		4: {&record.TimerCancelled{Timer: 2}, "event 5 is timer_cancelled of timer 2, the code asks for timer_cancelled of timer 3"},
		5: {&record.SignalConsumed{Signal: 2}, "event 6 is signal_consumed of signal 2, the code asks for signal_consumed of signal 4"},
		6: {&record.RunFailed{Failure: record.Failure{Kind: "application", Message: "no"}}, "event 7 is run_failed with application: no, the code asks for run_completed"},
	} {
		history := slices.Clone(w.history)
		history[i].Body = c.body
		_, _, err := replay.Rebuild(def, identity, all(history), 0, nil)
		wantStuck(t, err, replay.CodeDivergence, c.detail)
	}
	history := slices.Clone(w.history)
	history[6].Body = &record.RunCompleted{Result: []byte("[]")}
	if l, _, err := replay.Rebuild(def, identity, all(history), 0, nil); err != nil || l.HashMismatches != 1 {
		t.Errorf("another result: %v", err)
	}
	// A timer that was cancelled is not open.
	w = newWorld(t, define(func(ctx workflow.Context) error {
		number.ReceiveUntil(ctx, workflow.Now(ctx).Add(time.Minute))
		_, _ = number.Receive(ctx)
		return nil
	}, number))
	w.start("timer_started 2026-01-31T09:01:01Z")
	w.turn(signalled("number", "1"), `timer_cancelled {"Timer":2}`, `signal_consumed {"Signal":3}`)
	w.stuck(&record.TimerFired{Timer: 2}, replay.CodeDivergence, "closes 2 with event 6 (timer_fired), but nothing of that number is open")
	// A turn in which the history decides nothing.
	_, _, err := replay.Rebuild(w.def, identity, all(w.history[:1]), 0, nil)
	wantStuck(t, err, replay.CodeDivergence, "asks for timer_started until 2026-01-31T09:01:01.000Z as decision 1 of the turn of event 1, of which the history has 0")
}

// TestStuckLeavesByItself: nobody needs to drop a stuck run; goleak looks.
func TestStuckLeavesByItself(t *testing.T) {
	t.Parallel()
	l := replay.New(define(func(ctx workflow.Context) error {
		for {
			add.Start(ctx, 1)
		}
	}, add), identity, nil)
	_, err := l.Turn(record.HistoryEvent{No: 1, At: epoch, Body: &record.RunStarted{}}, 2)
	wantStuck(t, err, replay.CodeTurnLimit)
}

// TestOtherInputs: by default counted, in a Strict type divergence (C4).
func TestOtherInputs(t *testing.T) {
	t.Parallel()
	code := func(n int, d int) func(ctx workflow.Context) error {
		return func(ctx workflow.Context) error {
			_, _ = add.Run(ctx, n)
			_ = workflow.SleepUntil(ctx, workflow.Now(ctx).AddDate(0, 0, d))
			_, err := add.Run(ctx, n)
			return err
		}
	}
	w := newWorld(t, define(code(1, 1), add))
	w.start("task_scheduled math/add 1")
	w.turn(completed(2, "1"), "timer_started 2026-02-01T09:00:02Z")
	w.turn(&record.TimerFired{Timer: 4}, "task_scheduled math/add 1")
	var log strings.Builder
	w.logger = logTo(&log)
	l, err := w.rebuild(define(code(2, 2), add))
	if err != nil || l.HashMismatches != 3 {
		t.Fatalf("%v, %d mismatches, want 3", err, l.HashMismatches)
	}
	if got := log.String(); strings.Count(got, "decision has another input than its history") != 3 || !strings.Contains(got, "workflow_id=order-1") || !strings.Contains(got, "event=4") {
		t.Errorf("logged:\n%s", got)
	}
	_, err = w.rebuild(define(code(2, 1), add, workflow.Strict()))
	wantStuck(t, err, replay.CodeDivergence, "event 2, task_scheduled math/add", "another input", "strict", "stuck_test.go:")
	if _, err := w.rebuild(define(code(1, 1), add, workflow.Strict())); err != nil {
		t.Errorf("its own code, strict: %v", err)
	}
	// Closing decisions are compared as well.
	w.turn(completed(6, "1"), "run_completed {}")
	if l, err := w.rebuild(w.def); err != nil || l.HashMismatches != 0 || !l.Closed() {
		t.Errorf("closed: %v", err)
	}
}

// TestHistoriesThatCannotBe name the event.
func TestHistoriesThatCannotBe(t *testing.T) {
	t.Parallel()
	def := define(func(ctx workflow.Context) error { _, err := add.Run(ctx, 1); return err }, add, number)
	w := newWorld(t, def)
	w.start("task_scheduled math/add 1")
	event := func(body record.HistoryBody) []record.HistoryEvent {
		return append(w.history[:2:2], record.HistoryEvent{No: 3, At: epoch, Body: body})
	}
	for name, c := range map[string]struct {
		history []record.HistoryEvent
		next    uint64
		detail  string
	}{
		"empty":             {nil, 0, "is empty"},
		"headless":          {w.history[1:], 0, "starts with event 2, task_scheduled math/add"},
		"starts otherwise":  {event(signalled("number", "1"))[2:], 0, "starts with event 3, signal_received number"},
		"starts twice":      {event(&record.RunStarted{}), 0, "starts the run again with event 3"},
		"closes nothing":    {event(completed(7, "1")), 0, "closes 7 with event 3"},
		"closes otherwise":  {event(&record.TimerFired{Timer: 2}), 0, "closes task_scheduled math/add, which the code asked for as 2, with event 3 (timer_fired)"},
		"open, yet decided": {w.history, 3, "event 2, task_scheduled math/add, follows its input"},
	} {
		_, _, err := replay.Rebuild(def, identity, all(c.history), c.next, nil)
		if stuck, ok := errors.AsType[*replay.StuckError](err); !ok || stuck.Code != replay.CodeDivergence || !strings.Contains(stuck.Detail, c.detail) {
			t.Errorf("%s: %v, want %q", name, err, c.detail)
		}
	}
	broken := errors.New("disk")
	var failing iter.Seq2[record.HistoryEvent, error] = func(yield func(record.HistoryEvent, error) bool) {
		_ = yield(w.history[0], nil) && yield(w.history[1], nil) && yield(event(signalled("number", "1"))[2], nil) && yield(record.HistoryEvent{}, broken)
	}
	if _, _, err := replay.Rebuild(def, identity, failing, 0, nil); !errors.Is(err, broken) || !strings.Contains(fmt.Sprint(err), "order-1") {
		t.Errorf("a history that cannot be read: %v", err)
	}
}
