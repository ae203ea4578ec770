package record

import "time"

// HistoryEvent is one entry of a run's history. Numbers are dense from 1 and
// never used twice in a run (T3); the number of a decision's event is its ID.
type HistoryEvent struct {
	No   uint64
	At   Millis // time of the turn; set on every event
	Body HistoryBody
}

// HistoryBody is what a history event says. Bodies come in two sorts: inputs,
// each of which starts a turn, and decisions, which the turn's code asked for.
type HistoryBody interface {
	HistoryKind() HistoryKind
}

// HistoryKind numbers the bodies in bytes that last: never reuse or renumber (F3).
type HistoryKind uint8

// Inputs are below 64, decisions from 64 on.
const (
	KindRunStarted      HistoryKind = 1
	KindSignalReceived  HistoryKind = 2
	KindTaskCompleted   HistoryKind = 3
	KindTaskFailed      HistoryKind = 4
	KindTimerFired      HistoryKind = 5
	KindVersionPinned   HistoryKind = 6
	KindTaskScheduled   HistoryKind = 64
	KindTimerStarted    HistoryKind = 65
	KindTimerCancelled  HistoryKind = 66
	KindSignalConsumed  HistoryKind = 67
	KindRunCompleted    HistoryKind = 68
	KindRunFailed       HistoryKind = 69
	historyKindDecision HistoryKind = 64
)

// IsInput reports whether the event starts a turn.
func (k HistoryKind) IsInput() bool { return k < historyKindDecision }

// String is the kind's public name: the type of its CloudEvent and of the JSON
// history is "run_started" and so on.
func (k HistoryKind) String() string {
	switch k {
	case KindRunStarted:
		return "run_started"
	case KindSignalReceived:
		return "signal_received"
	case KindTaskCompleted:
		return "task_completed"
	case KindTaskFailed:
		return "task_failed"
	case KindTimerFired:
		return "timer_fired"
	case KindVersionPinned:
		return "version_pinned"
	case KindTaskScheduled:
		return "task_scheduled"
	case KindTimerStarted:
		return "timer_started"
	case KindTimerCancelled:
		return "timer_cancelled"
	case KindSignalConsumed:
		return "signal_consumed"
	case KindRunCompleted:
		return "run_completed"
	case KindRunFailed:
		return "run_failed"
	}
	return "unknown"
}

// RunStarted is always event 1.
type RunStarted struct {
	Type      string
	Version   uint32
	Input     []byte
	CommandID string
}

// SignalReceived is a signal that entered the run's buffer.
type SignalReceived struct {
	Name      string
	Payload   []byte
	CommandID string
}

// HistoryTaskCompleted closes a task with its result.
type HistoryTaskCompleted struct {
	Task     uint64 // number of its TaskScheduled
	Result   []byte
	Attempts []Attempt // the last failed ones before it, at most 10 (F6)
}

// HistoryTaskFailed closes a task for good: not retryable, or the policy is spent.
type HistoryTaskFailed struct {
	Task     uint64
	Failure  Failure
	Attempts []Attempt // at most 10, the last is Failure's
}

// TimerFired closes a timer.
type TimerFired struct {
	Timer uint64 // number of its TimerStarted
}

// VersionPinned notes with which version the first turn of a run was run that had
// been started without code (S3): it keeps that one. The code does not see it, and
// replay leaves it out.
type VersionPinned struct {
	Version uint32
}

// TaskScheduled opens a task: its record goes out in the same transaction.
type TaskScheduled struct {
	Service   string
	Operation string
	Input     []byte
	InputHash uint64 // of Input (C4)
	Policy    RetryPolicy
}

// TimerStarted opens a durable timer.
type TimerStarted struct {
	Due Millis
}

// TimerCancelled closes a timer that did not fire.
type TimerCancelled struct {
	Timer uint64
}

// SignalConsumed takes a signal out of the buffer.
type SignalConsumed struct {
	Signal uint64 // number of its SignalReceived
}

// RunCompleted closes the run with its result.
type RunCompleted struct {
	Result []byte
	Retain time.Duration // how long the chunks are kept (F4); fixed when the run closes
}

// RunFailed closes the run with the failure that its code returned.
type RunFailed struct {
	Failure Failure
	Retain  time.Duration // as in RunCompleted
}

// HistoryKind makes each a HistoryBody.
func (*RunStarted) HistoryKind() HistoryKind           { return KindRunStarted }
func (*SignalReceived) HistoryKind() HistoryKind       { return KindSignalReceived }
func (*HistoryTaskCompleted) HistoryKind() HistoryKind { return KindTaskCompleted }
func (*HistoryTaskFailed) HistoryKind() HistoryKind    { return KindTaskFailed }
func (*TimerFired) HistoryKind() HistoryKind           { return KindTimerFired }
func (*VersionPinned) HistoryKind() HistoryKind        { return KindVersionPinned }
func (*TaskScheduled) HistoryKind() HistoryKind        { return KindTaskScheduled }
func (*TimerStarted) HistoryKind() HistoryKind         { return KindTimerStarted }
func (*TimerCancelled) HistoryKind() HistoryKind       { return KindTimerCancelled }
func (*SignalConsumed) HistoryKind() HistoryKind       { return KindSignalConsumed }
func (*RunCompleted) HistoryKind() HistoryKind         { return KindRunCompleted }
func (*RunFailed) HistoryKind() HistoryKind            { return KindRunFailed }

// RetryPolicy says when a task is tried again after a retryable failure. The
// zero value is the built-in policy: 1 s, doubling up to 100 s, without end.
type RetryPolicy struct {
	Initial     time.Duration // first pause; 0: 1 s
	Max         time.Duration // longest pause; 0: 100 s
	Multiplier  float64       // 0: 2
	MaxAttempts uint32        // 0: without end
}

// IsZero reports whether p is the built-in policy.
func (p RetryPolicy) IsZero() bool { return p == RetryPolicy{} }
