package processor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/odradek/odradek/engine/partition"
	"github.com/odradek/odradek/record"
)

// localTimeout bounds an attempt of a local task that has no limit of its own: what takes
// longer is work for a service worker.
const localTimeout = 30 * time.Second

const (
	// localTasksMax bounds the local tasks of an instance that run at the same time.
	localTasksMax = 256
	// localGrace is how long after its limit a local task may take to see that its context
	// has ended. Then its place is given to others, and its goroutine to nobody.
	localGrace = 10 * time.Second
	// localLostMax bounds those goroutines: beyond, a place stays taken until its task
	// returns.
	localLostMax = 256
)

// CodeLocalMissing is the code of a failure of a local task that the binary lacks.
const CodeLocalMissing = "local_task_missing"

// locals carries out the local tasks of one tenure, after the batches that scheduled
// them have settled. Their results are inputs that come from no topic: they move no
// position, and what is lost with the tenure is carried out again by the next.
type locals struct {
	ctx    context.Context
	stop   context.CancelFunc
	places *localPlaces
	warn   func(WarningInfo) // nil: nobody hears it
	wake   chan struct{}     // there are results

	mu      sync.Mutex
	results []*record.Record
	running map[record.TaskID]context.CancelFunc
}

// localPlaces are the places of an instance for local tasks of all its lanes.
type localPlaces struct {
	slots chan struct{} // tasks that run
	lost  chan struct{} // goroutines of tasks that run although they were given up
}

func newLocalPlaces() *localPlaces {
	return &localPlaces{slots: make(chan struct{}, localTasksMax), lost: make(chan struct{}, localLostMax)}
}

func newLocals(places *localPlaces, warn func(WarningInfo)) *locals {
	l := &locals{places: places, warn: warn, wake: make(chan struct{}, 1), running: map[record.TaskID]context.CancelFunc{}}
	l.ctx, l.stop = context.WithCancel(context.Background())
	return l
}

// start carries out an attempt. It does not wait.
func (l *locals) start(t partition.Local) {
	ctx, cancel := context.WithCancel(l.ctx)
	l.mu.Lock()
	l.running[t.Task] = cancel
	l.mu.Unlock()
	go func() {
		l.attempt(ctx, t)
		cancel()
	}()
}

// attempt waits for a slot and gives it back. Its limit begins with the slot: waiting for
// one spends no attempt.
func (l *locals) attempt(ctx context.Context, t partition.Local) {
	select {
	case l.places.slots <- struct{}{}:
	case <-ctx.Done():
		l.done(t, notBegun(t))
		return
	}
	if ctx.Err() != nil { // slot and end came together
		<-l.places.slots
		l.done(t, notBegun(t))
		return
	}
	if t.Timeout == 0 {
		t.Timeout = localTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	var over atomic.Bool // whoever sets it speaks for the attempt, and gives the slot back
	watch := time.AfterFunc(t.Timeout+localGrace, func() { l.giveUp(t, &over) })
	body := answer(ctx, t)
	watch.Stop()
	if !over.CompareAndSwap(false, true) {
		<-l.places.lost
		return
	}
	<-l.places.slots
	l.done(t, body)
}

// giveUp ends an attempt whose function does not return, if there is room for its goroutine.
func (l *locals) giveUp(t partition.Local, over *atomic.Bool) {
	select {
	case l.places.lost <- struct{}{}:
	default:
		tell(l.warn, WarningInfo{What: "local task " + t.Name, Err: fmt.Errorf("its function does not return, and %d others do not either: it keeps its place; let it return when its context ends, and restart the instance", localLostMax)})
		return
	}
	if !over.CompareAndSwap(false, true) {
		<-l.places.lost // it has just returned
		return
	}
	<-l.places.slots
	tell(l.warn, WarningInfo{What: "local task " + t.Name, Err: fmt.Errorf("its function has not returned %v after its limit of %v, and is left to itself: let it return when its context ends", localGrace, t.Timeout)})
	l.done(t, failed(t, record.Failure{Kind: record.FailureTimeout, Code: "attempt_timeout", Retryable: true,
		Message: fmt.Sprintf("local task %s took longer than %v, and did not return when its context ended", t.Name, t.Timeout)}))
}

// notBegun is what becomes of a task that ends before it has a slot.
func notBegun(t partition.Local) record.Body {
	return failed(t, record.Failure{Kind: record.FailureTimeout, Code: "attempt_timeout", Retryable: true,
		Message: fmt.Sprintf("local task %s was cancelled, or its partition moved, before it began", t.Name)})
}

func (l *locals) done(t partition.Local, body record.Body) {
	l.mu.Lock()
	delete(l.running, t.Task)
	l.results = append(l.results, &record.Record{WorkflowID: t.WorkflowID, Body: body, Raw: record.Raw{Key: []byte(t.WorkflowID)}})
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// end lets an attempt stop that nobody waits for.
func (l *locals) end(id record.TaskID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if cancel := l.running[id]; cancel != nil {
		cancel()
	}
}

func (l *locals) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.results)
}

// take gives up to n results.
func (l *locals) take(n int) []*record.Record {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = min(n, len(l.results))
	out := l.results[:n:n]
	l.results = l.results[n:]
	return out
}

// answer makes the attempt.
func answer(ctx context.Context, t partition.Local) (body record.Body) {
	defer func() {
		if p := recover(); p != nil {
			body = failed(t, record.Failure{Kind: record.FailureApplication, Code: "panic", Message: fmt.Sprintf("local task %s panicked: %v\n%s", t.Name, p, debug.Stack())})
		}
	}()
	if t.Call == nil {
		return failed(t, record.Failure{Kind: record.FailureEngine, Code: CodeLocalMissing, Retryable: true,
			Message: fmt.Sprintf("this binary has no local task %s: deploy one that has it", t.Name)})
	}
	result, err := t.Call(ctx, t.Input)
	switch own, ok := errors.AsType[*record.Failure](err); {
	case err == nil:
		return &record.TaskCompleted{Task: t.Task, Attempt: t.Attempt, Result: result}
	case ok:
		return failed(t, *own)
	case errors.Is(err, context.DeadlineExceeded):
		return failed(t, record.Failure{Kind: record.FailureTimeout, Code: "attempt_timeout", Message: fmt.Sprintf("local task %s took longer than %v: %v", t.Name, t.Timeout, err), Retryable: true})
	}
	return failed(t, record.Failure{Kind: record.FailureApplication, Message: err.Error(), Retryable: true})
}

func failed(t partition.Local, f record.Failure) record.Body {
	return &record.TaskFailed{Task: t.Task, Attempt: t.Attempt, Failure: f}
}
