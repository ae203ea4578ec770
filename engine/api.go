package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/engine/partition"
	"github.com/odradek/odradek/engine/processor"
	"github.com/odradek/odradek/engine/replay"
	"github.com/odradek/odradek/httpapi"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/statestore"
	"github.com/odradek/odradek/workflow"
)

// apiEngine is what the HTTP API needs of an instance. All reads are of settled
// rows of a partition that this instance processes.
type apiEngine struct {
	instance   *processor.Instance
	partitions int32
	types      []string
}

// newAPIEngine serves the partitions of i to httpapi.
func newAPIEngine(i *processor.Instance, partitions int32, definitions []workflow.Definition) httpapi.Engine {
	e := &apiEngine{instance: i, partitions: partitions}
	for _, d := range definitions {
		e.types = append(e.types, d.Type())
	}
	slices.Sort(e.types)
	e.types = slices.Compact(e.types)
	return e
}

// Types are those that are compiled in.
func (e *apiEngine) Types() []string { return e.types }

// Partitions is what the slot table says.
func (e *apiEngine) Partitions() int32 { return e.partitions }

// Partition is what the slot table says.
func (e *apiEngine) Partition(workflowID string) int32 { return e.instance.Partition(workflowID) }

// Owner is what the status topic and the own lanes say.
func (e *apiEngine) Owner(p int32) (addr string, self, ok bool) { return e.instance.Owner(p) }

// inFlightPause is between two looks at a command that somebody else at this
// instance waits for: the client whose connection broke, a moment ago.
const inFlightPause = 20 * time.Millisecond

// Submit waits while the same command ID is under way, and then asks once more.
func (e *apiEngine) Submit(ctx context.Context, workflowID string, command record.Body) (record.Reply, error) {
	for {
		reply, err := e.instance.Submit(ctx, workflowID, command)
		if !errors.Is(err, processor.ErrCommandInFlight) {
			return reply, asAPIError(err)
		}
		select {
		case <-time.After(inFlightPause):
		case <-ctx.Done():
			return record.Reply{}, fmt.Errorf("%w: %w", err, context.Cause(ctx))
		}
	}
}

// asAPIError says ErrNotOwner in httpapi's words. A store that closes under a
// reader belongs to a lane that ends.
func asAPIError(err error) error {
	if errors.Is(err, processor.ErrNotOwner) || errors.Is(err, statestore.ErrClosed) {
		return fmt.Errorf("%w: %w", httpapi.ErrNotOwner, err)
	}
	return err
}

// load reads the workflow's current run.
func (e *apiEngine) load(workflowID string) (*statestore.Store, *machine.State, error) {
	p := e.instance.Partition(workflowID)
	s, ok := e.instance.Store(p)
	if !ok {
		return nil, nil, fmt.Errorf("workflow %q: partition %d: %w", workflowID, p, httpapi.ErrNotOwner)
	}
	state, err := s.Describe(workflowID)
	if err != nil {
		return nil, nil, asAPIError(err)
	}
	if state == nil {
		return nil, nil, fmt.Errorf("workflow %q: %w", workflowID, httpapi.ErrNotFound)
	}
	return s, state, nil
}

// Run reads the current run, and how it ended.
func (e *apiEngine) Run(_ context.Context, workflowID string) (httpapi.Run, error) {
	for again := false; ; again = true {
		s, state, err := e.load(workflowID)
		if err != nil {
			return httpapi.Run{}, err
		}
		run := httpapi.Run{
			Row: state.Run, Tasks: state.Tasks, Timers: state.Timers, Signals: state.Signals, Attempts: state.Attempts,
			Attributes: state.Attributes, Children: state.Children, Updates: state.Updates, Stuck: state.Stuck, Inbox: len(state.Inbox),
		}
		err = closing(s, state, &run)
		if errors.Is(err, machine.ErrNoChunk) && !again {
			continue // dropped between the two reads: the summary has it now
		}
		return run, asAPIError(err)
	}
}

// closing reads the result out of the chunk that has it, or out of the summary when
// the chunks are dropped (F4); of an open run, whether its type is paused.
func closing(s *statestore.Store, state *machine.State, run *httpapi.Run) error {
	switch {
	case !state.Run.Status.Closed():
		var err error
		run.TypePaused, err = s.TypePaused(state.Run.Type)
		return err
	case state.Summary != nil:
		run.Result, run.Failure = state.Summary.Result, state.Summary.Failure
		return nil
	}
	events, err := s.Chunk(state.Run.WorkflowID, state.Run.Run, state.Run.CloseChunk)
	if err != nil {
		return err
	}
	for _, event := range events {
		if event.No != state.Run.CloseEvent {
			continue
		}
		switch b := event.Body.(type) {
		case *record.RunCompleted:
			run.Result = b.Result
			return nil
		case *record.RunFailed:
			run.Failure = &b.Failure
			return nil
		case *record.RunCancelled:
			run.Failure = &b.Failure
			return nil
		case *record.RunTerminated:
			f := record.Terminated(b.Reason)
			run.Failure = &f
			return nil
		case *record.RunContinued:
			return nil
		}
	}
	return fmt.Errorf("workflow %q: chunk %d of run %s has no closing event %d", state.Run.WorkflowID, state.Run.CloseChunk, state.Run.Run, state.Run.CloseEvent)
}

// History reads one page.
func (e *apiEngine) History(_ context.Context, workflowID string, run record.RunID, from uint64, n int) ([]json.RawMessage, error) {
	s, state, err := e.load(workflowID)
	switch {
	case err != nil:
		return nil, err
	case state.Run.Run != run:
		return nil, fmt.Errorf("workflow %q, run %s: %w", workflowID, run, httpapi.ErrNotFound)
	case state.Gone:
		return nil, fmt.Errorf("workflow %q, run %s: %w", workflowID, run, httpapi.ErrHistoryGone)
	}
	events, err := s.History(workflowID, run, from, n)
	if errors.Is(err, statestore.ErrNoHistory) { // dropped since
		return nil, fmt.Errorf("%w: %w", httpapi.ErrHistoryGone, err)
	}
	if err != nil {
		return nil, asAPIError(err)
	}
	page := make([]json.RawMessage, len(events))
	for i, event := range events {
		if page[i], err = codec.HistoryJSON(event); err != nil {
			return nil, fmt.Errorf("workflow %q: %w", workflowID, err)
		}
	}
	return page, nil
}

// List reads one partition.
func (e *apiEngine) List(_ context.Context, p int32, q httpapi.ListQuery) ([]record.RunRow, error) {
	s, ok := e.instance.Store(p)
	if !ok {
		return nil, fmt.Errorf("partition %d: %w", p, httpapi.ErrNotOwner)
	}
	query := statestore.ListQuery{Type: q.Type, Status: q.Status, Filter: q.Filter, Limit: q.Limit}
	if !q.After.IsZero() {
		query.After = statestore.CursorOf(&record.RunRow{StartedAt: q.After.StartedAt, Run: q.After.Run})
	}
	rows, _, err := s.List(query)
	return rows, asAPIError(err)
}

// WaitClosed waits for the close to settle.
func (e *apiEngine) WaitClosed(ctx context.Context, workflowID string) error {
	if err := e.instance.WaitClosed(ctx, workflowID); err != nil {
		return asAPIError(err)
	}
	_, _, err := e.load(workflowID) // "no run is open" is also said of an unknown workflow
	return err
}

// Query asks the run's code.
func (e *apiEngine) Query(ctx context.Context, workflowID, name string, input []byte, stale bool) (record.Answer, time.Duration, error) {
	a, age, err := e.instance.Query(ctx, workflowID, name, input, stale)
	return a, age, asAPIError(err)
}

// WaitUpdate waits for the answer to settle.
func (e *apiEngine) WaitUpdate(ctx context.Context, workflowID, updateID string) error {
	return asAPIError(e.instance.WaitUpdate(ctx, workflowID, updateID))
}

// Update finds an update by its command ID, in the current run or the one that it
// continued from.
func (e *apiEngine) Update(_ context.Context, workflowID, updateID string) (httpapi.Update, error) {
	s, state, err := e.load(workflowID)
	if err != nil {
		return httpapi.Update{}, err
	}
	for i := range state.Inbox {
		if u := state.Inbox[i].Update; u != nil && u.CommandID == updateID {
			return httpapi.Update{Run: state.Run.Run, Name: u.Name, Open: true}, nil
		}
	}
	for {
		row, ok, err := s.Command(workflowID, state.Run.Run, updateID)
		if err != nil {
			return httpapi.Update{}, asAPIError(err)
		}
		if ok {
			return update(s, state, row.Event)
		}
		if state.Gone && slices.Contains(state.Summary.CommandIDs, updateID) {
			return httpapi.Update{}, fmt.Errorf("workflow %q, update %q: %w", workflowID, updateID, httpapi.ErrHistoryGone)
		}
		before := state.Run.Previous
		if before.IsZero() {
			return httpapi.Update{}, fmt.Errorf("workflow %q has no update %q: %w", workflowID, updateID, httpapi.ErrNotFound)
		}
		if state, err = s.LoadRun(workflowID, before); err != nil || state == nil {
			return httpapi.Update{}, errors.Join(asAPIError(err), fmt.Errorf("workflow %q has no update %q: %w", workflowID, updateID, httpapi.ErrNotFound))
		}
	}
}

// updatePage is how many history events are read at a time for the answer of an update.
const updatePage = 500

// update reads the update that is the run's history event of that number, and its answer,
// which comes after it.
func update(s *statestore.Store, state *machine.State, event uint64) (httpapi.Update, error) {
	u := httpapi.Update{Run: state.Run.Run, Open: true}
	for from := event; from <= state.Run.Events; from += updatePage {
		events, err := s.History(state.Run.WorkflowID, state.Run.Run, from, updatePage)
		if errors.Is(err, statestore.ErrNoHistory) {
			return u, fmt.Errorf("%w: %w", httpapi.ErrHistoryGone, err)
		}
		if err != nil {
			return u, asAPIError(err)
		}
		for _, e := range events {
			switch b := e.Body.(type) {
			case *record.UpdateReceived:
				if e.No == event {
					u.Name = b.Name
				}
			case *record.UpdateCompleted:
				if b.Update == event {
					u.Open, u.Result, u.Failure = false, b.Result, b.Failure
					return u, nil
				}
			}
		}
		if u.Name == "" {
			return u, fmt.Errorf("workflow %q: the command became event %d, which is no update: %w", state.Run.WorkflowID, event, httpapi.ErrNotFound)
		}
		for i := range state.Updates {
			if state.Updates[i].No == event {
				return u, nil
			}
		}
	}
	if state.Run.Status.Closed() {
		u.Open = false
		u.Failure = &record.Failure{Kind: record.FailureEngine, Code: record.OutcomeClosed.String(),
			Message: fmt.Sprintf("run %s was %s before the update was answered", state.Run.Run, state.Run.Status)}
	}
	return u, nil
}

// CopyStore copies a store of this instance.
func (e *apiEngine) CopyStore(_ context.Context, p int32) (string, error) {
	dir, err := e.instance.CopyStore(p)
	if errors.Is(err, processor.ErrTooManyCopies) {
		err = fmt.Errorf("%w: %w", httpapi.ErrNotOffered, err)
	}
	return dir, asAPIError(err)
}

// TypeRows reads one partition.
func (e *apiEngine) TypeRows(_ context.Context, p int32) ([]record.TypeRow, error) {
	s, ok := e.instance.Store(p)
	if !ok {
		return nil, fmt.Errorf("partition %d: %w", p, httpapi.ErrNotOwner)
	}
	rows, err := s.TypeRows()
	return rows, asAPIError(err)
}

// Services asks the brokers, and the topic status.
func (e *apiEngine) Services(ctx context.Context) ([]httpapi.Service, error) {
	all, err := e.instance.Services(ctx)
	out := make([]httpapi.Service, len(all))
	for i, s := range all {
		out[i] = httpapi.Service{Name: s.Name, Partitions: s.Partitions, Members: s.Members, Lag: s.Lag, Trouble: s.Trouble, Row: s.Row}
		for _, w := range s.Workers {
			out[i].Workers = append(out[i].Workers, httpapi.ServiceWorker(w))
		}
	}
	return out, err
}

// OperateService writes to the topic status.
func (e *apiEngine) OperateService(ctx context.Context, service string, act record.ServiceAct) (bool, error) {
	changed, err := e.instance.OperateService(ctx, service, act)
	if errors.Is(err, processor.ErrServiceUnknown) {
		err = fmt.Errorf("%w: %w", httpapi.ErrServiceUnknown, err)
	}
	return changed, err
}

// DeadLetters reads a page.
func (e *apiEngine) DeadLetters(_ context.Context, p int32, after *record.Origin, code string, n int) ([]record.DeadLetterRow, error) {
	s, ok := e.instance.Store(p)
	if !ok {
		return nil, fmt.Errorf("partition %d: %w", p, httpapi.ErrNotOwner)
	}
	rows, err := s.ListDeadLetters(after, code, n)
	return rows, asAPIError(err)
}

// DeadLetter reads one.
func (e *apiEngine) DeadLetter(_ context.Context, o record.Origin) (record.DeadLetterRow, bool, error) {
	s, ok := e.instance.Store(o.Partition)
	if !ok {
		return record.DeadLetterRow{}, false, fmt.Errorf("partition %d: %w", o.Partition, httpapi.ErrNotOwner)
	}
	row, ok, err := s.DeadLetter(o)
	return row, ok, asAPIError(err)
}

// PreviewReset plans a reset from the settled state.
func (e *apiEngine) PreviewReset(_ context.Context, workflowID string, to uint64) (httpapi.Preview, error) {
	s, state, err := e.load(workflowID)
	switch {
	case err != nil:
		return httpapi.Preview{}, err
	case state.Gone:
		return httpapi.Preview{}, fmt.Errorf("workflow %q, run %s: %w", workflowID, state.Run.Run, httpapi.ErrHistoryGone)
	}
	var events []record.HistoryEvent
	var chunks []uint32
	for no := uint32(1); no <= state.Run.Chunks; no++ {
		more, err := s.Chunk(workflowID, state.Run.Run, no)
		if errors.Is(err, machine.ErrNoChunk) {
			return httpapi.Preview{}, fmt.Errorf("%w: %w", httpapi.ErrHistoryGone, err)
		}
		if err != nil {
			return httpapi.Preview{}, asAPIError(err)
		}
		for _, event := range more {
			events, chunks = append(events, event), append(chunks, no)
		}
	}
	plan, why := machine.PlanReset(state, events, to, func(no uint64) uint32 { return chunks[no-1] })
	if why != nil {
		return httpapi.Preview{}, fmt.Errorf("%w: run %s of workflow %q: %w", httpapi.ErrNotOffered, state.Run.Run, workflowID, why)
	}
	out := httpapi.Preview{Run: state.Run.Run, To: plan.To, Signals: len(plan.Signals)}
	then := machine.State{Tasks: plan.Open.Tasks}
	for _, a := range plan.Again {
		out.SentAgain = append(out.SentAgain, *then.Task(a.Task))
	}
	for i := range state.Tasks {
		if then.Task(state.Tasks[i].No) == nil {
			out.Stopped = append(out.Stopped, state.Tasks[i])
		}
	}
	for _, event := range plan.Undone {
		text, err := codec.HistoryJSON(event)
		if err != nil {
			return httpapi.Preview{}, fmt.Errorf("workflow %q: %w", workflowID, err)
		}
		out.Undone = append(out.Undone, text)
	}
	return out, nil
}

// Count counts one partition.
func (e *apiEngine) Count(_ context.Context, p int32, q httpapi.ListQuery) (int64, error) {
	s, ok := e.instance.Store(p)
	if !ok {
		return 0, fmt.Errorf("partition %d: %w", p, httpapi.ErrNotOwner)
	}
	n, err := s.Count(statestore.ListQuery{Type: q.Type, Status: q.Status, Filter: q.Filter})
	return n, asAPIError(err)
}

// Stack asks the run's code where it waits.
func (e *apiEngine) Stack(ctx context.Context, workflowID string) (httpapi.Stack, record.Answer, error) {
	a, _, err := e.instance.Query(ctx, workflowID, partition.DescribeQuery, nil, true)
	if err != nil || a.Outcome.Rejected() {
		return httpapi.Stack{}, a, asAPIError(err)
	}
	var v replay.View
	if err := json.Unmarshal(a.Result, &v); err != nil {
		return httpapi.Stack{}, a, fmt.Errorf("workflow %q: %w", workflowID, err)
	}
	out := httpapi.Stack{Details: v.Details}
	for _, t := range v.Threads {
		out.Threads = append(out.Threads, httpapi.Thread(t))
	}
	return out, a, nil
}
