// Package guide is the code that the pages of docs show: docs/examples holds each block of
// them to it.
package guide

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/apipb"

	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/workflow"
)

// What the pages' workflows are about.
type (
	Order struct {
		ID       string  `json:"id"`
		Customer string  `json:"customer"`
		Cents    int64   `json:"cents"`
		Total    float64 `json:"total"`
	}
	Receipt struct {
		Shipment string `json:"shipment"`
	}
	Item struct {
		Article string `json:"article"`
		Count   int    `json:"count"`
	}
	Event struct {
		Paid bool `json:"paid"`
	}
	Document struct {
		Text string `json:"text"`
	}
	Digest [sha256.Size]byte
)

// The tasks of services that they ask for.
var (
	Price    = workflow.NewTask[Item, int64]("shop", "price")
	Dispatch = workflow.NewTask[Order, Receipt]("shop", "dispatch")
	Recall   = workflow.NewTask[Order, struct{}]("shop", "recall")
	Reserve  = workflow.NewTask[Item, struct{}]("shop", "reserve")
	Release  = workflow.NewTask[Item, struct{}]("shop", "release")
	Charge   = workflow.NewTask[Order, struct{}]("shop", "charge")
	Refund   = workflow.NewTask[Order, struct{}]("shop", "refund")
)

// Children.

var Shipping = workflow.NewChild[Order, Receipt]("shipping")

// WithChild lets another workflow ship.
func WithChild(ctx workflow.Context, o Order) (Receipt, error) {
	receipt, err := Shipping.With(workflow.WithID("ship-"+o.ID)).Run(ctx, o)
	return receipt, err
}

// Two asks for two prices at once.
func Two(ctx workflow.Context, items [2]Item) (int64, error) {
	x, y := items[0], items[1]
	a, b := Price.Start(ctx, x), Price.Start(ctx, y)
	prices, err := workflow.All(ctx, a, b)
	if err != nil {
		return 0, err
	}
	return prices[0] + prices[1], nil
}

// Ship recalls what it has sent when it is cancelled.
func Ship(ctx workflow.Context, o Order) (Receipt, error) {
	r, err := Dispatch.Run(ctx, o)
	if errors.Is(err, workflow.ErrCancelled) {
		_, undo := Recall.Run(workflow.Detached(ctx), o)
		return r, errors.Join(err, undo)
	}
	return r, err
}

// Sell reserves, charges and dispatches; what was done is undone in reverse.
func Sell(ctx workflow.Context, o Order) (Receipt, error) {
	var saga workflow.Saga
	item := Item{Article: o.ID, Count: 1}
	if _, err := Reserve.Run(ctx, item); err != nil {
		return Receipt{}, err
	}
	workflow.Compensate(&saga, "reservation", Release, item)
	if _, err := Charge.Run(ctx, o); err != nil {
		return Receipt{}, saga.Rollback(ctx, err)
	}
	workflow.Compensate(&saga, "payment", Refund, o)
	receipt, err := Dispatch.Run(ctx, o)
	if err != nil {
		return Receipt{}, saga.Rollback(ctx, err)
	}
	return receipt, nil
}

// Messages.

var (
	Stop  = workflow.NewSignal[string]("stop")
	Total = workflow.NewQuery[struct{}, int]("total")
	Add   = workflow.NewUpdate[Item, int]("add")
)

func Cart(ctx workflow.Context, cart []Item) (int, error) {
	Total.Handle(ctx, func(struct{}) (int, error) { return sum(cart), nil })
	Add.Handle(ctx, func(ctx workflow.Context, item Item) (int, error) {
		if _, err := Reserve.Run(ctx, item); err != nil {
			return 0, err
		}
		cart = append(cart, item)
		return sum(cart), nil
	}, workflow.Validate(func(item Item) error {
		if item.Count < 1 {
			return errors.New("the count is missing")
		}
		return nil
	}))
	_, err := Stop.Receive(ctx)
	return sum(cart), err
}

func sum(cart []Item) (n int) {
	for _, item := range cart {
		n += item.Count
	}
	return n
}

// What is seen.

var (
	Customer = workflow.NewAttribute[string]("customer")
	Worth    = workflow.NewAttribute[float64]("worth")
)

func Seen(ctx workflow.Context, o Order) (Receipt, error) {
	if err := Customer.Set(ctx, o.Customer); err != nil {
		return Receipt{}, err
	}
	workflow.SetDetails(ctx, "order of %s", o.Customer)
	if err := Worth.Set(ctx, o.Total); err != nil {
		return Receipt{}, err
	}
	return Dispatch.Run(ctx, o)
}

var Orders = workflow.NewTopic[Event]("orders")

// Tell publishes.
func Tell(ctx workflow.Context, o Order) (bool, error) {
	err := Orders.Publish(ctx, o.Customer, Event{Paid: true})
	return err == nil, err
}

// Patiently charges with a policy of this call.
func Patiently(ctx workflow.Context, in Order) (bool, error) {
	_, err := Charge.With(workflow.WithRetry(workflow.RetryPolicy{
		Initial: time.Second, Max: time.Hour, Multiplier: 2, Jitter: 0.1,
		MaxAttempts: 5, NonRetryable: "card_declined validation",
	})).Run(ctx, in)
	return err == nil, err
}

var Hash = workflow.NewLocalTask("hash", func(ctx context.Context, in Document) (Digest, error) {
	return sha256.Sum256([]byte(in.Text)), nil
})

// Page is a document that was rendered by a farm of machines; Job names the work.
type (
	Page struct{ Images []string }
	Job  string
)

var Render = workflow.NewTask[Document, Page]("farm", "render")

// Farm renders.
type Farm interface {
	Begin(ctx context.Context, key string, doc Document) (Job, error)
	Ask(ctx context.Context, job Job) (page Page, done bool, err error)
}

// RenderOn has a farm asked until the page is there.
func RenderOn(farm Farm) worker.Handler {
	return worker.Handle(Render, func(ctx context.Context, doc Document) (Page, error) {
		job, began, err := worker.LastDetails[Job](ctx)
		if err == nil && !began {
			job, err = farm.Begin(ctx, worker.CallOf(ctx).Key, doc)
		}
		if err != nil {
			return Page{}, err
		}
		page, done, err := farm.Ask(ctx, job)
		if err == nil && !done {
			return Page{}, worker.PollAfter(10*time.Second, job)
		}
		return page, err
	})
}

// Hashed asks the engine itself.
func Hashed(ctx workflow.Context, doc Document) (Digest, error) {
	digest, err := Hash.Run(ctx, doc)
	return digest, err
}

// Protobuf.

var Upper = workflow.NewTask[*apipb.Api, *apipb.Api]("people", "upper")

// Renamed gives a message to a task and its answer back.
func Renamed(ctx workflow.Context, in *apipb.Api) (*apipb.Api, error) { return Upper.Run(ctx, in) }

// Versions are two of one type: runs keep theirs.
func Versions() []workflow.Definition {
	return []workflow.Definition{
		workflow.Define("sell", Ship, Dispatch, Recall, workflow.Version(1)),
		workflow.Define("sell", Sell, Reserve, Release, Charge, Refund, Dispatch, workflow.Version(2)),
	}
}

// Definitions are all workflows of this package, for the tests.
var (
	WithChildDef = workflow.Define("with-child", WithChild)
	TwoDef       = workflow.Define("two", Two, Price)
	ShipDef      = workflow.Define("shipping", Ship, Dispatch, Recall)
	SellDef      = workflow.Define("sell", Sell, Reserve, Release, Charge, Refund, Dispatch)
	CartDef      = workflow.Define("cart", Cart, Stop, Total, Add, Reserve)
	SeenDef      = workflow.Define("seen", Seen, Customer, Worth, Dispatch)
	TellDef      = workflow.Define("tell", Tell, Orders)
	PatientDef   = workflow.Define("patient", Patiently, Charge)
	HashedDef    = workflow.Define("hashed", Hashed, Hash)
	RenamedDef   = workflow.Define("renamed", Renamed, Upper)
)

// Transfer takes an amount from an account.
type Transfer struct {
	Account string
	Cents   int
}

// Debit is limited by account.
var Debit = workflow.NewTask[Transfer, Receipt]("bank", "debit",
	workflow.LimitBy(func(in Transfer) string { return in.Account }))
