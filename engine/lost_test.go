package engine

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/processor"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
	"github.com/odradek/odradek/workflow"
)

// foreign is a worker that is not ours: it commits what it has taken, answered or not.
type foreign struct {
	t     *testing.T
	names topology.Names
	cl    *kgo.Client
}

func newForeign(t *testing.T, seeds []string, names topology.Names, service string) *foreign {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.ConsumerGroup(names.ServiceGroup(service)), kgo.ConsumeTopics(names.Tasks(service)),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.DisableAutoCommit(),
		kgo.SessionTimeout(time.Second), kgo.HeartbeatInterval(100*time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return &foreign{t, names, cl}
}

// take waits for the next n tasks.
func (f *foreign) take(n int) (tasks []codec.Task) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	for len(tasks) < n {
		fs := f.cl.PollRecords(ctx, n-len(tasks))
		if err := fs.Err(); err != nil {
			f.t.Fatalf("after %d of %d tasks: %v", len(tasks), n, err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			var hs []record.Header
			for _, h := range r.Headers {
				hs = append(hs, record.Header(h))
			}
			task, err := codec.DecodeTask(r.Key, r.Value, hs)
			if err != nil {
				f.t.Fatal(err)
			}
			tasks = append(tasks, task)
		})
	}
	return tasks
}

// commit commits all that was taken.
func (f *foreign) commit() {
	f.t.Helper()
	if err := f.cl.CommitUncommittedOffsets(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// send sends an event of a task to a partition of events, its workflow's or another.
func (f *foreign) send(o record.Output, partition int32) {
	f.t.Helper()
	r := &kgo.Record{Topic: f.names.Topic(record.TopicEvents), Partition: partition, Key: o.Key, Value: o.Value}
	for _, h := range o.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader(h))
	}
	if err := f.cl.ProduceSync(f.t.Context(), r).FirstErr(); err != nil {
		f.t.Fatal(err)
	}
}

// TestEarlyCommitsLoseNoRun: a foreign worker commits tasks and dies before it answers. They
// are sent once more (W4), also by an owner that has neither sent them nor the store of who
// did. A task that is pending is not, nor one that was answered before the commit on another
// workflow's partition.
func TestEarlyCommitsLoseNoRun(t *testing.T) {
	t.Parallel()
	// One attempt is allowed: lost ones do not count.
	pay := workflow.NewTask[int, int]("pay", "pay", workflow.WithRetry(workflow.RetryPolicy{Initial: time.Millisecond, MaxAttempts: 1}))
	paying := workflow.Define("paying", func(ctx workflow.Context, n int) (int, error) { return pay.Run(ctx, n) }, pay)
	seeds, names := apiBrokers(t, "pay")
	ctx := t.Context()
	start := func(c *client.HTTP, ids ...string) (hs []client.Handle[int]) {
		t.Helper()
		for _, id := range ids {
			h, err := client.Start[int, int](ctx, c, "paying", id, 1)
			if err != nil {
				t.Fatal(err)
			}
			hs = append(hs, h)
		}
		return hs
	}
	api := func(addr string) *client.HTTP {
		t.Helper()
		c, err := client.NewHTTP(client.HTTPConfig{URL: addr})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	pending := func(f *foreign, task codec.Task, partition int32) {
		f.send(codec.EncodeBeat(task.WorkflowID, &record.TaskBeat{Task: task.ID, Attempt: task.Attempt, Pending: true}), partition)
	}
	complete := func(f *foreign, task codec.Task, partition int32) {
		f.send(codec.EncodeCompleted(task.WorkflowID, &record.TaskCompleted{Task: task.ID, Attempt: task.Attempt, Result: []byte("2")}), partition)
	}
	is := func(id string) func(codec.Task) bool { return func(t codec.Task) bool { return t.WorkflowID == id } }

	// The first owner looks for nothing, and dies.
	e, addr, first := apiInstanceWith(t, seeds, names, "one", func(c *processor.Config) { c.Limits.LostEvery = -1 }, paying)
	ownsAll(t, e)
	start(api(addr), "before-pending", "before-lost")
	f := newForeign(t, seeds, names, "pay")
	before := f.take(2)
	waits := before[slices.IndexFunc(before, is("before-pending"))]
	pending(f, waits, e.Partition("before-pending"))
	f.commit()
	f.cl.Close()
	if err := first.Stop(ctx); err != nil {
		t.Fatal(err)
	}

	// The second has another store.
	e, addr, _ = apiInstanceWith(t, seeds, names, "two", func(c *processor.Config) { c.Limits.LostEvery = 50 * time.Millisecond }, paying)
	ownsAll(t, e)
	c := api(addr)
	f = newForeign(t, seeds, names, "pay")
	again := f.take(1)[0]
	if again.WorkflowID != "before-lost" || again.Attempt != 2 {
		t.Fatalf("the owner after the first sends attempt %d of %s", again.Attempt, again.WorkflowID)
	}
	complete(f, again, e.Partition(again.WorkflowID))

	// Its own: answered elsewhere, pending, lost, and lost again.
	hs := start(c, "answered", "pending", "lost")
	elsewhere := func(id string) int32 { return (e.Partition(id) + 1) % apiPartitions }
	tasks := f.take(3)
	complete(f, tasks[slices.IndexFunc(tasks, is("answered"))], elsewhere("answered"))
	later := tasks[slices.IndexFunc(tasks, is("pending"))]
	pending(f, later, elsewhere("pending"))
	f.commit()
	f.cl.Close()
	for attempt := uint32(2); attempt < 4; attempt++ {
		f = newForeign(t, seeds, names, "pay")
		again = f.take(1)[0]
		if again.WorkflowID != "lost" || again.Attempt != attempt {
			t.Fatalf("attempt %d of %s is sent, not %d of lost", again.Attempt, again.WorkflowID, attempt)
		}
		if attempt == 2 {
			f.commit()
			f.cl.Close()
		}
	}
	complete(f, again, elsewhere("lost"))
	// What is pending is answered at last, its first attempt still.
	complete(f, later, elsewhere("pending"))
	complete(f, waits, elsewhere("before-pending"))
	for i, h := range hs {
		if got, err := h.Result(ctx); err != nil || got != 2 {
			t.Errorf("workflow %d of the second owner: %d, %v", i, got, err)
		}
	}
	for _, id := range []string{"before-lost", "before-pending"} {
		waitUntil(t, id+" has completed", func() bool {
			w, err := c.Get(ctx, id)
			return err == nil && fmt.Sprint(w.Status) == "completed"
		})
	}
}
