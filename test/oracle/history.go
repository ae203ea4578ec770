package oracle

import (
	"fmt"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

// Histories follows the histories of all runs as the changelog has them (O2).
type Histories struct {
	runs      map[record.RunID]*history
	workflows map[string][]record.RunID
}

type history struct {
	workflowID string
	partition  int32
	events     uint64
	chunks     uint64
	open       map[uint64]record.HistoryKind // tasks and timers, by number
	closed     bool
	tasks      int // that were closed
}

// NewHistories makes an empty one.
func NewHistories() *Histories {
	return &Histories{runs: map[record.RunID]*history{}, workflows: map[string][]record.RunID{}}
}

// Add takes a record of the changelog, in the order of its partition.
func (h *Histories) Add(v *Verdict, r Record) error {
	k, err := codec.DecodeKey(r.Key)
	if err != nil {
		return fmt.Errorf("changelog/%d offset %d: %w", r.Partition, r.Offset, err)
	}
	if k.Kind != codec.RowChunk || r.Value == nil { // a tombstone: its retention is over
		return nil
	}
	events, err := codec.DecodeChunk(r.Value)
	if err != nil {
		return fmt.Errorf("changelog/%d offset %d: chunk %d of run %s: %w", r.Partition, r.Offset, k.No, k.Run, err)
	}
	run := h.runs[k.Run]
	if run == nil {
		run = &history{workflowID: k.WorkflowID, partition: r.Partition, open: map[uint64]record.HistoryKind{}}
		h.runs[k.Run] = run
		h.workflows[k.WorkflowID] = append(h.workflows[k.WorkflowID], k.Run)
	}
	if run.partition != r.Partition {
		v.broken("run %s of %s is on partitions %d and %d", k.Run, k.WorkflowID, run.partition, r.Partition)
	}
	if k.No != run.chunks+1 {
		if k.No <= run.chunks {
			v.doubled(1, "run %s of %s: chunk %d stands twice on the changelog, again at offset %d", k.Run, k.WorkflowID, k.No, r.Offset)
			return nil
		}
		v.broken("run %s of %s: chunk %d follows chunk %d", k.Run, k.WorkflowID, k.No, run.chunks)
	}
	run.chunks = k.No
	for _, e := range events {
		run.add(v, k.Run, e)
	}
	return nil
}

func (h *history) add(v *Verdict, id record.RunID, e record.HistoryEvent) {
	where := func() string {
		return fmt.Sprintf("run %s of %s, event %d (%s)", id, h.workflowID, e.No, e.Body.HistoryKind())
	}
	if e.No != h.events+1 {
		v.broken("%s: it follows event %d", where(), h.events)
	}
	h.events = e.No
	if h.closed {
		v.doubled(1, "%s: the run was closed before", where())
	}
	shut := func(no uint64, opened record.HistoryKind) {
		if h.open[no] != opened {
			v.doubled(1, "%s: no open %s has number %d: it is closed a second time, or was never there", where(), opened, no)
		}
		delete(h.open, no)
	}
	switch b := e.Body.(type) {
	case *record.RunStarted:
		if e.No != 1 {
			v.doubled(1, "%s: a run starts with event 1", where())
		}
	case *record.TaskScheduled, *record.TimerStarted:
		h.open[e.No] = e.Body.HistoryKind()
	case *record.HistoryTaskCompleted:
		shut(b.Task, record.KindTaskScheduled)
		h.tasks++
	case *record.HistoryTaskFailed:
		shut(b.Task, record.KindTaskScheduled)
		h.tasks++
	case *record.TimerFired:
		shut(b.Timer, record.KindTimerStarted)
	case *record.TimerCancelled:
		shut(b.Timer, record.KindTimerStarted)
	case *record.RunCompleted, *record.RunFailed:
		h.closed = true
	}
}

// Runs is how many runs have closed.
func (h *Histories) Runs() (closed int) {
	for _, run := range h.runs {
		if run.closed {
			closed++
		}
	}
	return closed
}

// Judge says what is wrong if each of these workflows is to have one run, closed
// after so many tasks. No workflow may have two.
func (h *Histories) Judge(v *Verdict, tasks map[string]int) {
	for id, runs := range h.workflows {
		if len(runs) > 1 {
			v.doubled(len(runs)-1, "workflow %s has %d runs: %v", id, len(runs), runs)
		}
	}
	for id, want := range tasks {
		runs := h.workflows[id]
		if len(runs) == 0 {
			v.missing(1, "workflow %s was accepted and has no run", id)
			continue
		}
		switch run := h.runs[runs[0]]; {
		case !run.closed:
			v.missing(1, "workflow %s has not closed: %d events, %d tasks done", id, run.events, run.tasks)
		case run.tasks != want:
			v.broken("workflow %s closed %d tasks, not %d", id, run.tasks, want)
		}
	}
}
