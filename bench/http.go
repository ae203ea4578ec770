package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/odradek/odradek/test/proc"
)

// Roles of the HTTP row: an API that has its answer ready, and a client that calls it
// with nothing between.
const (
	roleAPI        = "api"
	roleHTTPClient = "http-client"
)

// httpInFlight is how many calls either side has open at a time.
const httpInFlight = 64

// chainHTTPRow is the chain by svcworker over a loopback API, and the same client and
// server alone.
func chainHTTPRow() row {
	return row{name: "chain-http", about: "svcworker calling a loopback HTTP API", run: func(ctx context.Context, c config) (*result, error) {
		if c.quick {
			c.reps = min(c.reps, 2)
		}
		return c.withBed(ctx, 1, func(b *bed) (*result, error) { return b.chainHTTP(ctx) })
	}}
}

func (b *bed) chainHTTP(ctx context.Context) (*result, error) {
	res := newResult(b.cfg)
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	api, err := b.procs.Start(proc.Spec{Name: roleAPI, Path: b.self, Args: []string{roleAPI, "-addr", addr}, Log: filepath.Join(b.dir, "api.log")})
	if err != nil {
		return nil, err
	}
	if err := answers(ctx, addr); err != nil {
		return nil, err
	}
	eng, err := b.open(ctx, sideSpec{name: "engine", load: chainLoad, partitions: b.cfg.partitions, engine: roleEngine, client: roleClient})
	if err != nil {
		return nil, err
	}
	defer eng.close()
	file := filepath.Join(b.dir, "svcworker.yaml")
	text := fmt.Sprintf("namespace: engine\nkafka:\n  bootstrap.servers: %s\nservices:\n  %s:\n    base_url: http://%s\n    concurrency: %d\n    tasks:\n      %s:\n        path: /do\n        body: \"= input\"\n        result: body\n",
		eng.seeds, service, addr, httpInFlight, operation)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	w, err := b.procs.Start(proc.Spec{Name: "svcworker", Path: b.sibling("svcworker"), Args: []string{"run", "--config", file, "--admin-listen", "127.0.0.1:0"}, Log: filepath.Join(b.dir, "svcworker.log")})
	if err != nil {
		return nil, err
	}
	eng.running = append(eng.running, w)
	eng.pids[roleWorker], eng.pids[roleAPI] = w.Pid(), api.Pid()
	raw := &running{side: side{}, name: "raw", pids: map[string]int{roleAPI: api.Pid()}, bare: true}
	if raw.client, err = startClient(b.self, filepath.Join(b.dir, "http-client.log"), nil, roleHTTPClient, "-addr", addr); err != nil {
		return nil, err
	}
	raw.pids[roleClient] = raw.client.cmd.Process.Pid
	defer raw.client.close()

	t := b.cfg.times()
	loads := map[*running]int{eng: 1000, raw: httpInFlight}
	for _, r := range []*running{eng, raw} {
		if _, err := b.measure(ctx, r, load{InFlight: loads[r], Measure: t.side}); err != nil {
			return nil, err
		}
	}
	var wps, alone, share, cpu []float64
	for rep := range b.cfg.reps {
		order := [2]*running{eng, raw}
		if rep%2 == 1 {
			order = [2]*running{raw, eng}
		}
		got := map[*running]point{}
		for _, r := range order {
			p, err := b.measure(ctx, r, load{InFlight: loads[r], Warm: t.warm, Measure: t.measure})
			if err != nil {
				return nil, err
			}
			got[r] = p
		}
		e, w := got[eng], got[raw]
		wps, alone, cpu = append(wps, e.PerSecond), append(alone, w.PerSecond), append(cpu, total(e.CPU))
		share = append(share, e.PerSecond/min(w.PerSecond, httpAskedMax/httpShare))
		say("%d/%d: %.0f workflows/s by svcworker, %.0f/s by client and API alone", rep+1, b.cfg.reps, e.PerSecond, w.PerSecond)
	}
	res.set("wps", wps...)
	res.set("alone_wps", alone...)
	res.set("share", share...)
	res.set("cpu_s_per_1000", cpu...)
	res.notes = append(res.notes, fmt.Sprintf("`share` is the rate over that of client and API alone, which counts up to %.0f workflows/s: %.1f of it is what is asked.", httpAskedMax/httpShare, httpShare))
	b.judged(ctx, eng, res)
	return res, nil
}

// What is asked of the row: a share of what client and API do alone, up to a rate.
const (
	httpShare    = 0.7
	httpAskedMax = 4000.0
)

func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// answers waits until something listens.
func answers(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nothing answers at %s: %w", addr, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// serveAPI is the role of the API.
func serveAPI(ctx context.Context, addr string) error {
	results := newPayloads()
	srv := &http.Server{Addr: addr, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(results.bytes())
	})}
	go func() {
		<-ctx.Done()
		_ = srv.Close()
	}()
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// httpStarter makes the calls of a workflow one after the other.
type httpStarter struct {
	client *http.Client
	url    string
}

func newHTTPStarter(addr string) starter {
	return httpStarter{&http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: httpInFlight, MaxConnsPerHost: httpInFlight}}, "http://" + addr + "/do"}
}

func (h httpStarter) do(ctx context.Context, id string, input []byte) error {
	for n := range chainLoad.steps {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(input))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", fmt.Sprintf("%s.%d", id, n))
		resp, err := h.client.Do(req)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return err
		}
		var out string
		if err := json.Unmarshal(b, &out); err != nil {
			return err
		}
	}
	return nil
}

func (h httpStarter) close() { h.client.CloseIdleConnections() }
