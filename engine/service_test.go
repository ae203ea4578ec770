package engine

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/workflow"
)

// TestAServiceIsSeenAndPaused: what its workers say of themselves, how many tasks wait, and
// that nothing is called while it is paused, through the API of any instance.
func TestAServiceIsSeenAndPaused(t *testing.T) {
	t.Parallel()
	const workflows = 20
	charge := workflow.NewTask[int, int]("payment", "charge")
	pay := workflow.Define("pay", func(ctx workflow.Context, n int) (int, error) { return charge.Run(ctx, n) }, charge)
	seeds, names := apiBrokers(t, "payment")
	apiControl(t, seeds, names)
	ctx := t.Context()
	e, addr, _ := apiInstance(t, seeds, names, "one", pay)
	ownsAll(t, e)
	c, err := client.NewHTTP(client.HTTPConfig{URL: addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	service := func() client.Service {
		t.Helper()
		s, err := c.Service(ctx, "payment")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := service(); s.Members == nil || *s.Members != 0 || s.Lag == nil || *s.Lag != 0 || s.Paused || s.Trouble != "" || len(s.Workers) != 0 || s.Partitions != int32(servicePartitions("payment")) {
		t.Errorf("before anything there is %+v", s)
	}
	var handles []client.Handle[int]
	for i := range workflows {
		h, err := client.Start[int, int](ctx, c, "pay", fmt.Sprint("pay-", i), i)
		if err != nil {
			t.Fatal(err)
		}
		handles = append(handles, h)
	}
	waitUntil(t, "the tasks wait", func() bool { s := service(); return s.Lag != nil && *s.Lag >= workflows })
	if done, err := c.PauseService(ctx, "payment", "they move"); err != nil || done.Outcome != api.ServiceDoneOutcomeApplied {
		t.Fatalf("the pause: %+v, %v", done, err)
	}
	if done, err := c.PauseService(ctx, "payment", "again"); err != nil || done.Outcome != api.ServiceDoneOutcomeRepeated {
		t.Errorf("a pause more: %+v, %v", done, err)
	}
	var calls, down atomic.Int32
	down.Store(1)
	w, err := worker.New(worker.Config{
		Namespace: names.Namespace, Kafka: []kgo.Opt{kgo.SeedBrokers(seeds...)}, Instance: "pod-1", Build: "v1", StatusEvery: 50 * time.Millisecond,
		SessionTimeout: 2 * time.Second, HeartbeatInterval: 100 * time.Millisecond,
		Services: map[string]worker.Service{"payment": {Concurrency: 8, Rate: worker.Rate{Calls: 1000, Per: time.Second}}},
		Handlers: []worker.Handler{worker.Handle(charge, func(_ context.Context, n int) (int, error) {
			calls.Add(1)
			if down.Load() > 0 {
				return 0, &record.Failure{Kind: record.FailureNetwork, Code: "no_answer", Message: "nobody is there", Retryable: true}
			}
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
	waitUntil(t, "the worker is shown, with tasks that wait", func() bool {
		s := service()
		return s.Members != nil && *s.Members == 1 && len(s.Workers) == 1 && s.Workers[0].Queued == workflows
	})
	s := service()
	if x := s.Workers[0]; x.Instance != "pod-1" || x.Build != "v1" || x.Permits != 8 || x.Running != 0 || x.Rate == 0 || !x.Paused || x.Breaker != api.ServiceWorkerBreakerClosed || len(x.Partitions) != servicePartitions("payment") {
		t.Errorf("the worker of a paused service is %+v", x)
	}
	if !s.Paused || len(s.Acts) != 1 || s.Acts[0].Reason != "they move" || s.Acts[0].Operation != api.ServiceActOperationPause || calls.Load() != 0 {
		t.Errorf("the paused service is %+v, with %d calls", s, calls.Load())
	}
	if done, err := c.ResumeService(ctx, "payment", "moved"); err != nil || done.Outcome != api.ServiceDoneOutcomeApplied {
		t.Fatalf("the resume: %+v, %v", done, err)
	}
	waitUntil(t, "the breaker is open", func() bool {
		s := service()
		return len(s.Workers) == 1 && s.Workers[0].Breaker != api.ServiceWorkerBreakerClosed && strings.Contains(s.Workers[0].LastFailure, "nobody is there") && !s.Workers[0].RetryAt.IsZero()
	})
	down.Store(0)
	for i, h := range handles {
		if got, err := h.Result(ctx); err != nil || got != i {
			t.Errorf("workflow %d gives %d, %v", i, got, err)
		}
	}
	all, err := c.Services(ctx)
	if err != nil || len(all) != 1 || all[0].Paused || len(all[0].Acts) != 2 || all[0].Acts[1].Reason != "moved" {
		t.Errorf("%+v, %v", all, err)
	}
	if err := w.Stop(ctx); err != nil {
		t.Error(err)
	}
	waitUntil(t, "the worker is gone, and nothing waits", func() bool {
		s := service()
		return len(s.Workers) == 0 && *s.Members == 0 && *s.Lag == 0
	})
	for _, err := range []error{second(c.Service(ctx, "bank")), second(c.PauseService(ctx, "bank", ""))} {
		if client.Code(err) != api.CodeServiceNotFound || !strings.Contains(err.Error(), "payment") {
			t.Errorf("an unknown service: %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
