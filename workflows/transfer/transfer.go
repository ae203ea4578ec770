// Package transfer moves money between two banks, each with an HTTP API and a ledger of
// its own. No transaction spans both: the process takes the money here, brings it there,
// and gives it back where the other bank will not have it. Whatever crashes meanwhile, the
// sum over both ledgers is right when it has ended.
package transfer

import (
	_ "embed"

	"github.com/odradek/odradek/workflow"
)

// Bindings is the service worker's file: how the banks are called.
//
//go:embed bindings.yaml
var Bindings string

// What the process asks the banks for.
var (
	Debit  = workflow.NewTask[Posting, Booked]("bank-a", "debit")
	Refund = workflow.NewTask[Posting, Booked]("bank-a", "credit")
	Credit = workflow.NewTask[Posting, Booked]("bank-b", "credit")

	From   = workflow.NewAttribute[string]("from")
	Amount = workflow.NewAttribute[int64]("cents")
)

// Definition is the workflow type, for engine.Config.
var Definition = workflow.Define("transfer", Transfer, Debit, Refund, Credit, From, Amount)

// Order is the input.
type Order struct {
	From  string `json:"from"` // account of bank A
	To    string `json:"to"`   // account of bank B
	Cents int64  `json:"cents"`
}

// Posting is one line of a bank's ledger.
type Posting struct {
	Account string `json:"account"`
	Cents   int64  `json:"cents"`
}

// Booked is a posting that stands.
type Booked struct {
	Posting string `json:"posting"`
}

// Receipt is the result: both postings.
type Receipt struct {
	Debit  string `json:"debit"`
	Credit string `json:"credit"`
}

// Transfer moves the money, or leaves everything as it was.
func Transfer(ctx workflow.Context, o Order) (Receipt, error) {
	amount, err := Amount.To(o.Cents)
	if err != nil {
		return Receipt{}, err
	}
	from, err := From.To(o.From)
	if err != nil {
		return Receipt{}, err
	}
	workflow.SetAttributes(ctx, from, amount)

	// A bank that was asked may have done it: nobody takes that call back by looking away.
	asking := workflow.Detached(ctx)
	taken, err := Debit.Run(asking, Posting{o.From, o.Cents})
	if err != nil {
		return Receipt{}, err
	}
	var saga workflow.Saga
	workflow.Compensate(&saga, "debit", Refund, Posting{o.From, o.Cents})
	if cancelled := workflow.Err(ctx); cancelled != nil {
		return Receipt{}, saga.Rollback(ctx, cancelled)
	}
	brought, err := Credit.Run(asking, Posting{o.To, o.Cents})
	if err != nil {
		return Receipt{}, saga.Rollback(ctx, err)
	}
	return Receipt{taken.Posting, brought.Posting}, nil
}
