package httpbinding

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
)

// Handlers gives the file's handlers and the settings of its services.
func (f *File) Handlers() ([]worker.Handler, map[string]worker.Service) { return NewLive(f).Handlers() }

func (s *Service) client() *http.Client { return binding.Client(s.TLS, s.Dial, s.Concurrency) }

func (s *Service) tokenClient() *http.Client {
	return s.Auth.TokenClient(s.TLS, s.Dial, s.Concurrency)
}

// Address is where the service is: host:port.
func (s *Service) Address() string {
	port := s.base.Port()
	switch {
	case port != "":
	case s.base.Scheme == "https":
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(s.base.Hostname(), port)
}

// Reach connects to the service and asks it nothing: binding.Common.Reach.
func (s *Service) Reach(ctx context.Context) error {
	return s.Common.Reach(ctx, s.Address(), s.base.Scheme == "https", "h2", "http/1.1")
}

// Call makes one attempt of a task as the worker would, with an idempotency key of its
// own: to try a binding.
func (t *Task) Call(ctx context.Context, call *worker.Call) ([]byte, error) {
	return t.do(ctx, t.service.client(), t.service.tokenClient(), call)
}

// CallMany makes one attempt of many tasks with one request, as Call does of one.
func (t *Task) CallMany(ctx context.Context, calls []*worker.Call) []worker.BatchResult[[]byte] {
	return t.doMany(ctx, t.service.client(), t.service.tokenClient(), calls)
}

// do makes one attempt. The context's end bounds it, the answer's body included.
func (t *Task) do(ctx context.Context, client, tokens *http.Client, call *worker.Call) (result []byte, err error) {
	req, err := t.Request(ctx, call)
	if err != nil {
		return nil, t.notBuilt(err)
	}
	err = t.exchange(ctx, client, tokens, req, func(resp *http.Response) (err error) {
		result, err = t.outcome(resp, call, time.Now())
		return err
	})
	return result, err
}

// exchange sends a request and has its answer read.
func (t *Task) exchange(ctx context.Context, client, tokens *http.Client, req *http.Request, read func(*http.Response) error) (err error) {
	authorization, err := t.service.Auth.Authorization(ctx, tokens, t.key)
	defer func() { err = t.service.Redactor(authorization).Failure(err) }()
	if err != nil {
		return err
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := client.Do(req)
	if err != nil {
		return t.noAnswer(ctx, req.URL.Host, err)
	}
	another := resp.StatusCode == http.StatusUnauthorized && t.service.Auth.Refused(req.Header.Get("Authorization"))
	defer func() { _ = resp.Body.Close() }()
	err = read(resp)
	var f *record.Failure
	if err != nil && !errors.As(err, &f) && !errors.Is(err, worker.ErrPending) {
		return t.noAnswer(ctx, req.URL.Host, err)
	}
	if f != nil && another {
		f.Retryable, f.Code = true, "token_refused" // the next attempt comes with another
	}
	return err
}

// noAnswer is the failure of a call without a whole answer. Whether the API did what
// was asked is unknown: the next attempt carries the same key.
func (t *Task) noAnswer(ctx context.Context, host string, err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err // without the address, which holds the payload's fields
	}
	if ctx.Err() != nil {
		return err // the worker knows whether the time was up or the record moves
	}
	f := &record.Failure{Kind: record.FailureNetwork, Code: binding.NetworkCode(err), Retryable: true}
	f.Message = fmt.Sprintf("%s: no answer from %s: %s", t.key, host, binding.Printable(err.Error()))
	return f
}
