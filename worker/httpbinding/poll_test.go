package httpbinding

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
)

// said is one answer of a scripted API.
type said struct {
	status int
	header map[string]string
	body   string
}

// script is an API that gives one answer after another, and remembers what it was asked.
type script struct {
	answers []said
	asked   []string
	headers []http.Header
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.asked = append(s.asked, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
	s.headers = append(s.headers, r.Header)
	a := s.answers[0]
	s.answers = s.answers[1:]
	answer(a.status, a.header, a.body)(w, r)
}

// play makes a task's calls as the engine has them made, and gives the pauses between.
func play(ctx context.Context, b bound, call *worker.Call, most int) (result []byte, pauses []time.Duration, err error) {
	for range most {
		if result, err = b.handler.Call(ctx, call); err == nil {
			return result, pauses, nil
		}
		after, details, again := worker.PollOf(err)
		if !again {
			return nil, pauses, err
		}
		call.Details, call.Sending, pauses = details, call.Sending+1, append(pauses, after)
	}
	return nil, pauses, err
}

// TestJobs: an API that answers later is sent one request, and then asked where and when it
// said until what it says is the end.
func TestJobs(t *testing.T) {
	t.Parallel()
	at := func(location string) said { return said{202, map[string]string{"Location": location}, ""} }
	ok := said{200, nil, `{"id":"p"}`}
	for name, c := range map[string]struct {
		task    string
		answers []said
		asked   string
		pauses  []time.Duration
		result  string
	}{
		"at once":          {"poll: {}", []said{ok}, "POST /jobs", nil, `{"id":"p"}`},
		"Location":         {"poll: {}", []said{at("/j/7?x=1#part"), {202, nil, "still"}, at("8"), ok}, "POST /jobs, GET /j/7?x=1, GET /j/7?x=1, GET /j/8", []time.Duration{5e9, 1e10, 2e10}, `{"id":"p"}`},
		"see other":        {"poll: {statuses: {303: pending}}", []said{at("/j/7"), {303, map[string]string{"Location": "/pages/7"}, ""}, ok}, "POST /jobs, GET /j/7, GET /pages/7", []time.Duration{5e9, 1e10}, `{"id":"p"}`},
		"a path":           {"poll: {url: '/j/{id}'}", []said{{202, nil, `{"id":"a b?c"}`}, {202, nil, ""}, ok}, "POST /jobs, GET /v1/j/a%20b%3Fc, GET /v1/j/a%20b%3Fc", []time.Duration{5e9, 1e10}, `{"id":"p"}`},
		"a field":          {"poll: {url: '{links.self}', interval: 1s}", []said{{202, nil, `{"links":{"self":"/j/7"}}`}, ok}, "POST /jobs, GET /j/7", []time.Duration{1e9}, `{"id":"p"}`},
		"an expression":    {`poll: {url: '= "/j/" + string(body.no)', interval: 1h}`, []said{{202, nil, `{"no":7}`}, ok}, "POST /jobs, GET /j/7", []time.Duration{36e11}, `{"id":"p"}`},
		"growing":          {"poll: {interval: 10s, interval_max: 30s}", []said{at("/j"), at("/j"), at("/j"), at("/j"), ok}, "POST /jobs, GET /j, GET /j, GET /j, GET /j", []time.Duration{1e10, 2e10, 3e10, 3e10}, `{"id":"p"}`},
		"Retry-After":      {"poll: {}\nretry_after_max: 1m", []said{{202, map[string]string{"Location": "/j", "Retry-After": "7"}, ""}, {202, map[string]string{"Retry-After": "3600"}, ""}, {202, map[string]string{"Retry-After": "0"}, ""}, ok}, "POST /jobs, GET /j, GET /j, GET /j", []time.Duration{7e9, 6e10, 2e10}, `{"id":"p"}`},
		"done":             {"poll: {url: '/j/{no}', done: '= body.state == \"done\"'}\nresult: '{page}'", []said{{201, nil, `{"no":7,"state":"new"}`}, {200, nil, `{"no":7,"state":"running"}`}, {200, nil, `{"no":7,"state":"done","page":3}`}}, "POST /jobs, GET /v1/j/7, GET /v1/j/7", []time.Duration{5e9, 1e10}, "3"},
		"done, no result":  {"poll: {done: '{done?}'}\nresult: none", []said{{200, map[string]string{"Location": "/j"}, `{}`}, {200, nil, `{"done":true}`}}, "POST /jobs, GET /j", []time.Duration{5e9}, "null"},
		"failure says 202": {"poll: {failure: '= {\"http_status\": body.code}'}", []said{at("/j"), {200, nil, `{"code":202}`}, {200, nil, `{"code":200}`}}, "POST /jobs, GET /j, GET /j", []time.Duration{5e9, 1e10}, `{"code":200}`},
		"not there yet":    {"poll: {statuses: {404: pending}}", []said{at("/j"), {404, nil, ""}, ok}, "POST /jobs, GET /j, GET /j", []time.Duration{5e9, 1e10}, `{"id":"p"}`},
		"202 is the end":   {"poll: {}\nstatuses: {202: completed}\nresult: none", []said{at("/j")}, "POST /jobs", nil, "null"},
		"another with 2xx": {"poll: {}\nstatuses: {201: pending}", []said{{201, map[string]string{"Location": "/j"}, ""}, ok}, "POST /jobs, GET /j", []time.Duration{5e9}, `{"id":"p"}`},
		"of the input":     {`poll: {url: '= "/j/" + string(input.customer.id)'}`, []said{{202, nil, `{}`}, ok}, "POST /jobs, GET /j/7", []time.Duration{5e9}, `{"id":"p"}`},
		"from the path's":  {"poll: {}", []said{at("j/7"), ok}, "POST /jobs, GET /v1/j/7", []time.Duration{5e9}, `{"id":"p"}`},
		"the host in it":   {"poll: {}", []said{at("//{host}/j/7"), ok}, "POST /jobs, GET /j/7", []time.Duration{5e9}, `{"id":"p"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := &script{answers: c.answers}
			srv := httptest.NewServer(api)
			t.Cleanup(srv.Close)
			for i := range api.answers {
				if l := api.answers[i].header["Location"]; l != "" {
					api.answers[i].header["Location"] = strings.Replace(l, "{host}", strings.TrimPrefix(srv.URL, "http://"), 1)
				}
			}
			b := bindURL(t, srv.URL+"/v1", "    headers: {X-Region: eu}\n", "path: /jobs\nbody: none\nheaders: {X-Customer: '{customer.id}'}\n"+c.task)
			call := testCall(testInput)
			result, pauses, err := play(t.Context(), b, call, 9)
			if err != nil || !sameJSON(string(result), c.result) {
				t.Errorf("the result is %s, %v, want %s", result, err, c.result)
			}
			if got, want := strings.Join(api.asked, ", "), strings.Replace(c.asked, "POST /", "POST /v1/", 1); got != want {
				t.Errorf("asked was %s, want %s", got, want)
			}
			if !slices.Equal(pauses, c.pauses) {
				t.Errorf("the pauses are %v, want %v", pauses, c.pauses)
			}
			for i, h := range api.headers {
				if h.Get("Idempotency-Key") != call.Key || h.Get("X-Region") != "eu" || h.Get("X-Customer") != "7" {
					t.Errorf("request %d has %v", i, h)
				}
			}
		})
	}
}

// TestJobsThatFail: what an API says of a job it cannot do, or does not know; whether another
// attempt asks on or begins anew.
func TestJobsThatFail(t *testing.T) {
	t.Parallel()
	begun := said{202, map[string]string{"Location": "/j"}, ""}
	for name, c := range map[string]struct {
		poll   string
		last   said
		want   record.Failure
		says   string
		forget bool
	}{
		"a text":      {"failure: '{error?}'", said{200, nil, `{"error":"no paper"}`}, record.Failure{Kind: "http", Code: "job_failed"}, "payment.charge: what the API began has failed: no paper", false},
		"an object":   {`failure: '= body.state == "bad" ? {"code": "no_paper", "message": "tray 2", "retryable": true, "retry_after_ms": 2000} : nil'`, said{200, nil, `{"state":"bad"}`}, record.Failure{Kind: "http", Code: "no_paper", Retryable: true, RetryAfter: 2 * time.Second}, "tray 2", true},
		"a status":    {`failure: '= {"http_status": body.code}'`, said{200, nil, `{"code":409}`}, record.Failure{Kind: "http", Code: "http_409", HTTPStatus: 409}, "", false},
		"malformed":   {"failure: '= body.n'", said{200, nil, `{"n":7}`}, record.Failure{Kind: "binding", Code: "result_not_mapped", HTTPStatus: 200, Retryable: true}, "poll.failure", false},
		"no JSON":     {"failure: '= body.n'", said{200, nil, `<html>`}, record.Failure{Kind: "binding", Code: "result_not_mapped", HTTPStatus: 200, Retryable: true}, "poll.failure", false},
		"done a text": {"done: '{state}'", said{200, nil, `{"state":"done"}`}, record.Failure{Kind: "binding", Code: "result_not_mapped", HTTPStatus: 200, Retryable: true}, "poll.done: it gives text, not true or false", false},
		"404":         {"", said{404, nil, ""}, record.Failure{Kind: "http", Code: "job_gone", HTTPStatus: 404}, "it does not know the job that it has begun", true},
		"410 retried": {"statuses: {410: retry}", said{410, nil, `{"code":"purged"}`}, record.Failure{Kind: "http", Code: "purged", HTTPStatus: 410, Retryable: true}, "does not know the job", true},
		"503":         {"", said{503, nil, ""}, record.Failure{Kind: "http", Code: "http_503", HTTPStatus: 503, Retryable: true}, "", false},
		"redirect":    {"", said{302, map[string]string{"Location": "/else"}, ""}, record.Failure{Kind: "http", Code: "http_302", HTTPStatus: 302}, "redirects are not followed", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := &script{answers: []said{begun, c.last}}
			b := bind(t, api, "path: /jobs\npoll: {"+c.poll+"}")
			_, _, err := play(t.Context(), b, testCall(testInput), 3)
			f, ok := errors.AsType[*record.Failure](err)
			if !ok || f.Kind != c.want.Kind || f.Code != c.want.Code || f.Retryable != c.want.Retryable || f.HTTPStatus != c.want.HTTPStatus || f.RetryAfter != c.want.RetryAfter || !strings.Contains(f.Message, c.says) {
				t.Errorf("%+v (%v), want %+v with %q", f, err, c.want, c.says)
			}
			if got := worker.Forgets(err); got != c.forget {
				t.Errorf("what is known of the job is forgotten: %v, want %v", got, c.forget)
			}
		})
	}
}

// TestJobsElsewhere: an answer cannot send the worker to another host, scheme or port, nor
// can what was left between two calls; hosts that the file names may be asked.
func TestJobsElsewhere(t *testing.T) {
	t.Parallel()
	reached := make(chan string, 9)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached <- r.URL.Path
		_, _ = io.WriteString(w, "7")
	}))
	t.Cleanup(other.Close)
	otherHost := strings.TrimPrefix(other.URL, "http://")
	for name, c := range map[string]struct{ location, says string }{
		"another port":   {other.URL + "/j", "is not the service's; add it to poll.hosts"},
		"another host":   {"//evil.example.com/j", "evil.example.com"},
		"metadata":       {"http://169.254.169.254/latest/meta-data/", "169.254.169.254"},
		"another scheme": {"file:///etc/passwd", `the scheme "file"`},
		"ftp":            {"ftp://127.0.0.1/j", `the scheme "ftp"`},
		"opaque":         {"http:j", "scheme"},
		"https":          {"https://{host}/j", "is not the service's"},
		"user":           {"http://a:b@{host}/j", "has a user in it"},
		"user as host":   {"http://{host}@" + otherHost + "/j", "has a user in it"},
		"long":           {"/" + strings.Repeat("x", 5000), "more than 4096 bytes"},
		"no URL":         {"http://[::1/j", "missing ']'"},
		"none":           {"", "no header Location"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := &script{}
			srv := httptest.NewServer(api)
			t.Cleanup(srv.Close)
			location := strings.Replace(c.location, "{host}", strings.TrimPrefix(srv.URL, "http://"), 1)
			api.answers = []said{{202, map[string]string{"Location": location}, ""}}
			b := bindURL(t, srv.URL, "", "path: /jobs\npoll: {}")
			refused := func(call *worker.Call, status int) {
				t.Helper()
				_, err := b.handler.Call(t.Context(), call)
				f, ok := errors.AsType[*record.Failure](err)
				if !ok || f.Kind != record.FailureBinding || f.Code != CodePollAddress || !f.Retryable || f.HTTPStatus != status || !strings.Contains(f.Message, c.says) && status > 0 {
					t.Errorf("%+v (%v), want a failure that says %q", f, err, c.says)
				}
			}
			refused(testCall(testInput), 202)
			if location != "" { // what was left is checked again
				left := testCall(testInput)
				left.Details = fmt.Appendf(nil, `{"poll":{"url":%q,"asked":1}}`, location)
				refused(left, 0)
			}
		})
	}
	t.Run("named", func(t *testing.T) {
		t.Parallel()
		b := bind(t, &script{answers: []said{{202, map[string]string{"Location": other.URL + "/named"}, ""}}}, "path: /jobs\npoll: {hosts: ['"+otherHost+"']}")
		if result, _, err := play(t.Context(), b, testCall(testInput), 3); err != nil || string(result) != "7" {
			t.Errorf("%s, %v", result, err)
		}
		if at := <-reached; at != "/named" || len(reached) > 0 {
			t.Errorf("reached was %s", at)
		}
	})
}

// TestPollsOfFiles: what is wrong with a file's poll.
func TestPollsOfFiles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ task, says string }{
		"glued":       {"poll: {url: 'https://a.example.com/{id}'}", "not put together of text and fields"},
		"constant":    {"poll: {url: 'https://a.example.com/'}", "not put together"},
		"query":       {"poll: {url: '/j?id={id}'}", "a path ends before ? and #"},
		"host":        {"poll: {hosts: ['https://a.example.com']}", "is not a host"},
		"wildcard":    {"poll: {hosts: ['*.example.com']}", "is not a host"},
		"one host":    {"poll: {hosts: a.example.com}", "must be a list"},
		"intervals":   {"poll: {interval: 2m, interval_max: 1m}", "shorter than the interval of 2m0s"},
		"batch":       {"poll: {}\nbatch: {}", "a batch is answered at once"},
		"unknown":     {"poll: {uri: '{a}'}", `Did you mean "url"?`},
		"expression":  {"poll: {done: '= bod.state'}", "unknown name bod"},
		"a null":      {"poll: {url: }", "must be text"},
		"no interval": {"poll: {interval: 0s}", "poll.interval"},
	} {
		_, err := Parse("f.yaml", []byte("services:\n  payment:\n    base_url: http://p.example.com\n    tasks:\n      charge:\n        path: /jobs\n"+indent(c.task, 8)), binding.Options{})
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}
