package workflow

import (
	"log/slog"
	"time"

	"github.com/odradek/odradek/record"
)

// Host runs a run's code: package engine/replay is it. It is declared here because
// Context is its only user. All methods are for the run's own goroutine, and may
// leave it for good where the run is not to go on.
type Host interface {
	// Enter comes before everything else: it returns only where the Context may be
	// used (A2, C1).
	Enter()
	Info() RunInfo
	// Now is the time of the turn (T1).
	Now() record.Millis
	// Seed names this moment: the turn's input event, and how often Seed was called
	// in this turn before.
	Seed() (run record.RunID, event, count uint64)
	// Decide records a decision that nothing closes.
	Decide(d record.HistoryBody)
	// Open records a decision of a scope that an input event will close.
	Open(d record.HistoryBody, s *Scope) *Open
	// Opened is what is open, ascending by number: a copy.
	Opened() []*Open
	// Block returns when something of what is awaited may be there.
	Block(on Awaited)
	// Go starts a thread.
	Go(body func())
	// Carry is what the run before this one has carried over; nil: nothing, or it was
	// asked for before.
	Carry() []byte
	// Input is the run's input.
	Input() []byte
	// Long reports whether the history is so long that the run is to continue as new.
	Long() bool
	// Finish closes the run with a decision. It does not return.
	Finish(d record.HistoryBody)
	// Patched reports whether the run takes a patch, and records that it does.
	Patched(id string) bool
	// Root is the run's root scope.
	Root() *Scope
	// Event is the number of the turn's input event.
	Event() uint64
	// Vain counts a wait that ended at once because its scope is cancelled: too many in
	// one turn make the run stuck.
	Vain()
	// TakeSignal takes the oldest buffered signal of that name out of the buffer and
	// records that.
	TakeSignal(name string) (payload []byte, ok bool)
	// TakeSignalWhere is TakeSignal for the oldest one that fits.
	TakeSignalWhere(name string, fits func(payload []byte) bool) (payload []byte, ok bool)
	// LastSignal is the number of the newest buffered signal of that name; 0: none.
	LastSignal(name string) uint64
	// HasSignal reports whether TakeSignal would give one.
	HasSignal(name string) bool
	// SetDetails says what the run's view shows; details is called when somebody looks.
	SetDetails(details func() string)
	// HandleQuery says how the run answers a query.
	HandleQuery(name string, answer func(input []byte) ([]byte, error))
	// HandleUpdate says how the run checks and carries out an update; handle completes it.
	HandleUpdate(name string, validate func(payload []byte) error, handle func(no uint64, payload []byte))
	// OpenUpdates is how many updates came and are not completed.
	OpenUpdates() int
	// Stick makes the run stuck: its code has a mistake that no recover must hide.
	// It does not return.
	Stick(detail string)
	Logger() *slog.Logger
}

// Open is what waits to be closed: a task, a timer, a child.
type Open struct {
	No       uint64             // of its decision (T3)
	Decision record.HistoryBody // *record.TaskScheduled, *record.TimerStarted ...; nil: a thread
	Scope    *Scope             // nil: none, and out of reach of cancellation
	Closed   record.HistoryBody // nil while open; what closed it: an input event, or the decision that cancelled it
	ClosedAt record.Millis
	ClosedNo uint64 // number of the input event of the turn in which it was closed
}

// returned closes an Open that stands for a thread.
var returned record.HistoryBody = &record.RunCompleted{}

// Awaited says what a parked thread waits for: one of these.
type Awaited struct {
	Open    *Open    // it alone
	Signal  string   // a signal of this name
	Behind  uint64   // with Signal: one with a greater number
	Opens   []*Open  // any of them
	Signals []string // a signal of any of these names
	Scope   *Scope   // the scope's cancellation; nil: it is not looked at
	Any     bool     // whatever another thread does
	Again   bool     // with Any: the last wake was in vain, so that nobody need look because of it
}

// RunInfo names a run.
type RunInfo struct {
	WorkflowID string // the caller's business key
	RunID      string
	Type       string
	Version    uint32
	StartedAt  time.Time // UTC
}
