package workflow

import (
	"errors"
	"fmt"
	"strings"

	"github.com/odradek/odradek/record"
)

// Failure is the one shape of a failure, the same in a worker, in the history and
// here. A workflow that wants to fail with a code of its own returns one:
//
//	return sum, &workflow.Failure{Kind: workflow.FailureApplication, Code: "card_declined", Message: "..."}
type Failure = record.Failure

// Kinds of failures, as Failure.Kind has them.
const (
	FailureHTTP        = record.FailureHTTP
	FailureNetwork     = record.FailureNetwork
	FailureTimeout     = record.FailureTimeout
	FailureApplication = record.FailureApplication
	FailureBinding     = record.FailureBinding
	FailureCancelled   = record.FailureCancelled
	FailureEngine      = record.FailureEngine
)

// Codes of failures of kind engine that this package makes.
const (
	CodePayloadTooLarge = "payload_too_large" // above PayloadBytesMax
	CodeInputInvalid    = "input_invalid"     // cannot be encoded, or does not fit its Go type
	CodeResultInvalid   = "result_invalid"    // a task's result does not fit its Go type
)

// TaskError is what a task's Run and Get return when it failed for good: its
// failure is not retryable, or its retry policy is spent. errors.As finds it, and
// in it the *Failure.
type TaskError struct {
	Service   string
	Operation string
	Task      uint64           // number of the history event that scheduled it; 0: refused before
	Failure   Failure          // of the last attempt
	Attempts  []record.Attempt // the last ones, at most 10 (F6)
}

func newTaskError(t *record.TaskScheduled, no uint64, attempts []record.Attempt, f Failure) *TaskError {
	return &TaskError{Service: t.Service, Operation: t.Operation, Task: no, Failure: f, Attempts: attempts}
}

// Error names the task and its failure.
func (e *TaskError) Error() string {
	return "task " + e.Service + "/" + e.Operation + ": " + e.Failure.Error()
}

// Unwrap gives the *Failure.
func (e *TaskError) Unwrap() error { return &e.Failure }

// messageBytesMax bounds what a failed run keeps for people.
const messageBytesMax = 8 << 10

// failureOf is how a run fails whose code returned err: as the failure that err is
// or wraps, with the text of what wraps it; else as one of kind application.
func failureOf(err error) Failure {
	f := Failure{Kind: FailureApplication}
	own, ok := errors.AsType[*Failure](err)
	switch {
	case ok:
		f = *own
	case errors.Is(err, ErrCancelled):
		f.Kind = FailureCancelled
	case errors.Is(err, ErrTimeout):
		f.Kind, f.Code = FailureTimeout, "scope_timeout"
	}
	switch e := err.(type) { //nolint:errorlint // only err itself adds nothing to its failure
	case *Failure, *TaskError, *ChildError:
	case *CancelledError: // the kind says what it is
		f.Message = e.Reason
	default:
		f.Message = err.Error()
	}
	if len(f.Message) > messageBytesMax {
		f.Message = strings.ToValidUTF8(f.Message[:messageBytesMax], "")
	}
	if len(f.Problem) > record.ProblemBytesMax {
		f.Problem = nil
	}
	return f
}

// tooLarge is the failure of a payload above the limit (F5).
func tooLarge(what string, n int) Failure {
	return Failure{Kind: FailureEngine, Code: CodePayloadTooLarge,
		Message: fmt.Sprintf("%s has %d bytes as JSON, at most %d are allowed: pass a reference to it instead", what, n, PayloadBytesMax)}
}
