package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
	"github.com/odradek/odradek/worker/bindings"
	"github.com/odradek/odradek/workflow"
)

// farm is an API that renders pages: POST /jobs begins a job, GET /jobs/KEY is 202 until it
// has been asked for often enough.
type farm struct {
	mu     sync.Mutex
	begun  []string       // the keys of what was posted
	asked  map[string]int // by key
	enough int
}

func (f *farm) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := strings.TrimPrefix(r.URL.Path, "/jobs/")
	if r.Method == http.MethodPost {
		key = r.Header.Get("Idempotency-Key")
		f.begun = append(f.begun, key)
	} else {
		f.asked[key]++
	}
	if f.asked[key] < f.enough {
		w.Header().Set("Location", "/jobs/"+key)
		w.WriteHeader(http.StatusAccepted)
		return
	}
	_, _ = fmt.Fprintf(w, `{"page":"of %s"}`, key)
}

func (f *farm) counts(key string) (begun, asked int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.begun), f.asked[key]
}

type page struct{ Page string }

var render = workflow.NewTask[string, page]("farm", "render")

// asking is a handler in Go that begins a job, and asks for it until it is done.
func asking(url string) worker.Handler {
	return worker.Handle(render, func(ctx context.Context, _ string) (out page, err error) {
		job, began, err := worker.LastDetails[string](ctx)
		if err != nil {
			return out, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+job, nil)
		if !began {
			req, err = http.NewRequestWithContext(ctx, http.MethodPost, url+"/jobs", nil)
		}
		if err != nil {
			return out, err
		}
		req.Header.Set("Idempotency-Key", worker.CallOf(ctx).Key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return out, err
		}
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusAccepted {
			return out, worker.PollAfter(time.Second, resp.Header.Get("Location"))
		}
		b, err := io.ReadAll(resp.Body)
		return out, errors.Join(err, json.Unmarshal(b, &out))
	})
}

// mortal is a worker that can be killed: cut off from Kafka at once, as by SIGKILL.
type mortal struct {
	*worker.Worker
	cable
}

func startMortal(t *testing.T, cfg worker.Config) *mortal {
	t.Helper()
	m := &mortal{}
	cfg.Kafka = append(cfg.Kafka, m.dialer())
	cfg.Logger = slog.New(slog.DiscardHandler)
	cfg.SessionTimeout, cfg.HeartbeatInterval = time.Second, 100*time.Millisecond
	var err error
	if m.Worker, err = worker.New(cfg); err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // the dead would wait long for an answer to their goodbye
		m.mend()
		_ = m.Stop(context.Background())
	})
	return m
}

func (m *mortal) kill() { m.cut() }

// cable is the way to Kafka of one process.
type cable struct {
	mu    sync.Mutex
	dead  bool
	conns []net.Conn
}

func (c *cable) dialer() kgo.Opt {
	return kgo.Dialer(func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.dead {
			return nil, errors.Join(net.ErrClosed, err)
		}
		c.conns = append(c.conns, conn)
		return conn, err
	})
}

func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
	for _, conn := range c.conns {
		if conn != nil {
			_ = conn.Close()
		}
	}
}

func (c *cable) mend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = false
}

// TestPollsOutliveWorkers: a task whose API answers later is asked for three times by four
// workers, each killed when the engine has taken what it left. The job is begun once, and the
// run gets its page; meanwhile it says how often it was asked for.
func TestPollsOutliveWorkers(t *testing.T) {
	t.Parallel()
	for name, handlers := range map[string]func(t *testing.T, url string) worker.Config{
		"go": func(_ *testing.T, url string) worker.Config {
			return worker.Config{Handlers: []worker.Handler{asking(url)}}
		},
		"binding": func(t *testing.T, url string) worker.Config {
			file, err := bindings.Parse("farm.yaml", []byte("services: {farm: {base_url: '"+url+"', tasks: {render: {path: /jobs, poll: {interval: 1s, interval_max: 1s}}}}}"), binding.Options{})
			if err != nil {
				t.Fatal(err)
			}
			live, err := bindings.NewLive(file)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(live.Close)
			handlers, services := live.Handlers()
			return worker.Config{Handlers: handlers, Services: services}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := &farm{asked: map[string]int{}, enough: 3}
			srv := httptest.NewServer(api)
			t.Cleanup(srv.Close)
			draw := workflow.Define("draw", func(ctx workflow.Context, in string) (page, error) { return render.Run(ctx, in) }, render)
			seeds, names := apiBrokers(t, "farm")
			admin := kadm.NewClient(apiControl(t, seeds, names))
			e, addr, _ := apiInstance(t, seeds, names, "one", draw)
			ownsAll(t, e)
			c, err := client.NewHTTP(client.HTTPConfig{URL: addr})
			if err != nil {
				t.Fatal(err)
			}
			h, err := client.Start[string, page](t.Context(), c, "draw", "page-1", "p")
			if err != nil {
				t.Fatal(err)
			}
			key := ""
			for sending := int64(2); sending <= 5; sending++ {
				cfg := handlers(t, srv.URL)
				cfg.Namespace, cfg.Kafka = names.Namespace, []kgo.Opt{kgo.SeedBrokers(seeds...)}
				m := startMortal(t, cfg)
				if sending == 5 {
					break
				}
				waitUntil(t, "the engine has what the worker left", func() bool {
					w, err := c.Get(t.Context(), "page-1")
					if err != nil || w.Pending == nil || len(w.Pending.Tasks) != 1 {
						return false
					}
					task := w.Pending.Tasks[0]
					key = task.Task
					return task.Pending && task.Attempt == 1 && task.Sending >= sending
				})
				waitUntil(t, "the worker has committed", func() bool {
					lags, err := admin.Lag(t.Context(), names.ServiceGroup("farm"))
					lag := lags[names.ServiceGroup("farm")].Lag.Total() // behind a record is the marker of its transaction
					return err == nil && (lag == 0 || lag == 1)
				})
				m.kill()
			}
			got, err := h.Result(t.Context())
			if err != nil || got.Page != "of "+key {
				t.Errorf("the run gives %+v, %v, want the page of %s", got, err, key)
			}
			if begun, asked := api.counts(key); begun != 1 || asked != 3 {
				t.Errorf("the job was begun %d times and asked for %d times, want 1 and 3", begun, asked)
			}
		})
	}
}

// TestCallbacksCompleteTasks: an API that was given {$callback} completes its task there, be
// it later or before it has answered; a second answer is refused.
func TestCallbacksCompleteTasks(t *testing.T) {
	t.Parallel()
	post := func(to, result string) int {
		resp, err := http.Post(to, "application/json", strings.NewReader(result))
		if err != nil {
			t.Error(err)
			return 0
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	later := make(chan string, 9)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var order struct{ Doc, Back string }
		if err := json.NewDecoder(r.Body).Decode(&order); err != nil {
			t.Error(err)
		}
		if order.Doc == "early" {
			if status := post(order.Back, `{"page":"early"}`); status != http.StatusOK {
				t.Errorf("an early answer gives %d", status)
			}
		} else {
			later <- order.Back
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(srv.Close)
	draw := workflow.Define("draw", func(ctx workflow.Context, in string) (page, error) { return render.Run(ctx, in) }, render)
	seeds, names := apiBrokers(t, "farm")
	apiControl(t, seeds, names)
	e, addr, _ := apiInstance(t, seeds, names, "one", draw)
	ownsAll(t, e)
	file, err := bindings.Parse("farm.yaml", []byte("services: {farm: {base_url: '"+srv.URL+"', tasks: {render: {path: /jobs, body: {doc: '= input', back: '{$callback}'}, statuses: {202: pending}}}}}"), binding.Options{CallbackURL: addr})
	if err != nil {
		t.Fatal(err)
	}
	live, err := bindings.NewLive(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(live.Close)
	cfg := worker.Config{Namespace: names.Namespace, Kafka: []kgo.Opt{kgo.SeedBrokers(seeds...)}}
	cfg.Handlers, cfg.Services = live.Handlers()
	startMortal(t, cfg)
	c, err := client.NewHTTP(client.HTTPConfig{URL: addr})
	if err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"early", "late"} {
		h, err := client.Start[string, page](t.Context(), c, "draw", when, when)
		if err != nil {
			t.Fatal(err)
		}
		if when == "late" {
			waitUntil(t, "the task is pending", func() bool {
				w, err := c.Get(t.Context(), when)
				return err == nil && w.Pending != nil && len(w.Pending.Tasks) == 1 && w.Pending.Tasks[0].Pending
			})
			back := <-later
			if status := post(back, `{"page":"late"}`); status != http.StatusOK {
				t.Errorf("a late answer gives %d", status)
			}
			if status := post(back, `{"page":"again"}`); status != http.StatusConflict {
				t.Errorf("a second answer gives %d", status)
			}
		}
		if got, err := h.Result(t.Context()); err != nil || got.Page != when {
			t.Errorf("%s: %+v, %v", when, got, err)
		}
	}
}
