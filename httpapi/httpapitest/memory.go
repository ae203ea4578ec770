package httpapitest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/httpapi"
	"github.com/odradek/odradek/job"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
	"github.com/odradek/odradek/workflow"
)

// Nobody owns a partition.
const Nobody = -1

// Cluster is instances that share workflows in memory. Partitions are Instance 0's
// until Move. All methods may be called from any goroutine.
type Cluster struct {
	table *topology.Table
	defs  map[string]workflow.Definition

	mu        sync.Mutex
	owners    []int
	addrs     map[int]string
	workflows map[string]*instance
	now       record.Millis
	offset    int64
	lost      int             // so many next replies are lost
	late      int             // so many next commands are never answered
	gone      map[string]bool // workflows whose history is dropped
	types     map[int32][]record.TypeRow
	payment   record.ServiceRow
	changed   chan struct{} // closed at each change
	submitted int
	listen    func(run record.RunRow, e record.HistoryEvent)
}

// instance is one workflow.
type instance struct {
	run      httpapi.Run
	history  []record.HistoryEvent
	updates  map[string][]byte // answers
	commands map[string]bool
	input    uint64
	person   Person
	job      job.Report // of a job, which is made and does nothing
}

// NewCluster has n partitions.
func NewCluster(n int32) *Cluster {
	c := &Cluster{
		table: topology.TableZero(n), defs: map[string]workflow.Definition{}, owners: make([]int, n), addrs: map[int]string{},
		workflows: map[string]*instance{}, gone: map[string]bool{}, types: map[int32][]record.TypeRow{}, changed: make(chan struct{}),
		now: record.MillisOf(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
	}
	for _, d := range append(Definitions(), job.Definitions(nil)...) {
		c.defs[d.Type()] = d
	}
	return c
}

// Instance is the i-th instance's engine.
func (c *Cluster) Instance(i int) *Engine { return &Engine{c, i} }

// SetAddr says where instance i's API is.
func (c *Cluster) SetAddr(i int, addr string) { c.change(func() { c.addrs[i] = addr }) }

// Move gives a partition to instance i, or to Nobody.
func (c *Cluster) Move(partition int32, i int) { c.change(func() { c.owners[partition] = i }) }

// MoveAll gives all partitions to instance i, or to Nobody.
func (c *Cluster) MoveAll(i int) {
	c.change(func() {
		for p := range c.owners {
			c.owners[p] = i
		}
	})
}

// LoseReplies lets the next n commands be applied and their replies be lost: the
// lane was taken over in between (I1).
func (c *Cluster) LoseReplies(n int) { c.change(func() { c.lost = n }) }

// DelayReplies lets the next n commands be applied and never answered.
func (c *Cluster) DelayReplies(n int) { c.change(func() { c.late = n }) }

// DropHistory drops the chunks of a workflow's run.
func (c *Cluster) DropHistory(workflowID string) { c.change(func() { c.gone[workflowID] = true }) }

// Edit changes what is known of a workflow, for what this engine never does itself.
func (c *Cluster) Edit(workflowID string, edit func(*httpapi.Run)) {
	c.change(func() { edit(&c.workflows[workflowID].run) })
}

// Listen hears of each history event, in order, before its command is answered.
func (c *Cluster) Listen(f func(run record.RunRow, e record.HistoryEvent)) {
	c.change(func() { c.listen = f })
}

// Submitted counts the commands that reached an owner.
func (c *Cluster) Submitted() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.submitted
}

func (c *Cluster) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

// Engine is one instance of a Cluster. It is an httpapi.Engine.
type Engine struct {
	c *Cluster
	i int
}

// Types are those of Definitions, and jobs.
func (e *Engine) Types() []string { return []string{Echo, Greeting, job.Type} }

// Partitions is what NewCluster was given.
func (e *Engine) Partitions() int32 { return e.c.table.Partitions }

// Partition is by table zero.
func (e *Engine) Partition(workflowID string) int32 { return e.c.table.Partition(workflowID) }

// Owner is what Move said.
func (e *Engine) Owner(p int32) (addr string, self, ok bool) {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	o := e.c.owners[p]
	return e.c.addrs[o], o == e.i, o != Nobody
}

// find gives the workflow if this instance owns its partition. The mutex is held.
func (e *Engine) find(workflowID string) (*instance, error) {
	if e.c.owners[e.Partition(workflowID)] != e.i {
		return nil, fmt.Errorf("workflow %q: %w", workflowID, httpapi.ErrNotOwner)
	}
	w := e.c.workflows[workflowID]
	if w == nil {
		return nil, fmt.Errorf("workflow %q: %w", workflowID, httpapi.ErrNotFound)
	}
	return w, nil
}

// Submit applies the command at once.
func (e *Engine) Submit(ctx context.Context, workflowID string, command record.Body) (reply record.Reply, err error) {
	never := false
	e.c.change(func() {
		w, ferr := e.find(workflowID)
		p := e.Partition(workflowID)
		if b, ok := command.(*record.OperateType); ok {
			p = b.Partition
		}
		if w == nil && e.c.owners[p] != e.i {
			err = fmt.Errorf("partition %d: %w (%w)", p, httpapi.ErrNotOwner, ferr)
			return
		}
		e.c.submitted++
		e.c.now += 1000
		e.c.offset++
		reply = e.apply(w, workflowID, command)
		switch {
		case e.c.lost > 0:
			e.c.lost--
			reply, err = record.Reply{}, httpapi.ErrNotOwner
		case e.c.late > 0:
			e.c.late--
			never = true
		}
	})
	if never {
		<-ctx.Done()
		return record.Reply{}, ctx.Err()
	}
	return reply, err
}

func (e *Engine) apply(w *instance, workflowID string, command record.Body) record.Reply {
	switch b := command.(type) {
	case *record.Start:
		return e.start(w, workflowID, b)
	case *record.Signal:
		return e.signal(w, workflowID, b)
	case *record.Update:
		return e.update(w, workflowID, b)
	case *record.Cancel:
		return e.end(w, workflowID, b.CommandID, b.Run, &record.CancelRequested{CommandID: b.CommandID, Reason: b.Reason, By: b.By}, b.Reason)
	case *record.OperateType:
		return e.operateType(b)
	case *record.Redrive:
		return answer(nil, workflowID, b.CommandID, record.OutcomeNoDeadLetter, "there is no dead letter "+record.DeadLetterID(b.Origin))
	case *record.Operate:
		return e.operate(w, workflowID, b)
	case *record.Terminate:
		return e.end(w, workflowID, b.CommandID, b.Run, &record.RunTerminated{CommandID: b.CommandID, Reason: b.Reason, By: b.By}, b.Reason)
	}
	panic(fmt.Sprintf("httpapitest: no command is a %T", command))
}

func answer(w *instance, workflowID, commandID string, o record.Outcome, detail string) record.Reply {
	r := record.Reply{CommandID: commandID, WorkflowID: workflowID, Outcome: o, Detail: detail}
	if w != nil {
		r.Run = w.run.Row.Run
	}
	return r
}

func (e *Engine) start(w *instance, workflowID string, b *record.Start) record.Reply {
	hash := codec.CanonicalHash(b.Input)
	if w != nil {
		if w.commands[b.CommandID] || w.run.Row.Type == b.Type && w.input == hash {
			return answer(w, workflowID, b.CommandID, record.OutcomeRepeated, "")
		}
		return answer(w, workflowID, b.CommandID, record.OutcomeConflict, fmt.Sprintf("workflow ID %q is in use by run %s", workflowID, w.run.Row.Run))
	}
	def, ok := e.c.defs[b.Type]
	if !ok {
		return answer(nil, workflowID, b.CommandID, record.OutcomeUnknownType, "workflow type "+b.Type+" is not known")
	}
	if err := def.CheckInput(b.Input); err != nil {
		return answer(nil, workflowID, b.CommandID, record.OutcomeInvalid, fmt.Sprintf("input of workflow type %q: %v", b.Type, err))
	}
	w = &instance{updates: map[string][]byte{}, commands: map[string]bool{b.CommandID: true}, input: hash}
	w.run.Row = record.RunRow{
		WorkflowID: workflowID, Type: b.Type, Version: 1, Status: record.StatusRunning, StartedAt: e.c.now,
		Run: record.DeriveRunID(workflowID, record.Origin{Topic: record.TopicCommands, Offset: e.c.offset}, e.c.now),
	}
	e.c.workflows[workflowID] = w
	e.add(w, &record.RunStarted{Type: b.Type, Version: 1, Input: b.Input, CommandID: b.CommandID})
	var input any = &w.person
	if b.Type == job.Type {
		w.job.Made, input = e.c.now.Time(), &w.job.Spec
	}
	if b.Type == Echo {
		e.complete(w, b.Input)
	} else if err := json.Unmarshal(b.Input, input); err != nil {
		panic("httpapitest: an input that was checked: " + err.Error())
	}
	return answer(w, workflowID, b.CommandID, record.OutcomeStarted, "")
}

func (e *Engine) signal(w *instance, workflowID string, b *record.Signal) record.Reply {
	switch {
	case w == nil:
		return answer(nil, workflowID, b.CommandID, record.OutcomeNotFound, fmt.Sprintf("no workflow has the ID %q", workflowID))
	case w.commands[b.CommandID]:
		return answer(w, workflowID, b.CommandID, record.OutcomeRepeated, "")
	case w.run.Row.Status.Closed():
		return answer(w, workflowID, b.CommandID, record.OutcomeClosed, fmt.Sprintf("run %s is %s", w.run.Row.Run, w.run.Row.Status))
	}
	if err := e.c.defs[w.run.Row.Type].CheckSignal(b.Name, b.Payload); err != nil {
		return answer(w, workflowID, b.CommandID, record.OutcomeInvalid, fmt.Sprintf("signal %q: %v", b.Name, err))
	}
	w.commands[b.CommandID] = true
	e.add(w, &record.SignalReceived{Name: b.Name, Payload: b.Payload, CommandID: b.CommandID})
	e.add(w, &record.SignalConsumed{Signal: w.run.Row.Events})
	var word Word
	if err := json.Unmarshal(b.Payload, &word); err != nil {
		panic("httpapitest: a payload that was checked: " + err.Error())
	}
	if word.Fail != "" {
		f := record.Failure{Kind: record.FailureApplication, Message: word.Fail}
		w.run.Row.Status, w.run.Failure = record.StatusFailed, &f
		w.run.Row.ClosedAt = e.c.now
		e.add(w, &record.RunFailed{Failure: f})
		return answer(w, workflowID, b.CommandID, record.OutcomeApplied, "")
	}
	result, err := json.Marshal(Greeted{word.Word + " " + w.person.Name})
	if err != nil {
		panic("httpapitest: a result: " + err.Error())
	}
	e.complete(w, result)
	return answer(w, workflowID, b.CommandID, record.OutcomeApplied, "")
}

// operate pauses and resumes; a retry or a reset is not offered.
func (e *Engine) operate(w *instance, workflowID string, b *record.Operate) record.Reply {
	verb := record.VerbPause
	switch {
	case w == nil:
		return answer(nil, workflowID, b.CommandID, record.OutcomeNotFound, fmt.Sprintf("no workflow has the ID %q", workflowID))
	case w.commands[b.CommandID]:
		return answer(w, workflowID, b.CommandID, record.OutcomeRepeated, "")
	case b.Op == record.OperatePause && !w.run.Row.Paused:
	case b.Op == record.OperateResume && w.run.Row.Paused:
		verb = record.VerbResume
	default:
		return answer(w, workflowID, b.CommandID, record.OutcomeNotOffered, fmt.Sprintf("run %s of workflow %q is %s", w.run.Row.Run, workflowID, w.run.Row.Status))
	}
	w.run.Row.Paused = verb == record.VerbPause
	w.commands[b.CommandID] = true
	e.add(w, &record.OperatorActed{Verb: verb, CommandID: b.CommandID, Reason: b.Reason, By: b.By})
	return answer(w, workflowID, b.CommandID, record.OutcomeApplied, "")
}

// CopyStore pretends.
func (e *Engine) CopyStore(_ context.Context, p int32) (string, error) {
	return fmt.Sprintf("/copies/%d", p), nil
}

// operateType notes what is done to a type in a partition; no workflow here feels it.
func (e *Engine) operateType(b *record.OperateType) record.Reply {
	rows := e.c.types[b.Partition]
	i := slices.IndexFunc(rows, func(r record.TypeRow) bool { return r.Type == b.Type })
	paused := i >= 0 && rows[i].Paused() != nil
	known := i >= 0 && slices.ContainsFunc(rows[i].Acts, func(a record.TypeAct) bool { return a.CommandID == b.CommandID })
	if known || paused == (b.Op == record.OperatePause) {
		return answer(nil, b.Type, b.CommandID, record.OutcomeRepeated, "")
	}
	act := record.TypeAct{Op: b.Op, At: e.c.now, CommandID: b.CommandID, Reason: b.Reason, By: b.By}
	if i < 0 {
		e.c.types[b.Partition] = append(rows, record.TypeRow{Type: b.Type, Acts: []record.TypeAct{act}})
	} else {
		rows[i].Acts = append(slices.Clip(rows[i].Acts), act)
	}
	return answer(nil, b.Type, b.CommandID, record.OutcomeApplied, "")
}

// TypeRows are what operateType noted.
func (e *Engine) TypeRows(_ context.Context, p int32) ([]record.TypeRow, error) {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	if e.c.owners[p] != e.i {
		return nil, fmt.Errorf("partition %d: %w", p, httpapi.ErrNotOwner)
	}
	return slices.Clone(e.c.types[p]), nil
}

// Payment is the service that the workflow types of an Engine use.
const Payment = "payment"

// Services are Payment, which has a worker whose breaker is open.
func (e *Engine) Services(context.Context) ([]httpapi.Service, error) {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	row := e.c.payment
	row.Acts = slices.Clone(row.Acts)
	return []httpapi.Service{{
		Name: Payment, Partitions: 2, Members: 1, Lag: []int64{3, 4}, Row: row,
		Workers: []httpapi.ServiceWorker{{Instance: "pod-1", Build: "v1", Age: time.Second, WorkerService: record.WorkerService{
			Service: Payment, Partitions: []int32{0, 1}, Permits: 4, Running: 1, Queued: 2, Open: 3, Rate: 2.5, RateLimited: true, Keys: 5, KeyLimited: 6,
			Breaker: "open", RetryAt: record.MillisOf(time.Date(2026, 1, 1, 0, 0, 9, 0, time.UTC)), LastFailure: "network/no_answer: nobody is there", Paused: row.Paused,
		}}},
	}}, nil
}

// OperateService notes what is done to Payment.
func (e *Engine) OperateService(_ context.Context, service string, act record.ServiceAct) (bool, error) {
	if service != Payment {
		return false, fmt.Errorf("%w %q; they use %s", httpapi.ErrServiceUnknown, service, Payment)
	}
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	if e.c.payment.Paused == act.Paused {
		return false, nil
	}
	act.At = record.MillisOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	e.c.payment.Paused, e.c.payment.Acts = act.Paused, append(e.c.payment.Acts, act)
	return true, nil
}

// paused is the pause of a workflow's type. The mutex is held.
func (e *Engine) paused(workflowID, typ string) *record.TypeAct {
	for _, r := range e.c.types[e.Partition(workflowID)] {
		if r.Type == typ {
			return r.Paused()
		}
	}
	return nil
}

// DeadLetters are none.
func (e *Engine) DeadLetters(context.Context, int32, *record.Origin, string, int) ([]record.DeadLetterRow, error) {
	return nil, nil
}

// DeadLetter is not there.
func (e *Engine) DeadLetter(context.Context, record.Origin) (record.DeadLetterRow, bool, error) {
	return record.DeadLetterRow{}, false, nil
}

// PreviewReset offers none.
func (e *Engine) PreviewReset(_ context.Context, workflowID string, to uint64) (httpapi.Preview, error) {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	w, err := e.find(workflowID)
	if err != nil {
		return httpapi.Preview{}, err
	}
	return httpapi.Preview{}, fmt.Errorf("%w: run %s cannot go back to %d", httpapi.ErrNotOffered, w.run.Row.Run, to)
}

// update renames whom a greeting greets.
func (e *Engine) update(w *instance, workflowID string, b *record.Update) record.Reply {
	switch {
	case w == nil:
		return answer(nil, workflowID, b.CommandID, record.OutcomeNotFound, fmt.Sprintf("no workflow has the ID %q", workflowID))
	case w.commands[b.CommandID]:
		return answer(w, workflowID, b.CommandID, record.OutcomeRepeated, "")
	case w.run.Row.Status.Closed():
		return answer(w, workflowID, b.CommandID, record.OutcomeClosed, fmt.Sprintf("run %s is %s", w.run.Row.Run, w.run.Row.Status))
	}
	if err := e.c.defs[w.run.Row.Type].CheckUpdate(b.Name, b.Payload); err != nil {
		return answer(w, workflowID, b.CommandID, record.OutcomeInvalid, fmt.Sprintf("update %q: %v", b.Name, err))
	}
	var to Person
	if err := json.Unmarshal(b.Payload, &to); err != nil || to.Name == "" {
		return answer(w, workflowID, b.CommandID, record.OutcomeRefused, NameMissing)
	}
	w.commands[b.CommandID] = true
	e.add(w, &record.UpdateReceived{Name: b.Name, Payload: b.Payload, CommandID: b.CommandID})
	was, err := json.Marshal(w.person.Name)
	if err != nil {
		panic("httpapitest: a name: " + err.Error())
	}
	w.updates[b.CommandID] = was
	e.add(w, &record.UpdateCompleted{Update: w.run.Row.Events, Result: was})
	w.person = to
	return answer(w, workflowID, b.CommandID, record.OutcomeApplied, "")
}

// Query answers as the workflow would.
func (e *Engine) Query(_ context.Context, workflowID, name string, input []byte, stale bool) (record.Answer, time.Duration, error) {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	w, err := e.find(workflowID)
	switch {
	case errors.Is(err, httpapi.ErrNotFound):
		return record.Answer{Outcome: record.OutcomeNotFound, Detail: fmt.Sprintf("no workflow has the ID %q", workflowID)}, 0, nil
	case err != nil:
		return record.Answer{}, 0, err
	}
	a := record.Answer{Run: w.run.Row.Run, Outcome: record.OutcomeApplied}
	if err := e.c.defs[w.run.Row.Type].CheckQuery(name, input); err != nil {
		a.Outcome, a.Detail = record.OutcomeInvalid, err.Error()
		return a, 0, nil
	}
	a.Result, err = json.Marshal(w.person.Name)
	if w.run.Row.Type == job.Type {
		a.Result, err = json.Marshal(w.job)
	}
	age := time.Duration(0)
	if stale {
		age = time.Second
	}
	return a, age, err
}

// Update is answered as soon as it is known.
func (e *Engine) Update(_ context.Context, workflowID, updateID string) (httpapi.Update, error) {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	w, err := e.find(workflowID)
	if err != nil {
		return httpapi.Update{}, err
	}
	was, ok := w.updates[updateID]
	if !ok {
		return httpapi.Update{}, httpapi.ErrNotFound
	}
	return httpapi.Update{Run: w.run.Row.Run, Name: Rename, Result: was}, nil
}

// WaitUpdate waits for nothing.
func (e *Engine) WaitUpdate(context.Context, string, string) error { return nil }

// end cancels or terminates; a greeting that is cancelled ends at once.
func (e *Engine) end(w *instance, workflowID, commandID string, run record.RunID, event record.HistoryBody, reason string) record.Reply {
	switch {
	case w == nil || !run.IsZero() && run != w.run.Row.Run:
		return answer(nil, workflowID, commandID, record.OutcomeNotFound, fmt.Sprintf("no workflow has the ID %q", workflowID))
	case w.commands[commandID]:
		return answer(w, workflowID, commandID, record.OutcomeRepeated, "")
	case w.run.Row.Status.Closed():
		return answer(w, workflowID, commandID, record.OutcomeClosed, fmt.Sprintf("run %s is %s", w.run.Row.Run, w.run.Row.Status))
	}
	w.commands[commandID] = true
	status, failure := record.StatusTerminated, record.Terminated(reason)
	if event.HistoryKind() == record.KindCancelRequested {
		status, failure = record.StatusCancelled, record.Failure{Kind: record.FailureCancelled, Message: reason}
	}
	w.run.Row.Status, w.run.Failure, w.run.Row.ClosedAt, w.run.Row.Paused = status, &failure, e.c.now, false
	e.add(w, event)
	if status == record.StatusCancelled {
		e.add(w, &record.RunCancelled{Failure: failure})
	}
	return answer(w, workflowID, commandID, record.OutcomeApplied, "")
}

func (e *Engine) complete(w *instance, result []byte) {
	w.run.Row.Status, w.run.Row.ClosedAt, w.run.Result = record.StatusCompleted, e.c.now, result
	e.add(w, &record.RunCompleted{Result: result})
}

func (e *Engine) add(w *instance, b record.HistoryBody) {
	w.run.Row.Events++
	w.run.Row.UpdatedAt = e.c.now
	event := record.HistoryEvent{No: w.run.Row.Events, At: e.c.now, Body: b}
	w.history = append(w.history, event)
	if e.c.listen != nil {
		e.c.listen(w.run.Row, event)
	}
}

// Run gives the workflow as it is.
func (e *Engine) Run(_ context.Context, workflowID string) (httpapi.Run, error) {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	w, err := e.find(workflowID)
	if err != nil {
		return httpapi.Run{}, err
	}
	run := w.run
	if !run.Row.Status.Closed() {
		run.TypePaused = e.paused(workflowID, run.Row.Type)
	}
	return run, nil
}

// History gives the workflow's only run.
func (e *Engine) History(_ context.Context, workflowID string, run record.RunID, from uint64, n int) ([]json.RawMessage, error) {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	w, err := e.find(workflowID)
	switch {
	case err != nil:
		return nil, err
	case w.run.Row.Run != run:
		return nil, httpapi.ErrNotFound
	case e.c.gone[workflowID]:
		return nil, httpapi.ErrHistoryGone
	}
	var events []json.RawMessage
	for _, h := range w.history {
		if h.No >= from && len(events) < n {
			b, err := codec.HistoryJSON(h)
			if err != nil {
				return nil, err
			}
			events = append(events, b)
		}
	}
	return events, nil
}

// List sorts what the partition has.
func (e *Engine) List(_ context.Context, p int32, q httpapi.ListQuery) ([]record.RunRow, error) {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	if e.c.owners[p] != e.i {
		return nil, httpapi.ErrNotOwner
	}
	at := func(r *record.RunRow) httpapi.ListPosition {
		return httpapi.ListPosition{StartedAt: r.StartedAt, Run: r.Run}
	}
	var rows []record.RunRow
	for id, w := range e.c.workflows {
		r := w.run.Row
		if e.Partition(id) == p && (q.Type == "" || q.Type == r.Type) && (q.Status == record.StatusNone || q.Status == r.Status) &&
			(q.After.IsZero() || q.After.Before(at(&r))) && q.Filter.Fits(&r, w.run.Attributes) {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(a, b record.RunRow) int {
		if at(&a).Before(at(&b)) {
			return -1
		}
		return 1
	})
	return rows[:min(len(rows), q.Limit)], nil
}

// WaitClosed looks again at each change.
func (e *Engine) WaitClosed(ctx context.Context, workflowID string) error {
	for {
		e.c.mu.Lock()
		w, err := e.find(workflowID)
		closed := err == nil && w.run.Row.Status.Closed()
		changed := e.c.changed
		e.c.mu.Unlock()
		if err != nil || closed {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Count counts what List gives.
func (e *Engine) Count(ctx context.Context, p int32, q httpapi.ListQuery) (int64, error) {
	q.Limit = 1 << 30
	rows, err := e.List(ctx, p, q)
	return int64(len(rows)), err
}

// Stack is that of a greeting that waits.
func (e *Engine) Stack(_ context.Context, workflowID string) (httpapi.Stack, record.Answer, error) {
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	w, err := e.find(workflowID)
	switch {
	case errors.Is(err, httpapi.ErrNotFound):
		return httpapi.Stack{}, record.Answer{Outcome: record.OutcomeNotFound, Detail: fmt.Sprintf("no workflow has the ID %q", workflowID)}, nil
	case err != nil:
		return httpapi.Stack{}, record.Answer{}, err
	}
	a := record.Answer{Run: w.run.Row.Run, Outcome: record.OutcomeApplied}
	if w.run.Row.Status.Closed() {
		return httpapi.Stack{}, a, nil
	}
	return httpapi.Stack{Details: "greets " + w.person.Name, Threads: []httpapi.Thread{{For: "signal finish", Stack: []string{"httpapitest.greet greet.go:7"}}}}, a, nil
}
