package httpbinding

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
)

const (
	pollIntervalDefault = 5 * time.Second
	pollMaxDefault      = time.Minute
	pollIntervalMax     = 24 * time.Hour
	// pollURLBytesMax bounds the address of a job: it stands in a row of the engine's.
	pollURLBytesMax = 4 << 10
)

// Codes of failures of tasks whose API is asked until it is done.
const (
	// CodePollAddress (kind binding): the answer names no address to ask at, or one that is
	// not the service's. Retryable, with the same key.
	CodePollAddress = "poll_address_invalid"
	// CodeJobGone (kind http): the API does not know any more what it has begun. Classed as
	// its status is; another attempt begins anew.
	CodeJobGone = "job_gone"
	// CodeJobFailed (kind http): poll.failure says so, without a code of its own.
	CodeJobFailed = "job_failed"
)

// polling says how an API that answers later is asked until it is done.
type polling struct {
	url            binding.Value   // of an answer: where to ask next; nil: as path says
	path           []binding.Value // or a path below base_url; nil too: the header Location
	done           binding.Value   // of a success: whether it is the end; nil: it is
	failure        binding.Value   // of a success: what the job has failed of; nil: nothing
	interval, most time.Duration   // before the first question, and at most before any
	hosts          []string        // beside that of base_url, in lower case, some with their port
	statuses       statuses        // of the answers to questions
}

// job is what one call leaves for the next.
type job struct {
	URL   string `json:"url"`
	Asked int    `json:"asked"`
}

// jobDetails is job in a task's details, where a heartbeat's may stand as well.
type jobDetails struct {
	Poll *job `json:"poll"`
}

// poll reads how the API is asked. t has its statuses already.
func (d *decoder) poll(n *yaml.Node, key string, t *Task) {
	p := &polling{interval: pollIntervalDefault, most: pollMaxDefault}
	most := false
	over := binding.Place{Attrs: answerAttrs, Vars: answerVars(), References: true, Optional: true}
	t.statuses = statuses{http.StatusAccepted: binding.Pending}.with(t.statuses)
	p.statuses = t.statuses
	d.Fields(n, key, map[string]func(string, *yaml.Node){
		"url":      func(key string, v *yaml.Node) { d.pollURL(v, key, p, over) },
		"done":     func(key string, v *yaml.Node) { p.done = d.Tree(v, key, over) },
		"failure":  func(key string, v *yaml.Node) { p.failure = d.Tree(v, key, over) },
		"interval": func(key string, v *yaml.Node) { p.interval = d.Duration(v, key, pollIntervalMax) },
		"interval_max": func(key string, v *yaml.Node) {
			p.most, most = d.Duration(v, key, pollIntervalMax), true
		},
		"hosts":    func(key string, v *yaml.Node) { p.hosts = d.pollHosts(v, key) },
		"statuses": func(key string, v *yaml.Node) { p.statuses = t.statuses.with(d.statuses(v, key)) },
	})
	switch {
	case !most:
		p.most = max(p.most, p.interval)
	case p.most < p.interval:
		d.Problem(n, binding.Join(key, "interval_max"), fmt.Sprintf("it is shorter than the interval of %s", p.interval), "Raise it, or shorten interval")
	}
	t.poll = p
}

// pollURL reads where to ask: a path as a request's, or one value that is the address.
func (d *decoder) pollURL(n *yaml.Node, key string, p *polling, over binding.Place) {
	src, ok := d.Str(n, key)
	switch {
	case !ok:
		return
	case strings.HasPrefix(src, "/"):
		p.path = d.path(n, key, over)
		return
	}
	switch v := d.Template(n, key, src, over).(type) {
	case nil:
	case binding.Ref, *binding.Expression:
		p.url = v
	default:
		d.Problem(n, key, "an address is not put together of text and fields", "Write a path below base_url, such as /jobs/{id}, or a {field} or = expression that gives the whole address")
	}
}

func (d *decoder) pollHosts(n *yaml.Node, key string) (hosts []string) {
	if n.Kind != yaml.SequenceNode {
		d.Problem(n, key, "this must be a list", "Write it like [status.example.com]")
		return nil
	}
	for _, x := range n.Content {
		host, ok := d.Str(binding.Resolve(x), key)
		u, err := url.Parse("https://" + host)
		if !ok || err != nil || u.Hostname() == "" || u.Host != host || strings.ContainsAny(host, "*{}$") {
			d.Problem(x, key, fmt.Sprintf("%q is not a host", host), "Write a name as it is, such as status.example.com or status.example.com:8443")
			continue
		}
		hosts = append(hosts, strings.ToLower(host))
	}
	return hosts
}

// left is what the call before has left; nil: this one begins.
func (t *Task) left(call *worker.Call) *job {
	var d jobDetails
	if t.poll == nil || json.Unmarshal(call.Details, &d) != nil || d.Poll == nil || d.Poll.URL == "" {
		return nil
	}
	return d.Poll
}

// question builds the request that asks for a job.
func (t *Task) question(ctx context.Context, call *worker.Call, j *job) (*http.Request, error) {
	u, err := url.Parse(j.URL)
	if err == nil {
		err = t.mayAsk(u)
	}
	if err != nil {
		return nil, t.badAddress(0, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("poll.url: %w", err)
	}
	if err := t.addHeaders(req, binding.RequestScope(call), sending{key: call.Key, trace: call.Trace}); err != nil {
		return nil, err
	}
	return req, nil
}

// outcomeOfJob says what an answer means: to the request that begins, or to a question.
func (t *Task) outcomeOfJob(resp *http.Response, call *worker.Call, now time.Time) ([]byte, error) {
	j, of := t.left(call), t.statuses
	if j != nil {
		of = t.poll.statuses
	}
	switch class := of.of(resp.StatusCode); class {
	case binding.Completed:
		return t.over(resp, call, j, now)
	case binding.Pending:
		body, err := t.readBody(resp)
		if err != nil {
			return nil, err
		}
		return nil, t.askAgain(resp, body, call, j, now)
	default:
		f := t.refused(resp, class, now)
		if j != nil {
			return nil, t.gone(f)
		}
		return nil, f
	}
}

// over says what a success means: the job's failure, another question, or the result.
func (t *Task) over(resp *http.Response, call *worker.Call, j *job, now time.Time) ([]byte, error) {
	if t.poll.done == nil && t.poll.failure == nil {
		return t.completed(resp, call)
	}
	body, err := t.readBody(resp)
	if err != nil {
		return nil, err
	}
	s := answerScope(resp, bytes.TrimSpace(body), call)
	failed, err := t.jobFailed(s)
	if err != nil {
		return nil, t.notMapped(resp, body, fmt.Errorf("poll.failure: %w", err))
	}
	done := true
	switch {
	case errors.Is(failed, worker.ErrPending):
		done = false
	case failed != nil:
		return nil, failed
	case t.poll.done != nil:
		if done, err = isTrue(t.poll.done, s); err != nil {
			return nil, t.notMapped(resp, body, fmt.Errorf("poll.done: %w", err))
		}
	}
	if !done {
		return nil, t.askAgain(resp, body, call, j, now)
	}
	return t.mapped(resp, body, call)
}

// isTrue evaluates a condition; nothing is false.
func isTrue(v binding.Value, s *binding.Scope) (bool, error) {
	x, present, err := v.Eval(s)
	if err != nil || !present || x == nil {
		return false, err
	}
	is, ok := x.(bool)
	if !ok {
		return false, fmt.Errorf("it gives %s, not true or false", binding.KindOf(x))
	}
	return is, nil
}

// jobFailed asks poll.failure. A job that may be tried again is begun anew.
func (t *Task) jobFailed(s *binding.Scope) (failed, malformed error) {
	if t.poll.failure == nil {
		return nil, nil
	}
	v, present, err := t.poll.failure.Eval(s)
	if err != nil || !present || v == nil || v == false {
		return nil, err
	}
	answer, err := s.Value()
	if err != nil {
		return nil, err
	}
	failed, malformed = t.saidFailure(v, answer, record.Failure{Code: CodeJobFailed, Message: t.key + ": what the API began has failed"})
	if f, ok := errors.AsType[*record.Failure](failed); ok && f.Retryable {
		failed = worker.Forget(f)
	}
	return failed, malformed
}

// askAgain has the API asked once more, where its answer says or where it was asked before.
// Retry-After says when; else the pause doubles with each question.
func (t *Task) askAgain(resp *http.Response, body []byte, call *worker.Call, j *job, now time.Time) error {
	next := job{}
	if j != nil {
		next = *j
		next.Asked++
	}
	at, err := t.nextAddress(resp, body, call)
	if err != nil && j == nil {
		return t.badAddress(resp.StatusCode, err)
	}
	if err == nil {
		u, err := resp.Request.URL.Parse(at)
		if err == nil {
			err = t.mayAsk(u)
		}
		if err != nil {
			return t.badAddress(resp.StatusCode, err)
		}
		next.URL = u.String()
	}
	pause := t.poll.interval
	for n := next.Asked; n > 0 && pause < t.poll.most; n-- {
		pause = min(2*pause, t.poll.most)
	}
	if asked := retryAfter(resp.Header.Get("Retry-After"), now, t.retryMax); asked > 0 {
		pause = asked
	}
	return worker.PollAfter(pause, jobDetails{&next})
}

// nextAddress is where an answer says that the job is asked for, as it says it.
func (t *Task) nextAddress(resp *http.Response, body []byte, call *worker.Call) (string, error) {
	s := answerScope(resp, bytes.TrimSpace(body), call)
	switch {
	case t.poll.path != nil:
		return t.fillPath(t.poll.path, s)
	case t.poll.url != nil:
		return scalarOf(t.poll.url, s)
	}
	if at := resp.Header.Get("Location"); at != "" {
		return at, nil
	}
	return "", errors.New("it has no header Location, and poll.url does not say where to ask")
}

// mayAsk refuses an address that is not the service's: whoever writes an answer must not
// choose whom this worker calls, and with whose credentials.
func (t *Task) mayAsk(u *url.URL) error {
	base := t.service.base
	switch {
	case u.Scheme != "https" && u.Scheme != base.Scheme || u.Opaque != "" || u.Hostname() == "":
		return fmt.Errorf("the address to ask at has the scheme %q, and that of the service is %s", binding.Printable(u.Scheme), base.Scheme)
	case u.User != nil:
		return errors.New("the address to ask at has a user in it")
	case len(u.String()) > pollURLBytesMax:
		return fmt.Errorf("the address to ask at has more than %d bytes", pollURLBytesMax)
	case u.Scheme == base.Scheme && authority(u) == authority(base):
		return nil
	}
	if host, usual := strings.CutSuffix(authority(u), ":"+ports[u.Scheme]); slices.Contains(t.poll.hosts, authority(u)) || usual && slices.Contains(t.poll.hosts, host) {
		return nil
	}
	return fmt.Errorf("the address to ask at is on %s, which is not the service's; add it to poll.hosts if it is", binding.Printable(u.Host))
}

var ports = map[string]string{"http": "80", "https": "443"}

// authority is host and port, whichever way they are written.
func authority(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = ports[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// badAddress is the failure of a job that cannot be asked for. The work waits for the binding
// to be put right.
func (t *Task) badAddress(status int, err error) error {
	f := &record.Failure{Kind: record.FailureBinding, Code: CodePollAddress, Retryable: true, HTTPStatus: status, Message: fmt.Sprintf("%s: %v", t.key, err)}
	if status > 0 {
		f.Message = fmt.Sprintf("%s: the API answered %d, but %v", t.key, status, err)
	}
	return f
}

// gone makes another attempt begin anew after the API said that it does not know the job.
func (t *Task) gone(f *record.Failure) error {
	if f.HTTPStatus != http.StatusNotFound && f.HTTPStatus != http.StatusGone {
		return f
	}
	if f.Code == fmt.Sprintf("http_%d", f.HTTPStatus) {
		f.Code = CodeJobGone
	}
	f.Message += "; it does not know the job that it has begun"
	return worker.Forget(f)
}
