package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/odradek/odradek/record"
)

// Codes of failures that the worker itself reports.
const (
	// CodeUnboundOperation (kind binding): no member of the group does the operation.
	// Retryable; spends no attempt.
	CodeUnboundOperation = "unbound_operation"
	// CodeKeyLimited (kind worker): too many tasks wait for the turns of their keys
	// (Service.PerKey). Retryable; spends no attempt.
	CodeKeyLimited = "key_limited"
	// CodeTaskOld (kind worker): the task's record is older than what Kafka keeps of
	// cancelled tasks, so that it may have been cancelled: the engine is asked by giving it
	// back, and sends it again if it is still wanted. Retryable; spends no attempt.
	CodeTaskOld = "task_old"
	// CodePartitionDraining (kind worker): the task stood in a partition that is not
	// active any more (W2). Retryable; spends no attempt.
	CodePartitionDraining = "partition_draining"
	// CodePanic (kind application): the handler panicked. Retryable.
	CodePanic = "panic"
	// CodeAttemptTimeout (kind timeout): the attempt's time was up. Retryable.
	CodeAttemptTimeout = "attempt_timeout"
	// CodePayloadTooLarge (kind engine): the result is above 512 KB. Not retryable.
	CodePayloadTooLarge = "payload_too_large"
	// CodeWorkerDied (kind quarantined): Config.StartsMax starts ended without a result.
	// The task stays open, and no attempt is made until an operator's retry.
	CodeWorkerDied = "worker_died"
	// CodeTaskUndecodable (kind worker): the task record cannot be read. Retryable.
	CodeTaskUndecodable = "task_undecodable"
)

// messageBytesMax bounds a failure's message: it is shown in lists and logs.
const messageBytesMax = 4 << 10

// NonRetryable marks err: the task fails for good and the workflow sees it.
func NonRetryable(err error) error {
	if err == nil {
		return nil
	}
	f := *Failure(err)
	f.Retryable, f.RetryAfter = false, 0
	return &marked{err, f}
}

// RetryAfter marks err: the next attempt is not made before d is over.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	f := *Failure(err)
	f.Retryable, f.RetryAfter = true, d
	return &marked{err, f}
}

// marked is an error with the failure that it becomes.
type marked struct {
	error
	failure record.Failure
}

func (m *marked) Unwrap() error { return m.error }

// Failure is what an error of a handler becomes: the *record.Failure in its chain
// if there is one, and otherwise a retryable failure of kind application with the
// error's text. Kind, message and problem document are cut to what a record may
// carry.
func Failure(err error) *record.Failure {
	var m *marked
	var f *record.Failure
	switch {
	case errors.As(err, &m):
		c := m.failure
		return bound(&c)
	case errors.As(err, &f) && f != nil:
		c := *f
		return bound(&c)
	}
	return bound(&record.Failure{Kind: record.FailureApplication, Message: err.Error(), Retryable: true})
}

// bound cuts a failure to its limits.
func bound(f *record.Failure) *record.Failure {
	if f.Kind == "" {
		f.Kind = record.FailureApplication
	}
	f.Code = cut(f.Code, 200)
	f.Message = cut(f.Message, messageBytesMax)
	if len(f.Problem) > record.ProblemBytesMax || len(f.Problem) > 0 && !json.Valid(f.Problem) {
		// A cut JSON document is not JSON: its beginning is kept as a JSON string. Quoting
		// may double a byte, or make six of a control character.
		text, _ := json.Marshal(cut(string(f.Problem), record.ProblemBytesMax/8))
		f.Problem = text
	}
	if f.RetryAfter < 0 || !f.Retryable {
		f.RetryAfter = 0
	}
	return f
}

// cut shortens s to n bytes of valid UTF-8 and says so.
func cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "�")
	if len(s) <= n {
		return s
	}
	const more = " ... (cut)"
	end := n - len(more)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + more
}

// failureOf is the failure of a call that returned err while ctx stood as it does.
func failureOf(ctx context.Context, err error, timeout time.Duration) *record.Failure {
	f := Failure(err)
	var own *record.Failure
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded) && !errors.As(err, &own) {
		f = bound(&record.Failure{
			Kind: record.FailureTimeout, Code: CodeAttemptTimeout, Retryable: true,
			Message: fmt.Sprintf("the attempt took longer than %s: %v", timeout, err),
		})
	}
	return f
}
