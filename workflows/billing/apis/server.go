package apis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Config says where the four APIs listen and keep their ledgers.
type Config struct {
	// Addr is host:port. The APIs take the port and the three after it, in the order
	// of Services; with port 0 each takes a free one.
	Addr string
	// LedgerDir has one ledger per service: LedgerPath.
	LedgerDir string
	Faults    Faults
}

// LedgerPath is where a service keeps its ledger.
func LedgerPath(dir, service string) string { return filepath.Join(dir, service+".jsonl") }

// Server is the four APIs, each on an address of its own.
type Server struct {
	addresses map[string]string
	ledgers   []*Ledger
	servers   []*http.Server
	serving   sync.WaitGroup
}

// Start opens the ledgers, listens and serves. After an error nothing is left open.
func Start(cfg Config) (_ *Server, err error) {
	s := &Server{addresses: map[string]string{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	host, port, err := splitAddr(cfg.Addr)
	if err != nil {
		return nil, err
	}
	for i, service := range Services() {
		ledger, err := OpenLedger(LedgerPath(cfg.LedgerDir, service))
		if err != nil {
			return nil, err
		}
		s.ledgers = append(s.ledgers, ledger)
		api, err := NewAPI(service, ledger, cfg.Faults)
		if err != nil {
			return nil, err
		}
		at := port
		if port != 0 {
			at += i
		}
		ln, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(at)))
		if err != nil {
			return nil, fmt.Errorf("serve the API %s: %w", service, err)
		}
		srv := &http.Server{Handler: api, ReadHeaderTimeout: 10 * time.Second}
		s.servers = append(s.servers, srv)
		s.addresses[service] = ln.Addr().String()
		s.serving.Go(func() { _ = srv.Serve(ln) }) // ends with Close
	}
	return s, nil
}

func splitAddr(addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err == nil {
		port, err = strconv.Atoi(p)
	}
	if err != nil || port < 0 || port > 65535-3 {
		return "", 0, fmt.Errorf("address %q: write host:port, such as 127.0.0.1:7101; the port and the three after it are used, 0 takes free ones", addr)
	}
	return host, port, nil
}

// Addresses gives host:port by service.
func (s *Server) Addresses() map[string]string { return s.addresses }

// closeTimeout bounds how long Close waits for requests that are being answered.
const closeTimeout = 5 * time.Second

// Close answers what has come, then stops.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	var errs []error
	for _, srv := range s.servers {
		if err := srv.Shutdown(ctx); err != nil {
			errs = append(errs, srv.Close())
		}
	}
	s.serving.Wait()
	for _, l := range s.ledgers {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}
