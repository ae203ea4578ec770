package processor

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/record"
)

// TestRedeliveredOffsetsAreDropped, unless the leader epoch goes forward (P6).
func TestRedeliveredOffsetsAreDropped(t *testing.T) {
	t.Parallel()
	topic := inputTopic{next: record.Position{Offset: 10, LeaderEpoch: 3}, lag: new(atomic.Int64)}
	for _, c := range []struct {
		offset int64
		epoch  int32
		take   bool
	}{
		{9, 3, false}, // before the start
		{10, 3, true},
		{10, 3, false}, // again
		{12, 3, true},  // a gap: markers
		{11, 3, false},
		{13, 5, true},
		{12, 4, false}, // older than what was read
		{12, 6, true},  // cut and written again
		{13, 6, true},
	} {
		if got := topic.take(&kgo.Record{Offset: c.offset, LeaderEpoch: c.epoch}, nil); got != c.take {
			t.Errorf("offset %d of epoch %d: taken %v", c.offset, c.epoch, got)
		}
	}
}

func records(topic record.Topic, n int) (rs []record.Record) {
	for i := range n {
		rs = append(rs, record.Record{Origin: record.Origin{Topic: topic, Offset: int64(i)}})
	}
	return rs
}

// TestEventsBeforeCommands, with a share for the others.
func TestEventsBeforeCommands(t *testing.T) {
	t.Parallel()
	var in inputs
	in.push(append(append(records(record.TopicCommands, 6), records(record.TopicEvents, 12)...), records(record.TopicInternal, 3)...))
	var got strings.Builder
	for q := in.next(); q != nil; q = in.next() {
		r := q.pop()
		in.took()
		got.WriteByte(r.Origin.Topic.String()[0])
	}
	if want := "eeeeeecieeeeeecicccci"[:21]; got.String() != want {
		t.Errorf("got %s, want %s", got.String(), want)
	}
}

func TestQueueKeepsOrder(t *testing.T) {
	t.Parallel()
	var q queue
	next, want := int64(0), int64(0)
	for round := range 50 {
		rs := records(record.TopicEvents, 1+round%7)
		for i := range rs {
			rs[i].Origin.Offset = next
			next++
		}
		q.push(rs)
		for range 1 + round%5 {
			if q.len() == 0 {
				break
			}
			if p := q.peek(); p.Origin.Offset != want {
				t.Fatalf("peek %d, want %d", p.Origin.Offset, want)
			}
			if r := q.pop(); r.Origin.Offset != want {
				t.Fatalf("pop %d, want %d", r.Origin.Offset, want)
			}
			want++
		}
	}
	if int64(q.len()) != next-want {
		t.Errorf("%d left, want %d", q.len(), next-want)
	}
}
