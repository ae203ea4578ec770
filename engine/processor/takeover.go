package processor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/internal/fault"
	"github.com/odradek/odradek/record"
)

// initTimeout bounds InitProducerID of one ID. It waits for the markers of the last
// owner's transaction; a partition that is offline can hold them for ever.
const initTimeout = time.Minute

// takeover makes this instance the one owner of the partition's writes and brings
// its store to the end of the changelog. It is also the recovery from every doubt.
// The order is the protocol:
//
//  1. the store is opened;
//  2. a, then b, then c is initialised, each answered before the next (P1): the
//     last owner is fenced, and its transactions are decided and marked;
//  3. the end of the changelog is listed, read_uncommitted;
//  4. the changelog is read, read_committed, from the Checkpoint to that end;
//  5. input is read from the positions in the state.
//
// All clients are new: one that is in doubt is never used again (P2).
func (l *lane) takeover(ctx context.Context) (t *tenure, err error) {
	cfg, f := l.cfg, l.cfg.Fault
	info := TakeoverInfo{Partition: l.partition}
	start := time.Now()
	since := func() time.Duration { d := time.Since(start); start = start.Add(d); return d }
	begun := start

	if err := f.At(fault.BeforeOpen); err != nil {
		return nil, errCrashed{err}
	}
	l.progress.state(StateOpening)
	if err := l.openStore(); err != nil {
		return nil, err
	}
	info.Open = since()

	t = &tenure{lane: l, batchMax: l.firstBatch}
	t.committer = committer{cfg: cfg, partition: l.partition, names: l.names}
	defer func() {
		if err != nil {
			t.close()
			t = nil
		}
	}()
	l.progress.state(StateFencing)
	before := int64(-1)
	if f.Off(fault.LSO) {
		if before, err = l.stableEnd(ctx); err != nil {
			return t, err
		}
	}
	if err := f.At(fault.BeforeInit); err != nil {
		return t, errCrashed{err}
	}
	if err := t.initProducers(ctx); err != nil {
		return t, err
	}
	info.Init = since()
	if err := f.At(fault.AfterInit); err != nil {
		return t, errCrashed{err}
	}

	end, err := listEnd(ctx, t.producers[0].cl, l.names.topics[record.TopicChangelog], l.partition)
	if err != nil {
		return t, err
	}
	if before >= 0 {
		end = before
	}
	info.List, info.End = since(), end
	if err := f.At(fault.AfterList); err != nil {
		return t, errCrashed{err}
	}

	l.progress.state(StateRestoring)
	cp, n, err := l.restore(ctx, end)
	if err != nil {
		return t, err
	}
	t.store = l.store // not before: a restore may have replaced it
	info.Restore, info.Records, info.Positions = since(), n, cp.Inputs
	if err := f.At(fault.AfterRestore); err != nil {
		return t, errCrashed{err}
	}
	if err := l.checkClock(cp.Inputs.Now); err != nil {
		return t, err
	}
	l.quarantine()
	if err := t.open(cp); err != nil {
		return t, err
	}
	l.takeovers++
	info.Takeover, info.Took = l.takeovers, time.Since(begun)
	tell(cfg.Listener.TakenOver, info)
	return t, nil
}

// openStore opens the partition's store unless it is open. A store that cannot be
// used is renamed, one is kept, and all of it comes from Kafka again.
func (l *lane) openStore() error {
	if l.store != nil {
		return nil
	}
	s, err := l.cfg.ports.openStore(l.partition)
	if rebuild, ok := errors.AsType[errRebuild](err); ok {
		s, err = l.rebuild(rebuild.error)
	}
	if err != nil {
		return fmt.Errorf("open the store of partition %d: %w", l.partition, err)
	}
	l.setStore(s)
	return nil
}

// rebuild renames the store, which is closed, and opens an empty one.
func (l *lane) rebuild(why error) (Store, error) {
	to, err := l.cfg.ports.quarantine(l.partition)
	if err != nil {
		return nil, err
	}
	tell(l.cfg.Listener.Rebuilt, StoreInfo{Partition: l.partition, To: to, Err: why})
	return l.cfg.ports.openStore(l.partition)
}

// initProducers makes the clients and initialises the IDs: a, then b, then c, each
// answered before the next (P1).
func (t *tenure) initProducers(ctx context.Context) error {
	cfg, f := t.lane.cfg, t.lane.cfg.Fault
	for i := range t.producers {
		id := cfg.Names.TransactionalID(t.partition, i)
		cl, err := cfg.transactional(id)
		if err != nil {
			return fmt.Errorf("make the client of %s: %w", id, err)
		}
		t.producers[i] = producer{id, cl}
	}
	for i := range t.producers {
		if f.Off(fault.RevInit) {
			i = producersPerLane - 1 - i
		}
		if i > 0 {
			if f.Off(fault.SkipInit) {
				continue
			}
			if err := f.At(fault.BetweenInits); err != nil {
				return errCrashed{err}
			}
		}
		bounded, cancel := context.WithTimeout(ctx, initTimeout)
		_, _, err := t.producers[i].cl.ProducerID(bounded)
		cancel()
		if err != nil {
			if fenced(err) {
				return fmt.Errorf("initialise %s: %w: %w", t.producers[i].id, ErrFenced, err)
			}
			return fmt.Errorf("initialise %s: %w", t.producers[i].id, err)
		}
	}
	return nil
}

// listEnd gives the end of a partition, whatever is committed: only that covers
// everything that the last owner committed. The answer may carry an error for the
// partition beside a success (P4).
func listEnd(ctx context.Context, cl *kgo.Client, topic string, p int32) (int64, error) {
	return list(ctx, cl, topic, p, (*kadm.Client).ListEndOffsets)
}

func (l *lane) stableEnd(ctx context.Context) (int64, error) {
	cl, err := l.cfg.plain()
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	return list(ctx, cl, l.names.topics[record.TopicChangelog], l.partition, (*kadm.Client).ListCommittedOffsets)
}

// listTimeout bounds the wait for a partition whose leader just moved.
const listTimeout = 10 * time.Second

func list(ctx context.Context, cl *kgo.Client, topic string, p int32, what func(*kadm.Client, context.Context, ...string) (kadm.ListedOffsets, error)) (int64, error) {
	adm := kadm.NewClient(cl)
	bounded, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		offsets, err := what(adm, bounded, topic)
		if err == nil {
			o, ok := offsets.Lookup(topic, p)
			switch {
			case !ok:
				err = fmt.Errorf("no answer for the partition: create the topic with its %d partitions", p+1)
			case o.Err != nil:
				err = o.Err
			case o.Offset < 0:
				err = kerr.OffsetNotAvailable
			default:
				return o.Offset, nil
			}
			if !kerr.IsRetriable(err) {
				return 0, fmt.Errorf("list offsets of %s/%d: %w", topic, p, err)
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-bounded.Done():
			timer.Stop()
			return 0, fmt.Errorf("list offsets of %s/%d: %w", topic, p, err)
		}
	}
}

// checkClock refuses a clock that is behind what the partition has seen (T2):
// timers would stand still until it caught up.
func (l *lane) checkClock(last record.Millis) error {
	now := record.MillisOf(l.cfg.Clock())
	if now.Add(l.cfg.Limits.ClockSkewMax) < last {
		return fmt.Errorf("take over partition %d: %w: it says %s, but the last batch was made at %s; set this machine's clock", l.partition, ErrClock, now.Time().Format(time.RFC3339), last.Time().Format(time.RFC3339))
	}
	return nil
}
