package job

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/odradek/odradek/workflow"
)

// Type is the workflow type of a job; every engine has it. Its input is a Spec, its result
// a Report.
const Type = "odradek.job"

// Describe shows what a job has done so far.
var Describe = workflow.NewQuery[struct{}, Report]("describe")

// Report is what a job has done.
type Report struct {
	Spec       Spec      `json:"spec"`
	Made       time.Time `json:"made"`       // what came later is not its concern (J1)
	Partitions int32     `json:"partitions"` // 0: not known yet
	Through    int32     `json:"through"`    // partitions that it is through with
	Fit        int64     `json:"fit"`        // how many fitted when it began, for people
	Matched    int64     `json:"matched"`    // to which it came: the sum of the next two
	Done       int64     `json:"done"`
	Refused    int64     `json:"refused"`
	Refusals   []Refusal `json:"refusals,omitempty"` // the first 20
	Cancelled  bool      `json:"cancelled,omitempty"`
}

// Refusal is a run or a dead letter to which it was not done.
type Refusal struct {
	WorkflowID string `json:"workflow_id,omitempty"`
	RunID      string `json:"run_id,omitempty"`
	DeadLetter string `json:"dead_letter,omitempty"`
	Code       string `json:"code"`
	Detail     string `json:"detail"`
}

// refusalsMax bounds what a job tells of refusals: the histories have all of them.
const refusalsMax = 20

// state is what a job carries on.
type state struct {
	Report
	After position // in the partition Through
	Pages int64
}

// Definitions are the workflow types of jobs, which e carries out.
func Definitions(e Engine) []workflow.Definition {
	place := workflow.NewLocalTask("place", func(_ context.Context, in placing) (placed, error) { return place(e, in), nil })
	job := workflow.Define(Type, func(ctx workflow.Context, spec Spec) (Report, error) {
		id := workflow.Info(ctx).WorkflowID
		if err := CheckName(Name(id)); err != nil || !strings.HasPrefix(id, prefix) {
			return Report{}, &workflow.Failure{Kind: workflow.FailureApplication, Code: "job_name_invalid", Message: fmt.Sprintf("workflow %q cannot be a job: its ID is %q and the job's name, visible ASCII without a slash", id, prefix)}
		}
		begun := false
		out, err := workflow.Loop(ctx, state{Report: Report{Spec: spec, Made: workflow.Now(ctx)}}, func(ctx workflow.Context, s *state) (bool, error) {
			if !begun {
				begun = true
				Describe.Handle(ctx, func(struct{}) (Report, error) { return s.Report, nil })
			}
			return s.turn(ctx, place)
		})
		return out.Report, err
	}, place, Describe)
	return []workflow.Definition{job, pages(e)}
}

// child is a page, which is ended also if the job is terminated.
var child = workflow.NewChild[page, paged](PageType, workflow.OnClose(workflow.AbandonChild))

// turn does a page and waits for as long as the rate wants.
func (s *state) turn(ctx workflow.Context, place workflow.LocalTask[placing, placed]) (done bool, err error) {
	if s.Cancelled = workflow.Err(ctx) != nil; s.Cancelled {
		return true, nil
	}
	begun := workflow.Now(ctx)
	whole := workflow.Detached(ctx) // (J4)
	in := page{Job: Name(workflow.Info(ctx).WorkflowID), Spec: s.Spec, Made: s.Made}
	if s.Partitions == 0 {
		return false, s.count(whole, place, in)
	}
	in.Partition, in.After, in.Size = s.Through, s.After, s.size()
	at, err := place.Run(whole, placing{Job: in.Job, Page: s.Pages, Partition: s.Through})
	if err != nil {
		return false, err
	}
	out, err := child.With(workflow.WithID(at.WorkflowIDs[0])).Run(whole, in)
	if err != nil {
		return false, err
	}
	s.Pages, s.After = s.Pages+1, out.Next
	refused := out.Outcome.Refusals
	n := int(out.Outcome.Done) + len(refused)
	s.Matched, s.Done, s.Refused = s.Matched+int64(n), s.Done+out.Outcome.Done, s.Refused+int64(len(refused))
	s.Refusals = append(s.Refusals, refused[:min(len(refused), refusalsMax-len(s.Refusals))]...)
	if out.Last {
		s.Through, s.After = s.Through+1, position{}
	}
	if s.Through >= s.Partitions || s.Spec.Limit > 0 && s.Matched >= s.Spec.Limit {
		return true, nil
	}
	if n > 0 {
		_ = workflow.SleepUntil(ctx, begun.Add(s.Spec.pace(n))) // an error is a cancellation, which the next turn sees
	}
	return false, nil
}

// count lets all partitions count at the same time.
func (s *state) count(ctx workflow.Context, place workflow.LocalTask[placing, placed], in page) error {
	at, err := place.Run(ctx, placing{Job: in.Job, Partition: each})
	if err != nil {
		return err
	}
	var counts []workflow.Future[paged]
	for p, id := range at.WorkflowIDs {
		in.Partition = int32(p)
		counts = append(counts, child.With(workflow.WithID(id)).Start(ctx, in))
	}
	for _, f := range counts {
		out, err := f.Get(ctx)
		if err != nil {
			return err
		}
		s.Fit += out.Fit
	}
	s.Pages, s.Partitions = 1, int32(len(counts))
	return nil
}

// size of the next page: a second's worth, so that a cancelled job ends soon.
func (s *state) size() int {
	n := min(max(int64(s.Spec.Rate), 1), sizeMax)
	if s.Spec.Limit > 0 {
		n = min(n, s.Spec.Limit-s.Matched)
	}
	return int(n)
}
