package replay_test

import (
	"testing"

	"github.com/odradek/odradek/engine/replay"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

// turnAllocsMax is what one turn may allocate whose input resolves a task and whose
// code starts the next. It is 8: the decision, its list and its open entry, 3;
// encoding and decoding an int as JSON, 5. The race detector makes pools of
// encoding/json forget, now and then.
const turnAllocsMax = 10

func chain(ctx workflow.Context, n int) (int, error) {
	for {
		var err error
		if n, err = add.Run(ctx, n); err != nil {
			return 0, err
		}
	}
}

// turner gives a function that runs one turn of a chain of tasks.
func turner(fail func(error)) (*replay.Live, func()) {
	l := replay.New(workflow.Define("test", chain, add), identity, nil)
	if _, err := l.Turn(record.HistoryEvent{No: 1, At: epoch, Body: &record.RunStarted{Input: []byte("1")}}, 2); err != nil {
		fail(err)
	}
	result := &record.HistoryTaskCompleted{Result: []byte("12345")}
	no := uint64(2)
	return l, func() {
		body := *result
		body.Task = no
		if ds, err := l.Turn(record.HistoryEvent{No: no + 1, At: epoch, Body: &body}, no+2); err != nil || len(ds) != 1 {
			fail(err)
		}
		no += 2
	}
}

// TestTurnBudget is not parallel, as AllocsPerRun demands. The turn's own body is one
// allocation of the test's.
func TestTurnBudget(t *testing.T) {
	l, turn := turner(func(err error) { t.Fatal(err) })
	defer l.Drop()
	turn()
	if n := testing.AllocsPerRun(1000, turn) - 1; n > turnAllocsMax {
		t.Errorf("a turn allocates %v times, at most %d are allowed", n, turnAllocsMax)
	} else {
		t.Logf("a turn allocates %v times", n)
	}
}

// TestBlockedTurnAllocatesNothing: an input that the code does not wait for.
func TestBlockedTurnAllocatesNothing(t *testing.T) {
	l := replay.New(define(func(ctx workflow.Context) error {
		f := add.Start(ctx, 1)
		_, err := f.Get(ctx)
		return err
	}, add, number), identity, nil)
	defer l.Drop()
	if _, err := l.Turn(record.HistoryEvent{No: 1, At: epoch, Body: &record.RunStarted{}}, 2); err != nil {
		t.Fatal(err)
	}
	in := record.HistoryEvent{No: 3, At: epoch, Body: signalled("number", "1")}
	n := testing.AllocsPerRun(1000, func() { // but for the buffer, which grows
		if _, err := l.Turn(in, 4); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTurn(b *testing.B) {
	l, turn := turner(func(err error) { b.Fatal(err) })
	defer l.Drop()
	b.ReportAllocs()
	for b.Loop() {
		turn()
	}
}
