package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/odradek/odradek/httpapi/api"
)

// What the API says of services of tasks.
type (
	Service     = api.Service
	ServiceDone = api.ServiceDone
)

// Services says what is known of the services that the workflow types use: tasks that wait,
// workers, and whether operators have paused them.
func (c *HTTP) Services(ctx context.Context) ([]Service, error) {
	var page api.ServicePage
	_, err := c.do(ctx, request{method: http.MethodGet, path: "/v1/services"}, &page)
	return page.Services, err
}

// Service says what is known of one of them.
func (c *HTTP) Service(ctx context.Context, name string) (s Service, err error) {
	_, err = c.do(ctx, request{method: http.MethodGet, path: "/v1/services/" + segment(name)}, &s)
	return s, err
}

// PauseService lets a service's tasks wait at its workers until it is resumed; calls under way
// end. The reason is for people: at most 1 KB.
func (c *HTTP) PauseService(ctx context.Context, name, reason string) (ServiceDone, error) {
	return c.operateService(ctx, name, "/pause", reason)
}

// ResumeService lets a paused service go on.
func (c *HTTP) ResumeService(ctx context.Context, name, reason string) (ServiceDone, error) {
	return c.operateService(ctx, name, "/resume", reason)
}

func (c *HTTP) operateService(ctx context.Context, name, verb, reason string) (done ServiceDone, err error) {
	q := url.Values{}
	set(q, "reason", reason)
	_, err = c.do(ctx, request{method: http.MethodPost, path: "/v1/services/" + segment(name) + verb, query: q}, &done)
	return done, err
}
