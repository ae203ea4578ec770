package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/engine/processor"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/job"
	"github.com/odradek/odradek/topology"
	"github.com/odradek/odradek/workflow"
)

// refusing fails at a task that the engine carries out, until it is mended.
func refusing(mended func() bool) workflow.Definition {
	pay := workflow.NewLocalTask("pay", func(_ context.Context, n int) (int, error) {
		if n%2 == 0 && !mended() {
			return 0, &workflow.Failure{Kind: workflow.FailureApplication, Code: "closed"}
		}
		return n, nil
	})
	return workflow.Define("paying", func(ctx workflow.Context, n int) (int, error) { return pay.Run(ctx, n) }, pay)
}

// ended waits for the end of a job.
func ended(t *testing.T, c *client.HTTP, name string) (j client.Job) {
	t.Helper()
	waitUntil(t, "job "+name+" ends", func() bool {
		var err error
		j, err = c.Job(t.Context(), name)
		return err == nil && j.Status != api.StatusRunning
	})
	if j.Report == nil {
		t.Fatalf("job %s has no report: %+v", name, j)
	}
	return j
}

// TestAJobOnAnEngine: of 300 runs of two instances' partitions those that have failed are
// retried, each once, though the instance that runs the job is cut off from Kafka in the
// middle, as by SIGKILL; the others are left alone.
func TestAJobOnAnEngine(t *testing.T) {
	t.Parallel()
	seeds, names := apiBrokers(t)
	mended := make(chan struct{})
	paying := refusing(func() bool {
		select {
		case <-mended:
			return true
		default:
			return false
		}
	})
	var doomed, second cable
	by := func(way *cable) func(*processor.Config) {
		return func(c *processor.Config) {
			plain := c.Client
			c.Client = func(opts ...kgo.Opt) (*kgo.Client, error) { return plain(append(opts, way.dialer())...) }
		}
	}
	e, addr, _ := apiInstanceWith(t, seeds, names, "one", by(&doomed), paying)
	_, other, _ := apiInstanceWith(t, seeds, names, "two", by(&second), paying)
	t.Cleanup(func() { doomed.mend(); second.mend() }) // the dead would wait long for an answer to their goodbye
	kill := doomed.cut
	at := e.Partition(job.WorkflowID("mend"))
	waitUntil(t, "somebody owns every partition, and both some", func() bool {
		mine := 0
		for p := range int32(apiPartitions) {
			_, self, ok := e.Owner(p)
			if !ok {
				return false
			}
			if self {
				mine++
			}
		}
		return mine > 0 && mine < apiPartitions
	})
	if _, self, _ := e.Owner(at); !self {
		kill, other = second.cut, addr
	}
	ctx := t.Context()
	c, err := client.NewHTTP(client.HTTPConfig{URL: other})
	if err != nil {
		t.Fatal(err)
	}
	const n = 300
	for i := range n {
		if _, err := client.Start[int, int](ctx, c, "paying", fmt.Sprintf("pay-%d", i), i); err != nil {
			t.Fatal(err)
		}
	}
	count := func(filter string) int64 {
		out, err := c.Count(ctx, filter)
		if err != nil || out.Partial {
			return -1
		}
		return out.Count
	}
	waitUntil(t, "they have ended", func() bool {
		return count(`type = "paying" and status = running`) == 0 && count(`status = failed`) == n/2
	})
	close(mended)
	spec := client.JobSpec{Operation: job.Retry, Filter: `type = "paying" and status = failed`, Rate: 30, Reason: "the bank is open", By: "nobody"}
	j, created, err := c.CreateJob(ctx, "mend", spec, "")
	if err != nil || !created || j.Name != "mend" || j.Report == nil || j.Report.Spec.By != "anonymous" {
		t.Fatalf("%+v, %v, %v", j, created, err)
	}
	if j, created, err := c.CreateJob(ctx, "mend", spec, ""); err != nil || created || j.Name != "mend" {
		t.Errorf("made again: %+v, %v, %v", j, created, err)
	}
	waitUntil(t, "the job is in the middle", func() bool { j, err := c.Job(ctx, "mend"); return err == nil && j.Report != nil && j.Report.Done > 0 })
	kill() // whatever it was at, the other one goes on with it
	j = ended(t, c, "mend")
	if r := j.Report; j.Status != api.StatusCompleted || r.Fit != n/2 || r.Matched != n/2 || r.Done != n/2 || r.Refused != 0 || r.Through != apiPartitions {
		t.Errorf("the job is %+v: %+v", j, j.Report)
	}
	waitUntil(t, "all have completed", func() bool { return count(`type = "paying" and status = completed`) == n })
	for i := range n {
		page, err := c.History(ctx, fmt.Sprintf("pay-%d", i), "", 100)
		if err != nil {
			t.Fatal(err)
		}
		var by []string
		for _, raw := range page.Events {
			if strings.Contains(string(raw), "the bank is open") {
				by = append(by, string(raw))
			}
		}
		if want := 1 - i%2; len(by) != want || want == 1 && !(strings.Contains(by[0], `"anonymous"`) && strings.Contains(by[0], `job/mend/`+page.RunID)) {
			t.Errorf("pay-%d has of the job %v", i, by)
		}
	}
	if p, err := c.Jobs(ctx, "", 10); err != nil || p.Partial || len(p.Jobs) != 1 || p.Jobs[0].Name != "mend" || p.Jobs[0].Status != api.StatusCompleted {
		t.Errorf("the jobs are %+v, %v", p, err)
	}
}

// TestAJobIsPausedAndCancelled, and one that cannot be is refused.
func TestAJobIsPausedAndCancelled(t *testing.T) {
	t.Parallel()
	waiting := workflow.Define("waiting", func(ctx workflow.Context, _ string) (string, error) { return "", workflow.Sleep(ctx, 24*time.Hour) })
	seeds, names := apiBrokers(t)
	e, addr, _ := apiInstance(t, seeds, names, "one", waiting)
	ownsAll(t, e)
	ctx := t.Context()
	c, err := client.NewHTTP(client.HTTPConfig{URL: addr})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if _, err := client.Start[string, string](ctx, c, "waiting", fmt.Sprintf("w-%d", i), ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := c.CreateJob(ctx, "end", client.JobSpec{Operation: job.Terminate, Filter: "started <= now", Rate: 2, Reason: "a test"}, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PauseJob(ctx, "end", "wait"); err != nil {
		t.Fatal(err)
	}
	if j, err := c.Job(ctx, "end"); err != nil || !j.Paused {
		t.Errorf("paused: %+v, %v", j, err)
	}
	if _, err := c.ResumeJob(ctx, "end", ""); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the job is in the middle", func() bool { j, err := c.Job(ctx, "end"); return err == nil && j.Report != nil && j.Report.Done > 0 })
	if _, err := c.CancelJob(ctx, "end", "enough"); err != nil {
		t.Fatal(err)
	}
	j := ended(t, c, "end")
	if r := j.Report; j.Status != api.StatusCancelled || r.Done == 0 || r.Done >= 20 || r.Refused != 0 {
		t.Errorf("the job is %+v: %+v", j, r)
	}
	if n, err := c.Count(ctx, `type = "waiting" and status = terminated`); err != nil || n.Count != j.Report.Done {
		t.Errorf("%d are terminated, %v; the job says %d", n.Count, err, j.Report.Done)
	}
	if _, err := c.Job(ctx, "other"); client.Code(err) != api.CodeWorkflowNotFound || !strings.Contains(err.Error(), `no job "other"`) {
		t.Errorf("a job that is not there: %v", err)
	}
	if _, _, err := c.CreateJob(ctx, "end", client.JobSpec{Operation: job.Cancel, Filter: "started <= now"}, ""); client.Code(err) != api.CodeWorkflowIDInUse {
		t.Errorf("another job of that name: %v", err)
	}
	if _, _, err := c.CreateJob(ctx, "a/b", client.JobSpec{Operation: "reset"}, ""); client.Code(err) != api.CodeRequestInvalid || !strings.Contains(err.Error(), "slash") || !strings.Contains(err.Error(), `operation is "reset"`) {
		t.Errorf("a bad job: %v", err)
	}
	input, _ := json.Marshal(client.JobSpec{Operation: job.Cancel, Filter: "started <= now", By: "somebody else"})
	if _, err := c.Start(ctx, client.StartRequest{Type: job.Type, WorkflowID: job.WorkflowID("spoofed"), Input: input}); client.Code(err) != api.CodeRequestInvalid || !strings.Contains(err.Error(), "POST /v1/jobs") {
		t.Errorf("a job that is started as a workflow: %v", err)
	}
}

// TestAJobTakesDeadLettersIn, those with a code; what is refused is told.
func TestAJobTakesDeadLettersIn(t *testing.T) {
	t.Parallel()
	more := workflow.NewSignal[int]("more")
	adding := workflow.Define("early", func(ctx workflow.Context, n int) (int, error) {
		m, err := more.Receive(ctx)
		return n + m, err
	}, more)
	closed := workflow.NewLocalTask("closed", func(context.Context, int) (int, error) {
		return 0, &workflow.Failure{Kind: workflow.FailureApplication, Code: "closed"}
	})
	failing := workflow.Define("failing", func(ctx workflow.Context, n int) (int, error) { return closed.Run(ctx, n) }, closed)
	seeds, names := apiBrokers(t)
	e, addr, _ := apiInstance(t, seeds, names, "one", adding, failing)
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
	all := func(code string) (n int) {
		for p := range int32(apiPartitions) {
			page, err := c.DeadLetters(ctx, p, code, "", 100)
			if err != nil {
				t.Fatal(err)
			}
			n += len(page.DeadLetters)
		}
		return n
	}
	for i := range 12 {
		if err := client.Signal(ctx, k, fmt.Sprintf("early-%d", i), more, 2); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.Start[int, int](ctx, c, "failing", "failing", 1); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "they are dead letters", func() bool { return all("workflow_not_found") == 12 && all("given_up") == 1 })
	for i := range 12 {
		if _, err := client.Start[int, int](ctx, c, "early", fmt.Sprintf("early-%d", i), 40); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := c.CreateJob(ctx, "letters", client.JobSpec{Operation: job.RetryDeadLetters, Code: "workflow_not_found", Rate: 500}, ""); err != nil {
		t.Fatal(err)
	}
	if r := ended(t, c, "letters").Report; r.Fit != 12 || r.Done != 12 || r.Refused != 0 {
		t.Errorf("taken in: %+v", r)
	}
	for i := range 12 {
		h, err := client.Attach[int](ctx, c, fmt.Sprintf("early-%d", i))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := h.Result(ctx); err != nil || n != 42 {
			t.Errorf("early-%d: %d, %v", i, n, err)
		}
	}
	if all("") != 1 || all("given_up") != 1 {
		t.Errorf("%d dead letters are left, of which 1 was chosen by nobody", all(""))
	}
	if _, _, err := c.CreateJob(ctx, "away", client.JobSpec{Operation: job.DiscardDeadLetters, Rate: 500}, ""); err != nil {
		t.Fatal(err)
	}
	if r := ended(t, c, "away").Report; r.Done != 1 || all("") != 0 {
		t.Errorf("discarded: %+v; %d are left", r, all(""))
	}
}
