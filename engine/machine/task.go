package machine

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/odradek/odradek/internal/fault"
	"github.com/odradek/odradek/record"
)

// The built-in retry policy, and the longest pause that an API's Retry-After gets.
const (
	RetryInitial    = time.Second
	RetryMax        = 100 * time.Second
	RetryMultiplier = 2
	RetryAfterMax   = time.Hour
)

// attemptsKept is how many attempts a task remembers (F6): enough to see a
// pattern, and at 8 KB of problem each far below the limit of a row.
const attemptsKept = 10

// ReceiveCompleted judges the event that an attempt succeeded: a success of any
// attempt closes the open task (W1).
func ReceiveCompleted(s *State, e *record.TaskCompleted) Received {
	again := fault.Off(fault.NoDedupe) && s != nil && e.Task.No <= s.Run.Events
	if why := taskIgnored(s, e.Task); why != "" && !(again && why == taskClosed) {
		return Received{Ignored: why}
	}
	body := &record.HistoryTaskCompleted{Task: e.Task.No, Result: e.Result}
	if a := s.Attempt(e.Task.No); a != nil {
		body.Attempts = a.Last
	}
	return Received{Event: body}
}

// ReceiveFailed judges the event that an attempt failed: it counts only for the
// open attempt (W1). A retryable failure within the policy opens the next one.
func ReceiveFailed(s *State, e *record.TaskFailed, now record.Millis) Received {
	if why := taskIgnored(s, e.Task); why != "" {
		return Received{Ignored: why}
	}
	task, open := s.Task(e.Task.No), s.OpenAttempt(e.Task.No)
	var last record.AttemptRow
	if a := s.Attempt(e.Task.No); a != nil {
		last = *a
	}
	if last.Unsent() || e.Attempt != 0 && e.Attempt != open || e.Sending != 0 && e.Sending != last.SendingNo() {
		return Received{Ignored: "attempt_not_open"}
	}
	failure := trim(e.Failure)
	attempts := append(append([]record.Attempt{}, last.Last...), record.Attempt{No: open, At: now, Failure: failure})
	attempts = attempts[max(0, len(attempts)-attemptsKept):]
	free := last.Free
	if uncounted(&failure) {
		free++
	}
	counted := open - free // of the policy's attempts, this one included
	if limit := task.Policy.MaxAttempts; !failure.Retryable || limit > 0 && counted >= limit || nonRetryable(task.Policy, &failure) {
		return Received{Event: &record.HistoryTaskFailed{Task: task.No, Failure: failure, Attempts: attempts}}
	}
	next := now.Add(max(Backoff(task.Policy, e.Task, max(counted, 1)), min(failure.RetryAfter, RetryAfterMax)))
	if failure.Kind == record.FailureQuarantined {
		next = record.Never // until an operator's retry
	}
	details := last.Details
	if e.Forget {
		details = nil
	}
	return Received{Attempt: &record.AttemptRow{
		Task: task.No, Open: open + 1, NextAt: next, Last: attempts, Free: free, Details: details,
	}}
}

// uncounted reports whether a failure is not the task's: nobody has tried it. The codes
// are the workers' (worker.CodeUnboundOperation, CodeKeyLimited, CodeTaskOld, CodePartitionDraining) and the engine's.
func uncounted(f *record.Failure) bool {
	if !f.Retryable {
		return false
	}
	switch f.Kind {
	case record.FailureQuarantined:
		return true
	case record.FailureBinding:
		return f.Code == "unbound_operation"
	case record.FailureWorker:
		return f.Code == "key_limited" || f.Code == "task_old" || f.Code == "partition_draining"
	case record.FailureEngine:
		return f.Code == "local_task_missing" || f.Code == CodeAttemptLost
	}
	return false
}

// nonRetryable reports whether the policy says that such a failure ends the task.
func nonRetryable(p record.RetryPolicy, f *record.Failure) bool {
	for word := range strings.FieldsSeq(p.NonRetryable) {
		if word == f.Kind || word == f.Code {
			return true
		}
	}
	return false
}

// DetailsBytesMax bounds the details of a heartbeat: they stand in a row, and in a header
// of the next attempt.
const DetailsBytesMax = 16 << 10

// AttemptWaits is why a sign of life changes nothing of an attempt that waits to be sent out
// again: the engine has it, and knows. Who sent it with a token hears that it is well.
const AttemptWaits = "attempt_waits"

// PollMax bounds the pause that a worker asks for before an attempt is sent out again.
const PollMax = 24 * time.Hour

// ReceiveBeat judges a sign of life of an attempt: only the open one counts. One that is
// pending and asks for it waits to be sent out again, as a retry does, but is the same
// attempt: the policy does not see it, the task's total time bounds it. While it waits no
// limit between signs of life runs, because the waiting is the engine's own.
func ReceiveBeat(s *State, e *record.TaskBeat, now record.Millis) Received {
	if why := taskIgnored(s, e.Task); why != "" {
		return Received{Ignored: why}
	}
	row := record.AttemptRow{Task: e.Task.No, Open: 1}
	if a := s.Attempt(e.Task.No); a != nil {
		row = *a
	}
	switch {
	case row.Unsent() || e.Attempt != 0 && e.Attempt != row.Open || e.Sending != 0 && e.Sending != row.SendingNo():
		return Received{Ignored: "attempt_not_open"}
	case row.NextAt > 0:
		return Received{Ignored: AttemptWaits}
	}
	if t := s.Task(e.Task.No); e.Started && t.Limits.Queued == 0 && t.Limits.Heartbeat == 0 {
		return Received{Ignored: "start_not_asked"}
	}
	row.BeatAt, row.Pending = now, row.Pending || e.Pending
	left := e.Reply && row.Sending > 0 // who has a token does not know what a sending has left for the next
	if e.Details != nil && len(e.Details) <= DetailsBytesMax && !left {
		row.Details = e.Details
	}
	if e.Pending && e.After > 0 {
		row.Sending = row.SendingNo() + 1 // a repeat of this answer is one of another sending
		row.NextAt = now.Add(min(e.After, PollMax))
	}
	return Received{Attempt: &row}
}

// CodeAttemptLost is the code of a failure of kind engine: the attempt's record is behind
// its group's commit, and no answer came before that (W4). The policy does not count it.
const CodeAttemptLost = "attempt_lost"

// ReceiveLost judges an attempt whose record its service's group has left behind, as the
// failure that it means; nil, and why: it is not lost (W4). Whoever asks has stepped every
// answer that was sent before the group committed.
func ReceiveLost(s *State, e *record.TaskLost) (lost *record.TaskFailed, why string) {
	if why := taskIgnored(s, e.Task); why != "" {
		return nil, why
	}
	t := s.Task(e.Task.No)
	a, out := record.AttemptRow{Open: 1}, t.ScheduledAt
	if row := s.Attempt(t.No); row != nil {
		a = *row
		if a.OutAt > 0 {
			out = a.OutAt
		}
	}
	switch {
	case t.Local() || a.NextAt > 0 || out > e.OutBy || e.Attempt != 0 && e.Attempt != a.Open:
		return nil, "attempt_not_open"
	case a.Pending:
		return nil, "attempt_pending"
	case a.BeatAt > 0 && t.Limits.Heartbeat > 0: // its limit tells when it has died
		return nil, "attempt_alive"
	}
	if s.AnswerWaits(e.Task) {
		return nil, AnswerWaits
	}
	return &record.TaskFailed{Task: e.Task, Attempt: a.Open, Failure: record.Failure{
		Kind: record.FailureEngine, Code: CodeAttemptLost, Retryable: true,
		Message: fmt.Sprintf("the group of service %s has committed an offset behind the attempt's record, or Kafka has deleted it, and no answer came: its worker commits before it answers, or offsets were reset", t.Service),
	}}, ""
}

// attemptDue is when the open attempt is given up unless it shows that it is alive; 0:
// never.
func (s *State) attemptDue(t *record.TaskRow) record.Millis {
	out, beat := t.ScheduledAt, record.Millis(0)
	if a := s.Attempt(t.No); a != nil {
		if a.NextAt > 0 {
			return 0
		}
		if a.OutAt > 0 {
			out = a.OutAt
		}
		beat = a.BeatAt
	}
	switch {
	case beat == 0 && t.Limits.Queued > 0:
		return out.Add(t.Limits.Queued)
	case beat > 0 && t.Limits.Heartbeat > 0:
		return beat.Add(t.Limits.Heartbeat)
	}
	return 0
}

// Codes of failures of kind timeout that the engine makes.
const (
	CodeTotalTimeout     = "total_timeout"     // the task took too long, all attempts together
	CodeQueuedTimeout    = "queued_timeout"    // no worker started the attempt in time
	CodeHeartbeatTimeout = "heartbeat_timeout" // the attempt showed no sign of life for too long
)

// ReceiveLimit judges a due limit of a task, as the failure that it means; nil: it is not
// due any more.
func ReceiveLimit(s *State, kind record.DueKind, no uint64, now record.Millis) *record.TaskFailed {
	t := s.Task(no)
	if t == nil || s.Run.Status.Closed() {
		return nil
	}
	f := record.Failure{Kind: record.FailureTimeout}
	switch {
	case kind == record.DueTotal:
		if t.Limits.Total == 0 || t.ScheduledAt.Add(t.Limits.Total) > now {
			return nil
		}
		f.Code, f.Message = CodeTotalTimeout, fmt.Sprintf("the task was not done within %v", t.Limits.Total)
	default:
		if at := s.attemptDue(t); at == 0 || at > now {
			return nil
		}
		f.Retryable, f.Code, f.Message = true, CodeQueuedTimeout, fmt.Sprintf("no worker started the attempt within %v", t.Limits.Queued)
		if a := s.Attempt(no); a != nil && a.BeatAt > 0 {
			f.Code, f.Message = CodeHeartbeatTimeout, fmt.Sprintf("the attempt showed no sign of life for %v", t.Limits.Heartbeat)
		}
	}
	return &record.TaskFailed{Task: record.TaskID{Run: s.Run.Run, No: no}, Failure: f}
}

// ReceiveExpired judges a task whose total time is over, whatever its open attempt does.
func ReceiveExpired(s *State, e *record.TaskFailed, now record.Millis) Received {
	if why := taskIgnored(s, e.Task); why != "" {
		return Received{Ignored: why}
	}
	attempts := []record.Attempt{}
	if a := s.Attempt(e.Task.No); a != nil {
		attempts = append(attempts, a.Last...)
	}
	return Received{Event: &record.HistoryTaskFailed{Task: e.Task.No, Failure: e.Failure, Attempts: attempts}}
}

// messageBytesMax bounds a failure's message: it is for people, and ten of them
// stand in a row.
const messageBytesMax = 2 << 10

// trim cuts a failure to what rows and histories keep (F6).
func trim(f record.Failure) record.Failure {
	f.Message = strings.ToValidUTF8(f.Message[:min(len(f.Message), messageBytesMax)], "")
	if len(f.Problem) > record.ProblemBytesMax {
		f.Problem = nil
	}
	return f
}

const taskClosed = "task_closed"

// AnswerWaits is why an answer does not count: another one came before it.
const AnswerWaits = "answer_waits"

// AnswerWaits reports whether the task's answer waits in the inbox, because the run is
// stuck or paused (T4): the task is open still, and what comes now comes second.
func (s *State) AnswerWaits(task record.TaskID) bool {
	return slices.ContainsFunc(s.Inbox, func(in record.InboxRow) bool {
		return in.Completed != nil && in.Completed.Task == task || in.Failed != nil && in.Failed.Task == task
	})
}

func taskIgnored(s *State, id record.TaskID) string {
	switch {
	case s == nil || s.Run.Run != id.Run:
		return "run_unknown"
	case s.Run.Status.Closed():
		return "run_closed"
	case s.Task(id.No) == nil:
		return taskClosed
	}
	return ""
}

// Backoff is the pause after the given failed attempt, from 1: exponential with
// +-20 % of jitter, or the policy's, which is a hash of task and attempt, so that a step that is
// repeated waits the same.
func Backoff(p record.RetryPolicy, task record.TaskID, attempt uint32) time.Duration {
	initial, limit, multiplier := RetryInitial, RetryMax, float64(RetryMultiplier)
	if p.Initial > 0 {
		initial = p.Initial
	}
	if p.Max > 0 {
		limit = p.Max
	}
	if p.Multiplier >= 1 {
		multiplier = p.Multiplier
	}
	pause := min(float64(initial)*math.Pow(multiplier, float64(attempt-1)), float64(limit))
	var b [28]byte
	copy(b[:], task.Run[:])
	binary.BigEndian.PutUint64(b[16:], task.No)
	binary.BigEndian.PutUint32(b[24:], attempt)
	unit := float64(xxhash.Sum64(b[:])>>11) / (1 << 53)
	jitter := 0.2
	if p.Jitter != 0 {
		jitter = max(p.Jitter, 0)
	}
	return min(time.Duration(pause*(1-jitter+2*jitter*unit)), limit)
}
