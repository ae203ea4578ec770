package httpbinding

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
)

// bound is one task bound to a server of the test's own.
type bound struct {
	handler worker.Handler
	service worker.Service
}

func bind(t *testing.T, api http.Handler, lines string) bound {
	t.Helper()
	srv := httptest.NewServer(api)
	t.Cleanup(srv.Close)
	return bindURL(t, srv.URL, "", lines)
}

func bindURL(t *testing.T, base, service, lines string) bound {
	t.Helper()
	f, err := Parse("f.yaml", []byte("services:\n  payment:\n    base_url: "+base+"\n"+service+"    tasks:\n      charge:\n"+indent(lines, 8)), binding.Options{})
	if err != nil {
		t.Fatal(err)
	}
	handlers, services := f.Handlers()
	return bound{handlers[0], services["payment"]}
}

// answer is an API that always answers the same.
func answer(status int, header map[string]string, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for k, v := range header {
			w.Header().Set(k, v)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// TestAnswers: what answers mean for the task.
func TestAnswers(t *testing.T) {
	t.Parallel()
	jsonType := map[string]string{"Content-Type": "application/json"}
	problem := `{"type":"https://payment.example.com/problems/funds","title":"Insufficient funds","detail":"balance is 3","code":"insufficient_funds"}`
	big := `"` + strings.Repeat("x", 9000) + `"`
	for name, c := range map[string]struct {
		task   string
		api    http.HandlerFunc
		result string
		want   record.Failure // Kind "" : completed
		says   string
	}{
		"200":             {"path: /", answer(200, jsonType, ` {"id": 7} `), `{"id": 7}`, record.Failure{}, ""},
		"204":             {"path: /", answer(204, nil, ""), "null", record.Failure{}, ""},
		"201 scalar":      {"path: /", answer(201, jsonType, "3"), "3", record.Failure{}, ""},
		"result field":    {"path: /\nresult: '{payment.id}'", answer(200, jsonType, `{"payment":{"id":9007199254740993}}`), "9007199254740993", record.Failure{}, ""},
		"result object":   {"path: /\nresult: {id: '{id}', status: '{$status}', who: '= input.customer.name'}", answer(201, jsonType, `{"id":"p1"}`), `{"id":"p1","status":"201","who":"Ada O'Neil & Söhne"}`, record.Failure{}, ""},
		"result header":   {`path: /` + "\n" + `result: '= headers["location"]'`, answer(201, map[string]string{"Location": "/p/1"}, ""), `"/p/1"`, record.Failure{}, ""},
		"result none":     {"path: /\nresult: none", answer(200, nil, "<html>"), "null", record.Failure{}, ""},
		"result text":     {"path: /\nresult: text", answer(200, nil, "a\nb"), `"a\nb"`, record.Failure{}, ""},
		"200 garbage":     {"path: /", answer(200, map[string]string{"Content-Type": "text/html; charset=utf-8"}, "<html>down</html>"), "", record.Failure{Kind: "binding", Code: "result_not_mapped", Retryable: true, HTTPStatus: 200, Problem: []byte(`"\u003chtml\u003edown\u003c/html\u003e"`)}, "its body (text/html) is no result"},
		"200 other field": {"path: /\nresult: '{paymentId}'", answer(200, jsonType, `{"paymentID":1}`), "", record.Failure{Kind: "binding", Code: "result_not_mapped", Retryable: true, HTTPStatus: 200, Problem: []byte(`"{\"paymentID\":1}"`)}, `{paymentId} needs "paymentId", but the answer has only "paymentID"; rename one`},
		"200 too deep":    {"path: /", answer(200, jsonType, strings.Repeat("[", 70)+strings.Repeat("]", 70)), "", record.Failure{Kind: "binding", Code: "result_not_mapped", Retryable: true, HTTPStatus: 200, Problem: []byte(`"` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `"`)}, "nested deeper than 64"},

		"400":              {"path: /", answer(400, nil, ""), "", record.Failure{Kind: "http", Code: "http_400", HTTPStatus: 400}, "payment.charge: the API answered 400 Bad Request"},
		"409 problem":      {"path: /", answer(409, map[string]string{"Content-Type": "application/problem+json"}, problem), "", record.Failure{Kind: "http", Code: "insufficient_funds", HTTPStatus: 409, Problem: []byte(problem)}, "Insufficient funds: balance is 3"},
		"422 text":         {"path: /", answer(422, nil, "no <b>"), "", record.Failure{Kind: "http", Code: "http_422", HTTPStatus: 422, Problem: []byte(`"no \u003cb\u003e"`)}, ""},
		"400 large":        {"path: /", answer(400, jsonType, big), "", record.Failure{Kind: "http", Code: "http_400", HTTPStatus: 400, Problem: []byte(`"\"` + strings.Repeat("x", 1023) + `"`)}, ""},
		"400 control":      {"path: /", answer(400, jsonType, `{"title":"a\u001b[31mb","code":"Not Snake"}`), "", record.Failure{Kind: "http", Code: "http_400", HTTPStatus: 400, Problem: []byte(`{"title":"a\u001b[31mb","code":"Not Snake"}`)}, ": a[31mb"},
		"302":              {"path: /", answer(302, map[string]string{"Location": "http://169.254.169.254/"}, ""), "", record.Failure{Kind: "http", Code: "http_302", HTTPStatus: 302}, "redirects are not followed"},
		"408":              {"path: /", answer(408, nil, ""), "", record.Failure{Kind: "http", Code: "http_408", HTTPStatus: 408, Retryable: true}, ""},
		"425":              {"path: /", answer(425, nil, ""), "", record.Failure{Kind: "http", Code: "http_425", HTTPStatus: 425, Retryable: true}, ""},
		"429 seconds":      {"path: /", answer(429, map[string]string{"Retry-After": "7"}, ""), "", record.Failure{Kind: "http", Code: "http_429", HTTPStatus: 429, Retryable: true, RetryAfter: 7 * time.Second}, ""},
		"429 capped":       {"path: /\nretry_after_max: 1m", answer(429, map[string]string{"Retry-After": "99999999999999999999"}, ""), "", record.Failure{Kind: "http", Code: "http_429", HTTPStatus: 429, Retryable: true, RetryAfter: time.Minute}, ""},
		"503 nonsense":     {"path: /", answer(503, map[string]string{"Retry-After": "soon"}, ""), "", record.Failure{Kind: "http", Code: "http_503", HTTPStatus: 503, Retryable: true}, ""},
		"500":              {"path: /", answer(500, nil, ""), "", record.Failure{Kind: "http", Code: "http_500", HTTPStatus: 500, Retryable: true}, ""},
		"404 is completed": {"path: /\nresult: none\nstatuses: {404: completed}", answer(404, nil, "gone"), "null", record.Failure{}, ""},
		"409 is retried":   {"path: /\nstatuses: {409: retry}", answer(409, nil, ""), "", record.Failure{Kind: "http", Code: "http_409", HTTPStatus: 409, Retryable: true}, ""},
		"5xx has failed":   {"path: /\nstatuses: {5xx: failed, 503: retry}", answer(500, nil, ""), "", record.Failure{Kind: "http", Code: "http_500", HTTPStatus: 500}, ""},
		"503 of 5xx":       {"path: /\nstatuses: {5xx: failed, 503: retry}", answer(503, nil, ""), "", record.Failure{Kind: "http", Code: "http_503", HTTPStatus: 503, Retryable: true}, ""},

		"too large":     {"path: /\nanswer_bytes_max: 1KB", answer(200, jsonType, big), "", record.Failure{Kind: "binding", Code: "answer_too_large", HTTPStatus: 200}, "more than 1024 bytes"},
		"gzip bomb":     {"path: /\nanswer_bytes_max: 64KB", gzipBomb, "", record.Failure{Kind: "binding", Code: "answer_too_large", HTTPStatus: 200}, "more than 65536 bytes"},
		"reset":         {"path: /", reset, "", record.Failure{Kind: "network", Retryable: true}, "no answer from 127.0.0.1"},
		"reset in body": {"path: /", resetInBody, "", record.Failure{Kind: "network", Retryable: true}, "no answer from 127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, err := bind(t, c.api, c.task).handler.Call(t.Context(), testCall(testInput))
			if c.want.Kind == "" {
				if err != nil || string(result) != c.result && !sameJSON(string(result), c.result) {
					t.Fatalf("got %s, %v, want %s", result, err, c.result)
				}
				return
			}
			var f *record.Failure
			if !errors.As(err, &f) {
				t.Fatalf("got %s, %v, want %+v", result, err, c.want)
			}
			if f.Kind != c.want.Kind || f.Code != c.want.Code && c.want.Code != "" || f.Retryable != c.want.Retryable || f.HTTPStatus != c.want.HTTPStatus || f.RetryAfter != c.want.RetryAfter || string(f.Problem) != string(c.want.Problem) {
				t.Errorf("got  %+v (problem %s)\nwant %+v (problem %s)", *f, f.Problem, c.want, c.want.Problem)
			}
			if !strings.Contains(f.Message, c.says) {
				t.Errorf("message %q does not say %q", f.Message, c.says)
			}
			if strings.ContainsRune(f.Message, 0x1b) {
				t.Errorf("message %q has a control character", f.Message)
			}
		})
	}
}

func gzipBomb(w http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 50<<20))
	_ = z.Close()
	w.Header().Set("Content-Encoding", "gzip")
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b.Bytes())
}

func reset(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func resetInBody(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	_, _ = io.WriteString(w, `{"half":`)
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// TestRetryAfterReadsBothForms: RFC 9110's seconds and date.
func TestRetryAfterReadsBothForms(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		" 120 ":                         2 * time.Minute,
		"-5":                            0,
		"3600":                          10 * time.Minute,
		"Wed, 25 Nov 2026 12:00:30 GMT": 30 * time.Second,
		"Wed, 25 Nov 2026 11:00:00 GMT": 0,
		"Thu, 26 Nov 2026 12:00:00 GMT": 10 * time.Minute,
		"tomorrow":                      0,
	} {
		if got := retryAfter(v, now, 10*time.Minute); got != want {
			t.Errorf("Retry-After %q: %s, want %s", v, got, want)
		}
	}
}

// TestAllAttemptsCarryTheSameKey: also when the connection broke after the effect.
func TestAllAttemptsCarryTheSameKey(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var keys []string
	b := bind(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		n := len(keys)
		mu.Unlock()
		if n == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "{}")
	}), "path: /")
	call := testCall(`{}`)
	for call.Attempt = 1; call.Attempt <= 2; call.Attempt++ {
		_, _ = b.handler.Call(t.Context(), call)
	}
	if len(keys) != 2 || keys[0] != call.Task.String() || keys[1] != keys[0] {
		t.Fatalf("keys %q, want twice %s", keys, call.Task)
	}
}

// TestKeyHeaderOfTheAPIsOwn: an API that calls it otherwise.
func TestKeyHeaderOfTheAPIsOwn(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("X-Request-Id") }))
	t.Cleanup(srv.Close)
	b := bindURL(t, srv.URL, "    idempotency_header: X-Request-Id\n", "path: /")
	call := testCall(`{}`)
	if _, err := b.handler.Call(t.Context(), call); err != nil {
		t.Fatal(err)
	}
	if k := <-got; k != call.Key {
		t.Fatalf("X-Request-Id %q, want %q", k, call.Key)
	}
}

// TestTheAttemptsTimeBoundsTheBody: an endless answer ends with the context, and the
// error is the context's, for the worker to judge.
func TestTheAttemptsTimeBoundsTheBody(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	b := bind(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "[")
		w.(http.Flusher).Flush()
		close(begun)
		<-r.Context().Done()
	}), "path: /")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	_, err := b.handler.Call(ctx, testCall(`{}`))
	var f *record.Failure
	if err == nil || errors.As(err, &f) || !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the context's error", err)
	}
}

// TestADeniedAddressIsNotDialled: the check is at the dial, after the name was
// resolved, so a name with a private address gets nowhere.
func TestADeniedAddressIsNotDialled(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- struct{}{} }))
	t.Cleanup(srv.Close)
	b := bindURL(t, srv.URL, "", "path: /")
	if _, err := b.handler.Call(t.Context(), testCall(`{}`)); err != nil {
		t.Fatalf("loopback by a loopback literal: %v", err)
	}
	<-asked
	f, err := Parse("f.yaml", []byte("services:\n  payment:\n    base_url: "+srv.URL+"\n    tasks: {charge: {path: /}}\n"), binding.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f.Services[0].Dial.Loopback = false // as for a name that resolves to loopback
	handlers, _ := f.Handlers()
	_, err = handlers[0].Call(t.Context(), testCall(`{}`))
	var failure *record.Failure
	if !errors.As(err, &failure) || failure.Code != "address_denied" || !failure.Retryable {
		t.Fatalf("got %v, want address_denied", err)
	}
	select {
	case <-asked:
		t.Fatal("the address was reached")
	default:
	}
}

// TestRedirectsAreAnswers: the other address sees nothing.
func TestRedirectsAreAnswers(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { mu.Lock(); seen++; mu.Unlock() }))
	t.Cleanup(other.Close)
	b := bind(t, http.RedirectHandler(other.URL, http.StatusTemporaryRedirect), "path: /")
	_, err := b.handler.Call(t.Context(), testCall(`{}`))
	var f *record.Failure
	if !errors.As(err, &f) || f.HTTPStatus != 307 || f.Retryable {
		t.Fatalf("got %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if seen != 0 {
		t.Fatal("the redirect was followed")
	}
}

// TestFailuresHoldNoSecrets: the credentials of the file are in no message.
func TestFailuresHoldNoSecrets(t *testing.T) {
	t.Setenv("ODRADEK_TEST_CANARY", "canary-5f2c")
	for name, api := range map[string]http.HandlerFunc{"refused": answer(400, nil, "no"), "reset": reset, "garbage": answer(200, nil, "<")} {
		t.Run(name, func(t *testing.T) {
			b := bind(t, api, "path: /\nheaders: {Authorization: 'Bearer ${env:ODRADEK_TEST_CANARY}', X-Key: '${env:ODRADEK_TEST_CANARY}'}")
			_, err := b.handler.Call(t.Context(), testCall(testInput))
			var f *record.Failure
			if !errors.As(err, &f) {
				t.Fatal(err)
			}
			out, err := json.Marshal(f)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(out, []byte("canary")) {
				t.Fatalf("the failure holds the secret: %s", out)
			}
		})
	}
}
