package guide

import (
	"crypto/sha256"
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/apipb"

	"github.com/odradek/odradek/engine"
	"github.com/odradek/odradek/workflow"
	"github.com/odradek/odradek/workflow/workflowtest"
)

// both runs a test as it is, and with a crash at every step.
func both(t *testing.T, test func(t *testing.T, opts ...workflowtest.Option)) {
	t.Helper()
	t.Run("plain", func(t *testing.T) { t.Parallel(); test(t) })
	t.Run("crashing", func(t *testing.T) { t.Parallel(); test(t, workflowtest.CrashEachStep()) })
}

func TestChildren(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, opts ...workflowtest.Option) {
		env := workflowtest.New(t, WithChildDef, append(opts, workflowtest.With(ShipDef))...)
		workflowtest.Handle(env, Dispatch, func(o Order) (Receipt, error) { return Receipt{"s-" + o.ID}, nil })
		if r, err := workflowtest.Run[Receipt](env, Order{ID: "7"}); err != nil || r.Shipment != "s-7" {
			t.Error(r, err)
		}
	})
}

func TestConcurrency(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, opts ...workflowtest.Option) {
		env := workflowtest.New(t, TwoDef, opts...)
		workflowtest.Handle(env, Price, func(i Item) (int64, error) { return int64(i.Count) * 3, nil })
		if n, err := workflowtest.Run[int64](env, [2]Item{{"a", 1}, {"b", 2}}); err != nil || n != 9 {
			t.Error(n, err)
		}
	})
	both(t, func(t *testing.T, opts ...workflowtest.Option) {
		env := workflowtest.New(t, ShipDef, opts...)
		recalled := 0
		workflowtest.Handle(env, Dispatch, func(Order) (Receipt, error) { return Receipt{}, workflowtest.ErrPending })
		workflowtest.Handle(env, Recall, func(Order) (struct{}, error) { recalled++; return struct{}{}, nil })
		env.CancelAfter(time.Hour, "the customer called")
		if _, err := workflowtest.Run[Receipt](env, Order{}); err == nil || recalled != 1 {
			t.Error(recalled, err)
		}
	})
}

func TestSagas(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, opts ...workflowtest.Option) {
		env := workflowtest.New(t, SellDef, opts...)
		var done []string
		workflowtest.Handle(env, Reserve, func(Item) (struct{}, error) { return struct{}{}, nil })
		workflowtest.Handle(env, Charge, func(Order) (struct{}, error) { return struct{}{}, nil })
		workflowtest.Handle(env, Dispatch, func(Order) (Receipt, error) {
			return Receipt{}, &workflow.Failure{Kind: workflow.FailureApplication, Code: "address_unknown"}
		})
		workflowtest.Handle(env, Refund, func(Order) (struct{}, error) { done = append(done, "refund"); return struct{}{}, nil })
		workflowtest.Handle(env, Release, func(Item) (struct{}, error) { done = append(done, "release"); return struct{}{}, nil })
		_, err := workflowtest.Run[Receipt](env, Order{ID: "7"})
		if f, ok := errors.AsType[*workflow.Failure](err); !ok || f.Code != "address_unknown" || !slices.Equal(done, []string{"refund", "release"}) {
			t.Error(done, err)
		}
	})
}

func TestMessages(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, opts ...workflowtest.Option) {
		env := workflowtest.New(t, CartDef, opts...)
		workflowtest.Handle(env, Reserve, func(Item) (struct{}, error) { return struct{}{}, nil })
		answers, refused := 0, 0
		workflowtest.UpdateAfter(env, time.Minute, Add, Item{"a", 2}, func(n int, err error) { answers += n })
		workflowtest.UpdateAfter(env, 2*time.Minute, Add, Item{"a", 0}, func(_ int, err error) {
			if err != nil {
				refused++
			}
		})
		env.After(3*time.Minute, func() {
			if n, err := workflowtest.Ask(env, Total, struct{}{}); err != nil || n != 3 {
				t.Error(n, err)
			}
		})
		workflowtest.SignalAfter(env, time.Hour, Stop, "enough")
		if n, err := workflowtest.Run[int](env, []Item{{"b", 1}}); err != nil || n != 3 || answers != 3 || refused != 1 {
			t.Error(n, answers, refused, err)
		}
	})
}

func TestSeen(t *testing.T) {
	t.Parallel()
	env := workflowtest.New(t, SeenDef)
	workflowtest.Handle(env, Dispatch, func(o Order) (Receipt, error) { return Receipt{"x"}, nil })
	if _, err := workflowtest.Run[Receipt](env, Order{Customer: "7", Total: 1.5}); err != nil || env.Attributes()["customer"] != `"7"` {
		t.Error(env.Attributes(), err)
	}
	tell := workflowtest.New(t, TellDef)
	if ok, err := workflowtest.Run[bool](tell, Order{Customer: "7"}); err != nil || !ok || len(tell.Published()) != 1 {
		t.Error(tell.Published(), err)
	}
}

func TestTasks(t *testing.T) {
	t.Parallel()
	tries := 0
	env := workflowtest.New(t, PatientDef)
	workflowtest.Handle(env, Charge, func(Order) (struct{}, error) { tries++; return struct{}{}, errors.New("down") })
	if _, err := workflowtest.Run[bool](env, Order{}); err == nil || tries != 5 {
		t.Error(tries, err)
	}
	hashed := workflowtest.New(t, HashedDef)
	if d, err := workflowtest.Run[Digest](hashed, Document{"x"}); err != nil || d != Digest(sha256.Sum256([]byte("x"))) {
		t.Error(d, err)
	}
	renamed := workflowtest.New(t, RenamedDef)
	workflowtest.Handle(renamed, Upper, func(in *apipb.Api) (*apipb.Api, error) { return &apipb.Api{Name: in.Name + "!"}, nil })
	if m, err := workflowtest.Run[*apipb.Api](renamed, &apipb.Api{Name: "a"}); err != nil || m.Name != "a!" {
		t.Error(m, err)
	}
}

var (
	charge     = workflow.NewTask[int, string]("payment", "charge")
	stop       = workflow.NewSignal[string]("stop")
	definition = workflow.Define("yearly", func(ctx workflow.Context, cents int) (receipts []string, err error) {
		due := workflow.Now(ctx)
		for {
			due = due.AddDate(0, 1, 0)
			if _, ok := stop.ReceiveUntil(ctx, due); ok {
				return receipts, nil
			}
			receipt, err := charge.Run(ctx, cents)
			if err != nil {
				return receipts, err
			}
			receipts = append(receipts, receipt)
		}
	}, charge, stop)
)

func TestYear(t *testing.T) {
	env := workflowtest.New(t, definition)
	workflowtest.Handle(env, charge, func(cents int) (string, error) { return "receipt", nil })
	workflowtest.SignalAfter(env, 100*24*time.Hour, stop, "moved")
	receipts, err := workflowtest.Run[[]string](env, 990)
	if err != nil || len(receipts) != 3 {
		t.Error(receipts, err)
	}
}

// TestVersions: what the page on determinism shows is a configuration.
func TestVersions(t *testing.T) {
	t.Parallel()
	cfg := engine.Config{Workflows: Versions()}
	if len(cfg.Workflows) != 2 || cfg.Workflows[1].Version() != 2 {
		t.Error(cfg.Workflows)
	}
}
