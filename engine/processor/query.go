package processor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/odradek/odradek/engine/partition"
	"github.com/odradek/odradek/record"
)

// query is a question to a run. It is an input of the lane that comes from no topic and
// changes nothing (I3).
type query struct {
	workflowID, name string
	input            []byte
	stale            bool // answered before the batches ahead of it have settled
	reply            chan queryReply
}

type queryReply struct {
	record.Answer
	age time.Duration
}

// queries wait for a lane. They outlive its tenures: what no tenure has answered the next
// one takes again.
type queries struct {
	mu   sync.Mutex
	list []*query
	open map[*query]struct{} // taken or not
	wake chan struct{}
}

func newQueries() *queries {
	return &queries{open: map[*query]struct{}{}, wake: make(chan struct{}, 1)}
}

func (qs *queries) add(q *query) {
	qs.mu.Lock()
	qs.list, qs.open[q] = append(qs.list, q), struct{}{}
	qs.mu.Unlock()
	select {
	case qs.wake <- struct{}{}:
	default:
	}
}

// forget takes one out for which nobody waits any more.
func (qs *queries) forget(q *query) {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	delete(qs.open, q)
}

func (qs *queries) len() int {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	return len(qs.list)
}

// take gives the oldest; nil: none.
func (qs *queries) take() *query {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	for len(qs.list) > 0 {
		q := qs.list[0]
		qs.list[0] = nil
		qs.list = qs.list[1:]
		if _, waits := qs.open[q]; waits {
			return q
		}
	}
	qs.list = nil
	return nil
}

// again lets a new tenure take what is open.
func (qs *queries) again() {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	qs.list = qs.list[:0]
	for q := range qs.open {
		qs.list = append(qs.list, q)
	}
}

// answer tells who asks.
func (q *query) answer(r queryReply) {
	select {
	case q.reply <- r:
	default: // it was answered
	}
}

// answered is a query with its answer, on its way with a batch.
type answered struct {
	query *query
	reply queryReply
}

// queriesMax bounds the queries of one batch.
const queriesMax = 100

// stepQueries asks what is to be asked, after the inputs of the batch.
func (t *tenure) stepQueries(b *batch) error {
	for range queriesMax {
		q := t.lane.queries.take()
		if q == nil {
			return nil
		}
		t.asking = q
		t.guard.enter()
		a, err := t.stepper.Query(q.workflowID, q.name, q.input)
		t.guard.leave()
		t.asking = nil
		if err != nil {
			return err
		}
		r := queryReply{Answer: a}
		if q.stale {
			r.age = time.Since(t.last)
			q.answer(r)
			continue
		}
		b.answers = append(b.answers, answered{q, r})
	}
	return nil
}

// Query asks the workflow's current run. It is answered when everything before it has
// settled, and this instance has shown to be the owner still; with stale at once, and age
// says how long ago that was shown last. ErrNotOwner.
func (i *Instance) Query(ctx context.Context, workflowID, name string, input []byte, stale bool) (a record.Answer, age time.Duration, err error) {
	p := i.Partition(workflowID)
	l := i.lane(p)
	if l == nil {
		return a, 0, fmt.Errorf("workflow %q: partition %d: %w", workflowID, p, ErrNotOwner)
	}
	q := &query{workflowID: workflowID, name: name, input: input, stale: stale, reply: make(chan queryReply, 1)}
	l.queries.add(q)
	defer l.queries.forget(q)
	select {
	case r := <-q.reply:
		return r.Answer, r.age, nil
	case <-l.waiters.ended:
		return a, 0, fmt.Errorf("workflow %q: partition %d: %w", workflowID, p, ErrNotOwner)
	case <-ctx.Done():
		return a, 0, fmt.Errorf("workflow %q: query %s was not answered: %w", workflowID, name, context.Cause(ctx))
	}
}

// WaitUpdate returns nil when the update with that command ID is answered in the settled
// state, or no run is open that could: at once, or when it is so. ErrNotOwner.
func (i *Instance) WaitUpdate(ctx context.Context, workflowID, commandID string) error {
	p := i.Partition(workflowID)
	for {
		l := i.lane(p)
		if l == nil {
			return fmt.Errorf("workflow %q: partition %d: %w", workflowID, p, ErrNotOwner)
		}
		answer, forget := l.waiters.closing(partition.UpdateKey(workflowID, commandID))
		closed, forgetToo := l.waiters.closing(workflowID)
		open, err := l.updateOpen(workflowID, commandID)
		if err == nil && open {
			select {
			case <-answer:
			case <-closed:
			case <-l.waiters.ended:
				err = fmt.Errorf("workflow %q: partition %d: %w", workflowID, p, ErrNotOwner)
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
		}
		forget()
		forgetToo()
		if err != nil || !open {
			return err
		}
	}
}

// updateOpen reports whether the update is not answered yet. While the lane takes over it
// counts as open.
func (l *lane) updateOpen(workflowID, commandID string) (bool, error) {
	s := l.getStore()
	if s == nil || !l.progress.running() {
		return true, nil
	}
	state, err := s.Load(workflowID)
	switch {
	case err != nil && l.getStore() != s:
		return true, nil
	case err != nil:
		return false, fmt.Errorf("load workflow %q: %w", workflowID, err)
	case state == nil || state.Run.Status.Closed():
		return false, nil
	}
	for i := range state.Updates {
		if state.Updates[i].CommandID == commandID {
			return true, nil
		}
	}
	for i := range state.Inbox {
		if u := state.Inbox[i].Update; u != nil && u.CommandID == commandID {
			return true, nil
		}
	}
	return false, nil
}
