package ride_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/workflow"
	"github.com/odradek/odradek/workflow/workflowtest"
	"github.com/odradek/odradek/workflows/ride"
)

type city struct {
	*workflowtest.Env
	done    []string
	drivers []string
	fee     ride.Fee // that Cancel answered with
	refused string   // why Cancel was
}

func begin(t *testing.T, opts ...workflowtest.Option) *city {
	t.Helper()
	c := &city{Env: workflowtest.New(t, ride.Definition, opts...), drivers: []string{"a", "b", "c", "d"}}
	note := func(what string) func(ride.Invitation) (struct{}, error) {
		return func(i ride.Invitation) (struct{}, error) {
			c.done = append(c.done, what+" "+i.Driver)
			return struct{}{}, nil
		}
	}
	workflowtest.Handle(c.Env, ride.Nearby, func(ride.Request) (ride.Drivers, error) { return ride.Drivers{Names: c.drivers}, nil })
	workflowtest.Handle(c.Env, ride.Offer, note("offer"))
	workflowtest.Handle(c.Env, ride.Withdraw, note("withdraw"))
	workflowtest.Handle(c.Env, ride.Assign, note("assign"))
	workflowtest.Handle(c.Env, ride.Charge, func(b ride.Bill) (ride.Payment, error) {
		c.done = append(c.done, "charge")
		return ride.Payment{ID: "p"}, nil
	})
	return c
}

func (c *city) answer(age time.Duration, driver string, yes bool) {
	workflowtest.SignalAfter(c.Env, age, ride.Answer, ride.Reply{Driver: driver, Yes: yes})
}

func (c *city) cancel(age time.Duration, why string) {
	workflowtest.UpdateAfter(c.Env, age, ride.Cancel, ride.Reason{Text: why}, func(f ride.Fee, err error) {
		c.fee = f
		if err != nil {
			c.refused = err.Error()
		}
	})
}

// TestDrive: one driver at most, nobody is left with an offer, and the fee is that of the
// moment.
func TestDrive(t *testing.T) {
	t.Parallel()
	asked := []string{"offer a", "offer b", "offer c"}
	b := append(slices.Clone(asked), "withdraw a", "withdraw c", "assign b")
	for name, c := range map[string]struct {
		change func(c *city)
		want   ride.Outcome
		done   []string
		fee    int64
	}{
		"the first yes drives": {func(c *city) {
			c.answer(time.Second, "a", false)
			c.answer(2*time.Second, "b", true)
			c.answer(3*time.Second, "c", true)
			workflowtest.SignalAfter(c.Env, time.Minute, ride.PickedUp, struct{}{})
			workflowtest.SignalAfter(c.Env, time.Hour, ride.Arrived, ride.Trip{Cents: 2300})
		}, ride.Outcome{Driver: "b", Cents: 2300}, append(slices.Clone(b), "charge"), 0},
		"the next ones are asked": {func(c *city) {
			c.answer(40*time.Second, "d", true)
			workflowtest.SignalAfter(c.Env, 2*time.Minute, ride.PickedUp, struct{}{})
			workflowtest.SignalAfter(c.Env, time.Hour, ride.Arrived, ride.Trip{Cents: 100})
		}, ride.Outcome{Driver: "d", Cents: 100}, append(slices.Clone(asked), "withdraw a", "withdraw b", "withdraw c", "offer d", "assign d", "charge"), 0},
		"nobody drives":       {func(*city) {}, ride.Outcome{Cancelled: "no driver was found"}, append(slices.Clone(asked), "withdraw a", "withdraw b", "withdraw c", "offer d", "withdraw d"), 0},
		"nobody is near":      {func(c *city) { c.drivers = nil }, ride.Outcome{Cancelled: "no driver was found"}, nil, 0},
		"cancelled at once":   {func(c *city) { c.cancel(time.Second, "rain") }, ride.Outcome{Cancelled: "rain"}, append(slices.Clone(asked), "withdraw a", "withdraw b", "withdraw c"), 0},
		"cancelled for free":  {func(c *city) { c.answer(time.Second, "b", true); c.cancel(2*time.Minute, "rain") }, ride.Outcome{Driver: "b", Cancelled: "rain"}, append(slices.Clone(b), "withdraw b"), 0},
		"cancelled for a fee": {func(c *city) { c.answer(time.Second, "b", true); c.cancel(3*time.Minute, "rain") }, ride.Outcome{Driver: "b", Cents: 500, Cancelled: "rain"}, append(slices.Clone(b), "withdraw b", "charge"), 500},
	} {
		for _, opts := range [][]workflowtest.Option{nil, {workflowtest.CrashEachStep()}} {
			w := begin(t, opts...)
			c.change(w)
			out, err := workflowtest.Run[ride.Outcome](w.Env, ride.Request{Passenger: "ada", From: "here"})
			if err != nil || out != c.want || !slices.Equal(w.done, c.done) || w.fee.Cents != c.fee || w.refused != "" {
				t.Errorf("%s: %+v, %v, fee %d, refused %q, done %q; want %+v and %q", name, out, err, w.fee.Cents, w.refused, w.done, c.want, c.done)
			}
		}
	}
}

// TestCancelOnTheWay: a ride that has begun is not cancelled by the passenger.
func TestCancelOnTheWay(t *testing.T) {
	t.Parallel()
	c := begin(t)
	c.answer(time.Second, "b", true)
	workflowtest.SignalAfter(c.Env, time.Minute, ride.PickedUp, struct{}{})
	c.cancel(2*time.Minute, "rain")
	c.CancelAfter(3*time.Minute, "accident")
	_, err := workflowtest.Run[ride.Outcome](c.Env, ride.Request{Passenger: "ada", From: "here"})
	if f, ok := errors.AsType[*workflow.Failure](err); !ok || f.Kind != workflow.FailureCancelled || !strings.Contains(c.refused, "on_the_way") || slices.Contains(c.done, "charge") {
		t.Errorf("%v, refused %q, done %q", err, c.refused, c.done)
	}
}

func TestRecordedRide(t *testing.T) {
	t.Parallel()
	workflowtest.Golden(t, "testdata/cancelled.history", ride.Definition, func() *workflowtest.Env {
		c := begin(t)
		c.answer(time.Second, "a", false)
		c.answer(2*time.Second, "b", true)
		c.cancel(3*time.Minute, "rain")
		if _, err := workflowtest.Run[ride.Outcome](c.Env, ride.Request{Passenger: "ada", From: "here"}); err != nil {
			t.Fatal(err)
		}
		return c.Env
	})
}
