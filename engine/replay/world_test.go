package replay_test

import (
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/odradek/odradek/engine/replay"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = record.MillisOf(time.Date(2026, 1, 31, 9, 0, 0, 0, time.UTC))

var identity = replay.Identity{WorkflowID: "order-1", Run: record.RunID{1, 2, 3}, Type: "test", Version: 1}

// world runs one run live and keeps its history, as a partition does.
type world struct {
	t       *testing.T
	def     workflow.Definition
	id      replay.Identity
	logger  *slog.Logger
	live    *replay.Live
	history []record.HistoryEvent
	now     record.Millis
}

func newWorld(t *testing.T, def workflow.Definition) *world {
	t.Helper()
	w := &world{t: t, def: def, id: identity, now: epoch}
	w.live = replay.New(def, w.id, nil)
	t.Cleanup(func() { w.live.Drop() })
	return w
}

// define makes a definition of a function without payloads.
func define(fn func(workflow.Context) error, uses ...workflow.Use) workflow.Definition {
	return workflow.Define("test", func(ctx workflow.Context, _ struct{}) (struct{}, error) {
		return struct{}{}, fn(ctx)
	}, uses...)
}

// try gives the run an input a second after the last one.
func (w *world) try(in record.HistoryBody) ([]record.HistoryBody, error) {
	no := uint64(len(w.history) + 1)
	w.now = w.now.Add(time.Second)
	e := record.HistoryEvent{No: no, At: w.now, Body: in}
	decisions, err := w.live.Turn(e, no+1)
	if err != nil {
		return nil, err
	}
	w.history = append(w.history, e)
	for i, d := range decisions {
		w.history = append(w.history, record.HistoryEvent{No: no + 1 + uint64(i), At: w.now, Body: d})
	}
	return decisions, nil
}

// turn is try, and the decisions must be those that are described.
func (w *world) turn(in record.HistoryBody, want ...string) []record.HistoryBody {
	w.t.Helper()
	decisions, err := w.try(in)
	if err != nil {
		w.t.Fatalf("%s: %v", in.HistoryKind(), err)
	}
	if got := texts(decisions); !reflect.DeepEqual(got, append([]string{}, want...)) {
		w.t.Fatalf("%s: decided\n  %s\nwant\n  %s", in.HistoryKind(), strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	return decisions
}

func (w *world) start(want ...string) { w.t.Helper(); w.turn(&record.RunStarted{Input: nil}, want...) }

func (w *world) stuck(in record.HistoryBody, code string, details ...string) *replay.StuckError {
	w.t.Helper()
	_, err := w.try(in)
	return wantStuck(w.t, err, code, details...)
}

func wantStuck(t *testing.T, err error, code string, details ...string) *replay.StuckError {
	t.Helper()
	stuck, ok := errors.AsType[*replay.StuckError](err)
	if !ok {
		t.Fatalf("got error %v, want a StuckError of code %s", err, code)
	}
	for _, d := range details {
		if !strings.Contains(stuck.Detail, d) {
			t.Errorf("the detail lacks %q:\n%s", d, stuck.Detail)
		}
	}
	if stuck.Code != code {
		t.Errorf("code %s, want %s: %s", stuck.Code, code, stuck.Detail)
	}
	return stuck
}

// rebuild replays the world's history with another definition, or its own.
func (w *world) rebuild(def workflow.Definition) (*replay.Live, error) {
	l, _, err := replay.Rebuild(def, w.id, all(w.history), 0, w.logger)
	if err == nil {
		w.t.Cleanup(l.Drop)
	}
	return l, err
}

// swap goes on with a rebuilt run, as after an eviction.
func (w *world) swap() {
	w.t.Helper()
	w.live.Drop()
	l, err := w.rebuild(w.def)
	if err != nil {
		w.t.Fatal(err)
	}
	if l.HashMismatches != 0 {
		w.t.Fatalf("%d hash mismatches", l.HashMismatches)
	}
	w.live = l
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

func texts(ds []record.HistoryBody) []string {
	out := []string{}
	for _, d := range ds {
		out = append(out, text(d))
	}
	return out
}

// text is a decision in full.
func text(d record.HistoryBody) string {
	kind := d.HistoryKind().String()
	switch d := d.(type) {
	case *record.TaskScheduled:
		return kind + " " + d.Service + "/" + d.Operation + " " + string(d.Input)
	case *record.TimerStarted:
		return kind + " " + d.Due.Time().Format(time.RFC3339Nano)
	case *record.RunCompleted:
		return kind + " " + string(d.Result)
	}
	b, err := json.Marshal(d)
	if err != nil {
		panic(err)
	}
	return kind + " " + string(b)
}

func completed(task uint64, result string) *record.HistoryTaskCompleted {
	return &record.HistoryTaskCompleted{Task: task, Result: []byte(result)}
}

func signalled(name, payload string) *record.SignalReceived {
	return &record.SignalReceived{Name: name, Payload: []byte(payload)}
}

// The tasks and signals of the tests.
type item struct {
	Name  string `json:"name"`
	Price int    `json:"price"`
}

var (
	add    = workflow.NewTask[int, int]("math", "add")
	buy    = workflow.NewTask[item, item]("shop", "buy")
	note   = workflow.NewTask[string, struct{}]("log", "note")
	number = workflow.NewSignal[int]("number")
	stop   = workflow.NewSignal[struct{}]("stop")
)
