package engine

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/httpapi"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

// TestTasksAreAnsweredByTheirToken: over HTTP, once, and with a signed token without any
// other; a start may bring an update, whose answer is found by the start's ID.
func TestTasksAreAnsweredByTheirToken(t *testing.T) {
	t.Parallel()
	approve := workflow.NewTask[string, bool]("people", "approve", workflow.WithRetry(workflow.RetryPolicy{Initial: time.Millisecond}))
	note := workflow.NewUpdate[string, int]("note")
	asking := workflow.Define("asking", func(ctx workflow.Context, in string) (bool, error) {
		notes := 0
		note.Handle(ctx, func(workflow.Context, string) (int, error) {
			notes++
			return notes, nil
		})
		return approve.Run(ctx, in)
	}, approve, note)
	seeds, names := apiBrokers(t, "people")
	e, addr, _ := apiInstance(t, seeds, names, "one", asking)
	ownsAll(t, e)
	ctx := t.Context()
	c, err := client.NewHTTP(client.HTTPConfig{URL: addr})
	if err != nil {
		t.Fatal(err)
	}
	h, err := client.Start[string, bool](ctx, c, "asking", "request-1", "a raise", client.CommandID("start-1"), client.WithUpdate(note, "now"))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := client.Do(ctx, c, "request-1", note, "again", client.CommandID("start-1")); err != nil || n != 1 {
		t.Errorf("the update that the start brought gives %d, %v", n, err)
	}
	if n, err := client.Do(ctx, c, "request-1", note, "again"); err != nil || n != 2 {
		t.Errorf("another update gives %d, %v", n, err)
	}
	token := func(key []byte) string {
		w, err := c.Get(ctx, "request-1")
		if err != nil || w.Pending == nil || len(w.Pending.Tasks) != 1 {
			t.Fatalf("the run is %+v, %v", w, err)
		}
		id, err := record.ParseTaskID(w.Pending.Tasks[0].Task)
		if err != nil {
			t.Fatal(err)
		}
		return codec.TaskToken{WorkflowID: "request-1", Task: id, Attempt: uint32(w.Pending.Tasks[0].Attempt)}.Text(key)
	}
	if _, err := c.FailTask(ctx, client.TaskRequest{Token: token(nil), Payload: []byte(`{"code":"on_holiday","retryable":true}`)}); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the second attempt is out", func() bool {
		w, err := c.Get(ctx, "request-1")
		return err == nil && w.Pending.Tasks[0].Attempt == 2 && w.Pending.Tasks[0].NextAt.IsZero()
	})
	old := codec.TaskToken{WorkflowID: "request-1", Task: record.TaskID{}, Attempt: 1}
	if old.Task, err = record.ParseTaskID(mustPending(t, c)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.BeatTask(ctx, client.TaskRequest{Token: old.Text(nil)}); client.Code(err) != api.CodeTaskClosed {
		t.Errorf("a heartbeat of the first attempt: %v", err)
	}
	if _, err := c.BeatTask(ctx, client.TaskRequest{Token: token(nil), Payload: []byte(`{"asked":true}`)}); err != nil {
		t.Error(err)
	}
	if _, err := c.CompleteTask(ctx, client.TaskRequest{Token: "nonsense"}); client.Code(err) != api.CodeRequestInvalid {
		t.Errorf("a token that is none: %v", err)
	}

	// An API with tokens and a key: a signed token is enough, an unsigned one is refused.
	key := []byte("0123456789abcdef")
	s, err := httpapi.New(httpapi.Config{Engine: e, InstanceID: "guarded", TaskTokenKey: key, Tokens: []httpapi.Token{{Name: "x", SHA256: httpapi.HashToken("x"), Role: httpapi.RoleViewer}}})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	stranger, err := client.NewHTTP(client.HTTPConfig{URL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.CompleteTask(ctx, client.TaskRequest{Token: token(nil), Payload: []byte("true")}); client.Code(err) != api.CodeUnauthenticated {
		t.Errorf("an unsigned token without any other: %v", err)
	}
	signed := token(key)
	if _, err := stranger.CompleteTask(ctx, client.TaskRequest{Token: signed, Payload: []byte("true")}); err != nil {
		t.Error(err)
	}
	if _, err := stranger.CompleteTask(ctx, client.TaskRequest{Token: signed, Payload: []byte("true")}); client.Code(err) != api.CodeTaskClosed {
		t.Errorf("the second answer: %v", err)
	}
	if _, err := stranger.Get(ctx, "request-1"); client.Code(err) != api.CodeUnauthenticated {
		t.Errorf("a stranger reads: %v", err)
	}
	if ok, err := h.Result(ctx); err != nil || !ok {
		t.Errorf("the run gives %v, %v", ok, err)
	}
	if _, err := client.Do(ctx, c, "request-1", note, "late"); err == nil || !strings.Contains(err.Error(), "workflow_closed") {
		t.Errorf("an update of a closed run: %v", err)
	}
}

func mustPending(t *testing.T, c *client.HTTP) string {
	t.Helper()
	w, err := c.Get(t.Context(), "request-1")
	if err != nil || len(w.Pending.Tasks) != 1 {
		t.Fatalf("the run is %+v, %v", w, err)
	}
	return w.Pending.Tasks[0].Task
}
