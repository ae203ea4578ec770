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
	KindCancelRequested HistoryKind = 7
	KindChildClosed     HistoryKind = 8
	KindUpdateReceived  HistoryKind = 9
	KindRunTerminated   HistoryKind = 10
	KindAwaitReceived   HistoryKind = 11
	KindRunRewound      HistoryKind = 12
	KindOperatorActed   HistoryKind = 13

	KindTaskScheduled        HistoryKind = 64
	KindTimerStarted         HistoryKind = 65
	KindTimerCancelled       HistoryKind = 66
	KindSignalConsumed       HistoryKind = 67
	KindRunCompleted         HistoryKind = 68
	KindRunFailed            HistoryKind = 69
	KindTaskCancelled        HistoryKind = 70
	KindLocalScheduled       HistoryKind = 71
	KindChildScheduled       HistoryKind = 72
	KindChildCancelRequested HistoryKind = 73
	KindWorkflowAwaited      HistoryKind = 74
	KindSignalSent           HistoryKind = 75
	KindUpdateCompleted      HistoryKind = 76
	KindPatchMarked          HistoryKind = 77
	KindAttributesSet        HistoryKind = 78
	KindPublished            HistoryKind = 79
	KindRunCancelled         HistoryKind = 80
	KindRunContinued         HistoryKind = 81
	KindSignalCarried        HistoryKind = 82
	KindChildCarried         HistoryKind = 83
	historyKindDecision      HistoryKind = 64
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
	case KindCancelRequested:
		return "cancel_requested"
	case KindChildClosed:
		return "child_closed"
	case KindUpdateReceived:
		return "update_received"
	case KindRunTerminated:
		return "run_terminated"
	case KindTaskCancelled:
		return "task_cancelled"
	case KindLocalScheduled:
		return "local_scheduled"
	case KindChildScheduled:
		return "child_scheduled"
	case KindChildCancelRequested:
		return "child_cancel_requested"
	case KindWorkflowAwaited:
		return "workflow_awaited"
	case KindSignalSent:
		return "signal_sent"
	case KindUpdateCompleted:
		return "update_completed"
	case KindPatchMarked:
		return "patch_marked"
	case KindAttributesSet:
		return "attributes_set"
	case KindPublished:
		return "published"
	case KindRunCancelled:
		return "run_cancelled"
	case KindRunContinued:
		return "run_continued"
	case KindSignalCarried:
		return "signal_carried"
	case KindAwaitReceived:
		return "await_received"
	case KindChildCarried:
		return "child_carried"
	case KindRunRewound:
		return "run_rewound"
	case KindOperatorActed:
		return "operator_acted"
	}
	return "unknown"
}

// RunStarted is always event 1.
type RunStarted struct {
	Type      string
	Version   uint32
	Input     []byte
	CommandID string
	Build     string // of the binary that started it
	Parent    Parent // zero: none
	// With Previous, the run that continued as this one:
	Previous   RunID
	Carry      []byte // what it carried over beside the input; nil: nothing
	FirstInput uint64 // canonical hash of the input that the first of the runs was started with (I2)
}

// Parent names the history event of another run that started or awaits this one.
type Parent struct {
	WorkflowID string // empty: none
	Run        RunID
	Event      uint64 // of its ChildScheduled or WorkflowAwaited
}

// IsZero reports whether there is none.
func (p Parent) IsZero() bool { return p.WorkflowID == "" }

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
	Limits    TaskLimits
	// LimitKey is what the service's limits by key are counted by, and the task's
	// partition is its hash (W2); empty: none.
	LimitKey string
}

// LimitKeyBytesMax bounds a key of limits: it travels as a header and stands in memory.
const LimitKeyBytesMax = 200

// TaskLimits bound the time of a task; zero is no limit.
type TaskLimits struct {
	Queued    time.Duration // from an attempt's record to its start
	Attempt   time.Duration // of one attempt, enforced by the worker
	Total     time.Duration // of the task from its scheduling on, all attempts and pauses
	Heartbeat time.Duration // between two signs of life of an attempt
}

// IsZero reports whether nothing is limited.
func (l TaskLimits) IsZero() bool { return l == TaskLimits{} }

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

// CancelRequested asks the run's code to end: its root scope is cancelled.
type CancelRequested struct {
	CommandID string
	Reason    string // for people
	By        string // who asked; for people
}

// RunTerminated closes the run at once. Its code does not see it.
type RunTerminated struct {
	CommandID string
	Reason    string // for people
	By        string // who asked; for people
	Retain    time.Duration
}

// ChildClosed closes a ChildScheduled or a WorkflowAwaited. Exactly one of Result and
// Failure counts: Failure unless Status is StatusCompleted.
type ChildClosed struct {
	Child   uint64 // number of its ChildScheduled or WorkflowAwaited
	Run     RunID  // zero: there is no run, the start was refused or nothing was found
	Status  Status // of the other run; StatusNone: as Run's zero
	Result  []byte
	Failure Failure
}

// UpdateReceived is an update that was validated: the code answers it.
type UpdateReceived struct {
	Name      string
	Payload   []byte
	CommandID string // never empty
}

// AwaitReceived notes that another run waits for this workflow's close. The code does
// not see it, and replay leaves it out.
type AwaitReceived struct {
	Parent Parent // who waits
}

// RunRewound takes the run back to an earlier event, by an operator's retry or reset. The
// events between To and this one stand in the history and do not count any more; their
// numbers are not used again (T3). The code does not see it, and replay leaves it out
// together with them.
type RunRewound struct {
	To        uint64 // the last event that counts
	Reset     bool   // asked for by a reset; else by a retry
	CommandID string
	Reason    string // for people
	By        string // who asked; for people
	Open      Opened // as it was after To
}

// Opened is what is open in a run that was taken back.
type Opened struct {
	Tasks       []TaskRow
	Timers      []TimerRow
	Signals     []SignalRow
	Children    []ChildRow
	Updates     []UpdateRow
	Attributes  []Attribute
	CancelAsked bool
}

// Verb is what an operator does to a run.
type Verb uint8

// Verbs of OperatorActed. Never renumber.
const (
	VerbPause  Verb = 1 // inputs wait in the inbox (T4), attempts are not repeated
	VerbResume Verb = 2
	VerbRetry  Verb = 3 // of an open task, of all that wait for their next attempt, or of a stuck run
)

// String is the verb as the API shows it.
func (v Verb) String() string {
	switch v {
	case VerbPause:
		return "pause"
	case VerbResume:
		return "resume"
	case VerbRetry:
		return "retry"
	}
	return "unknown"
}

// OperatorActed notes what an operator did to an open run. The code does not see it, and
// replay leaves it out.
type OperatorActed struct {
	Verb      Verb
	Task      uint64 // with VerbRetry: only this one
	NewKey    bool   // with VerbRetry and Task: its next attempts have another idempotency key
	CommandID string
	Reason    string // for people
	By        string // who asked; for people
}

// TaskCancelled closes a task that nobody waits for any more.
type TaskCancelled struct {
	Task uint64
}

// LocalScheduled opens a task that runs in the engine, after the commit. It is closed
// as other tasks are.
type LocalScheduled struct {
	Name      string
	Input     []byte
	InputHash uint64 // of Input (C4)
	Policy    RetryPolicy
	Limits    TaskLimits // Attempt and Total
}

// ClosePolicy says what happens to an open child when its parent closes.
type ClosePolicy uint8

// Policies. The default is ChildTerminate.
const (
	ChildTerminate ClosePolicy = iota
	ChildCancel
	ChildAbandon
)

// String is the policy's name.
func (p ClosePolicy) String() string {
	switch p {
	case ChildTerminate:
		return "terminate"
	case ChildCancel:
		return "cancel"
	case ChildAbandon:
		return "abandon"
	}
	return "unknown"
}

// ChildScheduled starts another workflow, whose close closes it here. The child's run
// ID derives from this run and the event's number (S4).
type ChildScheduled struct {
	WorkflowID string
	Type       string
	Input      []byte
	InputHash  uint64 // of Input (C4)
	Close      ClosePolicy
}

// ChildCancelRequested asks an open child to end.
type ChildCancelRequested struct {
	Child  uint64
	Reason string
}

// WorkflowAwaited waits for the close of a workflow that was started elsewhere.
type WorkflowAwaited struct {
	WorkflowID string
}

// SignalSent gives a signal to another workflow.
type SignalSent struct {
	WorkflowID  string
	Name        string
	Payload     []byte
	PayloadHash uint64 // of Payload (C4)
}

// UpdateCompleted answers an update. Failure counts where it is not nil.
type UpdateCompleted struct {
	Update  uint64 // number of its UpdateReceived
	Result  []byte
	Failure *Failure
}

// PatchMarked notes that the code of the run took a patch.
type PatchMarked struct {
	ID string
}

// AttributesSet changes search attributes of the run. A value is JSON: a string,
// number, boolean or RFC 3339 time as its type says, or null to remove it.
type AttributesSet struct {
	Attributes []Attribute // ascending by name
}

// Attribute is one search attribute.
type Attribute struct {
	Name  string
	Type  AttributeType
	Value []byte // in the order-keeping form of its type; nil: removed
}

// PatchAttribute is the attribute, true, of a run whose code took the patch of that ID.
func PatchAttribute(id string) string { return PatchAttributePrefix + id }

// PatchAttributePrefix is what PatchAttribute begins with. No other attribute does.
const PatchAttributePrefix = "patch."

// AttributeType is the type of a search attribute's value.
type AttributeType uint8

// Types of attributes, and the order-keeping bytes of their values. Never renumber.
const (
	AttributeText  AttributeType = 1 // UTF-8
	AttributeInt   AttributeType = 2 // 8 bytes, big-endian, sign bit turned over
	AttributeFloat AttributeType = 3 // 8 bytes, ordered as the numbers are
	AttributeBool  AttributeType = 4 // 1 byte, 0 or 1
	AttributeTime  AttributeType = 5 // Millis, as AttributeInt
)

// Published produces a record to a topic that engine.Config names, in the transaction
// of its step.
type Published struct {
	Topic       string
	Key         []byte
	Payload     []byte
	PayloadHash uint64 // of Key and Payload (C4)
}

// SignalCarried is a signal that the run before this one had buffered and not consumed.
// It follows RunStarted, before the first turn's decisions: the code finds it in the
// buffer. It is no decision of the code's.
type SignalCarried struct {
	Name      string
	Payload   []byte
	CommandID string
}

// ChildCarried is a child that the run before this one had open. It stands where
// SignalCarried stands.
type ChildCarried struct {
	WorkflowID string
	Type       string
	Close      ClosePolicy
	Run        RunID  // of the child
	From       TaskID // the run and event that asked for it
}

// RunCancelled closes the run because it was asked to end and did.
type RunCancelled struct {
	Failure Failure
	Retain  time.Duration // as in RunCompleted
}

// RunContinued closes the run; another of the same workflow goes on in its place,
// with the same workflow ID, buffered signals and open children.
type RunContinued struct {
	Input     []byte
	InputHash uint64 // of Input and Carry (C4)
	Carry     []byte // given to the next run beside its input; nil: nothing
	Retain    time.Duration
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
func (*CancelRequested) HistoryKind() HistoryKind      { return KindCancelRequested }
func (*ChildClosed) HistoryKind() HistoryKind          { return KindChildClosed }
func (*UpdateReceived) HistoryKind() HistoryKind       { return KindUpdateReceived }
func (*RunTerminated) HistoryKind() HistoryKind        { return KindRunTerminated }
func (*TaskCancelled) HistoryKind() HistoryKind        { return KindTaskCancelled }
func (*LocalScheduled) HistoryKind() HistoryKind       { return KindLocalScheduled }
func (*ChildScheduled) HistoryKind() HistoryKind       { return KindChildScheduled }
func (*ChildCancelRequested) HistoryKind() HistoryKind { return KindChildCancelRequested }
func (*WorkflowAwaited) HistoryKind() HistoryKind      { return KindWorkflowAwaited }
func (*SignalSent) HistoryKind() HistoryKind           { return KindSignalSent }
func (*UpdateCompleted) HistoryKind() HistoryKind      { return KindUpdateCompleted }
func (*PatchMarked) HistoryKind() HistoryKind          { return KindPatchMarked }
func (*AttributesSet) HistoryKind() HistoryKind        { return KindAttributesSet }
func (*Published) HistoryKind() HistoryKind            { return KindPublished }
func (*RunCancelled) HistoryKind() HistoryKind         { return KindRunCancelled }
func (*SignalCarried) HistoryKind() HistoryKind        { return KindSignalCarried }
func (*RunContinued) HistoryKind() HistoryKind         { return KindRunContinued }
func (*AwaitReceived) HistoryKind() HistoryKind        { return KindAwaitReceived }
func (*ChildCarried) HistoryKind() HistoryKind         { return KindChildCarried }
func (*RunRewound) HistoryKind() HistoryKind           { return KindRunRewound }
func (*OperatorActed) HistoryKind() HistoryKind        { return KindOperatorActed }

// RetryPolicy says when a task is tried again after a retryable failure. The
// zero value is the built-in policy: 1 s, doubling up to 100 s, without end.
type RetryPolicy struct {
	Initial     time.Duration // first pause; 0: 1 s
	Max         time.Duration // longest pause; 0: 100 s
	Multiplier  float64       // 0: 2
	MaxAttempts uint32        // 0: without end
	Jitter      float64       // share of a pause by which it varies up or down; 0: 0.2; negative: none
	// NonRetryable are kinds or codes of failures that end the task at once, separated
	// by spaces.
	NonRetryable string
}

// IsZero reports whether p is the built-in policy.
func (p RetryPolicy) IsZero() bool { return p == RetryPolicy{} }
