package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/record"
)

// PayloadBytesMax bounds an input or a payload (F5).
const PayloadBytesMax = 512 << 10

// Client is a way to the engine: HTTP or Kafka. Its methods may be called from any
// goroutine.
type Client interface {
	// Start asks for a run of a workflow. A workflow ID that is known with the same
	// type and input gives the run that is there.
	Start(ctx context.Context, s StartRequest) (Run, error)
	// Signal gives a signal to the workflow's current run.
	Signal(ctx context.Context, s SignalRequest) error
	// Cancel asks the workflow's current run to end: its code sees the cancellation and
	// cleans up.
	Cancel(ctx context.Context, e EndRequest) error
	// Terminate closes the workflow's current run at once, without its code.
	Terminate(ctx context.Context, e EndRequest) error
	// Attach gives the handle of a workflow that somebody else started.
	Attach(ctx context.Context, workflowID string) (Run, error)
	// Close ends what runs in the background and waits for it. Waiting calls of Result
	// end with an error.
	Close()
}

// Run is the handle of a workflow's current run.
type Run interface {
	// WorkflowID is the workflow's ID.
	WorkflowID() string
	// Result waits until the run has closed. A run that failed is a Result with a
	// Failure and no error. The error wraps ctx's if ctx ends first. It may be called
	// again.
	Result(ctx context.Context) (Result, error)
}

// StartRequest asks for a run.
type StartRequest struct {
	WorkflowID string // 1 to 200 bytes of UTF-8 without control characters
	Type       string // workflow type
	Input      []byte // JSON, unless the type has another codec
	CommandID  string // visible ASCII of at most 200 bytes; empty: a new one
	// Reuse says when the ID of a known workflow may be used again. Default: never.
	Reuse record.ReusePolicy
	// At most one of these is given to the run in the same step, whether it is started
	// now or was open. Input and Payload are then JSON.
	Signal, Update string
	Payload        []byte
}

// SignalRequest gives a signal.
type SignalRequest struct {
	WorkflowID string
	Name       string
	Payload    []byte // JSON, unless the type has another codec
	CommandID  string // visible ASCII of at most 200 bytes; empty: a new one
}

// UpdateRequest lets a run do something and answer.
type UpdateRequest struct {
	WorkflowID string
	Name       string
	Payload    []byte // JSON, unless the type has another codec
	CommandID  string // visible ASCII of at most 200 bytes; empty: a new one
}

// QueryRequest asks a run.
type QueryRequest struct {
	WorkflowID string
	Name       string
	Input      []byte // JSON, unless the type has another codec
	Stale      bool   // see HTTP.Query
}

// EndRequest cancels or terminates.
type EndRequest struct {
	WorkflowID string
	RunID      string // empty: whatever run is current
	Reason     string // for people; at most 1 KB
	CommandID  string // visible ASCII of at most 200 bytes; empty: a new one
}

// Result is how a run ended.
type Result struct {
	WorkflowID string
	RunID      string
	Value      []byte          // of a completed run, as the workflow made it
	Failure    *record.Failure // of one that failed, was cancelled or terminated; nil: it completed
}

// Err is *FailedError if the run did not complete.
func (r Result) Err() error {
	if r.Failure == nil {
		return nil
	}
	return &FailedError{WorkflowID: r.WorkflowID, RunID: r.RunID, Failure: *r.Failure}
}

// Codes of an Error beside those of package api.
const (
	// CodeUnreachable: neither the engine nor Kafka answered. Whether a command was
	// written is unknown; the same one may be sent again.
	CodeUnreachable api.Code = "unreachable"
	// CodeClosed: the client was closed.
	CodeClosed api.Code = "client_closed"
	// CodeHistoryLost: the history topic no longer has what the reader was to read.
	CodeHistoryLost api.Code = "history_lost"
)

// Error is a request that was refused or not answered.
type Error struct {
	Code       api.Code
	Detail     string // for people
	Status     int    // of HTTP; 0: there was no answer
	Retryable  bool   // the same request may succeed later
	Size       int64  // with payload_too_large: bytes given
	Limit      int64  // with payload_too_large: bytes allowed
	KnownTypes []string
	cause      error
}

// Error is detail and code.
func (e *Error) Error() string {
	if e.Detail == "" {
		return string(e.Code)
	}
	return e.Detail + " (" + string(e.Code) + ")"
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.cause }

// Code finds the stable code of an error, "" if it has none.
func Code(err error) api.Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// FailedError is a run that failed. errors.As finds *record.Failure in it too.
type FailedError struct {
	WorkflowID string
	RunID      string
	Failure    record.Failure
}

// Error names the workflow and tells the failure.
func (e *FailedError) Error() string {
	return fmt.Sprintf("workflow %q failed: %v", e.WorkflowID, e.Failure.Error())
}

// Unwrap gives the failure.
func (e *FailedError) Unwrap() error { return &e.Failure }

// command checks what both ways send, and gives the command its ID (K1).
func command(workflowID, commandID string, payload []byte) (string, error) {
	if err := record.CheckWorkflowID(workflowID); err != nil {
		return "", &Error{Code: api.CodeWorkflowIDInvalid, Detail: err.Error(), cause: err}
	}
	if len(payload) > PayloadBytesMax {
		return "", &Error{
			Code: api.CodePayloadTooLarge, Size: int64(len(payload)), Limit: PayloadBytesMax,
			Detail: fmt.Sprintf("the payload has %d bytes, at most %d are allowed: store it elsewhere and send a reference", len(payload), PayloadBytesMax),
		}
	}
	if commandID == "" {
		return rand.Text(), nil
	}
	if len(commandID) > 200 {
		return "", &Error{Code: api.CodeRequestInvalid, Detail: fmt.Sprintf("the command ID has %d bytes, at most 200 are allowed", len(commandID))}
	}
	for i := range len(commandID) {
		if commandID[i] < 0x21 || commandID[i] > 0x7e {
			return "", &Error{Code: api.CodeRequestInvalid, Detail: fmt.Sprintf("the command ID %q is not visible ASCII", commandID)}
		}
	}
	return commandID, nil
}

// decodeResult makes a value of a result.
func decodeResult[Out any](r Result) (out Out, err error) {
	if err := r.Err(); err != nil {
		return out, err
	}
	if len(r.Value) == 0 { // nothing: the zero value
		return out, nil
	}
	if err := codec.DecodePayload(r.Value, &out); err != nil {
		return out, fmt.Errorf("the result of workflow %q is no %T: %w", r.WorkflowID, out, err)
	}
	return out, nil
}

// refused is the error of a command that became a dead letter.
func refused(code, reason string) *Error {
	e := &Error{Code: api.Code(code), Detail: reason}
	if p, ok := api.ProblemOf(e.Code); ok {
		e.Status = p.Status
	}
	return e
}
