package record

import (
	"encoding/json"
	"time"
)

// FailureKind says who failed. It is an open set of snake_case words; these are
// ours.
const (
	FailureHTTP        = "http"        // the API answered, and the answer is a failure
	FailureGRPC        = "grpc"        // the same of a gRPC API; http_status is the code's counterpart
	FailureNetwork     = "network"     // no answer: connection, TLS, DNS
	FailureTimeout     = "timeout"     // the attempt's time was up
	FailureApplication = "application" // workflow code or a Go handler returned an error
	FailureBinding     = "binding"     // the request could not be built, the answer not mapped
	FailureCancelled   = "cancelled"   // the run was asked to end, and its code did
	FailureWorker      = "worker"      // the worker could not read the record, or gave it back
	FailureQuarantined = "quarantined" // the task took its worker down, again and again: no attempt until an operator's retry
	FailureEngine      = "engine"      // a limit of the engine: payload too large ...
)

// ProblemBytesMax bounds Failure.Problem; longer ones are cut where they enter.
const ProblemBytesMax = 8 << 10

// Failure is the one shape of a failure: the HTTP binding's, a Go handler's,
// kcat's, the history's and what errors.As finds in workflow code.
type Failure struct {
	Kind       string          `json:"kind"`
	Code       string          `json:"code,omitempty"` // snake_case, the service's own
	Message    string          `json:"message,omitempty"`
	Retryable  bool            `json:"retryable"`
	RetryAfter time.Duration   `json:"-"` // 0: by the policy; as JSON retry_after_ms
	HTTPStatus int             `json:"http_status,omitempty"`
	Problem    json.RawMessage `json:"problem,omitempty"` // RFC 9457 document or other JSON, at most 8 KB
}

type failureJSON struct {
	failureAlias
	RetryAfterMS int64 `json:"retry_after_ms,omitempty"`
}

type failureAlias Failure

// MarshalJSON writes the shape that docs/protocol.md fixes.
func (f Failure) MarshalJSON() ([]byte, error) {
	return json.Marshal(failureJSON{failureAlias(f), f.RetryAfter.Milliseconds()})
}

// UnmarshalJSON reads the shape that docs/protocol.md fixes.
func (f *Failure) UnmarshalJSON(b []byte) error {
	var j failureJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*f = Failure(j.failureAlias)
	f.RetryAfter = time.Duration(j.RetryAfterMS) * time.Millisecond
	return nil
}

// Error makes a Failure usable as an error.
func (f *Failure) Error() string {
	s := f.Kind
	if f.Code != "" {
		s += " " + f.Code
	}
	if f.Message != "" {
		s += ": " + f.Message
	}
	return s
}

// Terminated is the failure that a terminated run shows.
func Terminated(reason string) Failure {
	return Failure{Kind: FailureCancelled, Code: "terminated", Message: reason}
}

// Attempt is one finished attempt of a task, as its history keeps it (F6).
type Attempt struct {
	No      uint32  `json:"attempt"`
	At      Millis  `json:"at"` // when the engine received its failure
	Failure Failure `json:"failure"`
}
