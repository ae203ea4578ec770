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
	// Open records a decision that an input event will close.
	Open(d record.HistoryBody) *Open
	// Block returns when another input has been delivered. on is for people.
	Block(on Awaited)
	// TakeSignal takes the oldest buffered signal of that name out of the buffer and
	// records that.
	TakeSignal(name string) (payload []byte, ok bool)
	// HasSignal reports whether TakeSignal would give one.
	HasSignal(name string) bool
	// Stick makes the run stuck: its code has a mistake that no recover must hide.
	// It does not return.
	Stick(detail string)
	Logger() *slog.Logger
}

// Open is a task or a timer that waits to be closed.
type Open struct {
	No       uint64             // of its decision (T3)
	Decision record.HistoryBody // *record.TaskScheduled or *record.TimerStarted
	Closed   record.HistoryBody // nil while open: *HistoryTaskCompleted, *HistoryTaskFailed, *TimerFired
	ClosedAt record.Millis
}

// Awaited says what a parked run waits for.
type Awaited struct {
	Open   *Open  // a task or a timer; nil: none
	Signal string // empty: none
}

// RunInfo names a run.
type RunInfo struct {
	WorkflowID string // the caller's business key
	RunID      string
	Type       string
	Version    uint32
	StartedAt  time.Time // UTC
}
