package schedule

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/odradek/odradek/workflow"
)

// Type is the workflow type of a schedule; every engine has it. Its input is a Spec.
const Type = "odradek.schedule"

// What a schedule takes.
var (
	// Describe shows a schedule.
	Describe = workflow.NewQuery[struct{}, Description]("describe")
	// Pause lets no firing start anything until Resume. What is missed meanwhile is made
	// up for within CatchUp.
	Pause = workflow.NewUpdate[Note, Description]("pause")
	// Resume undoes Pause.
	Resume = workflow.NewUpdate[Note, Description]("resume")
	// Trigger starts the workflow now, whatever the clock says.
	Trigger = workflow.NewUpdate[Note, string]("trigger")
	// Backfill makes up for the firings between two moments, both included, and gives the
	// IDs of what it started. Overlap holds for them too, but for skip, which counts as allow.
	Backfill = workflow.NewUpdate[Period, []string]("backfill")
	// Change replaces the spec. Firings go on from now.
	Change = workflow.NewUpdate[Spec, Description]("change")
)

// Note says why, for people.
type Note struct {
	Reason string `json:"reason,omitempty"`
}

// Period is the time between two moments.
type Period struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
}

// Description is what a schedule is and does.
type Description struct {
	Spec     Spec        `json:"spec"`
	Paused   bool        `json:"paused"`
	Note     string      `json:"note,omitempty"` // of the last pause or resume
	Next     []time.Time `json:"next"`           // firings, without jitter; at most 10
	Running  []string    `json:"running"`        // workflow IDs
	Started  int         `json:"started"`        // since the beginning
	Buffered int         `json:"buffered"`       // firings that wait for an earlier workflow
	Skipped  int         `json:"skipped"`        // because of Overlap
	Missed   int         `json:"missed"`         // later than CatchUp
	Last     string      `json:"last,omitempty"` // workflow ID of the last one
	Failed   int         `json:"failed"`         // that did not complete, or could not be started
}

// nextShown is how many firings a description has.
const nextShown = 10

// backfillMax bounds one backfill.
const backfillMax = 1000

// bufferMax bounds the firings that wait; further ones are left out.
const bufferMax = 1000

// catchUpDefault is CatchUp where the spec leaves it out.
const catchUpDefault = time.Minute

// state is what a schedule carries on.
type state struct {
	Description
	Behind time.Time   // firings up to this moment have been dealt with
	Buffer []time.Time // firings that wait for an earlier workflow
}

// Definition is the workflow of schedules.
var Definition = workflow.Define(Type, func(ctx workflow.Context, spec Spec) (Description, error) {
	r := &runner{}
	return r.run(ctx, spec)
}, Describe, Pause, Resume, Trigger, Backfill, Change)

var child = workflow.NewChild[json.RawMessage, json.RawMessage]

// runner is a schedule that runs.
type runner struct {
	s       *state
	wake    workflow.CancelFunc // ends the wait for the next firing
	cancels map[string]workflow.CancelFunc
}

func (r *runner) run(ctx workflow.Context, spec Spec) (Description, error) {
	first := state{Description: Description{Spec: spec}, Behind: workflow.Now(ctx)}
	begun := false
	out, err := workflow.Loop(ctx, first, func(ctx workflow.Context, s *state) (bool, error) {
		r.s = s
		if !begun {
			begun = true
			r.cancels = map[string]workflow.CancelFunc{}
			r.handle(ctx)
			for _, id := range slices.Clone(s.Running) { // of the run before this one
				r.attach(ctx, id)
			}
		}
		next := s.Spec.Next(s.Behind)
		switch {
		case next.IsZero() && len(s.Running) == 0 && len(s.Buffer) == 0:
			return true, nil // it is over
		case next.IsZero():
			before := len(s.Running)
			return false, workflow.Until(ctx, func() bool { return len(r.s.Running) < before || !r.s.Spec.Next(r.s.Behind).IsZero() })
		}
		return false, r.await(ctx, next)
	})
	return out.Description, err
}

// await waits for a firing, or until something changes, and deals with what is due.
func (r *runner) await(ctx workflow.Context, next time.Time) error {
	waiting, wake := workflow.WithCancel(ctx)
	r.wake = wake
	err := workflow.SleepUntil(waiting, next.Add(r.delay(next)))
	wake()
	if cause := workflow.Err(ctx); cause != nil {
		return cause
	}
	if err != nil { // woken
		return nil
	}
	if r.s.Paused {
		return workflow.Until(ctx, func() bool { return !r.s.Paused })
	}
	now := workflow.Now(ctx)
	for at := next; !at.IsZero() && !at.After(now); at = r.s.Spec.Next(at) {
		r.s.Behind = at
		late := time.Duration(r.s.Spec.CatchUp)
		if late == 0 {
			late = catchUpDefault
		}
		if now.Sub(at) > late+r.delay(at) {
			r.s.Missed++
			continue
		}
		r.fire(ctx, at)
	}
	return nil
}

// delay is a firing's jitter: the same whenever it is asked for.
func (r *runner) delay(at time.Time) time.Duration {
	j := time.Duration(r.s.Spec.Jitter)
	if j <= 0 {
		return 0
	}
	h := fnv.New64a()
	fmt.Fprint(h, r.s.Spec.Workflow.ID, at.UnixNano())
	return time.Duration(h.Sum64() % uint64(j))
}

// fire does with a firing what the overlap rule says.
func (r *runner) fire(ctx workflow.Context, at time.Time) {
	s := r.s
	switch {
	case len(s.Running) == 0 || s.Spec.Overlap == Allow:
		r.start(ctx, r.id(at))
	case s.Spec.Overlap == BufferOne && len(s.Buffer) == 0, s.Spec.Overlap == BufferAll && len(s.Buffer) < bufferMax:
		s.Buffer = append(s.Buffer, at)
	case s.Spec.Overlap == Cancel:
		s.Skipped += len(s.Buffer)
		s.Buffer = []time.Time{at}
		for _, id := range s.Running {
			r.cancels[id]()
		}
	default:
		s.Skipped++
	}
}

func (r *runner) id(at time.Time) string {
	return r.s.Spec.Workflow.ID + "-" + at.UTC().Format(time.RFC3339)
}

// start starts a workflow and follows it to its close.
func (r *runner) start(ctx workflow.Context, id string) {
	c := child(r.s.Spec.Workflow.Type, workflow.WithID(id), workflow.OnClose(workflow.AbandonChild))
	input := r.s.Spec.Workflow.Input
	if len(input) == 0 {
		input = json.RawMessage("null")
	}
	scope, cancel := workflow.WithCancel(workflow.Detached(ctx))
	r.s.Started++
	r.s.Last = id
	r.s.Running = append(r.s.Running, id)
	r.follow(ctx, id, c.Start(scope, input), cancel)
}

func (r *runner) attach(ctx workflow.Context, id string) {
	scope, cancel := workflow.WithCancel(workflow.Detached(ctx))
	f, ok := child(r.s.Spec.Workflow.Type).Attach(scope, id)
	if !ok {
		r.s.Running = slices.DeleteFunc(r.s.Running, func(x string) bool { return x == id })
		return
	}
	r.follow(ctx, id, f, cancel)
}

func (r *runner) follow(ctx workflow.Context, id string, f workflow.Future[json.RawMessage], cancel workflow.CancelFunc) {
	r.cancels[id] = cancel
	workflow.Go(workflow.Detached(ctx), func(ctx workflow.Context) {
		_, err := f.Get(ctx)
		s := r.s
		if failed, ok := errors.AsType[*workflow.ChildError](err); ok && failed.Status != "cancelled" {
			s.Failed++
		}
		delete(r.cancels, id)
		s.Running = slices.DeleteFunc(s.Running, func(x string) bool { return x == id })
		if len(s.Buffer) > 0 && len(s.Running) == 0 {
			at := s.Buffer[0]
			s.Buffer = s.Buffer[1:]
			r.start(ctx, r.id(at))
		}
	})
}

// handle says how the schedule is asked and changed.
func (r *runner) handle(ctx workflow.Context) {
	Describe.Handle(ctx, func(struct{}) (Description, error) { return r.describe(), nil })
	Pause.Handle(ctx, func(_ workflow.Context, n Note) (Description, error) {
		r.s.Paused, r.s.Note = true, n.Reason
		r.again()
		return r.describe(), nil
	})
	Resume.Handle(ctx, func(_ workflow.Context, n Note) (Description, error) {
		r.s.Paused, r.s.Note = false, n.Reason
		r.again()
		return r.describe(), nil
	})
	Trigger.Handle(ctx, func(ctx workflow.Context, _ Note) (string, error) {
		id := r.id(workflow.Now(ctx))
		if slices.Contains(r.s.Running, id) {
			return id, nil
		}
		r.start(ctx, id)
		return id, nil
	})
	Backfill.Handle(ctx, func(ctx workflow.Context, p Period) ([]string, error) {
		ids := []string{}
		for at := r.s.Spec.Next(p.From.Add(-time.Nanosecond)); !at.IsZero() && !at.After(p.Until); at = r.s.Spec.Next(at) {
			if o := r.s.Spec.Overlap; o == BufferOne || o == BufferAll || o == Cancel {
				if err := workflow.Until(ctx, func() bool { return len(r.s.Running) == 0 }); err != nil {
					return nil, err
				}
			}
			id := r.id(at)
			r.start(ctx, id)
			ids = append(ids, id)
		}
		return ids, nil
	}, workflow.Validate(func(p Period) error {
		if p.Until.Before(p.From) {
			return &workflow.Failure{Kind: workflow.FailureApplication, Code: "period_invalid", Message: "until is before from"}
		}
		n := 0
		for at := r.s.Spec.Next(p.From.Add(-time.Nanosecond)); !at.IsZero() && !at.After(p.Until); at = r.s.Spec.Next(at) {
			if n++; n > backfillMax {
				return &workflow.Failure{Kind: workflow.FailureApplication, Code: "period_invalid", Message: fmt.Sprintf("there are more than %d firings in it: use shorter periods", backfillMax)}
			}
		}
		return nil
	}))
	Change.Handle(ctx, func(ctx workflow.Context, spec Spec) (Description, error) {
		r.s.Spec, r.s.Behind = spec, workflow.Now(ctx)
		r.again()
		return r.describe(), nil
	})
}

// again lets the loop look anew at what comes next.
func (r *runner) again() {
	if r.wake != nil {
		r.wake()
	}
}

func (r *runner) describe() Description {
	d := r.s.Description
	d.Buffered = len(r.s.Buffer)
	d.Next, d.Running = []time.Time{}, append([]string{}, d.Running...)
	for at := d.Spec.Next(r.s.Behind); !at.IsZero() && len(d.Next) < nextShown; at = d.Spec.Next(at) {
		d.Next = append(d.Next, at)
	}
	return d
}

// WorkflowID is the ID of the schedule of a name.
func WorkflowID(name string) string { return "schedule/" + name }

// Name is the inverse of WorkflowID; the ID itself for another one.
func Name(workflowID string) string { return strings.TrimPrefix(workflowID, "schedule/") }
