package transfer_test

import (
	"errors"
	"testing"
	"time"

	"github.com/odradek/odradek/workflow"
	"github.com/odradek/odradek/workflow/workflowtest"
	"github.com/odradek/odradek/workflows/transfer"
)

// world are two banks in a test.
type world struct {
	*workflowtest.Env
	a, b     int64 // balances
	closed   bool  // of the account at bank B
	failures int   // of each task, before it succeeds
}

func begin(t *testing.T, opts ...workflowtest.Option) *world {
	t.Helper()
	w := &world{Env: workflowtest.New(t, transfer.Definition, opts...), a: 1000}
	book := func(balance *int64, sign int64, refuse func() bool) func(p transfer.Posting, c workflowtest.Call) (transfer.Booked, error) {
		return func(p transfer.Posting, c workflowtest.Call) (transfer.Booked, error) {
			switch {
			case int(c.Attempt) <= w.failures:
				return transfer.Booked{}, errors.New("the bank is away")
			case refuse() || *balance+sign*p.Cents < 0:
				return transfer.Booked{}, &workflow.Failure{Kind: workflow.FailureHTTP, Code: "refused", HTTPStatus: 422}
			}
			*balance += sign * p.Cents
			return transfer.Booked{Posting: c.Service + "/" + c.Operation}, nil
		}
	}
	never := func() bool { return false }
	workflowtest.HandleCall(w.Env, transfer.Debit, book(&w.a, -1, never))
	workflowtest.HandleCall(w.Env, transfer.Refund, book(&w.a, 1, never))
	workflowtest.HandleCall(w.Env, transfer.Credit, book(&w.b, 1, func() bool { return w.closed }))
	return w
}

// TestTransfer: whatever happens, the sum is right, and the money is here or there.
func TestTransfer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cents  int64
		change func(w *world)
		moved  bool
	}{
		"moved":                   {300, func(*world) {}, true},
		"banks that are away":     {300, func(w *world) { w.failures = 7 }, true},
		"not enough":              {1001, func(*world) {}, false},
		"an account that is gone": {300, func(w *world) { w.closed = true }, false},
		"gone, and banks away":    {300, func(w *world) { w.closed, w.failures = true, 5 }, false},
		"cancelled during debit":  {300, func(w *world) { w.failures = 3; w.CancelAfter(2*time.Second, "wrong account") }, false},
		"cancelled during credit": {300, func(w *world) { w.failures = 3; w.CancelAfter(12*time.Second, "too late") }, true},
	} {
		for _, opts := range [][]workflowtest.Option{nil, {workflowtest.CrashEachStep()}} {
			w := begin(t, opts...)
			c.change(w)
			receipt, err := workflowtest.Run[transfer.Receipt](w.Env, transfer.Order{From: "ada", To: "bob", Cents: c.cents})
			if w.a+w.b != 1000 {
				t.Errorf("%s: bank A has %d and bank B %d", name, w.a, w.b)
			}
			if (err == nil) != c.moved || c.moved != (w.b == c.cents) || c.moved != (receipt.Credit != "") {
				t.Errorf("%s: %+v, %v; bank B has %d", name, receipt, err, w.b)
			}
			if got := w.Attributes()["from"]; got != `"ada"` {
				t.Errorf("%s: found by %s", name, got)
			}
		}
	}
}

func TestRecordedTransfer(t *testing.T) {
	t.Parallel()
	workflowtest.Golden(t, "testdata/refunded.history", transfer.Definition, func() *workflowtest.Env {
		w := begin(t)
		w.closed, w.failures = true, 1
		if _, err := workflowtest.Run[transfer.Receipt](w.Env, transfer.Order{From: "ada", To: "bob", Cents: 300}); err == nil {
			t.Fatal("the money was moved")
		}
		return w.Env
	})
}
