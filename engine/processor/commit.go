package processor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/engine/partition"
	"github.com/odradek/odradek/internal/fault"
	"github.com/odradek/odradek/record"
)

// The pipelining rules, all of them necessary. n is a batch, n+1 the one that was
// stepped on top of it:
//
//	Produce(n+1)  only after every record of n was acked    (changelog order = batch order)
//	End(n+1)      only after End(n) returned nil             (what is committed is a prefix)
//	Apply(n+1)    only after Apply(n), and after End(n+1)    (the store never leads)
//	n failed      n+1 is discarded, whatever its records did
//
// Add(n+1) may overtake n: it writes no record, and a transaction that never ends
// is aborted by the next takeover. One goroutine takes a batch through all of
// this; at most three batches, one per transactional ID, are on their way. IDs
// follow one another in strict rotation, beginning with a after a takeover (P1).
//
// Committed means: EndTransaction returned nil, every promise of the batch was
// kept, at least one record was in it (the positions row), and producer ID and
// epoch are those of its beginning (P2). Everything else is unknown, and ends the
// tenure.

// batch is one transaction on its way. The goroutine that commits it owns it until
// the last gate is open.
type batch struct {
	*partition.Batch
	positions record.Positions
	inputs    int            // inputs and due entries
	due       bool           // due entries are among them
	unstepped bool           // positions only: the step does not know of it
	first     *record.Origin // of its only input, if there is one and nothing else
	client    *producer
	answers   []answered // to queries that were asked after its steps

	records []kgo.Record
	headers []kgo.RecordHeader
	targets targets

	acked   atomic.Int64
	failure atomic.Pointer[promiseFailure]
	end     atomic.Int64 // offset of the positions row

	flushed gate // all records acked
	ended   gate // EndTransaction returned
	settled gate // in the store

	info CommitInfo
}

type promiseFailure struct {
	record *kgo.Record
	err    error
}

// gate opens once, with an error or without. The error may be read after open.
type gate struct {
	open chan struct{}
	err  error
}

func (g *gate) set(err error) { g.err = err; close(g.open) }

// wait gives what the gate was opened with.
func (g *gate) wait() error { <-g.open; return g.err }

// producer is one transactional ID. The lane's committing goroutines use it one
// after the other.
type producer struct {
	id string
	cl *kgo.Client
}

// committer takes batches through their transactions.
type committer struct {
	cfg       *Config
	partition int32
	names     *topicNames
	store     Store
	producers [producersPerLane]producer
	next      int // of the producer whose turn it is
	busy      sync.WaitGroup
}

// producersPerLane is part of the protocol, not a setting (P1). With three, an ID
// rests while its markers are written.
const producersPerLane = 3

// depth is how many batches are on their way at most: one per ID.
const depth = producersPerLane

// send begins the way of a batch behind prev, which is nil or unsettled. The
// caller keeps at most depth batches unsettled.
func (c *committer) send(b, prev *batch) {
	b.client = &c.producers[c.next]
	c.next = (c.next + 1) % producersPerLane
	b.flushed.open, b.ended.open, b.settled.open = make(chan struct{}), make(chan struct{}), make(chan struct{})
	c.busy.Add(1)
	go func() {
		defer c.busy.Done()
		c.commit(b, prev)
	}()
}

// commit is the way of one batch, top to bottom.
func (c *committer) commit(b, prev *batch) {
	err := c.produce(b, prev)
	b.flushed.set(err)
	if err == nil {
		err = c.endTransaction(b, prev)
	}
	b.ended.set(err)
	if err == nil {
		err = c.apply(b, prev)
	}
	b.settled.set(err)
}

// produce opens the transaction and gets every record acked.
func (c *committer) produce(b, prev *batch) error {
	f := c.cfg.Fault
	if err := f.At(fault.BeforeBegin); err != nil {
		return errCrashed{err}
	}
	start := time.Now()
	c.prepare(b)
	cl := b.client.cl
	if err := cl.BeginTransaction(); err != nil {
		return doubt("begin", err)
	}
	id, epoch, err := cl.ProducerID(context.Background())
	if err != nil {
		return doubt("begin", err)
	}
	b.info.producerID, b.info.epoch = id, epoch
	if err := f.At(fault.BeforeAdd); err != nil {
		return errCrashed{err}
	}
	b.info.AddRetries, err = addPartitions(context.Background(), cl, b.client.id, id, epoch, &b.targets, c.cfg.Limits.RetryTimeout)
	if err != nil {
		return err
	}
	b.info.Add = time.Since(start)
	if err := f.At(fault.AfterAdd); err != nil {
		return errCrashed{err}
	}
	if prev != nil && !f.Off(fault.NoOrder) {
		if prev.flushed.wait() != nil {
			return errDiscarded
		}
	}
	start = time.Now()
	for i := range b.records[:len(b.records)-1] {
		cl.Produce(context.Background(), &b.records[i], b.promise)
	}
	cl.Produce(context.Background(), &b.records[len(b.records)-1], b.promisePositions)
	c.cfg.observe(c.partition, opProduce, b)
	if err := f.At(fault.AfterProduce); err != nil {
		return errCrashed{err}
	}
	if err := cl.Flush(context.Background()); err != nil {
		return doubt("flush", err)
	}
	if err := b.promises(f); err != nil {
		return err
	}
	b.info.Produce = time.Since(start)
	c.cfg.observe(c.partition, opAcked, b)
	if err := f.At(fault.AfterFlush); err != nil {
		return errCrashed{err}
	}
	return nil
}

// promise is called for each record of the batch when the broker has answered.
func (b *batch) promise(r *kgo.Record, err error) {
	if err != nil {
		b.failure.CompareAndSwap(nil, &promiseFailure{r, err})
		return
	}
	b.acked.Add(1)
}

// promisePositions is the promise of the positions row, the last of the batch:
// behind it the changelog goes on.
func (b *batch) promisePositions(r *kgo.Record, err error) {
	b.promise(r, err)
	if err == nil {
		b.end.Store(r.Offset)
	}
}

// promises checks every promise (P2): franz-go commits a transaction of which a
// part was refused.
func (b *batch) promises(f *fault.Injector) error {
	if f.Off(fault.NoAck) {
		return nil
	}
	if failure := b.failure.Load(); failure != nil {
		where := fmt.Sprintf("produce to %s/%d", failure.record.Topic, failure.record.Partition)
		if refused(failure.err) {
			at := -1
			for i := range b.Outputs {
				if &b.records[i] == failure.record {
					at = i
				}
			}
			return fmt.Errorf("%s: %w", where, &refusedError{at, failure.err})
		}
		return doubt(where, failure.err)
	}
	if n := b.acked.Load(); n != int64(len(b.records)) {
		return doubt("flush", fmt.Errorf("%d of %d records were acked", n, len(b.records)))
	}
	return nil
}

// endTransaction commits, in batch order.
func (c *committer) endTransaction(b, prev *batch) error {
	f := c.cfg.Fault
	if prev != nil && !f.Off(fault.EndOrder) {
		if prev.ended.wait() != nil {
			return errDiscarded
		}
	}
	if f.Off(fault.Early) {
		if err := c.store.Apply(b.Rows, c.checkpoint(b)); err != nil {
			return err
		}
		if _, _, err := c.store.Checkpoint(); err != nil { // a read has it written at once
			return err
		}
	}
	if err := f.At(fault.BeforeEnd); err != nil {
		return errCrashed{err}
	}
	cl := b.client.cl
	id, epoch, err := cl.ProducerID(context.Background())
	if err != nil {
		return doubt("end", err)
	}
	if id != b.info.producerID || epoch != b.info.epoch {
		return doubt("end", fmt.Errorf("producer %d/%d became %d/%d inside a transaction", b.info.producerID, b.info.epoch, id, epoch))
	}
	start := time.Now()
	c.cfg.observe(c.partition, opEnd, b)
	// Unbounded: a context that ends cancels the request, and with it the chance to
	// learn what became of it. RetryTimeout bounds it.
	if err := cl.EndTransaction(context.Background(), kgo.TryCommit); err != nil {
		return doubt("end", err)
	}
	b.info.End = time.Since(start)
	c.cfg.observe(c.partition, opEnded, b)
	if err := f.At(fault.AfterEnd); err != nil {
		return errCrashed{err}
	}
	return nil
}

// checkpoint is what the store knows with the batch.
func (c *committer) checkpoint(b *batch) record.Checkpoint {
	return record.Checkpoint{
		Inputs: b.positions,
		// The answer to Produce does not tell the leader epoch, and a stale one would
		// look like a truncation.
		Changelog: record.Position{Offset: b.end.Load() + 1, LeaderEpoch: -1},
		At:        record.MillisOf(c.cfg.Clock()),
	}
}

// The operations of a batch that tests observe.
const (
	opProduce = "produce" // before the first record
	opAcked   = "acked"   // after the last promise
	opEnd     = "end"     // before EndTransaction
	opEnded   = "ended"   // after its nil
	opSettle  = "settle"  // before the store's write
	opSettled = "settled" // after it
	opReply   = "reply"   // after the replies
)

func (c *Config) observe(p int32, op string, b *batch) {
	if c.ports.observe != nil {
		c.ports.observe(p, op, b)
	}
}

// isCrash reports whether the error is an injected crash.
func isCrash(err error) bool {
	_, ok := errors.AsType[errCrashed](err)
	return ok
}
