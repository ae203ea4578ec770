package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/job"
	"github.com/odradek/odradek/record"
)

// CreateJob answers when the job's start has settled. A body never says who asks (H4).
func (s operations) CreateJob(w http.ResponseWriter, r *http.Request, p api.CreateJobParams) {
	name := p.ID
	if name == "" {
		name = p.IdempotencyKey
	}
	c, bad := s.command(r, job.WorkflowID(name), p.IdempotencyKey)
	if bad == nil && r.Header.Get(ForwardedHeader) == "" {
		bad = s.knownType(job.Type)
	}
	var spec job.Spec
	if bad == nil {
		if err := errors.Join(job.CheckName(name), json.Unmarshal(c.body, &spec)); err != nil {
			bad = problem(api.CodeRequestInvalid, "%v", err)
		}
	}
	if bad != nil {
		writeProblem(w, bad)
		return
	}
	spec.By = caller(r)
	input, err := json.Marshal(spec)
	if err != nil {
		s.writeError(w, c, err)
		return
	}
	s.route(w, c, func(ctx context.Context) (answer, error) {
		reply, err := s.submit(ctx, c, &record.Start{CommandID: c.commandID, Type: job.Type, Input: input, Reply: true})
		if err != nil {
			return answer{}, err
		}
		j, err := s.job(ctx, name)
		a := answer{status: http.StatusOK, body: j}
		if reply.Outcome == record.OutcomeStarted {
			a.status, a.location = http.StatusCreated, "/v1/jobs/"+url.PathEscape(name)
		}
		return a, err
	})
}

// GetJob shows a job.
func (s operations) GetJob(w http.ResponseWriter, r *http.Request, name api.JobName) {
	s.route(w, &call{r: r, workflowID: job.WorkflowID(name)}, func(ctx context.Context) (answer, error) {
		j, err := s.job(ctx, name)
		return answer{status: http.StatusOK, body: j}, err
	})
}

// job reads a job here. Its report is its result, or what its code says.
func (s *Server) job(ctx context.Context, name string) (api.Job, error) {
	id := job.WorkflowID(name)
	run, err := s.cfg.Engine.Run(ctx, id)
	if errors.Is(err, ErrNotFound) || err == nil && run.Row.Type != job.Type {
		return api.Job{}, problem(api.CodeWorkflowNotFound, "there is no job %q: check the name, or make it", name)
	}
	if err != nil {
		return api.Job{}, err
	}
	shown := listed(&run.Row)
	j := jobOf(&shown)
	j.Failure = failure(run.Failure)
	text := run.Result
	if run.Row.Status != record.StatusCompleted {
		a, _, err := s.cfg.Engine.Query(ctx, id, job.Describe.Name(), []byte("{}"), true)
		if err != nil {
			return api.Job{}, err
		}
		text = a.Result // nil if it cannot say
	}
	if len(text) > 0 {
		j.Report = &job.Report{}
		if err := json.Unmarshal(text, j.Report); err != nil {
			return api.Job{}, err
		}
		if j.Report.Cancelled {
			j.Status = api.StatusCancelled
		}
	}
	return j, nil
}

// jobOf is what a list knows of a job.
func jobOf(v *api.Workflow) api.Job {
	return api.Job{Name: job.Name(v.WorkflowID), WorkflowID: v.WorkflowID, RunID: v.RunID, Status: v.Status, Paused: v.Paused, MadeAt: v.StartedAt, ClosedAt: v.ClosedAt}
}

// ListJobs lists workflows.
func (s operations) ListJobs(w http.ResponseWriter, r *http.Request, p api.ListJobsParams) {
	params := api.ListWorkflowsParams{Type: job.Type, Limit: p.Limit, Cursor: p.Cursor}
	q, want, bad := s.listQuery(params)
	if bad != nil {
		writeProblem(w, bad)
		return
	}
	asked := r.Clone(r.Context())
	asked.URL.Path, asked.URL.RawPath = "/v1/workflows", "" // of the other instances
	page := s.list(asked, q, want, params)
	out := api.JobPage{Jobs: make([]api.Job, 0, len(page.Workflows)), NextCursor: page.NextCursor, Partial: page.Partial, MissingPartitions: page.MissingPartitions}
	for i := range page.Workflows {
		out.Jobs = append(out.Jobs, jobOf(&page.Workflows[i]))
	}
	s.writeAnswer(w, answer{status: http.StatusOK, body: out})
}

// CancelJob answers when the request stands in the job's history.
func (s operations) CancelJob(w http.ResponseWriter, r *http.Request, name api.JobName, p api.CancelJobParams) {
	s.CancelWorkflow(w, r, job.WorkflowID(name), api.CancelWorkflowParams{Reason: p.Reason, IdempotencyKey: p.IdempotencyKey})
}

// PauseJob answers when the job is paused.
func (s operations) PauseJob(w http.ResponseWriter, r *http.Request, name api.JobName, p api.PauseJobParams) {
	s.PauseWorkflow(w, r, job.WorkflowID(name), api.PauseWorkflowParams{Reason: p.Reason, IdempotencyKey: p.IdempotencyKey})
}

// ResumeJob answers when what waited is stepped.
func (s operations) ResumeJob(w http.ResponseWriter, r *http.Request, name api.JobName, p api.ResumeJobParams) {
	s.ResumeWorkflow(w, r, job.WorkflowID(name), api.ResumeWorkflowParams{Reason: p.Reason, IdempotencyKey: p.IdempotencyKey})
}
