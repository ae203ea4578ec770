package engine

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
	"github.com/odradek/odradek/workflow"
)

// TestOperatorsRepairRuns through the API: a failed run is retried, a completed one taken
// back, a run paused and resumed, and the history says who has done it.
func TestOperatorsRepairRuns(t *testing.T) {
	t.Parallel()
	ask := workflow.NewTask[string, int]("people", "ask")
	asking := workflow.Define("adding", func(ctx workflow.Context, _ string) (int, error) {
		a, err := ask.Run(ctx, "first")
		if err != nil {
			return 0, err
		}
		b, err := ask.Run(ctx, "second")
		return a + b, err
	}, ask)
	seeds, names := apiBrokers(t, "people")
	e, addr, _ := apiInstance(t, seeds, names, "one", asking)
	ownsAll(t, e)
	ctx := t.Context()
	c, err := client.NewHTTP(client.HTTPConfig{URL: addr})
	if err != nil {
		t.Fatal(err)
	}
	const id = "sum-1"
	h, err := client.Start[string, int](ctx, c, "adding", id, "")
	if err != nil {
		t.Fatal(err)
	}
	// answer gives the open task a result, or a failure that is final.
	answer := func(want int64, result string) {
		t.Helper()
		w, err := c.Get(ctx, id)
		if err != nil || w.Pending == nil || len(w.Pending.Tasks) != 1 {
			t.Fatalf("the run is %+v, %v", w, err)
		}
		task, err := record.ParseTaskID(w.Pending.Tasks[0].Task)
		if err != nil || w.Pending.Tasks[0].Attempt != want {
			t.Fatalf("attempt %d of %s is open, want %d (%v)", w.Pending.Tasks[0].Attempt, w.Pending.Tasks[0].Task, want, err)
		}
		r := client.TaskRequest{Token: codec.TaskToken{WorkflowID: id, Task: task, Attempt: uint32(want)}.Text(nil), Payload: []byte(result)}
		if strings.HasPrefix(result, "{") {
			_, err = c.FailTask(ctx, r)
		} else {
			_, err = c.CompleteTask(ctx, r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	request := func(reason string) client.OperateRequest {
		return client.OperateRequest{EndRequest: client.EndRequest{WorkflowID: id, Reason: reason}}
	}
	must := func(_ client.Ended, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Retry(ctx, request("")); client.Code(err) != api.CodeOperationNotOffered || !strings.Contains(err.Error(), "no task") {
		t.Errorf("a run that waits: %v", err)
	}
	answer(1, "20")
	answer(1, `{"code":"unknown","retryable":false}`)
	if _, err := h.Result(ctx); err == nil {
		t.Fatal("the run did not fail")
	}
	must(c.Retry(ctx, request("mended")))
	answer(2, "22")
	if n, err := h.Result(ctx); err != nil || n != 42 {
		t.Fatalf("after the retry: %d, %v", n, err)
	}

	if _, err := c.PreviewReset(ctx, id, 4); client.Code(err) != api.CodeOperationNotOffered || !strings.Contains(err.Error(), "reset to event 3") {
		t.Errorf("a reset to a decision: %v", err)
	}
	p, err := c.PreviewReset(ctx, id, 3)
	if err != nil || p.To != 3 || len(p.Repeated) != 1 || !strings.Contains(string(p.Repeated[0]), `"second"`) || len(p.SentAgain)+len(p.Stopped)+p.Signals != 0 {
		t.Errorf("the preview is %+v, %v", p, err)
	}
	reset := request("wrong sum")
	reset.To = 3
	must(c.Reset(ctx, reset))
	must(c.Pause(ctx, request("lunch")))
	w, err := c.Get(ctx, id)
	if err != nil || !w.Paused || w.PausedReason != "lunch" || w.Stuck != nil {
		t.Errorf("the paused run is %+v, %v", w, err)
	}
	answer(1, "30")
	if w, err = c.Get(ctx, id); err != nil || w.Status != api.StatusRunning || w.Pending.Inputs != 1 {
		t.Errorf("an answer to a paused run: %+v, %v", w, err)
	}
	must(c.Resume(ctx, request("")))
	if n, err := h.Result(ctx); err != nil || n != 50 {
		t.Fatalf("after the reset: %d, %v", n, err)
	}
	page, err := c.History(ctx, id, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	var notes []string
	for _, raw := range page.Events {
		if s := string(raw); strings.Contains(s, `"operation":"re`) || strings.Contains(s, `"operation":"pause"`) {
			notes = append(notes, s)
		}
	}
	if got := strings.Join(notes, "\n"); len(notes) != 4 || !strings.Contains(got, "mended") || !strings.Contains(got, "wrong sum") || !strings.Contains(got, "lunch") {
		t.Errorf("the history notes\n%s", got)
	}
}

// TestDeadLettersAreTakenIn through the API: a record that came too early, one that is
// edited, one that nobody wants, and a run that has failed.
func TestDeadLettersAreTakenIn(t *testing.T) {
	t.Parallel()
	ask := workflow.NewTask[string, int]("people", "ask")
	more := workflow.NewSignal[int]("more")
	adding := workflow.Define("early", func(ctx workflow.Context, n int) (int, error) {
		m, err := more.Receive(ctx)
		return n + m, err
	}, more)
	asking := workflow.Define("asking", func(ctx workflow.Context, in string) (int, error) { return ask.Run(ctx, in) }, ask)
	seeds, names := apiBrokers(t, "people")
	e, addr, _ := apiInstance(t, seeds, names, "one", adding, asking)
	ownsAll(t, e)
	ctx := t.Context()
	c, err := client.NewHTTP(client.HTTPConfig{URL: addr})
	if err != nil {
		t.Fatal(err)
	}
	k, err := client.NewKafka(ctx, client.KafkaConfig{Namespace: names.Namespace, Table: topology.TableZero(apiPartitions), Options: []kgo.Opt{kgo.SeedBrokers(seeds...)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	all := func() map[string]client.DeadLetter {
		out := map[string]client.DeadLetter{}
		for p := range int32(apiPartitions) {
			page, err := c.DeadLetters(ctx, p, "", "", 100)
			if err != nil || page.Partitions != apiPartitions {
				t.Fatal(page, err)
			}
			for _, d := range page.DeadLetters {
				out[d.Record.Key] = d
			}
		}
		return out
	}
	for _, id := range []string{"early", "edited", "unwanted"} {
		if err := client.Signal(ctx, k, id, more, 2); err != nil {
			t.Fatal(err)
		}
	}
	waitUntil(t, "they are dead letters", func() bool { return len(all()) == 3 })
	letters := all()
	if d := letters["early"]; d.Code != "workflow_not_found" || d.Record.Value != "2" || !strings.HasPrefix(d.ID, "commands.") {
		t.Errorf("the dead letter is %+v", d)
	}
	for _, id := range []string{"early", "edited"} {
		if _, err := client.Start[int, int](ctx, c, "early", id, 40); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.RetryDeadLetter(ctx, letters["early"].ID, nil, "it came too early"); err != nil {
		t.Fatal(err)
	}
	edited := letters["edited"].Record
	edited.Value = "3"
	if err := c.RetryDeadLetter(ctx, letters["edited"].ID, &edited, ""); err != nil {
		t.Fatal(err)
	}
	if err := c.DiscardDeadLetter(ctx, letters["unwanted"].ID, "a test"); err != nil {
		t.Fatal(err)
	}
	if err := c.DiscardDeadLetter(ctx, letters["unwanted"].ID, ""); client.Code(err) != api.CodeDeadLetterNotFound {
		t.Errorf("a second time: %v", err)
	}
	if _, err := c.GetDeadLetter(ctx, "nonsense"); client.Code(err) != api.CodeRequestInvalid {
		t.Errorf("no ID: %v", err)
	}
	for id, want := range map[string]int{"early": 42, "edited": 43} {
		h, err := client.Attach[int](ctx, c, id)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := h.Result(ctx); err != nil || n != want {
			t.Errorf("%s: %d, %v", id, n, err)
		}
	}

	h, err := client.Start[string, int](ctx, c, "asking", "asked", "x")
	if err != nil {
		t.Fatal(err)
	}
	answer := func(attempt uint32, result string, do func(client.TaskRequest) error) {
		t.Helper()
		w, err := c.Get(ctx, "asked")
		if err != nil || w.Pending == nil || len(w.Pending.Tasks) != 1 {
			t.Fatalf("the run is %+v, %v", w, err)
		}
		task, err := record.ParseTaskID(w.Pending.Tasks[0].Task)
		if err != nil {
			t.Fatal(err)
		}
		if err := do(client.TaskRequest{Token: codec.TaskToken{WorkflowID: "asked", Task: task, Attempt: attempt}.Text(nil), Payload: []byte(result)}); err != nil {
			t.Fatal(err)
		}
	}
	answer(1, `{"code":"closed","retryable":false}`, func(r client.TaskRequest) error { _, err := c.FailTask(ctx, r); return err })
	waitUntil(t, "it is listed", func() bool { return all()["asked"].Code == record.CodeGivenUp })
	d, err := c.GetDeadLetter(ctx, all()["asked"].ID)
	if err != nil || !strings.Contains(d.Reason, "closed") {
		t.Fatalf("%+v, %v", d, err)
	}
	if err := c.RetryDeadLetter(ctx, d.ID, nil, "open again"); err != nil {
		t.Fatal(err)
	}
	answer(2, "7", func(r client.TaskRequest) error { _, err := c.CompleteTask(ctx, r); return err })
	if n, err := h.Result(ctx); err != nil || n != 7 {
		t.Errorf("%d, %v", n, err)
	}
	if left := all(); len(left) != 0 {
		t.Errorf("left are %+v", left)
	}
}
