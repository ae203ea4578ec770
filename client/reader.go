package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"
	"weak"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
)

// reader is the one reader of a process for the history topic. It begins at the
// end, looks at every record's headers, and gives closing events to whoever waits
// for them. It also reads the dead letters, where it may: a start that was refused
// ends there.
type reader struct {
	opts  []kgo.Opt
	names topology.Names
	log   *slog.Logger
	stop  context.CancelFunc
	done  chan struct{}

	mu      sync.Mutex
	waiters map[string][]weak.Pointer[waiter] // by workflow ID (K3)
	closed  bool
}

// waiter is the handle that a user holds. While nobody does, it is forgotten.
type waiter struct {
	id      string
	command string        // of the start; empty: attached
	done    chan struct{} // closed when result and err are set

	mu     sync.Mutex // of what follows
	run    string     // once the start is seen in the history: this run only
	result Result
	err    error
	over   bool
}

func (w *waiter) WorkflowID() string { return w.id }

// Result waits for the reader.
func (w *waiter) Result(ctx context.Context) (Result, error) {
	select {
	case <-w.done:
	default:
		select {
		case <-w.done:
		case <-ctx.Done():
			return Result{}, fmt.Errorf("wait for workflow %q: %w", w.id, ctx.Err())
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.result, w.err
}

func (w *waiter) end(r Result, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.over {
		w.over, w.result, w.err = true, r, err
		close(w.done)
	}
}

func newReader(ctx context.Context, opts []kgo.Opt, cl *kgo.Client, names topology.Names, log *slog.Logger) (*reader, error) {
	background, stop := context.WithCancel(context.Background())
	r := &reader{opts: opts, names: names, log: log, stop: stop, done: make(chan struct{}), waiters: map[string][]weak.Pointer[waiter]{}}
	consumer, err := r.open(ctx, cl)
	if err != nil {
		stop()
		return nil, err
	}
	go r.run(background, cl, consumer)
	return r, nil
}

// close ends the reader and everybody's waiting.
func (r *reader) close() {
	r.stop()
	<-r.done
}

// await registers a waiter.
func (r *reader) await(workflowID, command string) *waiter {
	w := &waiter{id: workflowID, command: command, done: make(chan struct{})}
	r.mu.Lock()
	closed := r.closed
	if !closed {
		r.waiters[workflowID] = append(r.waiters[workflowID], weak.Make(w))
	}
	r.mu.Unlock()
	if closed {
		w.end(Result{}, errClosed())
		return w
	}
	runtime.AddCleanup(w, r.forget, workflowID)
	return w
}

func errClosed() error { return &Error{Code: CodeClosed, Detail: "the client is closed"} }

// forget removes handles that nobody holds.
func (r *reader) forget(workflowID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keep(workflowID, func(*waiter) bool { return true })
}

// of gives those who wait for a workflow.
func (r *reader) of(workflowID string) (list []*waiter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.waiters[workflowID] {
		if w := p.Value(); w != nil {
			list = append(list, w)
		}
	}
	return list
}

// keep drops the waiters of a workflow that are gone or not wanted. The mutex is
// held.
func (r *reader) keep(workflowID string, want func(*waiter) bool) {
	list := r.waiters[workflowID][:0]
	for _, p := range r.waiters[workflowID] {
		if w := p.Value(); w != nil && want(w) {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		delete(r.waiters, workflowID)
		return
	}
	r.waiters[workflowID] = list
}

// drop forgets a waiter that has its answer.
func (r *reader) drop(w *waiter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keep(w.id, func(other *waiter) bool { return other != w })
}

// open makes a consumer that begins at the end of the topics, as committed: an
// open transaction's records come after it.
func (r *reader) open(ctx context.Context, cl *kgo.Client) (*kgo.Client, error) {
	history, dead := r.names.Topic(record.TopicHistory), r.names.Topic(record.TopicDeadLetters)
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(ctx, history, dead)
	if err != nil {
		return nil, err
	}
	from := map[string]map[int32]kgo.Offset{}
	var denied error
	ends.Each(func(o kadm.ListedOffset) {
		switch {
		case o.Err == nil:
			if from[o.Topic] == nil {
				from[o.Topic] = map[int32]kgo.Offset{}
			}
			from[o.Topic][o.Partition] = kgo.NewOffset().At(o.Offset).WithEpoch(o.LeaderEpoch)
		case o.Topic == history:
			denied = errors.Join(denied, fmt.Errorf("%s, partition %d: %w", o.Topic, o.Partition, o.Err))
		case errors.Is(o.Err, kerr.TopicAuthorizationFailed):
			r.log.Warn("starts that are refused will not be noticed: reading the dead letters is not allowed", "topic", o.Topic)
		default:
			denied = errors.Join(denied, fmt.Errorf("%s, partition %d: %w", o.Topic, o.Partition, o.Err))
		}
	})
	if denied != nil {
		return nil, denied
	}
	if len(from[history]) == 0 {
		return nil, fmt.Errorf("topic %s does not exist: is %q the namespace?", history, r.names.Namespace)
	}
	return kgo.NewClient(append(append([]kgo.Opt{}, r.opts...),
		kgo.ConsumePartitions(from), kgo.ConsumeResetOffset(kgo.NoResetOffset()), // never rewind silently: old closes are not the new run's
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
}

// run reads until the client is closed. What cannot be read goes to the waiters as
// an error; the reader then begins at the end again.
func (r *reader) run(ctx context.Context, cl, consumer *kgo.Client) {
	defer close(r.done)
	for {
		err := r.read(ctx, consumer)
		consumer.Close()
		if ctx.Err() != nil {
			r.end(true, errClosed())
			return
		}
		r.log.Error("the history cannot be read on; whoever waits is told", "error", err)
		r.end(false, &Error{Code: CodeHistoryLost, cause: err, Detail: "the history topic cannot be read on (" + err.Error() + "): the run goes on; ask for its result over HTTP"})
		for consumer = nil; consumer == nil; {
			if consumer, err = r.open(ctx, cl); err != nil {
				r.log.Error("open the history", "error", err)
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
					r.end(true, errClosed())
					return
				}
			}
		}
	}
}

// end ends everybody's waiting.
func (r *reader) end(closed bool, err error) {
	r.mu.Lock()
	all := r.waiters
	r.waiters, r.closed = map[string][]weak.Pointer[waiter]{}, r.closed || closed
	r.mu.Unlock()
	for _, list := range all {
		for _, p := range list {
			if w := p.Value(); w != nil {
				w.end(Result{}, err)
			}
		}
	}
}

// read returns when the consumer cannot go on. kgo repeats what may pass.
func (r *reader) read(ctx context.Context, consumer *kgo.Client) error {
	history := r.names.Topic(record.TopicHistory)
	for {
		fetches := consumer.PollFetches(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		fetches.EachRecord(func(k *kgo.Record) {
			if waiting := r.of(string(k.Key)); len(waiting) == 0 {
				return
			} else if k.Topic == history {
				r.event(k, waiting)
			} else {
				r.deadLetter(k, waiting)
			}
		})
		for _, e := range fetches.Errors() {
			if kerr.IsRetriable(e.Err) {
				r.log.Warn("read the history", "topic", e.Topic, "partition", e.Partition, "error", e.Err)
				continue
			}
			return fmt.Errorf("read %s, partition %d: %w", e.Topic, e.Partition, e.Err)
		}
	}
}

// historyEvent is what a closing event, or a start, has of interest.
type historyEvent struct {
	CommandID string          `json:"command_id"`
	Result    json.RawMessage `json:"result"`
	Encoding  string          `json:"encoding"`
	Failure   *record.Failure `json:"failure"`
	Previous  string          `json:"previous_run_id"`
	Reason    string          `json:"reason"`
}

// Types of the CloudEvents that matter here.
const (
	typeStarted    = "io.odradek.run_started.v1"
	typeCompleted  = "io.odradek.run_completed.v1"
	typeFailed     = "io.odradek.run_failed.v1"
	typeCancelled  = "io.odradek.run_cancelled.v1"
	typeTerminated = "io.odradek.run_terminated.v1"
	typeContinued  = "io.odradek.run_continued.v1"
)

func header(k *kgo.Record, key string) (value string) {
	for i := range k.Headers {
		if k.Headers[i].Key == key {
			value = string(k.Headers[i].Value)
		}
	}
	return value
}

// event binds a waiter to the run that its start began, and ends it when the run
// closes.
func (r *reader) event(k *kgo.Record, waiting []*waiter) {
	typ, run := header(k, codec.HeaderCEType), header(k, codec.HeaderCERun)
	switch typ {
	case typeStarted, typeCompleted, typeFailed, typeCancelled, typeTerminated, typeContinued:
	default:
		return
	}
	var e historyEvent
	err := codec.DecodeJSON(k.Value, &e, false)
	for _, w := range waiting {
		w.mu.Lock()
		if typ == typeStarted && (e.CommandID != "" && e.CommandID == w.command || w.run != "" && e.Previous == w.run) {
			w.run = run // the run that it asked for, or the one that goes on for it
		}
		other := w.run != "" && w.run != run
		w.mu.Unlock()
		if other || typ == typeStarted || typ == typeContinued {
			continue
		}
		if typ == typeTerminated {
			f := record.Terminated(e.Reason)
			e.Failure = &f
		}
		result := Result{WorkflowID: w.id, RunID: run, Failure: e.Failure}
		if err == nil && typ == typeCompleted {
			result.Value, err = payloadOf(e.Result, e.Encoding)
		}
		if err == nil && typ != typeCompleted && e.Failure == nil {
			err = errors.New("it has no failure")
		}
		if err != nil {
			w.end(Result{}, &Error{
				Code: CodeHistoryLost, cause: err,
				Detail: fmt.Sprintf("the closing event of workflow %q in %s, partition %d, offset %d is not as docs/protocol.md says: %v", w.id, k.Topic, k.Partition, k.Offset, err),
			})
		} else {
			w.end(result, nil)
		}
		r.drop(w)
	}
}

// deadLetter ends who waits for a start that was refused.
func (r *reader) deadLetter(k *kgo.Record, waiting []*waiter) {
	id := header(k, codec.HeaderCommandID)
	if id == "" || header(k, codec.HeaderType) == "" {
		return
	}
	for _, w := range waiting {
		if w.command != id {
			continue
		}
		w.end(Result{}, refused(header(k, codec.HeaderDeadLetterCode), header(k, codec.HeaderDeadLetterReason)))
		r.drop(w)
	}
}
