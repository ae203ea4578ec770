package engine

import (
	"context"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/workflow"
)

// TestATaskRecordThatNobodyReads: what a stranger has put on a task topic becomes a dead
// letter, whole, by the worker that meets it, while tasks go on; taken in it meets a worker
// again, edited to a task it is one.
func TestATaskRecordThatNobodyReads(t *testing.T) {
	t.Parallel()
	draw := workflow.Define("draw", func(ctx workflow.Context, in string) (page, error) { return render.Run(ctx, in) }, render)
	seeds, names := apiBrokers(t, "farm")
	kafka := apiControl(t, seeds, names)
	e, addr, _ := apiInstance(t, seeds, names, "one", draw)
	ownsAll(t, e)
	c, err := client.NewHTTP(client.HTTPConfig{URL: addr})
	if err != nil {
		t.Fatal(err)
	}
	stranger := &kgo.Record{Topic: names.Tasks("farm"), Key: []byte("order-7"), Value: []byte(`{"what":"is this"}`), Headers: []kgo.RecordHeader{{Key: "x-origin", Value: []byte("elsewhere")}}}
	if err := kafka.ProduceSync(t.Context(), stranger).FirstErr(); err != nil {
		t.Fatal(err)
	}
	called := make(chan string, 9)
	startMortal(t, worker.Config{Namespace: names.Namespace, Kafka: []kgo.Opt{kgo.SeedBrokers(seeds...)}, Handlers: []worker.Handler{
		worker.Handle(render, func(ctx context.Context, in string) (page, error) {
			called <- worker.CallOf(ctx).WorkflowID
			return page{in}, nil
		}),
	}})
	// letter waits for the one dead letter that there is, and is not the given one.
	letter := func(not string) (found api.DeadLetter) {
		waitUntil(t, "the record is a dead letter", func() bool {
			n := 0
			for p := range apiPartitions {
				got, err := c.DeadLetters(t.Context(), int32(p), codec.CodeTaskUnreadable, "", 9)
				if err != nil {
					return false
				}
				for _, d := range got.DeadLetters {
					n, found = n+1, d
				}
			}
			return n == 1 && found.ID != not
		})
		return found
	}
	first := letter("")
	if r := first.Record; r.Key != "order-7" || r.Value != `{"what":"is this"}` || len(r.Headers) != 2 || r.Headers[0] != (api.KafkaHeader{Key: "x-origin", Value: "elsewhere"}) || r.Headers[1] != (api.KafkaHeader{Key: codec.HeaderTaskPlace, Value: "farm/0/0"}) {
		t.Errorf("the dead letter has %+v", r)
	}
	if !strings.Contains(first.Reason, "service farm") || !strings.Contains(first.Reason, "od-op is missing") {
		t.Errorf("its reason is %q", first.Reason)
	}
	if h, err := client.Start[string, page](t.Context(), c, "draw", "page-1", "p"); err != nil {
		t.Error(err)
	} else if got, err := h.Result(t.Context()); err != nil || got.Page != "p" || <-called != "page-1" {
		t.Errorf("the run gives %+v, %v", got, err)
	}
	if err := c.RetryDeadLetter(t.Context(), first.ID, nil, "a newer worker"); err != nil {
		t.Fatal(err)
	}
	second := letter(first.ID)
	task := second.Record
	task.Value = `"q"`
	task.Headers = []api.KafkaHeader{{Key: codec.HeaderOperation, Value: "render"}, {Key: codec.HeaderTask, Value: "0000000001k0a9h4r9s4sd0cqh.3"}, {Key: codec.HeaderAttempt, Value: "1"}}
	if err := c.RetryDeadLetter(t.Context(), second.ID, &task, "it was meant so"); err != nil {
		t.Fatal(err)
	}
	if got := <-called; got != "order-7" {
		t.Errorf("called was for %s", got)
	}
}
