package httpbinding

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
)

const (
	dialTimeout      = 10 * time.Second
	idleTimeout      = 90 * time.Second
	answerHeaderMax  = 64 << 10
	handshakeTimeout = 10 * time.Second
)

// Handlers gives the file's handlers and the settings of its services.
func (f *File) Handlers() ([]worker.Handler, map[string]worker.Service) { return NewLive(f).Handlers() }

// client is the service's HTTP client: its connections, none to anybody else.
func (s *Service) client(policy dialPolicy) *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second, Control: policy.control}
	secure, err := s.tls.config()
	if err != nil { // they were there at load: each call says what is wrong
		secure = &tls.Config{MinVersion: tls.VersionTLS12, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, err }}
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // a proxy would dial for us, unchecked
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           s.Concurrency,
			MaxIdleConnsPerHost:    s.Concurrency,
			IdleConnTimeout:        idleTimeout,
			TLSHandshakeTimeout:    handshakeTimeout,
			TLSClientConfig:        secure,
			MaxResponseHeaderBytes: answerHeaderMax,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// tokenClient is the client that asks for access tokens: the same rules, and the token
// endpoint's own loopback.
func (s *Service) tokenClient() *http.Client {
	policy := s.dial
	policy.loopback = s.tokenLoopback
	c := s.client(policy)
	c.Timeout = tokenTimeout
	return c
}

// tokenTimeout bounds a request for an access token.
const tokenTimeout = 20 * time.Second

// Call makes one attempt of a task as the worker would, with an idempotency key of its
// own: to try a binding.
func (t *Task) Call(ctx context.Context, call *worker.Call) ([]byte, error) {
	return t.do(ctx, t.service.client(t.service.dial), t.service.tokenClient(), call)
}

// do makes one attempt. The context's end bounds it, the answer's body included.
func (t *Task) do(ctx context.Context, client, tokens *http.Client, call *worker.Call) ([]byte, error) {
	req, err := t.Request(ctx, call)
	if err != nil {
		return nil, t.notBuilt(err)
	}
	if err := t.authorize(ctx, tokens, req); err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, t.noAnswer(ctx, err)
	}
	another := resp.StatusCode == http.StatusUnauthorized && t.service.auth.refused(req.Header.Get("Authorization"))
	defer func() { _ = resp.Body.Close() }()
	result, err := t.outcome(resp, call, time.Now())
	var f *record.Failure
	if err != nil && !errors.As(err, &f) && !errors.Is(err, worker.ErrPending) {
		return nil, t.noAnswer(ctx, err)
	}
	if f != nil && another {
		f.Retryable, f.Code = true, "token_refused" // the next attempt comes with another
	}
	return result, err
}

// noAnswer is the failure of a call without a whole answer. Whether the API did what
// was asked is unknown: the next attempt carries the same key.
func (t *Task) noAnswer(ctx context.Context, err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err // without the address, which holds the payload's fields
	}
	if ctx.Err() != nil {
		return err // the worker knows whether the time was up or the record moves
	}
	f := &record.Failure{Kind: record.FailureNetwork, Code: networkCode(err), Retryable: true}
	f.Message = fmt.Sprintf("%s: no answer from %s: %s", t.key, t.service.base.Host, printable(err.Error()))
	return f
}

// networkCode sorts errors of the connection for metrics.
func networkCode(err error) string {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, errAddressDenied):
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
