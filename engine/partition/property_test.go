package partition

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/odradek/odradek/record"
)

// TestBatchesDoNotMatter: S-1, S-2, S-4, P7, P8. The same inputs at the same times are
// stepped one by one with everything in memory, and in batches of any size, up to
// three of them unsettled, with any cache, and with all memory lost now and then.
// Histories, rows and what goes to others are the same.
func TestBatchesDoNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		one, many := newHarness(t, 20_000), newHarness(t, rapid.SampledFrom([]int{-1, 1, 2, 20_000}).Draw(rt, "cache"))
		ids := []string{"a", "b", "c"}
		sent := [2]map[string][]string{{}, {}}
		for round := rapid.IntRange(1, 6).Draw(rt, "rounds"); round > 0; round-- {
			var records []*record.Record
			for n := rapid.IntRange(0, 12).Draw(rt, "inputs"); n > 0; n-- {
				r := one.record(t, drawLine(rt, ids))
				if r == nil {
					continue
				}
				records = append(records, r)
				sent[0] = collect(sent[0], one.batch(t, func() {
					if err := one.p.Step(r); err != nil {
						t.Fatal(err)
					}
				}))
			}
			var flight []*Batch
			settle := func(n int) {
				for _, b := range flight[:n] {
					many.settle(t, b)
				}
				flight = flight[n:]
			}
			for i := 0; i < len(records); {
				if n := len(flight); n > 0 {
					settle(rapid.IntRange(max(0, n-depthMax+1), n).Draw(rt, "settle"))
				}
				if len(flight) == 0 && rapid.IntRange(0, 9).Draw(rt, "lose") == 0 {
					many.reopen(t)
				}
				if rapid.IntRange(0, 4).Draw(rt, "rest") == 0 { // as if much time had passed
					many.p.cache.rested = 0
					many.p.Rest(many.now.Add(2 * time.Hour))
				}
				many.p.Begin(many.now)
				for n := rapid.IntRange(1, 5).Draw(rt, "batch"); n > 0 && i < len(records); n, i = n-1, i+1 {
					if err := many.p.Step(records[i]); err != nil {
						t.Fatal(err)
					}
				}
				if b := many.p.Finish(); b != nil {
					sent[1] = collect(sent[1], b)
					flight = append(flight, b)
				}
			}
			settle(len(flight))
			pause := time.Duration(rapid.IntRange(0, 4000).Draw(rt, "pause")) * time.Second
			one.now, many.now = one.now.Add(pause), many.now.Add(pause)
			sent[0] = collect(sent[0], one.batch(t, func() { one.due(t) }))
			sent[1] = collect(sent[1], many.batch(t, func() { many.due(t) }))
		}
		for _, id := range ids {
			a, b := one.describe(t, id), many.describe(t, id)
			if withoutChunks(a) != withoutChunks(b) {
				rt.Fatalf("workflow %s differs:\none by one:\n%s\nin batches:\n%s", id, a, b)
			}
			if got, want := strings.Join(sent[1][id], "\n"), strings.Join(sent[0][id], "\n"); got != want {
				rt.Fatalf("what workflow %s sent differs:\none by one:\n%s\nin batches:\n%s", id, want, got)
			}
		}
		one.sameAfterTakeover(t)
		many.sameAfterTakeover(t)
	})
}

const depthMax = 3

func drawLine(rt *rapid.T, ids []string) string {
	id := rapid.SampledFrom(ids).Draw(rt, "id")
	n := rapid.IntRange(-1, 3).Draw(rt, "n")
	switch rapid.IntRange(0, 10).Draw(rt, "input") {
	case 10:
		return rapid.SampledFrom([]string{"pausetype ", "resumetype "}).Draw(rt, "operation") + rapid.SampledFrom([]string{"two", "sum", "charge"}).Draw(rt, "type")
	case 8:
		return rapid.SampledFrom([]string{"pause ", "resume ", "retry ", "retry ", "redrive ", "discard "}).Draw(rt, "operation") + id + rapid.SampledFrom([]string{"", " newkey"}).Draw(rt, "key")
	case 9:
		return fmt.Sprintf("%s %s to=%d task=%d", rapid.SampledFrom([]string{"reset", "reset", "retry"}).Draw(rt, "operation"), id, rapid.IntRange(1, 9).Draw(rt, "to"), rapid.IntRange(1, 4).Draw(rt, "task"))
	case 0, 1:
		return fmt.Sprintf("start %s %s %d id=%s%d", id, rapid.SampledFrom([]string{"two", "sum", "charge", "refund", "unknown"}).Draw(rt, "type"), n, id, n)
	case 2, 3:
		return fmt.Sprintf("signal %s more %d id=s%s%d", id, n, id, n)
	case 4:
		return fmt.Sprintf("failed %s %d %d %s", id, rapid.IntRange(2, 4).Draw(rt, "task"), rapid.IntRange(1, 2).Draw(rt, "attempt"), rapid.SampledFrom([]string{"retryable", "final"}).Draw(rt, "how"))
	case 5:
		if n > 0 {
			return fmt.Sprintf("poll %s %d %d %d %dm {\"n\":%d}", id, rapid.IntRange(2, 4).Draw(rt, "task"), rapid.IntRange(1, 2).Draw(rt, "attempt"), rapid.IntRange(0, 2).Draw(rt, "sending"), n, n)
		}
		return "garbage " + id
	}
	return fmt.Sprintf("completed %s %d 1 %d", id, rapid.IntRange(2, 4).Draw(rt, "task"), n)
}

func needsRun(line string) bool {
	if verb, rest, _ := strings.Cut(line, " "); verb == "redrive" || verb == "discard" {
		_, err := record.ParseDeadLetterID(strings.Fields(rest)[0])
		return err != nil // it is a workflow's
	}
	return strings.HasPrefix(line, "completed") || strings.HasPrefix(line, "failed") || strings.HasPrefix(line, "poll")
}

// has reports whether the store has a run of the workflow.
func (h *harness) has(t *testing.T, workflowID string) bool {
	t.Helper()
	s, err := h.store.Load(workflowID)
	if err != nil {
		t.Fatal(err)
	}
	return s != nil
}

// collect appends what a batch sent, by workflow, without what names positions.
func collect(sent map[string][]string, b *Batch) map[string][]string {
	if b == nil {
		return sent
	}
	for _, o := range b.Outputs {
		line := fmt.Sprintf("%s.%s %s", o.Topic, o.Service, o.Value)
		for _, h := range o.Headers {
			line += fmt.Sprintf(" %s=%s", h.Key, h.Value)
		}
		sent[string(o.Key)] = append(sent[string(o.Key)], line)
	}
	return sent
}

// withoutChunks drops the number of chunks, which is the number of batches.
func withoutChunks(s string) string {
	before, after, ok := strings.Cut(s, " chunks=")
	if !ok {
		return s
	}
	_, rest, _ := strings.Cut(after, " ")
	return before + " " + rest
}

// TestForward: S1. A record of a slot that is owned elsewhere goes there in the
// transaction that consumes it; one that has been forwarded too often stays, as a
// dead letter.
func TestForward(t *testing.T) {
	t.Parallel()
	h := newHarnessOf(t, 20_000, 2)
	foreign := ""
	for i := 0; foreign == ""; i++ {
		if id := fmt.Sprint("w", i); h.cfg.Table.Partition(id) == 1 {
			foreign = id
		}
	}
	for hops, want := range map[int]record.Topic{0: record.TopicInternal, hopsMax - 1: record.TopicInternal, hopsMax: record.TopicDeadLetters} {
		b := h.batch(t, func() {
			r := &record.Record{Origin: record.Origin{Topic: record.TopicCommands, Offset: 5}, WorkflowID: foreign, Body: &record.Start{Type: "charge", Input: []byte("1")}, Hops: hops}
			if err := h.p.Step(r); err != nil {
				t.Fatal(err)
			}
		})
		if len(b.Outputs) != 1 || b.Outputs[0].Topic != want || b.Counts.Started != 0 {
			t.Errorf("after %d hops: %+v, want one record on %s", hops, b.Outputs, want)
		} else if want == record.TopicInternal && b.Outputs[0].Partition != 1 {
			t.Errorf("forwarded to partition %d, want 1", b.Outputs[0].Partition)
		}
	}
}

// TestDueQueueIsAWindow fires more timers than the queue holds, in order.
func TestDueQueueIsAWindow(t *testing.T) {
	t.Parallel()
	h := newHarness(t, 1)
	const runs = 2*dueMax + 17
	for at := 0; at < runs; {
		h.batch(t, func() {
			for n := 0; n < 1000 && at < runs; n, at = n+1, at+1 {
				h.step(t, fmt.Sprintf("start w%d sum %d", at, at))
			}
		})
		h.now = h.now.Add(time.Second)
	}
	if n := len(h.p.due.heap) + len(h.p.due.far); n > dueMax+1000 {
		t.Errorf("%d entries in memory for %d timers", n, runs)
	}
	h.now = h.now.Add(2 * time.Hour)
	closed, last := 0, record.Millis(0)
	for {
		var due record.Millis
		b := h.batch(t, func() {
			d, ok, err := h.p.NextDue()
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				due = d
			}
			if _, err := h.p.StepDue(1000); err != nil {
				t.Fatal(err)
			}
		})
		if b == nil || len(b.Closed) == 0 {
			break
		}
		if due < last {
			t.Fatalf("due %d after %d", due, last)
		}
		last = due
		closed += len(b.Closed)
	}
	if closed != runs {
		t.Errorf("%d of %d timers fired", closed, runs)
	}
}
