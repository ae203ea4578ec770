package partition

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/engine/replay"
	"github.com/odradek/odradek/record"
)

// Query asks the workflow's current run, as it is after everything that was stepped
// (I3). It changes nothing, and needs an open batch: its answer counts when that has
// settled. A query that asks for something, waits, panics or hangs fails alone, and the
// live run is dropped. An error means that the store failed.
func (p *Partition) Query(workflowID, name string, input []byte) (record.Answer, error) {
	e, err := p.load(workflowID)
	if err != nil {
		return record.Answer{}, err
	}
	if e == nil {
		return record.Answer{Outcome: record.OutcomeNotFound, Detail: fmt.Sprintf("no workflow has the ID %q: check the ID", workflowID)}, nil
	}
	a := record.Answer{Run: e.state.Run.Run}
	reject := func(o record.Outcome, format string, args ...any) (record.Answer, error) {
		a.Outcome, a.Detail = o, fmt.Sprintf(format, args...)
		return a, nil
	}
	r := &e.state.Run
	switch {
	case e.state.Gone:
		return reject(record.OutcomeHistoryGone, "run %s of workflow %q is %s and its history is dropped: only its result is known", r.Run, workflowID, r.Status)
	case !e.coded:
		return reject(record.OutcomeUnanswered, "%s", noCode(e).Detail)
	case e.state.Stuck != nil && e.state.Stuck.TurnOpen:
		return reject(record.OutcomeUnanswered, "run %s of workflow %q is stuck before its first turn: %s", r.Run, workflowID, e.state.Stuck.Code)
	}
	if name == DescribeQuery {
		return p.describe(e, a)
	}
	if err := e.def.CheckQuery(name, input); err != nil {
		return reject(record.OutcomeInvalid, "query %q of workflow type %q: %v", name, r.Type, err)
	}
	if why, err := p.warm(e); why != nil || err != nil {
		if err != nil {
			return record.Answer{}, err
		}
		return reject(record.OutcomeUnanswered, "run %s of workflow %q does not replay: %s: %s", r.Run, workflowID, why.Code, why.Detail)
	}
	out, err := ask(p, e, func() ([]byte, error) { return e.live.Ask(name, input) })
	if r.Status.Closed() {
		e.drop()
	}
	switch stuck, is := errors.AsType[*replay.StuckError](err); {
	case is:
		e.drop()
		return reject(record.OutcomeUnanswered, "query %q: %s", name, stuck.Detail)
	case errors.Is(err, replay.ErrNoHandler), errors.Is(err, replay.ErrDropped):
		return reject(record.OutcomeUnanswered, "query %q: %v: it is there when the code has called Handle", name, err)
	}
	a.Outcome, a.Result, a.Failure = record.OutcomeApplied, out, failureOf(err)
	return a, nil
}

// DescribeQuery is the query that every run answers: what its code waits for, and where, as
// JSON of a replay.View. No query of an author's can have that name.
const DescribeQuery = "odradek/describe"

func (p *Partition) describe(e *entry, a record.Answer) (record.Answer, error) {
	var readErr error
	v, err := ask(p, e, func() (replay.View, error) {
		return replay.Describe(e.def, p.identity(e), p.history(e, &readErr))
	})
	if readErr != nil {
		return record.Answer{}, readErr
	}
	if err == nil {
		a.Result, err = json.Marshal(v)
	}
	if err != nil {
		a.Outcome, a.Detail = record.OutcomeUnanswered, fmt.Sprintf("run %s of workflow %q does not replay: %v", a.Run, e.state.Run.WorkflowID, err)
		return a, nil
	}
	a.Outcome = record.OutcomeApplied
	return a, nil
}

// warm makes a run live, so that it can be asked.
func (p *Partition) warm(e *entry) (*machine.Refusal, error) {
	if e.live != nil {
		return nil, nil
	}
	return p.replay(e)
}

// ask names the run for the watchdog while its code looks at something outside of a turn.
func ask[T any](p *Partition, e *entry, look func() (T, error)) (T, error) {
	p.turns++
	p.turnRun.Store(&e.state.Run.Run)
	p.turn.Store(p.turns)
	defer p.turn.Store(0)
	return look()
}

// failureOf makes a failure of an error that code has returned.
func failureOf(err error) *record.Failure {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*record.Failure](err); ok {
		return f
	}
	return &record.Failure{Kind: record.FailureApplication, Message: err.Error()}
}

// update gives the run an update that its code does not refuse.
func (p *Partition) update(e *entry, r *record.Record, c *record.Update) error {
	known, err := p.knownOf(e, c.CommandID)
	if err != nil {
		return err
	}
	var typ machine.Type
	if e != nil && e.coded {
		typ = e.def
	}
	got := machine.ReceiveUpdate(e.stateOrNil(), r.WorkflowID, c, known, typ)
	if got.Event != nil {
		if why, err := p.refused(e, c); err != nil {
			return err
		} else if why != nil {
			got = machine.Received{Outcome: record.OutcomeRefused, Detail: fmt.Sprintf("update %q: %s", c.Name, why.Error())}
		}
	}
	if got.Event != nil {
		if err := p.deliver(e, got.Event, record.InboxRow{Update: c}); err != nil {
			return err
		}
	}
	p.answer(r, c.CommandID, c.Reply, e.runID(), got)
	return nil
}

// refused asks the run's code whether it refuses an update. Code that cannot say so, now,
// does it when it carries the update out.
func (p *Partition) refused(e *entry, c *record.Update) (*record.Failure, error) {
	if e.state.Stuck != nil || !e.coded {
		return nil, nil
	}
	if why, err := p.warm(e); why != nil || err != nil {
		return nil, err
	}
	_, err := ask(p, e, func() (struct{}, error) { return struct{}{}, e.live.Check(c.Name, c.Payload) })
	switch _, is := errors.AsType[*replay.StuckError](err); {
	case is:
		e.drop()
		return failureOf(err), nil
	case errors.Is(err, replay.ErrNoHandler), errors.Is(err, replay.ErrDropped):
		return nil, nil
	}
	return failureOf(err), nil
}

// UpdateKey is what a waiter for the answer to an update is told by.
func UpdateKey(workflowID, commandID string) string { return workflowID + "\x00" + commandID }

// answered tells who waits for an update.
func (p *Partition) answered(e *entry, b *record.UpdateCompleted) {
	for i := range e.state.Updates {
		if u := &e.state.Updates[i]; u.No == b.Update {
			p.batch.Answered = append(p.batch.Answered, UpdateKey(e.state.Run.WorkflowID, u.CommandID))
		}
	}
}
