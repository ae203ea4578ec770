package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/record"
)

// workflow is the public view of a run.
func workflow(run *Run, pending bool) api.Workflow {
	v := listed(&run.Row)
	v.Failure = failure(run.Failure)
	if run.Row.Status == record.StatusCompleted {
		v.Result, v.ResultEncoding = payload(run.Result)
	}
	if s := run.Stuck; s != nil && v.Paused {
		v.PausedSince, v.PausedReason = s.Since.Time(), s.Detail
	} else if s != nil && (run.TypePaused == nil || s.Code != record.CodeTypePaused) {
		v.Stuck = &api.Stuck{Code: s.Code, Detail: s.Detail, Since: s.Since.Time(), Tries: int64(s.Tries), RetryAt: moment(s.RetryAt)}
	}
	if a := run.TypePaused; a != nil {
		v.TypePaused = &api.TypePaused{Since: a.At.Time(), Reason: a.Reason, By: a.By}
	}
	if pending {
		v.Attributes = attributes(run.Attributes)
		if !run.Row.Status.Closed() {
			v.Pending = pendingOf(run)
		}
	}
	return v
}

// listed is the view of a row alone.
func listed(r *record.RunRow) api.Workflow {
	return api.Workflow{
		WorkflowID: r.WorkflowID, RunID: r.Run.String(), Type: r.Type, Version: int64(r.Version),
		Status: api.Status(r.Status.String()), StartedAt: r.StartedAt.Time(), ClosedAt: moment(r.ClosedAt),
		UpdatedAt: r.UpdatedAt.Time(), Events: int64(r.Events), Build: r.Build, ParentID: r.Parent.WorkflowID, Paused: r.Paused,
	}
}

func pendingOf(run *Run) *api.Pending {
	p := &api.Pending{
		Tasks: make([]api.PendingTask, 0, len(run.Tasks)), Timers: make([]api.PendingTimer, 0, len(run.Timers)),
		Signals: make([]api.PendingSignal, 0, len(run.Signals)), Inputs: int64(run.Inbox),
	}
	for _, c := range run.Children {
		child := api.PendingChild{Child: int64(c.No), WorkflowID: c.WorkflowID, Type: c.Type}
		if c.Type != "" {
			child.ClosePolicy = api.PendingChildClosePolicy(c.Close.String())
		}
		p.Children = append(p.Children, child)
	}
	for _, u := range run.Updates {
		p.Updates = append(p.Updates, api.PendingUpdate{Update: int64(u.No), Name: u.Name, UpdateID: u.CommandID})
	}
	for i := range run.Tasks {
		t := &run.Tasks[i]
		task := api.PendingTask{
			Task: record.TaskID{Run: run.Row.Run, No: t.No}.String(), Service: t.Service, Operation: t.Operation,
			ScheduledAt: t.ScheduledAt.Time(), Attempt: 1,
		}
		for j := range run.Attempts {
			if a := &run.Attempts[j]; a.Task == t.No {
				task.Attempt, task.NextAt = int64(a.Open), moment(a.NextAt)
				task.Pending, task.Quarantined = a.Pending, a.Quarantined()
				if a.Sending > 1 {
					task.Sending = int64(a.Sending)
				}
				if n := len(a.Last); n > 0 {
					task.LastFailure = failure(&a.Last[n-1].Failure)
				}
			}
		}
		p.Tasks = append(p.Tasks, task)
	}
	for _, t := range run.Timers {
		p.Timers = append(p.Timers, api.PendingTimer{Timer: int64(t.No), Due: t.Due.Time()})
	}
	for _, s := range run.Signals {
		p.Signals = append(p.Signals, api.PendingSignal{Signal: int64(s.No), Name: s.Name})
	}
	return p
}

// attributes is an object of them; nil: there are none.
func attributes(as []record.Attribute) json.RawMessage {
	if len(as) == 0 {
		return nil
	}
	out := []byte{'{'}
	for i := range as {
		if i > 0 {
			out = append(out, ',')
		}
		name, err := json.Marshal(as[i].Name)
		if err != nil {
			panic("httpapi: a text is always JSON: " + err.Error())
		}
		out = codec.AppendAttributeJSON(append(append(out, name...), ':'), as[i])
	}
	return append(out, '}')
}

// payload shows JSON as it is, nothing as null, and anything else as base64: as the
// JSON of the history does.
func payload(b []byte) (json.RawMessage, api.Encoding) {
	if text, ok := codec.PayloadJSON(b); ok {
		return text, ""
	}
	return json.RawMessage(`"` + base64.StdEncoding.EncodeToString(b) + `"`), api.Base64
}

// failure has a problem that is JSON: a service may have sent anything.
func failure(f *record.Failure) *record.Failure {
	if f == nil || len(f.Problem) == 0 || json.Valid(f.Problem) {
		return f
	}
	quoted, err := json.Marshal(string(f.Problem))
	if err != nil {
		panic("httpapi: a text is always JSON: " + err.Error())
	}
	shown := *f
	shown.Problem = quoted
	return &shown
}

// moment is the zero time, which is left out, for none and never.
func moment(m record.Millis) time.Time {
	if m == 0 || m == record.Never {
		return time.Time{}
	}
	return m.Time()
}
