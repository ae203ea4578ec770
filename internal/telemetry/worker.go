package telemetry

import (
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/odradek/odradek/internal/kafka"
	"github.com/odradek/odradek/worker"
)

// UnboundTask stands in the label task for operations that the worker has no handler
// for: what a record names must not become a label.
const UnboundTask = "unbound"

// Worker is the telemetry of a service worker. The worker logs its own troubles; what
// it tells its listener is logged at debug, and calls that failed for good at info.
type Worker struct {
	reg     registry
	log     *slog.Logger
	tasks   map[string]bool // service.operation
	calls   *prometheus.CounterVec
	commits *prometheus.CounterVec
	skipped *prometheus.CounterVec
	call    *prometheus.HistogramVec
	commit  *prometheus.HistogramVec
	kafka   func(kafka.Request)
	status  atomic.Pointer[func() []worker.ServiceStatus]
}

// NewWorker makes the telemetry of a worker. Version is the build's; tasks are the
// handlers' "service.operation". A nil logger is silent.
func NewWorker(log *slog.Logger, version string, tasks []string) *Worker {
	r := newRegistry("worker")
	w := &Worker{
		reg: r, log: orSilent(log), tasks: map[string]bool{},
		calls:   r.counter("calls_total", "Attempts of tasks by outcome: completed, retry, failed, cut_off.", "service", "task", "outcome"),
		commits: r.counter("commits_total", "Commits of offsets by outcome: ok, failed.", "service", "outcome"),
		skipped: r.counter("records_skipped_total", "Task records that were not started: finished by a former holder, repeated, undecodable.", "service", "reason"),
		call:    r.histogram("call_seconds", "Duration of attempts.", callBuckets, "service", "task"),
		commit:  r.histogram("commit_seconds", "Duration of commits of offsets.", laneBuckets, "service"),
		kafka:   kafkaRequests(r),
	}
	r.build().WithLabelValues(version).Set(1)
	for _, t := range tasks {
		w.tasks[t] = true
	}
	r.MustRegister(newServices(r, &w.status))
	return w
}

// Listener gives what the worker calls.
func (w *Worker) Listener() worker.Listener {
	return worker.Listener{CallEnded: w.callEnded, CommitEnded: w.commitEnded, RecordSkipped: w.recordSkipped}
}

// Watch says where gauges of the services are read at scrape time:
// (*worker.Worker).Status.
func (w *Worker) Watch(status func() []worker.ServiceStatus) { w.status.Store(&status) }

// Kafka counts a request to Kafka: kafka.Count.
func (w *Worker) Kafka(r kafka.Request) { w.kafka(r) }

// Handler serves the metrics.
func (w *Worker) Handler() http.Handler { return w.reg.handler() }

func (w *Worker) callEnded(e worker.CallEnded) {
	task := e.Operation
	if !w.tasks[e.Service+"."+task] {
		task = UnboundTask
	}
	w.calls.WithLabelValues(e.Service, task, string(e.Outcome)).Inc()
	w.call.WithLabelValues(e.Service, task).Observe(e.Duration.Seconds())
	level := slog.LevelDebug
	if e.Outcome == worker.OutcomeFailed {
		level = slog.LevelInfo
	}
	w.log.Log(bg, level, "call ended", "service", e.Service, "task", task, "outcome", string(e.Outcome), "kind", e.Kind, "code", e.Code, "seconds", e.Duration.Seconds())
}

func (w *Worker) commitEnded(e worker.CommitEnded) {
	outcome := "ok"
	if e.Err != nil {
		outcome = "failed"
		w.log.Debug("commit failed", "service", e.Service, "partitions", e.Partitions, "err", e.Err)
	}
	w.commits.WithLabelValues(e.Service, outcome).Inc()
	w.commit.WithLabelValues(e.Service).Observe(e.Duration.Seconds())
}

func (w *Worker) recordSkipped(e worker.RecordSkipped) {
	w.skipped.WithLabelValues(e.Service, e.Reason).Inc()
	w.log.Debug("record skipped", "service", e.Service, "partition", e.Partition, "offset", e.Offset, "reason", e.Reason)
}

// WorkerReady is nil when each service's group has answered; without partitions too,
// there may be more workers than partitions.
func WorkerReady(services []worker.ServiceStatus) error {
	for _, s := range services {
		if !s.Joined {
			return fmt.Errorf("service %s has not joined its group yet", s.Service)
		}
	}
	return nil
}

// services reads gauges of services at scrape time.
type services struct {
	status                                               *atomic.Pointer[func() []worker.ServiceStatus]
	partitions, full, paused, breaker, permits, running  *prometheus.Desc
	queued, opened, rate, rateLimited, keys, keysLimited *prometheus.Desc
}

func newServices(r registry, status *atomic.Pointer[func() []worker.ServiceStatus]) *services {
	return &services{
		status:     status,
		partitions: r.desc("partitions", "Task partitions that this worker holds.", "service"),
		breaker:    r.desc("breaker_open", "1: the service is down, its tasks wait, and it is asked now and then.", "service"),
		full:       r.desc("paused_partitions", "Of them not fetched, because the commit's metadata is full.", "service"),
		paused:     r.desc("paused", "1: an operator has paused the service, its tasks wait.", "service"),
		permits:    r.desc("permits", "Calls that may run at the same time.", "service"),
		running:    r.desc("running_calls", "Calls under way.", "service"),
		queued:     r.desc("queued_records", "Records that wait for a permit.", "service"),
		opened:     r.desc("open_records", "Records delivered and not finished.", "service"),

		rate:        r.desc("rate_calls_per_second", "Calls that may begin in a second; absent: no limit.", "service"),
		rateLimited: r.desc("rate_limited", "1: queued records wait for the rate.", "service"),
		keys:        r.desc("keys", "Keys of limits that are remembered.", "service"),
		keysLimited: r.desc("key_limited_records", "Of the queued records those that wait for the turn of their keys.", "service"),
	}
}

// Describe implements prometheus.Collector.
func (s *services) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.partitions, s.full, s.paused, s.breaker, s.permits, s.running, s.queued, s.opened, s.rate, s.rateLimited, s.keys, s.keysLimited} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s *services) Collect(ch chan<- prometheus.Metric) {
	status := s.status.Load()
	if status == nil {
		return
	}
	for _, v := range (*status)() {
		set := func(d *prometheus.Desc, n float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, n, v.Service)
		}
		is := func(d *prometheus.Desc, yes bool) {
			n := 0.0
			if yes {
				n = 1
			}
			set(d, n)
		}
		set(s.partitions, float64(len(v.Partitions)))
		set(s.full, float64(v.Paused))
		is(s.paused, v.OperatorPaused)
		is(s.breaker, v.Breaker == "open" || v.Breaker == "half-open")
		set(s.permits, float64(v.Permits))
		set(s.running, float64(v.Running))
		set(s.queued, float64(v.Queued))
		set(s.opened, float64(v.Open))
		if v.Rate > 0 {
			set(s.rate, v.Rate)
		}
		is(s.rateLimited, v.RateLimited)
		set(s.keys, float64(v.Keys))
		set(s.keysLimited, float64(v.KeyLimited))
	}
}
