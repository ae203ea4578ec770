package httpbinding

import (
	"io"
	"strings"
	"testing"

	"github.com/odradek/odradek/worker/binding"
)

// TestCallbacks: a request tells the API where to complete the task, in text, values and
// expressions; where that is not known, or of no task, the file is refused.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	parse := func(base, lines string) (*File, error) {
		return Parse("f.yaml", []byte("services:\n  payment:\n    base_url: http://p.example.com\n    tasks:\n      charge:\n"+indent(lines, 8)), binding.Options{CallbackURL: base})
	}
	lines := "path: /\nquery: {back: '{$callback}'}\nheaders: {Link: '<{$callback}>; rel=\"reply\"'}\nbody: {to: '{$callback}', or: '= callback + \"?x=\" + key'}"
	f, err := parse("https://engine.example.com/api/", lines)
	if err != nil {
		t.Fatal(err)
	}
	call := testCall(testInput)
	req, err := f.Services[0].Tasks[0].Request(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	want := "https://engine.example.com/api/v1/tasks/" + call.Token() + "/complete"
	body, err := io.ReadAll(req.Body)
	if err != nil || !sameJSON(string(body), `{"to":"`+want+`","or":"`+want+`?x=`+call.Key+`"}`) {
		t.Errorf("the body is %s, %v", body, err)
	}
	if got := req.URL.Query().Get("back"); got != want {
		t.Errorf("the query has %s", got)
	}
	if got := req.Header.Get("Link"); got != "<"+want+`>; rel="reply"` {
		t.Errorf("the header is %s", got)
	}
	for lines, c := range map[string]struct{ base, says string }{
		"path: /\nbody: {to: '{$callback}'}":               {"", "Set callback_url"},
		"path: /\nbody: {to: '= callback'}":                {"", "unknown name callback"},
		"path: /\nresult: '{$callback}'":                   {"https://e", "does not fit here"},
		"path: /\nresult: '= callback'":                    {"https://e", "unknown name callback"},
		"path: /\nbatch: {}\nheaders: {A: '{$callback}'}":  {"https://e", "of one task's request"},
		"path: /\nbody: {to: '{$callbak}'}":                {"https://e", "does not exist"},
		"path: /\nheaders: {X-Api-Key: 'k {$callback} k'}": {"https://e", "does not fit here"},
	} {
		if _, err := parse(c.base, lines); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v, want %q", lines, err, c.says)
		}
	}
	for address, ok := range map[string]bool{
		"https://engine.example.com": true, "http://10.0.0.1:8080/odradek": true,
		"engine.example.com": false, "ftp://e": false, "https://": false, "https://u:p@e": false, "https://e?x=1": false, "https://e#x": false,
	} {
		if err := binding.CheckCallbackURL(address); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}
