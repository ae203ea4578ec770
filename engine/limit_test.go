package engine

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/workflow"
)

// TestLimitByKeyOnTheWholeEngine: workflows on all lanes ask for tasks of a few accounts;
// two workers carry them out, of which one leaves. No account ever has two calls open, and
// every workflow completes.
func TestLimitByKeyOnTheWholeEngine(t *testing.T) {
	t.Parallel()
	const workflows, accounts = 60, 5
	debit := workflow.NewTask[int, int]("bank", "debit", workflow.LimitBy(func(n int) string { return fmt.Sprint("account-", n%accounts) }))
	pay := workflow.Define("pay", func(ctx workflow.Context, n int) (int, error) {
		first := debit.Start(ctx, n)
		if _, err := debit.Run(ctx, n+1); err != nil {
			return 0, err
		}
		return first.Get(ctx)
	}, debit)
	seeds, names := apiBrokers(t, "bank")
	apiControl(t, seeds, names)
	ctx := t.Context()
	e, addr, _ := apiInstance(t, seeds, names, "one", pay)
	ownsAll(t, e)
	var mu sync.Mutex
	answer := make(chan struct{}) // closed when all are started: the first calls stay open until then
	open, by := map[string]int{}, map[string]int{}
	bank := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		account := r.URL.Path
		mu.Lock()
		if open[account]++; open[account] > 1 {
			t.Errorf("%s has %d calls open", account, open[account])
		}
		mu.Unlock()
		<-answer
		mu.Lock()
		open[account]--
		mu.Unlock()
	}))
	t.Cleanup(bank.Close)
	start := func(name string) *worker.Worker {
		w, err := worker.New(worker.Config{
			Namespace: names.Namespace, Kafka: []kgo.Opt{kgo.SeedBrokers(seeds...)},
			SessionTimeout: 2 * time.Second, HeartbeatInterval: 100 * time.Millisecond,
			Services: map[string]worker.Service{"bank": {PerKey: worker.KeyLimit{Concurrency: 1}}},
			Handlers: []worker.Handler{worker.Handle(debit, func(_ context.Context, n int) (int, error) {
				mu.Lock()
				by[name]++
				mu.Unlock()
				resp, err := http.Get(fmt.Sprintf("%s/account-%d", bank.URL, n%accounts))
				if err != nil {
					return 0, err
				}
				resp.Body.Close()
				return n, nil
			})},
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Start(ctx); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = w.Stop(context.Background()) })
		return w
	}
	a, b := start("a"), start("b")
	waitUntil(t, "both workers have partitions", func() bool {
		return len(a.Status()[0].Partitions) == servicePartitions("bank")/2 && len(b.Status()[0].Partitions) == servicePartitions("bank")/2
	})
	c, err := client.NewHTTP(client.HTTPConfig{URL: addr})
	if err != nil {
		t.Fatal(err)
	}
	var handles []client.Handle[int]
	for i := range workflows {
		h, err := client.Start[int, int](ctx, c, "pay", fmt.Sprint("pay-", i), i)
		if err != nil {
			t.Fatal(err)
		}
		handles = append(handles, h)
	}
	waitUntil(t, "both workers have called", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return by["a"] > 0 && by["b"] > 0
	})
	close(answer)
	if err := a.Stop(ctx); err != nil {
		t.Error(err)
	}
	for i, h := range handles {
		if got, err := h.Result(ctx); err != nil || got != i {
			t.Errorf("workflow %d gives %d, %v", i, got, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if n := by["a"] + by["b"]; n < 2*workflows {
		t.Errorf("%d calls, want %d or more", n, 2*workflows)
	}
}
