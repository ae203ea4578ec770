package order_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/workflow"
	"github.com/odradek/odradek/workflow/workflowtest"
	"github.com/odradek/odradek/workflows/order"
)

// shop notes what is done, and refuses one operation for good.
type shop struct {
	*workflowtest.Env
	done   []string
	refuse string // service/operation
	weak   bool   // each task fails twice before
}

func begin(t *testing.T, opts ...workflowtest.Option) *shop {
	t.Helper()
	s := &shop{Env: workflowtest.New(t, order.Definition, opts...)}
	on := func(c workflowtest.Call, what string) error {
		switch {
		case s.weak && c.Attempt < 3:
			return errors.New("away")
		case s.refuse == c.Service+"/"+c.Operation:
			return &workflow.Failure{Kind: workflow.FailureHTTP, Code: "refused", HTTPStatus: 422}
		}
		s.done = append(s.done, what)
		return nil
	}
	n := 0
	id := func(what string) string { n++; return fmt.Sprint(what, n) }
	workflowtest.HandleCall(s.Env, order.Reserve, func(l order.Line, c workflowtest.Call) (order.Reservation, error) {
		if err := on(c, "reserve "+l.Article); err != nil {
			return order.Reservation{}, err
		}
		return order.Reservation{ID: id("r")}, nil
	})
	workflowtest.HandleCall(s.Env, order.Release, func(r order.Reservation, c workflowtest.Call) (struct{}, error) {
		return struct{}{}, on(c, "release "+r.ID)
	})
	workflowtest.HandleCall(s.Env, order.Charge, func(b order.Bill, c workflowtest.Call) (order.Payment, error) {
		if err := on(c, fmt.Sprint("charge ", b.Cents)); err != nil {
			return order.Payment{}, err
		}
		return order.Payment{ID: id("p")}, nil
	})
	workflowtest.HandleCall(s.Env, order.Refund, func(p order.Payment, c workflowtest.Call) (struct{}, error) {
		return struct{}{}, on(c, "refund "+p.ID)
	})
	workflowtest.HandleCall(s.Env, order.Dispatch, func(p order.Parcel, c workflowtest.Call) (order.Shipment, error) {
		return order.Shipment{ID: "s"}, on(c, "send "+strings.Join(p.Reservations, "+"))
	})
	return s
}

var books = order.Order{Customer: "ada", Address: "here", Cents: 4200, Lines: []order.Line{{Article: "book", Count: 1}, {Article: "pen", Count: 2}}}

// TestSell: what was done is sent, or undone in reverse.
func TestSell(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(s *shop)
		want   []string
		fails  string
	}{
		"sent":             {func(*shop) {}, []string{"reserve book", "reserve pen", "charge 4200", "send r1+r2"}, ""},
		"weak services":    {func(s *shop) { s.weak = true }, []string{"reserve pen", "reserve book", "charge 4200", "send r2+r1"}, ""},
		"declined":         {func(s *shop) { s.refuse = "till/charge" }, []string{"reserve book", "reserve pen", "release r2", "release r1"}, "till/charge"},
		"not sendable":     {func(s *shop) { s.refuse = "shipment/book" }, []string{"reserve book", "reserve pen", "charge 4200", "refund p3", "release r2", "release r1"}, "shipment/book"},
		"cancelled":        {func(s *shop) { s.weak = true; s.CancelAfter(2*time.Second, "changed his mind") }, []string{"reserve pen", "reserve book", "release r1", "release r2"}, "changed his mind"},
		"nothing in stock": {func(s *shop) { s.refuse = "stock/reserve" }, nil, "stock/reserve"},
	} {
		for _, opts := range [][]workflowtest.Option{nil, {workflowtest.CrashEachStep()}} {
			s := begin(t, opts...)
			c.change(s)
			stage := ""
			s.After(time.Second/2, func() {
				stage, _ = workflowtest.Ask(s.Env, order.Stage, struct{}{})
			})
			receipt, err := workflowtest.Run[order.Receipt](s.Env, books)
			if c.fails == "" && (err != nil || receipt.Shipment != "s") || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails) && !strings.Contains(fmt.Sprint(err), "refused")) {
				t.Errorf("%s: %+v, %v", name, receipt, err)
			}
			if c.want != nil && !slices.Equal(s.done, c.want) {
				t.Errorf("%s: %q, want %q", name, s.done, c.want)
			}
			if s.weak && stage != "stock" {
				t.Errorf("%s: the stage is %q", name, stage)
			}
		}
	}
}

func TestRecordedOrder(t *testing.T) {
	t.Parallel()
	workflowtest.Golden(t, "testdata/undone.history", order.Definition, func() *workflowtest.Env {
		s := begin(t)
		s.refuse = "shipment/book"
		if _, err := workflowtest.Run[order.Receipt](s.Env, books); err == nil {
			t.Fatal("it was sent")
		}
		return s.Env
	})
}
