package engine

import (
	"log/slog"
	"net"
	"net/http"
	"testing"
)

// TestEveryServerIsBounded: no server of the process waits for slow clients without end, or
// takes headers of any size; what the limits do is shown in httpapi.
func TestEveryServerIsBounded(t *testing.T) {
	t.Parallel()
	s := newServers(slog.New(slog.DiscardHandler))
	for _, name := range []string{"api", "admin"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s.serve(name, http.NotFoundHandler(), l)
	}
	s.stop()
	for _, srv := range s.all {
		if srv.ReadHeaderTimeout <= 0 || srv.ReadTimeout <= 0 || srv.WriteTimeout <= 0 || srv.IdleTimeout <= 0 || srv.MaxHeaderBytes <= 0 {
			t.Errorf("a server reads a header for %v, a request for %v, writes for %v, idles for %v, takes %d bytes of header", srv.ReadHeaderTimeout, srv.ReadTimeout, srv.WriteTimeout, srv.IdleTimeout, srv.MaxHeaderBytes)
		}
	}
}
