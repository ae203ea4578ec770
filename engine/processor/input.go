package processor

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/internal/fault"
	"github.com/odradek/odradek/record"
)

// pollMax is how many records a reader hands over at a time: a few batches fit
// into what is between the client and the step.
const pollMax = 500

// fetched is what a reader hands to the step.
type fetched struct {
	records []record.Record
	err     error
}

// reader reads some input topics of one partition directly, from positions that
// it is given. It decodes ahead of the step. Two readers feed a lane, so that
// commands can be left alone while events are drained.
type reader struct {
	cl    *kgo.Client
	fault *fault.Injector
	out   chan fetched
	names [3]inputTopic
	n     int
	done  chan struct{}
}

// inputTopic is one topic of a reader. The reader's goroutine owns it but for lag.
type inputTopic struct {
	name  string
	topic record.Topic
	next  record.Position // drop what comes before it (P6)
	lag   *atomic.Int64   // records behind the high watermark at the last fetch
}

func (r *reader) topic(name string) *inputTopic {
	for i := range r.names[:r.n] {
		if r.names[i].name == name {
			return &r.names[i]
		}
	}
	return nil
}

// run hands over records until ctx ends or reading fails; the error is handed
// over too, as the last.
func (r *reader) run(ctx context.Context) {
	defer close(r.done)
	for {
		fs := r.cl.PollRecords(ctx, pollMax)
		if ctx.Err() != nil || fs.IsClientClosed() {
			return
		}
		f := r.decode(fs)
		if len(f.records) == 0 && f.err == nil {
			continue
		}
		select {
		case r.out <- f:
		case <-ctx.Done():
			return
		}
		if f.err != nil {
			return
		}
	}
}

// decode turns a fetch into records of ours, which alias its buffers.
func (r *reader) decode(fs kgo.Fetches) (f fetched) {
	fs.EachError(func(topic string, p int32, err error) {
		if f.err == nil && !errors.Is(err, context.Canceled) {
			f.err = readError(topic, p, err)
		}
	})
	if f.err != nil {
		return f
	}
	n, headers := 0, 0
	fs.EachRecord(func(k *kgo.Record) { n++; headers += len(k.Headers) })
	f.records = make([]record.Record, 0, n)
	all := make([]record.Header, 0, headers)
	fs.EachPartition(func(p kgo.FetchTopicPartition) {
		t := r.topic(p.Topic)
		for _, k := range p.Records {
			if !t.take(k, r.fault) {
				continue
			}
			if k.Attrs.IsControl() { // a transaction's marker: the position passes it, nothing else
				f.records = append(f.records, record.Record{Origin: record.Origin{Topic: t.topic, Partition: k.Partition, Offset: k.Offset, LeaderEpoch: k.LeaderEpoch}})
				continue
			}
			from := len(all)
			for _, h := range k.Headers {
				all = append(all, record.Header(h))
			}
			f.records = append(f.records, codec.Decode(codec.KafkaRecord{
				Topic: t.topic, Partition: k.Partition, Offset: k.Offset, LeaderEpoch: k.LeaderEpoch,
				Timestamp: record.MillisOf(k.Timestamp), Key: k.Key, Value: k.Value, Headers: all[from:len(all):len(all)],
			}))
		}
		t.lag.Store(max(0, p.HighWatermark-t.next.Offset))
	})
	return f
}

// take reports whether the record is new. A direct reader may be given an offset
// twice; but below an offset that was read, a record of a later leader epoch is
// another record: the log was cut and written again (P6).
func (t *inputTopic) take(k *kgo.Record, f *fault.Injector) bool {
	if k.Offset < t.next.Offset && k.LeaderEpoch <= t.next.LeaderEpoch && !f.Off(fault.OffsetDup) {
		return false
	}
	t.next = record.Position{Offset: k.Offset + 1, LeaderEpoch: k.LeaderEpoch}
	return true
}

// queue holds records that the step has not taken yet, in order.
type queue struct {
	records []record.Record
	head    int
}

func (q *queue) len() int { return len(q.records) - q.head }

func (q *queue) push(rs []record.Record) {
	if q.head == len(q.records) {
		q.records, q.head = rs, 0
		return
	}
	if q.head > 0 {
		q.records = append([]record.Record(nil), q.records[q.head:]...)
		q.head = 0
	}
	q.records = append(q.records, rs...)
}

func (q *queue) peek() *record.Record { return &q.records[q.head] }

func (q *queue) pop() *record.Record {
	r := &q.records[q.head]
	q.head++
	if q.head == len(q.records) {
		q.records, q.head = nil, 0
	}
	return r
}

// inputs are the queues of a lane, and who is next: events before commands before
// internal, but in eight turns commands have one of their own, and internal too,
// so that none starves. Running work ends before new work starts.
type inputs struct {
	events, commands, internal queue
	turn                       int
}

const (
	turns        = 8
	commandsTurn = 6
	internalTurn = 7
)

func (in *inputs) len() int { return in.events.len() + in.commands.len() + in.internal.len() }

func (in *inputs) push(rs []record.Record) {
	// A fetch has few topics: runs of records of one topic.
	for from := 0; from < len(rs); {
		to := from + 1
		for to < len(rs) && rs[to].Origin.Topic == rs[from].Origin.Topic {
			to++
		}
		switch rs[from].Origin.Topic {
		case record.TopicEvents:
			in.events.push(rs[from:to:to])
		case record.TopicCommands:
			in.commands.push(rs[from:to:to])
		default:
			in.internal.push(rs[from:to:to])
		}
		from = to
	}
}

// next is the queue whose turn it is; nil if all are empty.
func (in *inputs) next() *queue {
	order := [3]*queue{&in.events, &in.commands, &in.internal}
	switch in.turn {
	case commandsTurn:
		order = [3]*queue{&in.commands, &in.events, &in.internal}
	case internalTurn:
		order = [3]*queue{&in.internal, &in.events, &in.commands}
	}
	for _, q := range order {
		if q.len() > 0 {
			return q
		}
	}
	return nil
}

func (in *inputs) took() { in.turn = (in.turn + 1) % turns }
