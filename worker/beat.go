package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

// ErrPending is what a handler returns whose task somebody else completes, with the
// call's Token: the attempt stays open, and the engine is told that it is pending. A limit
// of the task's (workflow.WithLimits) says how long. PollAfter is for what has to be asked for.
var ErrPending = errors.New("the task is completed from outside")

// detailsBytesMax bounds the details of a heartbeat.
const detailsBytesMax = 16 << 10

// beater sends the signs of life of one call.
type beater struct {
	s     *service
	call  *Call
	every time.Duration // at most so often

	mu   sync.Mutex
	last time.Time
}

// beatsPerLimit is how many signs of life fit into the limit between two: some may be
// late.
const beatsPerLimit = 3

func newBeater(s *service, call *Call, limit time.Duration) *beater {
	every := beatEvery
	if limit > 0 {
		every = limit / beatsPerLimit
	}
	return &beater{s: s, call: call, every: every}
}

// send reports a sign of life, unless there was one a moment ago.
func (b *beater) send(details []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if now.Sub(b.last) < b.every {
		return
	}
	b.last = now
	b.s.beat(b.call, &record.TaskBeat{Task: b.call.Task, Attempt: b.call.Attempt, Sending: b.call.Sending, Details: details})
}

// start reports that the attempt begins.
func (b *beater) start() {
	b.s.beat(b.call, &record.TaskBeat{Task: b.call.Task, Attempt: b.call.Attempt, Sending: b.call.Sending, Started: true})
}

// keep sends signs of life until ctx ends.
func (b *beater) keep(ctx context.Context) {
	tick := time.NewTicker(b.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.send(nil)
		case <-ctx.Done():
			return
		}
	}
}

// beat produces a sign of life. One that Kafka does not take is lost: another follows.
func (s *service) beat(call *Call, e *record.TaskBeat) {
	out := codec.EncodeBeat(call.WorkflowID, e)
	rec := &kgo.Record{Topic: s.worker.names.Topic(record.TopicEvents), Partition: s.worker.route(call.WorkflowID), Key: out.Key, Value: out.Value}
	for _, h := range out.Headers {
		rec.Headers = append(rec.Headers, kgo.RecordHeader(h))
	}
	s.worker.producer.Produce(context.Background(), rec, nil)
}

// Heartbeat says that the attempt goes on, and how far it has come: details, as JSON of
// at most 16 KB, are given to the next attempt if this one dies (LastDetails). It may be
// called as often as one likes; what is too often is not sent. The error is ctx's cause
// where the attempt is to end: its time is up, or nobody waits for it any more.
func Heartbeat(ctx context.Context, details any) error {
	c := CallOf(ctx)
	b, err := encodeDetails("a heartbeat", details)
	if err != nil {
		return err
	}
	c.beats.send(b)
	return context.Cause(ctx)
}

// encodeDetails makes the details of something.
func encodeDetails(of string, details any) ([]byte, error) {
	b, err := json.Marshal(details)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the details of %s: %w", of, err)
	case len(b) > detailsBytesMax:
		return nil, fmt.Errorf("the details of %s have %d bytes, at most %d are allowed: store them elsewhere and give a reference", of, len(b), detailsBytesMax)
	}
	return b, nil
}

// LastDetails gives the details of the last heartbeat of an attempt before this one, or
// what PollAfter left; false: there was none.
func LastDetails[T any](ctx context.Context) (details T, ok bool, err error) {
	c := CallOf(ctx)
	if c.Details == nil {
		return details, false, nil
	}
	if err := json.Unmarshal(c.Details, &details); err != nil {
		return details, false, fmt.Errorf("the details are no %T: %w", details, err)
	}
	return details, true, nil
}

// Token names the task for whoever completes it from outside, over HTTP or with
// `odradek task complete`. It is the same on all attempts.
func (c *Call) Token() string {
	return codec.TaskToken{WorkflowID: c.WorkflowID, Task: c.Task}.Text(c.tokenKey)
}
