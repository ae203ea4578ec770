package partition

import (
	"fmt"
	"slices"
	"strings"

	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/record"
)

// NextDue is when the next entry of the due index comes due; zero while runs are to be
// tried again.
func (p *Partition) NextDue() (record.Millis, bool, error) {
	woken, err := p.due.anyWoken(p.view)
	if woken || err != nil {
		return 0, woken, err
	}
	d, ok, err := p.due.peek(p.view)
	return d.At, ok && d.At < record.Never, err
}

// StepDue takes up to limit due entries into the open batch.
func (p *Partition) StepDue(limit int) (n int, err error) {
	for ; n < limit; n++ {
		d, ok, err := p.due.take(p.view, p.now)
		if err != nil {
			return n, fmt.Errorf("read the due index of partition %d: %w", p.cfg.Partition, err)
		}
		if !ok {
			return n, nil
		}
		if err := p.stepDue(d); err != nil {
			return n, err
		}
	}
	return n, nil
}

func (p *Partition) stepDue(d record.Due) error {
	e, err := p.loadRun(d.WorkflowID, d.Run)
	if err != nil {
		return err
	}
	if e == nil {
		return nil // stale: the run is gone
	}
	switch d.Kind {
	case record.DueTimer:
		return p.timer(e, d)
	case record.DueRetry:
		return p.retry(e, d)
	case record.DueStuck:
		if e.state.Stuck == nil || !p.tryAgain(e) {
			return nil
		}
		p.batch.Counts.Inputs++
		return p.resume(e, false)
	case record.DueLocal:
		return p.localAgain(e, d)
	case record.DueTotal, record.DueAttempt:
		return p.limit(e, d)
	case record.DueRetention:
		return p.dropChunks(e)
	case record.DueSummary:
		return p.dropSummary(e)
	}
	return nil
}

func (p *Partition) timer(e *entry, d record.Due) error {
	if err := p.wake(e); err != nil {
		return err
	}
	got := machine.ReceiveTimer(e.state, d.No)
	if got.Event == nil || waitsInInbox(e, d.No) {
		return nil
	}
	p.batch.Counts.Inputs++
	return p.deliver(e, got.Event, record.InboxRow{Timer: d.No})
}

// limit lets a task feel a limit of its time.
func (p *Partition) limit(e *entry, d record.Due) error {
	if err := p.wake(e); err != nil {
		return err
	}
	failed := machine.ReceiveLimit(e.state, d.Kind, d.No, p.now)
	if failed == nil {
		return nil
	}
	p.batch.Counts.Inputs++
	if d.Kind == record.DueAttempt {
		return p.taskFailed(e, nil, failed)
	}
	for i := range e.state.Inbox { // of a stuck run: it came due before
		if f := e.state.Inbox[i].Failed; f != nil && f.Task == failed.Task && expired(f) {
			return nil
		}
	}
	got := machine.ReceiveExpired(e.state, failed, p.now)
	p.cancelTask(e, e.state.Task(d.No))
	return p.deliver(e, got.Event, record.InboxRow{Failed: failed})
}

// expired reports whether a failure says that the task's total time is over.
func expired(f *record.TaskFailed) bool {
	return f.Failure.Kind == record.FailureTimeout && f.Failure.Code == machine.CodeTotalTimeout
}

// waitsInInbox: the timer of a stuck run came due before.
func waitsInInbox(e *entry, timer uint64) bool {
	for i := range e.state.Inbox {
		if e.state.Inbox[i].Timer == timer {
			return true
		}
	}
	return false
}

// retry sends out the attempt that was waiting for its time.
func (p *Partition) retry(e *entry, d record.Due) error {
	a := e.state.Attempt(d.No)
	if a == nil || a.NextAt == 0 || a.NextAt > p.now {
		return nil
	}
	t := e.state.Task(d.No)
	p.batch.Counts.Inputs++
	p.touch(e)
	row := *a
	if e.state.Run.Paused || p.typePaused(e.state.Run.Type) {
		p.hold(e, row)
		return nil
	}
	if r := p.deliverable(t.Service); r != nil && !t.Local() {
		// The task stays open and is tried again: an output hurts only its own run (P5).
		row.NextAt = p.now.Add(undeliverableFor)
		e.state.SetAttempt(row)
		return nil
	}
	ev, err := p.event(e, t.Chunk, t.No)
	if err != nil {
		return err
	}
	row.NextAt, row.OutAt, row.BeatAt, row.Pending = 0, p.now, 0, false
	e.state.SetAttempt(row)
	if b, ok := ev.Body.(*record.LocalScheduled); ok {
		p.local(e, t, row.Open, b.Input)
	} else {
		p.dispatch(e, t, row.Open, ev.Body.(*record.TaskScheduled).Input)
	}
	return nil
}

// dropChunks gives the chunks of a closed run their tombstones, from the last to
// the first (F2), after a summary where the workflow is to stay known (F4).
func (p *Partition) dropChunks(e *entry) error {
	s := e.state
	if !s.Run.Status.Closed() || s.Gone || s.Run.DropAt > p.now {
		return nil
	}
	commands, err := p.allCommands(e)
	if err != nil {
		return err
	}
	p.batch.Counts.Inputs++
	if s.Run.Status == record.StatusFailed || s.Run.Status == record.StatusCancelled {
		if err := p.takenUp(s.Run.Run); err != nil {
			return err
		}
	}
	p.touch(e)
	e.drop()
	if expire := s.Run.ClosedAt.Add(p.cfg.RetentionSummary); expire > p.now {
		sum, err := p.summary(e, expire, commands)
		if err != nil {
			return err
		}
		p.rows.PutSummary(sum)
		s.SetSummary(sum)
	}
	run := s.Run
	for no := run.Chunks; no >= 1; no-- {
		p.rows.DeleteChunk(&run, no)
	}
	s.Drop(commands)
	return nil
}

// allCommands lists the run's command IDs, those in flight too (P8), in the order of
// their bytes.
func (p *Partition) allCommands(e *entry) ([]record.CommandRow, error) {
	run := &e.state.Run
	rows, err := p.view.Commands(run.WorkflowID, run.Run)
	if err != nil {
		return nil, fmt.Errorf("list the commands of run %s: %w", run.Run, err)
	}
	settled := len(rows)
	for _, b := range p.flight {
		for _, id := range b.commands[run.Run] {
			if !slices.ContainsFunc(rows, func(r record.CommandRow) bool { return r.CommandID == id }) {
				rows = append(rows, record.CommandRow{CommandID: id})
			}
		}
	}
	if len(rows) > settled {
		slices.SortFunc(rows, func(a, b record.CommandRow) int { return strings.Compare(a.CommandID, b.CommandID) })
	}
	return rows, nil
}

func (p *Partition) summary(e *entry, expire record.Millis, commands []record.CommandRow) (*record.SummaryRow, error) {
	s := e.state
	first, err := p.event(e, 1, 1)
	if err != nil {
		return nil, err
	}
	last, err := p.event(e, s.Run.CloseChunk, s.Run.CloseEvent)
	if err != nil {
		return nil, err
	}
	sum := &record.SummaryRow{RunRow: s.Run, ExpireAt: expire, Input: inputHash(first), Attributes: s.Attributes}
	switch b := last.Body.(type) {
	case *record.RunCompleted:
		sum.Result = b.Result
	case *record.RunFailed:
		sum.Failure = &b.Failure
	case *record.RunCancelled:
		sum.Failure = &b.Failure
	case *record.RunTerminated:
		f := record.Terminated(b.Reason)
		sum.Failure = &f
	}
	for i := range commands {
		sum.CommandIDs = append(sum.CommandIDs, commands[i].CommandID)
	}
	return sum, nil
}

// dropSummary makes the workflow unknown.
func (p *Partition) dropSummary(e *entry) error {
	s := e.state
	if s.Summary == nil || !s.Gone || s.Summary.ExpireAt > p.now {
		return nil
	}
	p.batch.Counts.Inputs++
	p.touch(e)
	p.rows.DeleteSummary(s.Summary)
	s.DropSummary()
	return nil
}

// decideConfig is what Decide must know for this run.
func (p *Partition) decideConfig(e *entry) machine.DecideConfig {
	completed := p.cfg.RetentionCompleted
	if keep := e.def.Retention(); keep > 0 {
		completed = keep
	}
	return machine.DecideConfig{
		Deliverable:     p.deliverable,
		Publishable:     p.publishable,
		RetainCompleted: completed,
		RetainFailed:    p.cfg.RetentionSummary,
	}
}

// deliverable refuses a service that has no topic, or whose topic refused (P5).
func (p *Partition) deliverable(service string) *machine.Refusal {
	if _, ok := p.cfg.Services[service]; !ok {
		return &machine.Refusal{Code: "service_undeclared", Detail: fmt.Sprintf("no workflow type of this binary declares a task of service %q, so it has no task topic: name the task where the workflow type is defined", service)}
	}
	return p.refusing(target{record.TopicTasks, service})
}

// refusing says why records cannot be written there, for some time after it was found out.
func (p *Partition) refusing(t target) *machine.Refusal {
	u, ok := p.undeliverable[t]
	if !ok {
		return nil
	}
	if u.until <= p.now {
		delete(p.undeliverable, t)
		return nil
	}
	return &machine.Refusal{Code: u.Code, Detail: u.Detail}
}
