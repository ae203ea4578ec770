package food_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/workflow"
	"github.com/odradek/odradek/workflow/workflowtest"
	"github.com/odradek/odradek/workflows/food"
)

type town struct {
	*workflowtest.Env
	done   []string
	nobody bool // no courier is free
}

func begin(t *testing.T, opts ...workflowtest.Option) *town {
	t.Helper()
	w := &town{Env: workflowtest.New(t, food.Definition, opts...)}
	note := func(what string) (struct{}, error) { w.done = append(w.done, what); return struct{}{}, nil }
	workflowtest.Handle(w.Env, food.Charge, func(food.Bill) (food.Payment, error) { _, err := note("charge"); return food.Payment{ID: "p"}, err })
	workflowtest.Handle(w.Env, food.Refund, func(food.Payment) (struct{}, error) { return note("refund") })
	workflowtest.Handle(w.Env, food.Offer, func(food.Meal) (struct{}, error) { return note("offer") })
	workflowtest.Handle(w.Env, food.Recall, func(food.Meal) (struct{}, error) { return note("recall") })
	workflowtest.Handle(w.Env, food.Dismiss, func(food.Meal) (struct{}, error) { return note("dismiss") })
	workflowtest.Handle(w.Env, food.Search, func(food.Meal) (food.Courier, error) {
		if w.nobody {
			return food.Courier{}, &workflow.Failure{Kind: workflow.FailureHTTP, Code: "none_free", Retryable: true}
		}
		_, err := note("courier")
		return food.Courier{Name: "carl"}, err
	})
	return w
}

func (w *town) reply(age time.Duration, r food.Reply) {
	workflowtest.SignalAfter(w.Env, age, food.Answer, r)
}

// TestDeliver: a meal comes, or the money is back and nobody is left waiting.
func TestDeliver(t *testing.T) {
	t.Parallel()
	back := []string{"charge", "offer", "recall", "refund"}
	searched := []string{"charge", "offer", "dismiss", "recall", "refund"}
	for name, c := range map[string]struct {
		change   func(w *town)
		refunded string
		done     []string
		lasts    time.Duration
	}{
		"delivered": {func(w *town) {
			w.reply(9*time.Minute, food.Reply{Accepted: true})
			workflowtest.SignalAfter(w.Env, time.Hour, food.Delivered, struct{}{})
		}, "", []string{"charge", "offer", "courier"}, time.Hour},
		"courier later": {func(w *town) {
			w.nobody = true
			w.reply(time.Minute, food.Reply{Accepted: true})
			w.After(20*time.Minute, func() { w.nobody = false })
			workflowtest.SignalAfter(w.Env, time.Hour, food.Delivered, struct{}{})
		}, "", []string{"charge", "offer", "courier"}, time.Hour},
		"no answer":       {func(*town) {}, "did not answer", back, food.AnswerWithin},
		"answer too late": {func(w *town) { w.reply(11*time.Minute, food.Reply{Accepted: true}) }, "did not answer", back, food.AnswerWithin},
		"refused":         {func(w *town) { w.reply(time.Minute, food.Reply{Reason: "no fish today"}) }, "no fish today", back, time.Minute},
		"no courier":      {func(w *town) { w.nobody = true; w.reply(time.Minute, food.Reply{Accepted: true}) }, "no courier was found", searched, time.Minute + food.CourierWithin},
		"never came":      {func(w *town) { w.reply(time.Minute, food.Reply{Accepted: true}) }, "did not come", []string{"charge", "offer", "courier", "dismiss", "recall", "refund"}, time.Minute + food.DeliverWithin},
		"cancelled":       {func(w *town) { w.CancelAfter(5*time.Minute, "not hungry") }, "cancelled", back, 5 * time.Minute},
	} {
		for _, opts := range [][]workflowtest.Option{nil, {workflowtest.CrashEachStep()}} {
			w := begin(t, opts...)
			began := w.Now()
			c.change(w)
			out, err := workflowtest.Run[food.Outcome](w.Env, food.Order{Customer: "ada", Restaurant: "mare", Dish: "fish", Cents: 1900})
			if c.refunded == "cancelled" {
				if err == nil || !strings.Contains(err.Error(), "not hungry") {
					t.Errorf("%s: %+v, %v", name, out, err)
				}
			} else if err != nil || out.Delivered != (c.refunded == "") || !strings.Contains(out.Refunded, c.refunded) {
				t.Errorf("%s: %+v, %v", name, out, err)
			}
			if !slices.Equal(w.done, c.done) || w.Now().Sub(began) != c.lasts {
				t.Errorf("%s: %q after %v, want %q after %v", name, w.done, w.Now().Sub(began), c.done, c.lasts)
			}
		}
	}
}

func TestRecordedMeal(t *testing.T) {
	t.Parallel()
	workflowtest.Golden(t, "testdata/no_courier.history", food.Definition, func() *workflowtest.Env {
		w := begin(t)
		w.nobody = true
		w.reply(time.Minute, food.Reply{Accepted: true})
		if _, err := workflowtest.Run[food.Outcome](w.Env, food.Order{Customer: "ada", Restaurant: "mare", Dish: "fish", Cents: 1900}); err != nil {
			t.Fatal(err)
		}
		return w.Env
	})
}
