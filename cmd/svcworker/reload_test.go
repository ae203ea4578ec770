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

func (l *lockedLog) has(s string) bool { return l.count(s) > 0 }

func (l *lockedLog) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
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
	file, err := bindings.Load(path, binding.Options{})
	if err != nil {
		t.Fatal(err)
	}
	live, err := bindings.NewLive(file)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	handlers, _ := live.Handlers()
	call := func() string {
		t.Helper()
		out, err := handlers[0].Call(t.Context(), &worker.Call{Service: "shop", Operation: "get", Task: record.TaskID{No: 1}, Key: "k"})
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	var log lockedLog
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	a := &app{reloadEvery: time.Millisecond}
	go func() {
		defer close(ended)
		a.reload(ctx, path, file, live, slog.New(slog.NewTextHandler(&log, nil)))
	}()
	until := func(s string) {
		t.Helper()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for give := time.Now().Add(time.Minute); !log.has(s); <-tick.C {
			if time.Now().After(give) { // only against hanging
				t.Fatalf("the log never had %q", s)
			}
		}
	}
	if got := call(); got != `"/old"` {
		t.Errorf("at first %s", got)
	}
	write("get: {method: GET, path: /new}")
	until("are reloaded")
	if got := call(); got != `"/new"` {
		t.Errorf("after the change %s", got)
	}
	write("get: {method: GOT, path: /worse}")
	until("Did you mean")
	write("put: {method: PUT, path: /other}")
	until("restart the worker")
	if got := call(); got != `"/new"` {
		t.Errorf("after bad files %s", got)
	}
	stop()
	<-ended
}
