package replay_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/engine/replay"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

func started(due record.Millis) string {
	return "timer_started " + due.Time().Format("2006-01-02T15:04:05Z")
}

// TestThreadsTakeTurns: in the order of their starts, each until it waits.
func TestThreadsTakeTurns(t *testing.T) {
	t.Parallel()
	var order []string
	w := newWorld(t, define(func(ctx workflow.Context) error {
		order = nil
		for _, name := range []string{"a", "b"} {
			workflow.Go(ctx, func(ctx workflow.Context) {
				order = append(order, name+" starts")
				if _, err := add.Run(ctx, len(name)); err != nil {
					t.Error(err)
				}
				order = append(order, name+" ends")
			})
		}
		order = append(order, "main waits")
		return workflow.Until(ctx, func() bool { return len(order) == 5 })
	}, add))
	w.start("task_scheduled math/add 1", "task_scheduled math/add 1")
	w.turn(completed(3, "1")) // that of b
	w.swap()
	w.turn(completed(2, "1"), "run_completed {}")
	if got := strings.Join(order, ", "); got != "main waits, a starts, b starts, b ends, a ends" {
		t.Errorf("the threads ran as: %s", got)
	}
}

// TestCombinators: who won is told by the history's order, not by that of arguments.
func TestCombinators(t *testing.T) {
	t.Parallel()
	boom := &record.HistoryTaskFailed{Task: 2, Failure: record.Failure{Kind: record.FailureHTTP, Code: "no"}}
	for name, c := range map[string]struct {
		do     func(ctx workflow.Context, fs []workflow.Future[int]) string
		inputs []record.HistoryBody
		want   string
	}{
		"all": {func(ctx workflow.Context, fs []workflow.Future[int]) string {
			return fmt.Sprint(workflow.All(ctx, fs...))
		},
			[]record.HistoryBody{completed(4, "30"), completed(2, "10"), completed(3, "20")}, "[10 20 30] <nil>"},
		"all with one failed": {func(ctx workflow.Context, fs []workflow.Future[int]) string {
			v, err := workflow.All(ctx, fs...)
			return fmt.Sprint(v, err)
		}, []record.HistoryBody{completed(4, "30"), boom}, "[] task math/add: http no"},
		"any": {func(ctx workflow.Context, fs []workflow.Future[int]) string {
			return fmt.Sprint(workflow.Any(ctx, fs...))
		},
			[]record.HistoryBody{boom, completed(4, "30")}, "2 30 <nil>"},
		"race": {func(ctx workflow.Context, fs []workflow.Future[int]) string {
			i, v, err := workflow.Race(ctx, fs...)
			return fmt.Sprint(i, v, err)
		}, []record.HistoryBody{boom}, "0 0 task math/add: http no"},
		"race afterwards": {func(ctx workflow.Context, fs []workflow.Future[int]) string {
			for _, f := range fs {
				_, _ = f.Get(ctx)
			}
			return fmt.Sprint(workflow.Race(ctx, fs...))
		}, []record.HistoryBody{completed(3, "20"), completed(4, "30"), completed(2, "10")}, "1 20 <nil>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ""
			w := newWorld(t, define(func(ctx workflow.Context) error {
				got = c.do(ctx, []workflow.Future[int]{add.Start(ctx, 1), add.Start(ctx, 2), add.Start(ctx, 3)})
				return nil
			}, add))
			w.start("task_scheduled math/add 1", "task_scheduled math/add 2", "task_scheduled math/add 3")
			for i, in := range c.inputs {
				if i < len(c.inputs)-1 {
					w.turn(in)
					w.swap()
				} else {
					w.turn(in, "run_completed {}")
				}
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestSelect: the first case that is ready is taken, and the others' timers end.
func TestSelect(t *testing.T) {
	t.Parallel()
	w := newWorld(t, define(func(ctx workflow.Context) error {
		for range 3 {
			f := add.Start(ctx, 1)
			err := workflow.Select(ctx,
				workflow.On(f, func(n int, err error) { note.Start(ctx, fmt.Sprint("task ", n, err)) }),
				workflow.OnSignal(number, func(n int) { note.Start(ctx, fmt.Sprint("signal ", n)) }),
				workflow.After(time.Hour, func() { note.Start(ctx, "time") }))
			if err != nil {
				return err
			}
		}
		return workflow.Select(ctx, workflow.OnSignal(number, func(int) {}), workflow.Default(func() { note.Start(ctx, "nothing") }))
	}, add, note, number))
	due := func(second int) string {
		return started(epoch.Add(time.Hour + time.Duration(second)*time.Second))
	}
	w.start("task_scheduled math/add 1", due(1))
	w.turn(completed(2, "5"), `timer_cancelled {"Timer":3}`, `task_scheduled log/note "task 5 \u003cnil\u003e"`, "task_scheduled math/add 1", due(2))
	w.swap()
	w.turn(signalled("number", "7"), `timer_cancelled {"Timer":8}`, `signal_consumed {"Signal":9}`, `task_scheduled log/note "signal 7"`, "task_scheduled math/add 1", due(3))
	w.turn(&record.TimerFired{Timer: 14}, `task_scheduled log/note "time"`, `task_scheduled log/note "nothing"`, "run_completed {}")
}

// TestScopes: cancellation closes what is open in the scope and below it, and nothing
// else; waits in it end at once.
func TestScopes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, define(func(ctx workflow.Context) error {
		scoped, cancel := workflow.WithCancel(ctx)
		inner, _ := workflow.WithCancel(scoped)
		outside, inside, below := add.Start(ctx, 1), add.Start(scoped, 2), add.Start(inner, 3)
		timer := workflow.NewTimer(inner, time.Hour)
		kept := add.Start(workflow.Detached(inner), 4)
		if _, err := number.Receive(ctx); err != nil {
			return err
		}
		cancel()
		cancel()
		for _, f := range []workflow.Future[int]{inside, below, add.Start(inner, 5)} {
			if _, err := f.Get(ctx); !errors.Is(err, workflow.ErrCancelled) {
				t.Errorf("a task of the scope gives %v", err)
			}
		}
		if _, err := timer.Get(ctx); !errors.Is(err, workflow.ErrCancelled) || workflow.Err(inner) == nil || workflow.Err(ctx) != nil {
			t.Errorf("the scope's timer gives %v, the scopes %v and %v", err, workflow.Err(inner), workflow.Err(ctx))
		}
		if err := workflow.Sleep(inner, time.Hour); !errors.Is(err, workflow.ErrCancelled) {
			t.Errorf("a sleep in the scope gives %v", err)
		}
		if _, ok := number.ReceiveUntil(inner, workflow.Now(ctx).Add(time.Hour)); ok {
			t.Error("a signal in a cancelled scope")
		}
		a, err := outside.Get(ctx)
		b, err2 := kept.Get(ctx)
		_, err3 := note.Run(ctx, fmt.Sprint(a, b, err, err2))
		return err3
	}, add, note, number))
	w.start("task_scheduled math/add 1", "task_scheduled math/add 2", "task_scheduled math/add 3", started(epoch.Add(time.Hour+time.Second)), "task_scheduled math/add 4")
	w.turn(signalled("number", "1"), `signal_consumed {"Signal":7}`, `task_cancelled {"Task":3}`, `task_cancelled {"Task":4}`, `timer_cancelled {"Timer":5}`)
	w.swap()
	w.turn(completed(2, "10"))
	w.turn(completed(6, "40"), `task_scheduled log/note "10 40 \u003cnil\u003e \u003cnil\u003e"`)
}

// TestTimeLimit: the scope's time limit ends what it holds; cancelling it ends its timer.
func TestTimeLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, define(func(ctx workflow.Context) error {
		for range 2 {
			scoped, cancel := workflow.WithTimeout(ctx, time.Minute)
			_, err := add.Run(scoped, 1)
			cancel()
			if err != nil {
				if !errors.Is(err, workflow.ErrTimeout) || errors.Is(err, workflow.ErrCancelled) {
					t.Errorf("the limit gives %v", err)
				}
				return err
			}
		}
		return nil
	}, add))
	due := func(second int) string {
		return started(epoch.Add(time.Minute + time.Duration(second)*time.Second))
	}
	w.start(due(1), "task_scheduled math/add 1")
	w.turn(completed(3, "1"), `timer_cancelled {"Timer":2}`, due(2), "task_scheduled math/add 1")
	w.swap()
	w.turn(&record.TimerFired{Timer: 6}, `task_cancelled {"Task":7}`, `run_failed {"Failure":{"kind":"timeout","code":"scope_timeout","retryable":false},"Retain":0}`)
}

// TestCancelRequest reaches the root scope; clean-up runs detached, and the run closes
// as cancelled.
func TestCancelRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, define(func(ctx workflow.Context) error {
		_, err := add.Run(ctx, 1)
		if errors.Is(err, workflow.ErrCancelled) {
			if _, e := note.Run(workflow.Detached(ctx), "clean up"); e != nil {
				t.Error(e)
			}
		}
		return err
	}, add, note))
	w.start("task_scheduled math/add 1")
	w.turn(&record.CancelRequested{Reason: "no more"}, `task_cancelled {"Task":2}`, `task_scheduled log/note "clean up"`)
	w.swap()
	w.turn(&record.CancelRequested{Reason: "again"})
	w.turn(completed(5, "null"), `run_cancelled {"Failure":{"kind":"cancelled","message":"no more","retryable":false},"Retain":0}`)
}

// TestVainWaits: a loop over waits that cancellation ends at once cannot be left by
// anybody; its run is stuck.
func TestVainWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, define(func(ctx workflow.Context) error {
		for {
			number.ReceiveUntil(ctx, workflow.Now(ctx).Add(time.Hour))
		}
	}, number))
	w.start(started(epoch.Add(time.Hour + time.Second)))
	w.stuck(&record.CancelRequested{}, replay.CodeTurnLimit, "in a cancelled scope", "workflow.Err", "thread_test.go")
}

// TestThreadPanics and its kin make the run stuck, with that thread's stack; nothing of
// the threads is left (goleak).
func TestThreadPanics(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]func(ctx workflow.Context){
		"panics":            func(workflow.Context) { panic("in a thread") },
		"asks undeclared":   func(ctx workflow.Context) { buy.Start(ctx, item{}) },
		"starts too many":   func(ctx workflow.Context) { fork(ctx) },
		"waits for nothing": func(ctx workflow.Context) { _ = workflow.Select(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, define(func(ctx workflow.Context) error {
				workflow.Go(ctx, func(ctx workflow.Context) { _ = workflow.Sleep(ctx, time.Hour) })
				workflow.Go(ctx, body)
				_, err := number.Receive(ctx)
				return err
			}, number))
			_, err := w.try(&record.RunStarted{})
			stuck, ok := errors.AsType[*replay.StuckError](err)
			if !ok || !strings.Contains(stuck.Detail, "thread_test.go") {
				t.Errorf("%v", err)
			}
		})
	}
}

func fork(ctx workflow.Context) {
	for {
		workflow.Go(ctx, func(ctx workflow.Context) { _ = workflow.Sleep(ctx, time.Hour) })
	}
}

// TestDropLeavesThreadsOneByOne: authors' defers share variables without locks (C1).
func TestDropLeavesThreadsOneByOne(t *testing.T) {
	t.Parallel()
	const n = 50
	left := make(chan struct{})
	count := 0
	w := newWorld(t, define(func(ctx workflow.Context) error {
		done := func() {
			if count++; count == n+1 {
				close(left)
			}
		}
		defer done()
		for range n {
			workflow.Go(ctx, func(ctx workflow.Context) {
				defer done()
				_ = workflow.Sleep(ctx, time.Hour)
			})
		}
		return workflow.Sleep(ctx, time.Hour)
	}))
	if _, err := w.try(&record.RunStarted{}); err != nil {
		t.Fatal(err)
	}
	w.live.Drop()
	<-left
}
