// Package order sells goods: it reserves stock, takes the payment and books the shipment,
// over three HTTP APIs. Where one of them says no for good, what was done before is undone
// in reverse: nobody pays for what is not sent, and no stock stays reserved for nobody.
package order

import (
	_ "embed"

	"github.com/odradek/odradek/workflow"
)

// Bindings is the service worker's file: how the APIs are called.
//
//go:embed bindings.yaml
var Bindings string

// What the process asks for, and what it can be told and asked.
var (
	Reserve  = workflow.NewTask[Line, Reservation]("stock", "reserve")
	Release  = workflow.NewTask[Reservation, struct{}]("stock", "release")
	Charge   = workflow.NewTask[Bill, Payment]("till", "charge")
	Refund   = workflow.NewTask[Payment, struct{}]("till", "refund")
	Dispatch = workflow.NewTask[Parcel, Shipment]("shipment", "book")

	Customer = workflow.NewAttribute[string]("customer")
	Stage    = workflow.NewQuery[struct{}, string]("stage")
)

// Definition is the workflow type, for engine.Config.
var Definition = workflow.Define("order", Sell, Reserve, Release, Charge, Refund, Dispatch, Customer, Stage)

// Order is the input.
type Order struct {
	Customer string `json:"customer"`
	Address  string `json:"address"`
	Lines    []Line `json:"lines"`
	Cents    int64  `json:"cents"`
}

// Line is so much of an article.
type Line struct {
	Article string `json:"article"`
	Count   int    `json:"count"`
}

// Receipt is the result.
type Receipt struct {
	Payment  string `json:"payment"`
	Shipment string `json:"shipment"`
}

// What the APIs take and give.
type (
	Reservation struct {
		ID string `json:"id"`
	}
	Bill struct {
		Customer string `json:"customer"`
		Cents    int64  `json:"cents"`
	}
	Payment struct {
		ID string `json:"id"`
	}
	Parcel struct {
		Address      string   `json:"address"`
		Reservations []string `json:"reservations"`
	}
	Shipment struct {
		ID string `json:"id"`
	}
)

// Sell sends the goods, or leaves everything as it was.
func Sell(ctx workflow.Context, o Order) (Receipt, error) {
	stage := "stock"
	Stage.Handle(ctx, func(struct{}) (string, error) { return stage, nil })
	if err := Customer.Set(ctx, o.Customer); err != nil {
		return Receipt{}, err
	}
	var saga workflow.Saga
	receipt, err := sell(ctx, o, &saga, &stage)
	if err != nil {
		stage = "undoing"
		return Receipt{}, saga.Rollback(ctx, err)
	}
	stage = "sent"
	return receipt, nil
}

func sell(ctx workflow.Context, o Order, saga *workflow.Saga, stage *string) (Receipt, error) {
	// What an API was asked for, it may have done: a cancelled order waits for the answer,
	// and undoes it.
	asking := workflow.Detached(ctx)
	parcel := Parcel{Address: o.Address}
	reservations := make([]workflow.Future[Reservation], len(o.Lines))
	for i, line := range o.Lines {
		reservations[i] = Reserve.Start(asking, line)
	}
	var missing error
	for _, f := range reservations { // all of them: each that was made is to be undone
		r, err := f.Get(asking)
		if err != nil {
			missing = err
			continue
		}
		workflow.Compensate(saga, "reservation "+r.ID, Release, r)
		parcel.Reservations = append(parcel.Reservations, r.ID)
	}
	if missing != nil {
		return Receipt{}, missing
	}
	if err := workflow.Err(ctx); err != nil {
		return Receipt{}, err
	}
	*stage = "payment"
	paid, err := Charge.Run(asking, Bill{o.Customer, o.Cents})
	if err != nil {
		return Receipt{}, err
	}
	workflow.Compensate(saga, "payment "+paid.ID, Refund, paid)
	if err := workflow.Err(ctx); err != nil {
		return Receipt{}, err
	}
	*stage = "shipment"
	sent, err := Dispatch.Run(asking, parcel)
	return Receipt{paid.ID, sent.ID}, err
}
