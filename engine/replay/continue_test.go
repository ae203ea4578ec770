package replay_test

import (
	"fmt"
	"testing"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/replay"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

// TestContinueAsNew: with the input as it is asked for; what does not fit is stuck.
func TestContinueAsNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, workflow.Define("test", func(ctx workflow.Context, n int) (int, error) {
		if n == 7 {
			return 0, workflow.ContinueAsNew(ctx, "seven")
		}
		return 0, fmt.Errorf("go on: %w", workflow.ContinueAsNew(ctx, n+1))
	}))
	w.turn(&record.RunStarted{Input: []byte("1")}, fmt.Sprintf(`run_continued {"Input":"Mg==","InputHash":%d,"Carry":null,"Retain":0}`, hashOf("2")))
	w = newWorld(t, w.def)
	w.stuck(&record.RunStarted{Input: []byte("7")}, replay.CodePanic, "does not fit", "continue_test.go")
}

// TestLoop: the state is carried when the history is long, and only then; carried
// signals are there before the code begins; rebuilt anywhere it goes on the same.
func TestLoop(t *testing.T) {
	t.Parallel()
	type state struct{ Sum, Turns int }
	def := define(func(ctx workflow.Context) error {
		s, err := workflow.Loop(ctx, state{}, func(ctx workflow.Context, s *state) (bool, error) {
			n, err := number.Receive(ctx)
			s.Sum, s.Turns = s.Sum+n, s.Turns+1
			return n == 0, err
		})
		if err == nil {
			_, err = note.Run(ctx, fmt.Sprint(s))
		}
		return err
	}, number, note)
	w := newWorld(t, def)
	w.start()
	turns, continued := 0, (*record.RunContinued)(nil)
	for continued == nil {
		ds, err := w.try(signalled("number", "2"))
		if err != nil {
			t.Fatal(err)
		}
		if turns++; turns == 1000 {
			w.swap()
		}
		continued, _ = ds[len(ds)-1].(*record.RunContinued)
	}
	if want := fmt.Sprintf(`{"Sum":%d,"Turns":%d}`, 2*turns, turns); string(continued.Carry) != want || turns < 1000 || turns > 4000 || !w.live.Closed() {
		t.Fatalf("after %d turns it carries %s, want %s", turns, continued.Carry, want)
	}
	next := newWorld(t, def)
	start := record.HistoryEvent{No: 1, At: epoch, Body: &record.RunStarted{Previous: record.RunID{9}, Carry: []byte(`{"Sum":40,"Turns":20}`)}}
	carried := []record.HistoryEvent{
		{No: 2, At: epoch, Body: &record.SignalCarried{Name: "number", Payload: []byte("1")}},
		{No: 3, At: epoch, Body: &record.SignalCarried{Name: "number", Payload: []byte("0")}},
	}
	next.live.Carry(carried)
	ds, err := next.live.Turn(start, 4)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`signal_consumed {"Signal":2}`, `signal_consumed {"Signal":3}`, `task_scheduled log/note "{41 22}"`}
	if got := texts(ds); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("the next run decides %v", got)
	}
	next.history = append(append(next.history, start), carried...)
	open, again, err := replay.Rebuild(def, identity, all(next.history), 4, nil)
	if err != nil {
		t.Fatal(err)
	}
	open.Drop()
	if fmt.Sprint(texts(again)) != fmt.Sprint(want) {
		t.Errorf("the open turn decides %v", texts(again))
	}
	for i, d := range ds {
		next.history = append(next.history, record.HistoryEvent{No: uint64(4 + i), At: epoch, Body: d})
	}
	next.swap()
	next.turn(completed(6, "null"), "run_completed {}")
}

func hashOf(payload string) uint64 { return codec.Hash([]byte(payload)) }
