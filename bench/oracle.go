package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

// What the history topic's records of a start and a close begin and end with.
const (
	typeStarted = "io.odradek.run_started."
	typeClosed  = "io.odradek.run_completed."
	typeFailed  = "io.odradek.run_failed."
)

func ceType(k *kgo.Record) string {
	for i := range k.Headers {
		if k.Headers[i].Key == codec.HeaderCEType {
			return string(k.Headers[i].Value)
		}
	}
	return ""
}

func isClosing(k *kgo.Record) bool {
	typ := ceType(k)
	return strings.HasPrefix(typ, typeClosed) || strings.HasPrefix(typ, typeFailed)
}

// tally counts what the history says of each workflow.
type tally struct {
	accepted         int // workflowID(0) to workflowID(accepted-1)
	started, closed  map[string]int
	missing, doubled int
	failed, unknown  int
}

func newTally(accepted int) *tally {
	return &tally{accepted: accepted, started: make(map[string]int, accepted), closed: make(map[string]int, accepted)}
}

func (t *tally) add(k *kgo.Record) {
	switch typ := ceType(k); {
	case strings.HasPrefix(typ, typeStarted):
		t.started[string(k.Key)]++
	case strings.HasPrefix(typ, typeClosed):
		t.closed[string(k.Key)]++
	case strings.HasPrefix(typ, typeFailed):
		t.closed[string(k.Key)]++
		t.failed++
	}
}

// judge is the oracle's word: nil if each accepted start has one run that closed
// once, as completed, and nothing else is there (B3).
func (t *tally) judge() error {
	for n := range t.accepted {
		id := workflowID(n)
		switch s, c := t.started[id], t.closed[id]; {
		case s == 0 || c == 0:
			t.missing++
		case s > 1 || c > 1:
			t.doubled++
		}
		delete(t.started, id)
		delete(t.closed, id)
	}
	t.unknown = len(t.started) + len(t.closed)
	if t.missing+t.doubled+t.failed+t.unknown > 0 {
		return fmt.Errorf("of %d accepted starts %d did not close, %d started or closed more than once, %d failed; %d closed that nobody started", t.accepted, t.missing, t.doubled, t.failed, t.unknown)
	}
	return nil
}

// oracle reads the whole history of a side and judges it, but for the workflows that a
// flood of these types started.
func (s side) oracle(ctx context.Context, accepted int, but ...string) error {
	history := s.names().Topic(record.TopicHistory)
	// The markers of transactions are read too: one of them is the last before an end.
	cl, err := s.consume([]string{history}, kgo.KeepControlRecords())
	if err != nil {
		return err
	}
	defer cl.Close()
	left, err := committedEnds(ctx, cl, history)
	if err != nil {
		return err
	}
	t := newTally(accepted)
	for len(left) > 0 {
		fetched := cl.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			return fmt.Errorf("read %s: %w", history, err)
		}
		fetched.EachPartition(func(p kgo.FetchTopicPartition) {
			for _, k := range p.Records {
				if !k.Attrs.IsControl() && !slices.ContainsFunc(but, func(typ string) bool { return strings.HasPrefix(string(k.Key), typ+"-") }) {
					t.add(k)
				}
				if k.Offset >= left[p.Partition]-1 {
					delete(left, p.Partition)
				}
			}
		})
	}
	return t.judge()
}

// committedEnds are the committed ends of a topic's partitions that have records.
func committedEnds(ctx context.Context, cl *kgo.Client, topic string) (map[int32]int64, error) {
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("list the ends of %s: %w", topic, err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	return left, nil
}
