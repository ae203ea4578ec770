package main

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/client"
)

// engineStarter is the product's client over Kafka.
type engineStarter struct {
	cl  client.Client
	typ string
}

func (s side) newEngineStarter(ctx context.Context) (starter, error) {
	cl, err := client.NewKafka(ctx, client.KafkaConfig{Namespace: s.namespace, Options: []kgo.Opt{kgo.SeedBrokers(strings.Split(s.seeds, ",")...)}})
	if err != nil {
		return nil, err
	}
	return engineStarter{cl, s.load.name}, nil
}

func (e engineStarter) do(ctx context.Context, id string, input []byte) error {
	run, err := e.cl.Start(ctx, client.StartRequest{WorkflowID: id, Type: e.typ, Input: input})
	if err != nil {
		return err
	}
	r, err := run.Result(ctx)
	if err != nil {
		return err
	}
	return r.Err()
}

func (e engineStarter) close() { e.cl.Close() }
