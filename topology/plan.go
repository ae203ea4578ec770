package topology

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/odradek/odradek/record"
)

// MessageBytesMax is max.message.bytes of our topics (F5): a payload of 512 KB in
// an envelope, or a chunk of 768 KB.
const MessageBytesMax = 1<<20 + 64<<10

// PartitionsDefault is N of a deployment unless chosen otherwise.
const PartitionsDefault = 24

// Deployment is what the topics of a namespace are made from.
type Deployment struct {
	Names
	Partitions        int32            // N
	ReplicationFactor int16            // of every topic
	MinInsyncReplicas int              // of every topic
	Services          map[string]int32 // task partitions M of each declared service (W2)
	// CanPurge: the engine may delete records. Then what waits has no time retention;
	// without, it is kept 7 days (W7).
	CanPurge bool
}

// Spec is one topic as it must be.
type Spec struct {
	Name       string
	Topic      record.Topic
	Service    string // with TopicTasks
	Partitions int32
	Configs    map[string]string // Kafka's names
	// Aligned topics give partition p the same replicas: fewer leaders in a transaction.
	Aligned bool
}

// Validate refuses a deployment that cannot work.
func (d Deployment) Validate() error {
	if err := CheckName("namespace", d.Namespace); err != nil {
		return err
	}
	if d.Partitions < 1 || d.Partitions > 4096 {
		return fmt.Errorf("a deployment of %d partitions: choose 1 to 4096", d.Partitions)
	}
	if d.ReplicationFactor < 1 || d.MinInsyncReplicas < 1 || d.MinInsyncReplicas > int(d.ReplicationFactor) {
		return fmt.Errorf("replication factor %d with min.insync.replicas %d: the second is 1 to the first", d.ReplicationFactor, d.MinInsyncReplicas)
	}
	for _, s := range slices.Sorted(maps.Keys(d.Services)) {
		if err := CheckService(s); err != nil {
			return err
		}
		if m := d.Services[s]; m < 1 || m > d.Partitions {
			return fmt.Errorf("service %q has %d task partitions: choose 1 to %d, the deployment's partitions (W2)", s, m, d.Partitions)
		}
	}
	return nil
}

// TaskPartitions is M for a service with the given concurrency limit, 0 for none:
// at most N, so that few lanes share a task partition, and at most the limit, so
// that each partition has a permit (W2).
func TaskPartitions(n int32, concurrency int) int32 {
	if concurrency > 0 && concurrency < int(n) {
		return int32(concurrency)
	}
	return n
}

// Plan is every topic of the deployment: those of the engine first, then the task
// topics by name.
func (d Deployment) Plan() []Spec {
	waiting := ms(-1) // waiting is not losing
	if !d.CanPurge {
		waiting = ms(7 * 24 * time.Hour)
	}
	input := map[string]string{"cleanup.policy": "delete", "retention.ms": waiting, "retention.bytes": "-1"}
	compact := map[string]string{"cleanup.policy": "compact"}
	n := d.Partitions
	specs := []Spec{
		{Topic: record.TopicCommands, Partitions: n, Configs: input, Aligned: true},
		{Topic: record.TopicEvents, Partitions: n, Configs: input, Aligned: true},
		{Topic: record.TopicInternal, Partitions: n, Configs: input, Aligned: true},
		// F4: tombstones outlive every reader that is not rebuilt, and compaction keeps
		// the log short.
		{Topic: record.TopicChangelog, Partitions: n, Aligned: true, Configs: map[string]string{
			"cleanup.policy": "compact", "delete.retention.ms": ms(24 * time.Hour),
			"segment.ms": ms(time.Hour), "max.compaction.lag.ms": ms(6 * time.Hour),
		}},
		{Topic: record.TopicHistory, Partitions: n, Aligned: true, Configs: map[string]string{"cleanup.policy": "delete", "retention.ms": ms(7 * 24 * time.Hour)}},
		{Topic: record.TopicDeadLetters, Partitions: n, Configs: map[string]string{"cleanup.policy": "delete", "retention.ms": ms(30 * 24 * time.Hour)}},
		{Topic: record.TopicCancels, Partitions: n, Configs: map[string]string{"cleanup.policy": "delete", "retention.ms": ms(7 * 24 * time.Hour)}},
		{Topic: record.TopicControl, Partitions: 1, Configs: compact},
		// The append time tells an owner how far its clock is off (T2).
		{Topic: record.TopicStatus, Partitions: 1, Configs: map[string]string{"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime"}},
	}
	for i := range specs {
		specs[i].Name = d.Topic(specs[i].Topic)
	}
	for _, s := range slices.Sorted(maps.Keys(d.Services)) {
		specs = append(specs, Spec{Name: d.Tasks(s), Topic: record.TopicTasks, Service: s, Partitions: d.Services[s], Configs: input})
	}
	for i := range specs {
		c := map[string]string{"max.message.bytes": strconv.Itoa(MessageBytesMax), "min.insync.replicas": strconv.Itoa(d.MinInsyncReplicas)}
		maps.Copy(c, specs[i].Configs)
		specs[i].Configs = c
	}
	return specs
}

func ms(d time.Duration) string {
	if d < 0 {
		return "-1"
	}
	return strconv.FormatInt(d.Milliseconds(), 10)
}

// Actual is a topic as the cluster has it.
type Actual struct {
	Partitions        int32
	ReplicationFactor int16 // of its least replicated partition
	Configs           map[string]string
	ID                string
}

// Severity of a finding.
type Severity uint8

// A Fatal finding refuses the start; a Warning is told and lived with.
const (
	Warning Severity = iota
	Fatal
)

// String is "warning" or "error".
func (s Severity) String() string {
	if s == Fatal {
		return "error"
	}
	return "warning"
}

// Finding is one way in which the cluster is not as planned.
type Finding struct {
	Topic    string
	Severity Severity
	Problem  string
	Fix      string // a command, or what to do
}

// String is one line.
func (f Finding) String() string {
	return fmt.Sprintf("%s: %s: %s; fix: %s", f.Severity, f.Topic, f.Problem, f.Fix)
}

// Diff compares the plan with the cluster. ids are the topics' IDs as control has
// them, nil before the first creation. A task topic that is missing or too small
// makes runs stuck and is a warning; everything else that is missing is fatal.
func (d Deployment) Diff(actual map[string]Actual, ids map[string]string) []Finding {
	var found []Finding
	for _, s := range d.Plan() {
		a, ok := actual[s.Name]
		severity := Fatal
		if s.Topic == record.TopicTasks {
			severity = Warning
		}
		if !ok {
			found = append(found, Finding{s.Name, severity, "the topic is missing", "engine topics create"})
			continue
		}
		found = append(found, s.diff(d, a, severity)...)
		if id := ids[s.Name]; id != "" && a.ID != "" && id != a.ID {
			found = append(found, Finding{
				s.Name, Fatal, fmt.Sprintf("the topic was created anew: its ID is %s, and was %s when the deployment was made; what it held is lost", a.ID, id),
				"restore the topic, or start over in another namespace",
			})
		}
	}
	return found
}

func (s Spec) diff(d Deployment, a Actual, severity Severity) []Finding {
	var found []Finding
	add := func(sev Severity, problem, fix string) {
		found = append(found, Finding{s.Name, sev, problem, fix})
	}
	switch {
	case a.Partitions < s.Partitions:
		add(severity, fmt.Sprintf("it has %d partitions, %d are needed", a.Partitions, s.Partitions),
			fmt.Sprintf("kafka-topics.sh --bootstrap-server HOST:PORT --alter --topic %s --partitions %d", s.Name, s.Partitions))
	case a.Partitions > s.Partitions && s.Topic != record.TopicTasks:
		add(Warning, fmt.Sprintf("it has %d partitions, the slot table uses %d: the others stay unused", a.Partitions, s.Partitions), "none is needed")
	}
	if a.ReplicationFactor < d.ReplicationFactor {
		add(Warning, fmt.Sprintf("its replication factor is %d, wanted %d", a.ReplicationFactor, d.ReplicationFactor), "kafka-reassign-partitions.sh with more replicas")
	}
	for _, key := range slices.SortedFunc(maps.Keys(s.Configs), cmp.Compare[string]) {
		want, have := s.Configs[key], a.Configs[key]
		if s.waits() && key == "retention.ms" && have == "-1" && want != "-1" {
			add(Fatal, "retention.ms is \"-1\", and the engine may not delete what is consumed (topics.purge is false): the topic grows for ever",
				fmt.Sprintf("set topics.purge to true and allow DELETE on the topic, or kafka-configs.sh --bootstrap-server HOST:PORT --alter --entity-type topics --entity-name %s --add-config %s=%s", s.Name, key, want))
			continue
		}
		if have == want || harmless(key, want, have) {
			continue
		}
		sev := Warning
		if loses(key, want, have) {
			sev = Fatal
		}
		add(sev, fmt.Sprintf("%s is %q, wanted %q", key, have, want),
			fmt.Sprintf("kafka-configs.sh --bootstrap-server HOST:PORT --alter --entity-type topics --entity-name %s --add-config %s=%s", s.Name, key, want))
	}
	return found
}

// waits: records of the topic wait to be consumed, and only the purge deletes them (W7).
func (s Spec) waits() bool {
	switch s.Topic {
	case record.TopicCommands, record.TopicEvents, record.TopicInternal, record.TopicTasks:
		return true
	}
	return false
}

// InputRetention is the least time for which the cluster keeps commands, events and
// internal records that nobody processed; 0: for ever.
func (d Deployment) InputRetention(actual map[string]Actual) time.Duration {
	least := time.Duration(0)
	for _, t := range []record.Topic{record.TopicCommands, record.TopicEvents, record.TopicInternal} {
		n, err := strconv.ParseInt(actual[d.Topic(t)].Configs["retention.ms"], 10, 64)
		if err != nil || n < 0 {
			continue
		}
		if kept := time.Duration(n) * time.Millisecond; least == 0 || kept < least {
			least = kept
		}
	}
	return least
}

// harmless: more is as good.
func harmless(key, want, have string) bool {
	w, err1 := strconv.ParseInt(want, 10, 64)
	h, err2 := strconv.ParseInt(have, 10, 64)
	if err1 != nil || err2 != nil {
		return false
	}
	switch key {
	case "retention.ms", "retention.bytes":
		return h == -1 || w != -1 && h >= w
	case "max.message.bytes", "min.insync.replicas", "delete.retention.ms":
		return h >= w
	}
	return false
}

// loses: the setting, as it is, loses records that the engine counts on.
func loses(key, want, have string) bool {
	switch key {
	case "cleanup.policy", "max.message.bytes":
		return true
	case "retention.ms", "retention.bytes":
		return want == "-1"
	case "delete.retention.ms":
		return true
	}
	return false
}
