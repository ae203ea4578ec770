package main

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/odradek/odradek/httpapi"
	"github.com/odradek/odradek/httpapi/httpapitest"
)

// TestPagesAreOneDocument: what is read in many pages comes out as if it were one.
func TestPagesAreOneDocument(t *testing.T) {
	t.Parallel()
	s, err := httpapi.New(httpapi.Config{Engine: httpapitest.NewCluster(4).Instance(0), InstanceID: "one"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	run := func(page int, args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		a := &app{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }, page: page}
		if code := a.run(t.Context(), append(args, "--server", srv.URL)); code != exitOK {
			t.Fatalf("%q: exit code %d: %s", args, code, stderr.String())
		}
		return stdout.String()
	}
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		run(pageSize, "wf", "start", "greeting", id, "-i", `{"name":"Ada"}`)
	}
	run(pageSize, "wf", "signal", "a", "finish", "-i", `{"word":"Hi"}`)
	for _, args := range [][]string{
		{"wf", "list"}, {"wf", "list", "-o", "json"}, {"wf", "list", "-o", "jsonl"}, {"wf", "list", "--limit", "3"}, {"wf", "list", "--limit", "0", "-o", "json"},
		{"wf", "history", "a"}, {"wf", "history", "a", "-o", "json"}, {"wf", "history", "a", "-o", "jsonl"}, {"wf", "history", "a", "--limit", "3"},
	} {
		want := run(pageSize, args...)
		for page := 1; page <= 5; page++ {
			if got := run(page, args...); got != want {
				t.Errorf("%q with pages of %d:\n%s, want\n%s", args, page, got, want)
			}
		}
	}
	var doc struct{ Events []json.RawMessage }
	if err := json.Unmarshal([]byte(run(1, "wf", "history", "a", "-o", "json")), &doc); err != nil || len(doc.Events) != 4 {
		t.Errorf("%d history events, want 4: %v", len(doc.Events), err)
	}
}
