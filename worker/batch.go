package worker

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

// Batch says how tasks are put together.
type Batch struct {
	// Max is how many tasks one call of the function gets at most. Default 100. Each of
	// them holds a permit of its service while it waits, and spends a token of its rate:
	// concurrency bounds a batch too, and a rate is one of tasks.
	Max int
	// Wait is how long the first task of a batch waits for more. Default 10 ms.
	Wait time.Duration
	// Bytes is how many bytes of input one call gets at most, if it gets more than one
	// task. Default: no bound but the worker's own, of what it holds at a time.
	Bytes int
}

func (b Batch) withDefaults() Batch {
	if b.Max == 0 {
		b.Max = 100
	}
	if b.Wait == 0 {
		b.Wait = 10 * time.Millisecond
	}
	return b
}

// BatchResult is one task's part of a batch's result.
type BatchResult[Out any] struct {
	Value Out
	Err   error // as a handler's
}

// HandleBatch binds a task to a function that does many at once, of any runs: as many as
// have come within Batch.Wait, at most Batch.Max, all with the same key (nil: any). It
// gives as many results as it got inputs, in their order, or an error for all. Its
// context ends when that of every task has.
func HandleBatch[In, Out any](task workflow.Task[In, Out], b Batch, key func(In) string, fn func(ctx context.Context, ins []In) ([]BatchResult[Out], error), opts ...Option) Handler {
	c := NewBatcher(b, fn)
	return Handle(task, func(ctx context.Context, in In) (Out, error) {
		k := ""
		if key != nil {
			k = key(in)
		}
		return c.Do(ctx, k, in)
	}, opts...)
}

// Batcher puts calls of handlers together to calls of one function: what HandleBatch is
// made of, for handlers of another kind. It is used from many goroutines.
type Batcher[In, Out any] struct {
	Batch
	fn func(ctx context.Context, ins []In) ([]BatchResult[Out], error)

	mu   sync.Mutex
	open map[string]*batch[In, Out] // by key: those that still wait for more
}

// NewBatcher makes a Batcher of a function as HandleBatch has it.
func NewBatcher[In, Out any](b Batch, fn func(ctx context.Context, ins []In) ([]BatchResult[Out], error)) *Batcher[In, Out] {
	return &Batcher[In, Out]{Batch: b.withDefaults(), fn: fn, open: map[string]*batch[In, Out]{}}
}

// batch is one call of the function.
type batch[In, Out any] struct {
	items []*item[In, Out]
	bytes int
	full  chan struct{} // closed when no more come in
	done  chan struct{} // closed when results are there
}

// item is one task of a batch.
type item[In, Out any] struct {
	ctx    context.Context
	in     In
	result BatchResult[Out]
}

// Do waits for the batch that it is part of, with others of its key. The first of a batch
// carries it out. ctx is a handler's, or that of a call which is no worker's.
func (c *Batcher[In, Out]) Do(ctx context.Context, key string, in In) (out Out, err error) {
	call, _ := ctx.Value(callKey{}).(*Call)
	size := 0
	if call != nil {
		size = len(call.Input)
	}
	c.mu.Lock()
	b := c.open[key]
	if b != nil && c.Bytes > 0 && b.bytes+size > c.Bytes {
		c.close(key, b)
		b = nil
	}
	first := b == nil
	if first {
		b = &batch[In, Out]{full: make(chan struct{}), done: make(chan struct{})}
		c.open[key] = b
	}
	mine := &item[In, Out]{ctx: ctx, in: in}
	b.items, b.bytes = append(b.items, mine), b.bytes+size
	if len(b.items) == c.Max {
		c.close(key, b)
	}
	c.mu.Unlock()
	if !first && call != nil {
		call.joined = true
	}
	if first {
		wait := time.NewTimer(c.Wait)
		select {
		case <-b.full:
		case <-wait.C:
		}
		wait.Stop()
		c.mu.Lock()
		if c.open[key] == b {
			delete(c.open, key)
		}
		c.mu.Unlock()
		c.run(b)
	}
	select {
	case <-b.done:
	case <-ctx.Done():
		return out, context.Cause(ctx)
	}
	return mine.result.Value, mine.result.Err
}

// close lets nobody into b any more. c.mu is held.
func (c *Batcher[In, Out]) close(key string, b *batch[In, Out]) {
	delete(c.open, key)
	close(b.full)
}

// run calls the function for those of b that somebody still waits for.
func (c *Batcher[In, Out]) run(b *batch[In, Out]) {
	defer close(b.done)
	var items []*item[In, Out]
	var ins []In
	for _, i := range b.items {
		if i.ctx.Err() != nil {
			i.result.Err = context.Cause(i.ctx)
			continue
		}
		items, ins = append(items, i), append(ins, i.in)
	}
	if len(items) == 0 {
		return
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	var left atomic.Int64
	left.Store(int64(len(items)))
	for _, i := range items {
		defer context.AfterFunc(i.ctx, func() {
			if left.Add(-1) == 0 { // nobody waits for any of it
				cancel(context.Cause(i.ctx))
			}
		})()
	}
	results, err := c.call(ctx, ins)
	if err == nil && len(results) != len(ins) {
		err = &record.Failure{Kind: record.FailureApplication, Code: "batch_result_invalid", Retryable: true,
			Message: fmt.Sprintf("the batch handler gave %d results for %d tasks", len(results), len(ins))}
	}
	for at, i := range items {
		if err != nil {
			i.result.Err = err
		} else {
			i.result = results[at]
		}
	}
}

// call calls the function; its panic is a failure of all.
func (c *Batcher[In, Out]) call(ctx context.Context, ins []In) (results []BatchResult[Out], err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &record.Failure{Kind: record.FailureApplication, Code: CodePanic, Retryable: true, Message: fmt.Sprintf("the batch handler panicked: %v\n%s", p, debug.Stack())}
		}
	}()
	return c.fn(ctx, ins)
}
