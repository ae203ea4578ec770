package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func check(t *testing.T, args ...string) (int, string) {
	t.Helper()
	code, stdout, stderr := run(t, append([]string{"check"}, args...)...)
	return code, stdout + stderr
}

// TestCommandsOfThePages: the commands that docs/bindings.md shows work as they stand.
func TestCommandsOfThePages(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/bindings.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) == 0 {
		t.Fatal("the page has no command")
	}
	for _, b := range blocks {
		for line := range strings.SplitSeq(strings.TrimSpace(string(b[1])), "\n") {
			words := strings.Fields(line)
			if len(words) == 6 && words[1] == "import" && words[4] == "--out" { // of a document that the page does not show
				var out, errs bytes.Buffer
				a := &app{stdout: &out, stderr: &errs}
				if code := a.run(t.Context(), []string{"import", words[2], "../../worker/importer/testdata/" + words[3], "--out", t.TempDir()}); code != exitOK {
					t.Errorf("%s: exit %d\n%s%s", line, code, &out, &errs)
				}
				continue
			}
			if len(words) == 7 && words[1] == "call" {
				var out, errs bytes.Buffer
				a := &app{stdout: &out, stderr: &errs}
				if code := a.run(t.Context(), append([]string{"call", "../../" + words[2]}, words[3:]...)); code != exitOK || !strings.Contains(out.String(), "POST http") {
					t.Errorf("%s: exit %d\n%s%s", line, code, &out, &errs)
				}
				continue
			}
			if len(words) != 3 || words[0] != "svcworker" || words[1] != "check" {
				t.Fatalf("nobody plays %q", line)
			}
			if code, out := check(t, filepath.Join("../..", words[2])); code != exitOK || !strings.Contains(out, "payment.request") {
				t.Errorf("%s: exit %d\n%s", line, code, out)
			}
		}
	}
}

// TestCommandsOfTheGRPCPage: the imports that docs/bindings-grpc.md shows work, of the tree
// that the importer is tested with.
func TestCommandsOfTheGRPCPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/bindings-grpc.md")
	if err != nil {
		t.Fatal(err)
	}
	played := 0
	for _, b := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(page, -1) {
		for line := range strings.SplitSeq(strings.TrimSpace(string(b[1])), "\n") {
			words := strings.Fields(line)
			dir := t.TempDir()
			for i, w := range words {
				switch {
				case w == "order.protoset", w == "proto":
					words[i] = "../../worker/importer/testdata/" + w
				case i > 0 && words[i-1] == "--out":
					words[i] = dir
				}
			}
			var out, errs bytes.Buffer
			a := &app{stdout: &out, stderr: &errs}
			if code := a.run(t.Context(), words[1:]); code != exitOK {
				t.Errorf("%s: exit %d\n%s%s", line, code, &out, &errs)
			}
			for _, name := range []string{"bindings.yaml", "order.protoset", "order/tasks.go"} {
				if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
					t.Error(err)
				}
			}
			played++
		}
	}
	if played < 2 {
		t.Errorf("the page has only %d commands", played)
	}
}

// TestCheckTellsBothHalves: problems of the worker's own keys and of the bindings, by
// line.
func TestCheckTellsBothHalves(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "w.yaml")
	file := `namespce: a
kafka:
  bootstrap.server: a:1
  sasl.password: ${env:ODRADEK_TEST_NOT_SET}
log: {level: loud, leve: info}
rebalance_timeout: 10
services:
  payment:
    base_url: http://payment.example.com
    tasks:
      request: {path: "/{a?}"}
`
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out := check(t, path)
	if code != exitProblems {
		t.Errorf("exit %d", code)
	}
	at := 0
	for _, want := range []string{
		`:1: namespce: this key is not known. Did you mean "namespace"?`,
		":4: kafka.sasl.password: the environment variable ODRADEK_TEST_NOT_SET is not set.",
		`:5: log.level: "loud" is not one of debug, info, warn, error`,
		`:5: log.leve: this key is not known. Did you mean "log.level"?`,
		`:6: rebalance_timeout: "10" is not a duration`,
		":11: payment.request.path: {a?} may not be optional here.",
	} {
		i := strings.Index(out[at:], want)
		if i < 0 {
			t.Fatalf("%q is missing, or not in its place, in\n%s", want, out)
		}
		at += i
	}
	if _, out := check(t, "--without-secrets", path); strings.Contains(out, "NOT_SET") {
		t.Errorf("secrets were looked for:\n%s", out)
	}
}

// TestKafkaKeysHaveTheirLines: what internal/kafka finds is told at its line.
func TestKafkaKeysHaveTheirLines(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "w.yaml")
	file := `kafka:
  bootstrap.servers: a:1
  security.protocol: TLS
  sasl.mechanisms: PLAIN
  session.timeout.ms: 10s
services:
  payment: {base_url: "http://payment.example.com", tasks: {request: {path: /}}}
`
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out := check(t, path)
	for _, want := range []string{
		`:3: kafka.security.protocol: "TLS" is not one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL`,
		`:4: kafka.sasl.mechanisms: this key is not known. Did you mean "sasl.mechanism"?`,
		`:5: kafka.session.timeout.ms: "10s" is not a number of milliseconds`,
	} {
		if code != exitProblems || !strings.Contains(out, want) {
			t.Errorf("exit %d; %q is missing in\n%s", code, want, out)
		}
	}
}

// TestFlagWinsOverEnvironmentOverFileOverDefault, for each setting.
func TestFlagWinsOverEnvironmentOverFileOverDefault(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.yaml")
	write := func(more string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("kafka: {bootstrap.servers: a:1}\nservices: {}\n"+more), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	drain := func(flags map[string]string) time.Duration {
		t.Helper()
		s, err := loadSettings(path, flags, false)
		if err != nil {
			t.Fatal(err)
		}
		return s.Drain
	}
	write("")
	if got := drain(nil); got != 20*time.Second {
		t.Errorf("default: %s", got)
	}
	write("drain_timeout: 1s\n")
	if got := drain(nil); got != time.Second {
		t.Errorf("file: %s", got)
	}
	t.Setenv("ODRADEK_DRAIN_TIMEOUT", "2s")
	if got := drain(nil); got != 2*time.Second {
		t.Errorf("environment: %s", got)
	}
	if got := drain(map[string]string{"drain-timeout": "3s"}); got != 3*time.Second {
		t.Errorf("flag: %s", got)
	}
	t.Setenv("ODRADEK_DRAIN_TIMEOUT", "soon")
	if _, err := loadSettings(path, nil, false); err == nil || !strings.Contains(err.Error(), "environment variable ODRADEK_DRAIN_TIMEOUT") {
		t.Errorf("a bad value does not name its source: %v", err)
	}
}

// TestTheExampleIsValid: configs/svcworker.yaml is what a user begins with.
func TestTheExampleIsValid(t *testing.T) {
	t.Parallel()
	if code, out := check(t, "../../configs/svcworker.yaml"); code != exitOK {
		t.Fatalf("exit %d\n%s", code, out)
	}
}
