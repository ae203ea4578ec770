package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/httpapi/api"
)

// reason is one thing because of which a run is where it is.
type reason struct {
	What   string `json:"what"`             // paused, stuck, waits, task, service, timer, child, inputs, failed, closed
	Detail string `json:"detail"`           // for people
	Do     string `json:"do,omitempty"`     // what can be done
	Source string `json:"source,omitempty"` // line of the code that waits
}

func (a *app) why() *cobra.Command {
	return &cobra.Command{
		Use: "why ID", Short: "Say why a workflow is where it is, and what can be done",
		Long: `Say why a workflow's current run does not go on: what its code waits for and at which
line, the tasks with their failures and the time of the next attempt, whether it is paused
or stuck; of one that has closed, how. With each, what can be done.`,
		Example: "  odradek wf why order-7", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeID,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			defer c.Close()
			w, err := c.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			reasons := a.reasons(cmd.Context(), c, &w)
			if a.output != "table" {
				return a.document(map[string]any{"workflow_id": w.WorkflowID, "run_id": w.RunID, "status": w.Status, "reasons": reasons})
			}
			fmt.Fprintf(a.stdout, "workflow %s is %s\n", clean(w.WorkflowID), statusOf(&w))
			for _, r := range reasons {
				fmt.Fprintf(a.stdout, "%s: %s\n", r.What, clean(r.Detail))
				if r.Source != "" {
					fmt.Fprintf(a.stdout, "  at %s\n", clean(r.Source))
				}
				if r.Do != "" {
					fmt.Fprintf(a.stdout, "  %s\n", r.Do)
				}
			}
			return nil
		},
	}
}

func (a *app) reasons(ctx context.Context, c *client.HTTP, w *client.Workflow) (out []reason) {
	id := w.WorkflowID
	if t := w.TypePaused; t != nil {
		out = append(out, reason{What: "paused", Detail: fmt.Sprintf("type %s since %s%s: %s", w.Type, moment(t.Since), by(t.By), t.Reason), Do: "odradek type resume " + w.Type})
	}
	switch {
	case w.Paused:
		out = append(out, reason{What: "paused", Detail: fmt.Sprintf("since %s: %s", moment(w.PausedSince), w.PausedReason), Do: "odradek wf resume " + id})
	case w.Stuck != nil:
		do := "odradek wf retry " + id + " tries it now; another build tries it by itself"
		if w.Stuck.Code == "no_code" {
			do = "deploy a binary that has the code; it goes on by itself"
		}
		first, _, _ := strings.Cut(w.Stuck.Detail, "\n")
		out = append(out, reason{What: "stuck", Detail: fmt.Sprintf("%s since %s: %s", w.Stuck.Code, moment(w.Stuck.Since), first), Do: do})
	case w.Status == api.StatusFailed || w.Status == api.StatusCancelled:
		return append(out, reason{What: "failed", Detail: failureText(w.Failure), Do: "odradek wf retry " + id + " takes up the task at which it failed, if nothing came after; else odradek wf reset"})
	case w.Status != api.StatusRunning:
		return append(out, reason{What: "closed", Detail: fmt.Sprintf("it is %s since %s", w.Status, moment(w.ClosedAt))})
	}
	if s, err := c.Stack(ctx, id); err == nil {
		for _, t := range s.Threads {
			r := reason{What: "waits", Detail: "for " + t.WaitsFor}
			if len(t.Stack) > 0 {
				r.Source = t.Stack[0]
			}
			out = append(out, r)
		}
	}
	p := w.Pending
	if p == nil {
		return out
	}
	for i := range p.Tasks {
		r := taskReason(id, &p.Tasks[i])
		if (w.Paused || w.TypePaused != nil) && !p.Tasks[i].NextAt.IsZero() {
			r.Detail, r.Do = strings.Replace(r.Detail, " goes out at "+moment(p.Tasks[i].NextAt), " waits until it is resumed", 1), ""
		}
		out = append(out, r)
	}
	out = append(out, a.serviceReasons(ctx, c, p.Tasks)...)
	for _, t := range p.Timers {
		out = append(out, reason{What: "timer", Detail: "due " + moment(t.Due)})
	}
	for _, x := range p.Children {
		out = append(out, reason{What: "child", Detail: fmt.Sprintf("workflow %s is open", x.WorkflowID), Do: "odradek wf why " + x.WorkflowID})
	}
	if p.Inputs > 0 {
		out = append(out, reason{What: "inputs", Detail: fmt.Sprintf("%d wait until it goes on", p.Inputs)})
	}
	return out
}

// serviceReasons say what holds up the services that the run's tasks wait for.
func (a *app) serviceReasons(ctx context.Context, c *client.HTTP, tasks []api.PendingTask) (out []reason) {
	asked := map[string]bool{"": true} // local tasks
	for i := range tasks {
		name := tasks[i].Service
		if asked[name] {
			continue
		}
		asked[name] = true
		s, err := c.Service(ctx, name)
		if err != nil {
			continue // an older engine, or the brokers are away: the rest is known
		}
		r := reason{What: "service", Detail: fmt.Sprintf("%s: %s tasks wait in all, %s workers", name, count(s.Lag), count(s.Members))}
		for _, text := range holdups(&s) {
			r.Detail += "; " + text
		}
		if s.Paused {
			r.Do = "odradek service resume " + name
		} else {
			r.Do = "odradek service show " + name
		}
		out = append(out, r)
	}
	return out
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return " by " + who
}

func taskReason(id string, t *api.PendingTask) reason {
	number := t.Task[strings.LastIndexByte(t.Task, '.')+1:]
	name := taskName(t.Service, t.Operation)
	r := reason{What: "task", Detail: fmt.Sprintf("%s (%s), attempt %d is out since %s", name, number, t.Attempt, moment(t.ScheduledAt))}
	if t.Attempt > 1 {
		r.Detail = fmt.Sprintf("%s (%s), attempt %d is out", name, number, t.Attempt)
	}
	if t.Service != "" {
		r.Do = fmt.Sprintf("is a worker of service %s running? odradek wf retry %s --task %s sends another attempt", t.Service, id, number)
	}
	if !t.NextAt.IsZero() {
		r.Detail = fmt.Sprintf("%s (%s), attempt %d goes out at %s", name, number, t.Attempt, moment(t.NextAt))
		r.Do = fmt.Sprintf("odradek wf retry %s sends it now", id)
	}
	switch {
	case t.Pending && t.NextAt.IsZero():
		r.Detail = fmt.Sprintf("%s (%s), attempt %d is answered from outside, by whoever has its token", name, number, t.Attempt)
		r.Do = fmt.Sprintf("odradek wf retry %s --task %s sends another attempt", id, number)
	case t.Pending:
		r.Detail = fmt.Sprintf("%s (%s), attempt %d goes on elsewhere: asked %d times, it goes out at %s", name, number, t.Attempt, t.Sending-1, moment(t.NextAt))
	}
	if t.Quarantined {
		r.Detail = fmt.Sprintf("%s (%s) is quarantined, its attempts take workers down: attempt %d waits for an operator", name, number, t.Attempt)
		r.Do = fmt.Sprintf("odradek wf retry %s --task %s, once the worker stands it", id, number)
	}
	if t.LastFailure != nil {
		r.Detail += "; the last one failed: " + failureText(t.LastFailure)
	}
	return r
}
