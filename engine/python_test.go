package engine

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/engine/processor"
	"github.com/odradek/odradek/workflows/billing"
)

var pythonBlock = regexp.MustCompile("(?ms)^```python worker.py\n(.*?)^```$")

// confluentKafka is the package that the page names, at the version that was tried.
const confluentKafka = "confluent-kafka==2.16.1"

// python gives the interpreter, and the folder in which the package is; it is installed
// once for each user and version of Python.
func python(t *testing.T) (exe, packages string) {
	t.Helper()
	exe, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed: the worker in Python of docs/protocol.md is not played")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("no place for the Python package %s: %v", confluentKafka, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	version, err := exec.CommandContext(ctx, exe, "-c", "import sys; print(sys.version_info.major, sys.version_info.minor, sep='.')").Output()
	if err != nil {
		t.Skipf("python3 does not run: %v", err)
	}
	packages = filepath.Join(cache, "odradek-test", "python"+strings.TrimSpace(string(version)), strings.ReplaceAll(confluentKafka, "==", "-"))
	if _, err := os.Stat(packages); err == nil {
		return exe, packages
	}
	into := packages + fmt.Sprintf(".%d", os.Getpid())
	defer os.RemoveAll(into)
	if out, err := exec.CommandContext(ctx, exe, "-m", "pip", "install", "--quiet", "--target", into, confluentKafka).CombinedOutput(); err != nil {
		t.Skipf("pip cannot install %s: %v\n%s", confluentKafka, err, out)
	}
	if err := os.Rename(into, packages); err != nil { // another test was faster, or it fails below
		t.Log(err)
	}
	return exe, packages
}

// calls are the functions of the page's worker: what a month of billing needs. The first
// charge does not come back.
const calls = `
import os, time

def get(order, key): return {"units": 7}
def create(order, key): return {"number": "2026-0001"}
def send(mail, key): return {"message": "message-1"}

def request(payment, key):
    with open("charges", "a") as f:
        f.write(key + "\n")
    while os.path.exists("stand"):
        time.sleep(0.01)
    return {"id": "payment-1", "cents": payment["cents"]}
`

// TestProtocolPageByPython plays the worker in Python of docs/protocol.md, as it stands, with
// the default settings of its client. The worker that charges is killed in the middle of a
// call, after its consumer has committed the task; the next one makes the next attempt, and
// the run completes (W4).
func TestProtocolPageByPython(t *testing.T) {
	t.Parallel()
	exe, packages := python(t)
	page, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	block := pythonBlock.FindSubmatch(page)
	if block == nil {
		t.Fatal("docs/protocol.md has no worker in Python")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"worker.py": string(block[1]), "calls.py": calls, "stand": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	services := []string{"consumption", "payment", "invoice", "email"}
	seeds, names := apiBrokers(t, services...)
	worker := func(service string) *exec.Cmd {
		t.Helper()
		cmd := exec.Command(exe, "worker.py", service)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PYTHONPATH="+packages, "BROKERS="+strings.Join(seeds, ","), "NS="+names.Namespace,
			`KAFKA={"session.timeout.ms":6000}`) // the next one waits for it
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if t.Failed() {
				t.Logf("the worker of %s said:\n%s", service, out.String())
			}
		})
		return cmd
	}
	e, addr, _ := apiInstanceWith(t, seeds, names, "one", func(c *processor.Config) { c.Limits.LostEvery = 200 * time.Millisecond }, billing.Definition)
	ownsAll(t, e)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c, err := client.NewHTTP(client.HTTPConfig{URL: addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for _, service := range services {
		if service != "payment" {
			worker(service)
		}
	}
	first := worker("payment")
	h, err := client.Start[billing.Subscription, billing.Summary](ctx, c, billing.Definition.Type(), "customer-7",
		billing.Subscription{Customer: "7", Calendar: billing.Calendar{Every: billing.Length(time.Second)}, Months: 1})
	if err != nil {
		t.Fatal(err)
	}
	kafka, err := kgo.NewClient(kgo.SeedBrokers(seeds...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	waitUntil(t, "the consumer has committed the task in the middle of the call", func() bool {
		offsets, err := kadm.NewClient(kafka).FetchOffsets(ctx, names.ServiceGroup("payment"))
		o, ok := offsets.Lookup(names.Tasks("payment"), 0)
		return err == nil && ok && o.At > 0 && len(charges(t, dir)) == 1
	})
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	if err := os.Remove(filepath.Join(dir, "stand")); err != nil {
		t.Fatal(err)
	}
	worker("payment")
	bill, err := h.Result(ctx)
	if err != nil || bill.Months != 1 || bill.Cents != 217 {
		t.Errorf("the run gives %+v, %v", bill, err)
	}
	made := charges(t, dir)
	for _, key := range made {
		if len(made) < 2 || key != made[0] || key == "" {
			t.Errorf("the calls have the keys %q: at least two, of one task", made)
		}
	}
}

// charges are the idempotency keys of the charges that were begun.
func charges(t *testing.T, dir string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "charges"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Fields(string(b))
}
