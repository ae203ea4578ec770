package workflowtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/partition"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/statestore"
	"github.com/odradek/odradek/topology"
	"github.com/odradek/odradek/workflow"
)

// Env is a virtual engine with one workflow. It is for one goroutine.
type Env struct {
	t     testing.TB
	def   workflow.Definition
	crash bool
	start time.Time
	id    string

	store    *statestore.Store
	part     *partition.Partition
	cfg      partition.Config
	now      record.Millis
	offset   int64
	handlers map[string]func(call Call) ([]byte, error)
	plans    []plan // ascending by time
	calls    []Call
	pending  []Call          // in order
	locals   map[string]bool // attempts of local tasks that are on their way or done
	ids      []string        // workflows that were started
	sent     []Sent
	records  []Published
	updates  map[string]func(result []byte, failure *workflow.Failure) // by command ID
	began    bool
}

// Sent is a signal to a workflow that the test does not have.
type Sent struct {
	WorkflowID, Name string
	Payload          []byte
}

// Call is one attempt of a task.
type Call struct {
	Service, Operation string
	Attempt            uint32 // from 1
	At                 time.Time
	Input              []byte

	task     record.TaskID
	workflow string // ID
	started  bool   // the engine wants to know that it began
}

// ErrPending is what a handler returns whose task is completed later, by Complete or Fail,
// or by a limit of its time.
var ErrPending = errors.New("the task is completed from outside")

// Complete answers the oldest attempt of a task whose handler has returned ErrPending. It
// is for functions given to After.
func Complete[In, Out any](e *Env, task workflow.Task[In, Out], out Out) {
	e.t.Helper()
	b, err := codec.EncodePayload(out, false)
	if err != nil {
		e.t.Fatalf("workflowtest: the result of task %s/%s: %v", task.Service(), task.Operation(), err)
	}
	c := e.takePending(task.Service(), task.Operation())
	e.stepFor(c.workflow, &record.TaskCompleted{Task: c.task, Attempt: c.Attempt, Result: b})
}

// Fail is Complete with a failure.
func Fail[In, Out any](e *Env, task workflow.Task[In, Out], f workflow.Failure) {
	e.t.Helper()
	c := e.takePending(task.Service(), task.Operation())
	e.stepFor(c.workflow, &record.TaskFailed{Task: c.task, Attempt: c.Attempt, Failure: f})
}

func (e *Env) takePending(service, operation string) Call {
	e.t.Helper()
	for i, c := range e.pending {
		if c.Service == service && c.Operation == operation {
			e.pending = slices.Delete(e.pending, i, i+1)
			return c
		}
	}
	e.t.Fatalf("workflowtest: no attempt of task %s/%s is pending at %s", service, operation, e.Now())
	return Call{}
}

// plan is something that happens at a moment.
type plan struct {
	at   record.Millis
	body func() record.Body // nil: do is called instead
	do   func()
	sent bool // by one workflow to another
}

// Option changes an Env.
type Option func(e *Env)

// CrashEachStep throws the run away after every step and rebuilds it from its history.
func CrashEachStep() Option { return func(e *Env) { e.crash = true } }

// At sets the virtual time at which the workflow starts. Default: 2026-01-01, 00:00 UTC.
func At(t time.Time) Option { return func(e *Env) { e.start = t } }

// WorkflowID sets the workflow's ID. Default: "test".
func WorkflowID(id string) Option { return func(e *Env) { e.id = id } }

// Published is a record that the workflow published to a topic of yours.
type Published struct {
	Topic, Key string
	Payload    []byte
}

// With adds workflow types that the workflow starts as children. They run for real; tasks
// of theirs need handlers too.
func With(defs ...workflow.Definition) Option {
	return func(e *Env) { e.cfg.Definitions = append(e.cfg.Definitions, defs...) }
}

// New makes an Env for a workflow type. It ends with the test.
func New(t testing.TB, def workflow.Definition, opts ...Option) *Env {
	t.Helper()
	e := &Env{t: t, def: def, id: "test", start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), handlers: map[string]func(Call) ([]byte, error){}, locals: map[string]bool{}, updates: map[string]func([]byte, *workflow.Failure){}}
	for _, o := range opts {
		o(e)
	}
	e.now = record.MillisOf(e.start)
	if err := def.Validate(); err != nil {
		t.Fatalf("workflowtest: %v", err)
	}
	var err error
	if e.store, err = statestore.Open(statestore.Config{Dir: "store", FS: statestore.Memory(), Cluster: "test"}); err != nil {
		t.Fatalf("workflowtest: %v", err)
	}
	t.Cleanup(func() {
		if e.part != nil {
			e.part.Close()
		}
		if err := e.store.Close(); err != nil {
			t.Errorf("workflowtest: %v", err)
		}
	})
	e.cfg.Namespace, e.cfg.Table, e.cfg.Services, e.cfg.Build = "test", topology.TableZero(1), map[string]int32{}, "test"
	e.cfg.Publish = map[string]int32{}
	e.cfg.Definitions = append(e.cfg.Definitions, def)
	for _, d := range e.cfg.Definitions {
		for service := range d.Services() {
			e.cfg.Services[service] = 1
		}
		for _, topic := range d.Topics() {
			e.cfg.Publish[topic] = 1
		}
	}
	if e.crash {
		e.cfg.CacheRuns = -1
	}
	e.open()
	return e
}

func (e *Env) open() {
	e.t.Helper()
	var err error
	if e.part, err = partition.New(e.cfg, e.store); err != nil {
		e.t.Fatalf("workflowtest: %v", err)
	}
	e.batch(func() error { e.part.Claim(); return nil })
}

// Handle carries out a task of the workflow type: each attempt calls fn. An error that
// is a *workflow.Failure counts as that; another one is retryable.
func Handle[In, Out any](e *Env, task workflow.Task[In, Out], fn func(in In) (Out, error)) {
	HandleCall(e, task, func(in In, _ Call) (Out, error) { return fn(in) })
}

// HandleCall is Handle, and fn sees which attempt it is.
func HandleCall[In, Out any](e *Env, task workflow.Task[In, Out], fn func(in In, call Call) (Out, error)) {
	e.handlers[task.Service()+"/"+task.Operation()] = func(call Call) ([]byte, error) {
		var in In
		if err := codec.DecodePayload(call.Input, &in); err != nil {
			return nil, &workflow.Failure{Kind: workflow.FailureBinding, Code: workflow.CodeInputInvalid, Message: err.Error()}
		}
		out, err := fn(in, call)
		if err != nil {
			return nil, err
		}
		return codec.EncodePayload(out, false)
	}
}

// HandleChild stands in for a workflow type that the workflow starts: its runs end with
// what fn gives. It comes before Run.
func HandleChild[In, Out any](e *Env, child workflow.Child[In, Out], fn func(in In) (Out, error)) {
	e.t.Helper()
	if e.began {
		e.t.Fatal("workflowtest: HandleChild comes before Run")
	}
	e.cfg.Definitions = append(e.cfg.Definitions, workflow.Define(child.Type(), func(_ workflow.Context, in In) (Out, error) { return fn(in) }))
	e.part.Close()
	e.open()
}

// Published are the records that the workflow, and its children, published, in order.
func (e *Env) Published() []Published { return slices.Clone(e.records) }

// Attributes are the search attributes of the workflow's current run, as JSON.
func (e *Env) Attributes() map[string]string {
	e.t.Helper()
	s, err := e.store.Load(e.id)
	if err != nil || s == nil {
		e.t.Fatalf("workflowtest: the workflow has no run: %v", err)
	}
	out := map[string]string{}
	for _, a := range s.Attributes {
		out[a.Name] = string(codec.AppendAttributeJSON(nil, a))
	}
	return out
}

// Sent are the signals to workflows that the test does not have, in order.
func (e *Env) Sent() []Sent { return slices.Clone(e.sent) }

// SignalAfter gives the workflow a signal when it is so old.
func SignalAfter[T any](e *Env, age time.Duration, signal workflow.Signal[T], payload T) {
	e.t.Helper()
	b, err := codec.EncodePayload(payload, false)
	if err != nil {
		e.t.Fatalf("workflowtest: the payload of signal %s: %v", signal.Name(), err)
	}
	e.after(age, plan{body: func() record.Body { return &record.Signal{Name: signal.Name(), Payload: b} }})
}

// UpdateAfter sends the workflow an update when it is so old, and calls done, unless it is
// nil, with its answer. An update that was refused, or failed, is a *workflow.Failure.
func UpdateAfter[In, Out any](e *Env, age time.Duration, update workflow.Update[In, Out], in In, done func(out Out, err error)) {
	e.t.Helper()
	b, err := codec.EncodePayload(in, false)
	if err != nil {
		e.t.Fatalf("workflowtest: the payload of update %s: %v", update.Name(), err)
	}
	id := fmt.Sprintf("update-%d", len(e.updates))
	e.updates[id] = func(result []byte, failure *workflow.Failure) {
		var out Out
		switch {
		case done == nil:
		case failure != nil:
			done(out, failure)
		default:
			if err := codec.DecodePayload(result, &out); err != nil {
				e.t.Fatalf("workflowtest: the answer %s to update %s is no %T: %v", result, update.Name(), out, err)
			}
			done(out, nil)
		}
	}
	e.after(age, plan{body: func() record.Body {
		return &record.Update{CommandID: id, Name: update.Name(), Payload: b, Reply: true}
	}})
}

// answered tells of an update's answer.
func (e *Env) answered(key string) {
	e.t.Helper()
	var received uint64
	for _, ev := range e.History() {
		switch b := ev.Body.(type) {
		case *record.UpdateReceived:
			if partition.UpdateKey(e.id, b.CommandID) == key {
				received = ev.No
			}
		case *record.UpdateCompleted:
			if b.Update != received {
				continue
			}
			_, id, _ := strings.Cut(key, "\x00")
			if done := e.updates[id]; done != nil {
				e.updates[id] = nil
				done(b.Result, b.Failure)
			}
			return
		}
	}
}

// Ask asks the workflow, in a function given to After, or when it has closed.
func Ask[In, Out any](e *Env, query workflow.Query[In, Out], in In) (out Out, err error) {
	e.t.Helper()
	b, err := codec.EncodePayload(in, false)
	if err != nil {
		e.t.Fatalf("workflowtest: the input of query %s: %v", query.Name(), err)
	}
	var a record.Answer
	e.batch(func() error {
		var err error
		a, err = e.part.Query(e.id, query.Name(), b)
		return err
	})
	switch {
	case a.Outcome.Rejected():
		return out, &workflow.Failure{Kind: workflow.FailureEngine, Code: a.Outcome.String(), Message: a.Detail}
	case a.Failure != nil:
		return out, a.Failure
	}
	if err := codec.DecodePayload(a.Result, &out); err != nil {
		e.t.Fatalf("workflowtest: the answer %s to query %s is no %T: %v", a.Result, query.Name(), out, err)
	}
	return out, nil
}

// CancelAfter asks the workflow to end when it is so old.
func (e *Env) CancelAfter(age time.Duration, reason string) {
	e.after(age, plan{body: func() record.Body { return &record.Cancel{Reason: reason} }})
}

// After calls fn when the workflow is so old: to look at something, or to change what
// handlers do.
func (e *Env) After(age time.Duration, fn func()) { e.after(age, plan{do: fn}) }

func (e *Env) after(age time.Duration, p plan) {
	p.at = record.MillisOf(e.start.Add(age))
	i, _ := slices.BinarySearchFunc(e.plans, p.at+1, func(x plan, at record.Millis) int { return int(x.at - at) })
	e.plans = slices.Insert(e.plans, i, p)
}

// Now is the virtual time.
func (e *Env) Now() time.Time { return e.now.Time() }

// Calls are all attempts so far, in order.
func (e *Env) Calls() []Call { return slices.Clone(e.calls) }

// stepsMax bounds a test: a workflow that never ends is told, not waited for.
const stepsMax = 1_000_000

// Run starts the workflow with an input, lets time pass until it has closed, and gives
// its result. A run that did not complete is an error: a *workflow.Failure. It may be
// called once. The test fails where the run is stuck, waits for something that will
// never come, or a task has no handler.
func Run[Out, In any](e *Env, in In) (out Out, err error) {
	e.t.Helper()
	b, err := codec.EncodePayload(in, false)
	if err != nil {
		e.t.Fatalf("workflowtest: the input: %v", err)
	}
	result, err := e.run(b)
	if err != nil {
		return out, err
	}
	if len(result) > 0 {
		if err := codec.DecodePayload(result, &out); err != nil {
			e.t.Fatalf("workflowtest: the result %s is no %T: %v", result, out, err)
		}
	}
	return out, nil
}

func (e *Env) run(input []byte) ([]byte, error) {
	e.t.Helper()
	if e.began {
		e.t.Fatal("workflowtest: Run was called before: make another Env")
	}
	e.began, e.ids = true, []string{e.id}
	e.step(&record.Start{CommandID: "start", Type: e.def.Type(), Input: input, Reply: true})
	for range stepsMax {
		if result, failure, closed := e.outcome(); closed {
			for len(e.plans) > 0 && e.plans[0].sent { // its last words
				do := e.plans[0].do
				e.plans = e.plans[1:]
				do()
			}
			if failure != nil {
				return nil, failure
			}
			return result, nil
		}
		e.advance()
	}
	e.t.Fatalf("workflowtest: the workflow is still running after %d steps, at %s", stepsMax, e.Now())
	return nil, nil
}

// advance lets happen what comes next.
func (e *Env) advance() {
	e.t.Helper()
	due, ok, err := e.part.NextDue()
	if err != nil {
		e.t.Fatalf("workflowtest: %v", err)
	}
	if len(e.plans) > 0 && (!ok || e.plans[0].at <= max(due, e.now)) {
		p := e.plans[0]
		e.plans = e.plans[1:]
		e.now = max(e.now, p.at)
		if p.body != nil {
			e.step(p.body())
		} else {
			p.do()
		}
		return
	}
	if !ok {
		e.t.Fatalf("workflowtest: the workflow waits for what will never come, at %s:\n%s", e.Now(), e.describe())
	}
	e.now = max(e.now, due)
	e.batch(func() error {
		_, err := e.part.StepDue(1)
		return err
	})
}

// step gives the partition one record for the workflow.
func (e *Env) step(body record.Body) {
	e.t.Helper()
	e.stepFor(e.id, body)
}

func (e *Env) stepFor(id string, body record.Body) {
	e.t.Helper()
	e.offset++
	r := &record.Record{
		Origin:     record.Origin{Topic: record.TopicCommands, Offset: e.offset, Timestamp: e.now},
		WorkflowID: id, Body: body, Raw: record.Raw{Key: []byte(id)},
	}
	e.batch(func() error { return e.part.Step(r) })
}

// batch is one transaction: it settles at once, and what it asks for is carried out.
func (e *Env) batch(steps func() error) {
	e.t.Helper()
	e.part.Begin(e.now)
	if err := steps(); err != nil {
		e.t.Fatalf("workflowtest: %v", err)
	}
	b := e.part.Finish()
	if b == nil {
		return
	}
	if err := e.store.Apply(b.Rows, record.Checkpoint{}); err != nil {
		e.t.Fatalf("workflowtest: %v", err)
	}
	e.part.Settled(b)
	if n := b.Counts.HashMismatches; n > 0 {
		e.t.Fatalf("workflowtest: %d decisions have another input in replay than they had before (C4): the code is not deterministic; a range over a map, time.Now or a shared variable does that", n)
	}
	for _, r := range b.Replies {
		switch done := e.updates[r.CommandID]; {
		case !r.Outcome.Rejected():
		case done == nil:
			e.t.Fatalf("workflowtest: the start is refused: %s", r.Detail)
		default:
			delete(e.updates, r.CommandID)
			done(nil, &workflow.Failure{Kind: workflow.FailureEngine, Code: r.Outcome.String(), Message: r.Detail})
		}
	}
	for _, key := range b.Answered {
		e.answered(key)
	}
	for i := range b.Outputs {
		e.output(&b.Outputs[i])
	}
	for i := range b.Locals {
		e.local(b.Locals[i])
	}
	stuck := b.Counts.Stuck > 0
	if e.crash && e.began {
		e.part.Close()
		var err error
		if e.part, err = partition.New(e.cfg, e.store); err != nil {
			e.t.Fatalf("workflowtest: %v", err)
		}
	}
	if stuck {
		e.stuck()
	}
}

// output carries a task out at once; its answer comes in the next step.
func (e *Env) output(o *record.Output) {
	e.t.Helper()
	switch o.Topic {
	case record.TopicDeadLetters:
		for _, h := range o.Headers {
			if h.Key == codec.HeaderDeadLetterReason {
				e.t.Fatalf("workflowtest: a signal is refused: %s", h.Value)
			}
		}
	case record.TopicOwn:
		e.records = append(e.records, Published{o.Service, string(o.Key), o.Value})
	case record.TopicInternal:
		r := codec.Decode(codec.KafkaRecord{Topic: record.TopicInternal, Key: o.Key, Value: o.Value, Headers: o.Headers})
		e.plans = slices.Insert(e.plans, e.firstAfterNow(), plan{at: e.now, sent: true, do: func() { e.internal(r.WorkflowID, r.Body) }})
	case record.TopicTasks:
		task, err := codec.DecodeTask(o.Key, o.Value, o.Headers)
		if err != nil {
			e.t.Fatalf("workflowtest: %v", err)
		}
		call := Call{Service: o.Service, Operation: task.Operation, Attempt: task.Attempt, At: e.Now(), Input: task.Input, task: task.ID, workflow: task.WorkflowID, started: task.Started}
		e.plans = slices.Insert(e.plans, e.firstAfterNow(), plan{at: e.now, do: func() { e.call(call) }})
	}
}

// internal takes what one workflow sends to another.
func (e *Env) internal(id string, body record.Body) {
	e.t.Helper()
	s, err := e.store.Load(id)
	if err != nil {
		e.t.Fatalf("workflowtest: %v", err)
	}
	switch b := body.(type) {
	case *record.Signal:
		if s == nil {
			e.sent = append(e.sent, Sent{id, b.Name, b.Payload})
			return
		}
	case *record.ChildStart:
		if !slices.ContainsFunc(e.cfg.Definitions, func(d workflow.Definition) bool { return d.Type() == b.Type }) {
			e.t.Fatalf("workflowtest: the workflow starts a child of type %q, which the test does not have: give it one with HandleChild, or the real one with the option With", b.Type)
		}
		e.ids = append(e.ids, id)
	}
	e.stepFor(id, body)
}

// local carries a local task out: its own function, unless HandleLocal gave another.
func (e *Env) local(l partition.Local) {
	key := fmt.Sprintf("%s/%d", l.Task, l.Attempt)
	if e.locals[key] { // a rebuilt partition asks again for what is on its way
		return
	}
	e.locals[key] = true
	call := Call{Service: "local", Operation: l.Name, Attempt: l.Attempt, Input: l.Input, task: l.Task, workflow: l.WorkflowID}
	if e.handlers["local/"+l.Name] == nil {
		e.handlers["local/"+l.Name] = func(c Call) ([]byte, error) { return l.Call(context.Background(), c.Input) }
	}
	e.plans = slices.Insert(e.plans, e.firstAfterNow(), plan{at: e.now, do: func() { e.call(call) }})
}

// HandleLocal carries out a local task in place of its own function.
func HandleLocal[In, Out any](e *Env, task workflow.LocalTask[In, Out], fn func(in In) (Out, error)) {
	Handle(e, workflow.NewTask[In, Out]("local", task.Name()), fn)
}

// firstAfterNow is where what happens now is put: behind what is there for now.
func (e *Env) firstAfterNow() int {
	for i := range e.plans {
		if e.plans[i].at > e.now {
			return i
		}
	}
	return len(e.plans)
}

func (e *Env) call(c Call) {
	e.t.Helper()
	h := e.handlers[c.Service+"/"+c.Operation]
	if h == nil {
		e.t.Fatalf("workflowtest: task %s/%s has no handler: give it one with Handle", c.Service, c.Operation)
	}
	c.At = e.Now()
	e.calls = append(e.calls, c)
	if c.started {
		e.stepFor(c.workflow, &record.TaskBeat{Task: c.task, Attempt: c.Attempt, Started: true})
	}
	result, err := h(c)
	if errors.Is(err, ErrPending) {
		e.pending = append(e.pending, c)
		return
	}
	if err == nil {
		e.stepFor(c.workflow, &record.TaskCompleted{Task: c.task, Attempt: c.Attempt, Result: result})
		return
	}
	f := workflow.Failure{Kind: workflow.FailureApplication, Message: err.Error(), Retryable: true}
	if own, ok := errors.AsType[*workflow.Failure](err); ok {
		f = *own
	}
	e.stepFor(c.workflow, &record.TaskFailed{Task: c.task, Attempt: c.Attempt, Failure: f})
}

// stuck fails the test where the run cannot go on.
func (e *Env) stuck() {
	e.t.Helper()
	for _, id := range e.ids {
		s, err := e.store.Load(id)
		if err != nil {
			e.t.Fatalf("workflowtest: %v", err)
		}
		if s != nil && s.Stuck != nil {
			e.t.Fatalf("workflowtest: the run of workflow %q is stuck: %s: %s", id, s.Stuck.Code, s.Stuck.Detail)
		}
	}
}

// outcome is how the workflow's current run has closed.
func (e *Env) outcome() (result []byte, failure *workflow.Failure, closed bool) {
	e.t.Helper()
	s, err := e.store.Load(e.id)
	if err != nil {
		e.t.Fatalf("workflowtest: %v", err)
	}
	if s == nil || !s.Run.Status.Closed() {
		return nil, nil, false
	}
	for _, ev := range e.History() {
		switch b := ev.Body.(type) {
		case *record.RunCompleted:
			return b.Result, nil, true
		case *record.RunFailed:
			return nil, &b.Failure, true
		case *record.RunCancelled:
			return nil, &b.Failure, true
		}
	}
	e.t.Fatal("workflowtest: the closed run has no closing event")
	return nil, nil, true
}

// History is that of the workflow's current run.
func (e *Env) History() []record.HistoryEvent {
	e.t.Helper()
	s, err := e.store.Load(e.id)
	if err != nil || s == nil {
		e.t.Fatalf("workflowtest: the workflow has no run: %v", err)
	}
	events, err := e.store.History(e.id, s.Run.Run, 1, int(s.Run.Events))
	if err != nil {
		e.t.Fatalf("workflowtest: %v", err)
	}
	return events
}

// describe says what is open.
func (e *Env) describe() string {
	s, err := e.store.Load(e.id)
	if err != nil || s == nil {
		return "no run"
	}
	out := fmt.Sprintf("%d history events, %d open tasks, %d open timers, %d signals that nobody has taken", s.Run.Events, len(s.Tasks), len(s.Timers), len(s.Signals))
	if h := e.History(); len(h) > 0 {
		if line, err := codec.HistoryJSON(h[len(h)-1]); err == nil {
			out += "; the last event is " + string(line)
		}
	}
	return out
}
