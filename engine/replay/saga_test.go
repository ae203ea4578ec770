package replay_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

// TestSaga: in reverse, once each, also when the run is rebuilt in the middle and when
// it was asked to end; what cannot be undone is told.
func TestSaga(t *testing.T) {
	t.Parallel()
	for name, cancelled := range map[string]bool{"a step fails": false, "cancelled": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got error
			w := newWorld(t, define(func(ctx workflow.Context) error {
				saga := workflow.Saga{ContinueOnError: true}
				for n := 1; n <= 3; n++ {
					if _, err := add.Run(ctx, n); err != nil {
						got = saga.Rollback(ctx, err)
						return saga.Rollback(ctx, got)
					}
					workflow.Compensate(&saga, fmt.Sprint("step ", n), note, fmt.Sprint("undo ", n))
				}
				return nil
			}, add, note))
			w.start("task_scheduled math/add 1")
			w.turn(completed(2, "1"), "task_scheduled math/add 2")
			w.turn(completed(4, "1"), "task_scheduled math/add 3")
			failed := func(task uint64, code string) *record.HistoryTaskFailed {
				return &record.HistoryTaskFailed{Task: task, Failure: record.Failure{Kind: record.FailureHTTP, Code: code}}
			}
			undo := uint64(8)
			if cancelled {
				w.turn(&record.CancelRequested{}, `task_cancelled {"Task":6}`, `task_scheduled log/note "undo 2"`)
				undo++
			} else {
				w.turn(failed(6, "no"), `task_scheduled log/note "undo 2"`)
			}
			w.swap()
			w.turn(failed(undo, "gone"), `task_scheduled log/note "undo 1"`)
			w.swap()
			ds, err := w.try(completed(undo+2, "null"))
			if err != nil || len(ds) != 1 {
				t.Fatal(ds, err)
			}
			var undone *workflow.CompensationError
			if !errors.As(got, &undone) || undone.Step != "step 2" || errors.Is(got, workflow.ErrCancelled) != cancelled {
				t.Errorf("the rollback gives %v", got)
			}
			if want := map[bool]record.HistoryKind{true: record.KindRunCancelled, false: record.KindRunFailed}[cancelled]; ds[0].HistoryKind() != want {
				t.Errorf("the run closes with %s", ds[0].HistoryKind())
			}
		})
	}
}

// TestSagaStops at a compensation that fails: what is before it is left for the retry.
func TestSagaStops(t *testing.T) {
	t.Parallel()
	var got error
	w := newWorld(t, define(func(ctx workflow.Context) error {
		var saga workflow.Saga
		workflow.Compensate(&saga, "one", note, "undo 1")
		workflow.Compensate(&saga, "two", note, "undo 2")
		_, err := add.Run(ctx, 1)
		got = saga.Rollback(ctx, err)
		return got
	}, add, note))
	failed := func(task uint64) *record.HistoryTaskFailed {
		return &record.HistoryTaskFailed{Task: task, Failure: record.Failure{Kind: record.FailureHTTP, Code: "no"}}
	}
	w.start("task_scheduled math/add 1")
	w.turn(failed(2), `task_scheduled log/note "undo 2"`)
	ds, err := w.try(failed(4))
	if err != nil || len(ds) != 1 || ds[0].HistoryKind() != record.KindRunFailed {
		t.Fatal(texts(ds), err)
	}
	if undone, ok := errors.AsType[*workflow.CompensationError](got); !ok || undone.Step != "two" {
		t.Errorf("the rollback gives %v", got)
	}
}

// TestPatch: runs that passed the place without stay on the old way, in every replay
// and afterwards; others take the new one.
func TestPatch(t *testing.T) {
	t.Parallel()
	code := func(patched bool) workflow.Definition {
		return define(func(ctx workflow.Context) error {
			for {
				if n, err := number.Receive(ctx); err != nil || n == 0 {
					return err
				}
				if patched && workflow.Patch(ctx, "louder") {
					note.Start(ctx, "LOUD")
				} else {
					note.Start(ctx, "soft")
				}
			}
		}, number, note)
	}
	old := newWorld(t, code(false))
	old.start()
	old.turn(signalled("number", "1"), `signal_consumed {"Signal":2}`, `task_scheduled log/note "soft"`)
	old.def = code(true)
	old.swap() // the deploy
	old.turn(signalled("number", "1"), `signal_consumed {"Signal":5}`, `task_scheduled log/note "soft"`)
	old.swap()
	old.turn(signalled("number", "0"), `signal_consumed {"Signal":8}`, "run_completed {}")

	fresh := newWorld(t, code(false))
	fresh.start()
	fresh.def = code(true)
	fresh.swap()
	fresh.turn(signalled("number", "1"), `signal_consumed {"Signal":2}`, `patch_marked {"ID":"louder"}`, `task_scheduled log/note "LOUD"`)
	fresh.swap()
	fresh.turn(signalled("number", "1"), `signal_consumed {"Signal":6}`, `task_scheduled log/note "LOUD"`)
	fresh.def = code(false)
	fresh.live.Drop()
	if _, err := fresh.rebuild(fresh.def); err == nil {
		t.Error("code without the patch replays a history that has taken it")
	}
}
