package binding

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/odradek/odradek/record"
)

// reachMax bounds a look at one service.
const reachMax = 15 * time.Second

// Reach connects to where a service is, host:port, and asks it nothing: the name is resolved,
// its address must be allowed, and where secure is true the certificates must fit. Then an
// access token is asked for, if the service takes one. The error says what to do.
func (s *Common) Reach(ctx context.Context, address string, secure bool, protocols ...string) error {
	ctx, cancel := context.WithTimeout(ctx, reachMax)
	defer cancel()
	if err := s.connect(ctx, address, secure, protocols); err != nil {
		return fmt.Errorf("%w; %s", err, reachFix(NetworkCode(err)))
	}
	if _, err := s.Auth.Authorization(ctx, s.Auth.TokenClient(s.TLS, s.Dial, 1), s.Name); err != nil {
		var f *record.Failure
		if errors.As(s.Redactor("").Failure(err), &f) {
			return errors.New(f.Message)
		}
		return err
	}
	return nil
}

func (s *Common) connect(ctx context.Context, address string, secure bool, protocols []string) error {
	conn, err := s.Dial.Dialer().DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if !secure {
		return nil
	}
	config := s.TLS.Config()
	config.NextProtos = protocols
	if config.ServerName, _, err = net.SplitHostPort(address); err != nil {
		return err
	}
	return tls.Client(conn, config).HandshakeContext(ctx)
}

// reachFix is what to do where a connection has failed so (NetworkCode).
func reachFix(code string) string {
	switch code {
	case "address_denied":
		return "correct the address, or allow it as the message says"
	case "dns":
		return "correct the host's name, or look at this machine's name servers"
	case "tls":
		return "name the authority with tls.ca_file and a client certificate with tls.cert_file, or correct the scheme"
	case "connection_refused":
		return "start the service, or correct its port"
	}
	return "look at routes and firewalls between here and there"
}
