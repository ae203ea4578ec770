package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/odradek/odradek/worker"
)

// callBuckets are the upper bounds in seconds of the histogram of calls: from a local
// API to the longest timeout that people set.
var callBuckets = []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}

// metrics counts what the worker tells its Listener and writes it in Prometheus' text
// format. Labels hold names of the file only, never what a record says.
type metrics struct {
	known map[string]bool // service.operation of the file

	mu       sync.Mutex
	counters map[string]uint64     // by name and labels
	calls    map[string]*histogram // by labels
}

type histogram struct {
	buckets []uint64 // not cumulative; the last is above all bounds
	sum     float64
}

func newMetrics(handlers []worker.Handler) *metrics {
	m := &metrics{known: map[string]bool{}, counters: map[string]uint64{}, calls: map[string]*histogram{}}
	for _, h := range handlers {
		m.known[h.Service+"."+h.Operation] = true
	}
	return m
}

// listener is what the worker calls.
func (m *metrics) listener() worker.Listener {
	return worker.Listener{
		CallEnded: func(e worker.CallEnded) {
			task := e.Operation
			if !m.known[e.Service+"."+task] {
				task = "unbound"
			}
			labels := fmt.Sprintf("service=%q,task=%q", e.Service, task)
			m.mu.Lock()
			defer m.mu.Unlock()
			m.counters[fmt.Sprintf("odradek_worker_calls_total{%s,outcome=%q}", labels, e.Outcome)]++
			h := m.calls[labels]
			if h == nil {
				h = &histogram{buckets: make([]uint64, len(callBuckets)+1)}
				m.calls[labels] = h
			}
			seconds := e.Duration.Seconds()
			i, _ := slices.BinarySearch(callBuckets, seconds)
			h.buckets[i]++
			h.sum += seconds
		},
		CommitEnded: func(e worker.CommitEnded) {
			outcome := "ok"
			if e.Err != nil {
				outcome = "failed"
			}
			m.count(fmt.Sprintf("odradek_worker_commits_total{service=%q,outcome=%q}", e.Service, outcome))
		},
		RecordSkipped: func(e worker.RecordSkipped) {
			m.count(fmt.Sprintf("odradek_worker_records_skipped_total{service=%q,reason=%q}", e.Service, e.Reason))
		},
	}
}

func (m *metrics) count(series string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counters[series]++
}

// help says what each series is.
var help = []struct{ name, kind, text string }{
	{"odradek_worker_calls_total", "counter", "Attempts of tasks by outcome: completed, retry, failed, cut_off."},
	{"odradek_worker_commits_total", "counter", "Commits of offsets by outcome."},
	{"odradek_worker_records_skipped_total", "counter", "Task records that were not started: finished by a former holder, repeated, undecodable."},
	{"odradek_worker_call_seconds", "histogram", "Duration of attempts."},
	{"odradek_worker_partitions", "gauge", "Task partitions that this worker holds."},
	{"odradek_worker_breaker_open", "gauge", "1: the service is down, its tasks wait, and it is asked now and then."},
	{"odradek_worker_paused_partitions", "gauge", "Of them not fetched, because the commit's metadata is full."},
	{"odradek_worker_permits", "gauge", "Calls that may run at the same time."},
	{"odradek_worker_rate_calls_per_second", "gauge", "Calls that may begin in a second; absent: no limit."},
	{"odradek_worker_rate_limited", "gauge", "1: queued records wait for the rate."},
	{"odradek_worker_key_limited_records", "gauge", "Of the queued records those that wait for the turn of their keys."},
	{"odradek_worker_keys", "gauge", "Keys of limits that are remembered."},
	{"odradek_worker_running_calls", "gauge", "Calls under way."},
	{"odradek_worker_queued_records", "gauge", "Records that wait for a permit."},
	{"odradek_worker_open_records", "gauge", "Records delivered and not finished."},
	{"odradek_worker_info", "gauge", "The build."},
}

// write gives the text format. Series of one name stand together.
func (m *metrics) write(w io.Writer, status []worker.ServiceStatus) {
	series := map[string][]string{}
	m.mu.Lock()
	for s, n := range m.counters {
		name, _, _ := strings.Cut(s, "{")
		series[name] = append(series[name], fmt.Sprintf("%s %d", s, n))
	}
	const calls = "odradek_worker_call_seconds"
	for _, labels := range slices.Sorted(maps.Keys(m.calls)) {
		h, total := m.calls[labels], uint64(0)
		for i, n := range h.buckets {
			total += n
			bound := "+Inf"
			if i < len(callBuckets) {
				bound = fmt.Sprint(callBuckets[i])
			}
			series[calls] = append(series[calls], fmt.Sprintf("%s_bucket{%s,le=%q} %d", calls, labels, bound, total))
		}
		series[calls] = append(series[calls], fmt.Sprintf("%s_sum{%s} %g", calls, labels, h.sum), fmt.Sprintf("%s_count{%s} %d", calls, labels, total))
	}
	m.mu.Unlock()
	for _, s := range status {
		down, rated := 0, 0
		if s.Breaker == "open" || s.Breaker == "half-open" {
			down = 1
		}
		if s.RateLimited {
			rated = 1
		}
		if s.Rate > 0 {
			const name = "odradek_worker_rate_calls_per_second"
			series[name] = append(series[name], fmt.Sprintf("%s{service=%q} %g", name, s.Service, s.Rate))
		}
		for name, v := range map[string]int{
			"odradek_worker_partitions": len(s.Partitions), "odradek_worker_paused_partitions": s.Paused, "odradek_worker_permits": s.Permits,
			"odradek_worker_running_calls": s.Running, "odradek_worker_queued_records": s.Queued, "odradek_worker_open_records": s.Open,
			"odradek_worker_breaker_open": down, "odradek_worker_rate_limited": rated,
			"odradek_worker_key_limited_records": s.KeyLimited, "odradek_worker_keys": s.Keys,
		} {
			series[name] = append(series[name], fmt.Sprintf("%s{service=%q} %d", name, s.Service, v))
		}
	}
	series["odradek_worker_info"] = []string{fmt.Sprintf("odradek_worker_info{version=%q} 1", version())}
	for _, h := range help {
		lines := series[h.name]
		if len(lines) == 0 {
			continue
		}
		if h.kind != "histogram" {
			slices.Sort(lines)
		}
		fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n%s\n", h.name, h.text, h.name, h.kind, strings.Join(lines, "\n"))
	}
}
