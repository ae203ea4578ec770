package processor

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

// TestLocalTasks: carried out after the commit that scheduled them, retried, ended with
// their run; a panic fails its task alone; and again by the next owner.
func TestLocalTasks(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	var calls atomic.Int32
	var held atomic.Bool
	holding, left := make(chan struct{}, 10), make(chan error, 10)
	add := workflow.NewLocalTask("add", func(_ context.Context, n int) (int, error) {
		if calls.Add(1) == 1 {
			return 0, errors.New("once")
		}
		return n + 1, nil
	}, workflow.WithRetry(workflow.RetryPolicy{Initial: 1e6}))
	burst := workflow.NewLocalTask("burst", func(context.Context, int) (int, error) { panic("boom") })
	hold := workflow.NewLocalTask("hold", func(ctx context.Context, n int) (int, error) {
		if held.Load() { // the next owner's
			return n, nil
		}
		holding <- struct{}{}
		<-ctx.Done()
		left <- ctx.Err()
		return 0, ctx.Err()
	})
	defs := func(c *Config) {
		c.Partition.Definitions = []workflow.Definition{
			workflow.Define("adding", func(ctx workflow.Context, n int) (int, error) {
				for range 20 {
					var err error
					if n, err = add.Run(ctx, n); err != nil {
						return 0, err
					}
				}
				_, err := burst.Run(ctx, n)
				if f, ok := errors.AsType[*workflow.Failure](err); !ok || f.Code != "panic" || f.Retryable {
					return 0, fmt.Errorf("a panic gives %w", err)
				}
				return n, nil
			}, add, burst),
			workflow.Define("holding", func(ctx workflow.Context, n int) (int, error) { return hold.Run(ctx, n) }, hold),
		}
	}
	one := d.start("one", defs)
	await(t, "lanes", func() bool { return running(one) == deploymentPartitions })
	for n := range 5 {
		submit(t, &record.Start{Type: "adding", Input: []byte("100")}, fmt.Sprint("adding-", n), one)
	}
	for n := range 5 {
		if got := result(t, fmt.Sprint("adding-", n), one); got != "120" {
			t.Errorf("the result is %s", got)
		}
	}
	if n := calls.Load(); n != 101 {
		t.Errorf("%d calls of 5 times 20 tasks, one of them failed once", n)
	}

	submit(t, &record.Start{Type: "holding", Input: []byte("1")}, "ended", one)
	<-holding
	submit(t, &record.Terminate{}, "ended", one)
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the task of a terminated run ends with %v", err)
	}

	submit(t, &record.Start{Type: "holding", Input: []byte("7")}, "moved", one)
	<-holding
	held.Store(true)
	if err := one.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-left
	two := d.start("two", defs)
	if got := result(t, "moved", two); got != "7" {
		t.Errorf("after the move the result is %s", got)
	}
}
