package httpbinding

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
)

// manyCalls are tasks of several workflows; the first has the key k-1.
func manyCalls(inputs ...string) (calls []*worker.Call) {
	for n, in := range inputs {
		c := testCall(in)
		c.WorkflowID = fmt.Sprintf("doc-%d", n+1)
		c.Task = record.TaskID{Run: record.DeriveRunID(c.WorkflowID, record.Origin{}, 1), No: 3}
		c.Key = fmt.Sprintf("k-%d", n+1)
		calls = append(calls, c)
	}
	return calls
}

// batchTask is a task with the lines, bound to an API of the test's own.
func batchTask(t *testing.T, api http.Handler, lines string) *Task {
	t.Helper()
	srv := httptest.NewServer(api)
	t.Cleanup(srv.Close)
	f, err := Parse("f.yaml", []byte("services:\n  search:\n    base_url: "+srv.URL+"\n    tasks:\n      index:\n"+indent(lines, 8)), binding.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return f.Services[0].Tasks[0]
}

// shown is an outcome as text: the result, or the code, whether it is retryable, and the
// message.
func shown(r worker.BatchResult[[]byte]) string {
	if errors.Is(r.Err, worker.ErrPending) {
		return "pending"
	}
	if r.Err == nil {
		return string(r.Value)
	}
	f := worker.Failure(r.Err)
	return fmt.Sprintf("%s retryable=%v after=%s %s", f.Code, f.Retryable, f.RetryAfter, f.Message)
}

// TestBatchAnswers: what an answer means for each task of a batch.
func TestBatchAnswers(t *testing.T) {
	t.Parallel()
	failure := "\nbatch: {answers: '{items}', answer_id: '{id}', item_id: '{id}', failure: "
	for name, c := range map[string]struct {
		lines  string
		status int
		body   string
		want   [3]string
	}{
		"by position":         {"batch: {}", 200, `[1,{"a":9007199254740993},"x"]`, [3]string{"1", `{"a":9007199254740993}`, `"x"`}},
		"null at a place":     {"batch: {}", 200, `[1,null,3]`, [3]string{"1", "item_missing retryable=true after=0s search.index: the API answered 200, but its answer to this task is null", "3"}},
		"one too few":         {"batch: {}", 200, `[1,2]`, [3]string{"result_not_mapped retryable=true", "result_not_mapped retryable=true", "it has 2 answers to 3 tasks, and which is whose cannot be told by their positions"}},
		"no list":             {"batch: {}", 200, `7`, [3]string{"", "", "its answers are a number, not a list or an object by ID; set batch.answers"}},
		"not JSON":            {"batch: {}", 200, `<html>`, [3]string{"result_not_mapped retryable=true", "", "the answer has no fields: it is not JSON"}},
		"answers elsewhere":   {"batch: {answers: '{data.rows}'}\nresult: {n: '{n}', of: '= input.id', with: '{$status}'}", 201, `{"data":{"rows":[{"n":1},{"n":2},{"n":3}]}}`, [3]string{`{"n":1,"of":"a","with":"201"}`, `{"n":2,"of":"b","with":"201"}`, `{"n":3,"of":"c","with":"201"}`}},
		"one does not fit":    {"batch: {}\nresult: '{n}'", 200, `[{"n":1},{"m":2},{"n":3}]`, [3]string{"1", `result_not_mapped retryable=true after=0s search.index: the API answered 200, but result: {n} needs "n", which the answer does not have`, "3"}},
		"by ID":               {"batch: {answers: '{items}', answer_id: '{id}', item_id: '{id}'}\nresult: '{n}'", 200, `{"items":[{"id":"c","n":3},{"id":"zz"},{"n":0},{"id":"a","n":1}]}`, [3]string{"1", `item_missing retryable=true after=0s search.index: the API answered 200, but it has no answer with the ID "b"; element 2: batch.answer_id: {id} needs "id", which the answer does not have`, "3"}},
		"by key, an object":   {"batch: {answers: '= body.byKey'}", 200, `{"byKey":{"k-2":2,"k-1":1}}`, [3]string{"1", "2", `item_missing retryable=true after=0s search.index: the API answered 200, but its answers have none for the ID "k-3"`}},
		"an ID twice":         {"batch: {answer_id: '= body.id', item_id: '{id}'}\nresult: '{n}'", 200, `[{"id":"a","n":1},{"id":"a","n":2},{"id":"b","n":2},{"id":"c","n":3}]`, [3]string{`item_missing retryable=true after=0s search.index: the API answered 200, but it has two answers with the ID "a"`, "2", "3"}},
		"failure as text":     {"result: none" + failure + "'{error?}'}", 200, `{"items":[{"id":"a"},{"id":"b","error":"too old"},{"id":"c","error":null}]}`, [3]string{"null", "item_failed retryable=false after=0s search.index: the API refused this task of the batch: too old", "null"}},
		"failure by status":   {"retry_after_max: 1m\nstatuses: {404: completed}\nresult: '{status}'" + failure + `'= body.status < 300 ? nil : {"http_status": body.status, "code": body?.code, "message": "no", "retry_after_ms": 90000}'}`, 200, `{"items":[{"id":"a","status":404},{"id":"b","status":429},{"id":"c","status":409,"code":"version_conflict"}]}`, [3]string{"404", "http_429 retryable=true after=1m0s search.index: the API refused this task of the batch: no", "version_conflict retryable=false after=0s search.index: the API refused this task of the batch: no"}},
		"failure as it says":  {failure[1:] + `{retryable: "= body.again", http_status: 503}}`, 200, `{"items":[{"id":"a","again":false},{"id":"b","again":true},{"id":"c","again":"?"}]}`, [3]string{"http_503 retryable=false", "http_503 retryable=true", "result_not_mapped retryable=true after=0s search.index: the API answered 200, but batch.failure: {"}},
		"failure is a number": {failure[1:] + `"{n}"}`, 200, `{"items":[{"id":"a","n":1},{"id":"b","n":true},{"id":"c","n":false}]}`, [3]string{"batch.failure: it gives a number; a failure is true, text, or an object", "item_failed retryable=false", `{"id":"c","n":false}`}},
		"an item is pending":  {"statuses: {202: pending}" + failure + `"= body.status == 202 ? {'http_status': 202} : nil"}`, 200, `{"items":[{"id":"a","status":202},{"id":"b","status":200},{"id":"c","status":202}]}`, [3]string{"pending", `{"id":"b","status":200}`, "pending"}},
		"the whole later":     {"batch: {}", 503, ``, [3]string{"http_503 retryable=true", "http_503 retryable=true", "search.index: the API answered 503 Service Unavailable"}},
		"the whole refused":   {"batch: {}", 400, `{"title":"no"}`, [3]string{"http_400 retryable=false", "http_400 retryable=false", "400 Bad Request: no"}},
		"the whole pending":   {"statuses: {202: pending}\nbatch: {}", 202, ``, [3]string{"pending", "pending", "pending"}},
		"the status alone":    {"result: none\nbatch: {}", 204, ``, [3]string{"null", "null", "null"}},
		"too large":           {"answer_bytes_max: 4\nbatch: {}", 200, `[1,2,3]`, [3]string{"answer_too_large retryable=false", "", "more than 4 bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			task := batchTask(t, answer(c.status, nil, c.body), "path: /docs\n"+c.lines)
			for n, r := range task.CallMany(t.Context(), manyCalls(`{"id":"a"}`, `{"id":"b"}`, `{"id":"c"}`)) {
				if got := shown(r); !strings.Contains(got, c.want[n]) || r.Err == nil && got != c.want[n] {
					t.Errorf("task %d: %s\nwant %s", n, got, c.want[n])
				}
			}
		})
	}
}

// TestBatchRequests: one request carries all, the same tasks make the same request with the
// same key, and what is wrong with one task is its own failure.
func TestBatchRequests(t *testing.T) {
	t.Parallel()
	type sent struct{ line, key, body string }
	var mu sync.Mutex
	var got []sent
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		got = append(got, sent{r.Method + " " + r.URL.String() + " " + r.Header.Get("X-Of"), r.Header.Get("Idempotency-Key"), string(body)})
		mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	})
	last := func(n int) sent {
		t.Helper()
		if len(got) != n {
			t.Fatalf("%d requests, want %d: %+v", len(got), n, got)
		}
		return got[n-1]
	}
	plain := batchTask(t, api, "path: /docs\nresult: none\nbatch: {}")
	calls := manyCalls(` {"n":9007199254740993} `, ``, `2`)
	plain.CallMany(t.Context(), calls)
	first := last(1)
	if first.body != `[{"n":9007199254740993},null,2]` || len(first.key) != 32 {
		t.Errorf("the inputs as they are: %+v", first)
	}
	slices.Reverse(calls)
	plain.CallMany(t.Context(), calls)
	if again := last(2); again != first {
		t.Errorf("the same tasks in another order: %+v, first %+v", again, first)
	}
	plain.CallMany(t.Context(), calls[1:])
	if fewer := last(3); fewer.key == first.key {
		t.Errorf("other tasks have the same key: %+v", fewer)
	}

	built := batchTask(t, api, `path: /{$group}/bulk
query: {n: "= len(items)"}
headers: {X-Of: "{items.0.workflow_id} {$key}"}
result: none
body: '= map(items, {{"id": .key, "doc": .input.doc, "try": .attempt, "token": .token, "n": .input.n + 1}})'
batch: {key: "{index}", max: 20}
`)
	results := built.CallMany(t.Context(), manyCalls(`{"index":"a b","doc":1,"n":1}`, `{"index":"a b","doc":2,"n":"bad"}`, `{"index":"a b","doc":3,"n":3}`))
	req := last(4)
	var body []map[string]any
	if err := json.Unmarshal([]byte(req.body), &body); err != nil || len(body) != 2 || body[0]["id"] != "k-1" || body[1]["doc"] != 3.0 || body[1]["try"] != 2.0 || body[1]["token"] == "" {
		t.Errorf("built of expressions: %s, %v", req.body, err)
	}
	if req.line != "POST /a%20b/bulk?n=2 doc-1 "+req.key {
		t.Errorf("line %q", req.line)
	}
	if results[0].Err != nil || results[2].Err != nil || worker.Failure(results[1].Err).Code != binding.CodeRequestNotBuilt {
		t.Errorf("one bad input: %s; %s; %s", shown(results[0]), shown(results[1]), shown(results[2]))
	}

	byID := batchTask(t, api, "path: /docs\nresult: none\nbatch: {item_id: '{id}', answers: '= body', failure: '{e?}'}")
	results = byID.CallMany(t.Context(), manyCalls(`{"id":1}`, `{}`, `{"id":1}`, "\x00"))
	if body := last(5).body; body != `[{"id":1}]` {
		t.Errorf("sent %s", body)
	}
	for n, want := range map[int]string{1: `batch.item_id: {id} needs "id"`, 2: `another task of the request has the ID "1"`, 3: "the input has no fields: it is not JSON"} {
		if got := shown(results[n]); !strings.Contains(got, want) || !strings.HasPrefix(got, "request_not_built retryable=true") {
			t.Errorf("task %d: %s", n, got)
		}
	}
	for n, c := range []*worker.Call{testCall(`{}`), testCall(`{"index":[1]}`), testCall(`{"index":null}`)} {
		if _, err := built.Group(c); err == nil || !strings.Contains(err.Error(), "batch.key: ") {
			t.Errorf("group %d: %v", n, err)
		}
	}
}

// TestBatchesComeTogether: handlers called at the same time share requests by key, as many
// as fit; and those that began with a file end with it, though it was replaced.
func TestBatchesComeTogether(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	sizes := map[string]int{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var docs []map[string]any
		if err := json.NewDecoder(r.Body).Decode(&docs); err != nil {
			t.Error(err)
		}
		mu.Lock()
		sizes[fmt.Sprintf("%s %d", r.URL.Path, len(docs))]++
		mu.Unlock()
		_ = json.NewEncoder(w).Encode(docs)
	}))
	defer srv.Close()
	text := "services:\n  search:\n    base_url: " + srv.URL + "\n    tasks:\n      index: {path: '/v1/{$group}', result: '{n}', batch: {max: 3, wait: 10s, key: '{index}'}}\n"
	parse := func(text string) *File {
		f, err := Parse("f.yaml", []byte(text), binding.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	live := NewLive(parse(text))
	handlers, _ := live.Handlers()
	together := func(do func(context.Context, *worker.Call) ([]byte, error)) {
		var wg sync.WaitGroup
		for n := range 12 {
			wg.Go(func() {
				c := testCall(fmt.Sprintf(`{"index":"%c","n":%d}`, 'a'+n%2, n))
				c.Key = fmt.Sprint("key-", n)
				if out, err := do(t.Context(), c); err != nil || string(out) != fmt.Sprint(n) {
					t.Errorf("task %d got %s, %v", n, out, err)
				}
			})
		}
		wg.Wait()
	}
	together(handlers[0].Call)
	if want := map[string]int{"/v1/a 3": 2, "/v1/b 3": 2}; fmt.Sprint(sizes) != fmt.Sprint(want) {
		t.Errorf("requests %v, want %v", sizes, want)
	}
	old := live.now.Load().tasks["search.index"]
	if err := live.Replace(parse(strings.NewReplacer("/v1/", "/v2/", "max: 3", "max: 2").Replace(text))); err != nil {
		t.Fatal(err)
	}
	together(handlers[0].Call)
	together(old.do)
	if want := map[string]int{"/v1/a 3": 4, "/v1/b 3": 4, "/v2/a 2": 3, "/v2/b 2": 3}; fmt.Sprint(sizes) != fmt.Sprint(want) {
		t.Errorf("requests %v, want %v", sizes, want)
	}
}
