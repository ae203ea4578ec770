package replay

import (
	"log/slog"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/internal/coro"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

// host is a Live seen by its code: workflow.Host. Its methods run on the coroutine.
type host struct {
	live   *Live
	logger *slog.Logger

	// Atomic, because wrong goroutines look too:
	current atomic.Pointer[thread]     // that runs; nil: none
	misuse  atomic.Pointer[StuckError] // first use of the Context from elsewhere
	silent  atomic.Bool                // history is being replayed

	// Owned by whoever runs: the caller of Turn, or the code.
	input      []byte // of the run; not nil once it has started
	startedAt  record.Millis
	open       []*workflow.Open // ascending by No
	boxes      []mailbox        // one per signal name that came
	carry      []byte           // of the run before; nil: none, or taken
	weight     int              // bytes of payloads in the history so far
	patches    map[string]bool  // answers to Patched
	queries    map[string]func(input []byte) ([]byte, error)
	updates    map[string]update // how they are carried out
	waiting    []waitingUpdate   // that nobody has said how to carry out yet
	unanswered int               // updates
	details    func() string
	exact      bool // another input is a divergence, whatever the type says
	trace      bool // note where threads wait
	asking     bool // outside of a turn: the code may ask for nothing
	root       workflow.Scope
	threads    []*thread // that have not ended, in the order of their starts
	first      thread
	inline     [1]*thread
	moves      uint64 // how often a thread was resumed
	stuck      *StuckError
	closed     bool // the code has ended

	// The turn:
	event     uint64 // number of its input (R2)
	now       record.Millis
	seeds     uint64
	next      uint64 // number of its first decision
	expect    []record.HistoryEvent
	replaying bool
	asked     int // decisions so far
	bytes     int
	vain      int
	decisions []record.HistoryBody // live only
}

// begin makes ready for a live turn.
func (h *host) begin(in record.HistoryEvent, next uint64) {
	h.turn(in)
	h.next, h.replaying, h.expect = next, false, nil
	h.silent.Store(false)
}

// beginReplay makes ready for a turn whose decisions are history.
func (h *host) beginReplay(in record.HistoryEvent, expect []record.HistoryEvent) {
	h.turn(in)
	h.replaying, h.expect = true, expect
	h.silent.Store(true)
}

func (h *host) turn(in record.HistoryEvent) {
	h.event, h.now, h.seeds = in.No, in.At, 0
	h.asked, h.bytes, h.vain, h.decisions = 0, 0, 0, nil
}

// deliver makes an input event visible to the code.
func (h *host) deliver(in record.HistoryEvent) *StuckError {
	h.weight += machine.PayloadBytes(in.Body)
	switch b := in.Body.(type) {
	case *record.RunStarted:
		if h.input != nil {
			return stuckf(CodeDivergence, "the history starts the run again with event %d", in.No)
		}
		h.input, h.startedAt, h.carry = append([]byte{}, b.Input...), in.At, b.Carry
		return nil
	case *record.SignalReceived:
		h.box(b.Name).put(signal{in.No, b.Payload})
		return nil
	case *record.HistoryTaskCompleted:
		return h.close(in, b.Task)
	case *record.HistoryTaskFailed:
		return h.close(in, b.Task)
	case *record.TimerFired:
		return h.close(in, b.Timer)
	case *record.ChildClosed:
		return h.close(in, b.Child)
	case *record.UpdateReceived:
		h.unanswered++
		h.update(waitingUpdate{in.No, b.Name, b.Payload})
		return nil
	case *record.CancelRequested:
		h.spawn(func() { h.root.Cancel(h, &workflow.CancelledError{Reason: b.Reason}) })
		return nil
	}
	return stuckf(CodeDivergence, "event %d (%s) is no input that this engine knows", in.No, in.Body.HistoryKind())
}

func (h *host) close(in record.HistoryEvent, no uint64) *StuckError {
	o := h.forget(no)
	if o == nil {
		return stuckf(CodeDivergence, "the history closes %d with event %d (%s), but nothing of that number is open", no, in.No, in.Body.HistoryKind())
	}
	if !closes(in.Body, o.Decision) {
		return stuckf(CodeDivergence, "the history closes %s, which the code asked for as %d, with event %d (%s)", describe(o.Decision), no, in.No, in.Body.HistoryKind())
	}
	if o.Closed == nil { // else the code has given it up
		o.Closed, o.ClosedAt, o.ClosedNo = in.Body, in.At, in.No
	}
	return nil
}

// closes reports whether an input event may close what the decision has opened.
func closes(in, d record.HistoryBody) bool {
	switch d.(type) {
	case *record.TimerStarted:
		return in.HistoryKind() == record.KindTimerFired
	case *record.ChildScheduled, *record.WorkflowAwaited, *record.ChildCarried:
		return in.HistoryKind() == record.KindChildClosed
	}
	return in.HistoryKind() == record.KindTaskCompleted || in.HistoryKind() == record.KindTaskFailed
}

// forget takes an open task or timer out.
func (h *host) forget(no uint64) *workflow.Open {
	i, ok := slices.BinarySearchFunc(h.open, no, func(o *workflow.Open, no uint64) int {
		switch {
		case o.No < no:
			return -1
		case o.No > no:
			return 1
		}
		return 0
	})
	if !ok {
		return nil
	}
	o := h.open[i]
	h.open = slices.Delete(h.open, i, i+1)
	return o
}

// Enter lets the run's own goroutine pass (A2). A dropped run's code leaves (C1).
func (h *host) Enter() {
	if h.live.co.Stopped() {
		runtime.Goexit()
	}
	if t := h.current.Load(); t == nil || !t.co.Inside() {
		h.misused()
	}
}

const misuse = "workflow: the Context of run %s of workflow %q was used from outside its run: from another goroutine, from another run, or after the run had closed. Workflow code starts no goroutine and keeps no Context; to do several things at once, start several tasks and get their futures"

// misused ends the goroutine that used a foreign Context. It may be anybody's: a
// panic there would end the process, so only a goroutine that runs workflow code
// panics, and any other one leaves after the run has been told.
func (h *host) misused() {
	e := stuckf(CodePanic, misuse, h.live.id.Run, h.live.id.WorkflowID)
	if coro.Within() {
		panic(e.Detail)
	}
	e.Detail += stack(coro.Callers())
	h.misuse.CompareAndSwap(nil, e)
	runtime.Goexit()
}

// Info names the run.
func (h *host) Info() workflow.RunInfo {
	id := &h.live.id
	return workflow.RunInfo{WorkflowID: id.WorkflowID, RunID: id.Run.String(), Type: id.Type, Version: id.Version, StartedAt: h.startedAt.Time()}
}

// Now is the time of the turn.
func (h *host) Now() record.Millis { return h.now }

// Seed counts within the turn, so that it needs no memory of earlier ones (R2).
func (h *host) Seed() (record.RunID, uint64, uint64) {
	h.seeds++
	return h.live.id.Run, h.event, h.seeds - 1
}

// Block gives control back until the next input.
func (h *host) Block(on workflow.Awaited) {
	h.changes("waits")
	t := h.current.Load()
	t.waits = on
	if h.trace {
		t.at = coro.Callers()
	}
	t.co.Await()
}

// Carry gives what the run before has carried over, once.
func (h *host) Carry() []byte {
	c := h.carry
	h.carry = nil
	return c
}

// Input is the run's input.
func (h *host) Input() []byte { return h.input }

// A history of so many events, or bytes of payloads, is long: a replay of it takes some
// milliseconds.
const (
	longEvents = 4000
	longBytes  = 2 << 20
)

// Long depends on what the history has alone, so that replay sees the same.
func (h *host) Long() bool {
	return h.event+uint64(h.asked) >= longEvents || h.weight >= longBytes
}

// Finish closes the run from within.
func (h *host) Finish(d record.HistoryBody) {
	h.decide(d)
	h.closed = true
	h.current.Load().co.Leave()
}

// Patched is true where the history says so, or has not come so far yet.
func (h *host) Patched(id string) bool {
	if took, known := h.patches[id]; known {
		return took
	}
	took := !h.replaying
	if h.replaying && h.asked < len(h.expect) {
		m, ok := h.expect[h.asked].Body.(*record.PatchMarked)
		took = ok && m.ID == id
	}
	if h.patches == nil {
		h.patches = map[string]bool{}
	}
	h.patches[id] = took
	if took {
		h.decide(&record.PatchMarked{ID: id})
	}
	return took
}

// Root is the run's root scope.
func (h *host) Root() *workflow.Scope { return &h.root }

// Event is the number of the turn's input.
func (h *host) Event() uint64 { return h.event }

// vainMax bounds the waits of one turn that end at once because of cancellation.
const vainMax = 1000

// Vain counts one of them.
func (h *host) Vain() {
	if h.vain++; h.vain > vainMax {
		h.leave(stuckf(CodeTurnLimit, "the code waited %d times in one turn in a cancelled scope, where every wait ends at once: leave the loop when a wait gives an error, or ask workflow.Err%s", vainMax, stack(coro.Callers())))
	}
}

// Opened is a copy of what is open.
func (h *host) Opened() []*workflow.Open { return slices.Clone(h.open) }

// Stick ends the turn with a mistake of the author's.
func (h *host) Stick(detail string) {
	h.leave(&StuckError{Code: CodePanic, Detail: detail + stack(coro.Callers())})
}

// leave gives control back for good. It is no panic, which an author could recover
// from.
func (h *host) leave(e *StuckError) {
	h.stuck = e
	h.current.Load().co.Leave()
}

// Decide records a decision.
func (h *host) Decide(d record.HistoryBody) { h.decide(d) }

// Open records a decision that an input event will close.
func (h *host) Open(d record.HistoryBody, s *workflow.Scope) *workflow.Open {
	o := &workflow.Open{No: h.decide(d), Decision: d, Scope: s}
	h.open = append(h.open, o)
	return o
}

// decide gives the decision its number: in replay that of the history (T3).
func (h *host) decide(d record.HistoryBody) uint64 {
	if h.asking { // the text is made only then
		h.changes("asks for " + d.HistoryKind().String())
	}
	switch c := d.(type) {
	case *record.TimerCancelled:
		h.forget(c.Timer)
	case *record.TaskCancelled:
		h.forget(c.Task)
	case *record.UpdateCompleted:
		h.unanswered--
	}
	h.asked++
	h.weight += machine.PayloadBytes(d)
	if h.replaying {
		return h.match(d)
	}
	if h.asked > machine.TurnDecisionsMax {
		h.leave(stuckf(CodeTurnLimit, "the turn asks for more than %d decisions: await some of them before asking for more%s", machine.TurnDecisionsMax, stack(coro.Callers())))
	}
	if h.bytes += bytesOf(d); h.bytes > machine.TurnBytesMax {
		h.leave(stuckf(CodeTurnLimit, "the payloads of the turn have more than %d bytes: await some tasks before starting more%s", machine.TurnBytesMax, stack(coro.Callers())))
	}
	h.decisions = append(h.decisions, d)
	return h.next + uint64(h.asked) - 1
}

// bytesOf is what a decision adds to the turn's payloads.
func bytesOf(d record.HistoryBody) int {
	switch d := d.(type) {
	case *record.TaskScheduled:
		return len(d.Input)
	case *record.RunCompleted:
		return len(d.Result)
	case *record.LocalScheduled:
		return len(d.Input)
	case *record.ChildScheduled:
		return len(d.Input)
	case *record.SignalSent:
		return len(d.Payload)
	case *record.UpdateCompleted:
		return len(d.Result)
	case *record.Published:
		return len(d.Key) + len(d.Payload)
	case *record.RunContinued:
		return len(d.Input) + len(d.Carry)
	}
	return 0
}
