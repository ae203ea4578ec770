package httpapi

import (
	"context"
	"net/http"

	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/record"
)

// QueryWorkflow answers with what the run's code says.
func (s operations) QueryWorkflow(w http.ResponseWriter, r *http.Request, id api.WorkflowID, name string, p api.QueryWorkflowParams) {
	bad := checkName("query", name, signalBytesMax)
	if bad == nil && p.Stale != "" && p.Stale != api.Ok {
		bad = problem(api.CodeRequestInvalid, "the parameter stale is %q: use ok, or leave it out", p.Stale)
	}
	var body []byte
	if bad == nil {
		body, bad = s.readPayload(r)
	}
	if bad != nil {
		writeProblem(w, bad)
		return
	}
	c := &call{r: r, workflowID: id, body: body}
	s.route(w, c, func(ctx context.Context) (answer, error) {
		a, age, err := s.cfg.Engine.Query(ctx, id, name, body, p.Stale == api.Ok)
		switch {
		case err != nil:
			return answer{}, err
		case a.Outcome.Rejected():
			return answer{}, problem(api.Code(a.Outcome.String()), "%s", a.Detail)
		}
		out := api.Answer{WorkflowID: id, RunID: a.Run.String(), Failure: failure(a.Failure), AgeMs: age.Milliseconds()}
		if a.Failure == nil {
			out.Result, out.ResultEncoding = payload(a.Result)
		}
		return answer{status: http.StatusOK, body: out}, nil
	})
}

// UpdateWorkflow answers when the update is history, or later if asked to wait.
func (s operations) UpdateWorkflow(w http.ResponseWriter, r *http.Request, id api.WorkflowID, name string, p api.UpdateWorkflowParams) {
	c, bad := s.command(r, id, p.IdempotencyKey)
	if bad == nil {
		bad = c.wait(p.Wait)
	}
	if bad == nil {
		bad = checkName("update", name, signalBytesMax)
	}
	if bad != nil {
		writeProblem(w, bad)
		return
	}
	s.route(w, c, func(ctx context.Context) (answer, error) {
		if _, err := s.submit(ctx, c, &record.Update{CommandID: c.commandID, Name: name, Payload: c.body, Reply: true}); err != nil {
			return answer{}, err
		}
		return s.awaitUpdate(ctx, c, c.commandID)
	})
}

// GetUpdate shows the answer, or waits for it.
func (s operations) GetUpdate(w http.ResponseWriter, r *http.Request, id api.WorkflowID, _, updateID string, p api.GetUpdateParams) {
	c := &call{r: r, workflowID: id}
	if bad := c.wait(p.Wait); bad != nil {
		writeProblem(w, bad)
		return
	}
	s.route(w, c, func(ctx context.Context) (answer, error) { return s.awaitUpdate(ctx, c, updateID) })
}

// awaitUpdate waits until the update is answered or the client's time is up. It asks the
// state, so it may be called again on another owner (I1).
func (s *Server) awaitUpdate(ctx context.Context, c *call, updateID string) (answer, error) {
	if c.waitGiven {
		waiting, cancel := context.WithDeadline(ctx, c.waitUntil)
		err := s.cfg.Engine.WaitUpdate(waiting, c.workflowID, updateID)
		over := waiting.Err() != nil
		cancel()
		if err != nil && !over {
			return answer{}, err
		}
		if err := ctx.Err(); err != nil {
			return answer{}, err
		}
	}
	u, err := s.cfg.Engine.Update(ctx, c.workflowID, updateID)
	if err != nil {
		return answer{}, err
	}
	out := api.Update{WorkflowID: c.workflowID, RunID: u.Run.String(), UpdateID: updateID, Name: u.Name, Failure: failure(u.Failure)}
	a := answer{status: http.StatusOK}
	switch {
	case u.Open:
		a.status, out.Open = http.StatusAccepted, true
	case u.Failure == nil:
		out.Result, out.ResultEncoding = payload(u.Result)
	}
	a.body = out
	return a, nil
}

// GetStack says what the run's code waits for.
func (s operations) GetStack(w http.ResponseWriter, r *http.Request, id api.WorkflowID) {
	c := &call{r: r, workflowID: id}
	s.route(w, c, func(ctx context.Context) (answer, error) {
		v, a, err := s.cfg.Engine.Stack(ctx, id)
		switch {
		case err != nil:
			return answer{}, err
		case a.Outcome.Rejected():
			return answer{}, problem(api.Code(a.Outcome.String()), "%s", a.Detail)
		}
		out := api.Stack{WorkflowID: id, RunID: a.Run.String(), Details: v.Details, Threads: make([]api.Thread, 0, len(v.Threads))}
		for _, t := range v.Threads {
			out.Threads = append(out.Threads, api.Thread{WaitsFor: t.For, Stack: append([]string{}, t.Stack...)})
		}
		return answer{status: http.StatusOK, body: out}, nil
	})
}
