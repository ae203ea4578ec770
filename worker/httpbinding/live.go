package httpbinding

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
)

// Live is a file that may be replaced while its handlers are in use.
type Live struct {
	now atomic.Pointer[served]
}

// served is a file with the connections of its services.
type served struct {
	file  *File
	tasks map[string]*attached // by service.operation
}

type attached struct {
	task           *Task
	client, tokens *http.Client
	many           *worker.Batcher[*worker.Call, []byte] // of a batch
}

func (b *attached) do(ctx context.Context, call *worker.Call) ([]byte, error) {
	if b.many == nil {
		return b.task.do(ctx, b.client, b.tokens, call)
	}
	group, err := b.task.Group(call)
	if err != nil {
		return nil, err
	}
	return b.many.Do(ctx, group, call)
}

// NewLive serves a file.
func NewLive(f *File) *Live {
	l := &Live{}
	l.now.Store(serve(f))
	return l
}

func serve(f *File) *served {
	s := &served{file: f, tasks: map[string]*attached{}}
	for _, service := range f.Services {
		client, tokens := service.client(), service.tokenClient()
		for _, t := range service.Tasks {
			b := &attached{task: t, client: client, tokens: tokens}
			if t.batch != nil {
				b.many = worker.NewBatcher(t.batch.Batch, func(ctx context.Context, calls []*worker.Call) ([]worker.BatchResult[[]byte], error) {
					return t.doMany(ctx, client, tokens, calls), nil
				})
			}
			s.tasks[t.key] = b
		}
	}
	return s
}

// Handlers are those of the file's tasks, and the settings of its services. A call uses the
// file that is there when it begins.
func (l *Live) Handlers() ([]worker.Handler, map[string]worker.Service) {
	var handlers []worker.Handler
	services := map[string]worker.Service{}
	for _, s := range l.now.Load().file.Services {
		services[s.Name] = s.Service
		for _, t := range s.Tasks {
			key := t.key
			handlers = append(handlers, worker.HandleRaw(s.Name, t.Operation, func(ctx context.Context, call *worker.Call) ([]byte, error) {
				return l.now.Load().tasks[key].do(ctx, call)
			}, worker.WithTimeout(t.Timeout), worker.WithBeats()))
		}
	}
	return handlers, services
}

// Fits reports why a file cannot replace the one that is served: what the worker was started
// with cannot change under it, its services and operations, their limits and timeouts.
func (l *Live) Fits(f *File) error { return binding.SameShape(shape(l.now.Load().file), shape(f)) }

// Replace takes another file, which Fits, for the calls that begin from now on.
func (l *Live) Replace(f *File) error {
	if err := l.Fits(f); err != nil {
		return err
	}
	was := l.now.Load()
	l.now.Store(serve(f))
	for _, b := range was.tasks {
		b.client.CloseIdleConnections()
	}
	return nil
}

// shape is what a worker is started with.
func shape(f *File) (lines []string) {
	for _, s := range f.Services {
		lines = append(lines, s.Shape()...)
		for _, t := range s.Tasks {
			lines = append(lines, fmt.Sprintf("%s: timeout %v", t.key, t.Timeout))
		}
	}
	return lines
}
