package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/httpapi"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/httpapi/httpapitest"
)

// trip answers requests without sockets, so that tests run in virtual time.
type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func through(t *testing.T, f trip, change ...func(*client.HTTPConfig)) *client.HTTP {
	t.Helper()
	cfg := client.HTTPConfig{URL: "http://engine:8080/", Client: &http.Client{Transport: f}}
	for _, c := range change {
		c(&cfg)
	}
	h, err := client.NewHTTP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func served(h http.Handler, r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, in)
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

func answer(r *http.Request, status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}, Request: r}
}

// TestRequestIsRepeatedWithItsCommandID guards K1: whatever was lost on the way.
func TestRequestIsRepeatedWithItsCommandID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := httpapitest.NewCluster(1)
		s, err := httpapi.New(httpapi.Config{Engine: engine.Instance(0), InstanceID: "one"})
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		c := through(t, func(r *http.Request) (*http.Response, error) {
			keys = append(keys, r.Header.Get("Idempotency-Key"))
			switch len(keys) {
			case 1: // it arrived, and the answer is lost
				_, err := served(s, r)
				return nil, errors.Join(err, io.ErrUnexpectedEOF)
			case 2:
				return answer(r, 503, `{"code":"partition_unavailable","retryable":true,"status":503}`), nil
			case 3:
				return answer(r, 502, "<html>bad gateway</html>"), nil
			}
			return served(s, r)
		})
		w, begun, err := c.StartWorkflow(t.Context(), client.StartRequest{WorkflowID: "w", Type: "echo", Input: []byte("1")}, -1)
		if err != nil || begun || w.Status != api.StatusCompleted {
			t.Errorf("started %v, %+v, %v", begun, w, err)
		}
		if len(keys) != 4 || len(slices.Compact(keys)) != 1 || keys[0] == "" {
			t.Errorf("the keys were %q, want four times the same", keys)
		}
	})
}

func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	for patience, want := range map[time.Duration]time.Duration{0: 30 * time.Second, 5 * time.Second: 5 * time.Second, -1: 0} {
		synctest.Test(t, func(t *testing.T) {
			c := through(t, func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") },
				func(c *client.HTTPConfig) { c.Patience = patience })
			began := time.Now()
			_, err := c.Get(t.Context(), "w")
			var e *client.Error
			if client.Code(err) != client.CodeUnreachable || !errors.As(err, &e) || !e.Retryable || !strings.Contains(err.Error(), "engine:8080") || !strings.Contains(err.Error(), "refused") {
				t.Errorf("%v", err)
			}
			if d := time.Since(began); d < want || d > want+2*time.Second {
				t.Errorf("patience %v ended after %v", patience, d)
			}
		})
	}
}

func TestRefusalIsNotRepeated(t *testing.T) {
	t.Parallel()
	n := 0
	c := through(t, func(r *http.Request) (*http.Response, error) {
		n++
		return answer(r, 413, `{"code":"payload_too_large","status":413,"detail":"too large","size":9,"limit":8,"known_types":["a"]}`), nil
	})
	_, err := c.Start(t.Context(), client.StartRequest{WorkflowID: "w", Type: "echo"})
	var e *client.Error
	if !errors.As(err, &e) || e.Code != api.CodePayloadTooLarge || e.Size != 9 || e.Limit != 8 || e.Status != 413 || e.Detail != "too large" || n != 1 {
		t.Errorf("%#v after %d requests", err, n)
	}
}

func TestWhatIsNoEngineIsSaid(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status int
		body   string
	}{{200, "<html>"}, {404, "<html>nginx"}, {403, ""}} {
		c := through(t, func(r *http.Request) (*http.Response, error) { return answer(r, tt.status, tt.body), nil })
		if _, err := c.Get(t.Context(), "w"); client.Code(err) != client.CodeUnreachable || !strings.Contains(err.Error(), "is the address right?") {
			t.Errorf("status %d: %v", tt.status, err)
		}
	}
	for _, u := range []string{"", "engine:8080", "ftp://engine", "http://"} {
		if _, err := client.NewHTTP(client.HTTPConfig{URL: u}); client.Code(err) != api.CodeRequestInvalid {
			t.Errorf("URL %q: %v", u, err)
		}
	}
}

func TestTokenIsSentAndNeverShown(t *testing.T) {
	t.Parallel()
	const token = "CANARY"
	for _, f := range []trip{
		func(r *http.Request) (*http.Response, error) {
			if got := r.Header.Get("Authorization"); got != "Bearer "+token {
				t.Errorf("authorization %q", got)
			}
			return nil, errors.New("connection refused")
		},
		func(r *http.Request) (*http.Response, error) {
			return answer(r, 401, `{"code":"unauthenticated","status":401}`), nil
		},
	} {
		c := through(t, f, func(c *client.HTTPConfig) { c.Token, c.Patience = token, -1 })
		if _, err := c.Get(t.Context(), "w"); err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%v", err)
		}
	}
}

// TestResultWaitsLongerThanOneRequest: the run takes an hour.
func TestResultWaitsLongerThanOneRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine := httpapitest.NewCluster(1)
		s, err := httpapi.New(httpapi.Config{Engine: engine.Instance(0), InstanceID: "one"})
		if err != nil {
			t.Fatal(err)
		}
		c := through(t, func(r *http.Request) (*http.Response, error) { return served(s, r) })
		h, err := client.Start[person, greeted](t.Context(), c, httpapitest.Greeting, "w", person{Name: "Ada"})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Hour)
			if err := client.Signal(context.Background(), c, "w", httpapitest.FinishSignal(), word{Word: "Hi"}); err != nil {
				t.Error(err)
			}
		}()
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if _, err := h.Result(short); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > time.Minute+time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if got, err := h.Result(t.Context()); err != nil || got.Text != "Hi Ada" {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestPages(t *testing.T) {
	t.Parallel()
	engine := httpapitest.NewCluster(partitions)
	c, ctx := newHTTP(t, engine), guard(t)
	for _, id := range []string{"a", "b", "c"} {
		if _, err := c.Start(ctx, client.StartRequest{WorkflowID: id, Type: "echo", Input: []byte("1")}); err != nil {
			t.Fatal(err)
		}
	}
	var ids []string
	for cursor := ""; ; {
		page, err := c.List(ctx, client.ListRequest{Type: "echo", Status: "completed", Limit: 2, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range page.Workflows {
			ids = append(ids, w.WorkflowID)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if !slices.Equal(ids, []string{"c", "b", "a"}) {
		t.Errorf("listed %v", ids)
	}
	events := 0
	for cursor := ""; ; {
		page, err := c.History(ctx, "a", cursor, 1)
		if err != nil {
			t.Fatal(err)
		}
		events += len(page.Events)
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if events != 2 {
		t.Errorf("%d history events, want 2", events)
	}
}
