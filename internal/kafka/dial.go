package kafka

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"golang.org/x/time/rate"
)

// New connections are bounded, so that a deployment that starts or loses its brokers
// does not bury them under handshakes (S6). The burst lets a few partitions be taken
// over at once: a lane opens 30 connections on three brokers.
const (
	dialsPerSecond = 20
	dialsBurst     = 120
	dialTimeout    = 10 * time.Second // of one connection, its handshake included
)

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// limited bounds how often dial is called; whoever is too early waits its turn, as long
// as its context lets it. All clients with the same options share the bound.
func limited(dial dialFunc) dialFunc {
	limit := rate.NewLimiter(dialsPerSecond, dialsBurst)
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if err := limit.Wait(ctx); err != nil {
			return nil, fmt.Errorf("connect to %s: wait for a turn, of which there are %d a second: %w", addr, dialsPerSecond, err)
		}
		return dial(ctx, network, addr)
	}
}

// dialer connects, with TLS if there is a configuration of it.
func dialer(config *tls.Config) dialFunc {
	d := &net.Dialer{Timeout: dialTimeout}
	if config == nil {
		return d.DialContext
	}
	return (&tls.Dialer{NetDialer: d, Config: config}).DialContext
}
