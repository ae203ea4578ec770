package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/workflows/billing/apis"
)

// progress is where a customer's process is, by its run and its history.
type progress struct {
	customer string
	known    bool // the run was seen
	closed   bool
	failed   bool
	billed   int    // whole months
	done     int    // steps done of the month under way, 0 to 4
	running  bool   // the next step is under way
	waiting  string // what the process waits for
	last     string // last event
	lastAt   time.Time
}

// event is what progress needs of a history event's public JSON.
type event struct {
	Kind      string    `json:"kind"`
	At        time.Time `json:"at"`
	Service   string    `json:"service"`
	Operation string    `json:"operation"`
	No        int64     `json:"event"`
	Task      int64     `json:"task"`
	Name      string    `json:"name"`
}

// progressOf reads a run and its history.
func progressOf(customer string, w *client.Workflow, history []json.RawMessage, now time.Time) (progress, error) {
	p := progress{customer: customer, known: true, closed: w.Status != api.StatusRunning, failed: w.Status == api.StatusFailed}
	tasks := map[int64]event{}
	for _, raw := range history {
		var e event
		if err := json.Unmarshal(raw, &e); err != nil {
			return p, fmt.Errorf("history of %s: %w", customer, err)
		}
		switch e.Kind {
		case "task_scheduled":
			tasks[e.No] = e
			p.running = true
			continue // a decision: what counts is the event that led to it
		case "task_completed", "task_failed":
			t := tasks[e.Task]
			p.last = t.Service + "." + t.Operation + " " + e.Kind[len("task_"):]
			p.running = false
			if p.done++; p.done == len(apis.Services()) {
				p.done = 0
				p.billed++
			}
		case "run_started":
			p.last = "started"
		case "signal_received":
			p.last = "signal " + e.Name
		case "timer_fired":
			p.last = "month ended"
		case "run_completed":
			p.last = "completed"
		case "run_failed":
			p.last = "failed"
		default:
			continue
		}
		p.lastAt = e.At
	}
	p.waiting = waiting(w, now)
	return p, nil
}

// waiting says what a run waits for.
func waiting(w *client.Workflow, now time.Time) string {
	switch {
	case w.Status == api.StatusFailed && w.Failure != nil:
		return "failed: " + w.Failure.Code
	case w.Status != api.StatusRunning:
		return "done"
	case w.Stuck != nil:
		return "stuck: " + w.Stuck.Code
	case w.Pending == nil:
		return ""
	}
	if len(w.Pending.Tasks) > 0 {
		t := w.Pending.Tasks[0]
		s := t.Service + "." + t.Operation
		if t.Attempt > 1 {
			s += fmt.Sprintf(", attempt %d", t.Attempt)
			if t.LastFailure != nil {
				s += " after " + t.LastFailure.Code
			}
			if left := t.NextAt.Sub(now); left > 0 {
				s += " in " + seconds(left)
			}
		}
		return s
	}
	if len(w.Pending.Timers) > 0 {
		t := w.Pending.Timers[0]
		if left := t.Due.Sub(now); left > 0 {
			return "end of the month in " + seconds(left)
		}
		return "end of the month"
	}
	return ""
}

// seconds writes a short time.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", max(0, d.Seconds())) }
