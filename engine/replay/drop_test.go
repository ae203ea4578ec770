package replay_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/odradek/odradek/engine/replay"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

func logTo(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// TestDropLeaves: defers and recovers of the author's run, and reach nothing (C1, R4).
func TestDropLeaves(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var did []string
	left := make(chan struct{})
	w := newWorld(t, define(func(ctx workflow.Context) error {
		logger := workflow.Logger(ctx)
		defer close(left)
		defer func() {
			did = append(did, "outer defer")
			defer func() {
				if v := recover(); v != nil {
					did = append(did, "recovered in a defer")
				}
			}()
			for n := 0; n < 3; n++ { // compensates, whatever happens
				_, _ = add.Run(ctx, n)
				did = append(did, "went on after a task")
			}
		}()
		defer func() {
			logger.Info("in a defer")
			if v := recover(); v != nil {
				did = append(did, "recovered")
			}
			workflow.Now(ctx)
			did = append(did, "went on after Now")
		}()
		_, _ = number.Receive(ctx)
		did = append(did, "went on after Receive")
		return nil
	}, add, number))
	w.live.Drop()
	w.live = replay.New(w.def, w.id, logTo(&log))
	w.start()
	w.live.Drop()
	w.live.Drop()
	<-left
	if strings.Join(did, ", ") != "outer defer" || log.Len() > 0 {
		t.Errorf("the code did %q and logged %q", did, log.String())
	}
	if _, err := w.try(signalled("number", "1")); !errors.Is(err, replay.ErrDropped) {
		t.Errorf("a turn after Drop: %v", err)
	}
}

// TestHungTurn: the lane gives the turn up, drops the run and goes on; when the code
// wakes, nothing of it counts, and its goroutine ends (C3).
func TestHungTurn(t *testing.T) {
	t.Parallel()
	for name, wake := range map[string]func(ctx workflow.Context) error{
		"asks for more": func(ctx workflow.Context) error { _, err := add.Run(ctx, 1); return err },
		"returns":       func(workflow.Context) error { return nil },
		"panics":        func(workflow.Context) error { panic("late") },
		"goexits":       func(workflow.Context) error { runtime.Goexit(); return nil },
	} {
		for _, hook := range []struct {
			name string
			fn   func()
		}{{"abandoned", runtime.Goexit}, {"kept", nil}} {
			t.Run(name+", "+hook.name, func(t *testing.T) {
				t.Parallel()
				hangs, release, left := make(chan struct{}), make(chan struct{}), make(chan struct{})
				def := define(func(ctx workflow.Context) error {
					defer close(left)
					close(hangs)
					<-release
					return wake(ctx)
				}, add)
				id := identity
				id.AfterSwitch = hook.fn
				l := replay.New(def, id, nil)
				lane := make(chan struct{})
				var err error
				went := false
				go func() {
					defer close(lane)
					_, err = l.Turn(record.HistoryEvent{No: 1, At: epoch, Body: &record.RunStarted{}}, 2)
					went = true
				}()
				<-hangs
				l.Drop()
				close(release)
				<-lane
				<-left
				if hook.fn != nil && went {
					t.Error("the abandoned goroutine went on")
				}
				if hook.fn == nil && name == "asks for more" && err == nil {
					t.Error("the turn of a dropped run counts")
				}
			})
		}
	}
}

// TestAfterSwitch: called once for each switch back, live and in replay, before
// anything else.
func TestAfterSwitch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, define(func(ctx workflow.Context) error {
		_, _ = number.Receive(ctx)
		_, _ = number.Receive(ctx)
		return nil
	}, number))
	switches := 0
	w.id.AfterSwitch = func() { switches++ }
	w.live = replay.New(w.def, w.id, nil)
	w.start()
	w.turn(signalled("number", "1"), `signal_consumed {"Signal":2}`)
	if switches != 2 {
		t.Errorf("%d switches, want 2", switches)
	}
	w.swap()
	if switches != 4 {
		t.Errorf("%d switches, want 4", switches)
	}
	w.turn(signalled("number", "1"), `signal_consumed {"Signal":4}`, "run_completed {}")
	if switches != 5 {
		t.Errorf("%d switches, want 5", switches)
	}
	// A rebuild that is abandoned half-way leaves no coroutine: goleak looks.
	w.id.AfterSwitch = runtime.Goexit
	lane := make(chan struct{})
	go func() {
		defer close(lane)
		_, _ = w.rebuild(w.def)
		t.Error("the abandoned goroutine went on")
	}()
	<-lane
}

// TestLogger: silent in replay, and again heard in the turns after it.
func TestLogger(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	w := newWorld(t, define(func(ctx workflow.Context) error {
		logger := workflow.Logger(ctx).With("kept", true)
		for n := 0; ; n++ {
			logger.Info("kept logger", "n", n)
			workflow.Logger(ctx).WithGroup("g").Info("new logger", "n", n)
			_, _ = number.Receive(ctx)
		}
	}, number))
	w.logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	who := " workflow_id=order-1 run_id=" + identity.Run.String() + " workflow_type=test"
	lines := func(n string) string {
		return `level=INFO msg="kept logger"` + who + " kept=true n=" + n + "\n" + `level=INFO msg="new logger"` + who + " g.n=" + n + "\n"
	}
	expect := func(want string) {
		t.Helper()
		if got := log.String(); got != want {
			t.Errorf("logged\n%swant\n%s", got, want)
		}
		log.Reset()
	}
	w.live = replay.New(w.def, w.id, w.logger)
	w.start()
	expect(lines("0"))
	w.turn(signalled("number", "1"), `signal_consumed {"Signal":2}`)
	expect(lines("1"))
	w.swap()
	expect("")
	w.turn(signalled("number", "1"), `signal_consumed {"Signal":4}`)
	expect(lines("2"))
	// An open turn is a live one.
	w.live.Drop()
	l, _, err := replay.Rebuild(w.def, w.id, all(w.history[:4]), 5, w.logger)
	if err != nil {
		t.Fatal(err)
	}
	l.Drop()
	expect(lines("2"))
}
