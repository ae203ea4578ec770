package telemetry

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/odradek/odradek/engine/processor"
	"github.com/odradek/odradek/record"
)

// laneMetrics are the metrics that lanes' events feed.
type laneMetrics struct {
	commit, step, add, produce, end, settle prometheus.Observer
	takeover, fence, restore                prometheus.Observer

	perLane       []laneCounter
	lost          *prometheus.CounterVec
	ignored       *prometheus.CounterVec
	aborts        *prometheus.CounterVec
	undeliverable *prometheus.CounterVec
	cached        *prometheus.GaugeVec

	rebalances, sessionsLost, warnings prometheus.Counter
	purges                             *prometheus.CounterVec
}

// lane has the counters of one partition.
type lane struct {
	partition string // as a label

	commits, produced, bytes, addRetries              prometheus.Counter
	inputs, turns, events, started, closed, stuck     prometheus.Counter
	tasks, retries, timers, forwarded, deadLetters    prometheus.Counter
	replays, mismatches, takeovers, restored, unknown prometheus.Counter
	fenced, incidents, rebuilt, gaveBack, unclean     prometheus.Counter

	aborts map[string]prometheus.Counter // by cause
}

// laneCounter is a counter that every lane has, and where the lane keeps it.
type laneCounter struct {
	of  func(*lane) *prometheus.Counter
	vec *prometheus.CounterVec
}

func newLaneMetrics(reg registry) *laneMetrics {
	r := reg.of("lane")
	m := &laneMetrics{
		commit:   r.timer("commit_seconds", "Batches that settled, from the first step to the settle.", laneBuckets),
		step:     r.timer("step_seconds", "Of a batch, stepping its inputs.", laneBuckets),
		add:      r.timer("add_seconds", "Of a batch, opening the transaction: AddPartitionsToTxn.", laneBuckets),
		produce:  r.timer("produce_seconds", "Of a batch, from the first Produce to the last acknowledgement.", laneBuckets),
		end:      r.timer("end_seconds", "Of a batch, EndTxn.", laneBuckets),
		settle:   r.timer("settle_seconds", "Of a batch, writing it to the store.", laneBuckets),
		takeover: r.timer("takeover_seconds", "Takeovers of partitions, from opening the store to the end of the changelog.", takeoverBuckets),
		fence:    r.timer("fence_seconds", "Of a takeover, fencing the former owner: InitProducerId.", takeoverBuckets),
		restore:  r.timer("restore_seconds", "Of a takeover, reading the tail of the changelog.", takeoverBuckets),

		lost:          r.counter("lost_total", "Attempts of tasks whose records were left behind without an answer and that are made again, by service.", "partition", "service"),
		ignored:       r.counter("ignored_total", "Inputs that changed nothing, by reason.", "partition", "reason"),
		aborts:        r.counter("aborts_total", "Tenures that ended early, by cause: failed, fenced, unknown, hung, refused, incident.", "partition", "cause"),
		undeliverable: r.counter("undeliverable_total", "Outputs that cannot be written, by target and code.", "partition", "topic", "service", "code"),
		cached:        r.gauge("cached_runs", "Runs in memory as of the last commit.", "partition"),

		rebalances:   reg.counter("rebalances_total", "Rebalances of the group.").WithLabelValues(),
		sessionsLost: reg.counter("sessions_lost_total", "Sessions with the group that were lost.").WithLabelValues(),
		warnings:     reg.counter("warnings_total", "Troubles beside the lanes: the status topic, the group. The log says which.").WithLabelValues(),
		purges:       reg.counter("purges_total", "Deletions of consumed input, by outcome: ok, failed.", "topic", "outcome"),
	}
	for _, c := range []struct {
		name, help string
		of         func(*lane) *prometheus.Counter
	}{
		{"commits_total", "Batches that settled.", func(l *lane) *prometheus.Counter { return &l.commits }},
		{"produced_records_total", "Records produced by batches that settled.", func(l *lane) *prometheus.Counter { return &l.produced }},
		{"produced_bytes_total", "Keys and values produced by batches that settled.", func(l *lane) *prometheus.Counter { return &l.bytes }},
		{"add_retries_total", "AddPartitionsToTxn requests that were repeated.", func(l *lane) *prometheus.Counter { return &l.addRetries }},
		{"inputs_total", "Inputs that settled: records of commands, events and internal, and due entries.", func(l *lane) *prometheus.Counter { return &l.inputs }},
		{"turns_total", "Turns of workflow code.", func(l *lane) *prometheus.Counter { return &l.turns }},
		{"history_events_total", "History events written.", func(l *lane) *prometheus.Counter { return &l.events }},
		{"runs_started_total", "Runs started.", func(l *lane) *prometheus.Counter { return &l.started }},
		{"runs_closed_total", "Runs closed.", func(l *lane) *prometheus.Counter { return &l.closed }},
		{"runs_stuck_total", "Times that a run became stuck.", func(l *lane) *prometheus.Counter { return &l.stuck }},
		{"tasks_total", "Tasks scheduled.", func(l *lane) *prometheus.Counter { return &l.tasks }},
		{"retries_total", "Attempts of tasks that failed and are retried.", func(l *lane) *prometheus.Counter { return &l.retries }},
		{"timers_total", "Timers started.", func(l *lane) *prometheus.Counter { return &l.timers }},
		{"forwarded_total", "Records forwarded to the partition that owns their slot.", func(l *lane) *prometheus.Counter { return &l.forwarded }},
		{"dead_letters_total", "Inputs that became dead letters.", func(l *lane) *prometheus.Counter { return &l.deadLetters }},
		{"replays_total", "Runs rebuilt from their history.", func(l *lane) *prometheus.Counter { return &l.replays }},
		{"hash_mismatches_total", "Task inputs that a replay made differently than the history has them.", func(l *lane) *prometheus.Counter { return &l.mismatches }},
		{"takeovers_total", "Takeovers.", func(l *lane) *prometheus.Counter { return &l.takeovers }},
		{"restored_records_total", "Changelog records read by takeovers.", func(l *lane) *prometheus.Counter { return &l.restored }},
		{"unknown_outcomes_total", "Transactions whose outcome was unknown, fenced ones too.", func(l *lane) *prometheus.Counter { return &l.unknown }},
		{"fenced_total", "Times that another owner had the transactional IDs.", func(l *lane) *prometheus.Counter { return &l.fenced }},
		{"incidents_total", "Times that the partition stood until an operator decided.", func(l *lane) *prometheus.Counter { return &l.incidents }},
		{"stores_rebuilt_total", "Stores that were set aside and rebuilt from Kafka.", func(l *lane) *prometheus.Counter { return &l.rebuilt }},
		{"given_back_total", "Times that the partition was offered to other instances because it failed here.", func(l *lane) *prometheus.Counter { return &l.gaveBack }},
		{"unclean_releases_total", "Releases with a batch that had not settled.", func(l *lane) *prometheus.Counter { return &l.unclean }},
	} {
		m.perLane = append(m.perLane, laneCounter{c.of, r.counter(c.name, c.help, "partition")})
	}
	return m
}

func (m *laneMetrics) lane(partition string) *lane {
	l := &lane{partition: partition, aborts: map[string]prometheus.Counter{}}
	for _, c := range m.perLane {
		*c.of(l) = c.vec.WithLabelValues(partition)
	}
	for _, cause := range causes {
		l.aborts[cause] = m.aborts.WithLabelValues(partition, cause)
	}
	return l
}

// laneStates reads gauges from the instance's status at scrape time. Series of a
// partition go with its lane.
type laneStates struct {
	instance *atomic.Pointer[Instance]
	clock    func() time.Time

	ready, abandoned, partitions, generation *prometheus.Desc
	state, stateAge, commitAge, lag, left    *prometheus.Desc
	stall, age                               *prometheus.Desc
}

func newLaneStates(reg registry, instance *atomic.Pointer[Instance]) *laneStates {
	r := reg.of("lane")
	return &laneStates{
		instance: instance, clock: time.Now,
		ready:      reg.desc("ready", "1 while the instance is a member and each of its lanes works or stands with an incident."),
		abandoned:  reg.desc("abandoned_goroutines", "Goroutines that hang in workflow code."),
		partitions: reg.desc("partitions", "Partitions that the instance has, by the state of their lanes.", "state"),
		generation: reg.desc("group_generation", "Generation of the group; -1: not a member."),
		state:      r.desc("state", "1 for the state that the lane is in.", "partition", "state"),
		stateAge:   r.desc("state_age_seconds", "Time in the state.", "partition"),
		commitAge:  r.desc("last_commit_age_seconds", "Time since the last commit; before the first, time in the state. It grows without input: look at the lag too.", "partition"),
		lag:        r.desc("input_lag_records", "Input not processed, as of the last fetch.", "partition", "topic"),
		stall:      r.desc("lso_lag_seconds", "Time that the last stable offset stands below the end: a transaction is open there. 0: it does not.", "partition", "topic"),
		age:        r.desc("oldest_input_age_seconds", "Age of the oldest record that is not processed. 0: none is older than a look at the inputs.", "partition", "topic"),
		left:       r.desc("restore_left_records", "Changelog offsets that a restore still has to read.", "partition"),
	}
}

// Describe implements prometheus.Collector.
func (s *laneStates) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.ready, s.abandoned, s.partitions, s.generation, s.state, s.stateAge, s.commitAge, s.lag, s.stall, s.age, s.left} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s *laneStates) Collect(ch chan<- prometheus.Metric) {
	i := s.instance.Load()
	if i == nil {
		return
	}
	st, now := (*i).Status(), s.clock()
	set := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	ready := 0.0
	if st.Ready {
		ready = 1
	}
	set(s.ready, ready)
	set(s.abandoned, float64(st.Abandoned))
	set(s.generation, float64(st.Generation))
	states := map[processor.State]int{}
	for _, l := range st.Lanes {
		states[l.State]++
		p := fmt.Sprint(l.Partition)
		set(s.state, 1, p, l.State.String())
		set(s.stateAge, now.Sub(l.Since).Seconds(), p)
		worked := l.LastCommit
		if worked.IsZero() {
			worked = l.Since
		}
		set(s.commitAge, now.Sub(worked).Seconds(), p)
		set(s.left, float64(l.RestoreLeft), p)
		set(s.lag, float64(l.LagCommands), p, record.TopicCommands.String())
		set(s.lag, float64(l.LagEvents), p, record.TopicEvents.String())
		set(s.lag, float64(l.LagInternal), p, record.TopicInternal.String())
		for topic, in := range l.Inputs {
			set(s.stall, since(now, in.Stalled), p, topic.String())
			if topic != record.TopicChangelog {
				set(s.age, since(now, in.Oldest), p, topic.String())
			}
		}
	}
	for state := processor.StateWaiting; state <= processor.StateReleased; state++ {
		set(s.partitions, float64(states[state]), state.String())
	}
}

// since is 0 for no time, and for one that is ahead of this machine's clock.
func since(now, t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(now.Sub(t).Seconds(), 0)
}

// LanesReady is nil when the instance is a member of the group and each of its lanes
// works or stands with an incident (which an operator decides, not a restart). The
// error names the others, ten at most.
func LanesReady(st processor.InstanceStatus) error {
	if st.Generation < 0 {
		return fmt.Errorf("instance %s is not a member of the group", st.Instance)
	}
	var not []string
	for _, l := range st.Lanes {
		if l.State == processor.StateRunning || l.State == processor.StateIncident {
			continue
		}
		s := fmt.Sprintf("%d %s", l.Partition, l.State)
		if l.State == processor.StateRestoring {
			s += fmt.Sprintf(" (%d records left)", l.RestoreLeft)
		}
		not = append(not, s)
	}
	if n := len(not); n > 10 {
		not = append(not[:10], fmt.Sprintf("%d more", n-10))
	}
	if len(not) > 0 {
		return fmt.Errorf("partitions that do not work yet: %s", strings.Join(not, ", "))
	}
	if !st.Ready {
		return fmt.Errorf("instance %s is not ready", st.Instance)
	}
	return nil
}
