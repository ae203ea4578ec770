package workflow

import (
	"time"

	"github.com/odradek/odradek/record"
)

// Case is one of the things that Select waits for.
type Case interface {
	// begin starts what the case needs.
	begin(ctx Context, h Host)
	// ready reports whether fire may be called.
	ready(h Host) bool
	fire(ctx Context, h Host)
	// leave ends what begin has started, where another case was taken.
	leave(h Host)
	await(a *Awaited)
}

// Select waits until one of the cases is ready and calls its function. Where several
// are, the first of the arguments is taken. The error is a *CancelledError; the
// functions' own results go through variables.
//
//	err := workflow.Select(ctx,
//		workflow.On(payment, func(p Payment, err error) { ... }),
//		workflow.OnSignal(Cancel, func(c Cancellation) { ... }),
//		workflow.After(time.Hour, func() { ... }))
func Select(ctx Context, cases ...Case) error {
	h := ctx.enter()
	if len(cases) == 0 {
		panic("workflow: Select needs at least one case")
	}
	for _, c := range cases {
		c.begin(ctx, h)
	}
	for {
		for i, c := range cases {
			if !c.ready(h) {
				continue
			}
			for j, other := range cases {
				if j != i {
					other.leave(h)
				}
			}
			c.fire(ctx, h)
			return nil
		}
		if err := ctx.vain(h); err != nil {
			return err
		}
		a := Awaited{Scope: ctx.scope}
		for _, c := range cases {
			c.await(&a)
		}
		h.Block(a)
	}
}

// On is taken when the future has settled.
func On[T any](f Future[T], fn func(v T, err error)) Case { return onFuture[T]{f, fn} }

type onFuture[T any] struct {
	f  Future[T]
	fn func(v T, err error)
}

func (c onFuture[T]) begin(_ Context, h Host) { c.f.check(h) }
func (c onFuture[T]) ready(Host) bool         { return c.f.settled() }
func (c onFuture[T]) leave(Host)              {}
func (c onFuture[T]) fire(ctx Context, _ Host) {
	c.fn(c.f.Get(ctx))
}
func (c onFuture[T]) await(a *Awaited) { a.Opens = append(a.Opens, c.f.open) }

// OnSignal is taken when a signal of that name is there, and takes it.
func OnSignal[T any](s Signal[T], fn func(v T)) Case { return onSignal[T]{s, fn} }

type onSignal[T any] struct {
	s  Signal[T]
	fn func(v T)
}

func (c onSignal[T]) begin(ctx Context, _ Host) { c.s.enter(ctx) }
func (c onSignal[T]) ready(h Host) bool         { return h.HasSignal(c.s.name) }
func (c onSignal[T]) leave(Host)                {}
func (c onSignal[T]) fire(_ Context, h Host) {
	v, _ := c.s.take(h)
	c.fn(v)
}
func (c onSignal[T]) await(a *Awaited) { a.Signals = append(a.Signals, c.s.name) }

// After is taken when d of durable time has passed since Select began.
func After(d time.Duration, fn func()) Case { return &after{d: d, fn: fn} }

type after struct {
	d     time.Duration
	fn    func()
	timer *Open
}

func (c *after) begin(ctx Context, h Host) {
	if ctx.cancelled() == nil {
		c.timer = startTimer(h, ctx.scope, h.Now().Time().Add(c.d))
	}
}

func (c *after) ready(Host) bool {
	if c.timer == nil {
		return false
	}
	_, fired := c.timer.Closed.(*record.TimerFired)
	return fired
}

func (c *after) leave(h Host) {
	if c.timer != nil && c.timer.Closed == nil {
		c.timer.cancel(h, nil)
	}
}
func (c *after) fire(Context, Host) { c.fn() }
func (c *after) await(a *Awaited) {
	if c.timer != nil {
		a.Opens = append(a.Opens, c.timer)
	}
}

// Default is taken where no case before it is ready: Select then does not wait.
func Default(fn func()) Case { return otherwise(fn) }

type otherwise func()

func (c otherwise) begin(Context, Host) {}
func (c otherwise) ready(Host) bool     { return true }
func (c otherwise) leave(Host)          {}
func (c otherwise) fire(Context, Host)  { c() }
func (c otherwise) await(*Awaited)      {}
