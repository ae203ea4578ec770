package partition

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/statestore"
	"github.com/odradek/odradek/topology"
	"github.com/odradek/odradek/workflow"
)

// chains drives a Partition with workflows of three tasks, 1,000 in flight: one starts
// where one ends, and each task is completed in the next round.
type chains struct {
	tb              testing.TB
	p               *Partition
	store           *statestore.Store
	now             record.Millis
	payload         []byte
	inputs          []codec.KafkaRecord // that wait, in order
	offset          int64
	started, closed int
}

const chainsInFlight, chainsBatch = 1000, 250

func newChains(tb testing.TB, cfg statestore.Config) *chains {
	step := workflow.NewTask[string, string]("pay", "do")
	chain := workflow.Define("chain", func(ctx workflow.Context, in string) (string, error) {
		for range 3 {
			out, err := step.Run(ctx, in)
			if err != nil {
				return "", err
			}
			in = out
		}
		return in, nil
	}, step)
	cfg.Cluster, cfg.DisableWAL, cfg.MemTableBytes = "c", true, 32<<20
	store, err := statestore.Open(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { store.Close() })
	p, err := New(Config{
		Namespace: "ns", Table: topology.TableZero(1), Services: map[string]int32{"pay": 1},
		Definitions: []workflow.Definition{chain}, Build: "b1",
	}, store)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	c := &chains{
		tb: tb, p: p, store: store, now: record.MillisOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)),
		payload: []byte(`"` + strings.Repeat("x", 254) + `"`),
	}
	p.Begin(c.now)
	p.Claim()
	c.settle(p.Finish())
	for range chainsInFlight {
		c.start()
	}
	return c
}

func (c *chains) arrive(topic record.Topic, out record.Output) {
	c.offset++
	c.inputs = append(c.inputs, codec.KafkaRecord{Topic: topic, Offset: c.offset, Timestamp: c.now, Key: out.Key, Value: out.Value, Headers: out.Headers})
}

func (c *chains) start() {
	c.started++
	c.arrive(record.TopicCommands, codec.EncodeStart(fmt.Sprintf("chain-%08d", c.started), &record.Start{Type: "chain", Input: c.payload}))
}

// step takes a batch of what waits.
func (c *chains) step() *Batch {
	c.p.Begin(c.now)
	for _, in := range c.inputs[:chainsBatch] {
		r := codec.Decode(in)
		if err := c.p.Step(&r); err != nil {
			c.tb.Fatal(err)
		}
	}
	c.inputs = c.inputs[chainsBatch:]
	return c.p.Finish()
}

// settle does what follows a commit, and lets the workers and the client answer.
func (c *chains) settle(b *Batch) {
	if err := c.store.Apply(b.Rows, record.Checkpoint{}); err != nil {
		c.tb.Fatal(err)
	}
	c.p.Settled(b)
	for _, out := range b.Outputs {
		if out.Topic != record.TopicTasks {
			continue
		}
		task, err := codec.DecodeTask(out.Key, out.Value, out.Headers)
		if err != nil {
			c.tb.Fatal(err)
		}
		c.arrive(record.TopicEvents, codec.EncodeCompleted(task.WorkflowID, &record.TaskCompleted{Task: task.ID, Attempt: task.Attempt, Result: c.payload}))
	}
	for range b.Closed {
		c.closed++
		c.start()
	}
}

// BenchmarkChain is the engine without Kafka, in batches of 250 inputs, with the store on
// the disk. An operation is one workflow.
func BenchmarkChain(b *testing.B) {
	c := newChains(b, statestore.Config{Dir: b.TempDir()})
	b.ReportAllocs()
	for ended := 1; b.Loop(); ended++ {
		for c.closed < ended {
			c.settle(c.step())
		}
	}
}
