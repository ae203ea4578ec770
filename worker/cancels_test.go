package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

// cancel writes that nobody waits for a task any more, as the engine does.
func (e *env) cancel(n int) {
	e.t.Helper()
	id := taskID(n)
	out := codec.EncodeTaskCancel(&record.RunRow{WorkflowID: workflowID(n), Run: id.Run}, &record.TaskRow{No: id.No})
	k := &kgo.Record{Topic: "t.cancels", Key: out.Key}
	for _, h := range out.Headers {
		k.Headers = append(k.Headers, kgo.RecordHeader(h))
	}
	e.produce(k)
}

// TestCancelledTasks: one that was cancelled before the worker came is not called, a
// queued one neither; a running call is aborted, and nothing is reported of it (W6).
func TestCancelledTasks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 1)
		e.put(1, "charge", 1) // 0: cancelled before the worker starts
		e.cancel(0)
		var mu sync.Mutex
		called := map[string]int{}
		outcomes := map[Outcome]int{}
		aborted := make(chan error, 1)
		handler := HandleRaw(testService, "charge", func(ctx context.Context, c *Call) ([]byte, error) {
			mu.Lock()
			called[string(c.Input)]++
			mu.Unlock()
			if string(c.Input) == "1" {
				<-ctx.Done()
				aborted <- context.Cause(ctx)
				return nil, fmt.Errorf("stopped: %w", ctx.Err())
			}
			return c.Input, nil
		})
		w := e.start("a", Config{
			Handlers: []Handler{handler}, Services: map[string]Service{testService: {Concurrency: 1}},
			Listener: Listener{CallEnded: func(c CallEnded) { mu.Lock(); outcomes[c.Outcome]++; mu.Unlock() }},
		})
		e.put(3, "charge", 1) // 1 runs, 2 and 3 are queued behind it
		waitFor(t, func() bool { mu.Lock(); defer mu.Unlock(); return called["1"] == 1 })
		e.cancel(2)
		waitFor(t, func() bool {
			w.cancels.mu.Lock()
			defer w.cancels.mu.Unlock()
			return len(w.cancels.tasks) == 2
		})
		e.cancel(1)
		if err := <-aborted; !errors.Is(err, errCancelled) {
			t.Errorf("the running call was aborted with %v", err)
		}
		if got := e.events(1); got[0].Value != strconv.Itoa(3) {
			t.Errorf("reported is %+v", got[0])
		}
		waitFor(t, func() bool { return w.Status()[0].Open == 0 })
		if called["0"]+called["2"] > 0 || called["1"] != 1 || outcomes[OutcomeCancelled] != 3 || outcomes[OutcomeCompleted] != 1 {
			t.Errorf("called %v, outcomes %v", called, outcomes)
		}
	})
}

// TestCancelsAreBounded: the oldest are forgotten.
func TestCancelsAreBounded(t *testing.T) {
	t.Parallel()
	c := newCancels()
	take := func(n uint64) {
		c.take(&kgo.Record{Headers: []kgo.RecordHeader{{Key: codec.HeaderTask, Value: []byte(record.TaskID{Run: record.RunID{1}, No: n}.String())}}})
	}
	for n := range uint64(cancelsMax + 10) {
		take(n + 1)
	}
	take(cancelsMax) // known
	if len(c.tasks) != cancelsMax {
		t.Errorf("%d tasks are remembered", len(c.tasks))
	}
	for no, want := range map[uint64]bool{1: true, 10: true, 11: false, cancelsMax + 10: false} {
		if _, _, ok := c.begin(t.Context(), record.TaskID{Run: record.RunID{1}, No: no}, 0); ok != want {
			t.Errorf("task %d may be called: %v", no, ok)
		}
	}
}

// TestAnOldTaskIsAskedFor: what is known of cancelled tasks does not reach back to it, so it is
// not called until the engine has sent it once more (W6).
func TestAnOldTaskIsAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 1)
		e.put(1, "charge", 1) // 0
		time.Sleep(taskOld / 2)
		e.put(1, "charge", 1) // 1
		time.Sleep(taskOld/2 + time.Minute)
		e.put(1, "charge", 1) // 2
		var mu sync.Mutex
		var called []string
		e.start("a", Config{Handlers: []Handler{HandleRaw(testService, "charge", func(_ context.Context, c *Call) ([]byte, error) {
			mu.Lock()
			defer mu.Unlock()
			called = append(called, string(c.Input))
			return c.Input, nil
		})}})
		for _, ev := range e.events(3) {
			switch {
			case ev.Key == workflowID(0):
				if ev.Kind != "failed" || !strings.Contains(ev.Value, CodeTaskOld) || !strings.Contains(ev.Value, `"retryable":true`) {
					t.Errorf("the old task gives %+v", ev)
				}
			case ev.Kind != "completed":
				t.Errorf("a task that is not old gives %+v", ev)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if slices.Sort(called); !slices.Equal(called, []string{"1", "2"}) {
			t.Errorf("%v were called", called)
		}
	})
}
