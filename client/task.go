package client

import (
	"context"
	"net/http"

	"github.com/odradek/odradek/httpapi/api"
)

// TaskAnswered is what the API says about a task that was answered from outside.
type TaskAnswered = api.TaskAnswered

// TaskRequest answers a task by its token.
type TaskRequest struct {
	Token     string
	Payload   []byte // result, failure as JSON, or details of a heartbeat
	CommandID string // visible ASCII of at most 200 bytes; empty: a new one
}

// CompleteTask closes a task with its result. A task for which nobody waits any more is
// an error with the code task_closed.
func (c *HTTP) CompleteTask(ctx context.Context, r TaskRequest) (TaskAnswered, error) {
	return c.task(ctx, "/complete", r)
}

// FailTask lets an attempt fail: Payload is a record.Failure as JSON.
func (c *HTTP) FailTask(ctx context.Context, r TaskRequest) (TaskAnswered, error) {
	return c.task(ctx, "/fail", r)
}

// BeatTask shows that an attempt is alive: Payload, at most 16 KB, is for the next one.
func (c *HTTP) BeatTask(ctx context.Context, r TaskRequest) (TaskAnswered, error) {
	return c.task(ctx, "/heartbeat", r)
}

func (c *HTTP) task(ctx context.Context, verb string, r TaskRequest) (out TaskAnswered, err error) {
	id, err := command("task", r.CommandID, r.Payload)
	if err != nil {
		return out, err
	}
	_, err = c.do(ctx, request{method: http.MethodPost, path: "/v1/tasks/" + segment(r.Token) + verb, body: r.Payload, commandID: id}, &out)
	return out, err
}
