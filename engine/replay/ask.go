package replay

import (
	"errors"

	"github.com/odradek/odradek/internal/coro"
	"github.com/odradek/odradek/workflow"
)

// ErrNoHandler is returned by Ask and Check for a name that the code has not said how to
// answer, or not yet.
var ErrNoHandler = errors.New("the run's code has no handler for it")

// update is how the code carries out updates of one name.
type update struct {
	validate func(payload []byte) error
	handle   func(no uint64, payload []byte)
}

type waitingUpdate struct {
	no      uint64 // of its UpdateReceived
	name    string
	payload []byte
}

// Ask lets the code answer a query, between two turns, or after the last one. It changes
// nothing (I3). The error is the code's own, ErrNoHandler, ErrDropped, or a *StuckError
// where the code asked for something, waited or panicked: the Live is then dropped.
func (l *Live) Ask(name string, input []byte) (out []byte, err error) {
	answer := l.h.queries[name]
	if answer == nil {
		return nil, ErrNoHandler
	}
	e := l.ask(func() { out, err = answer(input) })
	if e != nil {
		return nil, e
	}
	return out, err
}

// Check lets the code look at an update before it is history. The errors are Ask's.
func (l *Live) Check(name string, payload []byte) (err error) {
	u, ok := l.h.updates[name]
	if !ok {
		return ErrNoHandler
	}
	if e := l.ask(func() { err = u.validate(payload) }); e != nil {
		return e
	}
	return err
}

// ask runs fn in a thread of its own that may not change anything.
func (l *Live) ask(fn func()) error {
	h := &l.h
	if l.co.Stopped() || h.stuck != nil {
		return ErrDropped
	}
	t := &thread{co: coro.New(fn)}
	h.asking = true
	h.current.Store(t)
	exit := t.co.Resume(l.id.AfterSwitch)
	h.current.Store(nil)
	h.asking = false
	if exit.How == coro.Parked {
		t.co.Stop()
	}
	if err := h.verdict(exit); err != nil {
		return l.stick(err)
	}
	return nil
}

// changes refuses what the code may not do while it is asked.
func (h *host) changes(what string) {
	if h.asking {
		h.leave(stuckf(CodePanic, "the code of a query, or the check of an update, %s: it may only look at the run's variables%s", what, stack(coro.Callers())))
	}
}

// HandleQuery says how queries of a name are answered.
func (h *host) HandleQuery(name string, answer func(input []byte) ([]byte, error)) {
	h.changes("handles a query")
	if h.queries == nil {
		h.queries = map[string]func([]byte) ([]byte, error){}
	}
	h.queries[name] = answer
}

// HandleUpdate says how updates of a name are carried out, those that wait at once.
func (h *host) HandleUpdate(name string, validate func(payload []byte) error, handle func(no uint64, payload []byte)) {
	h.changes("handles an update")
	if h.updates == nil {
		h.updates = map[string]update{}
	}
	h.updates[name] = update{validate, handle}
	waiting := h.waiting
	h.waiting = nil
	for _, w := range waiting {
		h.update(w)
	}
}

// SetDetails says what the run's view shows.
func (h *host) SetDetails(details func() string) { h.details = details }

// OpenUpdates is how many updates are not answered.
func (h *host) OpenUpdates() int { return h.unanswered }

// update carries an update out in a thread of its own, or lets it wait.
func (h *host) update(w waitingUpdate) {
	u, ok := h.updates[w.name]
	if !ok {
		h.waiting = append(h.waiting, w)
		return
	}
	h.spawn(func() { u.handle(w.no, w.payload) })
}

var _ workflow.Host = (*host)(nil)
