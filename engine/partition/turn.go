package partition

import (
	"errors"
	"fmt"
	"iter"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/engine/replay"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
	"github.com/odradek/odradek/workflow"
)

// touch puts the run into the open batch.
func (p *Partition) touch(e *entry) {
	if !e.touched {
		e.touched = true
		p.touched = append(p.touched, e)
	}
}

func (e *entry) stateOrNil() *machine.State {
	if e == nil {
		return nil
	}
	return e.state
}

// first is the first turn of a run. Its start stands in the history even if the
// code cannot run yet: the run is there, visible, and waits (S3).
func (p *Partition) first(e *entry, started record.HistoryBody, carried ...record.HistoryBody) error {
	p.append(e, record.HistoryEvent{No: 1, At: p.now, Body: started})
	for _, b := range carried {
		p.append(e, record.HistoryEvent{No: e.state.Run.Events + 1, At: p.now, Body: b})
	}
	return p.resume(e, true)
}

// wake lets a stuck run try again where that is due. It comes before an input is
// judged: what waits in the inbox goes first, and may leave the input nothing to do.
func (p *Partition) wake(e *entry) error {
	if e == nil || e.state.Stuck == nil || !p.tryAgain(e) {
		return nil
	}
	return p.resume(e, false)
}

// deliver gives an input to the run: a turn of its code, or, where the code
// cannot go on, a place in the inbox (T4).
func (p *Partition) deliver(e *entry, body record.HistoryBody, wait record.InboxRow) error {
	if e.state.Stuck != nil {
		p.wait(e, wait)
		return nil
	}
	return p.turnOrWait(e, body, wait)
}

func (p *Partition) turnOrWait(e *entry, body record.HistoryBody, wait record.InboxRow) error {
	stuck, err := p.runTurn(e, body)
	if err != nil {
		return err
	}
	if stuck != nil {
		p.stick(e, stuck, false)
		p.wait(e, wait)
	}
	return nil
}

// runTurn lets the code see one input. The input and what the code decided are
// applied together, or not at all (S-3).
func (p *Partition) runTurn(e *entry, body record.HistoryBody) (*machine.Refusal, error) {
	if r := p.refuseRun(e); r != nil {
		return r, nil
	}
	if e.live == nil {
		stuck, err := p.replay(e)
		if stuck != nil || err != nil {
			return stuck, err
		}
	}
	next := e.state.Run.Events + 1
	in := record.HistoryEvent{No: next, At: p.now, Body: body}
	decisions, stuck := p.advance(e, func() ([]record.HistoryBody, error) { return e.live.Turn(in, next+1) })
	if stuck != nil {
		return stuck, nil
	}
	events, refusal := machine.Decide(p.decideConfig(e), next+1, p.now, decisions)
	if refusal != nil {
		e.drop()
		return refusal, nil
	}
	p.append(e, in)
	if err := p.apply(e, events); err != nil {
		return nil, err
	}
	if b, ok := body.(*record.HistoryTaskFailed); ok {
		p.givenUp(e, b)
	}
	return nil, nil
}

// resume lets a run's code go on that has an open turn or waits to be tried
// again, and then gives it what waits in the inbox, in order. open says that its first
// turn has not been run.
func (p *Partition) resume(e *entry, open bool) error {
	p.touch(e)
	if e.state.Stuck != nil {
		open = e.state.Stuck.TurnOpen
	}
	stuck := p.refuseRun(e)
	if stuck == nil || stuck.Code != record.CodeTypePaused {
		p.sendHeld(e)
	}
	if stuck == nil && open {
		var err error
		if stuck, err = p.openTurn(e); err != nil {
			return err
		}
	}
	if stuck != nil {
		p.stick(e, stuck, open)
		return nil
	}
	was := e.state.Stuck
	e.state.SetStuck(nil)
	return p.emptyInbox(e, was)
}

// openTurn runs the turn of an input that is history already: the first, or the one to
// which the run was taken back.
func (p *Partition) openTurn(e *entry) (*machine.Refusal, error) {
	if e.state.Run.Rewound {
		return p.rerun(e)
	}
	first, carried, err := p.opening(e)
	if err != nil {
		return nil, err
	}
	e.drop()
	e.live = replay.New(e.def, p.identity(e), p.cfg.Logger)
	e.live.Carry(carried)
	next := e.state.Run.Events + 1
	decisions, stuck := p.advance(e, func() ([]record.HistoryBody, error) { return e.live.Turn(first, next) })
	if stuck != nil {
		return stuck, nil
	}
	events, refusal := machine.Decide(p.decideConfig(e), next, p.now, decisions)
	if refusal != nil {
		e.drop()
		return refusal, nil
	}
	if err := p.apply(e, events); err != nil {
		return nil, err
	}
	if r := &e.state.Run; r.Version == 0 && !r.Status.Closed() {
		p.append(e, record.HistoryEvent{No: r.Events + 1, At: p.now, Body: &record.VersionPinned{Version: e.def.Version()}})
	}
	return nil, nil
}

// opening is what a run's history begins with before its first turn: its start, and the
// signals that the run before it had not consumed.
func (p *Partition) opening(e *entry) (first record.HistoryEvent, carried []record.HistoryEvent, err error) {
	r := &e.state.Run
	var events []record.HistoryEvent
	for no := uint32(1); no <= r.Chunks; no++ {
		more, err := p.chunk(e, no)
		if err != nil {
			return first, nil, err
		}
		events = append(events, more...)
	}
	if uint64(len(events)) != r.Events {
		return first, nil, fmt.Errorf("run %s of workflow %q has %d events in its chunks, its row says %d", r.Run, r.WorkflowID, len(events), r.Events)
	}
	for _, ev := range events[1:] {
		switch {
		case replay.Unseen(ev.Body):
		case replay.IsCarried(ev.Body):
			carried = append(carried, ev)
		default:
			return first, nil, fmt.Errorf("run %s of workflow %q has an open turn after event %d: only the first turn can be open", r.Run, r.WorkflowID, r.Events)
		}
	}
	return events[0], carried, nil
}

// emptyInbox steps what waited, one by one, until it is empty or the run is
// stuck again. was is why it was stuck: it still is, if not even the first turn
// went well.
func (p *Partition) emptyInbox(e *entry, was *record.StuckRow) error {
	for len(e.state.Inbox) > 0 && !e.state.Run.Status.Closed() {
		row := e.state.Inbox[0]
		got := p.receiveInbox(e, row)
		switch {
		case got.Attempt != nil:
			e.state.SetAttempt(*got.Attempt)
		case got.Event != nil:
			stuck, err := p.runTurn(e, got.Event)
			if err != nil {
				return err
			}
			if stuck != nil {
				e.state.SetStuck(was)
				p.stick(e, stuck, false)
				return nil
			}
			was = nil
		case got.Outcome.Rejected() && row.Signal != nil: // it came while nobody could check it
			p.refuseSignal(e, row, got)
		default:
			p.ignore(got.Ignored)
		}
		e.state.DeleteInbox(row.No)
	}
	return nil
}

// refuseSignal makes a dead letter of a signal that waited for the run's code and
// does not fit it. Its origin is no longer known; its bytes are.
func (p *Partition) refuseSignal(e *entry, row record.InboxRow, got machine.Received) {
	id := e.state.Run.WorkflowID
	out := codec.EncodeSignal(id, row.Signal)
	p.deadLetter(&record.Record{WorkflowID: id, Origin: record.Origin{Topic: record.TopicCommands, Partition: p.cfg.Partition, Offset: -int64(e.state.Run.Events)<<20 - int64(row.No)},
		Raw: record.Raw{Key: out.Key, Value: out.Value, Headers: out.Headers}}, got.Outcome.String(), got.Detail)
}

func (p *Partition) receiveInbox(e *entry, row record.InboxRow) machine.Received {
	switch {
	case row.Signal != nil:
		return machine.ReceiveSignal(e.state, e.state.Run.WorkflowID, row.Signal, false, e.def)
	case row.Cancel != nil:
		return machine.ReceiveCancel(e.state, e.state.Run.WorkflowID, row.Cancel, false)
	case row.Update != nil:
		return machine.ReceiveUpdate(e.state, e.state.Run.WorkflowID, row.Update, false, nil)
	case row.Report != nil:
		return machine.ReceiveReport(e.state, row.Report)
	case row.Completed != nil:
		return machine.ReceiveCompleted(e.state, row.Completed)
	case row.Failed != nil && expired(row.Failed):
		return machine.ReceiveExpired(e.state, row.Failed, p.now)
	case row.Failed != nil:
		return machine.ReceiveFailed(e.state, row.Failed, p.now)
	default:
		return machine.ReceiveTimer(e.state, row.Timer)
	}
}

// advance runs author code and names the turn for the watchdog.
func (p *Partition) advance(e *entry, turn func() ([]record.HistoryBody, error)) ([]record.HistoryBody, *machine.Refusal) {
	p.turns++
	p.turnRun.Store(&e.state.Run.Run)
	p.turn.Store(p.turns)
	decisions, err := turn()
	p.turn.Store(0)
	p.batch.Counts.Turns++
	if err == nil {
		return decisions, nil
	}
	e.drop()
	if stuck, ok := errors.AsType[*replay.StuckError](err); ok {
		return nil, &machine.Refusal{Code: stuck.Code, Detail: stuck.Detail}
	}
	return nil, &machine.Refusal{Code: "divergence", Detail: err.Error()}
}

// replay makes a cold run live again.
func (p *Partition) replay(e *entry) (*machine.Refusal, error) {
	_, stuck, err := p.rebuild(e, 0)
	return stuck, err
}

// rebuild is replay; with next it runs the last turn of the history, and gives what the
// code decided, which is numbered from there.
func (p *Partition) rebuild(e *entry, next uint64) ([]record.HistoryBody, *machine.Refusal, error) {
	p.batch.Counts.Replays++
	var readErr error
	decisions, stuck := p.advance(e, func() ([]record.HistoryBody, error) {
		live, decisions, err := replay.Rebuild(e.def, p.identity(e), p.history(e, &readErr), next, p.cfg.Logger)
		if err == nil {
			e.live = live
			p.batch.Counts.HashMismatches += live.HashMismatches
		}
		return decisions, err
	})
	if readErr != nil {
		e.drop()
		return nil, nil, readErr
	}
	return decisions, stuck, nil
}

func (p *Partition) identity(e *entry) replay.Identity {
	r := &e.state.Run
	return replay.Identity{WorkflowID: r.WorkflowID, Run: r.Run, Type: r.Type, Version: e.def.Version(), AfterSwitch: p.afterSwitch}
}

// history gives the run's events that count and that the code sees, from the first on: from
// the store, from the batches in flight, from the open batch.
func (p *Partition) history(e *entry, readErr *error) iter.Seq2[record.HistoryEvent, error] {
	if e.state.Run.Rewound { // which events count stands at the end
		events, _, err := p.events(e)
		if err != nil {
			*readErr = err
			return func(yield func(record.HistoryEvent, error) bool) { yield(record.HistoryEvent{}, err) }
		}
		return replay.Seen(machine.Counting(events))
	}
	return func(yield func(record.HistoryEvent, error) bool) {
		for no := uint32(1); no <= e.state.Run.Chunks; no++ {
			events, err := p.chunk(e, no)
			if err != nil {
				*readErr = err
				yield(record.HistoryEvent{}, err)
				return
			}
			for _, ev := range events {
				if replay.Unseen(ev.Body) {
					continue
				}
				if !yield(ev, nil) {
					return
				}
			}
		}
	}
}

func (p *Partition) chunk(e *entry, no uint32) ([]record.HistoryEvent, error) {
	for _, c := range e.chunks {
		if c.no == no {
			return c.events, nil
		}
	}
	r := &e.state.Run
	for _, b := range p.flight {
		if events, ok := b.written[chunkKey{r.Run, no}]; ok {
			return events, nil
		}
	}
	events, err := p.view.Chunk(r.WorkflowID, r.Run, no)
	if err != nil {
		return nil, fmt.Errorf("read chunk %d of run %s of workflow %q: %w", no, r.Run, r.WorkflowID, err)
	}
	return events, nil
}

func (p *Partition) event(e *entry, chunk uint32, no uint64) (record.HistoryEvent, error) {
	events, err := p.chunk(e, chunk)
	if err != nil {
		return record.HistoryEvent{}, err
	}
	for _, ev := range events {
		if ev.No == no {
			return ev, nil
		}
	}
	return record.HistoryEvent{}, fmt.Errorf("chunk %d of run %s of workflow %q lacks event %d", chunk, e.state.Run.Run, e.state.Run.WorkflowID, no)
}

func commandOf(b record.HistoryBody) string {
	switch b := b.(type) {
	case *record.RunStarted:
		return b.CommandID
	case *record.SignalReceived:
		return b.CommandID
	case *record.SignalCarried:
		return b.CommandID
	case *record.UpdateReceived:
		return b.CommandID
	case *record.CancelRequested:
		return b.CommandID
	case *record.RunTerminated:
		return b.CommandID
	case *record.RunRewound:
		return b.CommandID
	case *record.OperatorActed:
		return b.CommandID
	}
	return ""
}

// append adds an event to the open batch's chunk of the run and folds it.
func (p *Partition) append(e *entry, ev record.HistoryEvent) {
	p.touch(e)
	n := machine.EventBytes(ev)
	last := len(e.chunks) - 1
	if last < 0 || e.chunks[last].bytes+n > machine.ChunkBytesMax {
		e.chunks = append(e.chunks, &chunk{no: e.state.Run.Chunks + 1})
		last++
	}
	c := e.chunks[last]
	c.events = append(c.events, ev)
	c.bytes += n
	machine.Apply(e.state, ev, c.no)
	p.batch.Counts.Events++
	p.batch.bytes += n
	if id := commandOf(ev.Body); id != "" {
		if p.batch.commands == nil {
			p.batch.commands = map[record.RunID][]string{}
		}
		p.batch.commands[e.state.Run.Run] = append(p.batch.commands[e.state.Run.Run], id)
	}
	p.publish(e, ev)
}

// apply adds a turn's decisions and sends out what they ask for.
func (p *Partition) apply(e *entry, events []record.HistoryEvent) error {
	for _, ev := range events {
		if b, ok := ev.Body.(*record.TaskCancelled); ok {
			if t := e.state.Task(b.Task); t != nil {
				p.cancelTask(e, t)
			}
		}
		if b, ok := ev.Body.(*record.UpdateCompleted); ok {
			p.answered(e, b)
		}
		var carried []record.HistoryBody
		if closes(ev.Body) {
			p.cancelTasks(e)
			if ev.Body.HistoryKind() == record.KindRunContinued {
				var err error
				if carried, err = p.carried(e); err != nil {
					return err
				}
			} else {
				p.stopChildren(e)
			}
		}
		p.append(e, ev)
		switch b := ev.Body.(type) {
		case *record.TaskScheduled:
			p.dispatch(e, e.state.Task(ev.No), 1, b.Input)
		case *record.LocalScheduled:
			p.local(e, e.state.Task(ev.No), 1, b.Input)
		case *record.TimerStarted:
			p.batch.Counts.Timers++
		case *record.Published:
			p.publishTo(e, b)
		default:
			p.tell(e, ev)
		}
		if closes(ev.Body) {
			if err := p.closed(e, ev.Body); err != nil {
				return err
			}
			if b, ok := ev.Body.(*record.RunContinued); ok {
				return p.goOn(e, ev.No, b, carried)
			}
		}
	}
	return nil
}

// closes reports whether the event closes its run.
func closes(b record.HistoryBody) bool {
	switch b.(type) {
	case *record.RunCompleted, *record.RunFailed, *record.RunCancelled, *record.RunContinued, *record.RunTerminated:
		return true
	}
	return false
}

// closed is what follows a run's closing event, its last.
func (p *Partition) closed(e *entry, body record.HistoryBody) error {
	r := &e.state.Run
	e.drop()
	p.batch.Counts.Closed++
	p.batch.closing = append(p.batch.closing, e)
	if r.Status == record.StatusContinued { // the workflow goes on
		return nil
	}
	p.batch.Closed = append(p.batch.Closed, ClosedRun{WorkflowID: r.WorkflowID, Type: r.Type, Run: r.Run, Status: r.Status})
	return p.report(e, body)
}

// dispatch sends an attempt of a task to its service.
func (p *Partition) dispatch(e *entry, t *record.TaskRow, attempt uint32, input []byte) {
	try := record.AttemptRow{Task: t.No, Open: attempt}
	if a := e.state.Attempt(t.No); a != nil && (attempt > 1 || a.Sending > 1) {
		try.Sending, try.Details = a.Sending, a.Details
	}
	out := codec.EncodeTask(&e.state.Run, t, &try, input)
	out.Partition = topology.TaskPartition(p.cfg.Partition, p.active[t.Service].Of(p.cfg.Services[t.Service]), t.LimitKey)
	out.Run, out.WorkflowID, out.Task, out.Attempt = e.state.Run.Run, e.state.Run.WorkflowID, t.No, attempt
	out.Sending = try.SendingNo()
	p.output(out)
	p.batch.Counts.Tasks++
}

// publish writes the event to the history topic where the type's level asks for
// it; closing events always (I5).
func (p *Partition) publish(e *entry, ev record.HistoryEvent) {
	level := workflow.HistoryLifecycle
	if e.coded {
		level = e.def.HistoryLevel()
	}
	switch {
	case closes(ev.Body):
	case ev.Body.HistoryKind() == record.KindRunStarted:
		if level == workflow.HistoryOff {
			return
		}
	case level != workflow.HistoryAll:
		return
	}
	out := codec.EncodeHistory(p.cfg.Namespace, &e.state.Run, ev)
	out.Partition = p.cfg.Partition
	p.output(out)
}
