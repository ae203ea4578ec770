package processor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/internal/fault"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/statestore"
)

// Bounds of a restore.
const (
	// tailPoll is how many records are folded between two commits of the store.
	tailPoll = 5000
	// tailStall is how long the tail may stand. A transaction of ours cannot hold it:
	// all are decided. What holds it is somebody else's, or an election.
	tailStall = 20 * time.Second
	// tailFetchBytes is one fetch: a cold restore is bound by round trips below it.
	tailFetchBytes = 8 << 20
)

// restore folds the changelog from the store's Checkpoint to end and gives the
// Checkpoint that it reached.
func (l *lane) restore(ctx context.Context, end int64) (record.Checkpoint, int64, error) {
	cp, err := l.startingPoint(ctx, end)
	if err != nil {
		return cp, 0, err
	}
	if cp.Changelog.Offset >= end || l.rewound {
		l.rewound = false
		return cp, 0, nil
	}
	t := tail{lane: l, folder: l.store.Folder(), cp: cp}
	if err := t.read(ctx, end); err != nil {
		return cp, t.records, err
	}
	return t.cp, t.records, nil
}

// startingPoint is the store's Checkpoint. A store that is too old, and not at the
// end, is rebuilt: tombstones that it never saw may be gone. One that is ahead of
// the log means that Kafka lost data.
func (l *lane) startingPoint(ctx context.Context, end int64) (record.Checkpoint, error) {
	cp, found, err := l.store.Checkpoint()
	if err != nil {
		return cp, fmt.Errorf("read the checkpoint of partition %d: %w", l.partition, err)
	}
	start := int64(0)
	if !found || cp.Changelog.Offset < end {
		if start, err = l.changelogStart(ctx); err != nil {
			return cp, err
		}
	}
	if !found {
		return emptyCheckpoint(start), nil
	}
	if cp.Changelog.Offset > end && !l.cfg.Fault.Off(fault.LSO) {
		return cp, incident(fmt.Errorf("partition %d: %w: the store has the changelog up to offset %d, but it ends at %d; restore the topic, or delete the folder of this store to go on with what Kafka has", l.partition, ErrDataLoss, cp.Changelog.Offset, end))
	}
	var stale error
	switch age := l.cfg.Clock().Sub(cp.At.Time()); {
	case cp.Changelog.Offset < start:
		stale = fmt.Errorf("the store ends at offset %d, the changelog begins at %d", cp.Changelog.Offset, start)
	case cp.Changelog.Offset < end && age > l.cfg.Limits.StoreAgeMax:
		atEnd, err := l.onlyMarkers(ctx, cp.Changelog, end)
		if err != nil {
			return cp, err
		}
		if atEnd { // never too old (F4)
			break
		}
		stale = fmt.Errorf("the store is %v old and not at the end of the changelog: deletions may have been compacted away", age.Round(time.Second))
	}
	if stale != nil {
		if err := l.closeStore(); err != nil {
			return cp, err
		}
		s, err := l.rebuild(stale)
		if err != nil {
			return cp, fmt.Errorf("open the store of partition %d: %w", l.partition, err)
		}
		l.setStore(s)
		return emptyCheckpoint(start), nil
	}
	return cp, nil
}

// onlyMarkers reports whether the changelog has nothing from a position to its end
// but the markers of transactions: a Checkpoint lies before those of its own.
func (l *lane) onlyMarkers(ctx context.Context, from record.Position, end int64) (bool, error) {
	topic := l.names.topics[record.TopicChangelog]
	cl, err := l.cfg.reader(l.partition, map[record.Topic]record.Position{record.TopicChangelog: from}, kgo.KeepControlRecords())
	if err != nil {
		return false, fmt.Errorf("make a reader of %s: %w", topic, err)
	}
	defer cl.Close()
	bounded, cancel := context.WithTimeout(ctx, tailStall)
	defer cancel()
	rows := false
	for at := from.Offset; at < end && !rows; {
		fs := cl.PollRecords(bounded, tailPoll)
		for _, e := range fs.Errors() {
			return false, fmt.Errorf("look at the end of %s/%d, %d to %d: %w", topic, l.partition, at, end, readError(topic, l.partition, e.Err))
		}
		fs.EachRecord(func(r *kgo.Record) {
			if r.Offset >= at && r.Offset < end {
				at, rows = r.Offset+1, rows || !r.Attrs.IsControl()
			}
		})
	}
	return !rows, nil
}

// emptyCheckpoint is the one of an empty store.
func emptyCheckpoint(changelogStart int64) record.Checkpoint {
	none := record.Position{Offset: 0, LeaderEpoch: -1}
	return record.Checkpoint{
		Inputs:    record.Positions{Commands: none, Events: none, Internal: none},
		Changelog: record.Position{Offset: changelogStart, LeaderEpoch: -1},
	}
}

// changelogStart is where the changelog begins: at 0, unless somebody deleted
// records, or a compaction moved it.
func (l *lane) changelogStart(ctx context.Context) (int64, error) {
	cl, err := l.cfg.plain()
	if err != nil {
		return 0, fmt.Errorf("make a client: %w", err)
	}
	defer cl.Close()
	return list(ctx, cl, l.names.topics[record.TopicChangelog], l.partition, (*kadm.Client).ListStartOffsets)
}

// tail reads a changelog into a store. It keeps control records, so that its
// position passes markers that nothing follows: without them it would wait for an
// end that it cannot see.
type tail struct {
	lane    *lane
	folder  Folder
	cp      record.Checkpoint
	records int64
}

func (t *tail) read(ctx context.Context, end int64) error {
	l := t.lane
	topic := l.names.topics[record.TopicChangelog]
	cl, err := l.cfg.reader(l.partition, map[record.Topic]record.Position{record.TopicChangelog: t.cp.Changelog},
		kgo.KeepControlRecords(), kgo.FetchMaxPartitionBytes(tailFetchBytes))
	if err != nil {
		return fmt.Errorf("make a reader of %s: %w", topic, err)
	}
	defer cl.Close()
	moved := time.Now()
	for t.cp.Changelog.Offset < end {
		l.progress.restoring(end - t.cp.Changelog.Offset)
		bounded, cancel := context.WithTimeout(ctx, tailStall/10)
		fs := cl.PollRecords(bounded, tailPoll)
		cancel()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for _, e := range fs.Errors() {
			if bounded.Err() == nil || e.Topic != "" {
				return fmt.Errorf("restore partition %d at %d of %d: %w", l.partition, t.cp.Changelog.Offset, end, readError(topic, l.partition, e.Err))
			}
		}
		at := t.cp.Changelog.Offset
		if err := t.fold(fs, end); err != nil {
			return err
		}
		if t.cp.Changelog.Offset > at {
			moved = time.Now()
		} else if time.Since(moved) > tailStall {
			return fmt.Errorf("restore partition %d: the committed part of %s/%d ends at %d, its end is %d, for %v: a transaction of somebody else holds it, or its leader is away", l.partition, topic, l.partition, t.cp.Changelog.Offset, end, tailStall)
		}
	}
	return nil
}

// fold takes one fetch into the store, with the Checkpoint that covers it.
func (t *tail) fold(fs kgo.Fetches, end int64) error {
	var err error
	fs.EachRecord(func(r *kgo.Record) {
		if err != nil || r.Offset < t.cp.Changelog.Offset || r.Offset >= end {
			return
		}
		if !r.Attrs.IsControl() {
			if err = t.folder.Fold(r.Key, r.Value); err != nil {
				err = foldError(fmt.Errorf("fold offset %d of %s/%d: %w", r.Offset, r.Topic, r.Partition, err))
				return
			}
			t.records++
		}
		t.cp.Changelog = record.Position{Offset: r.Offset + 1, LeaderEpoch: r.LeaderEpoch}
	})
	if err != nil {
		return err
	}
	if p := t.folder.Position(); p != (record.Positions{}) {
		t.cp.Inputs = p
	}
	t.cp.At = record.MillisOf(t.lane.cfg.Clock())
	if err := t.folder.Commit(t.cp); err != nil {
		return fmt.Errorf("restore partition %d: %w", t.lane.partition, err)
	}
	if err := t.lane.cfg.Fault.At(fault.InRestore); err != nil {
		return errCrashed{err}
	}
	return nil
}

// foldError tells what an operator must see from a store that is to be rebuilt.
func foldError(err error) error {
	if errors.Is(err, statestore.ErrChangelog) || errors.Is(err, statestore.ErrFormatNewer) {
		return incident(err)
	}
	return err
}
