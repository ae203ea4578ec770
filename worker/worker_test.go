package worker

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/odradek/odradek/topology"
)

// TestTasksBecomeEvents: each task gives one event on the partition of its
// workflow's slot, with task, attempt and trace context.
func TestTasksBecomeEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 4)
		numbers := e.put(100, "charge", 4)
		e.start("a", Config{Handlers: []Handler{
			HandleRaw(testService, "charge", func(_ context.Context, c *Call) ([]byte, error) {
				return []byte(`"` + c.Key + "/" + string(c.Input) + `"`), nil
			}),
		}})
		table := topology.TableZero(testEvents)
		got := map[string]bool{}
		for _, ev := range e.events(100) {
			got[ev.Value] = true
			if ev.Kind != "completed" || ev.Attempt != "1" || ev.Traceparent == "" || ev.Partition != table.Partition(ev.Key) {
				t.Fatalf("event %+v of workflow %s, whose partition is %d", ev, ev.Key, table.Partition(ev.Key))
			}
		}
		for _, n := range numbers {
			if !got[`"`+taskID(n).String()+"/"+strconv.Itoa(n)+`"`] {
				t.Fatalf("no result of task %d", n)
			}
		}
	})
}

// TestKilledInMidCallLosesNothing: what a killed worker had not finished is done by
// the next; what its last commit carried as finished beyond the open call is
// skipped (W3).
func TestKilledInMidCallLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 1)
		e.put(50, "charge", 1)
		ops := []string{"7", "23"} // inputs whose call hangs at the first worker
		hang := make(chan struct{})
		var mu sync.Mutex
		calls := map[string][]string{}
		handler := func(host string) Handler {
			return HandleRaw(testService, "charge", func(ctx context.Context, c *Call) ([]byte, error) {
				mu.Lock()
				calls[string(c.Input)] = append(calls[string(c.Input)], host)
				mu.Unlock()
				if host == "a" && slices.Contains(ops, string(c.Input)) {
					<-hang
				}
				return c.Input, nil
			})
		}
		a := e.start("a", Config{Handlers: []Handler{handler("a")}})
		seen := map[string]int{}
		for _, ev := range e.events(48) {
			seen[ev.Value]++
		}
		synctest.Wait()
		waitFor(t, func() bool { return a.services[0].committedSpans() == 2 })
		e.net.sever("a")
		skipped := 0
		e.start("b", Config{Handlers: []Handler{handler("b")}, Listener: Listener{RecordSkipped: func(r RecordSkipped) {
			if r.Reason == SkipFinished {
				mu.Lock()
				skipped++
				mu.Unlock()
			}
		}}})
		for _, ev := range e.events(2) {
			seen[ev.Value]++
		}
		synctest.Wait()
		close(hang)
		mu.Lock()
		defer mu.Unlock()
		for n := range 50 {
			in := strconv.Itoa(n)
			want := []string{"a"}
			if slices.Contains(ops, in) {
				want = []string{"a", "b"}
			}
			if seen[in] != 1 || !slices.Equal(calls[in], want) {
				t.Errorf("task %s: %d results, called by %v, want 1 and %v", in, seen[in], calls[in], want)
			}
		}
		if want := 50 - 7 - len(ops); skipped != want {
			t.Errorf("%d records skipped, want %d", skipped, want)
		}
	})
}
