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

// BenchmarkChain is the engine without Kafka: a workflow of three tasks from its start to
// its result, 1,000 in flight, in batches of 250 inputs, with the store on the disk. An
// operation is one workflow.
func BenchmarkChain(b *testing.B) {
	const inFlight, batchInputs = 1000, 250
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
	store, err := statestore.Open(statestore.Config{Dir: b.TempDir(), Cluster: "c", DisableWAL: true, MemTableBytes: 32 << 20})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	p, err := New(Config{
		Namespace: "ns", Table: topology.TableZero(1), Services: map[string]int32{"pay": 1},
		Definitions: []workflow.Definition{chain}, Build: "b1",
	}, store)
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	now := record.MillisOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	payload := []byte(`"` + strings.Repeat("x", 254) + `"`)
	var (
		inputs          []codec.KafkaRecord // that wait, in order
		offset          int64
		started, closed int
	)
	arrive := func(topic record.Topic, out record.Output) {
		offset++
		inputs = append(inputs, codec.KafkaRecord{Topic: topic, Offset: offset, Timestamp: now, Key: out.Key, Value: out.Value, Headers: out.Headers})
	}
	start := func() {
		started++
		arrive(record.TopicCommands, codec.EncodeStart(fmt.Sprintf("chain-%08d", started), &record.Start{Type: "chain", Input: payload}))
	}
	settle := func() {
		batch := p.Finish()
		if err := store.Apply(batch.Rows, record.Checkpoint{}); err != nil {
			b.Fatal(err)
		}
		p.Settled(batch)
		for _, out := range batch.Outputs {
			if out.Topic != record.TopicTasks {
				continue
			}
			task, err := codec.DecodeTask(out.Key, out.Value, out.Headers)
			if err != nil {
				b.Fatal(err)
			}
			arrive(record.TopicEvents, codec.EncodeCompleted(task.WorkflowID, &record.TaskCompleted{Task: task.ID, Attempt: task.Attempt, Result: payload}))
		}
		for range batch.Closed {
			closed++
			start()
		}
	}
	p.Begin(now)
	p.Claim()
	settle()
	for range inFlight {
		start()
	}
	b.ReportAllocs()
	for ended := 1; b.Loop(); ended++ {
		for closed < ended {
			p.Begin(now)
			for _, in := range inputs[:batchInputs] {
				r := codec.Decode(in)
				if err := p.Step(&r); err != nil {
					b.Fatal(err)
				}
			}
			inputs = inputs[batchInputs:]
			settle()
		}
	}
}
