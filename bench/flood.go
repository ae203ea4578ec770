package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
)

// flood starts n workflows as fast as the broker takes them: what a foreign producer
// does.
func (s side) flood(ctx context.Context, typ string, n int, input func(i int) []byte) error {
	return s.floodRange(ctx, typ, 0, n, input)
}

// floodRange starts those numbered from first to n, n not included.
func (s side) floodRange(ctx context.Context, typ string, first, n int, input func(i int) []byte) error {
	partitions, err := s.partitions(ctx)
	if err != nil {
		return err
	}
	cl, err := s.kafka(kgo.MaxBufferedRecords(100_000), kgo.ProducerLinger(5*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	table := topology.TableZero(partitions)
	var failed atomic.Pointer[error]
	for i := first; i < n; i++ {
		id := floodID(typ, i)
		k := kafkaRecord(s.names(), codec.EncodeStart(id, &record.Start{CommandID: rand.Text(), Type: typ, Input: input(i)}))
		k.Partition = table.Partition(id)
		cl.Produce(ctx, &k, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(&err)
			}
		})
		if err := failed.Load(); err != nil {
			return *err
		}
	}
	if err := cl.Flush(ctx); err != nil {
		return err
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

func floodID(typ string, i int) string { return fmt.Sprintf("%s-%010d", typ, i) }

// lived is what the history topic tells of workflows of one type as it comes in.
type lived struct {
	started, closed int
	doubled, failed int       // closed again, or otherwise than completed
	early           int       // closed before due
	last            time.Time // arrival of the last close
}

// watch reads the history until n workflows of a type have started, or closed. due
// is before any close that counts as in time; zero: whenever.
func (s side) watch(ctx context.Context, typ string, n int, closed bool, due time.Time) (lived, error) {
	cl, err := s.consume([]string{s.names().Topic(record.TopicHistory)})
	if err != nil {
		return lived{}, err
	}
	defer cl.Close()
	var l lived
	seen := make(map[string]bool, n)
	for l.started < n || closed && l.closed < n {
		fetched := cl.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			return l, fmt.Errorf("%d of %d %s started, %d closed: %w", l.started, n, typ, l.closed, err)
		}
		now := time.Now()
		fetched.EachRecord(func(k *kgo.Record) {
			if !strings.HasPrefix(string(k.Key), typ+"-") {
				return
			}
			switch kind := ceType(k); {
			case strings.HasPrefix(kind, typeStarted):
				l.started++
			case strings.HasPrefix(kind, typeClosed), strings.HasPrefix(kind, typeFailed):
				l.closed++
				l.last = now
				if seen[string(k.Key)] {
					l.doubled++
				}
				seen[string(k.Key)] = true
				if strings.HasPrefix(kind, typeFailed) {
					l.failed++
				}
				if at, err := time.Parse(time.RFC3339, header(k, codec.HeaderCETime)); err != nil || at.Before(due) {
					l.early++
				}
			}
		})
	}
	return l, nil
}

func header(k *kgo.Record, key string) string {
	for i := range k.Headers {
		if k.Headers[i].Key == key {
			return string(k.Headers[i].Value)
		}
	}
	return ""
}
