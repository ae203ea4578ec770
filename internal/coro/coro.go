package coro

import (
	"iter"
	"runtime"
	"sync/atomic"
)

// How says how a body gave control back.
type How uint8

// A body is Parked in Await, or has ended in one of three ways.
const (
	Parked   How = iota
	Returned     // it returned
	Panicked     // with Exit.Value
	Goexited     // it called runtime.Goexit
)

// Exit is how a body gave control back. Stack has the program counters of the
// body's frames, innermost first, where it panicked or called runtime.Goexit.
type Exit struct {
	How   How
	Value any
	Stack []uintptr
}

const (
	stateParked  uint32 = iota
	stateRunning        // between Resume's switch and the switch back
	stateEnded
	stateStopped
)

// Coro is one coroutine. Resume is for one goroutine at a time, Await for the
// body; Stop, Stopped and Inside are for any goroutine.
type Coro struct {
	body  func()
	state atomic.Uint32
	owner atomic.Uintptr // goroutine of the body; 0: it has none yet

	// Owned by whoever has moved state to running, or from parked to stopped:
	next      func() (struct{}, bool)
	stop      func()
	yield     func(struct{}) bool
	exit      Exit
	held      bool          // the body's Goexit is parked in a deferred call
	unwinding bool          // stop is under way: a Goexit is ours
	gone      chan struct{} // closed when the body has left its frames; nil: not watched
}

// New makes a parked coroutine of body. It costs no goroutine until the first
// Resume; from then on one, until the body ends or Stop is called.
func New(body func()) *Coro { return &Coro{body: body} }

// Resume runs the body until it parks or ends. Right after the switch back, and
// before anything is touched, it calls afterSwitch (nil: nothing), which may leave
// the goroutine for good: the coroutine is then stopped (C3).
//
// It panics if the coroutine runs, has ended or is stopped: the holder's mistake.
func (c *Coro) Resume(afterSwitch func()) Exit {
	if !c.state.CompareAndSwap(stateParked, stateRunning) {
		panic("coro: Resume of a coroutine that is not parked")
	}
	if c.next == nil {
		c.next, c.stop = iter.Pull(c.seq)
	}
	kept := false
	defer func() { c.put(kept) }()
	c.next()
	if afterSwitch != nil {
		afterSwitch()
	}
	kept = true
	return c.exit
}

// put gives the coroutine back after a switch. What nobody can resume any more is
// unwound.
func (c *Coro) put(kept bool) {
	state := stateParked
	if c.exit.How != Parked && !c.held {
		state = stateEnded
	}
	if !c.state.CompareAndSwap(stateRunning, state) { // stopped meanwhile
		c.unwind()
		return
	}
	if !kept || c.held {
		c.Stop()
	}
}

// Await parks the body until the next Resume. It must be called on the body's own
// goroutine: see Inside. On a stopped coroutine it does not return (K2).
func (c *Coro) Await() {
	if c.Stopped() || !c.yield(struct{}{}) {
		runtime.Goexit()
	}
}

// Leave parks the body for good: the next thing it sees is Stop.
func (c *Coro) Leave() {
	for {
		c.Await()
	}
}

// Stop leaves the body for good. It returns at once; the body's defers run on
// another goroutine, or, if the body runs at this moment, after it has switched
// back. Calling it again does nothing.
func (c *Coro) Stop() {
	if c.state.CompareAndSwap(stateParked, stateStopped) {
		c.unwind()
		return
	}
	c.state.CompareAndSwap(stateRunning, stateStopped) // Resume's goroutine unwinds it (K3)
}

// Watch makes the coroutine one of those that StopInOrder takes. It comes before the
// body ends or is stopped.
func (c *Coro) Watch() {
	if c.gone == nil {
		c.gone = make(chan struct{})
	}
}

// StopInOrder stops coroutines that are watched, each when the one before it has left
// its frames: bodies that share variables do not meet. It returns at once.
func StopInOrder(cs []*Coro) {
	go func() {
		for _, c := range cs {
			c.Stop()
			<-c.gone
		}
	}()
}

func (c *Coro) left() {
	if c.gone != nil {
		close(c.gone)
	}
}

// Stopped reports whether Stop was called before the body ended.
func (c *Coro) Stopped() bool { return c.state.Load() == stateStopped }

// Inside reports whether the caller is the body, running under Resume.
func (c *Coro) Inside() bool { return c.state.Load() == stateRunning && c.owner.Load() == goroutine() }

// unwind takes a switched-back body out of its frames.
func (c *Coro) unwind() {
	if c.stop == nil { // never resumed: no goroutine
		c.left()
		return
	}
	go func() {
		c.unwinding = true
		c.stop() // ends this goroutine by Goexit if the body was parked
	}()
}

// seq is the coroutine's first frame; Within looks for it. A Goexit of the body's
// would go on in whoever resumed us (K1): it is held in a deferred call, parked,
// until put stops the coroutine.
func (c *Coro) seq(yield func(struct{}) bool) {
	c.yield = yield
	c.owner.Store(goroutine())
	defer c.left()
	ended := false
	defer func() {
		if !ended && !c.unwinding {
			c.held = true
			yield(struct{}{})
		}
	}()
	c.call()
	ended = true
}

// call runs the body and notes how it ended. It returns unless a Goexit is under
// way, which can be so after a panic too: a deferred call of the Goexit panicked.
func (c *Coro) call() {
	returned := false
	defer func() {
		value := recover()
		switch {
		case returned:
			c.exit = Exit{How: Returned}
		case value != nil:
			c.exit = Exit{How: Panicked, Value: value, Stack: callers()}
		default:
			c.exit = Exit{How: Goexited, Stack: callers()}
		}
	}()
	c.body()
	returned = true
}
