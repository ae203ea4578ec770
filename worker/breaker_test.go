package worker

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/odradek/odradek/record"
)

// TestBreaker: a service that is down is asked a few times, and then now and then; its tasks
// wait meanwhile, and are done when it is up.
func TestBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const tasks, outage = 1000, time.Minute
		e := newEnv(t, 2)
		e.put(tasks, "charge", 2)
		up := time.Now().Add(outage)
		var vain, done atomic.Int32
		w := e.start("a", Config{
			Services: map[string]Service{testService: {Concurrency: 8}},
			Handlers: []Handler{HandleRaw(testService, "charge", func(_ context.Context, c *Call) ([]byte, error) {
				time.Sleep(10 * time.Millisecond)
				if time.Now().Before(up) {
					vain.Add(1)
					return nil, &record.Failure{Kind: record.FailureNetwork, Code: "connection_refused", Retryable: true}
				}
				done.Add(1)
				return c.Input, nil
			})},
		})
		failed, completed := 0, 0
		open := false
		for failed+completed < tasks {
			for _, ev := range e.events(1) {
				if ev.Kind == "failed" {
					failed++
				} else {
					completed++
				}
			}
			open = open || w.Status()[0].Breaker == string(breakerOpen)
		}
		// 8 at a time until 10 have failed, then a probe after 1, 2, 4, 8, 16, 30 s.
		if n := vain.Load(); n > breakerFailures+8+6 || int(n) != failed {
			t.Errorf("%d calls were made in vain, %d failures reported", n, failed)
		}
		if !open || int(done.Load()) != completed {
			t.Errorf("open: %v; %d done, %d completed", open, done.Load(), completed)
		}
		if st := w.Status()[0]; st.Breaker != string(breakerClosed) || st.Permits != 8 {
			t.Errorf("at the end %+v", st)
		}
	})
}

// TestWeak: which failures are the service's, and not the request's.
func TestWeak(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		f    *record.Failure
		want bool
	}{
		{nil, false},
		{&record.Failure{Kind: record.FailureNetwork, Retryable: true}, true},
		{&record.Failure{Kind: record.FailureTimeout, Retryable: true}, true},
		{&record.Failure{Kind: record.FailureHTTP, HTTPStatus: 503, Retryable: true}, true},
		{&record.Failure{Kind: record.FailureHTTP, HTTPStatus: 429, Retryable: true}, true},
		{&record.Failure{Kind: record.FailureHTTP, HTTPStatus: 500}, false}, // by the binding no reason to try again
		{&record.Failure{Kind: record.FailureHTTP, HTTPStatus: 404, Retryable: true}, false},
		{&record.Failure{Kind: record.FailureApplication, Retryable: true}, false},
		{&record.Failure{Kind: record.FailureBinding, Retryable: true}, false},
	} {
		if got := weak(c.f); got != c.want {
			t.Errorf("%v: %v", c.f, got)
		}
	}
}

// TestBreakerObeysRetryAfter up to its longest pause, and one task's own failures do not
// open it.
func TestBreakerObeysRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 1)
		w := e.start("a", Config{Handlers: []Handler{HandleRaw(testService, "charge", func(context.Context, *Call) ([]byte, error) {
			return nil, errors.New("no")
		})}})
		s := w.services[0]
		busy := &record.Failure{Kind: record.FailureHTTP, HTTPStatus: 429, Retryable: true, RetryAfter: 20 * time.Second}
		for range breakerFailures - 1 {
			s.judge(&job{}, busy)
		}
		s.judge(&job{}, &record.Failure{Kind: record.FailureHTTP, HTTPStatus: 404})
		for range breakerFailures - 1 {
			s.judge(&job{}, busy)
		}
		if got := w.Status()[0].Breaker; got != string(breakerClosed) {
			t.Errorf("a good answer between: %s", got)
		}
		s.judge(&job{}, busy)
		if got := w.Status()[0].Breaker; got != string(breakerOpen) {
			t.Errorf("after so many in a row: %s", got)
		}
		time.Sleep(19 * time.Second)
		if got := w.Status()[0].Breaker; got != string(breakerOpen) {
			t.Errorf("before Retry-After: %s", got)
		}
		time.Sleep(2 * time.Second)
		if got := w.Status()[0].Breaker; got != string(breakerHalfOpen) {
			t.Errorf("after it: %s", got)
		}
		s.judge(&job{}, nil)
		if got := w.Status()[0].Breaker; got != string(breakerClosed) {
			t.Errorf("an answer: %s", got)
		}
	})
}
