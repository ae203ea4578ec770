package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/record"
)

// What the API answers.
type (
	Workflow      = api.Workflow
	WorkflowPage  = api.WorkflowPage
	HistoryPage   = api.HistoryPage
	Signalled     = api.Signalled
	Ended         = api.Ended
	TypePage      = api.TypePage
	TypeDone      = api.TypeDone
	ResetPreview  = api.ResetPreview
	StoreCopy     = api.StoreCopy
	DeadLetter    = api.DeadLetter
	KafkaRecord   = api.KafkaRecord
	Answer        = api.Answer
	Stack         = api.Stack
	WorkflowCount = api.WorkflowCount
	Update        = api.Update
)

// HTTPConfig is how to reach the API.
type HTTPConfig struct {
	// URL of any instance, or of a load balancer before all: http://host:port.
	URL string
	// Token is sent as bearer token. Empty: none.
	Token string
	// Client sends the requests. Default: one of its own. It must not have a timeout
	// below a minute, or waiting for results ends early.
	Client *http.Client
	// Patience is how long a request is repeated that was not answered, or whose
	// problem is retryable. Default 30s; negative: never repeated.
	Patience time.Duration
}

// answerBytesMax bounds what is read of an answer; the API's pages are smaller.
const answerBytesMax = 16 << 20

// pollWait is how long one request waits for a result; below what load balancers
// allow.
const pollWait = 30 * time.Second

// HTTP asks the engine's API. It is a Client, and reads more.
type HTTP struct {
	cfg  HTTPConfig
	base *url.URL
}

var _ Client = (*HTTP)(nil)

// NewHTTP makes a client. It connects when it is used.
func NewHTTP(cfg HTTPConfig) (*HTTP, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, &Error{Code: api.CodeRequestInvalid, Detail: fmt.Sprintf("%q is no address of the API: give http://host:port or https://host:port", cfg.URL)}
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	}
	if cfg.Patience == 0 {
		cfg.Patience = 30 * time.Second
	}
	return &HTTP{cfg: cfg, base: u}, nil
}

// Close closes connections that are idle.
func (c *HTTP) Close() { c.cfg.Client.CloseIdleConnections() }

// Start returns when the start has been applied.
func (c *HTTP) Start(ctx context.Context, s StartRequest) (Run, error) {
	_, _, err := c.StartWorkflow(ctx, s, -1)
	if err != nil {
		return nil, err
	}
	return &httpRun{c, s.WorkflowID}, nil
}

// StartWorkflow starts like Start and shows the run. With wait >= 0 it waits so
// long for the run to close, at most a minute, and shows the result. started is
// false if the run was there already, and unknown with wait.
func (c *HTTP) StartWorkflow(ctx context.Context, s StartRequest, wait time.Duration) (w Workflow, started bool, err error) {
	id, err := command(s.WorkflowID, s.CommandID, s.Input)
	if err != nil {
		return w, false, err
	}
	q, body := url.Values{"type": {s.Type}, "id": {s.WorkflowID}}, s.Input
	if s.Reuse != record.ReuseNever {
		q.Set("reuse", s.Reuse.String())
	}
	if s.Signal != "" || s.Update != "" {
		set(q, "signal", s.Signal)
		set(q, "update", s.Update)
		if body, err = json.Marshal(map[string]json.RawMessage{"input": asJSON(s.Input), "payload": asJSON(s.Payload)}); err != nil {
			return w, false, &Error{Code: api.CodeRequestInvalid, Detail: "input and payload are JSON in a start that gives the run something: " + err.Error(), cause: err}
		}
	}
	if wait >= 0 {
		q.Set("wait", millis(wait))
	}
	status, err := c.do(ctx, request{method: http.MethodPost, path: "/v1/workflows", query: q, body: body, commandID: id}, &w)
	return w, status == http.StatusCreated, err
}

// Signal returns when the signal is in the run's buffer.
func (c *HTTP) Signal(ctx context.Context, s SignalRequest) error {
	_, err := c.SignalWorkflow(ctx, s)
	return err
}

// SignalWorkflow signals like Signal and shows what came of it.
func (c *HTTP) SignalWorkflow(ctx context.Context, s SignalRequest) (out Signalled, err error) {
	id, err := command(s.WorkflowID, s.CommandID, s.Payload)
	if err != nil {
		return out, err
	}
	path := workflowPath(s.WorkflowID) + "/signals/" + segment(s.Name)
	_, err = c.do(ctx, request{method: http.MethodPost, path: path, body: s.Payload, commandID: id}, &out)
	return out, err
}

// asJSON is a payload as the API takes it.
func asJSON(b []byte) json.RawMessage {
	text, ok := codec.PayloadJSON(b)
	if !ok { // told by whoever marshals it
		return b
	}
	return text
}

// Query asks the workflow's current run; a closed one while its history is kept. The
// answer is of the run as it is after every command that was answered before. With Stale
// it comes at once, and AgeMs says how old it may be.
func (c *HTTP) Query(ctx context.Context, r QueryRequest) (out Answer, err error) {
	q := url.Values{}
	if r.Stale {
		q.Set("stale", "ok")
	}
	path := workflowPath(r.WorkflowID) + "/queries/" + segment(r.Name)
	_, err = c.do(ctx, request{method: http.MethodPost, path: path, query: q, body: r.Input}, &out)
	return out, err
}

// Update lets the workflow's current run do something, and waits for its answer at most
// that long: as long as a minute in one request, and then again. An update that failed is
// an Update with a Failure and no error.
func (c *HTTP) Update(ctx context.Context, r UpdateRequest, wait time.Duration) (out Update, err error) {
	id, err := command(r.WorkflowID, r.CommandID, r.Payload)
	if err != nil {
		return out, err
	}
	deadline := time.Now().Add(wait)
	q := url.Values{"wait": {millis(min(wait, pollWait))}}
	path := workflowPath(r.WorkflowID) + "/updates/" + segment(r.Name)
	_, err = c.do(ctx, request{method: http.MethodPost, path: path, query: q, body: r.Payload, commandID: id}, &out)
	for err == nil && out.Open {
		left := time.Until(deadline)
		if left <= 0 {
			break
		}
		out, err = c.GetUpdate(ctx, r.WorkflowID, r.Name, id, min(left, pollWait))
	}
	return out, err
}

// GetUpdate shows an update, waiting at most a minute for its answer.
func (c *HTTP) GetUpdate(ctx context.Context, workflowID, name, updateID string, wait time.Duration) (out Update, err error) {
	path := workflowPath(workflowID) + "/updates/" + segment(name) + "/" + segment(updateID)
	_, err = c.do(ctx, request{method: http.MethodGet, path: path, query: url.Values{"wait": {millis(wait)}}}, &out)
	return out, err
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) + "ms" }

// Cancel asks the workflow's current run to end.
func (c *HTTP) Cancel(ctx context.Context, e EndRequest) error {
	_, err := c.CancelWorkflow(ctx, e)
	return err
}

// CancelWorkflow cancels like Cancel and shows what came of it.
func (c *HTTP) CancelWorkflow(ctx context.Context, e EndRequest) (Ended, error) {
	return c.end(ctx, "/cancel", e)
}

// Terminate closes the workflow's current run at once.
func (c *HTTP) Terminate(ctx context.Context, e EndRequest) error {
	_, err := c.TerminateWorkflow(ctx, e)
	return err
}

// TerminateWorkflow terminates like Terminate and shows what came of it.
func (c *HTTP) TerminateWorkflow(ctx context.Context, e EndRequest) (Ended, error) {
	return c.end(ctx, "/terminate", e)
}

func (c *HTTP) end(ctx context.Context, verb string, e EndRequest) (out Ended, err error) {
	id, err := command(e.WorkflowID, e.CommandID, nil)
	if err != nil {
		return out, err
	}
	q := url.Values{}
	set(q, "reason", e.Reason)
	set(q, "run", e.RunID)
	_, err = c.do(ctx, request{method: http.MethodPost, path: workflowPath(e.WorkflowID) + verb, query: q, commandID: id}, &out)
	return out, err
}

// Attach asks nothing yet.
func (c *HTTP) Attach(_ context.Context, workflowID string) (Run, error) {
	return &httpRun{c, workflowID}, nil
}

// Get shows a workflow's current run and what it waits for.
func (c *HTTP) Get(ctx context.Context, workflowID string) (w Workflow, err error) {
	_, err = c.do(ctx, request{method: http.MethodGet, path: workflowPath(workflowID)}, &w)
	return w, err
}

// GetResult waits at most a minute for the run to close, and shows its result, or
// the run if it is still running.
func (c *HTTP) GetResult(ctx context.Context, workflowID string, wait time.Duration) (w Workflow, err error) {
	q := url.Values{"wait": {millis(wait)}}
	_, err = c.do(ctx, request{method: http.MethodGet, path: workflowPath(workflowID) + "/result", query: q}, &w)
	return w, err
}

// ListRequest asks for one page of workflows, newest start first.
type ListRequest struct {
	Type   string // empty: all
	Status string // running, completed or failed; empty: all
	Filter string // with both of the above; docs/guide-search.md has the grammar
	Limit  int    // 0: 100
	Cursor string // of the page before
}

// List gives one page.
func (c *HTTP) List(ctx context.Context, l ListRequest) (p WorkflowPage, err error) {
	q := url.Values{}
	set(q, "type", l.Type)
	set(q, "status", l.Status)
	set(q, "filter", l.Filter)
	set(q, "cursor", l.Cursor)
	if l.Limit > 0 {
		q.Set("limit", strconv.Itoa(l.Limit))
	}
	_, err = c.do(ctx, request{method: http.MethodGet, path: "/v1/workflows", query: q}, &p)
	return p, err
}

// Count gives the number of workflows that fit a filter; empty: all.
func (c *HTTP) Count(ctx context.Context, filter string) (n WorkflowCount, err error) {
	q := url.Values{}
	set(q, "filter", filter)
	_, err = c.do(ctx, request{method: http.MethodGet, path: "/v1/workflow-count", query: q}, &n)
	return n, err
}

// Stack shows what the code of a workflow's current run waits for, and where.
func (c *HTTP) Stack(ctx context.Context, workflowID string) (s Stack, err error) {
	_, err = c.do(ctx, request{method: http.MethodGet, path: workflowPath(workflowID) + "/stack"}, &s)
	return s, err
}

// History gives one page of the history of a workflow's current run; limit 0 is 100.
func (c *HTTP) History(ctx context.Context, workflowID, cursor string, limit int) (p HistoryPage, err error) {
	q := url.Values{}
	set(q, "cursor", cursor)
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	_, err = c.do(ctx, request{method: http.MethodGet, path: workflowPath(workflowID) + "/history", query: q}, &p)
	return p, err
}

func set(q url.Values, name, v string) {
	if v != "" {
		q.Set(name, v)
	}
}

// workflowPath escapes the ID. "." and ".." would be taken as steps in the path.
func workflowPath(id string) string { return "/v1/workflows/" + segment(id) }

func segment(s string) string {
	if s == "." || s == ".." {
		return strings.ReplaceAll(s, ".", "%2E")
	}
	return url.PathEscape(s)
}

type httpRun struct {
	c  *HTTP
	id string
}

func (r *httpRun) WorkflowID() string { return r.id }

// Result asks again and again, each time for half a minute.
func (r *httpRun) Result(ctx context.Context) (Result, error) {
	for {
		w, err := r.c.GetResult(ctx, r.id, pollWait)
		if err != nil {
			return Result{}, err
		}
		if w.Status != api.StatusRunning {
			return resultOf(&w)
		}
	}
}

func resultOf(w *Workflow) (Result, error) {
	r := Result{WorkflowID: w.WorkflowID, RunID: w.RunID, Failure: w.Failure}
	if w.Status != api.StatusCompleted {
		if r.Failure == nil {
			r.Failure = &record.Failure{Kind: record.FailureEngine}
		}
		return r, nil
	}
	value, err := payloadOf(w.Result, string(w.ResultEncoding))
	r.Value = value
	return r, err
}

// payloadOf undoes the encoding of what is not JSON.
func payloadOf(raw json.RawMessage, encoding string) ([]byte, error) {
	if encoding == "" {
		return raw, nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil, fmt.Errorf("a payload of encoding %q: %w", encoding, err)
	}
	return base64.StdEncoding.DecodeString(text)
}

type request struct {
	method, path string
	query        url.Values
	body         []byte
	commandID    string
}

// do sends the request until there is an answer that stands, within the client's
// patience, always with the same command ID (K1).
func (c *HTTP) do(ctx context.Context, r request, out any) (status int, err error) {
	give := time.Now().Add(c.cfg.Patience)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		status, err = c.once(ctx, r, out)
		var e *Error
		if err == nil || ctx.Err() != nil || !errors.As(err, &e) || !e.Retryable || !time.Now().Before(give) {
			break
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-ctx.Done():
		}
	}
	if err != nil && ctx.Err() != nil {
		return status, fmt.Errorf("%s %s: %w", r.method, r.path, ctx.Err())
	}
	return status, err
}

func (c *HTTP) once(ctx context.Context, r request, out any) (int, error) {
	if _, _, ok := codec.SplitProto(r.body); ok { // the API takes JSON
		r.body, _ = codec.PayloadJSON(r.body)
	}
	u := strings.TrimSuffix(c.base.String(), "/") + r.path
	if len(r.query) > 0 {
		u += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u, bytes.NewReader(r.body))
	if err != nil {
		return 0, &Error{Code: api.CodeRequestInvalid, Detail: err.Error(), cause: err}
	}
	req.Header.Set("Accept", "application/json")
	if r.method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.commandID != "" {
		req.Header.Set("Idempotency-Key", r.commandID)
	}
	if c.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.cfg.Token)
	}
	resp, err := c.cfg.Client.Do(req)
	if err != nil {
		return 0, unreachable(c.base.Host, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax))
	if err != nil {
		return 0, unreachable(c.base.Host, err)
	}
	if resp.StatusCode/100 != 2 {
		return resp.StatusCode, problemOf(resp, body)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return resp.StatusCode, &Error{Code: CodeUnreachable, Status: resp.StatusCode, cause: err, Detail: fmt.Sprintf("%s did not answer as an engine does: is the address right?", c.base.Host)}
	}
	return resp.StatusCode, nil
}

func unreachable(host string, err error) *Error {
	var ue *url.Error
	if errors.As(err, &ue) { // its text repeats method and URL
		err = ue.Err
	}
	return &Error{Code: CodeUnreachable, Retryable: true, Detail: fmt.Sprintf("the engine at %s did not answer: %v", host, err), cause: err}
}

// problemOf makes an Error of what was answered, also if something between here
// and the engine answered.
func problemOf(resp *http.Response, body []byte) *Error {
	var p api.Problem
	if err := json.Unmarshal(body, &p); err != nil || p.Code == "" {
		return &Error{
			Code: CodeUnreachable, Status: resp.StatusCode, Retryable: resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests,
			Detail: fmt.Sprintf("%s answered %s, which is no engine's answer: is the address right?", resp.Request.URL.Host, resp.Status),
		}
	}
	return &Error{
		Code: api.Code(p.Code), Detail: p.Detail, Status: resp.StatusCode, Retryable: p.Retryable,
		Size: p.Size, Limit: p.Limit, KnownTypes: p.KnownTypes,
	}
}
