package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// OperateRequest operates a workflow's current run.
type OperateRequest struct {
	EndRequest
	Task   uint64 // of a retry: only this open task; 0: what the run fails at
	NewKey bool   // of a retry: the task's next attempts have another idempotency key
	To     uint64 // of a reset: the number of the history event that the run goes back to
}

// Retry lets a run go on that does not: one that has failed goes back to the task at which
// it failed, with the same idempotency key; a task that waits for its next attempt gets it
// now; a stuck run is tried again. A run that is not in a state for it is an error with the
// code operation_not_offered, which says what can be done instead.
func (c *HTTP) Retry(ctx context.Context, r OperateRequest) (Ended, error) {
	return c.operate(ctx, "/retry", r)
}

// Reset takes a run back to an event of its history, whose turn is run again. What came
// after it does not count any more. Ask PreviewReset first.
func (c *HTTP) Reset(ctx context.Context, r OperateRequest) (Ended, error) {
	return c.operate(ctx, "/reset", r)
}

// Pause lets what comes for a run wait, until it is resumed.
func (c *HTTP) Pause(ctx context.Context, r OperateRequest) (Ended, error) {
	return c.operate(ctx, "/pause", r)
}

// Resume lets a paused run go on.
func (c *HTTP) Resume(ctx context.Context, r OperateRequest) (Ended, error) {
	return c.operate(ctx, "/resume", r)
}

// PreviewReset shows what a reset would do. It changes nothing.
func (c *HTTP) PreviewReset(ctx context.Context, workflowID string, to uint64) (p ResetPreview, err error) {
	q := url.Values{"to": {strconv.FormatUint(to, 10)}}
	_, err = c.do(ctx, request{method: http.MethodGet, path: workflowPath(workflowID) + "/reset", query: q}, &p)
	return p, err
}

// CopyStore lets the owner of a partition copy its store, for engine replay --store.
func (c *HTTP) CopyStore(ctx context.Context, partition int32) (out StoreCopy, err error) {
	_, err = c.do(ctx, request{method: http.MethodPost, path: "/v1/partitions/" + strconv.Itoa(int(partition)) + "/store-copy"}, &out)
	return out, err
}

func (c *HTTP) operate(ctx context.Context, verb string, r OperateRequest) (out Ended, err error) {
	id, err := command(r.WorkflowID, r.CommandID, nil)
	if err != nil {
		return out, err
	}
	q := url.Values{}
	set(q, "reason", r.Reason)
	set(q, "run", r.RunID)
	if r.Task > 0 {
		q.Set("task", strconv.FormatUint(r.Task, 10))
	}
	if r.To > 0 {
		q.Set("to", strconv.FormatUint(r.To, 10))
	}
	if r.NewKey {
		q.Set("new_key", "true")
	}
	_, err = c.do(ctx, request{method: http.MethodPost, path: workflowPath(r.WorkflowID) + verb, query: q, commandID: id}, &out)
	return out, err
}
