package billing

import (
	"time"

	"github.com/odradek/odradek/workflow"
)

// What the process asks others for, and what it can be told.
var (
	GetConsumption = workflow.NewTask[ConsumptionQuery, Consumption]("consumption", "get")
	RequestPayment = workflow.NewTask[PaymentRequest, Payment]("payment", "request")
	CreateInvoice  = workflow.NewTask[InvoiceRequest, Invoice]("invoice", "create")
	SendEmail      = workflow.NewTask[Email, Sent]("email", "send")
	Unsubscribe    = workflow.NewSignal[Unsubscription]("unsubscribe")
)

// Definition is the workflow type, for engine.Config.
var Definition = workflow.Define("billing.monthly", Monthly,
	GetConsumption, RequestPayment, CreateInvoice, SendEmail, Unsubscribe)

// centsPerUnit is the tariff.
const centsPerUnit = 31

// Monthly bills a subscription at the end of each month until the customer
// unsubscribes or the contract ends. The month in which he unsubscribes is free.
func Monthly(ctx workflow.Context, sub Subscription) (Summary, error) {
	sum := Summary{Customer: sub.Customer}
	due := workflow.Now(ctx)
	for sub.Months == 0 || sum.Months < sub.Months {
		due = sub.Calendar.NextMonth(due)
		if u, ok := Unsubscribe.ReceiveUntil(ctx, due); ok {
			return sum.closed(u), nil
		}
		used, err := GetConsumption.Run(ctx, ConsumptionQuery{sub.Customer, due})
		if err != nil {
			return sum, err
		}
		paid, err := RequestPayment.Run(ctx, PaymentRequest{sub.Customer, due, used.Units * centsPerUnit})
		if err != nil {
			return sum, err
		}
		invoice, err := CreateInvoice.Run(ctx, InvoiceRequest{sub.Customer, due, used.Units, paid})
		if err != nil {
			return sum, err
		}
		if _, err := SendEmail.Run(ctx, Email{sub.Customer, due, invoice.Number}); err != nil {
			return sum, err
		}
		sum.billed(paid, invoice)
	}
	return sum, nil
}

// Subscription is the input: who is billed, and when.
type Subscription struct {
	Customer string   `json:"customer"`
	Calendar Calendar `json:"calendar"`
	// Months is the length of the contract; 0: until the customer unsubscribes.
	Months uint `json:"months,omitempty"`
}

// Unsubscription is the signal's payload.
type Unsubscription struct {
	Reason string `json:"reason"`
}

// Summary is the result: what the subscription came to.
type Summary struct {
	Customer    string `json:"customer"`
	Months      uint   `json:"months"` // that were billed
	Cents       int64  `json:"cents"`  // in all
	LastInvoice string `json:"last_invoice,omitempty"`
	// Reason is the customer's for leaving; empty: the contract ended.
	Reason string `json:"reason,omitempty"`
}

func (s *Summary) billed(p Payment, i Invoice) {
	s.Months++
	s.Cents += p.Cents
	s.LastInvoice = i.Number
}

func (s Summary) closed(u Unsubscription) Summary {
	s.Reason = u.Reason
	return s
}

// ConsumptionQuery asks what a customer used in the month that ended at Due.
type ConsumptionQuery struct {
	Customer string    `json:"customer"`
	Due      time.Time `json:"due"`
}

// Consumption is what was used.
type Consumption struct {
	Units int64 `json:"units"`
}

// PaymentRequest takes money.
type PaymentRequest struct {
	Customer string    `json:"customer"`
	Due      time.Time `json:"due"`
	Cents    int64     `json:"cents"`
}

// Payment is money taken.
type Payment struct {
	ID    string `json:"id"`
	Cents int64  `json:"cents"`
}

// InvoiceRequest asks for the invoice of a payment.
type InvoiceRequest struct {
	Customer string    `json:"customer"`
	Due      time.Time `json:"due"`
	Units    int64     `json:"units"`
	Payment  Payment   `json:"payment"`
}

// Invoice is an invoice that was written.
type Invoice struct {
	Number string `json:"number"`
}

// Email tells the customer.
type Email struct {
	Customer string    `json:"customer"`
	Due      time.Time `json:"due"`
	Invoice  string    `json:"invoice"`
}

// Sent is an email on its way.
type Sent struct {
	Message string `json:"message"`
}
