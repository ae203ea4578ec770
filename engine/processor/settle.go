package processor

import (
	"fmt"
	"time"

	"github.com/odradek/odradek/internal/fault"
)

// apply brings a committed batch into the store: its rows and the Checkpoint that
// covers them in one Pebble batch, so that a store is always the fold of a prefix
// of the changelog, whatever the disk loses. It is never synced: what is lost is
// read from Kafka again.
func (c *committer) apply(b, prev *batch) error {
	f := c.cfg.Fault
	if prev != nil {
		if err := prev.settled.wait(); err != nil {
			return errDiscarded
		}
	}
	start := time.Now()
	cp := c.checkpoint(b)
	if err := f.At(fault.BeforeSettle); err != nil {
		return errCrashed{err}
	}
	c.cfg.observe(c.partition, opSettle, b)
	if err := c.store.Apply(b.Rows, cp); err != nil {
		return fmt.Errorf("settle a batch of partition %d: %w", c.partition, err)
	}
	b.info.Settle = time.Since(start)
	c.cfg.observe(c.partition, opSettled, b)
	if err := f.At(fault.AfterSettle); err != nil {
		return errCrashed{err}
	}
	return nil
}

// settle follows the oldest batch, whose last gate is open: what was pinned for it
// is let go, and whoever waited for it is told. Replies leave here and nowhere
// else: nobody hears of what is not in the store.
func (t *tenure) settle(b *batch) error {
	if b.settled.err != nil {
		return b.settled.err
	}
	if !b.unstepped && !t.guard.abandoned() {
		t.stepper.Settled(b.Batch)
	}
	l := t.lane
	t.sent.settled(b)
	l.progress.settled(b)
	for i := range b.Replies {
		l.waiters.reply(&b.Replies[i])
	}
	for _, a := range b.answers {
		a.query.answer(a.reply)
	}
	for _, key := range b.Answered {
		l.waiters.closed(key)
	}
	if len(b.Replies) > 0 {
		l.cfg.observe(l.partition, opReply, b)
	}
	if !b.unstepped && !t.guard.abandoned() {
		for i := range b.Locals {
			t.local.start(b.Locals[i])
		}
		for _, id := range b.LocalEnds {
			t.local.end(id)
		}
	}
	for i := range b.Closed {
		l.waiters.closed(b.Closed[i].WorkflowID)
	}
	b.info.Partition, b.info.Counts, b.info.Now = l.partition, b.Counts, b.Now
	b.info.Took = time.Since(b.info.begun)
	l.cfg.Listener.committed(&b.info)
	if err := l.cfg.Fault.At(fault.AfterReply); err != nil {
		return errCrashed{err}
	}
	return nil
}
