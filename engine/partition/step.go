package partition

import (
	"fmt"
	"slices"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
)

// hopsMax is how often a record may be forwarded (S1): owners that disagree for
// longer have a fault that an operator must see.
const hopsMax = 8

// Step takes one record into the open batch. An error means that the store
// failed; whatever is wrong with the record becomes data (M4).
func (p *Partition) Step(r *record.Record) error {
	p.batch.Counts.Inputs++
	p.batch.bytes += len(r.Raw.Value) + len(r.Raw.Key)
	if bad, ok := r.Body.(*record.Undecodable); ok {
		p.deadLetter(r, bad.Code, bad.Reason)
		return nil
	}
	switch c := r.Body.(type) { // for the partition, whatever the record's key is
	case *record.Redrive:
		return p.redrive(r, c)
	case *record.OperateType:
		p.operateType(r, c)
		return nil
	}
	if slot := topology.Slot(r.WorkflowID); p.owned[slot>>3]&(1<<(slot&7)) == 0 {
		p.forward(r, slot)
		return nil
	}
	e, err := p.load(r.WorkflowID)
	if err != nil {
		return err
	}
	switch b := r.Body.(type) {
	case *record.Start:
		return p.start(e, r, b)
	case *record.Signal:
		return p.signal(e, r, b)
	case *record.Update:
		return p.update(e, r, b)
	case *record.Cancel:
		return p.cancel(e, r, b)
	case *record.Terminate:
		return p.terminate(e, r, b)
	case *record.Operate:
		return p.operate(e, r, b)
	case *record.ChildStart:
		return p.childStart(e, r, b)
	case *record.ChildStop:
		return p.childStop(e, b)
	case *record.ChildReport:
		return p.childReport(e, b)
	case *record.Await:
		return p.await(e, r, b)
	case *record.TaskCompleted:
		return p.taskCompleted(e, r, b)
	case *record.TaskFailed:
		return p.taskFailed(e, r, b)
	case *record.TaskBeat:
		return p.taskBeat(e, r, b)
	case *record.TaskLost:
		return p.taskLost(e, b)
	default:
		panic(fmt.Sprintf("partition: no step for a record of type %T", r.Body))
	}
}

// load finds the workflow's current run; nil if the workflow is unknown.
func (p *Partition) load(workflowID string) (*entry, error) {
	if e := p.cache.get(workflowID, p.now); e != nil {
		if e.state.Gone && e.state.Summary == nil {
			return nil, nil // its summary went in a batch that is in flight
		}
		return e, nil
	}
	s, err := p.view.Load(workflowID)
	if err != nil {
		return nil, fmt.Errorf("load workflow %q: %w", workflowID, err)
	}
	if s == nil {
		return nil, nil
	}
	e := &entry{state: s}
	e.def, e.coded = p.definition(s.Run.Type, s.Run.Version)
	p.cache.put(e, p.now)
	return e, nil
}

func (p *Partition) start(e *entry, r *record.Record, c *record.Start) error {
	def, coded := p.definition(c.Type, 0)
	var (
		s        *machine.State
		existing machine.Existing
		input    uint64
		typ      machine.Type
		err      error
	)
	if e != nil {
		s, input = e.state, codec.CanonicalHash(c.Input)
		if existing, err = p.existing(e, c.CommandID, c.Reuse != record.ReuseNever); err != nil {
			return err
		}
		if !s.Run.Status.Closed() && c.Reuse != record.ReuseTerminate && !existing.Known && (c.Signal != nil || c.Update != nil) {
			return p.give(e, r, c)
		}
	}
	version := uint32(0)
	if coded {
		typ, version = def, def.Version()
	}
	got := machine.ReceiveStart(s, c, input, existing, typ, version, p.cfg.RefuseUnknownTypes)
	run := record.RunID{}
	if e != nil {
		run = e.state.Run.Run
	}
	if b, ok := got.Event.(*record.RunStarted); ok {
		b.Build = p.cfg.Build
		at := p.now
		if e != nil { // the ID is used again
			if err := p.makeWay(e, c); err != nil {
				return err
			}
			at = max(at, e.state.Run.Run.StartedAt()+1) // the newest run is the current one
		}
		run = record.DeriveRunID(r.WorkflowID, r.Origin, at)
		e = &entry{state: machine.NewState(r.WorkflowID, run), def: def, coded: coded}
		p.cache.put(e, p.now)
		p.batch.Counts.Started++
		if err := p.first(e, got.Event); err != nil {
			return err
		}
		if err := p.giveFirst(e, c); err != nil {
			return err
		}
	}
	p.answer(r, c.CommandID, c.Reply, run, got)
	return nil
}

// makeWay lets a run be one of its workflow's past ones.
func (p *Partition) makeWay(e *entry, c *record.Start) error {
	if !e.state.Run.Status.Closed() {
		why := &record.RunTerminated{Reason: "another run was started with the workflow ID", By: c.CommandID, Retain: p.cfg.RetentionSummary}
		if err := p.terminated(e, why); err != nil {
			return err
		}
	}
	p.keepPast(e)
	return nil
}

// give gives an open run what a start brings.
func (p *Partition) give(e *entry, r *record.Record, c *record.Start) error {
	if c.Signal != nil {
		s := *c.Signal
		s.CommandID, s.Reply = c.CommandID, c.Reply
		return p.signal(e, r, &s)
	}
	u := *c.Update
	u.CommandID, u.Reply = c.CommandID, c.Reply
	return p.update(e, r, &u)
}

// giveFirst gives a run that has just begun what its start brings. A run that has closed
// in its first turn has no use for it.
func (p *Partition) giveFirst(e *entry, c *record.Start) error {
	switch {
	case e.state.Run.Status.Closed():
		return nil
	case c.Signal != nil:
		s := *c.Signal
		s.CommandID = c.CommandID
		return p.deliver(e, &record.SignalReceived{Name: s.Name, Payload: s.Payload, CommandID: s.CommandID}, record.InboxRow{Signal: &s})
	case c.Update != nil:
		u := *c.Update
		u.CommandID = c.CommandID
		return p.deliver(e, &record.UpdateReceived{Name: u.Name, Payload: u.Payload, CommandID: u.CommandID}, record.InboxRow{Update: &u})
	}
	return nil
}

// existing says what a start must know of the run that has its workflow ID. reuse: the
// command ID may be one of an older run's.
func (p *Partition) existing(e *entry, commandID string, reuse bool) (machine.Existing, error) {
	s := e.state
	known, err := p.known(e, commandID)
	if err == nil && !known && reuse {
		known, err = p.knownBefore(e, commandID)
	}
	if err != nil || known {
		return machine.Existing{Known: known, Type: s.Run.Type}, err
	}
	if s.Gone {
		return machine.Existing{Type: s.Run.Type, Input: s.Summary.Input}, nil
	}
	first, err := p.event(e, 1, 1)
	if err != nil {
		return machine.Existing{}, err
	}
	return machine.Existing{Type: s.Run.Type, Input: inputHash(first)}, nil
}

// inputHash is what a repeat of the start is compared with (I2): of a workflow that
// continued as new that is the input of its first run.
func inputHash(first record.HistoryEvent) uint64 {
	b := first.Body.(*record.RunStarted)
	if !b.Previous.IsZero() {
		return b.FirstInput
	}
	return codec.CanonicalHash(b.Input)
}

func (p *Partition) signal(e *entry, r *record.Record, c *record.Signal) error {
	if e == nil {
		p.answer(r, c.CommandID, c.Reply, record.RunID{}, machine.ReceiveSignal(nil, r.WorkflowID, c, false, nil))
		return nil
	}
	if err := p.wake(e); err != nil {
		return err
	}
	known, err := p.known(e, c.CommandID)
	if err != nil {
		return err
	}
	var typ machine.Type
	if e.coded {
		typ = e.def
	}
	got := machine.ReceiveSignal(e.state, r.WorkflowID, c, known, typ)
	if got.Event != nil {
		if err := p.deliver(e, got.Event, record.InboxRow{Signal: c}); err != nil {
			return err
		}
	}
	p.answer(r, c.CommandID, c.Reply, e.state.Run.Run, got)
	return nil
}

// known reports whether the command ID is one of the run's, or of one of those that have
// continued as it.
func (p *Partition) known(e *entry, commandID string) (bool, error) {
	known, err := p.knownIn(e.state, commandID)
	if err == nil && !known && !e.state.Gone && !e.state.Run.Previous.IsZero() {
		known, err = p.knownBefore(e, commandID)
	}
	return known, err
}

// knownIn reports whether the command ID is one of the run's: in its history, in the
// batches in flight or in its inbox.
func (p *Partition) knownIn(s *machine.State, commandID string) (bool, error) {
	if commandID == "" {
		return false, nil
	}
	if s.Gone {
		return slices.Contains(s.Summary.CommandIDs, commandID), nil
	}
	for i := range s.Inbox {
		if c := s.Inbox[i].Signal; c != nil && c.CommandID == commandID {
			return true, nil
		}
		if c := s.Inbox[i].Update; c != nil && c.CommandID == commandID {
			return true, nil
		}
		if c := s.Inbox[i].Cancel; c != nil && c.CommandID == commandID {
			return true, nil
		}
	}
	if slices.Contains(p.batch.commands[s.Run.Run], commandID) {
		return true, nil
	}
	for _, b := range p.flight {
		if slices.Contains(b.commands[s.Run.Run], commandID) {
			return true, nil
		}
	}
	_, ok, err := p.view.Command(s.Run.WorkflowID, s.Run.Run, commandID)
	return ok, err
}

// knownBefore reports whether the command ID is one of any run's of the workflow.
func (p *Partition) knownBefore(e *entry, commandID string) (bool, error) {
	if commandID == "" {
		return false, nil
	}
	for _, past := range p.past {
		if past.state.Run.WorkflowID != e.state.Run.WorkflowID {
			continue
		}
		if known, err := p.knownIn(past.state, commandID); known || err != nil {
			return known, err
		}
	}
	known, err := p.view.KnownCommand(e.state.Run.WorkflowID, commandID)
	if err != nil {
		return false, fmt.Errorf("find a command of workflow %q: %w", e.state.Run.WorkflowID, err)
	}
	return known, nil
}

func (p *Partition) taskCompleted(e *entry, r *record.Record, c *record.TaskCompleted) error {
	if err := p.wake(e); err != nil {
		return err
	}
	got := machine.ReceiveCompleted(e.stateOrNil(), c)
	if got.Event != nil && e.state.AnswerWaits(c.Task) {
		got = machine.Received{Ignored: machine.AnswerWaits}
	}
	p.answerTask(e, r, c.CommandID, c.Reply, got)
	if got.Event == nil {
		p.ignore(got.Ignored)
		return nil
	}
	return p.deliver(e, got.Event, record.InboxRow{Completed: c})
}

// taskFailed takes an attempt's failure; r is nil where a limit of its time is over.
func (p *Partition) taskFailed(e *entry, r *record.Record, c *record.TaskFailed) error {
	if err := p.wake(e); err != nil {
		return err
	}
	got := machine.ReceiveFailed(e.stateOrNil(), c, p.now)
	if got.Ignored == "" && e.state.AnswerWaits(c.Task) {
		got = machine.Received{Ignored: machine.AnswerWaits}
	}
	p.answerTask(e, r, c.CommandID, c.Reply, got)
	switch {
	case got.Attempt != nil:
		p.touch(e)
		e.state.SetAttempt(*got.Attempt)
		p.batch.Counts.Retries++
		return nil
	case got.Event == nil:
		p.ignore(got.Ignored)
		return nil
	}
	return p.deliver(e, got.Event, record.InboxRow{Failed: c})
}

// taskBeat notes that an attempt is alive.
func (p *Partition) taskBeat(e *entry, r *record.Record, c *record.TaskBeat) error {
	got := machine.ReceiveBeat(e.stateOrNil(), c, p.now)
	p.answerTask(e, r, c.CommandID, c.Reply, got)
	if got.Attempt == nil {
		p.ignore(got.Ignored)
		return nil
	}
	p.touch(e)
	e.state.SetAttempt(*got.Attempt)
	return nil
}

// taskLost sends out the next attempt of a task whose open one is lost (W4).
func (p *Partition) taskLost(e *entry, c *record.TaskLost) error {
	if err := p.wake(e); err != nil {
		return err
	}
	failed, why := machine.ReceiveLost(e.stateOrNil(), c)
	if failed == nil {
		p.ignore(why)
		return nil
	}
	if p.batch.Counts.Lost == nil {
		p.batch.Counts.Lost = map[string]int{}
	}
	p.batch.Counts.Lost[e.state.Task(c.Task.No).Service]++
	return p.taskFailed(e, nil, failed)
}

// answerTask tells whoever has sent an event of a task with its token what came of it.
func (p *Partition) answerTask(e *entry, r *record.Record, commandID string, reply bool, got machine.Received) {
	if !reply {
		return
	}
	got.Outcome = record.OutcomeApplied
	if got.Ignored != "" && got.Ignored != machine.AttemptWaits {
		got.Outcome = record.OutcomeTaskClosed
		got.Detail = fmt.Sprintf("workflow %q does not wait for the task, or this attempt of it, any more (%s)", r.WorkflowID, got.Ignored)
	}
	p.answer(r, commandID, true, e.runID(), got)
}

func (p *Partition) ignore(why string) {
	if p.batch.Counts.Ignored == nil {
		p.batch.Counts.Ignored = map[string]int{}
	}
	p.batch.Counts.Ignored[why]++
}

// answer replies to whoever waits for the command; a rejection for which nobody
// waits is a dead letter.
func (p *Partition) answer(r *record.Record, commandID string, reply bool, run record.RunID, got machine.Received) {
	switch {
	case reply:
		p.batch.Replies = append(p.batch.Replies, record.Reply{
			CommandID: commandID, WorkflowID: r.WorkflowID, Run: run, Outcome: got.Outcome, Detail: got.Detail,
		})
	case got.Outcome.Rejected():
		p.deadLetter(r, got.Outcome.String(), got.Detail)
	}
}

// forward sends a record on to the owner of its slot, in the transaction that
// consumes it (S1). The table is a hint; where it points back here, or has done
// so too often, the record is a dead letter.
func (p *Partition) forward(r *record.Record, slot uint16) {
	to, version := p.cfg.Table.Partition(r.WorkflowID), p.cfg.Table.Version
	for _, m := range p.ownership.Moved {
		if m.Slot == slot {
			to, version = m.To, m.Version
		}
	}
	switch {
	case r.Hops >= hopsMax:
		p.deadLetter(r, "forwarded_too_often", fmt.Sprintf("the record for slot %d was forwarded %d times: the owners disagree about the slot; compare the slot tables of the instances", slot, r.Hops))
		return
	case to == p.cfg.Partition:
		p.deadLetter(r, "slot_unowned", fmt.Sprintf("slot %d belongs to partition %d by the table of version %d, but the partition's own rows do not have it", slot, to, version))
		return
	}
	out := codec.EncodeForward(r, version)
	out.Partition = to
	p.output(out)
	p.batch.Counts.Forwarded++
}

// Bounds of the dead letters that a partition keeps as rows (F7); beyond them the
// topic alone has them.
const (
	deadLettersMax     = 10_000
	deadLetterBytesMax = 256 << 20
)

// deadLetter keeps a record that cannot be processed, with its bytes and the
// reason, in the transaction that consumes it.
func (p *Partition) deadLetter(r *record.Record, code, reason string) {
	row := record.DeadLetterRow{Origin: r.Origin, Code: code, Reason: reason, At: p.now, Raw: r.Raw}
	p.keepDeadLetter(&row)
	out := codec.EncodeDeadLetter(&row)
	out.Partition = p.cfg.Partition
	p.output(out)
	p.batch.Counts.DeadLetters++
}

func (p *Partition) output(o record.Output) {
	p.batch.Outputs = append(p.batch.Outputs, o)
	p.batch.bytes += len(o.Key) + len(o.Value)
}
