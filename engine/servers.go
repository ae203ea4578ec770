package engine

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/odradek/odradek/httpapi"
)

// serversStop bounds how long a stop waits for open requests.
const serversStop = 2 * time.Second

// servers are the HTTP servers of a process.
type servers struct {
	log     *slog.Logger
	running sync.WaitGroup
	all     []*http.Server
}

func newServers(log *slog.Logger) *servers { return &servers{log: log} }

// serve answers at l, with the limits for slow clients that the API has: the admin pages are
// asked by whoever reaches them.
func (s *servers) serve(name string, h http.Handler, l net.Listener) {
	srv := &http.Server{Handler: h}
	httpapi.Config{}.Timeouts(srv)
	s.all = append(s.all, srv)
	s.running.Go(func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("HTTP server ended", "server", name, "err", err)
		}
	})
}

// stop ends them all, and waits.
func (s *servers) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), serversStop)
	defer cancel()
	for _, srv := range s.all {
		if srv.Shutdown(ctx) != nil {
			_ = srv.Close()
		}
	}
	s.running.Wait()
}
