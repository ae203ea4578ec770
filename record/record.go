package record

import "time"

// Topic is one of the topics that a partition reads or writes. The name of a
// topic is made in package topology.
type Topic uint8

// The topics. Commands, Events and Internal are inputs of a lane.
const (
	TopicNone Topic = iota
	TopicCommands
	TopicEvents
	TopicInternal
	TopicChangelog
	TopicTasks // with Output.Service
	TopicHistory
	TopicCancels
	TopicDeadLetters
	TopicControl
	TopicStatus
	TopicOwn // a topic of the user's; with Output.Service, its name
)

// String is the topic's name without namespace; TopicTasks is "tasks".
func (t Topic) String() string {
	switch t {
	case TopicCommands:
		return "commands"
	case TopicEvents:
		return "events"
	case TopicInternal:
		return "internal"
	case TopicChangelog:
		return "changelog"
	case TopicTasks:
		return "tasks"
	case TopicHistory:
		return "history"
	case TopicCancels:
		return "cancels"
	case TopicDeadLetters:
		return "dead-letters"
	case TopicControl:
		return "control"
	case TopicStatus:
		return "status"
	case TopicOwn:
		return "own"
	}
	return "none"
}

// Origin is where a record was read.
type Origin struct {
	Topic       Topic
	Partition   int32
	Offset      int64
	LeaderEpoch int32 // -1: unknown
	Timestamp   Millis
}

// Header is one header of a Kafka record. Keys may repeat.
type Header struct {
	Key   string
	Value []byte
}

// Raw is a record as it came, for a forward or a dead letter.
type Raw struct {
	Key, Value []byte
	Headers    []Header
}

// Record is one decoded record of commands, events or internal.
type Record struct {
	Origin     Origin
	WorkflowID string // the key; empty only with Undecodable
	Body       Body
	Raw        Raw
	Hops       int // how often it was forwarded (S1)
}

// Body is what a record says: *Start, *Signal, *Update, *Cancel, *Terminate, *Operate, *OperateType, *Redrive,
// *TaskCompleted, *TaskFailed, *TaskBeat, *Undecodable, or, between engines (S5), *ChildStart, *ChildStop,
// *ChildReport or *Await.
type Body interface{ body() }

// Start is the command that asks for a run.
type Start struct {
	CommandID string // empty: repeats are told by their input (I2)
	Type      string // workflow type
	Input     []byte
	Reuse     ReusePolicy
	Reply     bool // the sender waits for an answer: a rejection is answered, not a dead letter
	// At most one of these goes to the run in the same step, be it new or there already
	// and open. It has no command ID of its own.
	Signal *Signal
	Update *Update
}

// ReusePolicy says when a start may use the ID of a workflow that is known.
type ReusePolicy uint8

// Policies. A start that is not allowed, and is no repeat, is refused.
const (
	ReuseNever     ReusePolicy = iota // not before the closed run's summary is dropped (F4)
	ReuseFailed                       // when the last run has closed and did not complete
	ReuseClosed                       // when the last run has closed
	ReuseTerminate                    // always: a run that is open is terminated
)

// String is the policy as the API shows it.
func (p ReusePolicy) String() string {
	switch p {
	case ReuseNever:
		return "never"
	case ReuseFailed:
		return "failed"
	case ReuseClosed:
		return "closed"
	case ReuseTerminate:
		return "terminate"
	}
	return "unknown"
}

// ParseReusePolicy is the inverse of String; false for what it does not know.
func ParseReusePolicy(s string) (ReusePolicy, bool) {
	for p := ReuseNever; p <= ReuseTerminate; p++ {
		if p.String() == s {
			return p, true
		}
	}
	return ReuseNever, false
}

// Signal is the command that gives a signal to the workflow's current run.
type Signal struct {
	CommandID string // empty: every record is a signal of its own
	Name      string
	Payload   []byte
	Reply     bool
}

// Update is the command that asks the workflow's current run to do something and to
// answer. Code may refuse it before it is history.
type Update struct {
	CommandID string // never empty: its answer is found by it
	Name      string
	Payload   []byte
	Reply     bool
}

// Cancel is the command that asks the workflow's current run to end: its code sees the
// root scope cancelled.
type Cancel struct {
	CommandID string // empty: every record is a request of its own
	Run       RunID  // zero: whatever run is current
	Reason    string // for people
	By        string // who asks; for people
	Reply     bool
}

// Terminate is the command that closes the workflow's current run at once: its code sees
// nothing of it.
type Terminate struct {
	CommandID string
	Run       RunID  // zero: whatever run is current
	Reason    string // for people
	By        string // who asks; for people
	Reply     bool
}

// Operate is an operator's command to a run: retry, reset, pause or resume.
type Operate struct {
	Op        Operation
	CommandID string
	Run       RunID  // zero: whatever run is current
	Task      uint64 // of a retry: only this task; 0: what the run fails at
	NewKey    bool   // of a retry: the task's next attempts have another idempotency key
	To        uint64 // of a reset: the event that the run goes back to
	Reason    string // for people
	By        string // who asks; for people
	Reply     bool
}

// Operation of an Operate.
type Operation uint8

// Operations.
const (
	OperateRetry Operation = iota + 1
	OperateReset
	OperatePause
	OperateResume
)

// String is the operation's name, in the header od-cmd and in the API.
func (o Operation) String() string {
	switch o {
	case OperateRetry:
		return "retry"
	case OperateReset:
		return "reset"
	case OperatePause:
		return "pause"
	case OperateResume:
		return "resume"
	}
	return "unknown"
}

// ParseOperation is the inverse of String; false for what it does not know.
func ParseOperation(s string) (Operation, bool) {
	for o := OperateRetry; o <= OperateResume; o++ {
		if o.String() == s {
			return o, true
		}
	}
	return 0, false
}

// OperateType is an operator's command to a partition: the runs of a workflow type wait
// there, or go on. Each partition gets one of its own.
type OperateType struct {
	Op        Operation // OperatePause or OperateResume
	Type      string
	Partition int32 // to which it goes: only its sender needs it
	CommandID string
	Reason    string // for people
	By        string // who asks; for people
	Reply     bool
}

// Redrive is an operator's command to a partition about one of its dead letters: to take
// the record in once more, perhaps another one in its place, or to forget it.
type Redrive struct {
	Origin    Origin // topic, partition and offset of the dead letter
	Discard   bool
	Edited    *Raw // in place of the record; nil: as it was
	CommandID string
	Reason    string // for people
	By        string // who asks; for people
	Reply     bool
}

// TaskCompleted is the event that an attempt of a task succeeded.
type TaskCompleted struct {
	Task    TaskID
	Attempt uint32 // 0: unknown, taken as the open one
	Result  []byte
	// By a task token, from outside:
	CommandID string
	Reply     bool
}

// TaskFailed is the event that an attempt of a task failed.
type TaskFailed struct {
	Task    TaskID
	Attempt uint32 // 0: unknown, taken as the open one
	Sending uint32 // 0: unknown, as TaskBeat's
	Failure Failure
	Forget  bool // the next attempt gets no details
	// By a task token, from outside:
	CommandID string
	Reply     bool
}

// TaskBeat is the event that an attempt of a task is alive: it was started, goes on, or is
// pending: answered from outside, or asked about again when it is sent out once more.
type TaskBeat struct {
	Task    TaskID
	Attempt uint32 // 0: unknown, taken as the open one
	Sending uint32 // of the attempt, from 1: it is sent again after each After; 0: unknown, taken as the last
	Started bool
	Pending bool          // answered later: the record is done with (W4)
	After   time.Duration // with Pending: send the attempt again then; 0: somebody outside answers
	Details []byte        // for the next attempt or sending; nil: as they were
	// By a task token, from outside:
	CommandID string
	Reply     bool
}

// TaskLost comes from the lane itself: the record of an attempt lies behind its group's
// commit, and what was sent before that commit has been stepped (W4).
type TaskLost struct {
	Task    TaskID
	Attempt uint32 // 0: whichever is open
	OutBy   Millis // one that went out later is not meant
}

// ChildStart asks for the run of a child (S4). It comes from an engine, as the next ones.
type ChildStart struct {
	Parent Parent
	Run    RunID // of the child
	Type   string
	Input  []byte
}

// ChildStop asks the run that Parent has started, or the one that goes on for it, to end.
type ChildStop struct {
	Parent    Parent
	Terminate bool // at once
	Reason    string
}

// ChildReport tells a run how a child of it, or a workflow that it awaits, has closed, or
// why there is none.
type ChildReport struct {
	Parent  Parent // the run, and the event that asked
	Run     RunID  // that has closed; zero: there is none
	Status  Status // StatusNone: as Run's zero
	Result  []byte
	Failure Failure // unless Status is StatusCompleted
}

// Await asks for a ChildReport when the workflow closes.
type Await struct {
	Parent Parent // who asks
}

// Undecodable is a record that says nothing that we understand. It becomes a
// dead letter with its bytes.
type Undecodable struct {
	Code   string // snake_case, a label of metrics
	Reason string // for people: what, where, how to fix
}

func (*Start) body()         {}
func (*Signal) body()        {}
func (*Update) body()        {}
func (*Cancel) body()        {}
func (*Terminate) body()     {}
func (*Operate) body()       {}
func (*OperateType) body()   {}
func (*Redrive) body()       {}
func (*TaskCompleted) body() {}
func (*TaskFailed) body()    {}
func (*TaskBeat) body()      {}
func (*TaskLost) body()      {}
func (*ChildStart) body()    {}
func (*ChildStop) body()     {}
func (*ChildReport) body()   {}
func (*Await) body()         {}
func (*Undecodable) body()   {}

// Output is a record that a step wants written in its transaction.
type Output struct {
	Topic     Topic
	Service   string // with TopicTasks; with TopicOwn the topic's name
	Partition int32
	Key       []byte
	Value     []byte
	Headers   []Header
	Run       RunID // whose output it is: an undeliverable output hurts this run only (P5)
	// WorkflowID of Run.
	WorkflowID string
	// With TopicTasks, which sending of which attempt of which task of Run it is (W4).
	Task    uint64
	Attempt uint32
	Sending uint32
}

// Position is where a reader of one partition goes on.
type Position struct {
	Offset      int64 // of the next record
	LeaderEpoch int32 // of the last one read; -1: none (P6)
}

// Positions is the position row of a lane: the last row of every batch.
type Positions struct {
	Commands, Events, Internal Position
	Now                        Millis // time of the batch: now never goes back (T2)
}

// Checkpoint says which prefix of Kafka the rows of a store are: the inputs that
// they cover and the changelog up to which they were folded.
type Checkpoint struct {
	Inputs    Positions
	Changelog Position
	At        Millis // when it was written, by the owner's clock
}
