package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
	"github.com/odradek/odradek/worker/bindings"
)

// lockedLog is what a logger has written so far.
type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

// reloading is a worker's only binding while its file is looked at again and again.
type reloading struct {
	t    *testing.T
	log  lockedLog
	call func() string // carries the task out
}

// reloads serves the only task of a file until the test ends.
func reloads(t *testing.T, path, service, operation string) *reloading {
	t.Helper()
	file, err := bindings.Load(path, binding.Options{})
	if err != nil {
		t.Fatal(err)
	}
	live, err := bindings.NewLive(file)
	if err != nil {
		t.Fatal(err)
	}
	handlers, _ := live.Handlers()
	r := &reloading{t: t}
	r.call = func() string {
		t.Helper()
		out, err := handlers[0].Call(t.Context(), &worker.Call{Service: service, Operation: operation, Task: record.TaskID{No: 1}, Key: "k"})
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	a := &app{reloadEvery: time.Millisecond}
	go func() {
		defer close(ended)
		a.reload(ctx, watched{path: path, file: file, live: live, log: slog.New(slog.NewTextHandler(&r.log, nil))})
	}()
	t.Cleanup(func() {
		stop()
		<-ended
		live.Close()
	})
	return r
}

// until waits until the log has s so often.
func (r *reloading) until(s string, n int) {
	r.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for give := time.Now().Add(time.Minute); r.log.count(s) < n; <-tick.C {
		if time.Now().After(give) { // only against hanging
			r.t.Fatalf("the log never had %q", s)
		}
	}
}

// TestReload: changed bindings are used by the next call; a file that is wrong, or that
// asks for a restart, changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%q", r.URL.Path) }))
	t.Cleanup(api.Close)
	path := filepath.Join(t.TempDir(), "w.yaml")
	write := func(task string) {
		t.Helper()
		if err := os.WriteFile(path, fmt.Appendf(nil, "services:\n  shop:\n    base_url: %s\n    tasks:\n      %s\n", api.URL, task), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("get: {method: GET, path: /old}")
	r := reloads(t, path, "shop", "get")
	if got := r.call(); got != `"/old"` {
		t.Errorf("at first %s", got)
	}
	write("get: {method: GET, path: /new}")
	r.until("are reloaded", 1)
	if got := r.call(); got != `"/new"` {
		t.Errorf("after the change %s", got)
	}
	write("get: {method: GOT, path: /worse}")
	r.until("Did you mean", 1)
	write("put: {method: PUT, path: /other}")
	r.until("restart the worker", 1)
	if got := r.call(); got != `"/new"` {
		t.Errorf("after bad files %s", got)
	}
}
