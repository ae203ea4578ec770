package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/odradek/odradek/engine/processor"
	"github.com/odradek/odradek/internal/kafka"
	"github.com/odradek/odradek/internal/pulse"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/statestore"
)

// bg is the context of log lines that no request leads to.
var bg = context.Background()

// Causes of aborts, as a label and as an attribute of the log.
const (
	causeFailed   = "failed"   // anything not below
	causeFenced   = "fenced"   // another owner has the IDs
	causeUnknown  = "unknown"  // the outcome of a transaction is unknown
	causeHung     = "hung"     // workflow code did not come back
	causeRefused  = "refused"  // a broker refused a record for what it is
	causeIncident = "incident" // an operator decides
)

var causes = []string{causeFailed, causeFenced, causeUnknown, causeHung, causeRefused, causeIncident}

// Engine is the telemetry of an engine's instance.
type Engine struct {
	reg      registry
	log      *slog.Logger
	metrics  *laneMetrics
	requests *requestMetrics
	kafka    func(kafka.Request)
	info     *prometheus.GaugeVec
	instance atomic.Pointer[Instance]
	pulse    *pulse.Pulse

	mu    sync.RWMutex
	lanes map[int32]*lane
}

// Instance is what telemetry reads of a *processor.Instance at scrape time.
type Instance interface {
	Status() processor.InstanceStatus
	Store(partition int32) (*statestore.Store, bool)
}

// pulseLate is after what silence a loop of the instance counts as dead: its slowest
// tick is 15 s, and a report to a broker that is away adds 10 s.
const pulseLate = time.Minute

// NewEngine makes the telemetry of an instance. A nil logger is silent.
func NewEngine(log *slog.Logger) *Engine {
	r := newRegistry("instance")
	e := &Engine{reg: r, log: orSilent(log), metrics: newLaneMetrics(r), requests: newRequestMetrics(r), kafka: kafkaRequests(r), info: r.build(), pulse: pulse.New(pulseLate, nil), lanes: map[int32]*lane{}}
	r.MustRegister(newLaneStates(r, &e.instance), newStores(r, &e.instance))
	return e
}

// Kafka counts a request to Kafka: kafka.Count.
func (e *Engine) Kafka(r kafka.Request) { e.kafka(r) }

// Build names the build in the metrics.
func (e *Engine) Build(version string) {
	e.info.Reset()
	e.info.WithLabelValues(version).Set(1)
}

// Watch says whose gauges a scrape reads. Until then they are absent.
func (e *Engine) Watch(i Instance) { e.instance.Store(&i) }

// Admin makes the admin pages of an instance and watches it. Alive means that its
// loops tick, and that it answers what its state is. Kafka is not asked.
func (e *Engine) Admin(i Instance, log Log) *Pages {
	e.Watch(i)
	return Admin(AdminConfig{
		Metrics: e.Handler(), Level: log.Level, Log: log.Logger,
		Live:   func() error { i.Status(); return e.pulse.Err() },
		Ready:  func() error { return LanesReady(i.Status()) },
		Status: func() any { return newInstancePage(i.Status()) },
	})
}

// Handler serves the metrics.
func (e *Engine) Handler() http.Handler { return e.reg.handler() }

// Listener gives what the lanes call.
func (e *Engine) Listener() processor.Listener {
	return processor.Listener{
		Rebalanced: e.rebalanced, TakenOver: e.takenOver, Committed: e.committed,
		Fenced: e.fenced, Unknown: e.unknown, Failed: e.failed, Undeliverable: e.undeliverable, Refused: e.refused,
		Hung: e.hung, Incident: e.incident, Rebuilt: e.rebuilt, GaveBack: e.gaveBack, Released: e.released,
		Purged: e.purged, Warning: e.warning, Beat: e.pulse.Beat, End: e.pulse.End,
	}
}

// lane gives a partition's counters, at zero from the first time that it is heard of:
// the first increase is then seen as one.
func (e *Engine) lane(partition int32) *lane {
	e.mu.RLock()
	l := e.lanes[partition]
	e.mu.RUnlock()
	if l != nil {
		return l
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if l = e.lanes[partition]; l == nil {
		l = e.metrics.lane(strconv.Itoa(int(partition)))
		e.lanes[partition] = l
	}
	return l
}

func (e *Engine) rebalanced(i processor.RebalanceInfo) {
	e.metrics.rebalances.Inc()
	level := slog.LevelInfo
	if i.Lost {
		e.metrics.sessionsLost.Inc()
		level = slog.LevelWarn
	}
	e.log.Log(bg, level, "group rebalanced", "generation", i.Generation, "assigned", i.Assigned, "revoked", i.Revoked, "lost", i.Lost)
}

func (e *Engine) takenOver(i processor.TakeoverInfo) {
	l := e.lane(i.Partition)
	l.takeovers.Inc()
	l.restored.Add(float64(i.Records))
	e.metrics.takeover.Observe(i.Took.Seconds())
	e.metrics.fence.Observe(i.Init.Seconds())
	e.metrics.restore.Observe(i.Restore.Seconds())
	e.log.Info("partition taken over", "partition", i.Partition, "takeover", i.Takeover, "records", i.Records, "changelog_end", i.End,
		"seconds", i.Took.Seconds(), "open_seconds", i.Open.Seconds(), "fence_seconds", i.Init.Seconds(), "list_seconds", i.List.Seconds(), "restore_seconds", i.Restore.Seconds())
}

func (e *Engine) committed(i *processor.CommitInfo) {
	m, l, c := e.metrics, e.lane(i.Partition), &i.Counts
	m.commit.Observe(i.Took.Seconds())
	m.step.Observe(i.Step.Seconds())
	m.add.Observe(i.Add.Seconds())
	m.produce.Observe(i.Produce.Seconds())
	m.end.Observe(i.End.Seconds())
	m.settle.Observe(i.Settle.Seconds())
	l.commits.Inc()
	for _, x := range []struct {
		counter prometheus.Counter
		n       int
	}{
		{l.produced, i.Records}, {l.bytes, i.Bytes}, {l.addRetries, i.AddRetries},
		{l.inputs, c.Inputs}, {l.turns, c.Turns}, {l.events, c.Events},
		{l.started, c.Started}, {l.closed, c.Closed}, {l.stuck, c.Stuck},
		{l.tasks, c.Tasks}, {l.retries, c.Retries}, {l.timers, c.Timers},
		{l.forwarded, c.Forwarded}, {l.deadLetters, c.DeadLetters}, {l.replays, c.Replays}, {l.mismatches, c.HashMismatches},
	} {
		x.counter.Add(float64(x.n))
	}
	for reason, n := range c.Ignored {
		m.ignored.WithLabelValues(l.partition, reason).Add(float64(n))
	}
	for service, n := range c.Lost {
		m.lost.WithLabelValues(l.partition, service).Add(float64(n))
		e.log.Warn("attempts are lost and made again: a worker committed before it answered, or offsets were reset", "partition", i.Partition, "service", service, "attempts", n)
	}
	m.cached.WithLabelValues(l.partition).Set(float64(c.RunsCached))
	if c.Stuck > 0 {
		e.log.Warn("runs became stuck", "partition", i.Partition, "runs", c.Stuck)
	}
	if c.HashMismatches > 0 {
		e.log.Warn("replay made other inputs than the history has", "partition", i.Partition, "mismatches", c.HashMismatches)
	}
	if e.log.Enabled(bg, slog.LevelDebug) {
		e.log.Debug("batch committed", "partition", i.Partition, "inputs", c.Inputs, "records", i.Records, "bytes", i.Bytes, "seconds", i.Took.Seconds(),
			"step_seconds", i.Step.Seconds(), "add_seconds", i.Add.Seconds(), "produce_seconds", i.Produce.Seconds(), "end_seconds", i.End.Seconds(), "settle_seconds", i.Settle.Seconds())
	}
}

// abort counts and says the end of a tenure.
func (e *Engine) abort(level slog.Level, message, cause string, i processor.LaneError) {
	l := e.lane(i.Partition)
	l.aborts[cause].Inc()
	if errors.Is(i.Err, processor.ErrOutcomeUnknown) {
		l.unknown.Inc()
	}
	e.log.Log(bg, level, message, "partition", i.Partition, "cause", cause, "err", i.Err, "pause_seconds", i.Pause.Seconds())
}

func (e *Engine) fenced(i processor.LaneError) {
	e.lane(i.Partition).fenced.Inc()
	e.abort(slog.LevelWarn, "fenced by another owner", causeFenced, i)
}

func (e *Engine) unknown(i processor.LaneError) {
	e.abort(slog.LevelWarn, "outcome of a transaction is unknown", causeUnknown, i)
}

func (e *Engine) failed(i processor.LaneError) {
	e.abort(slog.LevelWarn, "partition failed and is taken over again", causeFailed, i)
}

func (e *Engine) incident(i processor.LaneError) {
	e.lane(i.Partition).incidents.Inc()
	e.abort(slog.LevelError, "partition stands until an operator decides", causeIncident, i)
}

func (e *Engine) undeliverable(i processor.UndeliveredInfo) {
	e.lane(i.Partition)
	e.metrics.undeliverable.WithLabelValues(strconv.Itoa(int(i.Partition)), i.Topic.String(), i.Service, i.Code).Inc()
	e.log.Error("output cannot be written", "partition", i.Partition, "topic", i.Topic.String(), "service", i.Service, "code", i.Code, "detail", i.Detail)
}

func (e *Engine) refused(i processor.RefusedInfo) {
	e.lane(i.Partition).aborts[causeRefused].Inc()
	attrs := []any{"partition", i.Partition, "cause", causeRefused, "err", i.Err}
	if i.Origin != (record.Origin{}) {
		attrs = append(attrs, "topic", i.Origin.Topic.String(), "offset", i.Origin.Offset)
	}
	if i.Run != (record.RunID{}) {
		attrs = append(attrs, "run_id", i.Run.String())
	}
	e.log.Error("what an input leads to is refused", attrs...)
}

func (e *Engine) hung(i processor.HungInfo) {
	e.lane(i.Partition).aborts[causeHung].Inc()
	e.log.Error("workflow code does not come back", "partition", i.Partition, "cause", causeHung, "run_id", i.Run.String(), "condemned", i.Condemned, "abandoned", i.Abandoned)
}

func (e *Engine) rebuilt(i processor.StoreInfo) {
	e.lane(i.Partition).rebuilt.Inc()
	e.log.Warn("store is rebuilt from Kafka", "partition", i.Partition, "renamed_to", i.To, "err", i.Err)
}

func (e *Engine) gaveBack(i processor.LaneError) {
	e.lane(i.Partition).gaveBack.Inc()
	e.log.Warn("partition is offered to others", "partition", i.Partition, "err", i.Err)
}

func (e *Engine) released(i processor.ReleaseInfo) {
	l := e.lane(i.Partition)
	e.metrics.cached.DeleteLabelValues(l.partition)
	level, attrs := slog.LevelInfo, []any{"partition", i.Partition, "clean", i.Clean}
	if !i.Clean {
		l.unclean.Inc()
		level = slog.LevelWarn
	}
	if i.Err != nil {
		attrs = append(attrs, "err", i.Err)
	}
	e.log.Log(bg, level, "partition released", attrs...)
}

func (e *Engine) purged(i processor.PurgeInfo) {
	outcome := "ok"
	if i.Err != nil {
		outcome = "failed"
		e.log.Warn("consumed input cannot be deleted", "topic", i.Topic, "partition", i.Partition, "err", i.Err)
	} else {
		e.log.Debug("consumed input deleted", "topic", i.Topic, "partition", i.Partition, "before", i.Before)
	}
	e.metrics.purges.WithLabelValues(i.Topic, outcome).Inc()
}

func (e *Engine) warning(i processor.WarningInfo) {
	e.metrics.warnings.Inc()
	e.log.Warn("something beside the lanes does not work", "what", i.What, "err", i.Err)
}

func orSilent(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
