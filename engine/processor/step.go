package processor

import (
	"time"

	"github.com/odradek/odradek/engine/partition"
	"github.com/odradek/odradek/record"
)

// clockEvery is after how many inputs the step looks at the clock.
const clockEvery = 8

// now is the time of a batch: it never goes back in a partition (T2).
func (t *tenure) now() record.Millis {
	return max(record.MillisOf(t.lane.cfg.Clock()), t.next.Now)
}

// step makes a batch of what is there: due entries, then inputs, within the
// bounds. Nil: there is nothing to write.
func (t *tenure) step() (*batch, error) {
	if err := t.refill(); err != nil {
		return nil, err
	}
	now := t.now()
	t.stepper.Rest(now)
	due, ok, err := t.stepper.NextDue()
	if err != nil {
		return nil, err
	}
	isDue := (ok && due <= now || t.local.len() > 0 || t.sent.ready(&t.next)) && (t.lane.crashes.careful == 0 || t.in.len() == 0)
	asked := t.lane.queries.len() > 0
	if !isDue && t.in.len() == 0 && !asked {
		return t.idle(now), nil
	}
	b := &batch{}
	b.info.begun = time.Now()
	t.followActive()
	t.stepper.Begin(now)
	if isDue {
		if err := t.stepDue(b); err != nil {
			return nil, err
		}
	}
	if b.inputs == 0 || !t.lane.blame.aloneDue {
		if err := t.stepInputs(b, now); err != nil {
			return nil, err
		}
	}
	if asked {
		if err := t.stepQueries(b); err != nil {
			return nil, err
		}
	}
	stepped := t.stepper.Finish()
	if stepped == nil && len(b.answers) > 0 { // a positions row shows that the owner is the owner (I3)
		b.unstepped, stepped = true, &partition.Batch{Now: now}
	}
	return t.finish(b, stepped), nil
}

// followActive gives the step the active task partitions where they have changed.
func (t *tenure) followActive() {
	if a := t.lane.cfg.active.Load(); a != nil && a != t.active {
		t.active = a
		t.stepper.SetActive(*a)
	}
}

// limit is how many inputs the next batch may have (P5).
func (t *tenure) limit() int {
	if t.lane.crashes.careful > 0 {
		return 1
	}
	if t.batchMax > 0 {
		return t.batchMax
	}
	return t.lane.cfg.Limits.BatchInputsMax
}

// stepDue takes due entries, the results of local tasks and attempts that are lost: at most
// half of the batch while inputs wait.
func (t *tenure) stepDue(b *batch) error {
	limit := t.limit()
	if t.in.len() > 0 {
		limit = (limit + 1) / 2
	}
	if t.lane.blame.aloneDue {
		limit = 1
	}
	t.current, t.alone = nil, limit == 1
	t.guard.enter()
	n, err := t.stepper.StepDue(limit)
	t.guard.leave()
	if err != nil {
		return err
	}
	own := t.local.take(limit - n)
	own = append(own, t.sent.take(&t.next, limit-n-len(own))...)
	for _, r := range own { // they come from no topic: no position moves
		t.guard.enter()
		err := t.stepper.Step(r)
		t.guard.leave()
		if err != nil {
			return err
		}
		n++
	}
	b.inputs, b.due = n, n > 0
	if n == 0 && t.lane.blame.aloneDue { // the one that hung has passed, or is gone
		t.lane.blame.aloneDue, t.lane.blame.hung = false, record.RunID{}
	}
	return nil
}

// stepInputs takes inputs while there are any and the bounds allow.
func (t *tenure) stepInputs(b *batch, now record.Millis) error {
	limits, blame := &t.lane.cfg.Limits, &t.lane.blame
	for limit := t.limit(); b.inputs < limit; {
		q := t.in.next()
		if q == nil {
			if err := t.refill(); err != nil {
				return err
			}
			if q = t.in.next(); q == nil {
				return nil
			}
		}
		r := q.peek()
		alone := blame.alone != nil && *blame.alone == r.Origin
		if alone && b.inputs > 0 {
			return nil
		}
		q.pop()
		t.in.took()
		if r.Body == nil { // a marker
			t.passed(r)
			continue
		}
		t.sent.answered(r.Body)
		if len(blame.poison) > 0 {
			if why, ok := blame.poison[r.Origin]; ok {
				r.Body = &record.Undecodable{Code: why.code, Reason: why.detail}
			}
		}
		if len(blame.starts) > 0 {
			if why, ok := blame.starts[r.Origin]; ok {
				t.stepper.Condemn(record.DeriveRunID(r.WorkflowID, r.Origin, now), why.code, why.detail)
			}
		}
		t.lane.crashes.stepping(r.Origin)
		t.current, t.alone = r, b.inputs == 0
		t.guard.enter()
		err := t.stepper.Step(r)
		t.guard.leave()
		if err != nil {
			return err
		}
		t.passed(r)
		b.inputs++
		if b.first = nil; b.inputs == 1 {
			b.first = &r.Origin
		}
		if alone {
			return nil
		}
		if _, bytes := t.stepper.Size(); bytes >= limits.BatchBytesMax {
			return nil
		}
		if b.inputs%clockEvery == 0 && time.Since(b.info.begun) >= limits.BatchTimeMax {
			return nil
		}
	}
	return nil
}

// passed moves the position behind an input.
func (t *tenure) passed(r *record.Record) {
	at := record.Position{Offset: r.Origin.Offset + 1, LeaderEpoch: r.Origin.LeaderEpoch}
	switch r.Origin.Topic {
	case record.TopicCommands:
		t.next.Commands = at
	case record.TopicEvents:
		t.next.Events = at
	case record.TopicInternal:
		t.next.Internal = at
	}
}

// refill takes from the readers what they have, without waiting, where the queue
// is short. Commands stay with their reader, and with the broker, while there are
// enough here.
func (t *tenure) refill() error {
	limit := t.lane.cfg.Limits.BatchInputsMax
	for t.in.events.len()+t.in.internal.len() < limit {
		if more, err := t.poll(t.readers[0]); !more {
			if err != nil {
				return err
			}
			break
		}
	}
	for t.in.commands.len() < limit {
		if more, err := t.poll(t.readers[1]); !more {
			return err
		}
	}
	return nil
}

func (t *tenure) poll(r *reader) (more bool, err error) {
	select {
	case f := <-r.out:
		return f.err == nil, t.take(f)
	default:
		return false, nil
	}
}

// idle makes a batch that has nothing but the positions, when there was none for a
// while: an idle owner is not told that it was fenced (P3).
func (t *tenure) idle(now record.Millis) *batch {
	every := t.lane.cfg.Limits.IdleCheck
	if every < 0 || len(t.flight) > 0 || time.Since(t.last) < every {
		return nil
	}
	b := &batch{unstepped: true}
	b.info.begun = time.Now()
	return t.finish(b, &partition.Batch{Now: now})
}

// finish closes the batch; nil if it has nothing.
func (t *tenure) finish(b *batch, stepped *partition.Batch) *batch {
	if stepped == nil {
		return nil
	}
	b.Batch = stepped
	t.next.Now = max(t.next.Now, stepped.Now)
	b.positions = t.next
	if b.due {
		b.first = nil
	}
	b.info.Step = time.Since(b.info.begun)
	return b
}
