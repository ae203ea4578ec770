package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/record"
)

// problemError is an answer that is a problem.
type problemError struct{ api.Problem }

func (e *problemError) Error() string { return e.Code + ": " + e.Detail }

func problem(code api.Code, format string, args ...any) *problemError {
	t, ok := api.ProblemOf(code)
	if !ok {
		panic("httpapi: the problem code " + string(code) + " is not in the table")
	}
	return &problemError{api.Problem{
		Type: api.ProblemsPage + string(code), Title: t.Title, Status: t.Status, Code: string(code),
		Retryable: t.Retryable, Detail: fmt.Sprintf(format, args...),
	}}
}

// rejection is the problem of a command that was refused.
func rejection(r record.Reply) *problemError {
	return problem(api.Code(r.Outcome.String()), "%s", r.Detail)
}

// asProblem makes a problem of whatever went wrong. what is logged by the caller
// if the problem is the engine's fault.
func asProblem(err error, workflowID string) *problemError {
	var p *problemError
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, ErrNotFound):
		return problem(api.CodeWorkflowNotFound, "no workflow has the ID %q: check the ID, or start it", workflowID)
	case errors.Is(err, ErrHistoryGone):
		return problem(api.CodeHistoryGone, "the history of workflow %q is dropped, its retention is over", workflowID)
	case errors.Is(err, ErrNotOffered):
		return problem(api.CodeOperationNotOffered, "%s", strings.TrimPrefix(err.Error(), ErrNotOffered.Error()+": "))
	case errors.Is(err, ErrNotOwner):
		return problem(api.CodeNotOwner, "this instance does not own the partition of workflow %q", workflowID)
	}
	return problem(api.CodeUnavailable, "the engine could not answer; ask again, and look into the log of the instance if it lasts")
}

func writeProblem(w http.ResponseWriter, p *problemError) {
	if rec, ok := w.(*recorder); ok {
		rec.code = api.Code(p.Code)
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
	b, err := encode(p.Problem)
	if err != nil {
		panic(fmt.Sprintf("httpapi: a problem is always JSON: %v", err))
	}
	w.Write(b)
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	b, err := encode(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(b)
	return nil
}

// encode leaves payloads as they are: no escapes that are for HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}
