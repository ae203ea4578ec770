package replay

import (
	"errors"
	"log/slog"
	"sync"

	"github.com/odradek/odradek/internal/coro"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

// Identity names the run whose code runs.
type Identity struct {
	WorkflowID string
	Run        record.RunID
	Type       string
	Version    uint32
	// AfterSwitch is called right after each switch back from author code, before
	// anything is touched. An abandoned goroutine leaves there, by runtime.Goexit
	// (C3). nil: nothing.
	AfterSwitch func()
}

// Live is a run whose code is parked where it waits. Its methods are for one
// goroutine; Drop is for any.
type Live struct {
	// HashMismatches counts the decisions that Rebuild found to have another input
	// than the history's, by hash alone (C4).
	HashMismatches int

	id  Identity
	def workflow.Definition
	co  *coro.Coro // of the first thread
	h   host

	mu   sync.Mutex
	more []*thread // the other threads, for Drop; in the order of their starts
}

// New makes a Live whose code has not run yet: its first Turn is RunStarted's. A nil
// logger discards what the code logs.
func New(def workflow.Definition, id Identity, logger *slog.Logger) *Live {
	l := &Live{id: id, def: def}
	l.h.live, l.h.logger = l, logger
	l.co = coro.New(l.main)
	l.h.first = thread{co: l.co, fresh: true}
	l.h.threads = append(l.h.inline[:0], &l.h.first)
	return l
}

// main is the coroutine's body.
func (l *Live) main() {
	l.h.decide(l.def.Execute(&l.h, l.h.input))
	l.h.closed = true
}

// Drop leaves the code for good (C1). It returns at once: the author's defers run on
// a goroutine of their own, without effect. It may be called at any time, from any
// goroutine, and again.
func (l *Live) Drop() {
	l.mu.Lock()
	more := l.more
	l.more = nil
	l.mu.Unlock()
	if more == nil {
		l.co.Stop()
		return
	}
	l.co.Stop() // at once: it tells that the run is dropped
	all := append(make([]*coro.Coro, 0, 1+len(more)), l.co)
	for _, t := range more {
		all = append(all, t.co)
	}
	coro.StopInOrder(all) // the author's threads share variables
}

// Closed reports whether the code has ended: its closing decision was the last one.
func (l *Live) Closed() bool { return l.h.closed }

// ErrDropped is returned by Turn of a Live that was dropped, has closed, or was
// stuck: make another with Rebuild.
var ErrDropped = errors.New("the run's code is not live any more")
