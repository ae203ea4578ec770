package workflowtest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/workflow"
	"github.com/odradek/odradek/workflow/workflowtest"
)

var (
	charge = workflow.NewTask[int, string]("payment", "charge")
	refund = workflow.NewTask[string, bool]("payment", "refund")
	stop   = workflow.NewSignal[string]("stop")
)

// subscription charges every 30 days, and refunds the last charge when it is cancelled.
func subscription(ctx workflow.Context, cents int) ([]string, error) {
	var paid []string
	for {
		if why, ok := stop.ReceiveUntil(ctx, workflow.Now(ctx).Add(30*24*time.Hour)); ok {
			return append(paid, why), nil
		}
		if err := workflow.Err(ctx); err != nil {
			_, undo := refund.Run(workflow.Detached(ctx), paid[len(paid)-1])
			return paid, errors.Join(err, undo)
		}
		receipt, err := charge.Run(ctx, cents)
		if err != nil {
			return paid, err
		}
		paid = append(paid, receipt)
	}
}

var definition = workflow.Define("subscription", subscription, charge, refund, stop)

func both(t *testing.T, test func(t *testing.T, opts ...workflowtest.Option)) {
	t.Run("live", func(t *testing.T) { t.Parallel(); test(t) })
	t.Run("crash at each step", func(t *testing.T) { t.Parallel(); test(t, workflowtest.CrashEachStep()) })
}

// TestAYear: months pass in virtual time, failures are retried with their pauses, and a
// signal ends it.
func TestAYear(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, opts ...workflowtest.Option) {
		env := workflowtest.New(t, definition, opts...)
		workflowtest.HandleCall(env, charge, func(cents int, c workflowtest.Call) (string, error) {
			if c.Attempt < 3 {
				return "", errors.New("try later")
			}
			return fmt.Sprintf("%d on %s", cents, c.At.Format("Jan 2")), nil
		})
		workflowtest.SignalAfter(env, 100*24*time.Hour, stop, "moved")
		began := env.Now()
		got, err := workflowtest.Run[[]string](env, 990)
		if err != nil {
			t.Fatal(err)
		}
		if want := "990 on Jan 31, 990 on Mar 2, 990 on Apr 1, moved"; strings.Join(got, ", ") != want {
			t.Errorf("got %q, want %q", strings.Join(got, ", "), want)
		}
		if calls := env.Calls(); len(calls) != 9 || calls[1].At.Sub(calls[0].At) < 800*time.Millisecond {
			t.Errorf("%d calls, the second %v after the first", len(calls), calls[1].At.Sub(calls[0].At))
		}
		if age := env.Now().Sub(began); age != 100*24*time.Hour {
			t.Errorf("it took %v", age)
		}
		if h := env.History(); len(h) < 15 {
			t.Errorf("the history has %d events", len(h))
		}
	})
}

// TestCancelAndFailure: the code's clean-up runs; a run that did not complete is an error.
func TestCancelAndFailure(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, opts ...workflowtest.Option) {
		env := workflowtest.New(t, definition, append(opts, workflowtest.WorkflowID("c-7"), workflowtest.At(time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)))...)
		workflowtest.Handle(env, charge, func(int) (string, error) { return "r1", nil })
		refunded := ""
		workflowtest.Handle(env, refund, func(receipt string) (bool, error) { refunded = receipt; return true, nil })
		looked := false
		env.After(24*time.Hour, func() { looked = len(env.Calls()) == 0 })
		env.CancelAfter(40*24*time.Hour, "no more")
		_, err := workflowtest.Run[[]string](env, 990)
		f, ok := errors.AsType[*workflow.Failure](err)
		if !ok || f.Kind != workflow.FailureCancelled || refunded != "r1" || !looked {
			t.Errorf("%v, refunded %q, looked %v", err, refunded, looked)
		}

		env = workflowtest.New(t, definition, opts...)
		workflowtest.Handle(env, charge, func(int) (string, error) {
			return "", &workflow.Failure{Kind: workflow.FailureHTTP, Code: "card_declined"}
		})
		_, err = workflowtest.Run[[]string](env, 990)
		if f, ok := errors.AsType[*workflow.Failure](err); !ok || f.Code != "card_declined" {
			t.Errorf("got %v", err)
		}
	})
}

// TestLocalTasks run as they are, or as the test says.
func TestLocalTasks(t *testing.T) {
	t.Parallel()
	double := workflow.NewLocalTask("double", func(_ context.Context, n int) (int, error) { return 2 * n, nil })
	def := workflow.Define("local", func(ctx workflow.Context, n int) (int, error) { return double.Run(ctx, n) }, double)
	both(t, func(t *testing.T, opts ...workflowtest.Option) {
		if got, err := workflowtest.Run[int](workflowtest.New(t, def, opts...), 21); err != nil || got != 42 {
			t.Errorf("%d, %v", got, err)
		}
		env := workflowtest.New(t, def, opts...)
		workflowtest.HandleLocal(env, double, func(n int) (int, error) { return 3 * n, nil })
		if got, err := workflowtest.Run[int](env, 21); err != nil || got != 63 {
			t.Errorf("%d, %v", got, err)
		}
	})
}

// fatal is a testing.TB whose Fatal ends only what runs with it.
type fatal struct {
	testing.TB
	said string
}

func (f *fatal) Helper() {}
func (f *fatal) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	panic(f)
}
func (f *fatal) Fatal(args ...any) {
	f.said = fmt.Sprint(args...)
	panic(f)
}

func failing(t *testing.T, test func(tb testing.TB)) string {
	f := &fatal{TB: t}
	func() {
		defer func() {
			if v := recover(); v != nil && v != any(f) {
				panic(v)
			}
		}()
		test(f)
	}()
	return f.said
}

// TestMistakesFailTheTest: with a text that says what is wrong.
func TestMistakesFailTheTest(t *testing.T) {
	t.Parallel()
	order := 0
	shuffled := workflow.Define("shuffled", func(ctx workflow.Context, _ int) (int, error) {
		order++ // as a range over a map does
		_, err := charge.Run(ctx, order)
		return order, err
	}, charge)
	waiting := workflow.Define("waiting", func(ctx workflow.Context, _ int) (string, error) { return stop.Receive(ctx) }, stop)
	panicking := workflow.Define("panicking", func(workflow.Context, int) (int, error) { panic("oops") })
	for name, c := range map[string]struct {
		def  workflow.Definition
		want string
		plan func(env *workflowtest.Env)
	}{
		"no handler": {definition, "payment/charge has no handler", nil},
		"not deterministic": {shuffled, "not deterministic", func(env *workflowtest.Env) {
			workflowtest.Handle(env, charge, func(int) (string, error) { return "", nil })
		}},
		"never ends": {waiting, "waits for what will never come", nil},
		"panics":     {panicking, "stuck: panic: workflow code panicked: oops", nil},
	} {
		t.Run(name, func(t *testing.T) {
			said := failing(t, func(tb testing.TB) {
				env := workflowtest.New(tb, c.def, workflowtest.CrashEachStep())
				if c.plan != nil {
					c.plan(env)
				}
				_, _ = workflowtest.Run[any](env, 1)
			})
			if !strings.Contains(said, c.want) {
				t.Errorf("the test fails with %q, want %q", said, c.want)
			}
		})
	}
	if said := failing(t, func(tb testing.TB) {
		env := workflowtest.New(tb, waiting)
		workflowtest.SignalAfter(env, time.Hour, workflow.NewSignal[int]("other"), 1)
		_, _ = workflowtest.Run[string](env, 1)
	}); !strings.Contains(said, "takes no such signal") {
		t.Errorf("a signal that nobody takes: %q", said)
	}
}

var (
	pack  = workflow.NewChild[int, string]("pack")
	ready = workflow.NewSignal[string]("ready")
)

// boxes packs n boxes, each in a workflow of its own, and tells somebody.
var boxes = workflow.Define("boxes", func(ctx workflow.Context, n int) ([]string, error) {
	var fs []workflow.Future[string]
	for i := range n {
		fs = append(fs, pack.With(workflow.WithID(fmt.Sprintf("box-%d", i))).Start(ctx, i))
	}
	out, err := workflow.All(ctx, fs...)
	if err != nil {
		return nil, err
	}
	return out, ready.Send(ctx, "porter", out[0])
})

func TestChildren(t *testing.T) {
	t.Parallel()
	packing := workflow.Define("pack", func(ctx workflow.Context, n int) (string, error) {
		if err := workflow.Sleep(ctx, time.Duration(n)*time.Hour); err != nil {
			return "", err
		}
		if n == 4 {
			return "", &workflow.Failure{Kind: workflow.FailureApplication, Code: "box_torn"}
		}
		return fmt.Sprintf("box %d", n), nil
	})
	for _, crash := range [][]workflowtest.Option{nil, {workflowtest.CrashEachStep()}} {
		env := workflowtest.New(t, boxes, append(crash, workflowtest.With(packing))...)
		got, err := workflowtest.Run[[]string](env, 3)
		if err != nil || len(got) != 3 || got[2] != "box 2" {
			t.Errorf("%q, %v", got, err)
		}
		if sent := env.Sent(); len(sent) != 1 || sent[0].WorkflowID != "porter" || string(sent[0].Payload) != `"box 0"` {
			t.Errorf("sent %+v", sent)
		}
		env = workflowtest.New(t, boxes, append(crash, workflowtest.With(packing))...)
		_, err = workflowtest.Run[[]string](env, 5)
		if f, ok := errors.AsType[*workflow.Failure](err); !ok || f.Code != "box_torn" {
			t.Errorf("the child's failure is not the parent's: %v", err)
		}
	}
	env := workflowtest.New(t, boxes)
	workflowtest.HandleChild(env, pack, func(n int) (string, error) { return strings.Repeat("x", n), nil })
	if got, err := workflowtest.Run[[]string](env, 2); err != nil || got[1] != "x" {
		t.Errorf("stand-in: %q, %v", got, err)
	}
}

var (
	total = workflow.NewQuery[struct{}, int]("total")
	add   = workflow.NewUpdate[int, int]("add")
	close = workflow.NewSignal[string]("close")
)

// cart adds what updates bring, each after a day.
var cart = workflow.Define("cart", func(ctx workflow.Context, n int) (int, error) {
	total.Handle(ctx, func(struct{}) (int, error) { return n, nil })
	add.Handle(ctx, func(ctx workflow.Context, by int) (int, error) {
		if err := workflow.Sleep(ctx, 24*time.Hour); err != nil {
			return 0, err
		}
		n += by
		return n, nil
	}, workflow.Validate(func(by int) error {
		if by > 10 {
			return fmt.Errorf("%d is too many", by)
		}
		return nil
	}))
	if _, err := close.Receive(ctx); err != nil {
		return 0, err
	}
	return n, errors.Join(workflow.UpdatesDone(ctx))
}, total, add, close)

func TestUpdatesAndQueries(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]workflowtest.Option{nil, {workflowtest.CrashEachStep()}} {
		env := workflowtest.New(t, cart, opts...)
		var answers []string
		note := func(out int, err error) { answers = append(answers, fmt.Sprint(out, err)) }
		workflowtest.UpdateAfter(env, time.Hour, add, 1, note)
		workflowtest.UpdateAfter(env, 2*time.Hour, add, 11, note)
		workflowtest.UpdateAfter(env, 30*time.Hour, add, 2, note)
		env.After(29*time.Hour, func() { note(workflowtest.Ask(env, total, struct{}{})) })
		workflowtest.SignalAfter(env, 31*time.Hour, close, "")
		got, err := workflowtest.Run[int](env, 5)
		if err != nil || got != 8 {
			t.Errorf("the cart has %d, %v", got, err)
		}
		note(workflowtest.Ask(env, total, struct{}{}))
		want := `0 engine update_refused: update "add": application: 11 is too many|6 <nil>|6 <nil>|8 <nil>|8 <nil>`
		if s := strings.Join(answers, "|"); s != want {
			t.Errorf("the answers are\n%s, want\n%s", s, want)
		}
	}
}

// TestReceiveWhere: signals are taken out of their order, and the others stay.
func TestReceiveWhere(t *testing.T) {
	t.Parallel()
	number := workflow.NewSignal[int]("number")
	pick := workflow.Define("pick", func(ctx workflow.Context, n int) ([]int, error) {
		var out []int
		for _, want := range []func(int) bool{func(v int) bool { return v > n }, func(v int) bool { return v%2 == 0 }, func(int) bool { return true }} {
			v, err := number.ReceiveWhere(ctx, want)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	}, number)
	for _, opts := range [][]workflowtest.Option{nil, {workflowtest.CrashEachStep()}} {
		env := workflowtest.New(t, pick, opts...)
		for i, v := range []int{1, 3, 9, 4} {
			workflowtest.SignalAfter(env, time.Duration(i)*time.Hour, number, v)
		}
		got, err := workflowtest.Run[[]int](env, 5)
		if err != nil || fmt.Sprint(got) != "[9 4 1]" {
			t.Errorf("%v, %v", got, err)
		}
	}
}

// TestPendingTasks: completed, failed and given up from outside of their handlers.
func TestPendingTasks(t *testing.T) {
	t.Parallel()
	approve := workflow.NewTask[int, string]("people", "approve", workflow.WithRetry(workflow.RetryPolicy{Initial: time.Minute, MaxAttempts: 2, Jitter: -1}),
		workflow.WithLimits(workflow.TaskLimits{Heartbeat: 10 * time.Hour, Total: 24 * time.Hour}))
	ask := workflow.Define("ask", func(ctx workflow.Context, n int) (string, error) { return approve.Run(ctx, n) }, approve)
	for _, opts := range [][]workflowtest.Option{nil, {workflowtest.CrashEachStep()}} {
		run := func(change func(env *workflowtest.Env)) (string, int, error) {
			env := workflowtest.New(t, ask, opts...)
			workflowtest.Handle(env, approve, func(int) (string, error) { return "", workflowtest.ErrPending })
			change(env)
			out, err := workflowtest.Run[string](env, 1)
			return out, len(env.Calls()), err
		}
		out, calls, err := run(func(env *workflowtest.Env) {
			env.After(time.Hour, func() { workflowtest.Fail(env, approve, workflow.Failure{Code: "later", Retryable: true}) })
			env.After(2*time.Hour, func() { workflowtest.Complete(env, approve, "yes") })
		})
		if err != nil || out != "yes" || calls != 2 {
			t.Errorf("%q, %v after %d calls", out, err, calls)
		}
		_, calls, err = run(func(*workflowtest.Env) {})
		if f, ok := errors.AsType[*workflow.Failure](err); !ok || f.Code != "heartbeat_timeout" || calls != 2 {
			t.Errorf("nobody answers: %v after %d calls", err, calls)
		}
		_, _, err = run(func(env *workflowtest.Env) {
			env.After(9*time.Hour+50*time.Minute, func() {
				workflowtest.Fail(env, approve, workflow.Failure{Code: "later", Retryable: true, RetryAfter: time.Hour})
			})
			env.After(11*time.Hour, func() {})
		})
		if f, ok := errors.AsType[*workflow.Failure](err); !ok || f.Code != "heartbeat_timeout" {
			t.Errorf("nobody answers the second time: %v", err)
		}
	}
}
