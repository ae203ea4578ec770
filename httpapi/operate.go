package httpapi

import (
	"context"
	"net/http"

	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/record"
)

// RetryWorkflow answers when the run goes on.
func (s operations) RetryWorkflow(w http.ResponseWriter, r *http.Request, id api.WorkflowID, p api.RetryWorkflowParams) {
	if p.Task < 0 {
		writeProblem(w, problem(api.CodeRequestInvalid, "the parameter task is %d: it is the number of an open task, from 1", p.Task))
		return
	}
	s.end(w, r, id, p.IdempotencyKey, p.Reason, p.Run, func(commandID string, run record.RunID) record.Body {
		return &record.Operate{Op: record.OperateRetry, CommandID: commandID, Run: run, Task: uint64(p.Task), NewKey: p.NewKey, Reason: p.Reason, By: caller(r), Reply: true}
	})
}

// ResetWorkflow answers when the run was taken back.
func (s operations) ResetWorkflow(w http.ResponseWriter, r *http.Request, id api.WorkflowID, p api.ResetWorkflowParams) {
	if bad := checkTo(p.To); bad != nil {
		writeProblem(w, bad)
		return
	}
	s.end(w, r, id, p.IdempotencyKey, p.Reason, p.Run, func(commandID string, run record.RunID) record.Body {
		return &record.Operate{Op: record.OperateReset, CommandID: commandID, Run: run, To: uint64(p.To), Reason: p.Reason, By: caller(r), Reply: true}
	})
}

// PauseWorkflow answers when the run is paused.
func (s operations) PauseWorkflow(w http.ResponseWriter, r *http.Request, id api.WorkflowID, p api.PauseWorkflowParams) {
	s.end(w, r, id, p.IdempotencyKey, p.Reason, p.Run, func(commandID string, run record.RunID) record.Body {
		return &record.Operate{Op: record.OperatePause, CommandID: commandID, Run: run, Reason: p.Reason, By: caller(r), Reply: true}
	})
}

// ResumeWorkflow answers when what waited is stepped.
func (s operations) ResumeWorkflow(w http.ResponseWriter, r *http.Request, id api.WorkflowID, p api.ResumeWorkflowParams) {
	s.end(w, r, id, p.IdempotencyKey, p.Reason, p.Run, func(commandID string, run record.RunID) record.Body {
		return &record.Operate{Op: record.OperateResume, CommandID: commandID, Run: run, Reason: p.Reason, By: caller(r), Reply: true}
	})
}

func checkTo(to int64) *problemError {
	if to < 1 {
		return problem(api.CodeRequestInvalid, "the parameter to is %d: it is the number of a history event, from 1", to)
	}
	return nil
}

// PreviewReset changes nothing.
func (s operations) PreviewReset(w http.ResponseWriter, r *http.Request, id api.WorkflowID, p api.PreviewResetParams) {
	if bad := checkTo(p.To); bad != nil {
		writeProblem(w, bad)
		return
	}
	c := &call{r: r, workflowID: id}
	s.route(w, c, func(ctx context.Context) (answer, error) {
		plan, err := s.cfg.Engine.PreviewReset(ctx, c.workflowID, uint64(p.To))
		if err != nil {
			return answer{}, err
		}
		out := api.ResetPreview{
			WorkflowID: c.workflowID, RunID: plan.Run.String(), To: int64(plan.To), Signals: plan.Signals,
			SentAgain: previewTasks(plan.SentAgain), Stopped: previewTasks(plan.Stopped), Repeated: plan.Undone,
		}
		return answer{status: http.StatusOK, body: out}, nil
	})
}

// CopyStore is answered by the partition's owner.
func (s operations) CopyStore(w http.ResponseWriter, r *http.Request, p int32) {
	if n := s.cfg.Engine.Partitions(); p < 0 || p >= n {
		writeProblem(w, problem(api.CodeRequestInvalid, "there is no partition %d: they are 0 to %d", p, n-1))
		return
	}
	c := &call{r: r}
	s.routeTo(w, c, p, func(ctx context.Context) (answer, error) {
		dir, err := s.cfg.Engine.CopyStore(ctx, p)
		if err != nil {
			return answer{}, err
		}
		return answer{status: http.StatusCreated, body: api.StoreCopy{Partition: p, Instance: s.cfg.InstanceID, Dir: dir}}, nil
	})
}

func previewTasks(ts []record.TaskRow) []api.PreviewTask {
	out := make([]api.PreviewTask, 0, len(ts))
	for i := range ts {
		out = append(out, api.PreviewTask{Number: int64(ts[i].No), Service: ts[i].Service, Operation: ts[i].Operation})
	}
	return out
}
