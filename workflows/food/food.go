// Package food delivers meals: the customer pays, the restaurant has ten minutes to accept
// by a signal, a courier is searched for as long as the meal stays warm, and whoever waits
// in vain gets his money back.
package food

import (
	_ "embed"
	"errors"
	"time"

	"github.com/odradek/odradek/workflow"
)

// Bindings is the service worker's file: how the APIs are called.
//
//go:embed bindings.yaml
var Bindings string

// What the process asks for, and what it is told.
var (
	Charge  = workflow.NewTask[Bill, Payment]("purse", "charge")
	Refund  = workflow.NewTask[Payment, struct{}]("purse", "refund")
	Offer   = workflow.NewTask[Meal, struct{}]("restaurant", "offer")
	Recall  = workflow.NewTask[Meal, struct{}]("restaurant", "recall")
	Search  = workflow.NewTask[Meal, Courier]("courier", "search", workflow.WithRetry(workflow.RetryPolicy{Initial: 10 * time.Second, Max: time.Minute}))
	Dismiss = workflow.NewTask[Meal, struct{}]("courier", "dismiss")

	Answer    = workflow.NewSignal[Reply]("answer")       // of the restaurant
	Delivered = workflow.NewSignal[struct{}]("delivered") // by the courier
)

// Definition is the workflow type, for engine.Config.
var Definition = workflow.Define("food", Deliver, Charge, Refund, Offer, Recall, Search, Dismiss, Answer, Delivered)

// How long the process waits.
const (
	AnswerWithin  = 10 * time.Minute // the restaurant's
	CourierWithin = 30 * time.Minute // from its answer on, for a courier to be found
	DeliverWithin = 2 * time.Hour
)

// Order is the input.
type Order struct {
	Customer   string `json:"customer"`
	Restaurant string `json:"restaurant"`
	Dish       string `json:"dish"`
	Cents      int64  `json:"cents"`
}

// Reply is what the restaurant says.
type Reply struct {
	Accepted bool   `json:"accepted"`
	Reason   string `json:"reason,omitempty"`
}

// Outcome is the result.
type Outcome struct {
	Delivered bool   `json:"delivered"`
	Courier   string `json:"courier,omitempty"`
	Refunded  string `json:"refunded,omitempty"` // why
}

// What the APIs take and give.
type (
	Bill struct {
		Customer string `json:"customer"`
		Cents    int64  `json:"cents"`
	}
	Payment struct {
		ID string `json:"id"`
	}
	Meal struct {
		Order      string `json:"order"`
		Restaurant string `json:"restaurant"`
		Dish       string `json:"dish"`
	}
	Courier struct {
		Name string `json:"name"`
	}
)

// Deliver brings the meal, or gives the money back.
func Deliver(ctx workflow.Context, o Order) (Outcome, error) {
	paid, err := Charge.Run(workflow.Detached(ctx), Bill{o.Customer, o.Cents})
	if err != nil {
		return Outcome{}, err
	}
	var saga workflow.Saga
	workflow.Compensate(&saga, "payment", Refund, paid)
	out, err := deliver(ctx, o, &saga)
	sorry, ok := errors.AsType[*sorry](err)
	switch {
	case err == nil:
		return out, nil
	case ok: // not a failure: it happens
		return Outcome{Refunded: sorry.why}, saga.Rollback(ctx, nil)
	}
	return Outcome{}, saga.Rollback(ctx, err)
}

// sorry is why a meal does not come.
type sorry struct{ why string }

func (s *sorry) Error() string { return s.why }

func deliver(ctx workflow.Context, o Order, saga *workflow.Saga) (Outcome, error) {
	meal := Meal{workflow.Info(ctx).WorkflowID, o.Restaurant, o.Dish}
	if err := workflow.Err(ctx); err != nil {
		return Outcome{}, err
	}
	if _, err := Offer.Run(workflow.Detached(ctx), meal); err != nil {
		return Outcome{}, err
	}
	workflow.Compensate(saga, "offer", Recall, meal)
	reply, ok := Answer.ReceiveUntil(ctx, workflow.Now(ctx).Add(AnswerWithin))
	switch {
	case workflow.Err(ctx) != nil:
		return Outcome{}, workflow.Err(ctx)
	case !ok:
		return Outcome{}, &sorry{"the restaurant did not answer"}
	case !reply.Accepted:
		return Outcome{}, &sorry{"the restaurant refused: " + reply.Reason}
	}

	workflow.Compensate(saga, "courier", Dismiss, meal) // one may be found while the time is up
	searching, stop := workflow.WithTimeout(ctx, CourierWithin)
	courier, err := Search.Run(searching, meal)
	stop()
	switch {
	case errors.Is(err, workflow.ErrTimeout):
		return Outcome{}, &sorry{"no courier was found"}
	case err != nil:
		return Outcome{}, err
	}
	if _, ok := Delivered.ReceiveUntil(ctx, workflow.Now(ctx).Add(DeliverWithin)); !ok {
		if err := workflow.Err(ctx); err != nil {
			return Outcome{}, err
		}
		return Outcome{}, &sorry{"the meal did not come"}
	}
	return Outcome{Delivered: true, Courier: courier.Name}, nil
}
