package machine

import (
	"encoding/binary"
	"math"
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
	last := s.Attempt(e.Task.No)
	waiting := last != nil && last.NextAt > 0 // the open attempt has not gone out: nobody can have failed it
	if waiting || e.Attempt != 0 && e.Attempt != open {
		return Received{Ignored: "attempt_not_open"}
	}
	failure := trim(e.Failure)
	attempts := []record.Attempt{{No: open, At: now, Failure: failure}}
	if last != nil {
		attempts = append(append([]record.Attempt{}, last.Last...), attempts...)
	}
	attempts = attempts[max(0, len(attempts)-attemptsKept):]
	if limit := task.Policy.MaxAttempts; !failure.Retryable || limit > 0 && open >= limit {
		return Received{Event: &record.HistoryTaskFailed{Task: task.No, Failure: failure, Attempts: attempts}}
	}
	pause := max(Backoff(task.Policy, e.Task, open), min(failure.RetryAfter, RetryAfterMax))
	return Received{Attempt: &record.AttemptRow{Task: task.No, Open: open + 1, NextAt: now.Add(pause), Last: attempts}}
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
// +-20 % of jitter, which is a hash of task and attempt, so that a step that is
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
	return min(time.Duration(pause*(0.8+0.4*unit)), limit)
}
