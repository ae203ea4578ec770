package record

import (
	"fmt"
	"strconv"
	"strings"
)

// Status of a run.
type Status uint8

// A run is Running until its closing event. Stuck is not a status of its own: a
// stuck run is running and has a StuckRow.
const (
	StatusNone Status = iota
	StatusRunning
	StatusCompleted
	StatusFailed
	StatusCancelled
	StatusTerminated
	StatusContinued // another run of the workflow goes on
)

// String is the status as the API shows it.
func (s Status) String() string {
	switch s {
	case StatusRunning:
		return "running"
	case StatusCompleted:
		return "completed"
	case StatusFailed:
		return "failed"
	case StatusCancelled:
		return "cancelled"
	case StatusTerminated:
		return "terminated"
	case StatusContinued:
		return "continued"
	}
	return "none"
}

// ParseStatus is the inverse of String; StatusNone for what it does not know.
func ParseStatus(s string) Status {
	for st := StatusRunning; st <= StatusContinued; st++ {
		if st.String() == s {
			return st
		}
	}
	return StatusNone
}

// Closed reports whether the run has ended.
func (s Status) Closed() bool { return s > StatusRunning }

// RunRow is derived from a run's chunks: what must be known of a run without its
// history. Payloads stay in the chunks.
type RunRow struct {
	WorkflowID   string
	Run          RunID
	Type         string
	Version      uint32
	Status       Status
	StartedAt    Millis
	ClosedAt     Millis // 0 while running
	UpdatedAt    Millis // time of the last turn
	Events       uint64 // number of the last history event
	Chunks       uint32 // number of the last chunk, from 1
	CloseEvent   uint64 // number of the closing event; 0 while running
	CloseChunk   uint32 // chunk that holds it
	DropAt       Millis // when the chunks are dropped; 0 while running
	OpenTasks    uint32
	OpenTimers   uint32
	OpenSignals  uint32 // buffered, not consumed
	OpenChildren uint32 // with awaited workflows
	OpenUpdates  uint32
	Parent       Parent // zero: none
	Previous     RunID  // the run that continued as this one; zero: none
	Build        string // of the binary that started it
	CancelAsked  bool   // a CancelRequested is in the history
	Awaited      bool   // an AwaitReceived is in the history
	Rewound      bool   // a RunRewound is in the history: some of its events do not count
	Paused       bool   // by an operator
}

// TaskRow is derived: an open task.
type TaskRow struct {
	No          uint64 // of its TaskScheduled or LocalScheduled
	Chunk       uint32 // chunk that holds it, for its input
	Service     string // empty: a local task
	Operation   string // of a local task: its name
	Policy      RetryPolicy
	Limits      TaskLimits
	LimitKey    string // of limits by key; empty: none
	ScheduledAt Millis
	// Again is the number of the RunRewound that opened the task again; 0: none did. What
	// was cancelled before is not cancelled then.
	Again uint64
	// Key is the number of the event with which an operator asked for another idempotency
	// key; 0: the key is the task's ID.
	Key uint64
}

// Local reports whether the task runs in the engine.
func (t *TaskRow) Local() bool { return t.Service == "" }

// ChildRow is derived: an open child, or a workflow that is awaited.
type ChildRow struct {
	No         uint64 // of its ChildScheduled or WorkflowAwaited
	WorkflowID string
	Type       string // empty: awaited only
	Close      ClosePolicy
	Run        RunID // of the child; zero: awaited only
	Asked      bool  // it was asked to end
	// From is what the child knows its parent by: this run and No, or, where the run
	// continued from the one that asked for the child, that one's.
	From TaskID
}

// UpdateRow is derived: an update that the code has not answered yet.
type UpdateRow struct {
	No        uint64 // of its UpdateReceived
	Chunk     uint32 // chunk that holds it, for its payload
	Name      string
	CommandID string
}

// TimerRow is derived: an open timer.
type TimerRow struct {
	No  uint64
	Due Millis
}

// SignalRow is derived: a signal received and not consumed.
type SignalRow struct {
	No    uint64
	Chunk uint32
	Name  string
}

// CommandRow is derived: which event a command ID became (I1).
type CommandRow struct {
	CommandID string
	Event     uint64
}

// AttemptRow travels and is overwritten: the open task's failed attempts.
type AttemptRow struct {
	Task   uint64
	Open   uint32 // number of the open attempt: the one whose failure counts (W1)
	NextAt Millis // when the open attempt goes out; 0: it is out
	Last   []Attempt
	Free   uint32 // attempts that the policy does not count
	// Of the open attempt:
	OutAt  Millis // when it went out; 0: with the task
	BeatAt Millis // its last sign of life; 0: it was not started, as far as is known
	// Pending: its record is done with (W4), and it is answered later: from outside, or, with
	// NextAt, by the worker that it is then sent to again.
	Pending bool
	// Sending counts how often it was sent out, from 1, with the one that waits for NextAt; 0
	// is the first.
	Sending uint32
	// Details are those of the last heartbeat, of whatever attempt, or what the last sending
	// left for the next.
	Details []byte
}

// SendingNo is Sending, from 1.
func (a *AttemptRow) SendingNo() uint32 { return max(a.Sending, 1) }

// Unsent reports whether the open attempt has not gone out yet: nobody can have failed it.
func (a *AttemptRow) Unsent() bool { return a.NextAt > 0 && !a.Pending }

// Quarantined reports whether the task waits for an operator's retry, because its attempts
// take workers down.
func (a *AttemptRow) Quarantined() bool {
	return a.NextAt == Never && !a.Pending && len(a.Last) > 0 && a.Last[len(a.Last)-1].Failure.Kind == FailureQuarantined
}

// StuckRow travels and is overwritten: why a run does not go on.
type StuckRow struct {
	Code      string // divergence, panic, hang, no_code, output, turn_limit ...
	Detail    string // for people; at most 8 KB
	Since     Millis
	Build     string // of the binary that noted it: another build tries again (S3)
	Tries     uint32 // how often it was tried again
	RetryAt   Millis // Never: only another build or an operator
	TurnOpen  bool   // the last input event's turn has not been run: only with RunStarted
	EventNext uint64 // number that the failed turn would have used; for people
}

// InboxRow travels: an input that waits outside the history while its run is
// stuck (T4). Exactly one of the fields is set.
type InboxRow struct {
	No        uint64 // ascending in order of arrival; from 1 again when the inbox was empty
	Signal    *Signal
	Cancel    *Cancel
	Completed *TaskCompleted
	Failed    *TaskFailed
	Update    *Update
	Report    *ChildReport
	Timer     uint64 // number of a timer that came due
}

// SummaryRow travels: what stays of a closed run when its chunks are dropped (F4).
type SummaryRow struct {
	RunRow              // counts are zero
	Input      uint64   // canonical hash of the start's input (I2)
	ExpireAt   Millis   // when the summary is dropped
	Result     []byte   // RunCompleted
	Failure    *Failure // RunFailed
	CommandIDs []string // of its commands
	Attributes []Attribute
}

// DeadLetterRow travels: a record that could not be processed.
type DeadLetterRow struct {
	Origin Origin
	Code   string // snake_case
	Reason string
	At     Millis
	Raw    Raw
}

// CodeGivenUp is the code of a dead letter that stands for a run which has failed at a task.
const CodeGivenUp = "given_up"

// ID is how people name a dead letter: topic, partition and offset.
func (d *DeadLetterRow) ID() string { return DeadLetterID(d.Origin) }

// DeadLetterID names the dead letter of a record.
func DeadLetterID(o Origin) string {
	return fmt.Sprintf("%s.%d.%d", o.Topic, o.Partition, o.Offset)
}

// ParseDeadLetterID is the inverse of DeadLetterID.
func ParseDeadLetterID(id string) (o Origin, err error) {
	parts := strings.Split(id, ".")
	bad := fmt.Errorf("%q is no dead letter's ID, such as commands.3.17: topic, partition and offset", id)
	if len(parts) != 3 {
		return o, bad
	}
	for t := TopicCommands; t <= TopicHistory; t++ {
		if t.String() == parts[0] {
			o.Topic = t
		}
	}
	p, err1 := strconv.ParseInt(parts[1], 10, 32)
	n, err2 := strconv.ParseInt(parts[2], 10, 64)
	if o.Topic == TopicNone || err1 != nil || err2 != nil || p < 0 {
		return Origin{}, bad
	}
	o.Partition, o.Offset = int32(p), n
	return o, nil
}

// TypeRow travels and is overwritten, one for each workflow type that an operator has
// paused: what was done to it in this partition.
type TypeRow struct {
	Type string
	Acts []TypeAct // the last TypeActsMax, oldest first; at least one
}

// TypeActsMax is how much is known of what was done to a type: repeats of later commands
// are told by their IDs.
const TypeActsMax = 16

// TypeAct is what an operator did to a workflow type.
type TypeAct struct {
	Op        Operation // OperatePause or OperateResume
	At        Millis
	CommandID string
	Reason    string // for people
	By        string // for people
}

// CodeTypePaused is the code of a StuckRow of a run whose type an operator has paused: it
// has found out when its code was to see something.
const CodeTypePaused = "type_paused"

// Paused is the pause that holds the type's runs; nil: they go on.
func (r *TypeRow) Paused() *TypeAct {
	if last := &r.Acts[len(r.Acts)-1]; last.Op == OperatePause {
		return last
	}
	return nil
}

// OwnershipRow travels, one per partition: the slots that it owns (S1).
type OwnershipRow struct {
	Version uint64      // of the table from which it came or that last moved a slot
	Owned   []SlotRange // ascending, disjoint
	Moved   []SlotMove  // ascending by slot
}

// SlotRange is the slots from First to Last, both included.
type SlotRange struct{ First, Last uint16 }

// SlotMove says where a slot went, and with which version of the table.
type SlotMove struct {
	Slot    uint16
	To      int32
	Version uint64
}

// Outcome of a command.
type Outcome uint8

// Outcomes. Everything from OutcomeConflict on is a rejection.
const (
	OutcomeNone         Outcome = iota
	OutcomeStarted              // a run was started
	OutcomeRepeated             // the run, or the signal, was there already
	OutcomeApplied              // the signal is in the run's buffer
	OutcomeConflict             // the workflow ID is in use with another input (409)
	OutcomeNotFound             // no such workflow (404)
	OutcomeClosed               // the run is closed (409)
	OutcomeInvalid              // the payload does not fit its type (422)
	OutcomeUnknownType          // Refuse is set for unknown types (422)
	OutcomeRefused              // the run's code refuses the update (422)
	OutcomeUnanswered           // the run's code cannot answer the query (409)
	OutcomeHistoryGone          // a query of a closed run whose history is dropped (410)
	OutcomeTaskClosed           // nobody waits for the task, or the attempt, any more (409)
	OutcomeNotOffered           // the run is not in a state for it (409)
	OutcomeNoDeadLetter         // there is no such dead letter (404)
)

// Rejected reports whether the command changed nothing because it was refused.
func (o Outcome) Rejected() bool { return o >= OutcomeConflict }

// String is the stable code of the outcome.
func (o Outcome) String() string {
	switch o {
	case OutcomeStarted:
		return "started"
	case OutcomeRepeated:
		return "repeated"
	case OutcomeApplied:
		return "applied"
	case OutcomeConflict:
		return "workflow_id_in_use"
	case OutcomeNotFound:
		return "workflow_not_found"
	case OutcomeClosed:
		return "workflow_closed"
	case OutcomeInvalid:
		return "payload_invalid"
	case OutcomeUnknownType:
		return "workflow_type_unknown"
	case OutcomeRefused:
		return "update_refused"
	case OutcomeUnanswered:
		return "query_unanswered"
	case OutcomeHistoryGone:
		return "history_gone"
	case OutcomeTaskClosed:
		return "task_closed"
	case OutcomeNotOffered:
		return "operation_not_offered"
	case OutcomeNoDeadLetter:
		return "dead_letter_not_found"
	}
	return "none"
}

// Row is one row as bytes, as codec makes it. A nil Value deletes.
type Row struct {
	Key, Value []byte
	// Travels: the row goes to the changelog as well as into the store. The others
	// are derived: takeover makes them again from those that travel.
	Travels bool
}

// DueKind says what comes due.
type DueKind uint8

// Kinds of entries in the due index. The numbers are part of keys: never renumber.
const (
	DueTimer     DueKind = 1 // a TimerRow
	DueRetry     DueKind = 2 // an AttemptRow whose open attempt waits
	DueStuck     DueKind = 3 // a StuckRow with RetryAt
	DueRetention DueKind = 4 // a closed run whose chunks are to be dropped (F4)
	DueSummary   DueKind = 5 // a SummaryRow that is to be dropped (F4)
	DueTotal     DueKind = 7 // an open task's total time limit
	DueAttempt   DueKind = 8 // the open attempt's limit: until it is started, or between signs of life
	DueLocal     DueKind = 6 // an open local task, at Never: a takeover carries it out again
)

// Due is one entry of the due index: derived, and ordered by At.
type Due struct {
	At         Millis
	Kind       DueKind
	WorkflowID string
	Run        RunID
	No         uint64 // timer or task number; 0 for the others
}

// Reply is the answer to a command; it leaves after settle and is never kept (I1).
type Reply struct {
	CommandID  string
	WorkflowID string
	Run        RunID
	Outcome    Outcome
	Detail     string // for people, with a rejection
}

// Answer is what a query gives.
type Answer struct {
	Run     RunID
	Outcome Outcome // OutcomeApplied, or a rejection
	Detail  string  // for people, with a rejection
	Result  []byte
	Failure *Failure // the error that the query's code has returned; nil: none
}
