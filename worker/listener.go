package worker

import "time"

// Listener is told what happens in a worker; nil functions are left out. They are
// called from many goroutines and must return at once.
type Listener struct {
	CallEnded     func(CallEnded)
	CommitEnded   func(CommitEnded)
	RecordSkipped func(RecordSkipped)
	Beat          func(loop string) // a loop ticks, at least every 10 s, whatever Kafka and the APIs do
	End           func(loop string) // a loop has ended as it should
}

// Outcome of a call, as a label of metrics.
type Outcome string

// Outcomes.
const (
	OutcomeCompleted Outcome = "completed"
	OutcomeRetry     Outcome = "retry"     // failed, retryable
	OutcomeFailed    Outcome = "failed"    // failed for good
	OutcomeCutOff    Outcome = "cut_off"   // given up to the next holder; nothing reported
	OutcomePending   Outcome = "pending"   // somebody else completes the task
	OutcomeCancelled Outcome = "cancelled" // skipped or aborted: nobody waits for it any more (W6)
)

// CallEnded says how one attempt ended.
type CallEnded struct {
	Service, Operation string
	Outcome            Outcome
	Kind, Code         string // of the failure
	Duration           time.Duration
}

// CommitEnded says how a commit ended.
type CommitEnded struct {
	Service    string
	Partitions int
	Duration   time.Duration
	Err        error // nil: it is there
}

// Reasons why a record was not started.
const (
	SkipFinished    = "finished"    // a former holder finished it (W3)
	SkipRepeated    = "repeated"    // delivered again by the client
	SkipUndecodable = "undecodable" // it names no task: it is reported for the dead letters
)

// RecordSkipped says that a record was passed over.
type RecordSkipped struct {
	Service   string
	Partition int32
	Offset    int64
	Reason    string
}

func (l *Listener) callEnded(e CallEnded) {
	if l.CallEnded != nil {
		l.CallEnded(e)
	}
}

func (l *Listener) commitEnded(e CommitEnded) {
	if l.CommitEnded != nil {
		l.CommitEnded(e)
	}
}

func (l *Listener) recordSkipped(e RecordSkipped) {
	if l.RecordSkipped != nil {
		l.RecordSkipped(e)
	}
}

func (l *Listener) beat(loop string) {
	if l.Beat != nil {
		l.Beat(loop)
	}
}

func (l *Listener) end(loop string) {
	if l.End != nil {
		l.End(loop)
	}
}
