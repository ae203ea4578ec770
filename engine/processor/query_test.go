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

// TestQueriesAndUpdates: a query sees what was answered before it, and fails alone where
// its code hangs; an update is answered once, and found by its ID at the next owner.
func TestQueriesAndUpdates(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	balance := workflow.NewQuery[string, int]("balance")
	deposit := workflow.NewUpdate[int, int]("deposit")
	end := workflow.NewSignal[int]("end")
	hang := make(chan struct{})
	var hung atomic.Int32
	defs := func(c *Config) {
		c.Limits.HangTick = 5e6
		c.Partition.Definitions = []workflow.Definition{
			workflow.Define("account", func(ctx workflow.Context, n int) (int, error) {
				balance.Handle(ctx, func(mode string) (int, error) {
					if mode == "hang" {
						hung.Add(1)
						<-hang
					}
					return n, nil
				})
				deposit.Handle(ctx, func(ctx workflow.Context, by int) (int, error) {
					n += by
					return n, workflow.Sleep(ctx, 1e6)
				}, workflow.Validate(func(by int) error {
					if by < 0 {
						return errors.New("negative")
					}
					return nil
				}))
				_, err := end.Receive(ctx)
				return n, err
			}, balance, deposit, end),
		}
	}
	one := d.start("one", defs)
	t.Cleanup(func() { close(hang) })
	await(t, "lanes", func() bool { return running(one) == deploymentPartitions })
	ctx := t.Context()
	submit(t, &record.Start{Type: "account", Input: []byte("1")}, "a", one)
	for n := range 10 {
		id := fmt.Sprint("u", n)
		r, err := one.Submit(ctx, "a", &record.Update{CommandID: id, Name: "deposit", Payload: []byte("1")})
		if err != nil || r.Outcome != record.OutcomeApplied {
			t.Fatalf("update: %+v, %v", r, err)
		}
		if err := one.WaitUpdate(ctx, "a", id); err != nil {
			t.Fatal(err)
		}
		for _, stale := range []bool{false, true} {
			a, age, err := one.Query(ctx, "a", "balance", []byte(`""`), stale)
			if err != nil || string(a.Result) != fmt.Sprint(n+2) || age < 0 || !stale && age != 0 {
				t.Fatalf("after %d updates the query gives %+v, %v, %v", n+1, a, age, err)
			}
		}
	}
	r, err := one.Submit(ctx, "a", &record.Update{CommandID: "bad", Name: "deposit", Payload: []byte("-1")})
	if err != nil || r.Outcome != record.OutcomeRefused {
		t.Fatalf("a refused update: %+v, %v", r, err)
	}
	if r, err = one.Submit(ctx, "a", &record.Update{CommandID: "u3", Name: "deposit", Payload: []byte("1")}); err != nil || r.Outcome != record.OutcomeRepeated {
		t.Fatalf("a repeated update: %+v, %v", r, err)
	}

	a, _, err := one.Query(ctx, "a", "balance", []byte(`"hang"`), false)
	if err != nil || a.Outcome != record.OutcomeUnanswered || hung.Load() != 1 {
		t.Fatalf("a query that hangs, %d times: %+v, %v", hung.Load(), a, err)
	}
	if a, _, err = one.Query(ctx, "a", "balance", []byte(`""`), false); err != nil || string(a.Result) != "11" {
		t.Fatalf("the query after it: %+v, %v", a, err)
	}

	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := one.Query(gone, "a", "balance", []byte(`""`), false); !errors.Is(err, context.Canceled) {
		t.Errorf("a query whose client went away: %v", err)
	}
	if err := one.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	two := d.start("two", defs)
	await(t, "lanes", func() bool { return running(two) == deploymentPartitions })
	if a, _, err = two.Query(ctx, "a", "balance", []byte(`""`), false); err != nil || string(a.Result) != "11" {
		t.Fatalf("at the next owner: %+v, %v", a, err)
	}
	submit(t, &record.Signal{Name: "end", Payload: []byte("0")}, "a", two)
	if got := result(t, "a", two); got != "11" {
		t.Errorf("the run ends with %s", got)
	}
}
