package replay

import (
	"slices"

	"github.com/odradek/odradek/internal/coro"
	"github.com/odradek/odradek/workflow"
)

// threadsMax bounds the threads of a run: each has a goroutine of some kilobytes.
const threadsMax = 10_000

// thread is one coroutine of the run's code. The first one runs the function.
type thread struct {
	co    *coro.Coro
	waits workflow.Awaited
	fresh bool      // has not run yet
	seen  uint64    // host.moves when it parked
	at    []uintptr // where it waits, while that is noted
}

// Go starts a thread: it runs when those before it have waited.
func (h *host) Go(body func()) {
	h.changes("starts a thread")
	if len(h.threads) >= threadsMax {
		h.leave(stuckf(CodeTurnLimit, "the run has %d threads, more are not allowed: let some end before starting more%s", threadsMax, stack(coro.Callers())))
	}
	h.spawn(body)
}

func (h *host) spawn(body func()) {
	t := &thread{co: coro.New(body), fresh: true}
	t.co.Watch()
	h.threads = append(h.threads, t)
	l := h.live
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.more) == 0 {
		l.co.Watch()
	}
	l.more = append(l.more, t)
}

// run lets the threads run, in the order of their starts and again from the first,
// until none can go on or the function has returned.
func (l *Live) run() (coro.Exit, *thread) {
	h := &l.h
	for {
		moved := false
		for i := 0; i < len(h.threads); i++ { // a thread may start others
			t := h.threads[i]
			if !t.ready(h) {
				continue
			}
			exit := l.resume(t)
			moved = moved || !t.waits.Again || exit.How != coro.Parked
			switch {
			case exit.How != coro.Parked && exit.How != coro.Returned, h.stuck != nil, h.closed, l.co.Stopped():
				return exit, t
			case exit.How == coro.Returned:
				l.forget(t)
				h.threads = slices.Delete(h.threads, i, i+1)
				i--
			}
		}
		if !moved {
			return coro.Exit{}, nil
		}
	}
}

func (l *Live) resume(t *thread) coro.Exit {
	h := &l.h
	t.fresh = false
	t.waits = workflow.Awaited{}
	h.current.Store(t)
	exit := t.co.Resume(l.id.AfterSwitch)
	h.current.Store(nil)
	if !t.waits.Again {
		h.moves++
	}
	t.seen = h.moves
	return exit
}

// forget takes an ended thread out of what Drop leaves.
func (l *Live) forget(t *thread) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.more, t); i >= 0 {
		l.more = slices.Delete(l.more, i, i+1)
	}
}

// ready reports whether the thread may go on. It is asked without a switch.
func (t *thread) ready(h *host) bool {
	w := &t.waits
	switch {
	case t.fresh:
		return true
	case w.Open != nil && w.Open.Closed != nil,
		w.Signal != "" && h.LastSignal(w.Signal) > w.Behind,
		w.Scope.Cause() != nil,
		w.Any && t.seen != h.moves:
		return true
	}
	for _, o := range w.Opens {
		if o.Closed != nil {
			return true
		}
	}
	return slices.ContainsFunc(w.Signals, h.HasSignal)
}
