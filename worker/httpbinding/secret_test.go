package httpbinding

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
)

// TestAnEchoedSecretIsNotKept: an API that repeats the credentials that it refuses, or answers
// with them, does not bring them into the history, however it writes them.
func TestAnEchoedSecretIsNotKept(t *testing.T) {
	const secret = `s3cr+t/"q&<x>-canary`
	t.Setenv("ODRADEK_TEST_ECHO", secret)
	escaped := func(s string) string { // each character, as JSON allows
		var b strings.Builder
		for _, c := range s {
			fmt.Fprintf(&b, `\u%04x`, c)
		}
		return b.String()
	}
	basic := base64.StdEncoding.EncodeToString([]byte("me:" + secret))
	leaks := []string{"canary", "s3cr", basic, basic[:12], "tok3n"}
	quoted, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	for name, api := range map[string]http.HandlerFunc{
		"problem document":   answer(401, nil, `{"title":"bad key","detail":`+string(quoted)+`,"n":1}`),
		"escaped":            answer(401, nil, `{"detail":"`+escaped(secret)+`"}`),
		"name of a field":    answer(401, nil, `{"errors":{`+string(quoted)+`:["unknown"]}}`),
		"message":            answer(403, nil, `{"message":"no `+basic+`"}`),
		"text":               answer(400, nil, "Authorization: Basic "+basic+" key "+secret),
		"page":               answer(500, nil, "<p>"+html.EscapeString(secret)+"</p>"),
		"address":            answer(404, nil, "/things?key="+url.QueryEscape(secret)+" and /"+strings.ToLower(url.PathEscape(secret))),
		"cut":                answer(400, nil, strings.Repeat("x", snippetBytes-12)+secret),
		"result not mapped":  answer(200, nil, `{"id":`+string(quoted)+`} garbage`),
		"result of a reset":  answer(503, map[string]string{"Retry-After": "1"}, secret),
		"code of a failure":  answer(400, nil, `{"code":"tok3n_tok3n"}`),
		"redirect":           answer(302, map[string]string{"Location": "/" + url.PathEscape(secret)}, secret),
		"malformed response": malformed("HTTP/1.1 " + secret + "\r\n\r\n"),
	} {
		for what, service := range map[string]string{
			"header": "    headers: {X-Key: '${env:ODRADEK_TEST_ECHO}'}\n    auth: {basic: {user: me, password: '${env:ODRADEK_TEST_ECHO}'}}\n",
			"cookie": "    auth: {basic: {user: me, password: '${env:ODRADEK_TEST_ECHO}'}}\n",
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				t.Setenv("ODRADEK_TEST_CODE", "tok3n_tok3n")
				srv := httptest.NewServer(api)
				t.Cleanup(srv.Close)
				b := bindURL(t, srv.URL, service, "path: /\nheaders: {X-Code: '${env:ODRADEK_TEST_CODE}'}\ncookies: {session: '${env:ODRADEK_TEST_ECHO}'}\nresult: {id: '{id}'}")
				_, err := b.handler.Call(t.Context(), testCall(testInput))
				notLeaked(t, err, leaks)
			})
		}
	}
}

// TestAnEchoedSecretInABatchIsNotKept: nor by the failure of one of its tasks.
func TestAnEchoedSecretInABatchIsNotKept(t *testing.T) {
	t.Setenv("ODRADEK_TEST_ECHO", "s3cret-canary")
	task := batchTask(t, answer(200, nil, `[{"error":"no s3cret-canary"},{"id":{"s3cret-canary":1}},{"error":{"message":"s3cret-canary","code":"x"}}]`),
		"path: /\nheaders: {X-Key: '${env:ODRADEK_TEST_ECHO}'}\nbatch: {max: 3, failure: '{error?}'}\nresult: '{id.no}'")
	for _, r := range task.CallMany(t.Context(), manyCalls(`{}`, `{}`, `{}`)) {
		notLeaked(t, r.Err, []string{"canary", "s3cret"})
	}
}

// TestAnEchoedTokenIsNotKept: nor is an access token, which is not in the file.
func TestAnEchoedTokenIsNotKept(t *testing.T) {
	t.Setenv("ODRADEK_TEST_ECHO", "s3cret-canary")
	tokens := httptest.NewServer(answer(200, map[string]string{"Content-Type": "application/json"}, `{"access_token":"tok3n-abcdef","token_type":"Bearer","expires_in":3600}`))
	t.Cleanup(tokens.Close)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(403)
		fmt.Fprintf(w, `{"detail":"not for %s"}`, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	}))
	t.Cleanup(api.Close)
	b := bindURL(t, api.URL, fmt.Sprintf("    auth: {oauth2: {token_url: '%s', client_id: me, client_secret: '${env:ODRADEK_TEST_ECHO}'}}\n", tokens.URL), "path: /")
	_, err := b.handler.Call(t.Context(), testCall(testInput))
	notLeaked(t, err, []string{"tok3n"})
	tokens.Config.Handler = answer(400, map[string]string{"Content-Type": "application/json"}, `{"error":"s3cret-canary"}`)
	b = bindURL(t, api.URL, fmt.Sprintf("    auth: {oauth2: {token_url: '%s', client_id: me, client_secret: '${env:ODRADEK_TEST_ECHO}'}}\n", tokens.URL), "path: /")
	_, err = b.handler.Call(t.Context(), testCall(testInput))
	notLeaked(t, err, []string{"canary"})
}

// notLeaked: the failure has none of these, and shows where one was.
func notLeaked(t *testing.T, err error, leaks []string) {
	t.Helper()
	var f *record.Failure
	if !errors.As(err, &f) {
		t.Fatalf("no failure: %v", err)
	}
	for _, leak := range leaks {
		var doc any
		if len(f.Problem) > 0 {
			if err := json.Unmarshal(f.Problem, &doc); err != nil {
				t.Fatal(err)
			}
		}
		if text := fmt.Sprint(f.Code, f.Message, doc); strings.Contains(text, leak) {
			t.Errorf("the failure holds %q: %s", leak, text)
		}
	}
}

// malformed answers with bytes that are no HTTP.
func malformed(line string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = buf.WriteString(line)
		_ = buf.Flush()
		_ = conn.Close()
	}
}

// TestRedactor: what is no secret stays as it is, byte by byte.
func TestRedactor(t *testing.T) {
	t.Parallel()
	c := binding.Common{Secrets: []string{"abc", "longer-secret"}}
	r := c.Redactor("")
	for in, want := range map[string]string{
		`{"b": 1.50, "a": [1e400, "abc"]}`:       `{"b": 1.50, "a": [1e400, "abc"]}`,
		`{"b":1.50,"a":"the longer-secret"}`:     `{"a":"the (secret)","b":1.50}`,
		`["longer-s"]`:                           `["(secret)"]`,
		`["longe"]`:                              `["longe"]`,
		`{"longer-secret":{"longer-secret":[]}}`: `{"(secret)":{"(secret)":[]}}`,
	} {
		if got := string(r.JSON([]byte(in))); got != want {
			t.Errorf("%s becomes %s", in, got)
		}
	}
	if err := r.Failure(worker.ErrPending); !errors.Is(err, worker.ErrPending) {
		t.Error(err)
	}
}
