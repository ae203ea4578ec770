package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// hearing is a stderr that tells when it hears a text.
type hearing struct {
	mu    sync.Mutex
	text  bytes.Buffer
	word  string
	heard chan struct{}
}

func (h *hearing) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := strings.Contains(h.text.String(), h.word)
	h.text.Write(b)
	if !before && strings.Contains(h.text.String(), h.word) {
		close(h.heard)
	}
	return len(b), nil
}

// TestWaitingIsSaid: a command whose engine is slow says so on stderr, and then gives
// what came; with a quick one nothing is said.
func TestWaitingIsSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		args  []string
		quiet time.Duration
		slow  bool
	}{
		{"list, slow", []string{"wf", "list"}, time.Millisecond, true},
		{"get, slow", []string{"wf", "get", "w"}, time.Millisecond, true},
		{"list, quick", []string{"wf", "list"}, time.Hour, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := &hearing{word: "waiting for the engine at http://", heard: make(chan struct{})}
			srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				if c.slow { // until it was said
					select {
					case <-h.heard:
					case <-time.After(20 * time.Second):
					}
				}
				_, _ = rw.Write([]byte(`{"workflows":[]}`))
			}))
			t.Cleanup(srv.Close)
			a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: h, getenv: func(string) string { return "" }, page: pageSize, quiet: c.quiet}
			if code := a.run(t.Context(), append(c.args, "--server", srv.URL)); code != exitOK {
				t.Errorf("exit code %d: %s", code, h.text.String())
			}
			if n := strings.Count(h.text.String(), h.word); (n == 1) != c.slow || n > 1 {
				t.Errorf("it said:\n%s", h.text.String())
			}
		})
	}
}
