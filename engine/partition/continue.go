package partition

import (
	"slices"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/record"
)

// goOn starts the run that goes on for one that continued as new, in the same step. Its
// ID derives from the old one, so that a repeated step gives the same.
func (p *Partition) goOn(old *entry, event uint64, b *record.RunContinued, carried []record.HistoryBody) error {
	r := &old.state.Run
	started := &record.RunStarted{Type: r.Type, Input: b.Input, Parent: r.Parent, Previous: r.Run, Carry: b.Carry, Build: p.cfg.Build}
	first, err := p.event(old, 1, 1)
	if err != nil {
		return err
	}
	was := first.Body.(*record.RunStarted)
	started.CommandID, started.FirstInput = was.CommandID, was.FirstInput // a repeat of the first start is one for ever (I2)
	if was.Previous.IsZero() {
		started.FirstInput = codec.CanonicalHash(was.Input)
	}
	e := &entry{state: machine.NewState(r.WorkflowID, record.NextRunID(r.Run, event, p.now))}
	if e.def, e.coded = p.definition(r.Type, 0); e.coded { // the highest version (S3)
		started.Version = e.def.Version()
	}
	p.keepPast(old)
	p.cache.put(e, p.now)
	p.batch.Counts.Started++
	return p.first(e, started, carried...)
}

// carried is what moves along to the run that goes on: signals that were not consumed,
// open children, and who waits for the workflow.
func (p *Partition) carried(e *entry) ([]record.HistoryBody, error) {
	out, err := p.awaiting(e)
	if err != nil {
		return nil, err
	}
	for _, c := range e.state.Children {
		if c.Type != "" {
			out = append(out, &record.ChildCarried{WorkflowID: c.WorkflowID, Type: c.Type, Close: c.Close, Run: c.Run, From: c.From})
		}
	}
	for i := range e.state.Signals {
		s := &e.state.Signals[i]
		ev, err := p.event(e, s.Chunk, s.No)
		if err != nil {
			return nil, err
		}
		switch b := ev.Body.(type) {
		case *record.SignalReceived:
			out = append(out, &record.SignalCarried{Name: b.Name, Payload: b.Payload, CommandID: b.CommandID})
		case *record.SignalCarried:
			out = append(out, b)
		}
	}
	return out, nil
}

// keepPast keeps a run that is no longer its workflow's current one until its batch has
// settled: what comes due for it meanwhile must see it (P8).
func (p *Partition) keepPast(e *entry) {
	p.past = append(p.past, e)
}

// loadRun finds one run of a workflow, current or not; nil if it is gone.
func (p *Partition) loadRun(workflowID string, run record.RunID) (*entry, error) {
	e, err := p.load(workflowID)
	if err != nil || e != nil && e.state.Run.Run == run {
		return e, err
	}
	if i := slices.IndexFunc(p.past, func(e *entry) bool { return e.state.Run.Run == run }); i >= 0 {
		e := p.past[i]
		if e.state.Gone && e.state.Summary == nil {
			return nil, nil
		}
		return e, nil
	}
	s, err := p.view.LoadRun(workflowID, run)
	if err != nil || s == nil {
		return nil, err
	}
	e = &entry{state: s}
	e.def, e.coded = p.definition(s.Run.Type, s.Run.Version)
	p.keepPast(e)
	return e, nil
}
