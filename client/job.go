package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/job"
)

// What the API says of jobs.
type (
	JobSpec = api.JobSpec
	Job     = api.Job
	JobPage = api.JobPage
)

// CreateJob does one thing to all runs, or to all dead letters, that fit: as a job, which
// goes on when the caller is gone. created is false if a job of that name and spec was there.
func (c *HTTP) CreateJob(ctx context.Context, name string, spec JobSpec, commandID string) (j Job, created bool, err error) {
	body, err := json.Marshal(spec)
	if err != nil {
		return j, false, err
	}
	id, err := command(job.WorkflowID(name), commandID, body)
	if err != nil {
		return j, false, err
	}
	status, err := c.do(ctx, request{method: http.MethodPost, path: "/v1/jobs", query: url.Values{"id": {name}}, body: body, commandID: id}, &j)
	return j, status == http.StatusCreated, err
}

// Job shows a job, with its report.
func (c *HTTP) Job(ctx context.Context, name string) (j Job, err error) {
	_, err = c.do(ctx, request{method: http.MethodGet, path: jobPath(name)}, &j)
	return j, err
}

// Jobs gives one page of jobs, the newest first, without their reports; limit 0 is 100.
func (c *HTTP) Jobs(ctx context.Context, cursor string, limit int) (p JobPage, err error) {
	q := url.Values{}
	set(q, "cursor", cursor)
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	_, err = c.do(ctx, request{method: http.MethodGet, path: "/v1/jobs", query: q}, &p)
	return p, err
}

// CancelJob lets a job end behind the page that it is at. It keeps its report.
func (c *HTTP) CancelJob(ctx context.Context, name, reason string) (Ended, error) {
	return c.operateJob(ctx, name, "/cancel", reason)
}

// PauseJob lets a job do nothing more, behind the page that it is at, until it is resumed.
func (c *HTTP) PauseJob(ctx context.Context, name, reason string) (Ended, error) {
	return c.operateJob(ctx, name, "/pause", reason)
}

// ResumeJob lets a paused job go on.
func (c *HTTP) ResumeJob(ctx context.Context, name, reason string) (Ended, error) {
	return c.operateJob(ctx, name, "/resume", reason)
}

func (c *HTTP) operateJob(ctx context.Context, name, verb, reason string) (out Ended, err error) {
	id, err := command(job.WorkflowID(name), "", nil)
	if err != nil {
		return out, err
	}
	q := url.Values{}
	set(q, "reason", reason)
	_, err = c.do(ctx, request{method: http.MethodPost, path: jobPath(name) + verb, query: q, commandID: id}, &out)
	return out, err
}

func jobPath(name string) string { return "/v1/jobs/" + segment(name) }
