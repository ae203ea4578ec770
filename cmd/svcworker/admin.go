package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/odradek/odradek/internal/pulse"
	"github.com/odradek/odradek/worker"
)

// admin is the server of /metrics, /livez, /readyz and /status.
type admin struct {
	server   *http.Server
	listener net.Listener
	stopping atomic.Bool
}

// newAdmin listens; it is served until close.
func newAdmin(address string, w *worker.Worker, m *metrics, p *pulse.Pulse) (*admin, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for metrics and health: %w; set admin.listen to a free address, or to \"\" for none", err)
	}
	a := &admin{listener: l}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		m.write(rw, w.Status())
	})
	// Alive means that the loops tick; a broker's outage does not stop them.
	mux.HandleFunc("GET /livez", func(rw http.ResponseWriter, _ *http.Request) {
		if err := p.Err(); err != nil {
			http.Error(rw, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(rw, "ok")
	})
	mux.HandleFunc("GET /readyz", func(rw http.ResponseWriter, _ *http.Request) { a.ready(rw, w) })
	mux.HandleFunc("GET /status", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(rw)
		enc.SetIndent("", "  ")
		_ = enc.Encode(map[string]any{"version": version(), "stopping": a.stopping.Load(), "services": w.Status()})
	})
	a.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	return a, nil
}

// ready means that each service's group has answered; without partitions too, there
// may be more workers than partitions.
func (a *admin) ready(rw http.ResponseWriter, w *worker.Worker) {
	if a.stopping.Load() {
		http.Error(rw, "stopping", http.StatusServiceUnavailable)
		return
	}
	for _, s := range w.Status() {
		if !s.Joined {
			http.Error(rw, "service "+s.Service+" has not joined its group yet", http.StatusServiceUnavailable)
			return
		}
	}
	fmt.Fprintln(rw, "ok")
}
