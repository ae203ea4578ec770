package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/job"
	"github.com/odradek/odradek/record"
)

// StartWorkflow answers when the start has settled, or later if asked to wait.
func (s operations) StartWorkflow(w http.ResponseWriter, r *http.Request, p api.StartWorkflowParams) {
	id := p.ID
	if id == "" {
		id = p.IdempotencyKey
	}
	if id == "" {
		writeProblem(w, problem(api.CodeRequestInvalid, "the workflow has no ID: give one as the parameter id, or an Idempotency-Key"))
		return
	}
	c, bad := s.command(r, id, p.IdempotencyKey)
	if bad == nil {
		bad = c.wait(p.Wait)
	}
	if bad == nil {
		bad = checkName("type", p.Type, typeBytesMax)
	}
	if bad == nil && (p.Type == job.Type || p.Type == job.PageType) {
		bad = problem(api.CodeRequestInvalid, "a workflow of type %s is made by POST /v1/jobs, which notes who asks", p.Type)
	}
	if bad == nil && r.Header.Get(ForwardedHeader) == "" {
		bad = s.knownType(p.Type)
	}
	if bad != nil {
		writeProblem(w, bad)
		return
	}
	command, bad := startOf(c, &p)
	if bad != nil {
		writeProblem(w, bad)
		return
	}
	s.route(w, c, func(ctx context.Context) (answer, error) { return s.start(ctx, c, command) })
}

// startOf makes the command of what was asked.
func startOf(c *call, p *api.StartWorkflowParams) (*record.Start, *problemError) {
	command := &record.Start{CommandID: c.commandID, Type: p.Type, Input: c.body, Reply: true}
	if p.Reuse != "" {
		var ok bool
		if command.Reuse, ok = record.ParseReusePolicy(string(p.Reuse)); !ok {
			return nil, problem(api.CodeRequestInvalid, "the parameter reuse is %q: use never, failed, closed or terminate", p.Reuse)
		}
	}
	if p.Signal == "" && p.Update == "" {
		return command, nil
	}
	var both struct {
		Input   json.RawMessage `json:"input"`
		Payload json.RawMessage `json:"payload"`
	}
	dec := json.NewDecoder(bytes.NewReader(c.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&both); err != nil || dec.More() {
		return nil, problem(api.CodeRequestInvalid, "with the parameter signal or update the body is an object with the input of the workflow and the payload of what it is given, as {\"input\":{},\"payload\":{}}: %v", err)
	}
	command.Input = both.Input
	switch {
	case p.Signal != "" && p.Update != "":
		return nil, problem(api.CodeRequestInvalid, "the parameters signal and update exclude each other")
	case p.Signal != "":
		command.Signal = &record.Signal{Name: p.Signal, Payload: both.Payload}
		return command, checkName("signal", p.Signal, signalBytesMax)
	}
	command.Update = &record.Update{Name: p.Update, Payload: both.Payload}
	return command, checkName("update", p.Update, signalBytesMax)
}

func (s *Server) start(ctx context.Context, c *call, command *record.Start) (answer, error) {
	reply, err := s.submit(ctx, c, command)
	if err != nil {
		return answer{}, err
	}
	if c.waitGiven {
		return s.awaitResult(ctx, c)
	}
	run, err := s.cfg.Engine.Run(ctx, c.workflowID)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: http.StatusOK, body: workflow(&run, true)}
	if reply.Outcome == record.OutcomeStarted {
		a.status, a.location = http.StatusCreated, "/v1/workflows/"+url.PathEscape(c.workflowID)
	}
	return a, nil
}

// SignalWorkflow answers when the signal has settled.
func (s operations) SignalWorkflow(w http.ResponseWriter, r *http.Request, id api.WorkflowID, name string, p api.SignalWorkflowParams) {
	if bad := checkName("signal", name, signalBytesMax); bad != nil {
		writeProblem(w, bad)
		return
	}
	c, bad := s.command(r, id, p.IdempotencyKey)
	if bad != nil {
		writeProblem(w, bad)
		return
	}
	s.route(w, c, func(ctx context.Context) (answer, error) {
		reply, err := s.submit(ctx, c, &record.Signal{CommandID: c.commandID, Name: name, Payload: c.body, Reply: true})
		if err != nil {
			return answer{}, err
		}
		outcome := api.SignalledOutcomeApplied
		if reply.Outcome == record.OutcomeRepeated {
			outcome = api.SignalledOutcomeRepeated
		}
		return answer{status: http.StatusOK, body: api.Signalled{WorkflowID: c.workflowID, RunID: reply.Run.String(), Outcome: outcome}}, nil
	})
}

// command reads what every command has.
func (s *Server) command(r *http.Request, workflowID, key string) (*call, *problemError) {
	commandID, bad := commandIDOf(key)
	if bad != nil {
		return nil, bad
	}
	body, bad := s.readPayload(r)
	if bad != nil {
		return nil, bad
	}
	return &call{r: r, workflowID: workflowID, body: body, commandID: commandID}, nil
}

// submit makes a problem of a rejection.
func (s *Server) submit(ctx context.Context, c *call, command record.Body) (record.Reply, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.Timeout, errTime)
	defer cancel()
	reply, err := s.cfg.Engine.Submit(ctx, c.workflowID, command)
	switch {
	case err != nil && ctx.Err() != nil && errors.Is(context.Cause(ctx), errTime):
		return reply, problem(api.CodeOutcomeUnknown, "the command is written and was not yet applied after %v: send the same request again with Idempotency-Key: %s", s.cfg.Timeout, c.commandID)
	case err != nil:
		return reply, err
	case reply.Outcome.Rejected():
		return reply, rejection(reply)
	}
	return reply, nil
}

// checkName refuses what the owner could not read from a record's header: nobody
// would answer.
func checkName(what, name string, bytesMax int) *problemError {
	switch {
	case name == "" || len(name) > bytesMax:
		return problem(api.CodeRequestInvalid, "the %s has %d bytes: use 1 to %d", what, len(name), bytesMax)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return problem(api.CodeRequestInvalid, "the %s %q has a control character or is not UTF-8", what, name)
	}
	return nil
}

// knownType refuses a type that this instance does not have. Only the instance
// that a client asked does so: during a rolling deploy the owner may be older, and
// the run then waits for its code (S3).
func (s *Server) knownType(typ string) *problemError {
	types := s.cfg.Engine.Types()
	if slices.Contains(types, typ) {
		return nil
	}
	known := "it has none"
	if len(types) > 0 {
		known = "it has " + strings.Join(types, ", ")
	}
	p := problem(api.CodeWorkflowTypeUnknown, "workflow type %q is not compiled into this engine: %s", typ, known)
	p.KnownTypes = types
	return p
}

// wait takes the parameter of that name.
func (c *call) wait(text string) *problemError {
	if text == "" {
		return nil
	}
	d, err := parseWait(text)
	if err != nil {
		return problem(api.CodeRequestInvalid, "the parameter wait is not valid: %v", err)
	}
	c.waitGiven, c.waitUntil = true, time.Now().Add(d)
	return nil
}
