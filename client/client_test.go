package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/httpapi/httpapitest"
	"github.com/odradek/odradek/record"
)

// both runs a test with each way to the engine.
func both(t *testing.T, test func(t *testing.T, ctx context.Context, c client.Client, engine *httpapitest.Cluster)) {
	t.Run("http", func(t *testing.T) {
		t.Parallel()
		engine := httpapitest.NewCluster(partitions)
		test(t, guard(t), newHTTP(t, engine), engine)
	})
	t.Run("kafka", func(t *testing.T) {
		t.Parallel()
		engine, b := httpapitest.NewCluster(partitions), newBrokers(t)
		b.serve(t, engine)
		test(t, guard(t), b.client(t), engine)
	})
}

type person = httpapitest.Person
type greeted = httpapitest.Greeted
type word = httpapitest.Word

func TestTypedRoundTrip(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, ctx context.Context, c client.Client, _ *httpapitest.Cluster) {
		for _, id := range []string{"plain", "a/b", "ü %2F?#", "..", ".", "a b"} {
			h, err := client.Start[person, greeted](ctx, c, httpapitest.Greeting, id, person{Name: "Ada"})
			if err != nil {
				t.Fatalf("start %q: %v", id, err)
			}
			if h.WorkflowID() != id {
				t.Errorf("the handle of %q names %q", id, h.WorkflowID())
			}
			if err := client.Signal(ctx, c, id, httpapitest.FinishSignal(), word{Word: "Hi"}); err != nil {
				t.Fatalf("signal %q: %v", id, err)
			}
			for range 2 { // a result may be asked for again
				if got, err := h.Result(ctx); err != nil || got.Text != "Hi Ada" {
					t.Errorf("result of %q: %+v, %v", id, got, err)
				}
			}
		}
	})
}

func TestFailedRunIsATypedError(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, ctx context.Context, c client.Client, _ *httpapitest.Cluster) {
		h, err := client.Start[person, greeted](ctx, c, httpapitest.Greeting, "w", person{Name: "Ada"})
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Signal(ctx, c, "w", httpapitest.FinishSignal(), word{Fail: "no words"}); err != nil {
			t.Fatal(err)
		}
		_, err = h.Result(ctx)
		var failed *client.FailedError
		var failure *record.Failure
		if !errors.As(err, &failed) || failed.WorkflowID != "w" || failed.RunID == "" || !errors.As(err, &failure) || failure.Message != "no words" {
			t.Errorf("the error is %#v", err)
		}
	})
}

// TestRefusedStart: over HTTP the start says so, over Kafka its result.
func TestRefusedStart(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, ctx context.Context, c client.Client, _ *httpapitest.Cluster) {
		if _, err := client.Start[person, greeted](ctx, c, httpapitest.Greeting, "w", person{Name: "Ada"}); err != nil {
			t.Fatal(err)
		}
		for code, start := range map[api.Code]func() (client.Handle[greeted], error){
			api.CodeWorkflowIDInUse: func() (client.Handle[greeted], error) {
				return client.Start[person, greeted](ctx, c, httpapitest.Greeting, "w", person{Name: "Bob"})
			},
			api.CodePayloadInvalid: func() (client.Handle[greeted], error) {
				return client.Start[map[string]int, greeted](ctx, c, httpapitest.Greeting, "other", map[string]int{"nme": 1})
			},
		} {
			h, err := start()
			if err == nil {
				_, err = h.Result(ctx)
			}
			var e *client.Error
			if client.Code(err) != code || !errors.As(err, &e) || e.Detail == "" || e.Retryable {
				t.Errorf("the error is %v, want the code %s", err, code)
			}
		}
	})
}

func TestRepeatedStartGivesTheRunThatIsThere(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, ctx context.Context, c client.Client, _ *httpapitest.Cluster) {
		var handles []client.Handle[greeted]
		for range 3 {
			h, err := client.Start[person, greeted](ctx, c, httpapitest.Greeting, "w", person{Name: "Ada"})
			if err != nil {
				t.Fatal(err)
			}
			handles = append(handles, h)
		}
		attached, err := client.Attach[greeted](ctx, c, "w")
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Signal(ctx, c, "w", httpapitest.FinishSignal(), word{Word: "Hi"}); err != nil {
			t.Fatal(err)
		}
		for i, h := range append(handles, attached) {
			if got, err := h.Result(ctx); err != nil || got.Text != "Hi Ada" {
				t.Errorf("handle %d: %+v, %v", i, got, err)
			}
		}
	})
}

// TestCommandIDMakesARepeat guards K1.
func TestCommandIDMakesARepeat(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, ctx context.Context, c client.Client, engine *httpapitest.Cluster) {
		for range 2 {
			if _, err := client.Start[person, greeted](ctx, c, httpapitest.Greeting, "w", person{Name: "Ada"}, client.CommandID("c-1")); err != nil {
				t.Fatal(err)
			}
		}
		h, err := client.Start[person, greeted](ctx, c, httpapitest.Greeting, "w", person{Name: "Bob"}, client.CommandID("c-1"))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := client.Signal(ctx, c, "w", httpapitest.FinishSignal(), word{Word: "Hi"}, client.CommandID("c-2")); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := h.Result(ctx); err != nil || got.Text != "Hi Ada" {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestBadRequestsAreRefusedHere(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, ctx context.Context, c client.Client, engine *httpapitest.Cluster) {
		for name, tt := range map[string]struct {
			s    client.StartRequest
			code api.Code
		}{
			"no ID":         {client.StartRequest{Type: "echo"}, api.CodeWorkflowIDInvalid},
			"control":       {client.StartRequest{Type: "echo", WorkflowID: "a\x1bb"}, api.CodeWorkflowIDInvalid},
			"long ID":       {client.StartRequest{Type: "echo", WorkflowID: strings.Repeat("x", 201)}, api.CodeWorkflowIDInvalid},
			"large payload": {client.StartRequest{Type: "echo", WorkflowID: "w", Input: make([]byte, 512<<10+1)}, api.CodePayloadTooLarge},
			"long command":  {client.StartRequest{Type: "echo", WorkflowID: "w", CommandID: strings.Repeat("x", 201)}, api.CodeRequestInvalid},
			"bad command":   {client.StartRequest{Type: "echo", WorkflowID: "w", CommandID: "a\nb"}, api.CodeRequestInvalid},
			"no type":       {client.StartRequest{WorkflowID: "w"}, api.CodeRequestInvalid},
		} {
			if _, err := c.Start(ctx, tt.s); client.Code(err) != tt.code {
				t.Errorf("%s: %v, want the code %s", name, err, tt.code)
			}
		}
		if n := engine.Submitted(); n != 0 {
			t.Errorf("%d commands reached the engine", n)
		}
	})
}

func TestResultEndsWithItsContext(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, ctx context.Context, c client.Client, _ *httpapitest.Cluster) {
		h, err := client.Start[person, greeted](ctx, c, httpapitest.Greeting, "w", person{Name: "Ada"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := h.Result(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want context.Canceled", err)
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, ctx context.Context, c client.Client, _ *httpapitest.Cluster) {
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				h, err := client.Start[int, int](ctx, c, httpapitest.Echo, fmt.Sprint("w", i), i)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := h.Result(ctx); err != nil || got != i {
					t.Errorf("workflow %d: %d, %v", i, got, err)
				}
			})
		}
		wg.Wait()
	})
}
