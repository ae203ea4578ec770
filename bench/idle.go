package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// idleRow sees what a partition costs where nothing happens: the unit costs of
// docs/scaling.md that do not depend on the work.
func idleRow() row {
	return row{name: rowIdle, about: "what a partition costs an instance that has nothing to do", run: func(ctx context.Context, c config) (*result, error) {
		look := 60 * time.Second
		if c.quick {
			look = 15 * time.Second
		}
		return c.withBed(ctx, 1, func(b *bed) (*result, error) { return b.idle(ctx, look) })
	}}
}

const rowIdle = "idle"

// idlePartitions are few and many: the difference is theirs, the rest the instance's.
var idlePartitions = [2]int{4, 64}

// idleSight is an instance at rest.
type idleSight struct {
	memory, connections, goroutines     float64
	requests, transactions              float64 // per second
	engineCPU, brokerCPU, sent, fetched float64 // per second
}

func (b *bed) idle(ctx context.Context, look time.Duration) (*result, error) {
	res := newResult(b.cfg)
	var at [2]idleSight
	for i, n := range idlePartitions {
		var err error
		if at[i], err = b.idleWith(ctx, n, look); err != nil {
			return nil, err
		}
		say("%d partitions: %.0f MB, %.0f connections, %.1f requests/s, %.1f transactions/s", n, at[i].memory/1e6, at[i].connections, at[i].requests, at[i].transactions)
	}
	per := func(of func(s idleSight) float64) float64 {
		return (of(at[1]) - of(at[0])) / float64(idlePartitions[1]-idlePartitions[0])
	}
	for name, of := range map[string]func(s idleSight) float64{
		"memory_kb":            func(s idleSight) float64 { return s.memory / 1e3 },
		"connections":          func(s idleSight) float64 { return s.connections },
		"goroutines":           func(s idleSight) float64 { return s.goroutines },
		"requests_per_s":       func(s idleSight) float64 { return s.requests },
		"transactions_per_s":   func(s idleSight) float64 { return s.transactions },
		"engine_cpu_ms_per_s":  func(s idleSight) float64 { return s.engineCPU * 1e3 },
		"broker_cpu_ms_per_s":  func(s idleSight) float64 { return s.brokerCPU * 1e3 },
		"sent_bytes_per_s":     func(s idleSight) float64 { return s.sent },
		"received_bytes_per_s": func(s idleSight) float64 { return s.fetched },
	} {
		res.set(name, per(of))
	}
	res.set("instance_memory_mb", at[0].memory/1e6-res.Figures["memory_kb"]/1e3*float64(idlePartitions[0]))
	if res.Figures["transactions_per_s"] <= 0 || res.Figures["connections"] <= 0 {
		res.invalid("more partitions cost no more: the engine did not have them")
	}
	return res, nil
}

func (b *bed) idleWith(ctx context.Context, partitions int, look time.Duration) (s idleSight, err error) {
	r, err := b.open(ctx, sideSpec{name: fmt.Sprintf("idle-%d", partitions), load: emptyLoad, partitions: partitions, engine: roleEngine, client: roleClient})
	if err != nil {
		return s, err
	}
	defer func() { r.close() }()
	if err := r.ready(); err != nil {
		return s, err
	}
	if err := taken(ctx, r.metrics, partitions); err != nil {
		return s, err
	}
	r.client.close() // its connections and goroutines are not the engine's
	if err := rest(ctx, 2*restAfterStart); err != nil {
		return s, err
	}
	before, err := scrape(ctx, r.metrics)
	if err != nil {
		return s, err
	}
	broker := r.pids["broker0"]
	cpu, err := cpuOf(broker)
	if err != nil {
		return s, err
	}
	if err := rest(ctx, look); err != nil {
		return s, err
	}
	after, err := scrape(ctx, r.metrics)
	if err != nil {
		return s, err
	}
	cpuAfter, err := cpuOf(broker)
	if err != nil {
		return s, err
	}
	rate := func(name string) float64 { return (after[name] - before[name]) / look.Seconds() }
	s = idleSight{
		memory: after["process_resident_memory_bytes"], goroutines: after["go_goroutines"],
		requests: rate("odradek_kafka_requests_total"), transactions: rate(`odradek_lane_commits_total`),
		engineCPU: rate("process_cpu_seconds_total"), brokerCPU: (cpuAfter - cpu).Seconds() / look.Seconds(),
		sent: rate("odradek_kafka_request_bytes_total"), fetched: rate("odradek_kafka_response_bytes_total"),
	}
	s.connections, err = socketsOf(r.pids[roleEngine])
	return s, err
}

// restAfterStart is what stores and clients take to come to rest.
const restAfterStart = 10 * time.Second

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// taken waits until an engine has taken over as many partitions.
func taken(ctx context.Context, metrics string, partitions int) error {
	for range 600 {
		got, err := scrape(ctx, metrics)
		if err != nil {
			return err
		}
		if got["odradek_lane_takeovers_total"] >= float64(partitions) {
			return nil
		}
		if err := rest(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("the engine did not take its partitions over within a minute")
}

// socketsOf counts the sockets of a process: connections, and some that listen.
func socketsOf(pid int) (float64, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	fds, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, fd := range fds {
		if to, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return float64(n), nil
}
