package engine

import (
	"encoding/json"
	"testing"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/httpapi/httpapitest"
	"github.com/odradek/odradek/schedule"
)

// TestScheduleOnAnEngine: one fires by the real clock, starts a workflow of another
// partition, is asked, paused and triggered over HTTP, and ends.
func TestScheduleOnAnEngine(t *testing.T) {
	t.Parallel()
	seeds, names := apiBrokers(t)
	e, addr, _ := apiInstance(t, seeds, names, "one", schedule.Definition)
	ownsAll(t, e)
	ctx := t.Context()
	c, err := client.NewHTTP(client.HTTPConfig{URL: addr})
	if err != nil {
		t.Fatal(err)
	}
	var spec schedule.Spec
	if err := json.Unmarshal([]byte(`{"workflow":{"type":"`+httpapitest.Echo+`","id":"tick","input":{"n":1}},"every":"1s"}`), &spec); err != nil {
		t.Fatal(err)
	}
	id := schedule.WorkflowID("tick")
	h, err := client.Start[schedule.Spec, schedule.Description](ctx, c, schedule.Type, id, spec)
	if err != nil {
		t.Fatal(err)
	}
	var last string
	waitUntil(t, "two firings", func() bool {
		d, err := client.Ask(ctx, c, id, schedule.Describe, struct{}{})
		last = d.Last
		return err == nil && d.Started >= 2 && len(d.Next) == 10
	})
	run, err := client.Attach[json.RawMessage](ctx, c, last)
	if err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the last one's result", func() bool { // its start is on its way
		out, err := run.Result(ctx)
		return err == nil && string(out) == `{"n":1}`
	})
	if d, err := client.Do(ctx, c, id, schedule.Pause, schedule.Note{Reason: "enough"}); err != nil || !d.Paused {
		t.Errorf("paused: %+v, %v", d, err)
	}
	if started, err := client.Do(ctx, c, id, schedule.Trigger, schedule.Note{}); err != nil || started == "" {
		t.Errorf("triggered: %q, %v", started, err)
	}
	if err := c.Cancel(ctx, client.EndRequest{WorkflowID: id, Reason: "done"}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Result(ctx); err == nil {
		t.Error("a schedule that is ended has a result")
	}
}
