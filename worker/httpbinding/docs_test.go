package httpbinding

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
)

// block is one fenced block of a page.
type block struct {
	line       int
	info, body string
	env        string // NAME=value of an "env" comment before it
}

// blocksOf reads the fenced blocks of a page.
func blocksOf(t *testing.T, path string) (out []block) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	env := ""
	var open *block
	for i, line := range strings.Split(string(b), "\n") {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open == nil:
			open = &block{line: i + 1, info: info, env: env}
			env = ""
		case fence:
			out = append(out, *open)
			open = nil
		case open != nil:
			open.body += line + "\n"
		default:
			if v, ok := strings.CutPrefix(line, "<!-- env "); ok {
				env = strings.TrimSuffix(v, " -->")
			}
		}
	}
	return out
}

// TestThePageOnBindingsIsTrue plays docs/bindings.md: each file is loaded, each
// input sent to a server that answers as the page says, and requests, results,
// failures and problems are those of the page.
func TestThePageOnBindingsIsTrue(t *testing.T) {
	var task *Task
	var input, want, answer string
	var left []byte // what the last call left for the next
	played := map[string]int{}
	for _, b := range blocksOf(t, "../../docs/bindings.md") {
		played[b.info]++
		switch b.info {
		case "yaml":
			if name, value, ok := strings.Cut(b.env, "="); ok {
				t.Setenv(name, value)
			}
			_, callback, _ := strings.Cut(b.body, "callback_url: ") // svcworker's part of the file
			callback, _, _ = strings.Cut(callback, "\n")
			f, err := Parse("bindings.yaml", []byte(b.body), binding.Options{CallbackURL: callback})
			if err != nil {
				t.Fatalf("line %d: %v", b.line, err)
			}
			task, input, want, answer, left = f.Services[0].Tasks[0], "", "", "", nil
		case "yaml bad":
			_, err := Parse("bindings.yaml", []byte(b.body), binding.Options{})
			if err == nil {
				t.Fatalf("line %d: accepted", b.line)
			}
			answer = err.Error() + "\n"
		case "text problems":
			if answer != b.body {
				t.Errorf("line %d: the file is told\n%s\nthe page says\n%s", b.line, answer, b.body)
			}
		case "json input", "json inputs":
			input, left = b.body, nil
		case "http request":
			want = b.body
		case "http answer":
			answer = b.body
		case "json result", "json failure", "text outcome", "json outcomes":
			left = playCall(t, b, task, input, want, answer, left)
		case "sh": // played by cmd/svcworker
		default:
			t.Errorf("line %d: nobody plays blocks of kind %q", b.line, b.info)
		}
	}
	if played["json result"] < 5 || played["json failure"] < 3 || played["json outcomes"] < 1 || played["text problems"] < 1 {
		t.Fatalf("the page has only %v", played)
	}
}

// playCall makes one call, and gives what it left for the next.
func playCall(t *testing.T, b block, task *Task, input, want, answer string, details []byte) (left []byte) {
	t.Helper()
	var line string
	var header http.Header
	var body []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		line, header = r.Method+" "+r.URL.String(), r.Header
		body, _ = io.ReadAll(r.Body)
		status, h, text := message(answer)
		for k, v := range h {
			w.Header().Set(k, v[0])
		}
		code, err := strconv.Atoi(status)
		if err != nil {
			code = 599
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, text)
	}))
	defer srv.Close()
	at, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	task.service.base.Host, task.service.Dial.Loopback = at.Host, true
	call := testCall(input)
	call.Key, call.Details = "01jdg8x3q0a2b3c4d5e6f7g8h9.3", withHost(details, at.Host)
	var result []byte
	if task.Batches() {
		result = playBatch(t, b, task, input)
	} else {
		result, err = task.do(t.Context(), task.service.client(), task.service.tokenClient(), call)
	}
	if outcome := "pending\n"; errors.Is(err, worker.ErrPending) {
		if after, details, ok := worker.PollOf(err); ok {
			outcome, left = fmt.Sprintf("pending, asked for again in %s\n", after), details
		}
		if b.info != "text outcome" || b.body != outcome {
			t.Errorf("line %d: the outcome is %q, the page says %q", b.line, outcome, b.body)
		}
	} else if b.info == "text outcome" {
		t.Errorf("line %d: the outcome is %s, %v", b.line, result, err)
	}
	if want != "" {
		wantLine, h, wantBody := message(want)
		if line != wantLine || !sameJSON(strings.TrimSpace(string(body)), strings.TrimSpace(wantBody)) {
			t.Errorf("line %d: the request is\n%s\n%s\nthe page says\n%s\n%s", b.line, line, body, wantLine, wantBody)
		}
		for k := range h {
			if header.Get(k) != h.Get(k) {
				t.Errorf("line %d: header %s is %q, the page says %q", b.line, k, header.Get(k), h.Get(k))
			}
		}
	}
	var f *record.Failure
	switch {
	case b.info == "json outcomes" && !sameJSON(string(result), b.body):
		t.Errorf("line %d: the outcomes are %s, the page says %s", b.line, result, b.body)
	case b.info == "json result" && (err != nil || !sameJSON(string(result), b.body)):
		t.Errorf("line %d: the result is %s, %v, the page says %s", b.line, result, err, b.body)
	case b.info == "json failure" && !errors.As(err, &f):
		t.Errorf("line %d: got %s, %v, the page says %s", b.line, result, err, b.body)
	case f != nil:
		got, err := json.Marshal(worker.Failure(f))
		if err != nil || !sameJSON(string(got), b.body) {
			t.Errorf("line %d: the failure is %s, %v, the page says %s", b.line, got, err, b.body)
		}
	}
	return left
}

// withHost has what one call left asked for at the server of the next.
func withHost(details []byte, host string) []byte {
	return regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAll(details, []byte(host))
}

// playBatch makes one request of many tasks and shows what came of each.
func playBatch(t *testing.T, b block, task *Task, inputs string) []byte {
	t.Helper()
	var each []json.RawMessage
	if err := json.Unmarshal([]byte(inputs), &each); err != nil {
		t.Fatalf("line %d: %v", b.line, err)
	}
	var calls []*worker.Call
	for n, in := range each {
		c := testCall(string(in))
		c.Key = "01jdg8x3q0a2b3c4d5e6f7g8h9." + strconv.Itoa(n+1)
		calls = append(calls, c)
	}
	var outcomes []map[string]any
	for _, r := range task.CallMany(t.Context(), calls) {
		if r.Err != nil {
			outcomes = append(outcomes, map[string]any{"failure": worker.Failure(r.Err)})
		} else {
			outcomes = append(outcomes, map[string]any{"result": json.RawMessage(r.Value)})
		}
	}
	out, err := json.Marshal(outcomes)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// message splits the page's form of an HTTP message.
func message(s string) (first string, header http.Header, body string) {
	first, rest, _ := strings.Cut(s, "\n")
	lines, body, _ := strings.Cut(rest, "\n\n")
	if strings.HasPrefix(rest, "\n") {
		lines, body = "", rest[1:]
	}
	h, _ := textproto.NewReader(bufio.NewReader(strings.NewReader(lines + "\n\n"))).ReadMIMEHeader()
	return first, http.Header(h), body
}
