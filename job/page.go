package job

import (
	"context"
	"fmt"
	"time"

	"github.com/odradek/odradek/internal/filter"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

// PageType is the workflow type of a page of a job, a child of it.
const PageType = "odradek.job.page"

// pageKept is how long a page's history is kept: the job's says what came of it.
const pageKept = time.Hour

// sizeMax bounds a page: so many commands are under way at once.
const sizeMax = 100

// Engine is what jobs need of the instance that carries them out. Its methods are called
// from many goroutines. An error of one is tried again.
type Engine interface {
	// Partitions is the number of partitions.
	Partitions() int32
	// Partition is where a workflow belongs.
	Partition(workflowID string) int32
	// Runs reads runs of a partition that this instance owns.
	Runs(ctx context.Context, partition int32, q Query) ([]record.RunRow, error)
	// Count counts them, without a limit and a place.
	Count(ctx context.Context, partition int32, q Query) (int64, error)
	// DeadLetters reads up to n dead letters of a partition that this instance owns, behind
	// one if it is not nil, with a code if it is not empty.
	DeadLetters(ctx context.Context, partition int32, after *record.Origin, code string, n int) ([]record.DeadLetterRow, error)
	// Submit gives commands to partitions that this instance owns, all at once, and answers
	// in their order when all have settled.
	Submit(ctx context.Context, commands []Command) ([]record.Reply, error)
}

// Query asks for up to Limit runs, newest start first, behind a place.
type Query struct {
	Status record.Status // StatusNone: any
	Filter filter.Filter
	Limit  int
	// Started and Run are the place: those of a run, or of none.
	Started record.Millis
	Run     record.RunID
}

// Command is a command for a workflow; for a dead letter WorkflowID is its ID.
type Command struct {
	WorkflowID string
	Body       record.Body
}

// position is a place in a partition: behind a run, or behind a dead letter. The zero
// position is the beginning.
type position struct {
	Started record.Millis `json:"started,omitempty"`
	Run     string        `json:"run,omitempty"`
	Letter  string        `json:"letter,omitempty"`
}

// page is what a page is asked for; with the size 0 it counts.
type page struct {
	Job       string    `json:"job"`
	Spec      Spec      `json:"spec"`
	Made      time.Time `json:"made"`
	Partition int32     `json:"partition"`
	After     position  `json:"after"`
	Size      int       `json:"size"`
}

// found is to what a page comes.
type found struct {
	Targets []target `json:"targets,omitempty"`
	Next    position `json:"next"`
	Last    bool     `json:"last,omitempty"` // there is no more in the partition
}

// target is a run or a dead letter.
type target struct {
	WorkflowID string `json:"workflow_id,omitempty"`
	RunID      string `json:"run_id,omitempty"`
	Letter     string `json:"letter,omitempty"`
}

// order is what is done to what was found.
type order struct {
	Job     string   `json:"job"`
	Spec    Spec     `json:"spec"`
	Targets []target `json:"targets"`
}

// outcome is what came of it.
type outcome struct {
	Done     int64     `json:"done"`
	Refusals []Refusal `json:"refusals,omitempty"`
}

// paged is what a page has done.
type paged struct {
	Outcome outcome  `json:"outcome"`
	Next    position `json:"next"`
	Last    bool     `json:"last,omitempty"`
	Fit     int64    `json:"fit,omitempty"` // of one that counts
}

// pages is the type of pages. What a page comes to is history before anything is done to
// it: tried again after a crash it is done to the same ones, with the same command IDs.
func pages(e Engine) workflow.Definition {
	find := workflow.NewLocalTask("find", func(ctx context.Context, in page) (found, error) { return find(ctx, e, in) })
	count := workflow.NewLocalTask("count", func(ctx context.Context, in page) (int64, error) { return count(ctx, e, in) })
	do := workflow.NewLocalTask("do", func(ctx context.Context, in order) (outcome, error) { return do(ctx, e, in) })
	return workflow.Define(PageType, func(ctx workflow.Context, in page) (paged, error) {
		if in.Size == 0 {
			n, err := count.Run(ctx, in)
			return paged{Fit: n}, err
		}
		f, err := find.Run(ctx, in)
		out := paged{Next: f.Next, Last: f.Last}
		if err != nil || len(f.Targets) == 0 {
			return out, err
		}
		out.Outcome, err = do.Run(ctx, order{in.Job, in.Spec, f.Targets})
		return out, err
	}, find, count, do, workflow.Retention(pageKept), workflow.History(workflow.HistoryOff))
}

// placing asks for workflow IDs for a page: one of a partition, or one of each.
type placing struct {
	Job       string `json:"job"`
	Page      int64  `json:"page"`
	Partition int32  `json:"partition"` // each: of every partition, in order
}

const each = -1

type placed struct {
	WorkflowIDs []string `json:"workflow_ids"`
}

// place tries one workflow ID after another: each is of a partition with the chance of one
// in as many as there are.
func place(e Engine, in placing) placed {
	first, n := in.Partition, int32(1)
	if in.Partition == each {
		first, n = 0, e.Partitions()
	}
	ids := make([]string, n)
	for try, missing := 0, n; missing > 0; try++ {
		id := fmt.Sprintf("%s/%d.%d", WorkflowID(in.Job), in.Page, try)
		if i := e.Partition(id) - first; i >= 0 && i < n && ids[i] == "" {
			ids[i], missing = id, missing-1
		}
	}
	return placed{ids}
}

// chosen is what is asked of a partition.
func (p *page) chosen() (Query, error) {
	f, err := p.Spec.others(p.Made)
	return Query{Status: p.Spec.Operation.Status(), Filter: f}, err
}

// count is about what is there now: it is for people.
func count(ctx context.Context, e Engine, in page) (n int64, err error) {
	if !in.Spec.Operation.OfDeadLetters() {
		q, err := in.chosen()
		if err != nil {
			return 0, err
		}
		return e.Count(ctx, in.Partition, q)
	}
	for in.Size = sizeMax; ; {
		f, err := findLetters(ctx, e, in)
		if err != nil {
			return 0, err
		}
		if n += int64(len(f.Targets)); f.Last {
			return n, nil
		}
		in.After = f.Next
	}
}

// find comes behind the commit and the settling of the batch that has asked for it: what the
// partition stepped before is in the rows that are read.
func find(ctx context.Context, e Engine, in page) (found, error) {
	if in.Spec.Operation.OfDeadLetters() {
		return findLetters(ctx, e, in)
	}
	q, err := in.chosen()
	if err != nil {
		return found{}, err
	}
	q.Limit, q.Started = in.Size, in.After.Started
	if q.Started == 0 {
		q.Started = record.MillisOf(in.Made) + 1 // in front of the runs of this millisecond, the run IDs of which ascend (J1)
		for i := range q.Run {
			q.Run[i] = 0xff
		}
	} else if q.Run, err = record.ParseRunID(in.After.Run); err != nil {
		return found{}, err
	}
	rows, err := e.Runs(ctx, in.Partition, q)
	if err != nil {
		return found{}, err
	}
	out := found{Last: len(rows) < in.Size}
	for i := range rows {
		r := &rows[i]
		out.Next = position{Started: r.StartedAt, Run: r.Run.String()}
		out.Targets = append(out.Targets, target{WorkflowID: r.WorkflowID, RunID: r.Run.String()})
	}
	return out, nil
}

// findLetters leaves out what was written since: a record that is taken in may be a dead
// letter again.
func findLetters(ctx context.Context, e Engine, in page) (found, error) {
	var after *record.Origin
	if in.After.Letter != "" {
		o, err := record.ParseDeadLetterID(in.After.Letter)
		if err != nil {
			return found{}, err
		}
		after = &o
	}
	rows, err := e.DeadLetters(ctx, in.Partition, after, in.Spec.Code, in.Size)
	if err != nil {
		return found{}, err
	}
	out := found{Last: len(rows) < in.Size}
	for i := range rows {
		out.Next = position{Letter: rows[i].ID()}
		if rows[i].At <= record.MillisOf(in.Made) {
			out.Targets = append(out.Targets, target{Letter: rows[i].ID()})
		}
	}
	return out, nil
}

func do(ctx context.Context, e Engine, in order) (outcome, error) {
	commands := make([]Command, len(in.Targets))
	for i, t := range in.Targets {
		var err error
		if commands[i], err = in.command(t); err != nil {
			return outcome{}, err
		}
	}
	replies, err := e.Submit(ctx, commands)
	if err != nil {
		return outcome{}, err
	}
	var out outcome
	for i, r := range replies {
		if !r.Outcome.Rejected() {
			out.Done++
			continue
		}
		t := in.Targets[i]
		out.Refusals = append(out.Refusals, Refusal{WorkflowID: t.WorkflowID, RunID: t.RunID, DeadLetter: t.Letter, Code: r.Outcome.String(), Detail: r.Detail})
	}
	return out, nil
}

// command is what a target gets (J2).
func (o *order) command(t target) (Command, error) {
	s := &o.Spec
	if t.Letter != "" {
		at, err := record.ParseDeadLetterID(t.Letter)
		return Command{t.Letter, &record.Redrive{Origin: at, Discard: s.Operation == DiscardDeadLetters, CommandID: WorkflowID(o.Job) + "/" + t.Letter, Reason: s.Reason, By: s.By, Reply: true}}, err
	}
	run, err := record.ParseRunID(t.RunID)
	id := WorkflowID(o.Job) + "/" + t.RunID
	operate := func(op record.Operation) Command {
		return Command{t.WorkflowID, &record.Operate{Op: op, CommandID: id, Run: run, NewKey: s.NewKey, Reason: s.Reason, By: s.By, Reply: true}}
	}
	switch s.Operation {
	case Retry:
		return operate(record.OperateRetry), err
	case Pause:
		return operate(record.OperatePause), err
	case Resume:
		return operate(record.OperateResume), err
	case Cancel:
		return Command{t.WorkflowID, &record.Cancel{CommandID: id, Run: run, Reason: s.Reason, By: s.By, Reply: true}}, err
	}
	return Command{t.WorkflowID, &record.Terminate{CommandID: id, Run: run, Reason: s.Reason, By: s.By, Reply: true}}, err
}
