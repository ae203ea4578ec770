package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/workflow"
	"github.com/odradek/odradek/workflow/workflowtest"
)

// adding adds signals; how often it sleeps before is what its code is changed by.
func adding(sleeps int) workflow.Definition {
	more := workflow.NewSignal[int]("more")
	return workflow.Define("adding", func(ctx workflow.Context, n int) (int, error) {
		for range sleeps {
			if err := workflow.Sleep(ctx, 1e6); err != nil {
				return 0, err
			}
		}
		m, err := more.Receive(ctx)
		return n + m, err
	}, more)
}

// replayed runs the command with a binary's code.
func replayed(t *testing.T, code workflow.Definition, args ...string) (int, replayLine, string) {
	t.Helper()
	var out, errs bytes.Buffer
	exit := Run(t.Context(), Config{Build: "test", Workflows: []workflow.Definition{code}}, append([]string{"replay", "--config=", "-o", "json"}, args...), &out, &errs)
	var line replayLine
	if exit == exitOK || exit == exitInternal {
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatalf("%v: %s%s", err, &out, &errs)
		}
	}
	return exit, line, errs.String()
}

// TestReplayCommand: histories of files and of a live deployment's changelog fit the code
// that made them, and other code is told where it does something else.
func TestReplayCommand(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(workflowtest.UpdateVariable, "1")
	workflowtest.Golden(t, dir+"/sub/adding.history", adding(1), func() *workflowtest.Env {
		env := workflowtest.New(t, adding(1))
		workflowtest.SignalAfter(env, 1e9, workflow.NewSignal[int]("more"), 2)
		if n, err := workflowtest.Run[int](env, 1); err != nil || n != 3 {
			t.Fatal(n, err)
		}
		return env
	})
	seeds, names := apiBrokers(t)
	apiControl(t, seeds, names)
	e, addr, _ := apiInstance(t, seeds, names, "one", adding(1))
	ownsAll(t, e)
	c, err := client.NewHTTP(client.HTTPConfig{URL: addr})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		id := fmt.Sprint("run-", n)
		h, err := client.Start[int, int](t.Context(), c, "adding", id, n)
		if err != nil {
			t.Fatal(err)
		}
		if n%2 == 0 {
			continue // it goes on
		}
		if err := client.Signal(t.Context(), c, id, workflow.NewSignal[int]("more"), 1); err != nil {
			t.Fatal(err)
		}
		if got, err := h.Result(t.Context()); err != nil || got != n+1 {
			t.Fatal(got, err)
		}
	}
	live := []string{"--bootstrap-servers", strings.Join(seeds, ","), "--namespace", names.Namespace}
	for name, args := range map[string][]string{"files": {"--dir", dir}, "changelog": live} {
		want := map[string]int{"files": 1, "changelog": 20}[name]
		if exit, line, errs := replayed(t, adding(1), args...); exit != exitOK || line.Runs != want || line.Diverged != 0 || !line.OK {
			t.Errorf("%s: %d, %+v, %s", name, exit, line, errs)
		}
		exit, line, errs := replayed(t, adding(0), args...)
		if exit != exitInternal || line.Diverged != want || line.OK || line.First == nil || line.First.Divergence == nil || line.First.Event != 2 || !strings.HasPrefix(line.First.Expected, "timer_started") {
			t.Errorf("%s, with other code: %d, %+v, %+v, %s", name, exit, line, line.First, errs)
		}
		exit, line, errs = replayed(t, adding(2), args...)
		if exit != exitInternal || line.First == nil || line.First.Divergence == nil || !strings.HasPrefix(line.First.Actual, "timer_started") || !strings.Contains(line.First.Source, "replaycmd_test.go:") {
			t.Errorf("%s, with more code: %d, %+v, %+v, %s", name, exit, line, line.First, errs)
		}
	}
	copied := 0 // runs in the copies of the stores, which are used meanwhile
	for p := range int32(apiPartitions) {
		s, err := c.CopyStore(t.Context(), p)
		if err != nil || s.Partition != p || s.Instance != "one" {
			t.Fatalf("the copy is %+v, %v", s, err)
		}
		_, line, errs := replayed(t, adding(1), "--store", s.Dir)
		if line.Diverged > 0 || line.OK != (line.Runs > 0) {
			t.Errorf("copy of %d: %+v, %s", p, line, errs)
		}
		copied += line.Runs
		if _, line, errs := replayed(t, adding(0), "--store", s.Dir); line.Runs != line.Diverged {
			t.Errorf("copy of %d, with other code: %+v, %s", p, line, errs)
		}
	}
	if copied != 20 {
		t.Errorf("the copies have %d runs", copied)
	}
	for range 2 {
		if _, err := c.CopyStore(t.Context(), 0); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.CopyStore(t.Context(), 0); client.Code(err) != "operation_not_offered" || !strings.Contains(err.Error(), "at most 3") {
		t.Errorf("a fourth copy: %v", err)
	}
	if _, err := c.CopyStore(t.Context(), 99); client.Code(err) != "request_invalid" {
		t.Errorf("a copy of no partition: %v", err)
	}
	if exit, _, errs := replayed(t, adding(1), "--store", dir); exit != exitUsage || !strings.Contains(errs, dir) {
		t.Errorf("no store: %d, %s", exit, errs)
	}
	if exit, line, errs := replayed(t, payDefinition(), live...); exit != exitInternal || line.Unknown != 20 || line.OK {
		t.Errorf("another type: %d, %+v, %s", exit, line, errs)
	}
	if exit, line, _ := replayed(t, adding(1), append(live, "--until", "2020-01-01T00:00:00Z")...); exit != exitInternal || line.Runs != 0 || line.OK {
		t.Errorf("nothing of that time: %d, %+v", exit, line)
	}
	if exit, _, errs := replayed(t, adding(1), "--since", "yesterday"); exit != exitUsage || !strings.Contains(errs, `--since is "yesterday"`) {
		t.Errorf("a time that is none: %d, %s", exit, errs)
	}
	if exit, _, errs := replayed(t, adding(1), "--dir", "nowhere"); exit != exitUsage || !strings.Contains(errs, "nowhere") {
		t.Errorf("a directory that is not there: %d, %s", exit, errs)
	}
}

func payDefinition() workflow.Definition { return commandConfig().Workflows[0] }
