package kafka

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/odradek/odradek/topology"
)

func fakeCluster(t *testing.T, opts ...kfake.Opt) (*kfake.Cluster, *kgo.Client) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, connect(t, c)
}

// connect makes a client that has seen nothing, as a command's is.
func connect(t *testing.T, c *kfake.Cluster) *kgo.Client {
	t.Helper()
	cl, err := NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func fakeDeployment() topology.Deployment {
	return topology.Deployment{
		Names: topology.Names{Namespace: "ns"}, Partitions: 4, ReplicationFactor: 3, MinInsyncReplicas: 2,
		Services: map[string]int32{"pay": 2}, CanPurge: true,
	}
}

func create(t *testing.T, cl *kgo.Client, d topology.Deployment) []string {
	t.Helper()
	created, err := CreateTopics(t.Context(), cl, d)
	if err != nil {
		t.Fatal(err)
	}
	return created
}

// TestReplicas: partition p of what a transaction writes is asked for with the same
// replicas, three different ones, and partitions are spread over the brokers.
func TestReplicas(t *testing.T) {
	t.Parallel()
	c, cl := fakeCluster(t)
	var mu sync.Mutex
	asked := map[string]map[int32][]int32{}
	c.ControlKey(kmsg.CreateTopics.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		mu.Lock()
		defer mu.Unlock()
		for _, topic := range req.(*kmsg.CreateTopicsRequest).Topics {
			asked[topic.Topic] = map[int32][]int32{}
			for _, a := range topic.ReplicaAssignment {
				asked[topic.Topic][a.Partition] = slices.Clone(a.Replicas)
			}
		}
		return nil, nil, false
	})
	d := fakeDeployment()
	create(t, cl, d)
	leads := map[int32]bool{}
	for p, replicas := range asked["ns.commands"] {
		leads[replicas[0]] = true
		if all := slices.Compact(slices.Sorted(slices.Values(replicas))); len(all) != 3 {
			t.Errorf("partition %d has replicas %v", p, replicas)
		}
	}
	if len(leads) != 3 {
		t.Errorf("of 3 brokers %v lead", leads)
	}
	for _, topic := range []string{"ns.events", "ns.internal", "ns.changelog", "ns.history"} {
		if !reflect.DeepEqual(asked[topic], asked["ns.commands"]) {
			t.Errorf("%s has replicas %v, commands has %v", topic, asked[topic], asked["ns.commands"])
		}
	}
}

// TestCreateTopics: everything from the bootstrap address alone; a check finds nothing;
// a second creation adds what a new service needs, and changes nothing else.
func TestCreateTopics(t *testing.T) {
	t.Parallel()
	_, cl := fakeCluster(t)
	d := fakeDeployment()
	if created := create(t, cl, d); len(created) != len(d.Plan()) {
		t.Errorf("created %v", created)
	}
	checked, err := CheckTopics(t.Context(), cl, d)
	if err != nil || len(checked.Findings) > 0 {
		t.Fatalf("found %v (%v)", checked.Findings, err)
	}
	if checked.Services["pay"] != 2 || checked.Control.Table.Partitions != 4 || len(checked.Control.TopicIDs) != len(d.Plan()) {
		t.Errorf("checked %+v", checked)
	}
	before := checked.Control
	if created := create(t, cl, d); len(created) > 0 {
		t.Errorf("created again: %v", created)
	}
	d.Services["mail"] = 1
	if created := create(t, cl, d); !slices.Equal(created, []string{"ns.tasks.mail"}) {
		t.Errorf("created for a new service: %v", created)
	}
	after, err := ReadControl(t.Context(), cl, d.Names)
	if err != nil {
		t.Fatal(err)
	}
	if after.TopicIDs["ns.tasks.mail"] == "" || after.TopicIDs["ns.commands"] != before.TopicIDs["ns.commands"] || *after.Table != *before.Table {
		t.Errorf("control %v, before %v", after.TopicIDs, before.TopicIDs)
	}
}

// TestCreateTopicsIsRefused: what cannot be created is told with its fix.
func TestCreateTopicsIsRefused(t *testing.T) {
	t.Parallel()
	c, cl := fakeCluster(t)
	d := fakeDeployment()
	d.ReplicationFactor = 4
	if _, err := CreateTopics(t.Context(), cl, d); err == nil || !strings.Contains(err.Error(), "more than the 3 brokers of the cluster: choose at most 3") {
		t.Errorf("four replicas: %v", err)
	}
	d = fakeDeployment()
	d.Partitions = 0
	if _, err := CreateTopics(t.Context(), cl, d); err == nil {
		t.Error("no partitions are accepted")
	}
	d = fakeDeployment()
	answer(c, kmsg.CreateTopics, func(_ kmsg.Request, resp kmsg.Response) {
		for i := range resp.(*kmsg.CreateTopicsResponse).Topics {
			resp.(*kmsg.CreateTopicsResponse).Topics[i].ErrorCode = kerr.TopicAuthorizationFailed.Code
		}
	}, func(req kmsg.Request) kmsg.Response {
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		for _, topic := range req.(*kmsg.CreateTopicsRequest).Topics {
			x := kmsg.NewCreateTopicsResponseTopic()
			x.Topic = topic.Topic
			resp.Topics = append(resp.Topics, x)
		}
		return resp
	})
	if _, err := CreateTopics(t.Context(), cl, d); !errors.Is(err, kerr.TopicAuthorizationFailed) || !strings.Contains(err.Error(), `allow this principal CREATE on topics with the prefix "ns."`) {
		t.Errorf("without the right: %v", err)
	}
}

// answer lets a broker answer a request with what make gives, changed.
func answer(c *kfake.Cluster, key kmsg.Key, change func(kmsg.Request, kmsg.Response), make func(kmsg.Request) kmsg.Response) {
	c.ControlKey(key.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := make(req)
		change(req, resp)
		return resp, nil, true
	})
}

// TestCheckTopics: what somebody did to the topics is named with its fix (quality: bad
// input).
func TestCheckTopics(t *testing.T) {
	t.Parallel()
	set := func(topic, key, value string) func(*testing.T, *kadm.Client) {
		return func(t *testing.T, adm *kadm.Client) {
			rs, err := adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, topic)
			if err == nil {
				err = rs[0].Err
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(topic string) func(*testing.T, *kadm.Client) {
		return func(t *testing.T, adm *kadm.Client) {
			if _, err := adm.DeleteTopic(t.Context(), topic); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		spoil func(*testing.T, *kadm.Client)
		want  string
		fatal bool
	}{
		"changelog not compacted": {set("ns.changelog", "cleanup.policy", "delete"), "--entity-name ns.changelog --add-config cleanup.policy=compact", true},
		"commands expire":         {set("ns.commands", "retention.ms", "1000"), "--entity-name ns.commands --add-config retention.ms=-1", true},
		"events missing":          {remove("ns.events"), "ns.events: the topic is missing; fix: engine topics create", true},
		"tasks missing":           {remove("ns.tasks.pay"), "ns.tasks.pay: the topic is missing; fix: engine topics create", false},
		"status at create time":   {set("ns.status", "message.timestamp.type", "CreateTime"), "--entity-name ns.status --add-config message.timestamp.type=LogAppendTime", false},
		"created anew": {func(t *testing.T, adm *kadm.Client) {
			remove("ns.internal")(t, adm)
			if _, err := adm.CreateTopic(t.Context(), 4, 3, nil, "ns.internal"); err != nil {
				t.Fatal(err)
			}
		}, "ns.internal: the topic was created anew", true},
		"more partitions": {func(t *testing.T, adm *kadm.Client) {
			if rs, err := adm.CreatePartitions(t.Context(), 2, "ns.commands"); err != nil || rs.Error() != nil {
				t.Fatal(err, rs.Error())
			}
		}, "ns.commands: it has 6 partitions, the slot table uses 4", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster, cl := fakeCluster(t)
			d := fakeDeployment()
			create(t, cl, d)
			c.spoil(t, kadm.NewClient(cl))
			checked, err := CheckTopics(t.Context(), connect(t, cluster), d)
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, f := range checked.Findings {
				lines = append(lines, f.String())
			}
			if !strings.Contains(strings.Join(lines, "\n"), c.want) {
				t.Errorf("found %q, want %q", lines, c.want)
			}
			if got := len(checked.Fatal()) > 0; got != c.fatal {
				t.Errorf("refused: %v, want %v: %q", got, c.fatal, lines)
			}
		})
	}
}

// TestTheTableSaysN: a configuration with another number of partitions than the
// deployment was made with changes nothing, and task topics keep their M.
func TestTheTableSaysN(t *testing.T) {
	t.Parallel()
	_, cl := fakeCluster(t)
	d := fakeDeployment()
	create(t, cl, d)
	d.Partitions, d.Services["pay"] = 8, 7
	c, err := CheckTopics(t.Context(), cl, d)
	if err != nil || len(c.Findings) > 0 {
		t.Errorf("found %v (%v)", c.Findings, err)
	}
	if c.Control.Table.Partitions != 4 || c.Services["pay"] != 2 {
		t.Errorf("N is %d, M is %d", c.Control.Table.Partitions, c.Services["pay"])
	}
}

// TestDeploymentThatIsNotThere: nothing, and topics without a slot table.
func TestDeploymentThatIsNotThere(t *testing.T) {
	t.Parallel()
	d := fakeDeployment()
	cluster, cl := fakeCluster(t)
	c, err := CheckTopics(t.Context(), cl, d)
	if !errors.Is(err, ErrNoControl) || !strings.Contains(err.Error(), "engine topics create") || len(c.Findings) != len(d.Plan()) {
		t.Errorf("%v with %d findings", err, len(c.Findings))
	}
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 1, 3, nil, "ns.control"); err != nil {
		t.Fatal(err)
	}
	cl = connect(t, cluster)
	if _, err := ReadControl(t.Context(), cl, d.Names); !errors.Is(err, ErrNoControl) {
		t.Errorf("an empty control topic: %v", err)
	}
	for _, value := range []string{"{", `{"partitions":1}`} {
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "ns.control", Key: []byte(tableKey), Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadControl(t.Context(), cl, d.Names); err == nil || errors.Is(err, ErrNoControl) {
			t.Errorf("a damaged table %s: %v", value, err)
		}
	}
}

func TestReplication(t *testing.T) {
	t.Parallel()
	for brokers, want := range map[int][2]int{1: {1, 1}, 2: {2, 1}, 3: {3, 2}, 9: {3, 2}} {
		if factor, insync := Replication(brokers); int(factor) != want[0] || insync != want[1] {
			t.Errorf("%d brokers: %d replicas, %d in sync, want %v", brokers, factor, insync, want)
		}
	}
}
