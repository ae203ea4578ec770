package workflow

import (
	"time"
)

// Signal is a message from outside to a running workflow. What comes while the code
// does not wait for it is buffered, durably and in order. It is a constant value;
// name it in Define: a signal that no workflow type names is refused where it enters.
type Signal[T any] struct{ name string }

// NewSignal names a signal. Names are as those of tasks.
func NewSignal[T any](name string) Signal[T] { return Signal[T]{name: name} }

// Name is the signal's name.
func (s Signal[T]) Name() string { return s.name }

// Receive waits for the next signal and takes it. The error is a *CancelledError.
func (s Signal[T]) Receive(ctx Context) (T, error) {
	h := s.enter(ctx)
	for !h.HasSignal(s.name) {
		if err := ctx.vain(h); err != nil {
			var zero T
			return zero, err
		}
		h.Block(Awaited{Signal: s.name, Scope: ctx.scope})
	}
	v, _ := s.take(h)
	return v, nil
}

// ReceiveWhere waits for the next signal for which match holds, and takes it; others stay
// in the buffer. match looks at the payload, and at variables that do not change while
// it waits. The error is a *CancelledError.
func (s Signal[T]) ReceiveWhere(ctx Context, match func(v T) bool) (v T, err error) {
	h := s.enter(ctx)
	fits := func(payload []byte) bool {
		v = s.decode(h, payload)
		return match(v)
	}
	for {
		if _, ok := h.TakeSignalWhere(s.name, fits); ok {
			return v, nil
		}
		if err := ctx.vain(h); err != nil {
			var zero T
			return zero, err
		}
		h.Block(Awaited{Signal: s.name, Behind: h.LastSignal(s.name), Scope: ctx.scope})
	}
}

// TryReceive takes the next signal if there is one. It does not wait.
func (s Signal[T]) TryReceive(ctx Context) (T, bool) { return s.take(s.enter(ctx)) }

// ReceiveUntil waits for the next signal until t; false means that t came first, or
// that the scope was cancelled. A buffered signal is taken at once, also when t is in
// the past.
func (s Signal[T]) ReceiveUntil(ctx Context, t time.Time) (T, bool) {
	h := s.enter(ctx)
	if v, ok := s.take(h); ok {
		return v, true
	}
	var zero T
	if ctx.vain(h) != nil {
		return zero, false
	}
	timer := startTimer(h, ctx.scope, t)
	for timer.Closed == nil {
		h.Block(Awaited{Open: timer, Signal: s.name, Scope: ctx.scope})
		if timer.Closed == nil && h.HasSignal(s.name) {
			timer.cancel(h, nil)
			return s.take(h)
		}
	}
	return zero, false
}

func (s Signal[T]) enter(ctx Context) Host {
	h := ctx.enter()
	if ctx.def.signal(s.name) == nil {
		h.Stick("signal " + s.name + " is not among what Define was given for workflow type " + ctx.def.typ + ": add it there, or nobody can send it")
	}
	return h
}

// take consumes the oldest buffered signal. Payloads are checked where they enter,
// so one that does not fit came before the code's type was changed, or while the
// code was missing: the run waits for code that reads it.
func (s Signal[T]) take(h Host) (v T, ok bool) {
	payload, ok := h.TakeSignal(s.name)
	if !ok {
		return v, false
	}
	return s.decode(h, payload), true
}

func (s Signal[T]) decode(h Host, payload []byte) T {
	v, err := decode[T](payload, lenient)
	if err != nil {
		h.Stick("a buffered signal " + s.name + " does not fit its Go type: " + err.Error())
	}
	return v
}

// use declares the signal (see Use).
func (s Signal[T]) use(d *definition) {
	d.signals = append(d.signals, payloadUse{s.name, func(payload []byte) error {
		_, err := decode[T](payload, strict)
		return err
	}})
}
