package binding

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

const (
	dialTimeout      = 10 * time.Second
	idleTimeout      = 90 * time.Second
	answerHeaderMax  = 64 << 10
	handshakeTimeout = 10 * time.Second
)

// Dialer dials what the policy allows.
func (p DialPolicy) Dialer() *net.Dialer {
	return &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second, Control: p.control}
}

// Client is an HTTP client with connections of its own.
func Client(files *TLSFiles, policy DialPolicy, conns int) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // a proxy would dial for us, unchecked
			DialContext:            policy.Dialer().DialContext,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           conns,
			MaxIdleConnsPerHost:    conns,
			IdleConnTimeout:        idleTimeout,
			TLSHandshakeTimeout:    handshakeTimeout,
			TLSClientConfig:        files.Config(),
			MaxResponseHeaderBytes: answerHeaderMax,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// NetworkCode sorts errors of the connection for metrics.
func NetworkCode(err error) string {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, ErrAddressDenied):
		return "address_denied"
	case errors.As(err, &dns):
		return "dns"
	case errors.As(err, &cert), errors.As(err, &record), strings.Contains(err.Error(), "tls: "):
		return "tls"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection_refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection_reset"
	}
	return "no_answer"
}
