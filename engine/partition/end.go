package partition

import (
	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/record"
)

// cancel asks a run to end: its code sees it, in a turn of its own.
func (p *Partition) cancel(e *entry, r *record.Record, c *record.Cancel) error {
	known, err := p.knownOf(e, c.CommandID)
	if err != nil {
		return err
	}
	got := machine.ReceiveCancel(e.stateOrNil(), r.WorkflowID, c, known)
	if got.Event != nil {
		if err := p.deliver(e, got.Event, record.InboxRow{Cancel: c}); err != nil {
			return err
		}
	}
	p.answer(r, c.CommandID, c.Reply, e.runID(), got)
	return nil
}

// terminate closes a run without its code, which may be what does not work.
func (p *Partition) terminate(e *entry, r *record.Record, c *record.Terminate) error {
	known, err := p.knownOf(e, c.CommandID)
	if err != nil {
		return err
	}
	got := machine.ReceiveTerminate(e.stateOrNil(), r.WorkflowID, c, known, p.cfg.RetentionSummary)
	if got.Event != nil {
		if err := p.terminated(e, got.Event); err != nil {
			return err
		}
	}
	p.answer(r, c.CommandID, c.Reply, e.runID(), got)
	return nil
}

func (p *Partition) terminated(e *entry, body record.HistoryBody) error {
	p.cancelTasks(e)
	p.stopChildren(e)
	p.append(e, record.HistoryEvent{No: e.state.Run.Events + 1, At: p.now, Body: body})
	return p.closed(e, body)
}

// knownOf is known for a workflow that may be unknown; a stuck run gets its try first.
func (p *Partition) knownOf(e *entry, commandID string) (bool, error) {
	if e == nil {
		return false, nil
	}
	if err := p.wake(e); err != nil {
		return false, err
	}
	return p.known(e, commandID)
}

func (e *entry) runID() record.RunID {
	if e == nil {
		return record.RunID{}
	}
	return e.state.Run.Run
}

// cancelTasks tells the workers that nobody waits for the open tasks any more (W6).
func (p *Partition) cancelTasks(e *entry) {
	for i := range e.state.Tasks {
		p.cancelTask(e, &e.state.Tasks[i])
	}
}

// cancelTask tells the workers of one task.
func (p *Partition) cancelTask(e *entry, t *record.TaskRow) {
	if t.Local() {
		p.batch.LocalEnds = append(p.batch.LocalEnds, record.TaskID{Run: e.state.Run.Run, No: t.No})
		return
	}
	out := codec.EncodeTaskCancel(&e.state.Run, t)
	out.Partition = p.cfg.Partition
	p.output(out)
}
