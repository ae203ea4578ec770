package api_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/odradek/odradek/httpapi/api"
)

var update = flag.Bool("update", false, "write docs/problems.md")

const page = "../../docs/problems.md"

// TestProblemsPageIsTheTable: the page that every problem links to has a heading for
// its code.
func TestProblemsPageIsTheTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# Problems\n\nEvery error of the HTTP API is a problem document (RFC 9457) with one of these codes. They are stable, and the same in the API, the client library, the command line, logs and metrics. `retryable` says that the same request may succeed later. This page is made from the code's own table: `go test ./httpapi/api -update`.\n")
	seen := map[api.Code]bool{}
	for _, p := range api.Problems() {
		retry := "not retryable"
		if p.Retryable {
			retry = "retryable"
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s: status %d (%s), %s. %s\n", p.Code, p.Title, p.Status, http.StatusText(p.Status), retry, p.Fix)
		if seen[p.Code] || http.StatusText(p.Status) == "" {
			t.Errorf("the code %s stands twice, or its status %d is none", p.Code, p.Status)
		}
		seen[p.Code] = true
	}
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Error("docs/problems.md is not what the table says: run go test ./httpapi/api -update")
	}
}
