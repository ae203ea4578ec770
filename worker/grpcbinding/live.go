package grpcbinding

import (
	"context"
	"fmt"
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
	file     *File
	tasks    map[string]attached // by service.operation
	channels []*channel
}

type attached struct {
	task    *Task
	channel *channel
}

// NewLive serves a file. Nothing is connected to before the first call.
func NewLive(f *File) (*Live, error) {
	s, err := serve(f)
	if err != nil {
		return nil, err
	}
	l := &Live{}
	l.now.Store(s)
	return l, nil
}

func serve(f *File) (*served, error) {
	s := &served{file: f, tasks: map[string]attached{}}
	for _, service := range f.Services {
		c, err := service.open()
		if err != nil {
			s.retire()
			return nil, fmt.Errorf("service %s: %w", service.Name, err)
		}
		s.channels = append(s.channels, c)
		for _, t := range service.Tasks {
			s.tasks[t.key] = attached{t, c}
		}
	}
	return s, nil
}

func (s *served) retire() {
	for _, c := range s.channels {
		c.retire()
	}
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
				return l.call(ctx, key, call)
			}, worker.WithTimeout(t.Timeout), worker.WithBeats()))
		}
	}
	return handlers, services
}

func (l *Live) call(ctx context.Context, key string, call *worker.Call) ([]byte, error) {
	for {
		now := l.now.Load()
		b := now.tasks[key]
		if b.channel.begin() {
			defer b.channel.end()
			return b.task.do(ctx, b.channel, call)
		}
		if l.now.Load() == now { // closed, not replaced
			return nil, context.Canceled
		}
	}
}

// Fits reports why a file cannot replace the one that is served: what the worker was started
// with cannot change under it.
func (l *Live) Fits(f *File) error { return binding.SameShape(l.now.Load().file.shape(), f.shape()) }

// Replace takes another file, which Fits, for the calls that begin from now on. Calls that
// run end over their connections, which are closed then.
func (l *Live) Replace(f *File) error {
	if err := l.Fits(f); err != nil {
		return err
	}
	s, err := serve(f)
	if err != nil {
		return err
	}
	l.now.Swap(s).retire()
	return nil
}

// Close ends the connections behind their last calls.
func (l *Live) Close() { l.now.Load().retire() }

// shape is what a worker is started with.
func (f *File) shape() (lines []string) {
	for _, s := range f.Services {
		lines = append(lines, s.Shape()...)
		for _, t := range s.Tasks {
			lines = append(lines, fmt.Sprintf("%s: timeout %v", t.key, t.Timeout))
		}
	}
	return lines
}
