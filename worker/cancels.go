package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

// cancelsMax bounds how many cancelled tasks are remembered, about 100 bytes each. One
// that is forgotten is called all the same, and the engine drops its answer.
const cancelsMax = 500_000

// errCancelled is the cause of a call's context whose task nobody waits for any more.
var errCancelled = errors.New("the task was cancelled")

// cancels follows the topic of cancelled tasks: a queued one is skipped, a running call
// aborted (W6).
type cancels struct {
	client *kgo.Client

	mu      sync.Mutex
	tasks   map[record.TaskID]uint64 // records with an Again up to that are cancelled
	order   []record.TaskID          // as they came, for the bound
	running map[record.TaskID]context.CancelCauseFunc
}

func newCancels() *cancels {
	return &cancels{tasks: map[record.TaskID]uint64{}, running: map[record.TaskID]context.CancelCauseFunc{}}
}

// start reads the topic to its end, so that no task is called that was cancelled before.
func (c *cancels) start(ctx context.Context, w *Worker) (err error) {
	topic := w.names.Topic(record.TopicCancels)
	c.client, err = w.cfg.client(
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // a marker may be the last before an end
		kgo.FetchMaxWait(time.Second),
	)
	if err != nil {
		return fmt.Errorf("make the reader of cancelled tasks: %w", err)
	}
	ends, err := kadm.NewClient(c.client).ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("find the end of topic %s, which tells of cancelled tasks (engine topics create makes it): %w", topic, err)
	}
	starts, err := kadm.NewClient(c.client).ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fmt.Errorf("find the start of topic %s: %w", topic, err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if at, ok := starts.Lookup(topic, o.Partition); ok && o.Offset > at.Offset {
			left[o.Partition] = o.Offset
		}
	})
	for len(left) > 0 {
		fetched := c.client.PollFetches(ctx)
		if err := fetched.Err0(); err != nil {
			return fmt.Errorf("read topic %s: %w", topic, err)
		}
		fetched.EachRecord(func(k *kgo.Record) {
			c.take(k)
			if k.Offset >= left[k.Partition]-1 {
				delete(left, k.Partition)
			}
		})
	}
	return nil
}

// loop follows the topic until ctx ends. An error is told and passes: a task that is not
// known to be cancelled is called, which is only work in vain.
func (c *cancels) loop(ctx context.Context, w *Worker) {
	defer c.client.Close()
	for {
		fetched := c.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		fetched.EachError(func(topic string, p int32, err error) {
			w.cfg.Logger.Warn("cancelled tasks are not read", "topic", topic, "partition", p, "err", err)
		})
		fetched.EachRecord(c.take)
	}
}

func (c *cancels) take(k *kgo.Record) {
	if k.Attrs.IsControl() {
		return
	}
	id, again, err := codec.DecodeTaskCancel(recordHeaders(k))
	if err != nil {
		return // written by somebody else: it names nothing
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if was, known := c.tasks[id]; known {
		if again <= was {
			return
		}
	} else {
		if len(c.order) >= cancelsMax {
			delete(c.tasks, c.order[0])
			c.order = c.order[1:]
		}
		c.order = append(c.order, id)
	}
	c.tasks[id] = again
	if cancel := c.running[id]; cancel != nil {
		cancel(errCancelled)
	}
}

// begin notes that a task is being called. ok is false if it was cancelled; end takes
// it back.
func (c *cancels) begin(ctx context.Context, id record.TaskID, again uint64) (_ context.Context, end func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if upTo, gone := c.tasks[id]; gone && again <= upTo {
		return ctx, func() {}, false
	}
	ctx, cancel := context.WithCancelCause(ctx)
	c.running[id] = cancel
	return ctx, func() {
		c.mu.Lock()
		delete(c.running, id)
		c.mu.Unlock()
		cancel(nil)
	}, true
}

// cancelled reports whether the call was cut off because its task was cancelled.
func cancelled(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errCancelled) }
