package partition

import (
	"fmt"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/record"
)

// What operators do to runs. Each leaves an event in the history that says who, when and
// why; the code sees none of them.

// CodePaused is the code of a StuckRow of a run that an operator has paused: to the step
// it is one that does not go on, until it is resumed.
const CodePaused = "paused"

func (p *Partition) operate(e *entry, r *record.Record, c *record.Operate) error {
	known, err := p.knownOf(e, c.CommandID)
	if err != nil {
		return err
	}
	got := machine.ReceiveOperate(e.stateOrNil(), r.WorkflowID, c, known)
	if got.Outcome == record.OutcomeNone {
		switch {
		case c.Op == record.OperatePause:
			got, err = p.pause(e, c)
		case c.Op == record.OperateResume:
			got, err = p.unpause(e, c)
		case p.typePaused(e.state.Run.Type): // no attempt is to go out
			got = notOffered("workflow type %q is paused: resume it first", e.state.Run.Type)
		case c.Op == record.OperateReset:
			got, err = p.reset(e, c)
		default:
			got, err = p.retryRun(e, c)
		}
		if err != nil {
			return err
		}
	}
	p.answer(r, c.CommandID, c.Reply, e.runID(), got)
	return nil
}

func notOffered(format string, args ...any) machine.Received {
	return machine.Received{Outcome: record.OutcomeNotOffered, Detail: fmt.Sprintf(format, args...)}
}

var applied = machine.Received{Outcome: record.OutcomeApplied}

// note adds what an operator does to an open run to its history.
func (p *Partition) note(e *entry, c *record.Operate, verb record.Verb) {
	p.append(e, record.HistoryEvent{No: e.state.Run.Events + 1, At: p.now, Body: &record.OperatorActed{
		Verb: verb, Task: c.Task, NewKey: c.NewKey, CommandID: c.CommandID, Reason: c.Reason, By: c.By,
	}})
}

// pause lets inputs and due timers of a run wait (T4). Attempts that are out go on; none is
// repeated.
func (p *Partition) pause(e *entry, c *record.Operate) (machine.Received, error) {
	s := e.state
	if s.Run.Status.Closed() {
		return machine.Received{Outcome: record.OutcomeClosed, Detail: fmt.Sprintf("run %s of workflow %q is %s already", s.Run.Run, s.Run.WorkflowID, s.Run.Status)}, nil
	}
	if s.Run.Paused {
		return notOffered("run %s of workflow %q is paused already", s.Run.Run, s.Run.WorkflowID), nil
	}
	open := s.Stuck != nil && s.Stuck.TurnOpen
	p.note(e, c, record.VerbPause)
	s.SetStuck(&record.StuckRow{Code: CodePaused, Detail: c.Reason, Since: p.now, Build: p.cfg.Build, RetryAt: record.Never, TurnOpen: open, EventNext: s.Run.Events + 1})
	return applied, nil
}

// unpause lets a paused run go on: what waited is stepped in order, attempts that were due
// meanwhile go out.
func (p *Partition) unpause(e *entry, c *record.Operate) (machine.Received, error) {
	s := e.state
	if !s.Run.Paused {
		return notOffered("run %s of workflow %q is not paused", s.Run.Run, s.Run.WorkflowID), nil
	}
	p.note(e, c, record.VerbResume)
	return applied, p.resume(e, false)
}

// retryRun lets a run go on that does not: one that is stuck is tried again, one that waits
// for the next attempt of a task gets it now, one that has failed goes back to its task.
func (p *Partition) retryRun(e *entry, c *record.Operate) (machine.Received, error) {
	s := e.state
	switch {
	case s.Run.Status.Closed():
		return p.rewind(e, c, machine.PlanRetry)
	case s.Run.Paused:
		return notOffered("run %s of workflow %q is paused: resume it", s.Run.Run, s.Run.WorkflowID), nil
	case c.Task > 0:
		return p.retryTask(e, c)
	case s.Stuck != nil:
		p.note(e, c, record.VerbRetry)
		return applied, p.resume(e, false)
	}
	var waiting []uint64
	for i := range s.Attempts {
		if s.Attempts[i].NextAt > 0 {
			waiting = append(waiting, s.Attempts[i].Task)
		}
	}
	if len(waiting) == 0 {
		return notOffered("no task of run %s of workflow %q waits for its next attempt: name the task, if an attempt that is out is lost", s.Run.Run, s.Run.WorkflowID), nil
	}
	p.note(e, c, record.VerbRetry)
	for _, no := range waiting {
		if err := p.attemptNow(e, no); err != nil {
			return machine.Received{}, err
		}
	}
	return applied, nil
}

// retryTask sends out the next attempt of an open task now: the one that waits for its time,
// or, where the open one is out, another, which the policy does not count.
func (p *Partition) retryTask(e *entry, c *record.Operate) (machine.Received, error) {
	s := e.state
	if s.Task(c.Task) == nil {
		return notOffered("run %s of workflow %q has no open task %d", s.Run.Run, s.Run.WorkflowID, c.Task), nil
	}
	p.note(e, c, record.VerbRetry)
	row := record.AttemptRow{Task: c.Task, Open: 1}
	if a := s.Attempt(c.Task); a != nil {
		row = *a
	}
	if row.NextAt == 0 {
		row.Open, row.Free, row.Sending = row.Open+1, row.Free+1, 0
		row.NextAt = p.now
		s.SetAttempt(row)
	}
	return applied, p.attemptNow(e, c.Task)
}

// attemptNow sends out an attempt that waits for its time.
func (p *Partition) attemptNow(e *entry, task uint64) error {
	row := *e.state.Attempt(task)
	row.NextAt = p.now
	e.state.SetAttempt(row)
	return p.retry(e, record.Due{Kind: record.DueRetry, No: task})
}

// reset takes a run back to an event, whether it is open or closed.
func (p *Partition) reset(e *entry, c *record.Operate) (machine.Received, error) {
	return p.rewind(e, c, func(s *machine.State, events []record.HistoryEvent, chunkOf func(uint64) uint32) (machine.Rewind, error) {
		return machine.PlanReset(s, events, c.To, chunkOf)
	})
}

type planner func(s *machine.State, events []record.HistoryEvent, chunkOf func(no uint64) uint32) (machine.Rewind, error)

// rewind takes a run back as planned: what is open now and was not open then is stopped,
// what was open then and is not open now goes out again, the turn of the last event that
// counts is run again, and signals that came since are given to it once more.
func (p *Partition) rewind(e *entry, c *record.Operate, plan planner) (machine.Received, error) {
	s := e.state
	if s.Gone {
		return machine.Received{Outcome: record.OutcomeHistoryGone, Detail: fmt.Sprintf("run %s of workflow %q is %s and its history is dropped: start a new run", s.Run.Run, s.Run.WorkflowID, s.Run.Status)}, nil
	}
	events, chunkOf, err := p.events(e)
	if err != nil {
		return machine.Received{}, err
	}
	w, why := plan(s, events, chunkOf)
	if why != nil {
		return notOffered("run %s of workflow %q: %v", s.Run.Run, s.Run.WorkflowID, why), nil
	}
	if s.Run.Status.Closed() {
		if err := p.takenUp(s.Run.Run); err != nil {
			return machine.Received{}, err
		}
	}
	p.stopWhatGoes(e, &w.Open)
	children := map[uint64]bool{}
	for i := range s.Children {
		children[s.Children[i].No] = true
	}
	no := s.Run.Events + 1
	for i := range w.Open.Tasks {
		if t := &w.Open.Tasks[i]; t.Again == no {
			t.ScheduledAt = p.now
			if c.NewKey {
				t.Key = no
			}
		}
	}
	e.drop()
	s.SetStuck(nil)
	p.append(e, record.HistoryEvent{No: no, At: p.now, Body: &record.RunRewound{
		To: w.To, Reset: c.Op == record.OperateReset, CommandID: c.CommandID, Reason: c.Reason, By: c.By, Open: w.Open,
	}})
	p.sendHeld(e)
	for i := range w.Again {
		p.sendAgain(e, &w.Again[i])
	}
	for i := range s.Children { // one that has closed meanwhile tells it once more
		if ch := &s.Children[i]; !children[ch.No] {
			p.send(e, codec.EncodeAwait(ch.WorkflowID, &record.Await{Parent: record.Parent{WorkflowID: s.Run.WorkflowID, Run: ch.From.Run, Event: ch.From.No}}))
		}
	}
	if w.TurnOpen {
		if stuck, err := p.rerun(e); err != nil {
			return machine.Received{}, err
		} else if stuck != nil {
			p.stick(e, stuck, true)
		}
	}
	for _, sig := range w.Signals {
		if s.Run.Status.Closed() {
			break
		}
		wait := record.InboxRow{Signal: &record.Signal{CommandID: sig.CommandID, Name: sig.Name, Payload: sig.Payload}}
		if err := p.deliver(e, &record.SignalReceived{Name: sig.Name, Payload: sig.Payload, CommandID: sig.CommandID}, wait); err != nil {
			return machine.Received{}, err
		}
	}
	if s.Stuck != nil || s.Run.Status.Closed() {
		return applied, nil
	}
	return applied, p.emptyInbox(e, nil)
}

// stopWhatGoes stops what is open in a run and will not be after it was taken back.
func (p *Partition) stopWhatGoes(e *entry, open *record.Opened) {
	then := machine.State{Tasks: open.Tasks, Children: open.Children}
	for i := range e.state.Tasks {
		if t := &e.state.Tasks[i]; then.Task(t.No) == nil {
			p.cancelTask(e, t)
		}
	}
	for i := range e.state.Children {
		if c := &e.state.Children[i]; then.Child(c.No) == nil && c.Type != "" && c.Close != record.ChildAbandon {
			p.stopChild(e, c, c.Close == record.ChildTerminate, fmt.Sprintf("its parent %q was taken back to before its start", e.state.Run.WorkflowID))
		}
	}
}

// sendAgain sends out the next attempt of a task that was opened again. The policy counts
// from there.
func (p *Partition) sendAgain(e *entry, a *machine.Again) {
	e.state.SetAttempt(record.AttemptRow{Task: a.Task, Open: a.Attempt, Last: a.Last, Free: a.Attempt - 1, OutAt: p.now})
	t := e.state.Task(a.Task)
	switch b := a.Event.Body.(type) {
	case *record.LocalScheduled:
		p.local(e, t, a.Attempt, b.Input)
	case *record.TaskScheduled:
		p.dispatch(e, t, a.Attempt, b.Input)
	}
}

// rerun runs the turn of the last event that counts, whose decisions do not count any more.
func (p *Partition) rerun(e *entry) (*machine.Refusal, error) {
	if r := p.refuseRun(e); r != nil {
		return r, nil
	}
	e.drop()
	decisions, stuck, err := p.rebuild(e, e.state.Run.Events+1)
	if stuck != nil || err != nil {
		return stuck, err
	}
	events, refusal := machine.Decide(p.decideConfig(e), e.state.Run.Events+1, p.now, decisions)
	if refusal != nil {
		e.drop()
		return refusal, nil
	}
	return nil, p.apply(e, events)
}

// events reads a run's whole history. chunkOf says in which chunk an event stands.
func (p *Partition) events(e *entry) (events []record.HistoryEvent, chunkOf func(no uint64) uint32, err error) {
	var chunks []uint32
	for no := uint32(1); no <= e.state.Run.Chunks; no++ {
		more, err := p.chunk(e, no)
		if err != nil {
			return nil, nil, err
		}
		events = append(events, more...)
		for range more {
			chunks = append(chunks, no)
		}
	}
	return events, func(no uint64) uint32 { return chunks[no-1] }, nil
}
