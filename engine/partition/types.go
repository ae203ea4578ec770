package partition

import (
	"fmt"
	"slices"

	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/record"
)

// A paused workflow type holds its runs without touching them: each finds out when its code
// is to see something, and is then one that does not go on (T4). So a pause costs the same
// however many runs there are.

// typesMax bounds the types that are kept note of: a sender may have invented them.
const typesMax = 1000

// recallTypes reads what was done to workflow types.
func (p *Partition) recallTypes() error {
	rows, err := p.view.TypeRows()
	if err != nil {
		return fmt.Errorf("read the paused workflow types of partition %d: %w", p.cfg.Partition, err)
	}
	p.typeRows = make(map[string]record.TypeRow, len(rows))
	for _, row := range rows {
		p.typeRows[row.Type] = row
	}
	return nil
}

func (p *Partition) typePaused(typ string) bool {
	row, ok := p.typeRows[typ]
	return ok && row.Paused() != nil
}

// operateType pauses a workflow type, or lets it go on. What it is already is a repeat.
func (p *Partition) operateType(r *record.Record, c *record.OperateType) {
	row, pause := p.typeRows[c.Type], c.Op == record.OperatePause
	known := c.CommandID != "" && slices.ContainsFunc(row.Acts, func(a record.TypeAct) bool { return a.CommandID == c.CommandID })
	got := applied
	switch {
	case known || p.typePaused(c.Type) == pause:
		got = machine.Received{Outcome: record.OutcomeRepeated}
	case len(row.Acts) == 0 && len(p.typeRows) >= typesMax:
		got = notOffered("partition %d keeps note of %d workflow types already, and of %q none: resume a type that was ever paused, or check the name", p.cfg.Partition, typesMax, c.Type)
	default:
		row.Type = c.Type
		acts := row.Acts[max(0, len(row.Acts)-record.TypeActsMax+1):]
		row.Acts = append(slices.Clip(slices.Clone(acts)), record.TypeAct{Op: c.Op, At: p.now, CommandID: c.CommandID, Reason: c.Reason, By: c.By})
		p.typeRows[row.Type] = row
		p.rows.PutType(&row)
		if !pause {
			p.release(c.Type)
		}
	}
	p.answer(r, c.CommandID, c.Reply, record.RunID{}, got)
}

// release lets the runs of a type that is not paused any more be tried, some at a time. None
// is forgotten in a crash: a takeover tries all runs that do not go on.
func (p *Partition) release(typ string) {
	p.due.wakeAll(record.Due{At: record.Never, Kind: record.DueStuck}, record.DueStuck)
	var unsettled []record.Due // the store does not have them yet (P8)
	for at := p.cache.order.Front(); at != nil; at = at.Next() {
		e := at.Value.(*entry)
		if r := &e.state.Run; r.Type == typ && e.heldByType() && (e.touched || e.pinned > p.settled) {
			unsettled = append(unsettled, record.Due{Kind: record.DueStuck, WorkflowID: r.WorkflowID, Run: r.Run})
		}
	}
	slices.SortFunc(unsettled, machine.CompareDue)
	p.due.wake(unsettled)
}

func (e *entry) heldByType() bool {
	return e.state.Stuck != nil && e.state.Stuck.Code == record.CodeTypePaused
}

// refuseType says that the run's type is paused.
func (p *Partition) refuseType(e *entry) *machine.Refusal {
	typ := e.state.Run.Type
	if !p.typePaused(typ) {
		return nil
	}
	return &machine.Refusal{Code: record.CodeTypePaused, Detail: fmt.Sprintf("workflow type %q is paused: odradek type resume %s lets its runs go on", typ, typ)}
}

// hold lets the attempt that would go out now wait until the run, or its type, is resumed.
func (p *Partition) hold(e *entry, row record.AttemptRow) {
	row.NextAt = record.Never
	e.state.SetAttempt(row)
	if !e.state.Run.Paused && !e.heldByType() {
		p.stick(e, p.refuseType(e), e.state.Stuck != nil && e.state.Stuck.TurnOpen)
	}
}

// sendHeld sends out the attempts that a pause has held back.
func (p *Partition) sendHeld(e *entry) {
	for i := range e.state.Attempts {
		if a := e.state.Attempts[i]; a.NextAt == record.Never && !a.Quarantined() {
			a.NextAt = p.now
			e.state.SetAttempt(a)
		}
	}
}
