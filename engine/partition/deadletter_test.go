package partition

import (
	"fmt"
	"testing"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

// TestDeadLettersAreBounded: beyond the limit the topic alone has them, also after
// everything in memory is lost (F7).
func TestDeadLettersAreBounded(t *testing.T) {
	t.Parallel()
	h := newHarness(t, -1)
	garbage := func(n int) (rows, outputs int) {
		b := h.batch(t, func() {
			for i := range n {
				h.step(t, fmt.Sprintf("garbage w%d", i))
			}
		})
		return len(b.Rows), len(b.Outputs)
	}
	if rows, outputs := garbage(deadLettersMax - 1); rows != deadLettersMax-1 || outputs != deadLettersMax-1 {
		t.Errorf("below the limit: %d rows, %d outputs", rows, outputs)
	}
	h.reopen(t)
	if rows, outputs := garbage(3); rows != 1 || outputs != 3 {
		t.Errorf("beyond it: %d rows, %d outputs, want 1 and 3", rows, outputs)
	}
	h.reopen(t)
	if rows, outputs := garbage(1); rows != 0 || outputs != 1 {
		t.Errorf("after a takeover: %d rows, %d outputs, want 0 and 1", rows, outputs)
	}
}

// TestClosingEventsAreAlwaysWritten: a history level concerns the rest (I5).
func TestClosingEventsAreAlwaysWritten(t *testing.T) {
	t.Parallel()
	for level, want := range map[workflow.HistoryLevel]string{
		workflow.HistoryOff: "[run_completed]", workflow.HistoryLifecycle: "[run_started run_completed]",
		workflow.HistoryAll: "[run_started signal_received signal_consumed run_completed]",
	} {
		h := newHarness(t, -1)
		h.cfg.Definitions = []workflow.Definition{workflow.Define("listening", func(ctx workflow.Context, n int) (int, error) { return more.Receive(ctx) }, more, workflow.History(level))}
		h.reopen(t)
		var got []string
		b := h.batch(t, func() { h.step(t, "start w listening 1"); h.step(t, "signal w more 2") })
		for _, o := range b.Outputs {
			for _, hd := range o.Headers {
				if o.Topic == record.TopicHistory && hd.Key == "ce_type" {
					got = append(got, string(hd.Value[len("io.odradek."):len(hd.Value)-len(".v1")]))
				}
			}
		}
		if fmt.Sprint(got) != want {
			t.Errorf("level %v: %v, want %v", level, got, want)
		}
	}
}

// TestFailedRunsLeaveRoomForRecords: runs take at most half of the places.
func TestFailedRunsLeaveRoomForRecords(t *testing.T) {
	t.Parallel()
	h := newHarness(t, -1)
	h.batch(t, func() {
		for i := range deadLettersMax/2 - 1 {
			h.step(t, fmt.Sprintf("garbage w%d", i))
		}
	})
	for n, id := range []string{"first", "second"} {
		h.batch(t, func() { h.step(t, "start "+id+" charge 1") })
		h.batch(t, func() { h.step(t, "failed "+id+" 2 1 final") })
		rows, err := h.store.ListDeadLetters(nil, record.CodeGivenUp, 10)
		if err != nil || len(rows) != 1 || string(rows[0].Raw.Key) != "first" {
			t.Fatalf("after %d runs %d are listed, %v", n+1, len(rows), err)
		}
	}
}

// TestATaskRecordGoesWhereThereIsAPartition: the topic may have had more of them, or the
// place is a foreign worker's invention.
func TestATaskRecordGoesWhereThereIsAPartition(t *testing.T) {
	t.Parallel()
	h := newHarness(t, 20_000)
	most := h.p.cfg.Services["pay"]
	for _, at := range []int32{most - 1, most, 1 << 30} {
		r := h.record(t, fmt.Sprintf("unreadable pay/%d/17 bytes", at))
		h.batch(t, func() {
			if err := h.p.Step(r); err != nil {
				t.Fatal(err)
			}
		})
		again := h.record(t, "redrive "+record.DeadLetterID(r.Origin))
		b := h.batch(t, func() {
			if err := h.p.Step(again); err != nil {
				t.Fatal(err)
			}
		})
		if b == nil || len(b.Outputs) != 1 || b.Outputs[0].Partition != at%most {
			t.Errorf("of %d: %+v", at, b)
		}
	}
}
