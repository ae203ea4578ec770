package partition

import (
	"fmt"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/record"
)

// What runs of different workflows have to do with each other. Each asks and tells the
// other by a record on internal (S4, S5): where the other's partition is does not matter.

// tell sends other workflows what a decision means for them.
func (p *Partition) tell(e *entry, ev record.HistoryEvent) {
	me := record.Parent{WorkflowID: e.state.Run.WorkflowID, Run: e.state.Run.Run, Event: ev.No}
	switch b := ev.Body.(type) {
	case *record.ChildScheduled:
		run := e.state.Child(ev.No).Run
		p.send(e, codec.EncodeChildStart(b.WorkflowID, &record.ChildStart{Parent: me, Run: run, Type: b.Type, Input: b.Input}))
	case *record.ChildCancelRequested:
		if c := e.state.Child(b.Child); c != nil {
			p.stopChild(e, c, false, b.Reason)
		}
	case *record.WorkflowAwaited:
		p.send(e, codec.EncodeAwait(b.WorkflowID, &record.Await{Parent: me}))
	case *record.SignalSent:
		p.send(e, codec.EncodeSent(b.WorkflowID, record.TaskID{Run: me.Run, No: me.Event}, b.Name, b.Payload))
	}
}

// send routes a record for another workflow to internal. The table is a hint: its owner
// forwards it (S1).
func (p *Partition) send(e *entry, out record.Output) {
	out.Partition = p.cfg.Table.Partition(out.WorkflowID)
	out.Run = e.state.Run.Run
	p.output(out)
}

// stopChildren does with the open children what their close policies say. One that was
// asked to end is left to its clean-up.
func (p *Partition) stopChildren(e *entry) {
	for i := range e.state.Children {
		c := &e.state.Children[i]
		if c.Type == "" || c.Asked || c.Close == record.ChildAbandon {
			continue
		}
		p.stopChild(e, c, c.Close == record.ChildTerminate, fmt.Sprintf("its parent %q has closed", e.state.Run.WorkflowID))
	}
}

func (p *Partition) stopChild(e *entry, c *record.ChildRow, terminate bool, reason string) {
	from := record.Parent{WorkflowID: e.state.Run.WorkflowID, Run: c.From.Run, Event: c.From.No}
	p.send(e, codec.EncodeChildStop(c.WorkflowID, &record.ChildStop{Parent: from, Terminate: terminate, Reason: reason}))
}

// childStart starts a run for its parent, or says at once why not.
func (p *Partition) childStart(e *entry, r *record.Record, c *record.ChildStart) error {
	def, coded := p.definition(c.Type, 0)
	var typ machine.Type
	version := uint32(0)
	if coded {
		typ, version = def, def.Version()
	}
	got := machine.ReceiveChildStart(e.stateOrNil(), r.WorkflowID, c, typ, version, p.cfg.RefuseUnknownTypes)
	switch {
	case got.Event != nil:
		child := &entry{state: machine.NewState(r.WorkflowID, c.Run), def: def, coded: coded}
		p.cache.put(child, p.now)
		p.batch.Counts.Started++
		got.Event.(*record.RunStarted).Build = p.cfg.Build
		return p.first(child, got.Event)
	case got.Outcome.Rejected():
		p.reportTo(c.Parent, &record.ChildReport{Failure: record.Failure{Kind: record.FailureEngine, Code: got.Outcome.String(), Message: got.Detail}})
	}
	return nil
}

// childStop ends the run that a parent has started, or the one that goes on for it.
func (p *Partition) childStop(e *entry, c *record.ChildStop) error {
	if e == nil || e.state.Run.Parent != c.Parent || e.state.Run.Status.Closed() {
		p.ignore("child_closed")
		return nil
	}
	by := fmt.Sprintf("workflow %q", c.Parent.WorkflowID)
	if c.Terminate {
		return p.terminated(e, &record.RunTerminated{Reason: c.Reason, By: by, Retain: p.cfg.RetentionSummary})
	}
	if err := p.wake(e); err != nil {
		return err
	}
	cancel := &record.Cancel{Reason: c.Reason, By: by}
	if got := machine.ReceiveCancel(e.state, e.state.Run.WorkflowID, cancel, false); got.Event != nil {
		return p.deliver(e, got.Event, record.InboxRow{Cancel: cancel})
	}
	return nil
}

// childReport gives a run the close of its child.
func (p *Partition) childReport(e *entry, c *record.ChildReport) error {
	if err := p.wake(e); err != nil {
		return err
	}
	got := machine.ReceiveReport(e.stateOrNil(), c)
	if got.Event == nil {
		p.ignore(got.Ignored)
		return nil
	}
	return p.deliver(e, got.Event, record.InboxRow{Report: c})
}

// await notes who waits for the workflow's close, or answers at once.
func (p *Partition) await(e *entry, r *record.Record, c *record.Await) error {
	switch {
	case e == nil:
		p.reportTo(c.Parent, &record.ChildReport{Failure: record.Failure{
			Kind: record.FailureEngine, Code: record.OutcomeNotFound.String(), Message: fmt.Sprintf("no workflow has the ID %q", r.WorkflowID),
		}})
		return nil
	case !e.state.Run.Status.Closed():
		p.append(e, record.HistoryEvent{No: e.state.Run.Events + 1, At: p.now, Body: &record.AwaitReceived{Parent: c.Parent}})
		return nil
	}
	rep := &record.ChildReport{Run: e.state.Run.Run, Status: e.state.Run.Status}
	if s := e.state.Summary; e.state.Gone {
		rep.Result = s.Result
		if s.Failure != nil {
			rep.Failure = *s.Failure
		}
	} else {
		last, err := p.event(e, e.state.Run.CloseChunk, e.state.Run.CloseEvent)
		if err != nil {
			return err
		}
		rep.Result, rep.Failure = ending(last.Body)
	}
	p.reportTo(c.Parent, rep)
	return nil
}

// report tells everybody who waits for the run's workflow how it has closed.
func (p *Partition) report(e *entry, body record.HistoryBody) error {
	r := &e.state.Run
	if r.Parent.IsZero() && !r.Awaited {
		return nil
	}
	rep := record.ChildReport{Run: r.Run, Status: r.Status}
	rep.Result, rep.Failure = ending(body)
	if !r.Parent.IsZero() {
		p.reportTo(r.Parent, &rep)
	}
	waiting, err := p.awaiting(e)
	if err != nil {
		return err
	}
	for _, b := range waiting {
		p.reportTo(b.(*record.AwaitReceived).Parent, &rep)
	}
	return nil
}

func (p *Partition) reportTo(parent record.Parent, rep *record.ChildReport) {
	told := *rep
	told.Parent = parent
	out := codec.EncodeChildReport(&told)
	out.Partition = p.cfg.Table.Partition(parent.WorkflowID)
	p.output(out)
}

// awaiting are the notes of who waits for the run's workflow.
func (p *Partition) awaiting(e *entry) ([]record.HistoryBody, error) {
	if !e.state.Run.Awaited {
		return nil, nil
	}
	var out []record.HistoryBody
	for no := uint32(1); no <= e.state.Run.Chunks; no++ {
		events, err := p.chunk(e, no)
		if err != nil {
			return nil, err
		}
		for _, ev := range events {
			if ev.Body.HistoryKind() == record.KindAwaitReceived {
				out = append(out, ev.Body)
			}
		}
	}
	return out, nil
}

// ending is how a closing event tells others of its run.
func ending(b record.HistoryBody) (result []byte, failure record.Failure) {
	switch b := b.(type) {
	case *record.RunCompleted:
		return b.Result, failure
	case *record.RunFailed:
		return nil, b.Failure
	case *record.RunCancelled:
		return nil, b.Failure
	case *record.RunTerminated:
		return nil, record.Terminated(b.Reason)
	}
	return nil, failure
}
