package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

// echo answers with its input.
func echo(operation string) Handler {
	return HandleRaw(testService, operation, func(_ context.Context, c *Call) ([]byte, error) { return c.Input, nil })
}

// failure of a failed event.
func (ev event) failure(t *testing.T) record.Failure {
	t.Helper()
	if ev.Kind != "failed" {
		t.Fatalf("event %+v, want failed", ev)
	}
	var f record.Failure
	if err := json.Unmarshal([]byte(ev.Value), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

type chargeIn struct{ Amount int }
type chargeOut struct{ Paid int }

// TestFailuresHaveOneShape: what handlers do wrong, and what the workflow's failure
// becomes of it.
func TestFailuresHaveOneShape(t *testing.T) {
	t.Parallel()
	charge := workflow.NewTask[chargeIn, chargeOut](testService, "charge")
	typed := func(fn func(context.Context, chargeIn) (chargeOut, error)) Handler {
		return Handle(charge, fn, WithTimeout(3*time.Second))
	}
	raw := func(fn CallFunc) Handler { return HandleRaw(testService, "charge", fn) }
	broke := errors.New("card is broken")
	for name, c := range map[string]struct {
		handler Handler
		input   string
		want    record.Failure
		says    string
	}{
		"error": {typed(func(context.Context, chargeIn) (chargeOut, error) { return chargeOut{}, broke }), `{}`,
			record.Failure{Kind: "application", Retryable: true}, "card is broken"},
		"not retryable": {typed(func(context.Context, chargeIn) (chargeOut, error) { return chargeOut{}, NonRetryable(broke) }), `{}`,
			record.Failure{Kind: "application"}, "card is broken"},
		"retry after": {typed(func(context.Context, chargeIn) (chargeOut, error) {
			return chargeOut{}, fmt.Errorf("charge: %w", RetryAfter(broke, time.Minute))
		}), `{}`, record.Failure{Kind: "application", Retryable: true, RetryAfter: time.Minute}, "card is broken"},
		"own failure": {typed(func(context.Context, chargeIn) (chargeOut, error) {
			return chargeOut{}, fmt.Errorf("charge: %w", &record.Failure{Kind: "payment", Code: "no_funds", Message: "balance is 3"})
		}), `{}`, record.Failure{Kind: "payment", Code: "no_funds"}, "balance is 3"},
		"panic": {typed(func(context.Context, chargeIn) (chargeOut, error) { panic("boom") }), `{}`,
			record.Failure{Kind: "application", Code: "panic", Retryable: true}, "worker/behaviour_test.go:"},
		"nil pointer": {typed(func(context.Context, chargeIn) (chargeOut, error) {
			var m map[string]*chargeOut
			return *m["a"], nil
		}), `{}`,
			record.Failure{Kind: "application", Code: "panic", Retryable: true}, "worker/behaviour_test.go:"},
		"timeout": {typed(func(ctx context.Context, _ chargeIn) (chargeOut, error) { <-ctx.Done(); return chargeOut{}, ctx.Err() }), `{}`,
			record.Failure{Kind: "timeout", Code: "attempt_timeout", Retryable: true}, "longer than 3s"},
		"input of another type": {typed(func(context.Context, chargeIn) (chargeOut, error) { return chargeOut{}, nil }), `{"Amount":"much"}`,
			record.Failure{Kind: "application", Code: "input_invalid", Retryable: true}, "does not fit worker.chargeIn"},
		"result too large": {raw(func(context.Context, *Call) ([]byte, error) { return make([]byte, 512<<10+1), nil }), `{}`,
			record.Failure{Kind: "engine", Code: "payload_too_large"}, "524289 bytes"},
		"unbound": {HandleRaw(testService, "refund", nil), `{}`,
			record.Failure{Kind: "binding", Code: "unbound_operation", Retryable: true}, `no handler for operation "charge" of service "payment"`},
		"long message": {raw(func(context.Context, *Call) ([]byte, error) { return nil, errors.New(strings.Repeat("ä", 4000)) }), `{}`,
			record.Failure{Kind: "application", Retryable: true}, "... (cut)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				if c.handler.Call == nil {
					c.handler = echo("refund")
				}
				e := newEnv(t, 1)
				e.produce(taskRecord(1, "charge", 0, c.input))
				e.start("a", Config{Handlers: []Handler{c.handler}})
				ev := e.events(1)[0]
				f := ev.failure(t)
				if f.Kind != c.want.Kind || f.Code != c.want.Code || f.Retryable != c.want.Retryable || f.RetryAfter != c.want.RetryAfter {
					t.Errorf("got  %+v\nwant %+v", f, c.want)
				}
				if !strings.Contains(f.Message, c.says) || len(f.Message) > messageBytesMax {
					t.Errorf("message %q does not say %q", f.Message, c.says)
				}
				if ev.Task != taskID(1).String() || ev.Attempt != "1" || ev.Key != workflowID(1) {
					t.Errorf("event %+v is of another task", ev)
				}
			})
		})
	}
}

// TestTypedHandlerKnowsItsCall: input and result go through the task's types.
func TestTypedHandlerKnowsItsCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 1)
		e.produce(taskRecord(1, "charge", 0, `{"Amount":7}`))
		var call Call
		e.start("a", Config{Handlers: []Handler{Handle(workflow.NewTask[chargeIn, chargeOut](testService, "charge"),
			func(ctx context.Context, in chargeIn) (chargeOut, error) {
				call = *CallOf(ctx)
				return chargeOut{Paid: in.Amount}, nil
			})}})
		if ev := e.events(1)[0]; ev.Kind != "completed" || ev.Value != `{"Paid":7}` {
			t.Fatalf("event %+v", ev)
		}
		if call.Key != taskID(1).String() || call.WorkflowID != workflowID(1) || call.WorkflowType != "monthly" || call.Attempt != 1 {
			t.Fatalf("call %+v", call)
		}
	})
}

// TestUnreadableRecordsAreReportedAndPassed: one that names its task is answered, one
// that does not goes whole to the dead letters, and is counted; neither stops the others.
func TestUnreadableRecordsAreReportedAndPassed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 1)
		named := taskRecord(0, "charge", 0, "0")
		named.Headers = named.Headers[1:] // no od-op
		nameless := &kgo.Record{Topic: "t.tasks." + testService, Value: []byte("\xff")}
		e.produce(named, nameless, taskRecord(2, "charge", 0, "2"))
		skipped := make(chan RecordSkipped, 1)
		w := e.start("a", Config{Handlers: []Handler{echo("charge")}, Listener: Listener{RecordSkipped: func(r RecordSkipped) { skipped <- r }}})
		for _, ev := range e.events(3) {
			switch ev.Key {
			case "":
				if ev.Kind != codec.EventUnreadable || ev.Value != "\xff" || ev.More != " dl-task="+testService+"/0/1" {
					t.Errorf("event %+v", ev)
				}
			case workflowID(0):
				if f := ev.failure(t); f.Code != CodeTaskUndecodable || !f.Retryable || !strings.Contains(f.Message, "od-op") {
					t.Errorf("failure %+v", f)
				}
			case workflowID(2):
				if ev.Kind != "completed" {
					t.Errorf("event %+v", ev)
				}
			}
		}
		if r := <-skipped; r.Offset != 1 || r.Reason != SkipUndecodable {
			t.Errorf("skipped %+v", r)
		}
		waitFor(t, func() bool { return w.services[0].committedAt(0) == 3 })
	})
}

// committedAt is the offset that the partition's last commit said; -1: none.
func (s *service) committedAt(partition int32) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.parts[partition]; p != nil {
		return p.committed.offset
	}
	return -1
}

// TestOffsetsFollowAcknowledgedResults: as long as Kafka has not taken a result, its
// offset is not committed, whatever else is finished.
func TestOffsetsFollowAcknowledgedResults(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 1)
		e.put(10, "charge", 1)
		var refuse atomic.Bool
		refuse.Store(true)
		var produced atomic.Int32
		e.refuseProduce(func(*kmsg.ProduceRequest) int16 {
			if !refuse.Load() {
				return 0
			}
			produced.Add(1)
			return kerr.NotLeaderForPartition.Code
		})
		var calls atomic.Int32
		w := e.start("a", Config{Handlers: []Handler{HandleRaw(testService, "charge", func(_ context.Context, c *Call) ([]byte, error) {
			calls.Add(1)
			return c.Input, nil
		})}})
		waitFor(t, func() bool { return calls.Load() == 10 && produced.Load() > 5 })
		if at := w.services[0].committedAt(0); at != 0 {
			t.Fatalf("offset %d is committed, and no result is acknowledged", at)
		}
		refuse.Store(false)
		e.events(10)
		waitFor(t, func() bool { return w.services[0].committedAt(0) == 10 })
		if calls.Load() != 10 {
			t.Fatalf("%d calls of 10 tasks", calls.Load())
		}
	})
}

// TestConcurrencyIsBounded: never more calls than permits, and never much more
// records in hand.
func TestConcurrencyIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 2)
		e.put(5000, "charge", 2)
		var running, most atomic.Int32
		w := e.start("a", Config{
			Services: map[string]Service{testService: {Concurrency: 5}},
			Handlers: []Handler{HandleRaw(testService, "charge", func(_ context.Context, c *Call) ([]byte, error) {
				n := running.Add(1)
				defer running.Add(-1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(time.Second)
				return c.Input, nil
			})},
		})
		open := 0
		for n := 0; n < 5000; {
			n += len(e.events(1))
			open = max(open, w.Status()[0].Open)
		}
		if m := most.Load(); m != 5 {
			t.Errorf("%d calls at the same time, want 5", m)
		}
		if open > 2*openMax {
			t.Errorf("%d records in hand", open)
		}
	})
}

// TestAPartitionThatMovesWaitsForItsCalls: when a second worker joins, running
// calls of the partitions that move may end; one that does not is cut off before
// the rebalance timeout (W5) and made again, and no attempt is reported twice.
func TestAPartitionThatMovesWaitsForItsCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const partitions = 4
		e := newEnv(t, partitions)
		e.put(partitions, "charge", partitions) // one long call each
		var mu sync.Mutex
		cut := map[string]time.Duration{}
		calls := map[string]int{}
		slow := func(host string) Handler {
			return HandleRaw(testService, "charge", func(ctx context.Context, c *Call) ([]byte, error) {
				mu.Lock()
				calls[string(c.Input)]++
				mu.Unlock()
				if host == "b" {
					return c.Input, nil
				}
				begun := time.Now()
				<-ctx.Done()
				mu.Lock()
				cut[string(c.Input)] = time.Since(begun)
				mu.Unlock()
				return nil, context.Cause(ctx)
			}, WithTimeout(-1))
		}
		a := e.start("a", Config{Handlers: []Handler{slow("a")}, RebalanceTimeout: 30 * time.Second})
		waitFor(t, func() bool { return a.Status()[0].Running == partitions })
		b := e.start("b", Config{Handlers: []Handler{slow("b")}, RebalanceTimeout: 30 * time.Second})
		for _, ev := range e.events(partitions / 2) {
			if ev.Kind != "completed" {
				t.Errorf("event %+v: a call that is cut off reports nothing", ev)
			}
		}
		waitFor(t, func() bool { return len(b.Status()[0].Partitions) == partitions/2 })
		mu.Lock()
		defer mu.Unlock()
		if len(cut) != partitions/2 {
			t.Errorf("%d calls were cut off, want those of the %d partitions that moved", len(cut), partitions/2)
		}
		for n, d := range cut {
			if d < 25*time.Second || d > 30*time.Second {
				t.Errorf("call %s was cut off after %s", n, d)
			}
			if calls[n] != 2 {
				t.Errorf("call %s was made %d times", n, calls[n])
			}
		}
		if st := a.Status()[0]; st.Running != partitions/2 || st.Permits != concurrencyDefault/2 {
			t.Errorf("the first worker has %+v", st)
		}
	})
}

// TestStopDrains: what runs may end and is committed; nothing is done again.
func TestStopDrains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 2)
		e.put(20, "charge", 2)
		var calls atomic.Int32
		handler := HandleRaw(testService, "charge", func(_ context.Context, c *Call) ([]byte, error) {
			calls.Add(1)
			time.Sleep(5 * time.Second)
			return c.Input, nil
		})
		a := e.start("a", Config{Handlers: []Handler{handler}, Services: map[string]Service{testService: {Concurrency: 8}}})
		waitFor(t, func() bool { return calls.Load() == 8 })
		if err := a.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if calls.Load() != 8 {
			t.Fatalf("%d calls: some began after Stop", calls.Load())
		}
		e.start("b", Config{Handlers: []Handler{handler}})
		seen := map[string]int{}
		for _, ev := range e.events(20) {
			seen[ev.Value]++
		}
		if len(seen) != 20 || calls.Load() != 20 {
			t.Fatalf("%d tasks have results, by %d calls", len(seen), calls.Load())
		}
	})
}

// TestARecordThatKillsItsWorkerIsFoundAndReported: the counts in the commits' metadata
// single it out; its neighbours finish, and it is answered instead of started (W3).
func TestARecordThatKillsItsWorkerIsFoundAndReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 1)
		const n, poison, startsMax = 300, "117", 4
		e.put(n, "charge", 1)
		killed := make(chan struct{}, 1)
		hang := make(chan struct{})
		var mu sync.Mutex
		calls := map[string]int{}
		start := func(host string) {
			e.start(host, Config{StartsMax: startsMax, Handlers: []Handler{HandleRaw(testService, "charge", func(_ context.Context, c *Call) ([]byte, error) {
				mu.Lock()
				calls[string(c.Input)]++
				mu.Unlock()
				if string(c.Input) == poison {
					e.net.sever(host)
					killed <- struct{}{}
					<-hang
				}
				return c.Input, nil
			}, WithTimeout(-1))}})
		}
		for i := range startsMax {
			start("host-" + strconv.Itoa(i))
			<-killed
		}
		start("last")
		seen := map[string]event{}
		for len(seen) < n {
			for _, ev := range e.events(1) {
				seen[ev.Task] = ev
			}
		}
		close(hang)
		f := seen[taskID(117).String()].failure(t)
		if f.Kind != record.FailureQuarantined || f.Code != CodeWorkerDied || !f.Retryable || !strings.Contains(f.Message, "4 starts") {
			t.Errorf("failure %+v", f)
		}
		mu.Lock()
		defer mu.Unlock()
		if calls[poison] != startsMax {
			t.Errorf("the record was started %d times, want %d", calls[poison], startsMax)
		}
		for task, ev := range seen {
			if task != taskID(117).String() && ev.Kind != "completed" {
				t.Errorf("a neighbour suffered: %+v", ev)
			}
		}
	})
}

// TestFetchingPausesWhileTheMetadataIsFull: many calls that hang between finished ones
// fill the commit's metadata; then no more is fetched until they end (W3).
func TestFetchingPausesWhileTheMetadataIsFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 1)
		const n = 6000
		e.put(n, "charge", 1)
		hang := make(chan struct{})
		w := e.start("a", Config{
			Services: map[string]Service{testService: {Concurrency: concurrencyMax}},
			Handlers: []Handler{HandleRaw(testService, "charge", func(_ context.Context, c *Call) ([]byte, error) {
				if i, _ := strconv.Atoi(string(c.Input)); i%2 == 0 {
					<-hang
				}
				return c.Input, nil
			}, WithTimeout(-1))},
		})
		waitFor(t, func() bool { return w.Status()[0].Paused == 1 })
		synctest.Wait()
		s := w.services[0]
		s.mu.Lock()
		if m := len(s.parts[0].committed.metadata); m > metadataBytesMax {
			t.Errorf("the commit's metadata has %d bytes", m)
		}
		s.mu.Unlock()
		close(hang)
		e.events(n)
		waitFor(t, func() bool { return w.services[0].committedAt(0) == n && w.Status()[0].Paused == 0 })
	})
}
