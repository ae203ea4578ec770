package system

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/odradek/odradek/test/proc"
)

// Member is an engine or a service worker: one configuration, one process at a time.
// One goroutine at a time calls its methods.
type Member struct {
	Name  string
	API   string // host:port; empty for a worker
	Admin string // host:port
	// Data is the folder of an engine's stores; empty for a worker.
	Data string

	spec  proc.Spec
	env   []string // of the deployment
	group *proc.Group
	proc  *proc.Process
}

// Start starts the process, which must not be running.
func (m *Member) Start() (err error) {
	m.proc, err = m.group.Start(m.spec)
	return err
}

// SetEnv gives the processes that are started from now on these variables, as
// KEY=VALUE, beside the deployment's.
func (m *Member) SetEnv(env ...string) { m.spec.Env = slices.Concat(m.env, env) }

// Process is the process that was started last.
func (m *Member) Process() *proc.Process { return m.proc }

// Kill sends SIGKILL and waits for the end.
func (m *Member) Kill() error { return m.proc.Kill() }

// Wipe deletes an engine's stores. It must not be running.
func (m *Member) Wipe() error { return os.RemoveAll(m.Data) }

// Stop ends it in order.
func (m *Member) Stop() error { return m.proc.Stop(stopTimeout) }

// stopTimeout is above what engines and workers give themselves.
const stopTimeout = 40 * time.Second

// Ready waits until it says that it is ready.
func (m *Member) Ready(ctx context.Context) error {
	for {
		text, err := m.page(ctx, "/readyz")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w (%s)\n%s", m.Name, err, text, m.Tail())
		case <-m.proc.Ended():
			return fmt.Errorf("%s has ended: %v\n%s", m.Name, m.proc.State(), m.Tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

var pages = &http.Client{Timeout: 5 * time.Second}

// page gets a page of the admin server.
func (m *Member) page(ctx context.Context, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.Admin+path, nil)
	if err != nil {
		return "", err
	}
	resp, err := pages.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s of %s answers %s", path, m.Name, resp.Status)
	}
	return strings.TrimSpace(string(body)), err
}

// Tail is the end of its log.
func (m *Member) Tail() string {
	const most = 3 << 10
	text, err := os.ReadFile(m.spec.Log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

// freeAddrs gives n loopback addresses on which nobody listens, below the ports of
// outgoing connections: a process that is down keeps its address.
func freeAddrs(n int) ([]string, error) {
	var addrs []string
	for port := portMin; port < portMax && len(addrs) < n; port++ {
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		defer ln.Close() // at the end: another call must not get it meanwhile
		addrs = append(addrs, addr)
	}
	if len(addrs) < n {
		return nil, fmt.Errorf("there are no %d free ports on 127.0.0.1 between %d and %d", n, portMin, portMax)
	}
	return addrs, nil
}
