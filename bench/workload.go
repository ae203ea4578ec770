package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/workflow"
)

// Every workload's tasks are of one service.
const (
	service   = "step"
	operation = "do"
)

// workload is what both sides carry out: a workflow of so many tasks, one after the
// other: a worker's, or local ones.
type workload struct {
	name  string // the workflow type
	steps int
	local bool
}

// The workloads of the rows.
var (
	chainLoad = workload{name: "chain", steps: 3}
	localLoad = workload{name: "local", steps: 3, local: true}
	emptyLoad = workload{name: "empty"}
	workloads = []workload{chainLoad, localLoad, emptyLoad}
)

// worker is the role that answers the tasks.
func (w workload) worker(role string) string {
	if w.local {
		return ""
	}
	return role
}

func workloadOf(name string) (workload, error) {
	for _, w := range workloads {
		if w.name == name {
			return w, nil
		}
	}
	return workload{}, fmt.Errorf("there is no workload %q", name)
}

// The tasks have their answers ready.
var (
	step      = workflow.NewTask[string, string](service, operation)
	localStep = workflow.NewLocalTask(operation, func(context.Context, string) (string, error) { return localResults().text(), nil })

	localResults = sync.OnceValue(newPayloads)
)

// definition is the workload in the product's language.
func (w workload) definition() workflow.Definition {
	return workflow.Define(w.name, func(ctx workflow.Context, in string) (string, error) {
		for range w.steps {
			run := step.Run
			if w.local {
				run = localStep.Run
			}
			out, err := run(ctx, in)
			if err != nil {
				return "", err
			}
			in = out
		}
		return in, nil
	}, step, localStep)
}

// Workflow types that wait: for a moment, and for a signal that never comes.
const (
	timerType  = "timer"
	parkedType = "parked"
)

var release = workflow.NewSignal[string]("release")

// definitions are all workflow types of the engine's role.
func definitions() []workflow.Definition {
	ds := []workflow.Definition{
		workflow.Define(timerType, func(ctx workflow.Context, due time.Time) (string, error) {
			_ = workflow.SleepUntil(ctx, due)
			return "", nil
		}),
		workflow.Define(parkedType, func(ctx workflow.Context, _ string) (string, error) {
			for {
				if s, ok := release.ReceiveUntil(ctx, workflow.Now(ctx).AddDate(1000, 0, 0)); ok {
					return s, nil
				}
			}
		}, release),
	}
	for _, w := range workloads {
		ds = append(ds, w.definition())
	}
	return ds
}

// payloadBytes is the size of every payload as JSON.
const payloadBytes = 256

// payloads gives texts that do not compress, also next to one another: the clients'
// default compression must not find the same one twice within its window of 64 KB.
type payloads struct {
	texts []string
	json  [][]byte
	next  atomic.Uint64
}

func newPayloads() *payloads {
	const n = 4096 // 1 MB
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	p := &payloads{}
	for range n {
		b := make([]byte, payloadBytes-2)
		for i := range b {
			b[i] = alphabet[rand.IntN(len(alphabet))]
		}
		j, err := json.Marshal(string(b))
		if err != nil || len(j) != payloadBytes {
			panic("bench: a payload is not as long as planned")
		}
		p.texts, p.json = append(p.texts, string(b)), append(p.json, j)
	}
	return p
}

func (p *payloads) text() string  { return p.texts[p.next.Add(1)%uint64(len(p.texts))] }
func (p *payloads) bytes() []byte { return p.json[p.next.Add(1)%uint64(len(p.json))] }

// side is the surroundings of a role's process.
type side struct {
	seeds     string
	namespace string
	load      workload
}

// worker is the product's worker with a handler that has its answer ready.
func (s side) worker(ctx context.Context) error {
	results := newPayloads()
	w, err := worker.New(worker.Config{
		Namespace: s.namespace,
		Kafka:     []kgo.Opt{kgo.SeedBrokers(strings.Split(s.seeds, ",")...)},
		Handlers: []worker.Handler{worker.Handle(step, func(context.Context, string) (string, error) {
			return results.text(), nil
		})},
	})
	if err != nil {
		return err
	}
	if err := w.Start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	return w.Stop(context.WithoutCancel(ctx))
}
