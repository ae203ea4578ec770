package main

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/workflow"
)

// The chain: three tasks of one service, one after the other.
const (
	chainType = "chain"
	service   = "step"
	operation = "do"
	steps     = 3
)

var (
	step  = workflow.NewTask[string, string](service, operation)
	chain = workflow.Define(chainType, runChain, step)
)

func runChain(ctx workflow.Context, in string) (string, error) {
	for range steps {
		out, err := step.Run(ctx, in)
		if err != nil {
			return "", err
		}
		in = out
	}
	return in, nil
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
}

// worker is the product's worker with a handler that has its answer ready.
func (s side) worker(ctx context.Context) error {
	results := newPayloads()
	w, err := worker.New(worker.Config{
		Namespace: s.namespace,
		Kafka:     []kgo.Opt{kgo.SeedBrokers(s.seeds)},
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
