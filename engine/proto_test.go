package engine

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/apipb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/workflow"
)

// TestProtobufPayloads: inputs, signals, tasks, answers and results are messages where
// their types are, from the typed client over HTTP and Kafka to a Go worker and back; the
// API shows them as JSON, and takes JSON for them.
func TestProtobufPayloads(t *testing.T) {
	t.Parallel()
	upper := workflow.NewTask[*apipb.Api, *apipb.Api]("people", "upper")
	plain := workflow.NewTask[*apipb.Api, string]("people", "plain", workflow.AsJSON())
	more := workflow.NewSignal[*wrapperspb.StringValue]("more")
	asking := workflow.Define("protobuf", func(ctx workflow.Context, in *apipb.Api) (*apipb.Api, error) {
		word, err := more.Receive(ctx)
		if err != nil {
			return nil, err
		}
		out, err := upper.Run(ctx, &apipb.Api{Name: in.Name, Version: word.GetValue()})
		if err != nil {
			return nil, err
		}
		out.Version, err = plain.Run(ctx, out)
		return out, err
	}, upper, plain, more)
	seeds, names := apiBrokers(t, "people")
	e, addr, _ := apiInstance(t, seeds, names, "one", asking)
	ownsAll(t, e)
	ctx := t.Context()
	apiControl(t, seeds, names)
	w, err := worker.New(worker.Config{Namespace: names.Namespace, Kafka: []kgo.Opt{kgo.SeedBrokers(seeds...)}, Handlers: []worker.Handler{worker.Handle(upper, func(_ context.Context, in *apipb.Api) (*apipb.Api, error) {
		return &apipb.Api{Name: in.Name + in.Version}, nil
	}), worker.HandleRaw("people", "plain", func(_ context.Context, c *worker.Call) ([]byte, error) {
		var in map[string]string // as an HTTP API would see it
		if err := json.Unmarshal(c.Input, &in); err != nil {
			return nil, err
		}
		return json.Marshal(in["name"] + "!")
	})}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Stop(context.Background()) })
	c, err := client.NewHTTP(client.HTTPConfig{URL: addr})
	if err != nil {
		t.Fatal(err)
	}
	k, err := client.NewKafka(ctx, client.KafkaConfig{Namespace: names.Namespace, Options: []kgo.Opt{kgo.SeedBrokers(seeds...)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	want := &apipb.Api{Name: "ab", Version: "ab!"}
	for id, by := range map[string]client.Client{"http": c, "kafka": k} {
		h, err := client.Start[*apipb.Api, *apipb.Api](ctx, by, "protobuf", id, &apipb.Api{Name: "a"})
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Signal(ctx, by, id, more, wrapperspb.String("b")); err != nil {
			t.Fatal(err)
		}
		got, err := h.Result(ctx)
		if err != nil || !proto.Equal(got, want) {
			t.Errorf("%s: the result is %v, %v", id, got, err)
		}
		run, err := c.GetResult(ctx, id, time.Minute) // Kafka's reader may see the close before the store has it
		if err != nil || string(run.Result) != `{"name":"ab","version":"ab!"}` {
			t.Errorf("%s: the API shows %s, %v", id, run.Result, err)
		}
	}
	if _, err := c.Start(ctx, client.StartRequest{WorkflowID: "json", Type: "protobuf", Input: []byte(`{"name":"a"}`)}); err != nil {
		t.Error(err)
	}
	if _, err := c.Start(ctx, client.StartRequest{WorkflowID: "bad", Type: "protobuf", Input: []byte(`{"title":"a"}`)}); client.Code(err) != "payload_invalid" {
		t.Errorf("an unknown field: %v", err)
	}
}
