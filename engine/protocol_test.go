package engine

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/workflow"
	"github.com/odradek/odradek/workflows/billing"
)

var kcatBlock = regexp.MustCompile("(?ms)^```sh kcat=([a-z-]+)\n(.*?)^```$")

// TestProtocolPageByKcat plays the examples of docs/protocol.md, as they stand,
// against lanes on a broker: kcat alone starts a workflow, takes its tasks, fails
// one, answers all, signals and reads the result.
func TestProtocolPageByKcat(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("kcat"); err != nil {
		t.Skip("kcat is not installed: apt-get install kcat")
	}
	page, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string]string{}
	for _, m := range kcatBlock.FindAllStringSubmatch(string(page), -1) {
		blocks[m[1]] = m[2]
	}
	script := "set -eu\n"
	for _, name := range []string{"setup", "take", "answer", "fail", "start", "month", "signal", "goodbye", "result", "dead-letter"} {
		if blocks[name] == "" {
			t.Fatalf("docs/protocol.md has no block %q", name)
		}
		script += blocks[name]
		delete(blocks, name)
	}
	for name := range blocks {
		t.Errorf("the block %q of docs/protocol.md is not played", name)
	}
	script = strings.Replace(script, `"every":"10s"`, `"every":"1s"`, 1) // a shorter month

	seeds, names := apiBrokers(t, "consumption", "payment", "invoice", "email")
	e, _, _ := apiInstance(t, seeds, names, "one", billing.Definition)
	ownsAll(t, e)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Env = append(os.Environ(), "BROKERS="+strings.Join(seeds, ","), "NS="+names.Namespace)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, stderr.String())
	}
	got := string(out)
	for _, want := range []string{`"kind":"run_completed"`, `"result":{"customer":"7","months":1,"cents":217,"last_invoice":"2026-0001","reason":"moved"}`, "od-dl-code=command_missing"} {
		if !strings.Contains(got, want) {
			t.Errorf("the output lacks %s:\n%s%s", want, got, stderr.String())
		}
	}
	run, err := e.Run(ctx, "customer-7")
	if err != nil {
		t.Fatal(err)
	}
	if !run.Row.Status.Closed() {
		t.Errorf("the run is %v", run.Row.Status)
	}
}

// servicePartitions of a service in tests.
func servicePartitions(service string) int {
	if service == "bank" {
		return apiPartitions
	}
	return 1
}

// servicesOf are the task topics that definitions need.
func servicesOf(definitions []workflow.Definition) map[string]int32 {
	services := map[string]int32{}
	for _, d := range definitions {
		for s := range d.Services() {
			services[s] = int32(servicePartitions(s))
		}
	}
	return services
}
