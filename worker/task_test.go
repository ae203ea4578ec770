package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

func header(k, v string) kgo.RecordHeader { return kgo.RecordHeader{Key: k, Value: []byte(v)} }

// TestSignsOfLife: an attempt says that it begins where that is asked; a handler's
// heartbeats are sent, though not too often, before its result; those of a function that
// cannot send them come from the worker; and the next attempt sees the last details.
func TestSignsOfLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 1)
		ask := []kgo.RecordHeader{header("od-started", "1"), header("od-heartbeat-ms", "9000"), header("od-timeout-ms", "20000")}
		copying := taskRecord(1, "copy", 0, `1`)
		copying.Headers = append(copying.Headers, append(ask, header("od-details", `{"done":40}`))...)
		e.produce(copying)
		type progress struct{ Done int }
		copied := workflow.NewTask[int, string](testService, "copy")
		waiting := HandleRaw(testService, "wait", func(ctx context.Context, _ *Call) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		waiting.Beats = true
		e.start("a", Config{Handlers: []Handler{waiting, Handle(copied, func(ctx context.Context, _ int) (string, error) {
			last, ok, err := LastDetails[progress](ctx)
			if !ok || err != nil || last.Done != 40 {
				return "", errors.Join(fmt.Errorf("last details %+v, %v", last, ok), err)
			}
			for range 10 {
				last.Done++
				if err := Heartbeat(ctx, last); err != nil {
					return "", err
				}
				time.Sleep(time.Second)
			}
			return "copied", Heartbeat(ctx, strings.Repeat("x", 20<<10))
		})}})
		var got []string
		for _, ev := range e.events(6) {
			got = append(got, ev.Kind+" "+ev.Value)
		}
		want := []string{"started ", `heartbeat {"Done":41}`, `heartbeat {"Done":44}`, `heartbeat {"Done":47}`, `heartbeat {"Done":50}`, ""}
		if !slices.Equal(got[:5], want[:5]) || !strings.HasPrefix(got[5], "failed") || !strings.Contains(got[5], "20482 bytes") {
			t.Errorf("%q, want %q and a failure that says how long the details are", got, want[:5])
		}

		wait := taskRecord(2, "wait", 0, `1`)
		wait.Headers = append(wait.Headers, ask...)
		e.produce(wait)
		began := time.Now()
		got = nil
		for _, ev := range e.events(8) {
			got = append(got, ev.Kind)
		}
		if strings.Join(got, " ") != "started heartbeat heartbeat heartbeat heartbeat heartbeat heartbeat failed" || time.Since(began) != 20*time.Second {
			t.Errorf("a call within the task's own limit gives %q after %v", got, time.Since(began))
		}
	})
}

// TestPendingTasks: the attempt is reported as pending, then the record counts as finished
// (W4); the token names the task.
func TestPendingTasks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 1)
		e.produce(taskRecord(1, "approve", 0, `1`))
		key := []byte("0123456789abcdef")
		var token string
		w := e.start("a", Config{TokenKey: key, Handlers: []Handler{HandleRaw(testService, "approve", func(_ context.Context, c *Call) ([]byte, error) {
			token = c.Token()
			return nil, fmt.Errorf("the manager was asked: %w", ErrPending)
		})}})
		if ev := e.events(1)[0]; ev.Kind != codec.EventPending || ev.Key != workflowID(1) || ev.Task != taskID(1).String() || ev.Attempt != "1" {
			t.Fatalf("event %+v", ev)
		}
		synctest.Wait()
		if open := w.Status()[0].Open; open != 0 {
			t.Errorf("%d records are open", open)
		}
		got, err := codec.ParseTaskToken(token, key)
		if want := (codec.TaskToken{WorkflowID: workflowID(1), Task: taskID(1)}); err != nil || got != want {
			t.Errorf("the token names %+v, %v", got, err)
		}
	})
}

// TestBatches: tasks are put together by key, up to a number or a time; each has its own
// result or error, and what goes wrong for all is everybody's.
func TestBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 1)
		for n := range 50 {
			e.produce(taskRecord(n, "index", 0, fmt.Sprint(n)))
		}
		index := workflow.NewTask[int, string](testService, "index")
		var mu sync.Mutex
		var sizes []int
		w := Config{Handlers: []Handler{HandleBatch(index, Batch{Max: 20, Wait: time.Second}, func(n int) string { return fmt.Sprint(n % 2) },
			func(_ context.Context, ins []int) ([]BatchResult[string], error) {
				mu.Lock()
				sizes = append(sizes, len(ins))
				mu.Unlock()
				out := make([]BatchResult[string], len(ins))
				for i, n := range ins {
					switch {
					case n%2 != ins[0]%2:
						return nil, errors.New("keys are mixed")
					case n == 7:
						out[i].Err = NonRetryable(errors.New("seven"))
					case n == 49:
						panic("the last one")
					}
					out[i].Value = fmt.Sprint("doc ", n)
				}
				return out, nil
			})}}
		e.start("a", w)
		completed, failed := 0, 0
		for _, ev := range e.events(50) {
			if ev.Kind == "completed" {
				completed++
				continue
			}
			f := ev.failure(t)
			if seven := f.Message == "seven"; seven == f.Retryable || !seven && f.Code != CodePanic {
				t.Errorf("failure %+v", f)
			}
			failed++
		}
		slices.Sort(sizes)
		if completed != 44 || failed != 6 || !slices.Equal(sizes, []int{5, 5, 20, 20}) {
			t.Errorf("%d completed, %d failed, batches of %v", completed, failed, sizes)
		}
	})
}

// TestBatchesAreOneCall: the failure of a batch is one of those that open the breaker; what is cancelled while it waits is left out; and a
// batch that has its bytes waits for no more.
func TestBatchesAreOneCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const tasks = 120
		e := newEnv(t, 1)
		e.put(tasks, "index", 1)
		calls := 0
		many := NewBatcher(Batch{Max: 20, Wait: time.Second}, func(_ context.Context, ins []*Call) ([]BatchResult[[]byte], error) {
			calls++
			return nil, &record.Failure{Kind: record.FailureHTTP, HTTPStatus: 503, Retryable: true}
		})
		w := e.start("a", Config{
			Services: map[string]Service{testService: {Concurrency: 20}},
			Handlers: []Handler{HandleRaw(testService, "index", func(ctx context.Context, c *Call) ([]byte, error) { return many.Do(ctx, "", c) })},
		})
		e.events(tasks)
		if calls != 6 {
			t.Errorf("%d tasks in batches of 20 took %d calls", tasks, calls)
		}
		if st := w.Status()[0]; st.Breaker != string(breakerClosed) {
			t.Errorf("six failures in a row: the breaker is %s", st.Breaker)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		var got [][]string
		many := NewBatcher(Batch{Max: 20, Wait: time.Hour, Bytes: 10}, func(_ context.Context, ins []string) ([]BatchResult[int], error) {
			got = append(got, ins)
			return make([]BatchResult[int], len(ins)), nil
		})
		gone, cancel := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		do := func(ctx context.Context, in string, want error) {
			wg.Go(func() {
				if _, err := many.Do(context.WithValue(ctx, callKey{}, &Call{Input: []byte(in)}), "", in); !errors.Is(err, want) {
					t.Errorf("%s: %v", in, err)
				}
			})
			synctest.Wait()
		}
		do(t.Context(), "aaaa", nil)
		do(gone, "bb", errCancelled)
		do(t.Context(), "cccc", nil)
		cancel(errCancelled)
		do(t.Context(), "d", nil) // does not fit: those before are called
		do(t.Context(), "eeeeeeeeeeeeeee", nil)
		wg.Wait()
		if want := [][]string{{"aaaa", "cccc"}, {"d"}, {"eeeeeeeeeeeeeee"}}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("calls of %v, want %v", got, want)
		}
	})
}
