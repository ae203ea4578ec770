package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// run is a command in this process.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{stdout: &out, stderr: &errs}
	code = a.run(t.Context(), args)
	return code, out.String(), errs.String()
}

// TestCall makes one attempt and shows what came of it.
func TestCall(t *testing.T) {
	t.Parallel()
	var calls int
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		if r.Header.Get("Idempotency-Key") != "mine" {
			http.Error(w, "no key", http.StatusTeapot)
			return
		}
		fmt.Fprintf(w, `{"path":%q}`, r.URL.Path)
	}))
	t.Cleanup(api.Close)
	config := filepath.Join(t.TempDir(), "w.yaml")
	text := fmt.Sprintf("services:\n  shop:\n    base_url: %s\n    headers: {X-Token: \"${env:ODRADEK_TEST_NOT_SET}\"}\n    tasks:\n      get: {method: GET, path: \"/{id}\"}\n", api.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	call := func(args ...string) (int, string) {
		code, out, errs := run(t, append([]string{"call", config}, args...)...)
		return code, out + errs
	}
	if code, out := call("shop.get", "--input", `{"id":7}`, "--dry-run"); code != exitOK || !strings.Contains(out, "GET "+api.URL+"/7") || calls != 0 {
		t.Errorf("dry: %d %s", code, out)
	}
	if code, out := call("shop.get", "--input", `{"id":7}`); code != exitUsage || !strings.Contains(out, "ODRADEK_TEST_NOT_SET is not set") {
		t.Errorf("no secret: %d %s", code, out)
	}
	if err := os.WriteFile(config, []byte(strings.Replace(text, `    headers: {X-Token: "${env:ODRADEK_TEST_NOT_SET}"}`+"\n", "", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := call("shop.get", "--input", `{"id":7}`, "--key", "mine"); code != exitOK || !strings.Contains(out, `"path": "/7"`) {
		t.Errorf("a result: %d %s", code, out)
	}
	if code, out := call("shop.get", "--input", `{"id":7}`); code != exitProblems || !strings.Contains(out, `"http_status": 418`) {
		t.Errorf("a failure: %d %s", code, out)
	}
	for want, args := range map[string][]string{
		`binds no task "shop.put": it has shop.get`: {"shop.put"},
		"the input is not JSON":                     {"shop.get", "--input", "{"},
		`{id} needs`:                                {"shop.get", "--input", "{}"},
	} {
		if code, out := call(args...); code == exitOK || !strings.Contains(out, want) {
			t.Errorf("%v: %d %s", args, code, out)
		}
	}
}

// TestCallOfABatch: several inputs go into one request, and each outcome is shown.
func TestCallOfABatch(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `[{"n":1},{"bad":"too old"}]`)
	}))
	t.Cleanup(api.Close)
	config := filepath.Join(t.TempDir(), "w.yaml")
	text := fmt.Sprintf("services:\n  shop:\n    base_url: %s\n    tasks:\n      put: {path: \"/{$group}\", batch: {key: \"{to}\", failure: \"{bad?}\"}}\n      get: {path: /}\n", api.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	call := func(args ...string) (int, string) {
		code, out, errs := run(t, append([]string{"call", config}, args...)...)
		return code, out + errs
	}
	one, two := `{"to":"x","n":1}`, `{"to":"x","n":2}`
	if code, out := call("shop.put", "--input", one, "--input", two, "--dry-run"); code != exitOK || !strings.Contains(out, "POST "+api.URL+"/x\n") || !strings.Contains(out, "["+one+","+two+"]") {
		t.Errorf("dry: %d %s", code, out)
	}
	if code, out := call("shop.put", "--input", one, "--input", two); code != exitProblems || !strings.Contains(out, `"n": 1`) || !strings.Contains(out, "too old") {
		t.Errorf("%d %s", code, out)
	}
	if code, out := call("shop.put", "--input", one, "--input", `{"to":"y"}`); code != exitUsage || !strings.Contains(out, `the inputs are of two groups, "x" and "y"`) {
		t.Errorf("two groups: %d %s", code, out)
	}
	if code, out := call("shop.get", "--input", one, "--input", two); code != exitUsage || !strings.Contains(out, "there are 2 inputs: give it batch, or one --input") {
		t.Errorf("no batch: %d %s", code, out)
	}
}

// TestCallOfAPoll: what a task leaves is printed, and asks once when it is given back.
func TestCallOfAPoll(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.Header().Set("Location", "/jobs/7")
			w.WriteHeader(http.StatusAccepted)
			return
		}
		fmt.Fprintf(w, `{"done":%q}`, r.URL.Path)
	}))
	t.Cleanup(api.Close)
	config := filepath.Join(t.TempDir(), "w.yaml")
	text := fmt.Sprintf("services:\n  farm:\n    base_url: %s\n    tasks:\n      render: {path: /jobs, poll: {}}\n", api.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, _ := run(t, "call", config, "farm.render", "--input", "1")
	_, left, found := strings.Cut(strings.TrimSuffix(out, "'\n"), "pending: it is asked for again in 5s, with --details '")
	if code != exitOK || !found {
		t.Fatalf("%d %s", code, out)
	}
	if code, out, _ = run(t, "call", config, "farm.render", "--details", left); code != exitOK || !strings.Contains(out, `"done": "/jobs/7"`) {
		t.Errorf("%d %s", code, out)
	}
	if code, _, errs := run(t, "call", config, "farm.render", "--details", "{"); code != exitUsage || !strings.Contains(errs, "--details is not JSON") {
		t.Errorf("%d %s", code, errs)
	}
}

// TestCallbackURL: the address of the engine's API is the worker's own key, and a binding
// that needs it is refused without.
func TestCallbackURL(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "w.yaml")
	text := "callback_url: https://e.example.com\nkafka: {bootstrap.servers: 'localhost:9092'}\nservices:\n  farm:\n    base_url: http://localhost\n    tasks:\n      render: {path: /, query: {back: '{$callback}'}, body: none}\n"
	for old, c := range map[string]struct {
		new, command string
		code         int
		says         string
	}{
		"nothing":      {"", "check", exitOK, "farm.render"},
		"https://e.":   {"ftp://e.", "check", exitProblems, "callback_url: it is not the address of the engine's API"},
		"callback_url": {"namespace", "check", exitProblems, "Set callback_url"},
		"no change":    {"", "call", exitOK, "GET"},
	} {
		if err := os.WriteFile(config, []byte(strings.Replace(text, old, c.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		args := []string{c.command, config}
		if c.command == "call" {
			args, c.says = append(args, "farm.render", "--dry-run"), "POST http://localhost/?back=https%3A%2F%2Fe.example.com%2Fv1%2Ftasks%2F"
		}
		if code, out, errs := run(t, args...); code != c.code || !strings.Contains(out+errs, c.says) {
			t.Errorf("%s: %d %s", old, code, out+errs)
		}
	}
}
