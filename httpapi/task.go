package httpapi

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/record"
)

// detailsBytesMax bounds the details of a heartbeat.
const detailsBytesMax = 16 << 10

// CompleteTask closes a task with its result.
func (s operations) CompleteTask(w http.ResponseWriter, r *http.Request, token string, p api.CompleteTaskParams) {
	s.answerTask(w, r, token, p.IdempotencyKey, func(t codec.TaskToken, c *call) (record.Body, *problemError) {
		return &record.TaskCompleted{Task: t.Task, Attempt: t.Attempt, Result: c.body, CommandID: c.commandID, Reply: true}, nil
	})
}

// FailTask lets an attempt fail.
func (s operations) FailTask(w http.ResponseWriter, r *http.Request, token string, p api.FailTaskParams) {
	s.answerTask(w, r, token, p.IdempotencyKey, func(t codec.TaskToken, c *call) (record.Body, *problemError) {
		var f record.Failure
		if err := json.Unmarshal(c.body, &f); err != nil || f.Kind == "" && f.Code == "" && f.Message == "" {
			return nil, problem(api.CodeRequestInvalid, `the body is a failure such as {"kind":"application","code":"card_declined","message":"...","retryable":false}, with one of the first three at least`)
		}
		if f.Kind == "" {
			f.Kind = record.FailureApplication
		}
		return &record.TaskFailed{Task: t.Task, Attempt: t.Attempt, Failure: f, CommandID: c.commandID, Reply: true}, nil
	})
}

// BeatTask shows that an attempt is alive.
func (s operations) BeatTask(w http.ResponseWriter, r *http.Request, token string, p api.BeatTaskParams) {
	s.answerTask(w, r, token, p.IdempotencyKey, func(t codec.TaskToken, c *call) (record.Body, *problemError) {
		if n := int64(len(c.body)); n > detailsBytesMax {
			return nil, tooLarge(n, detailsBytesMax)
		}
		return &record.TaskBeat{Task: t.Task, Attempt: t.Attempt, Details: c.body, CommandID: c.commandID, Reply: true}, nil
	})
}

// answerTask answers when the event has settled.
func (s operations) answerTask(w http.ResponseWriter, r *http.Request, text, key string, event func(codec.TaskToken, *call) (record.Body, *problemError)) {
	t, err := codec.ParseTaskToken(text, s.cfg.TaskTokenKey)
	if err != nil {
		writeProblem(w, problem(api.CodeRequestInvalid, "%v", err))
		return
	}
	c, bad := s.command(r, t.WorkflowID, key)
	var body record.Body
	if bad == nil {
		body, bad = event(t, c)
	}
	if bad != nil {
		writeProblem(w, bad)
		return
	}
	s.route(w, c, func(ctx context.Context) (answer, error) {
		reply, err := s.submit(ctx, c, body)
		if err != nil {
			return answer{}, err
		}
		return answer{status: http.StatusOK, body: api.TaskAnswered{WorkflowID: c.workflowID, RunID: reply.Run.String()}}, nil
	})
}
