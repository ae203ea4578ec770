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
		var out, errs bytes.Buffer
		a := &app{stdout: &out, stderr: &errs}
		code := a.run(t.Context(), append([]string{"call", config}, args...))
		return code, out.String() + errs.String()
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
