package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/record"
)

// Code is the stable code of a problem: the same in API, CLI, logs and metrics.
type Code string

// The codes. Problems lists what they mean.
const (
	CodeRequestInvalid       Code = "request_invalid"
	CodeUnauthenticated      Code = "unauthenticated"
	CodeForbidden            Code = "forbidden"
	CodeRouteNotFound        Code = "route_not_found"
	CodeMethodNotAllowed     Code = "method_not_allowed"
	CodeWorkflowNotFound     Code = "workflow_not_found"
	CodeWorkflowIDInvalid    Code = "workflow_id_invalid"
	CodeWorkflowIDInUse      Code = "workflow_id_in_use"
	CodeWorkflowClosed       Code = "workflow_closed"
	CodeWorkflowTypeUnknown  Code = "workflow_type_unknown"
	CodePayloadInvalid       Code = "payload_invalid"
	CodePayloadTooLarge      Code = "payload_too_large"
	CodeHistoryGone          Code = "history_gone"
	CodeNotOwner             Code = "not_owner"
	CodeInternal             Code = "internal"
	CodeUnavailable          Code = "unavailable"
	CodePartitionUnavailable Code = "partition_unavailable"
	CodeOutcomeUnknown       Code = "outcome_unknown"
)

// problemsPage is where codes are explained, one heading each.
const problemsPage = "https://github.com/odradek/odradek/blob/main/docs/problems.md#"

// ProblemType says what a code means, for everybody who shows it.
type ProblemType struct {
	Code      Code
	Status    int
	Retryable bool // the same request may succeed later
	Title     string
	Fix       string // what to do about it
}

// Problems are all problem types, in the order in which docs/problems.md has them.
func Problems() []ProblemType {
	return []ProblemType{
		{CodeRequestInvalid, http.StatusBadRequest, false, "The request is not valid", "The detail names the parameter and what it may be."},
		{CodeUnauthenticated, http.StatusUnauthorized, false, "No valid token", "Send `Authorization: Bearer TOKEN` with a token that the engine's configuration has."},
		{CodeForbidden, http.StatusForbidden, false, "The token's role does not allow this", "Use a token with the role that the detail names."},
		{CodeRouteNotFound, http.StatusNotFound, false, "No such path", "The paths are those of openapi.yaml; parts of a path are percent-encoded."},
		{CodeMethodNotAllowed, http.StatusMethodNotAllowed, false, "The path does not have this method", "The header Allow names the methods."},
		{CodeWorkflowNotFound, http.StatusNotFound, false, "No such workflow", "Check the ID. A closed workflow is forgotten when the retention of its summary is over."},
		{CodeWorkflowIDInvalid, http.StatusUnprocessableEntity, false, "The workflow ID is not valid", "An ID is 1 to 200 bytes of UTF-8 without control characters."},
		{CodeWorkflowIDInUse, http.StatusConflict, false, "The workflow ID is in use with another input", "Choose another ID, or send the same type and input to get that run."},
		{CodeWorkflowClosed, http.StatusConflict, false, "The workflow is closed", "A closed run takes no more signals."},
		{CodeWorkflowTypeUnknown, http.StatusUnprocessableEntity, false, "The workflow type is not known", "`known_types` lists the types that are compiled into this engine."},
		{CodePayloadInvalid, http.StatusUnprocessableEntity, false, "The payload does not fit its type", "The detail names the field."},
		{CodePayloadTooLarge, http.StatusRequestEntityTooLarge, false, "The payload is too large", "Store it elsewhere and send a reference; `size` and `limit` are in bytes."},
		{CodeHistoryGone, http.StatusGone, false, "The history is dropped", "The result is still there; the topic `<ns>.history` may have the history."},
		{CodeNotOwner, http.StatusMisdirectedRequest, true, "This instance does not own the workflow", "Only instances see this: they ask the owner."},
		{CodeInternal, http.StatusInternalServerError, true, "A fault of the engine", "Report it with the instance's log."},
		{CodeUnavailable, http.StatusServiceUnavailable, true, "The engine cannot do this now", "Ask again; the instance's log has the reason."},
		{CodePartitionUnavailable, http.StatusServiceUnavailable, true, "No instance owns the workflow's partition now", "Ask again: ownership moves when instances come and go. If it lasts, look at /status."},
		{CodeOutcomeUnknown, http.StatusGatewayTimeout, true, "Nobody knows yet whether the command was applied", "Send the same request again, with the same Idempotency-Key if it had one: it is applied once."},
	}
}

func problemType(code Code) ProblemType {
	for _, p := range Problems() {
		if p.Code == code {
			return p
		}
	}
	panic("httpapi: the problem code " + string(code) + " is not in the table")
}

// problemError is an answer that is a problem.
type problemError struct{ api.Problem }

func (e *problemError) Error() string { return e.Code + ": " + e.Detail }

func problem(code Code, format string, args ...any) *problemError {
	t := problemType(code)
	return &problemError{api.Problem{
		Type: problemsPage + string(code), Title: t.Title, Status: t.Status, Code: string(code),
		Retryable: t.Retryable, Detail: fmt.Sprintf(format, args...),
	}}
}

// rejection is the problem of a command that was refused.
func rejection(r record.Reply) *problemError {
	return problem(Code(r.Outcome.String()), "%s", r.Detail)
}

// asProblem makes a problem of whatever went wrong. what is logged by the caller
// if the problem is the engine's fault.
func asProblem(err error, workflowID string) *problemError {
	var p *problemError
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, ErrNotFound):
		return problem(CodeWorkflowNotFound, "no workflow has the ID %q: check the ID, or start it", workflowID)
	case errors.Is(err, ErrHistoryGone):
		return problem(CodeHistoryGone, "the history of workflow %q is dropped, its retention is over", workflowID)
	case errors.Is(err, ErrNotOwner):
		return problem(CodeNotOwner, "this instance does not own the partition of workflow %q", workflowID)
	}
	return problem(CodeUnavailable, "the engine could not answer; ask again, and look into the log of the instance if it lasts")
}

func writeProblem(w http.ResponseWriter, p *problemError) {
	if rec, ok := w.(*recorder); ok {
		rec.code = Code(p.Code)
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if p.Retryable && p.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="odradek"`)
	}
	w.WriteHeader(p.Status)
	b, err := json.Marshal(p.Problem)
	if err != nil {
		panic(fmt.Sprintf("httpapi: a problem is always JSON: %v", err))
	}
	w.Write(append(b, '\n'))
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
	return nil
}
