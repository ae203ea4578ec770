package httpapi

import (
	"context"
	"net/http"
	"unicode/utf8"

	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/record"
)

// reasonBytesMax bounds what is kept of why.
const reasonBytesMax = 1 << 10

// CancelWorkflow answers when the request stands in the run's history.
func (s operations) CancelWorkflow(w http.ResponseWriter, r *http.Request, id api.WorkflowID, p api.CancelWorkflowParams) {
	s.end(w, r, id, p.IdempotencyKey, p.Reason, p.Run, func(commandID string, run record.RunID) record.Body {
		return &record.Cancel{CommandID: commandID, Run: run, Reason: p.Reason, By: caller(r), Reply: true}
	})
}

// TerminateWorkflow answers when the run is closed.
func (s operations) TerminateWorkflow(w http.ResponseWriter, r *http.Request, id api.WorkflowID, p api.TerminateWorkflowParams) {
	s.end(w, r, id, p.IdempotencyKey, p.Reason, p.Run, func(commandID string, run record.RunID) record.Body {
		return &record.Terminate{CommandID: commandID, Run: run, Reason: p.Reason, By: caller(r), Reply: true}
	})
}

func (s operations) end(w http.ResponseWriter, r *http.Request, id, key, reason, runText string, body func(commandID string, run record.RunID) record.Body) {
	commandID, bad := commandIDOf(key)
	if bad == nil && (len(reason) > reasonBytesMax || !utf8.ValidString(reason)) {
		bad = problem(api.CodeRequestInvalid, "the parameter reason is not UTF-8 or has more than %d bytes: shorten it", reasonBytesMax)
	}
	var run record.RunID
	if bad == nil && runText != "" {
		var err error
		if run, err = record.ParseRunID(runText); err != nil {
			bad = problem(api.CodeRequestInvalid, "the parameter run: %v", err)
		}
	}
	if bad != nil {
		writeProblem(w, bad)
		return
	}
	c := &call{r: r, workflowID: id, commandID: commandID}
	s.route(w, c, func(ctx context.Context) (answer, error) {
		reply, err := s.submit(ctx, c, body(commandID, run))
		if err != nil {
			return answer{}, err
		}
		outcome := api.EndedOutcomeApplied
		if reply.Outcome == record.OutcomeRepeated {
			outcome = api.EndedOutcomeRepeated
		}
		return answer{status: http.StatusOK, body: api.Ended{WorkflowID: c.workflowID, RunID: reply.Run.String(), Outcome: outcome}}, nil
	})
}

// callerKey is the key of the caller's name in a request's context.
type callerKey struct{}

// caller is who asks: the name of his token. It stands in histories.
func caller(r *http.Request) string {
	name, _ := r.Context().Value(callerKey{}).(string)
	return name
}
