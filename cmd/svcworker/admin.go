package main

import (
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/odradek/odradek/internal/pulse"
	"github.com/odradek/odradek/internal/telemetry"
	"github.com/odradek/odradek/worker"
)

// admin is the server of /metrics, /livez, /readyz and /status.
type admin struct {
	*telemetry.Pages
	server   *http.Server
	listener net.Listener
}

// newAdmin listens; it is served until close.
func newAdmin(address string, w *worker.Worker, m *telemetry.Worker, p *pulse.Pulse) (*admin, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for metrics and health: %w; set admin.listen to a free address, or to \"\" for none", err)
	}
	a := &admin{listener: l, Pages: telemetry.Admin(telemetry.AdminConfig{
		Metrics: m.Handler(),
		Live:    p.Err, // the loops tick; a broker's outage does not stop them
		Ready:   func() error { return telemetry.WorkerReady(w.Status()) },
		Status:  func() any { return map[string]any{"version": version(), "services": w.Status()} },
	})}
	a.server = &http.Server{Handler: a.Pages, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	return a, nil
}
