package topology

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/record"
)

func deployment() Deployment {
	return Deployment{Names: Names{"ns"}, Partitions: 4, ReplicationFactor: 3, MinInsyncReplicas: 2, Services: map[string]int32{"pay": 2}, CanPurge: true}
}

// asPlanned is a cluster on which the plan was carried out.
func asPlanned(d Deployment) (map[string]Actual, map[string]string) {
	actual, ids := map[string]Actual{}, map[string]string{}
	for _, s := range d.Plan() {
		actual[s.Name] = Actual{Partitions: s.Partitions, ReplicationFactor: d.ReplicationFactor, Configs: maps.Clone(s.Configs), ID: "id of " + s.Name}
		ids[s.Name] = "id of " + s.Name
	}
	return actual, ids
}

// TestDiff: every way in which a cluster may differ from the plan, what it is called,
// whether the engine starts on it, and the fix (quality: bad input).
func TestDiff(t *testing.T) {
	t.Parallel()
	set := func(topic, key, value string) func(map[string]Actual) {
		return func(a map[string]Actual) { a[topic].Configs[key] = value }
	}
	change := func(topic string, f func(*Actual)) func(map[string]Actual) {
		return func(a map[string]Actual) { x := a[topic]; f(&x); a[topic] = x }
	}
	configs := func(topic, key, want string) string {
		return "kafka-configs.sh --bootstrap-server HOST:PORT --alter --entity-type topics --entity-name " + topic + " --add-config " + key + "=" + want
	}
	for name, c := range map[string]struct {
		spoil func(map[string]Actual)
		want  string // the finding; empty: none
	}{
		"as planned":      {func(map[string]Actual) {}, ""},
		"missing":         {func(a map[string]Actual) { delete(a, "ns.events") }, "error: ns.events: the topic is missing; fix: engine topics create"},
		"missing control": {func(a map[string]Actual) { delete(a, "ns.control") }, "error: ns.control: the topic is missing; fix: engine topics create"},
		"missing tasks":   {func(a map[string]Actual) { delete(a, "ns.tasks.pay") }, "warning: ns.tasks.pay: the topic is missing; fix: engine topics create"},
		"too few": {change("ns.changelog", func(a *Actual) { a.Partitions = 3 }),
			"error: ns.changelog: it has 3 partitions, 4 are needed; fix: kafka-topics.sh --bootstrap-server HOST:PORT --alter --topic ns.changelog --partitions 4"},
		"too few for tasks": {change("ns.tasks.pay", func(a *Actual) { a.Partitions = 1 }),
			"warning: ns.tasks.pay: it has 1 partitions, 2 are needed; fix: kafka-topics.sh --bootstrap-server HOST:PORT --alter --topic ns.tasks.pay --partitions 2"},
		"too many":       {change("ns.commands", func(a *Actual) { a.Partitions = 6 }), "warning: ns.commands: it has 6 partitions, the slot table uses 4: the others stay unused; fix: none is needed"},
		"too many tasks": {change("ns.tasks.pay", func(a *Actual) { a.Partitions = 6 }), ""},
		"one replica":    {change("ns.commands", func(a *Actual) { a.ReplicationFactor = 1 }), "warning: ns.commands: its replication factor is 1, wanted 3; fix: kafka-reassign-partitions.sh with more replicas"},
		"created anew": {change("ns.commands", func(a *Actual) { a.ID = "another" }),
			"error: ns.commands: the topic was created anew: its ID is another, and was id of ns.commands when the deployment was made; what it held is lost; fix: restore the topic, or start over in another namespace"},
		"changelog not compacted": {set("ns.changelog", "cleanup.policy", "delete"), `error: ns.changelog: cleanup.policy is "delete", wanted "compact"; fix: ` + configs("ns.changelog", "cleanup.policy", "compact")},
		"commands compacted":      {set("ns.commands", "cleanup.policy", "compact"), `error: ns.commands: cleanup.policy is "compact", wanted "delete"; fix: ` + configs("ns.commands", "cleanup.policy", "delete")},
		"commands expire":         {set("ns.commands", "retention.ms", "604800000"), `error: ns.commands: retention.ms is "604800000", wanted "-1"; fix: ` + configs("ns.commands", "retention.ms", "-1")},
		"tasks expire by size":    {set("ns.tasks.pay", "retention.bytes", "1"), `error: ns.tasks.pay: retention.bytes is "1", wanted "-1"; fix: ` + configs("ns.tasks.pay", "retention.bytes", "-1")},
		"history shorter":         {set("ns.history", "retention.ms", "1"), `warning: ns.history: retention.ms is "1", wanted "604800000"; fix: ` + configs("ns.history", "retention.ms", "604800000")},
		"history longer":          {set("ns.history", "retention.ms", "704800000"), ""},
		"history for ever":        {set("ns.history", "retention.ms", "-1"), ""},
		"small messages":          {set("ns.internal", "max.message.bytes", "1000000"), `error: ns.internal: max.message.bytes is "1000000", wanted "1114112"; fix: ` + configs("ns.internal", "max.message.bytes", "1114112")},
		"large messages":          {set("ns.internal", "max.message.bytes", "9000000"), ""},
		"tombstones go early":     {set("ns.changelog", "delete.retention.ms", "3600000"), `error: ns.changelog: delete.retention.ms is "3600000", wanted "86400000"; fix: ` + configs("ns.changelog", "delete.retention.ms", "86400000")},
		"tombstones stay":         {set("ns.changelog", "delete.retention.ms", "172800000"), ""},
		"long segments":           {set("ns.changelog", "segment.ms", "604800000"), `warning: ns.changelog: segment.ms is "604800000", wanted "3600000"; fix: ` + configs("ns.changelog", "segment.ms", "3600000")},
		"lazy compaction":         {set("ns.changelog", "max.compaction.lag.ms", "9223372036854775807"), `warning: ns.changelog: max.compaction.lag.ms is "9223372036854775807", wanted "21600000"; fix: ` + configs("ns.changelog", "max.compaction.lag.ms", "21600000")},
		"one in sync":             {set("ns.commands", "min.insync.replicas", "1"), `warning: ns.commands: min.insync.replicas is "1", wanted "2"; fix: ` + configs("ns.commands", "min.insync.replicas", "2")},
		"no append time":          {set("ns.status", "message.timestamp.type", "CreateTime"), `warning: ns.status: message.timestamp.type is "CreateTime", wanted "LogAppendTime"; fix: ` + configs("ns.status", "message.timestamp.type", "LogAppendTime")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deployment()
			actual, ids := asPlanned(d)
			c.spoil(actual)
			var got []string
			for _, f := range d.Diff(actual, ids) {
				got = append(got, f.String())
			}
			if s := strings.Join(got, "\n"); s != c.want {
				t.Errorf("found:\n%s\nwant:\n%s", s, c.want)
			}
		})
	}
}

// TestWithoutTheRightToDelete: what waits then needs a time retention, or its topic grows
// for ever (W7). A longer one is as good.
func TestWithoutTheRightToDelete(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		topic, retention string
		want             string // the beginning of the finding; empty: none
		kept             time.Duration
	}{
		{"ns.events", "-1", `error: ns.events: retention.ms is "-1", and the engine may not delete what is consumed (topics.purge is false): the topic grows for ever; fix: set topics.purge`, 168 * time.Hour},
		{"ns.tasks.pay", "-1", `error: ns.tasks.pay: retention.ms is "-1", and`, 168 * time.Hour},
		{"ns.history", "-1", "", 168 * time.Hour},
		{"ns.events", "704800000", "", 168 * time.Hour},
		{"ns.events", "3600000", `warning: ns.events: retention.ms is "3600000", wanted "604800000"`, time.Hour},
	} {
		d := deployment()
		d.CanPurge = false
		actual, ids := asPlanned(d)
		actual[c.topic].Configs["retention.ms"] = c.retention
		got := ""
		for _, f := range d.Diff(actual, ids) {
			got += f.String()
		}
		if (c.want == "") != (got == "") || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s with %s: found %q, want %q", c.topic, c.retention, got, c.want)
		}
		if kept := d.InputRetention(actual); kept != c.kept {
			t.Errorf("%s with %s: input is kept %v, want %v", c.topic, c.retention, kept, c.kept)
		}
	}
	d := deployment()
	if actual, _ := asPlanned(d); d.InputRetention(actual) != 0 {
		t.Errorf("without a retention input is kept %v", d.InputRetention(actual))
	}
}

// TestDiffBeforeTheFirstCreation: without IDs none can differ.
func TestDiffBeforeTheFirstCreation(t *testing.T) {
	t.Parallel()
	d := deployment()
	actual, _ := asPlanned(d)
	if found := d.Diff(actual, nil); len(found) > 0 {
		t.Errorf("found %v", found)
	}
	if found := d.Diff(nil, nil); len(found) != len(d.Plan()) {
		t.Errorf("%d findings for %d topics that are missing", len(found), len(d.Plan()))
	}
}

// TestPlan: what waits is not lost (W7), the changelog is compacted (F4), a payload of
// 512 KB fits everywhere (F5), and what a transaction writes has the same replicas.
func TestPlan(t *testing.T) {
	t.Parallel()
	for _, purge := range []bool{true, false} {
		d := deployment()
		d.CanPurge = purge
		wait := map[bool]string{true: "-1", false: "604800000"}[purge]
		specs := map[string]Spec{}
		for _, s := range d.Plan() {
			specs[s.Name] = s
			if s.Configs["max.message.bytes"] != "1114112" || s.Configs["min.insync.replicas"] != "2" {
				t.Errorf("%s: %v", s.Name, s.Configs)
			}
		}
		if len(specs) != 10 {
			t.Errorf("%d topics", len(specs))
		}
		for _, name := range []string{"ns.commands", "ns.events", "ns.internal", "ns.changelog", "ns.history"} {
			if s := specs[name]; !s.Aligned || s.Partitions != 4 {
				t.Errorf("%s: %+v", name, s)
			}
		}
		for _, name := range []string{"ns.commands", "ns.events", "ns.internal", "ns.tasks.pay"} {
			if c := specs[name].Configs; c["retention.ms"] != wait || c["retention.bytes"] != "-1" || c["cleanup.policy"] != "delete" {
				t.Errorf("%s with purge %v: %v", name, purge, c)
			}
		}
		if c := specs["ns.changelog"].Configs; c["cleanup.policy"] != "compact" || c["delete.retention.ms"] != "86400000" || c["segment.ms"] != "3600000" || c["max.compaction.lag.ms"] != "21600000" {
			t.Errorf("changelog: %v", c)
		}
		if s := specs["ns.tasks.pay"]; s.Partitions != 2 || s.Service != "pay" || s.Topic != record.TopicTasks {
			t.Errorf("tasks: %+v", s)
		}
	}
}

// TestValidate: each deployment that cannot work is refused, and says why.
func TestValidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Deployment)
		want   string
	}{
		"good":               {func(*Deployment) {}, ""},
		"no namespace":       {func(d *Deployment) { d.Namespace = "" }, `namespace "" is not a name`},
		"bad namespace":      {func(d *Deployment) { d.Namespace = "a/b" }, `namespace "a/b" is not a name`},
		"up":                 {func(d *Deployment) { d.Namespace = "a..b" }, `namespace "a..b" has ".."`},
		"no partitions":      {func(d *Deployment) { d.Partitions = 0 }, "a deployment of 0 partitions: choose 1 to 4096"},
		"too many":           {func(d *Deployment) { d.Partitions = 4097 }, "a deployment of 4097 partitions"},
		"no replica":         {func(d *Deployment) { d.ReplicationFactor = 0 }, "replication factor 0"},
		"more in sync":       {func(d *Deployment) { d.MinInsyncReplicas = 4 }, "replication factor 3 with min.insync.replicas 4"},
		"bad service":        {func(d *Deployment) { d.Services["p ay"] = 1 }, `service "p ay" is not a name`},
		"service of ours":    {func(d *Deployment) { d.Services["engine"] = 1 }, `service "engine"`},
		"no task partition":  {func(d *Deployment) { d.Services["pay"] = 0 }, `service "pay" has 0 task partitions`},
		"more than lanes W2": {func(d *Deployment) { d.Services["pay"] = 5 }, `service "pay" has 5 task partitions: choose 1 to 4`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deployment()
			c.change(&d)
			switch err := d.Validate(); {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestTaskPartitions: at most N, and each has a permit (W2).
func TestTaskPartitions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n           int32
		concurrency int
		want        int32
	}{{24, 0, 24}, {24, 100, 24}, {24, 24, 24}, {24, 3, 3}, {4, 1, 1}} {
		if got := TaskPartitions(c.n, c.concurrency); got != c.want {
			t.Errorf("TaskPartitions(%d, %d) is %d, want %d", c.n, c.concurrency, got, c.want)
		}
	}
}
