package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/odradek/odradek/httpapi"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/httpapi/httpapitest"
	"github.com/odradek/odradek/record"
)

func newServer(t *testing.T, cfg httpapi.Config) *httpapi.Server {
	t.Helper()
	if cfg.InstanceID == "" {
		cfg.InstanceID = "one"
	}
	s, err := httpapi.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ask sends "METHOD target [body]" with headers "Name: value".
func ask(h http.Handler, request, body string, headers ...string) *http.Response {
	method, target, _ := strings.Cut(request, " ")
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func read[T any](t *testing.T, resp *http.Response, status int) (v T) {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != status {
		t.Fatalf("status %d, want %d: %s", resp.StatusCode, status, body)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("answer %s: %v", body, err)
	}
	return v
}

func wantProblem(t *testing.T, resp *http.Response, code api.Code, names ...string) api.Problem {
	t.Helper()
	want, ok := api.ProblemOf(code)
	if !ok {
		t.Fatalf("no problem has the code %q", code)
	}
	if resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Error("a browser may guess the type of the answer")
	}
	p := read[api.Problem](t, resp, want.Status)
	if got := resp.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q", got)
	}
	if p.Code != string(code) || p.Status != want.Status || p.Retryable != want.Retryable || p.Title != want.Title || p.Type != api.ProblemsPage+string(code) {
		t.Errorf("problem %+v, want the code %s", p, code)
	}
	for _, n := range names {
		if !strings.Contains(p.Detail, n) {
			t.Errorf("the detail %q does not name %q", p.Detail, n)
		}
	}
	return p
}

func TestStartAnswers(t *testing.T) {
	t.Parallel()
	s := newServer(t, httpapi.Config{Engine: httpapitest.NewCluster(4).Instance(0)})
	resp := ask(s, "POST /v1/workflows?type=greeting&id=a%2Fb%20%25", `{"name":"Ada"}`)
	if got := resp.Header.Get("Location"); got != "/v1/workflows/a%2Fb%20%25" {
		t.Errorf("location %q", got)
	}
	started := read[api.Workflow](t, resp, 201)
	if started.WorkflowID != "a/b %" || started.Status != api.StatusRunning || started.Type != "greeting" || started.Pending == nil {
		t.Errorf("started %+v", started)
	}
	again := read[api.Workflow](t, ask(s, "POST /v1/workflows?type=greeting&id=a%2Fb%20%25", `{ "name": "Ada" }`), 200)
	if again.RunID != started.RunID {
		t.Errorf("a repeat gives run %s, not %s", again.RunID, started.RunID)
	}
	if got := read[api.Workflow](t, ask(s, "GET /v1/workflows/a%2Fb%20%25", ""), 200); got.RunID != started.RunID {
		t.Errorf("the path of the ID gives run %s, not %s", got.RunID, started.RunID)
	}
	read[api.Workflow](t, ask(s, "POST /v1/workflows?type=greeting&id=a%2Fb%20%25&wait=0s", `{"name":"Ada"}`), 202)
	done := read[api.Workflow](t, ask(s, "POST /v1/workflows?type=echo&id=e&wait=30s", `{"x":1}`), 200)
	if string(done.Result) != `{"x":1}` || done.Status != api.StatusCompleted || done.ClosedAt.IsZero() {
		t.Errorf("done %+v", done)
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	c := httpapitest.NewCluster(4)
	s := newServer(t, httpapi.Config{Engine: c.Instance(0)})
	read[api.Workflow](t, ask(s, "POST /v1/workflows?type=greeting&id=ada", `{"name":"Ada"}`), 201)
	read[api.Workflow](t, ask(s, "POST /v1/workflows?type=echo&id=closed", `1`), 201)
	read[api.Workflow](t, ask(s, "POST /v1/workflows?type=echo&id=dropped", `1`), 201)
	c.DropHistory("dropped")
	long := strings.Repeat("x", 201)
	for _, tt := range []struct {
		request, body string
		code          api.Code
		names         []string
		headers       []string
	}{
		{request: "POST /v1/workflows?type=greeting&id=ada", body: `{"name":"Bob"}`, code: api.CodeWorkflowIDInUse, names: []string{"ada"}},
		{request: "POST /v1/workflows?id=x", body: `{}`, code: api.CodeRequestInvalid, names: []string{"type"}},
		{request: "POST /v1/workflows?type=&id=x", body: `{}`, code: api.CodeRequestInvalid, names: []string{"type"}},
		{request: "POST /v1/workflows?type=echo", body: `{}`, code: api.CodeRequestInvalid, names: []string{"id", "Idempotency-Key"}},
		{request: "POST /v1/workflows?type=echo&id=" + long, body: `{}`, code: api.CodeWorkflowIDInvalid, names: []string{"201", "200"}},
		{request: "POST /v1/workflows?type=echo&id=a%00b", body: `{}`, code: api.CodeWorkflowIDInvalid, names: []string{"U+0000"}},
		{request: "POST /v1/workflows?type=gretting&id=x", body: `{}`, code: api.CodeWorkflowTypeUnknown, names: []string{"gretting", "echo, greeting"}},
		{request: "POST /v1/workflows?type=greeting&id=x", body: `{"nme":"Ada"}`, code: api.CodePayloadInvalid, names: []string{"nme"}},
		{request: "POST /v1/workflows?type=greeting&id=x", body: `{"name":7}`, code: api.CodePayloadInvalid, names: []string{"name"}},
		{request: "POST /v1/workflows?type=echo&id=x&wait=soon", body: `1`, code: api.CodeRequestInvalid, names: []string{"wait", "soon"}},
		{request: "POST /v1/workflows?type=echo&id=x&wait=-1s", body: `1`, code: api.CodeRequestInvalid, names: []string{"wait"}},
		{request: "POST /v1/workflows?type=echo&id=x", body: `1`, headers: []string{"Idempotency-Key: " + long}, code: api.CodeRequestInvalid, names: []string{"Idempotency-Key", "201"}},
		{request: "POST /v1/workflows?type=echo&id=x", body: `1`, headers: []string{"Idempotency-Key: ü"}, code: api.CodeRequestInvalid, names: []string{"ASCII"}},
		{request: "POST /v1/workflows?type=echo&id=x", body: `1`, headers: []string{"Sec-Fetch-Site: cross-site"}, code: api.CodeForbidden, names: []string{"origin"}},
		{request: "GET /v1/workflows/nobody", code: api.CodeWorkflowNotFound, names: []string{"nobody"}},
		{request: "GET /v1/workflows/nobody/history", code: api.CodeWorkflowNotFound},
		{request: "GET /v1/workflows/nobody/result?wait=30s", code: api.CodeWorkflowNotFound},
		{request: "GET /v1/workflows/dropped/history", code: api.CodeHistoryGone, names: []string{"dropped"}},
		{request: "GET /v1/workflows/ada/history?cursor=nonsense", code: api.CodeRequestInvalid, names: []string{"cursor"}},
		{request: "GET /v1/workflows/ada/history?limit=-1", code: api.CodeRequestInvalid, names: []string{"limit"}},
		{request: "POST /v1/workflows/nobody/signals/finish", body: `{}`, code: api.CodeWorkflowNotFound, names: []string{"nobody"}},
		{request: "POST /v1/workflows/closed/signals/finish", body: `{}`, code: api.CodeWorkflowClosed},
		{request: "POST /v1/workflows/ada/signals/finnish", body: `{}`, code: api.CodePayloadInvalid, names: []string{"finnish", "finish"}},
		{request: "POST /v1/workflows/ada/signals/finish", body: `{"word":7}`, code: api.CodePayloadInvalid, names: []string{"word"}},
		{request: "POST /v1/workflows/ada/signals/a%0ab", body: `{}`, code: api.CodeRequestInvalid, names: []string{"signal"}},
		{request: "POST /v1/workflows/ada/signals/" + long, body: `{}`, code: api.CodeRequestInvalid, names: []string{"signal", "201"}},
		{request: "GET /v1/workflows?status=stuck", code: api.CodeRequestInvalid, names: []string{"status", "running, completed, failed, cancelled, terminated or continued"}},
		{request: "GET /v1/workflows?limit=ten", code: api.CodeRequestInvalid, names: []string{"limit"}},
		{request: "GET /v1/workflows?cursor=!", code: api.CodeRequestInvalid, names: []string{"cursor"}},
		{request: "GET /v1/workflows?partition=4", code: api.CodeRequestInvalid, names: []string{"partition", "0 to 3"}},
		{request: "GET /v2/workflows", code: api.CodeRouteNotFound, names: []string{"/v2/workflows"}},
		{request: "DELETE /v1/workflows/ada", code: api.CodeMethodNotAllowed, names: []string{"GET"}},
	} {
		t.Run(tt.request, func(t *testing.T) {
			t.Parallel()
			wantProblem(t, ask(s, tt.request, tt.body, tt.headers...), tt.code, tt.names...)
		})
	}
}

func TestPayloadTooLargeNamesSizeAndLimit(t *testing.T) {
	t.Parallel()
	s := newServer(t, httpapi.Config{Engine: httpapitest.NewCluster(1).Instance(0), PayloadBytesMax: 100})
	read[api.Workflow](t, ask(s, "POST /v1/workflows?type=echo&id=fits", `"`+strings.Repeat("x", 98)+`"`), 201)
	body := `"` + strings.Repeat("x", 99) + `"`
	for name, r := range map[string]io.Reader{"length told": strings.NewReader(body), "chunked": io.MultiReader(strings.NewReader(body))} {
		req := httptest.NewRequest("POST", "/v1/workflows?type=echo&id=large", r)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, req)
		p := wantProblem(t, w.Result(), api.CodePayloadTooLarge, "101", "100")
		if p.Size != 101 || p.Limit != 100 {
			t.Errorf("%s: size %d, limit %d; want 101 and 100", name, p.Size, p.Limit)
		}
	}
}

func TestIdempotencyKeyIsTheCommandID(t *testing.T) {
	t.Parallel()
	s := newServer(t, httpapi.Config{Engine: httpapitest.NewCluster(4).Instance(0)})
	const key = "Idempotency-Key: order-7"
	first := read[api.Workflow](t, ask(s, "POST /v1/workflows?type=greeting", `{"name":"Ada"}`, key), 201)
	if first.WorkflowID != "order-7" {
		t.Errorf("the key is not the workflow ID, but %q", first.WorkflowID)
	}
	if again := read[api.Workflow](t, ask(s, "POST /v1/workflows?type=greeting", `{"name":"Bob"}`, key), 200); again.RunID != first.RunID {
		t.Errorf("a known command ID gives run %s, not %s", again.RunID, first.RunID)
	}
	const sig = "Idempotency-Key: signal-1"
	if got := read[api.Signalled](t, ask(s, "POST /v1/workflows/order-7/signals/finish", `{"word":"Hi"}`, sig), 200); got.Outcome != api.SignalledOutcomeApplied || got.RunID != first.RunID {
		t.Errorf("the signal is %+v", got)
	}
	if got := read[api.Signalled](t, ask(s, "POST /v1/workflows/order-7/signals/finish", `{"word":"Hi"}`, sig), 200); got.Outcome != api.SignalledOutcomeRepeated {
		t.Errorf("the second signal is %+v", got)
	}
}

func TestResultOfEachStatus(t *testing.T) {
	t.Parallel()
	s := newServer(t, httpapi.Config{Engine: httpapitest.NewCluster(4).Instance(0)})
	for _, id := range []string{"good", "bad", "open"} {
		read[api.Workflow](t, ask(s, "POST /v1/workflows?type=greeting&id="+id, `{"name":"Ada"}`), 201)
	}
	read[api.Signalled](t, ask(s, "POST /v1/workflows/good/signals/finish", `{"word":"Hi"}`), 200)
	read[api.Signalled](t, ask(s, "POST /v1/workflows/bad/signals/finish", `{"fail":"no words"}`), 200)
	if got := read[api.Workflow](t, ask(s, "GET /v1/workflows/good/result", ""), 200); string(got.Result) != `{"text":"Hi Ada"}` || got.Failure != nil {
		t.Errorf("good: %+v", got)
	}
	if got := read[api.Workflow](t, ask(s, "GET /v1/workflows/bad/result?wait=30", ""), 200); got.Status != api.StatusFailed || got.Failure == nil || got.Failure.Message != "no words" || got.Result != nil {
		t.Errorf("bad: %+v", got)
	}
	if got := read[api.Workflow](t, ask(s, "GET /v1/workflows/open/result", ""), 202); got.Status != api.StatusRunning || got.Result != nil {
		t.Errorf("open: %+v", got)
	}
}

func TestRunShowsWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	c := httpapitest.NewCluster(1)
	s := newServer(t, httpapi.Config{Engine: c.Instance(0)})
	started := read[api.Workflow](t, ask(s, "POST /v1/workflows?type=greeting&id=w", `{"name":"Ada"}`), 201)
	c.Edit("w", func(r *httpapi.Run) {
		r.Tasks = []record.TaskRow{{No: 5, Service: "payment", Operation: "charge", ScheduledAt: 1000}, {No: 6, Service: "mail", Operation: "send", ScheduledAt: 1000}}
		r.Attempts = []record.AttemptRow{{Task: 5, Open: 3, NextAt: 9000, Last: []record.Attempt{{No: 2, Failure: record.Failure{Kind: "http", HTTPStatus: 503, Retryable: true, Problem: []byte("<html>")}}}}}
		r.Timers = []record.TimerRow{{No: 7, Due: 60000}}
		r.Signals = []record.SignalRow{{No: 8, Name: "finish"}}
		r.Stuck = &record.StuckRow{Code: "panic", Detail: "boom", Since: 2000, Tries: 2, RetryAt: record.Never}
		r.Inbox = 4
	})
	got := read[api.Workflow](t, ask(s, "GET /v1/workflows/w", ""), 200)
	text, err := json.Marshal(got.Pending)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"inputs":4,"signals":[{"name":"finish","signal":8}],"tasks":[` +
		`{"attempt":3,"last_failure":{"kind":"http","retryable":true,"http_status":503,"problem":"\u003chtml\u003e"},"next_at":"1970-01-01T00:00:09Z","operation":"charge","scheduled_at":"1970-01-01T00:00:01Z","service":"payment","task":"RUN.5"},` +
		`{"attempt":1,"operation":"send","scheduled_at":"1970-01-01T00:00:01Z","service":"mail","task":"RUN.6"}],"timers":[{"due":"1970-01-01T00:01:00Z","timer":7}]}`
	if string(text) != strings.ReplaceAll(want, "RUN", started.RunID) {
		t.Errorf("pending\n%s, want\n%s", text, want)
	}
	if got.Stuck == nil || got.Stuck.Code != "panic" || !got.Stuck.RetryAt.IsZero() || got.Stuck.Tries != 2 {
		t.Errorf("stuck %+v", got.Stuck)
	}
}

func TestHistoryPages(t *testing.T) {
	t.Parallel()
	s := newServer(t, httpapi.Config{Engine: httpapitest.NewCluster(4).Instance(0)})
	read[api.Workflow](t, ask(s, "POST /v1/workflows?type=greeting&id=w", `{"name":"Ada"}`), 201)
	read[api.Signalled](t, ask(s, "POST /v1/workflows/w/signals/finish", `{"word":"Hi"}`), 200)
	for limit := 1; limit <= 5; limit++ {
		n, cursor := 0, ""
		for pages := 1; ; pages++ {
			page := read[api.HistoryPage](t, ask(s, fmt.Sprintf("GET /v1/workflows/w/history?limit=%d&cursor=%s", limit, cursor), ""), 200)
			for _, raw := range page.Events {
				n++
				if !strings.HasPrefix(string(raw), fmt.Sprintf(`{"event":%d,`, n)) {
					t.Errorf("limit %d: history event %d is %s", limit, n, raw)
				}
			}
			if cursor = page.NextCursor; cursor == "" {
				break
			}
			if len(page.Events) != limit || pages > 5 {
				t.Fatalf("limit %d: page %d has %d events", limit, pages, len(page.Events))
			}
		}
		if n != 4 {
			t.Errorf("limit %d: %d history events, want 4", limit, n)
		}
	}
}

// big has history events of half a megabyte.
type big struct{ httpapi.Engine }

func (b big) History(_ context.Context, _ string, _ record.RunID, from uint64, n int) (events []json.RawMessage, err error) {
	for i := range uint64(n) {
		events = append(events, fmt.Appendf(nil, `{"event":%d,"x":%q}`, from+i, strings.Repeat("x", 512<<10)))
	}
	return events, nil
}

func TestHistoryPageEndsAtItsBytes(t *testing.T) {
	t.Parallel()
	c := httpapitest.NewCluster(1)
	s := newServer(t, httpapi.Config{Engine: big{c.Instance(0)}})
	read[api.Workflow](t, ask(s, "POST /v1/workflows?type=echo&id=w", `1`), 201)
	page := read[api.HistoryPage](t, ask(s, "GET /v1/workflows/w/history?limit=1000", ""), 200)
	if n := len(page.Events); n != 16 || page.NextCursor == "" {
		t.Errorf("a page of %d events of 512 KB, next cursor %q; want 16 and one", n, page.NextCursor)
	}
}

func TestPayloadStaysAsItIs(t *testing.T) {
	t.Parallel()
	s := newServer(t, httpapi.Config{Engine: httpapitest.NewCluster(1).Instance(0)})
	const payload = `{"b":"<a&b>","a":1.50,"\u00e9":12345678901234567890}`
	got := read[api.Workflow](t, ask(s, "POST /v1/workflows?type=echo&id=w&wait=1s", payload), 200)
	if string(got.Result) != payload {
		t.Errorf("the result is %s, the input was %s", got.Result, payload)
	}
}

func TestPayloadThatIsNoJSON(t *testing.T) {
	t.Parallel()
	c := httpapitest.NewCluster(1)
	s := newServer(t, httpapi.Config{Engine: c.Instance(0)})
	read[api.Workflow](t, ask(s, "POST /v1/workflows?type=echo&id=w", `1`), 201)
	for in, want := range map[string]string{"\xff\x00": `"/wA="`, "": "null", "\"\xff\"": `"Iv8i"`} {
		c.Edit("w", func(r *httpapi.Run) { r.Result = []byte(in) })
		got := read[api.Workflow](t, ask(s, "GET /v1/workflows/w/result", ""), 200)
		if string(got.Result) != want || (got.ResultEncoding == api.Base64) != (in != "") {
			t.Errorf("result %q is shown as %s with encoding %q, want %s", in, got.Result, got.ResultEncoding, want)
		}
	}
}

func TestTokensAndRoles(t *testing.T) {
	t.Parallel()
	s := newServer(t, httpapi.Config{Engine: httpapitest.NewCluster(1).Instance(0), Tokens: []httpapi.Token{
		{Name: "grafana", SHA256: httpapi.HashToken("see"), Role: httpapi.RoleViewer},
		{Name: "shop", SHA256: httpapi.HashToken("do"), Role: httpapi.RoleOperator},
		{Name: "root", SHA256: httpapi.HashToken("all"), Role: httpapi.RoleAdmin},
	}})
	const start, get = "POST /v1/workflows?type=echo&id=w", "GET /v1/workflows/w"
	for _, tt := range []struct{ request, header, code string }{
		{get, "", "unauthenticated"}, {get, "Authorization: Bearer", "unauthenticated"}, {get, "Authorization: Basic see", "unauthenticated"},
		{get, "Authorization: Bearer nonsense", "unauthenticated"}, {get, "Authorization: Bearer " + httpapi.HashToken("see"), "unauthenticated"},
		{start, "", "unauthenticated"}, {start, "Authorization: Bearer see", "forbidden"},
		{start, "Authorization: Bearer do", ""}, {start, "authorization: bearer all", ""},
		{get, "Authorization: Bearer see", ""}, {get, "Authorization: Bearer do", ""}, {get, "Authorization: Bearer all", ""},
	} {
		headers := []string{tt.header}
		if tt.header == "" {
			headers = nil
		}
		resp := ask(s, tt.request, "1", headers...)
		if tt.code != "" {
			wantProblem(t, resp, api.Code(tt.code))
		} else if resp.StatusCode/100 != 2 {
			t.Errorf("%s with %q: status %d", tt.request, tt.header, resp.StatusCode)
		}
	}
}

func TestBadTokensAreRefused(t *testing.T) {
	t.Parallel()
	_, err := httpapi.New(httpapi.Config{Engine: httpapitest.NewCluster(1).Instance(0), InstanceID: "one", Tokens: []httpapi.Token{
		{Name: "plain", SHA256: "secret", Role: httpapi.RoleViewer}, {SHA256: httpapi.HashToken("x"), Role: httpapi.RoleViewer}, {Name: "idle", SHA256: httpapi.HashToken("x")},
	}})
	for _, want := range []string{`token "plain": sha256 is not 64 hex digits`, "token 2 has no name", `token "idle" has no role`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New says %v, want %q in it", err, want)
		}
	}
}

func TestCheckBind(t *testing.T) {
	t.Parallel()
	tokens := []httpapi.Token{{Name: "x"}}
	for _, tt := range []struct {
		addr     string
		tokens   []httpapi.Token
		insecure bool
		ok       bool
	}{
		{"127.0.0.1:8080", nil, false, true}, {"[::1]:8080", nil, false, true}, {"localhost:8080", nil, false, true},
		{":8080", nil, false, false}, {"0.0.0.0:8080", nil, false, false}, {"10.0.0.1:8080", nil, false, false}, {"8080", nil, false, false},
		{":8080", tokens, false, true}, {":8080", nil, true, true},
	} {
		if err := httpapi.CheckBind(tt.addr, tt.tokens, tt.insecure); (err == nil) != tt.ok {
			t.Errorf("CheckBind(%q, %d tokens, insecure %v) = %v", tt.addr, len(tt.tokens), tt.insecure, err)
		}
	}
}

// TestAnAPIOfThisMachineIsNamedSo: without tokens a page in a browser, whose name was made to
// stand for 127.0.0.1, is nobody: to the browser it is of the API's own origin (DNS rebinding).
func TestAnAPIOfThisMachineIsNamedSo(t *testing.T) {
	t.Parallel()
	engine := httpapitest.NewCluster(1).Instance(0)
	token := httpapi.Token{Name: "x", Role: httpapi.RoleViewer, SHA256: httpapi.HashToken("t")}
	local := newServer(t, httpapi.Config{Engine: engine, Local: true})
	for host, ok := range map[string]bool{
		"localhost": true, "localhost:8080": true, "LocalHost:1": true, "127.0.0.1:8080": true, "127.9.9.9": true, "[::1]:8080": true, "[::1]": true,
		"evil.example": false, "evil.example:8080": false, "127.0.0.1.evil.example:8080": false, "localhost.evil.example": false,
		"evil.example:127.0.0.1": false, "10.0.0.7:8080": false, "0.0.0.0:8080": false, "[::]:8080": false, "": false,
	} {
		for name, s := range map[string]struct {
			server *httpapi.Server
			ok     bool
		}{
			"local":    {local, ok},
			"insecure": {newServer(t, httpapi.Config{Engine: engine}), true},
			"tokens":   {newServer(t, httpapi.Config{Engine: engine, Local: true, Tokens: []httpapi.Token{token}}), true},
		} {
			r := httptest.NewRequest("GET", "/v1/types", nil)
			r.Host = host
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			r.Header.Set("Authorization", "Bearer t")
			w := httptest.NewRecorder()
			s.server.ServeHTTP(w, r)
			if s.ok {
				if w.Code != 200 {
					t.Errorf("%s, %q: %d %s", name, host, w.Code, w.Body)
				}
			} else {
				wantProblem(t, w.Result(), api.CodeForbidden, host, "api.tokens")
			}
		}
	}
}

// TestLogHasNoSecrets plants canaries in everything that comes from outside.
func TestLogHasNoSecrets(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var seen []httpapi.RequestInfo
	s := newServer(t, httpapi.Config{
		Engine: httpapitest.NewCluster(1).Instance(0), Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Tokens:  []httpapi.Token{{Name: "shop", SHA256: httpapi.HashToken("CANARY-token"), Role: httpapi.RoleOperator}},
		Observe: func(i httpapi.RequestInfo) { seen = append(seen, i) },
	})
	const token = "Authorization: Bearer CANARY-token"
	ask(s, "POST /v1/workflows?type=greeting&id=w", `{"name":"CANARY-input"}`, token)
	ask(s, "POST /v1/workflows?type=greeting&id=w2", `{"CANARY-field":1}`, token)
	ask(s, "POST /v1/workflows/w/signals/finish", `{"word":"CANARY-word"}`, token)
	ask(s, "GET /v1/workflows/w/result", "", token)
	ask(s, "GET /v1/workflows/w/history", "", "Authorization: Bearer CANARY-wrong")
	text := log.String()
	if strings.Contains(text, "CANARY") {
		t.Errorf("the log has a secret:\n%s", text)
	}
	for _, want := range []string{"principal=shop", "workflow_id=w", `operation="POST /v1/workflows/{id}/signals/{name}"`, "code=unauthenticated"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %s:\n%s", want, text)
		}
	}
	if len(seen) != 5 || seen[1].Code != api.CodePayloadInvalid || seen[1].Status != 422 || seen[2].Operation != "POST /v1/workflows/{id}/signals/{name}" {
		t.Errorf("observed %+v", seen)
	}
}

type spec struct {
	Paths map[string]map[string]struct {
		Role string `yaml:"x-odradek-role"`
	}
}

// TestEveryOperationHasItsRole: openapi.yaml names the role of each operation, and
// the server keeps to it.
func TestEveryOperationHasItsRole(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc spec
	if err := yaml.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for p, methods := range doc.Paths {
		for m, op := range methods {
			if op.Role == "" {
				t.Errorf("%s %s names no role", m, p)
			}
			want[strings.ToUpper(m)+" "+path.Clean(p)] = op.Role
		}
	}
	got := httpapi.Roles()
	for op, role := range want {
		if got[op].String() != role {
			t.Errorf("%s needs %v, openapi.yaml says %s", op, got[op], role)
		}
	}
	if len(got) != len(want) || len(want) == 0 {
		t.Errorf("%d operations have roles, openapi.yaml has %d", len(got), len(want))
	}
}
