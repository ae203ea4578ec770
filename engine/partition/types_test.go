package partition

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

// TestManyRunsOfAPausedType: what was held is released some at a time, in any number of
// batches, of which a takeover may come between any two; due timers of others do not wait for
// all of it. Nothing is lost, and each run sees what came in its order.
func TestManyRunsOfAPausedType(t *testing.T) {
	t.Parallel()
	const runs = 3*dueLoad + 7
	h := newHarness(t, -1)
	h.batch(t, func() { h.due(t) }) // nothing: what a takeover wakes
	h.batch(t, func() {
		h.step(t, "start other loop 1")
		for i := range runs {
			h.step(t, fmt.Sprintf("start w%04d after 1", i))
		}
		h.step(t, "pausetype after")
	})
	h.batch(t, func() {
		for i := range runs {
			h.step(t, fmt.Sprintf("signal w%04d more 1", i))
		}
	})
	h.batch(t, func() {
		for i := range runs {
			h.step(t, fmt.Sprintf("signal w%04d more 2", i))
		}
	})
	h.now = h.now.Add(2 * time.Hour) // the timer of the other type is due
	h.batch(t, func() { h.step(t, "resumetype after") })
	const portion = 100
	charged := map[string]string{}
	other := -1
	for round := 0; len(charged) < runs; round++ {
		if due, ok, err := h.p.NextDue(); err != nil || !ok || due > h.now {
			t.Fatalf("after %d rounds %d of %d runs go on, and none more is to (%v)", round, len(charged), runs, err)
		}
		b := h.batch(t, func() {
			if n, err := h.p.StepDue(portion); err != nil || n > portion {
				t.Fatalf("a portion has %d runs, %v", n, err)
			}
		})
		if b == nil {
			continue
		}
		for _, o := range b.Outputs {
			if o.Topic == record.TopicTasks {
				charged[string(o.Key)] += string(o.Value)
			}
		}
		for _, c := range b.Closed {
			if c.WorkflowID == "other" {
				other = round
			}
		}
		if round == 5 || round == 17 {
			h.reopen(t)
		}
	}
	if other < 0 || other > 1 {
		t.Errorf("a timer that was due waited for %d portions of runs that go on", other)
	}
	for id, input := range charged {
		if input != "2" {
			t.Fatalf("run %s was charged %q: it saw another signal first, or went on twice", id, input)
		}
	}
	h.sameAfterTakeover(t)
}

// TestPausedTypeWithinTheFlight: P8. A run that is held, and its type paused and resumed, in
// batches that have not settled goes on as well.
func TestPausedTypeWithinTheFlight(t *testing.T) {
	t.Parallel()
	h := newHarness(t, -1)
	h.batch(t, func() { h.step(t, "start w after 1") })
	var flight []*Batch
	for _, line := range []string{"pausetype after", "signal w more 1", "resumetype after"} {
		h.p.Begin(h.now)
		h.step(t, line)
		flight = append(flight, h.p.Finish())
	}
	h.p.Begin(h.now)
	h.due(t)
	last := h.p.Finish()
	if last == nil || len(last.Outputs) != 1 || last.Outputs[0].Topic != record.TopicTasks {
		t.Fatalf("the run does not go on: %+v", last)
	}
	for _, b := range append(flight, last) {
		h.settle(t, b)
	}
	h.sameAfterTakeover(t)
}

// TestTypesAreBounded: the acts of a type, of which repeats are told, and the types that a
// sender may invent.
func TestTypesAreBounded(t *testing.T) {
	t.Parallel()
	h := newHarness(t, 1)
	h.batch(t, func() {
		for i := range record.TypeActsMax {
			h.step(t, fmt.Sprintf("pausetype sum id=p%d", i))
			h.step(t, fmt.Sprintf("resumetype sum id=r%d", i))
		}
	})
	rows, err := h.store.TypeRows()
	if err != nil || len(rows) != 1 || len(rows[0].Acts) != record.TypeActsMax || rows[0].Acts[record.TypeActsMax-1].CommandID != fmt.Sprint("r", record.TypeActsMax-1) {
		t.Fatalf("what was done is %+v, %v", rows, err)
	}
	b := h.batch(t, func() {
		for i := range typesMax {
			h.step(t, fmt.Sprintf("pausetype t%d", i))
		}
		h.step(t, "pausetype sum reply")
	})
	if b.Counts.DeadLetters != 1 || len(b.Replies) != 1 || b.Replies[0].Outcome != record.OutcomeApplied {
		t.Errorf("%d are refused, a known one: %+v", b.Counts.DeadLetters, b.Replies)
	}
	letters, err := h.store.ListDeadLetters(nil, "", 2)
	if err != nil || len(letters) != 1 || !strings.Contains(letters[0].Reason, "check the name") {
		t.Errorf("the dead letters are %+v, %v", letters, err)
	}
	h.sameAfterTakeover(t)
}

// TestTypeCommandsAreForThePartition: whoever has the slot of the record's key.
func TestTypeCommandsAreForThePartition(t *testing.T) {
	t.Parallel()
	for p := range int32(2) {
		h := newHarnessOf(t, 1, 2)
		h.p.Close()
		h.cfg.Partition, h.store = p, openStore(t, "other")
		h.changelog = nil
		h.open(t)
		out := codec.EncodeOperateType(&record.OperateType{Op: record.OperatePause, Type: "sum", CommandID: "c", Reason: "why", By: "op", Reply: true})
		r := codec.Decode(codec.KafkaRecord{Topic: record.TopicCommands, Partition: p, Offset: 1, Key: out.Key, Value: out.Value, Headers: out.Headers})
		b := h.batch(t, func() {
			if err := h.p.Step(&r); err != nil {
				t.Fatal(err)
			}
		})
		if len(b.Outputs) != 0 || len(b.Replies) != 1 || b.Replies[0].Outcome != record.OutcomeApplied || !bytes.Equal(out.Key, []byte("sum")) {
			t.Errorf("partition %d: %+v, %+v", p, b.Outputs, b.Replies)
		}
	}
}
