package oracle

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// settleTimeout bounds how long an open transaction may hold a topic that nobody
// writes to any more: the engines' transaction timeout and a coordinator's round.
const settleTimeout = time.Minute

// readTimeout bounds how long a reader may get nothing before the end.
const readTimeout = 30 * time.Second

// Read gives visit every committed record of a topic, once, in the order of each
// partition, up to the end that it has now. Nobody writes to it meanwhile: Read
// waits until no transaction is open in it.
func Read(ctx context.Context, opts []kgo.Opt, topic string, visit func(r *kgo.Record) error) error {
	opts = append([]kgo.Opt{}, opts...)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	starts, ends, err := bounds(ctx, kadm.NewClient(cl), topic)
	cl.Close()
	if err != nil {
		return fmt.Errorf("read %s: %w", topic, err)
	}
	from, left := map[int32]kgo.Offset{}, map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if s, _ := starts.Lookup(topic, o.Partition); s.Offset < o.Offset {
			from[o.Partition], left[o.Partition] = kgo.NewOffset().At(s.Offset), o.Offset
		}
	})
	if len(left) == 0 {
		return nil
	}
	// Control records too: a log may end with them.
	reader, err := kgo.NewClient(append(opts, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...)
	if err != nil {
		return err
	}
	defer reader.Close()
	next := map[int32]int64{}
	for len(left) > 0 {
		bounded, cancel := context.WithTimeout(ctx, readTimeout)
		fs := reader.PollFetches(bounded)
		cancel()
		if err := fs.Err(); err != nil {
			return fmt.Errorf("read %s, of which %v is left: %w", topic, left, err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			end, reading := left[r.Partition]
			if err != nil || r.Offset < next[r.Partition] || !reading || r.Offset >= end {
				return
			}
			next[r.Partition] = r.Offset + 1
			if !r.Attrs.IsControl() {
				err = visit(r)
			}
			if next[r.Partition] >= end {
				delete(left, r.Partition)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// bounds waits until everything in the topic is committed or aborted.
func bounds(ctx context.Context, adm *kadm.Client, topic string) (starts, ends kadm.ListedOffsets, err error) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	if starts, err = adm.ListStartOffsets(ctx, topic); err == nil {
		err = starts.Error()
	}
	if err != nil {
		return starts, ends, err
	}
	for {
		stable, err := adm.ListCommittedOffsets(ctx, topic)
		if err == nil {
			err = stable.Error()
		}
		if err == nil {
			if ends, err = adm.ListEndOffsets(ctx, topic); err == nil {
				err = ends.Error()
			}
		}
		if err != nil {
			return starts, ends, err
		}
		open := false
		ends.Each(func(e kadm.ListedOffset) {
			s, _ := stable.Lookup(e.Topic, e.Partition)
			open = open || s.Offset < e.Offset
		})
		if !open {
			return starts, ends, nil
		}
		select {
		case <-ctx.Done():
			return starts, ends, fmt.Errorf("a transaction is open for more than %s: %w", settleTimeout, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Unique counts the records of a topic by what id gives, and tells those that are
// there twice (O3). id may give "" for records that do not count.
func Unique(ctx context.Context, opts []kgo.Opt, v *Verdict, topic string, id func(r *kgo.Record) string) (n int, err error) {
	seen := map[string]int64{}
	err = Read(ctx, opts, topic, func(r *kgo.Record) error {
		key := id(r)
		if key == "" {
			return nil
		}
		n++
		if first, ok := seen[key]; ok {
			v.doubled(1, "%s/%d has %s at offset %d and at offset %d", topic, r.Partition, key, first, r.Offset)
			return nil
		}
		seen[key] = r.Offset
		return nil
	})
	return n, err
}

// Attempt identifies an attempt of a task by its headers.
func Attempt(r *kgo.Record) string { return header(r, "od-task") + "#" + header(r, "od-attempt") }

// Event identifies a record of the history topic.
func Event(r *kgo.Record) string { return header(r, "ce_id") }

func header(r *kgo.Record, key string) (value string) {
	for _, h := range r.Headers {
		if h.Key == key {
			value = string(h.Value)
		}
	}
	return value
}
