// Package ride finds a driver: it asks the nearest ones at the same time, and the first who
// says yes drives. The passenger may cancel at any moment, for the fee of that moment.
package ride

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
	Nearby   = workflow.NewTask[Request, Drivers]("dispatch", "nearby")
	Offer    = workflow.NewTask[Invitation, struct{}]("dispatch", "offer")
	Withdraw = workflow.NewTask[Invitation, struct{}]("dispatch", "withdraw")
	Assign   = workflow.NewTask[Invitation, struct{}]("dispatch", "assign")
	Charge   = workflow.NewTask[Bill, Payment]("wallet", "charge")

	Answer   = workflow.NewSignal[Reply]("answer") // of a driver
	PickedUp = workflow.NewSignal[struct{}]("picked_up")
	Arrived  = workflow.NewSignal[Trip]("arrived")
	Cancel   = workflow.NewUpdate[Reason, Fee]("cancel") // by the passenger; answers with the fee

	Stage = workflow.NewAttribute[string]("stage")
)

// Definition is the workflow type, for engine.Config.
var Definition = workflow.Define("ride", Drive, Nearby, Offer, Withdraw, Assign, Charge, Answer, PickedUp, Arrived, Cancel, Stage)

// The rules of the house.
const (
	AskAtOnce    = 3                // drivers
	AnswerWithin = 30 * time.Second // each of them
	FreeWithin   = 2 * time.Minute  // of the assignment a ride may be cancelled for nothing
	LateFee      = 500              // cents, afterwards
)

// Request is the input.
type Request struct {
	Passenger string `json:"passenger"`
	From      string `json:"from"`
}

// Outcome is the result.
type Outcome struct {
	Driver    string `json:"driver,omitempty"`
	Cents     int64  `json:"cents"` // that were charged
	Cancelled string `json:"cancelled,omitempty"`
}

// What the APIs and the people take and give.
type (
	Drivers struct {
		Names []string `json:"names"` // the nearest first
	}
	Invitation struct {
		Ride   string `json:"ride"`
		Driver string `json:"driver"`
	}
	Reply struct {
		Driver string `json:"driver"`
		Yes    bool   `json:"yes"`
	}
	Trip struct {
		Cents int64 `json:"cents"`
	}
	Reason struct {
		Text string `json:"text"`
	}
	Fee struct {
		Cents int64 `json:"cents"`
	}
	Bill struct {
		Passenger string `json:"passenger"`
		Cents     int64  `json:"cents"`
	}
	Payment struct {
		ID string `json:"id"`
	}
)

// ride is one that is under way.
type ride struct {
	request  Request
	id       string
	assigned time.Time // zero: nobody drives yet
	boarded  bool
	reason   string // why it is cancelled
	stop     workflow.CancelFunc
}

// Drive brings the passenger where he wants, or takes the fee.
func Drive(ctx workflow.Context, in Request) (Outcome, error) {
	r := &ride{request: in, id: workflow.Info(ctx).WorkflowID}
	riding, stop := workflow.WithCancel(ctx)
	r.stop = stop
	r.handleCancel(ctx)
	out, err := r.drive(riding)
	fee := r.fee(workflow.Now(ctx))
	switch {
	case r.reason != "" && errors.Is(err, workflow.ErrCancelled):
		out.Cancelled, out.Cents = r.reason, fee
	case err != nil:
		return out, err
	}
	if out.Cents > 0 {
		if _, err := Charge.Run(workflow.Detached(ctx), Bill{in.Passenger, out.Cents}); err != nil {
			return out, err
		}
	}
	return out, workflow.UpdatesDone(workflow.Detached(ctx))
}

// handleCancel lets the passenger cancel until he sits in the car.
func (r *ride) handleCancel(ctx workflow.Context) {
	Cancel.Handle(ctx, func(ctx workflow.Context, why Reason) (Fee, error) {
		if r.reason == "" {
			r.reason = why.Text
			r.stop()
		}
		return Fee{r.fee(workflow.Now(ctx))}, nil
	}, workflow.Validate(func(why Reason) error {
		switch {
		case r.boarded:
			return &workflow.Failure{Kind: workflow.FailureApplication, Code: "on_the_way", Message: "the ride has begun"}
		case why.Text == "":
			return &workflow.Failure{Kind: workflow.FailureApplication, Code: "reason_missing", Message: "say why"}
		}
		return nil
	}))
}

// fee is what cancelling costs at a moment.
func (r *ride) fee(now time.Time) int64 {
	if r.assigned.IsZero() || now.Sub(r.assigned) <= FreeWithin {
		return 0
	}
	return LateFee
}

func (r *ride) drive(ctx workflow.Context) (Outcome, error) {
	driver, err := r.find(ctx)
	if err != nil || driver == "" {
		return Outcome{Cancelled: "no driver was found"}, err
	}
	if err := Stage.Set(ctx, "assigned"); err != nil {
		return Outcome{}, err
	}
	r.assigned = workflow.Now(ctx)
	if _, err := PickedUp.Receive(ctx); err != nil {
		_, e := Withdraw.Run(workflow.Detached(ctx), Invitation{r.id, driver})
		return Outcome{Driver: driver}, errors.Join(err, e)
	}
	r.boarded = true
	trip, err := Arrived.Receive(ctx)
	return Outcome{Driver: driver, Cents: trip.Cents}, err
}

// find asks the nearest drivers, some at once, until one says yes; empty: none does.
func (r *ride) find(ctx workflow.Context) (string, error) {
	near, err := Nearby.Run(ctx, r.request)
	if err != nil {
		return "", err
	}
	for names := near.Names; len(names) > 0; names = names[min(AskAtOnce, len(names)):] {
		asked := names[:min(AskAtOnce, len(names))]
		driver, err := r.ask(ctx, asked)
		if driver != "" || err != nil {
			return driver, err
		}
	}
	return "", nil
}

// ask lets drivers race: the first yes gets the ride, the others' offers are withdrawn.
func (r *ride) ask(ctx workflow.Context, drivers []string) (chosen string, err error) {
	calm := workflow.Detached(ctx) // who was asked is told in any case
	for _, d := range drivers {
		if _, err := Offer.Run(calm, Invitation{r.id, d}); err != nil {
			return "", err
		}
	}
	until := workflow.Now(ctx).Add(AnswerWithin)
	for left := len(drivers); left > 0 && chosen == ""; {
		reply, ok := Answer.ReceiveUntil(ctx, until)
		if !ok {
			break
		}
		left--
		if reply.Yes {
			chosen = reply.Driver
		}
	}
	if cause := workflow.Err(ctx); cause != nil {
		chosen, err = "", cause
	}
	for _, d := range drivers {
		if d != chosen {
			if _, e := Withdraw.Run(calm, Invitation{r.id, d}); e != nil {
				return "", errors.Join(err, e)
			}
		}
	}
	if chosen != "" {
		_, err = Assign.Run(calm, Invitation{r.id, chosen})
	}
	return chosen, err
}
