//go:build !odradek_test && !race

package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/test/kafkatest"
	"github.com/odradek/odradek/test/system"
)

// TestOneBroker has what shares a broker.
func TestOneBroker(t *testing.T) {
	c := kafkatest.Start(t, kafkatest.Config{Secure: true})
	t.Run("secure", func(t *testing.T) { secure(t, c) })
	t.Run("topics check", func(t *testing.T) { topicsCheck(t, c) })
	t.Run("engines take over", func(t *testing.T) { takeOver(t, c) })
}

// secure bills over a listener with SSL and SCRAM alone.
func secure(t *testing.T, c *kafkatest.Cluster) {
	s := c.Secure()
	d := deploy(t, map[string]string{
		"bootstrap.servers": strings.Join(s.Seeds, ","), "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512",
		"sasl.username": s.User, "sasl.password": s.Password, "ssl.ca.location": s.CAFile,
	}, 1, 1)
	out, err := d.Topics(d.ctx, "check")
	d.must(err)
	if !strings.Contains(out, "the topics are as planned") {
		t.Errorf("engine topics check says %q", out)
	}
	d.start(d.http(0), 10)()
	d.start(d.client, 10)()
	d.judge()
}

// topicsCheck alters settings behind the engine's back: check names each.
func topicsCheck(t *testing.T, c *kafkatest.Cluster) {
	ns := system.NewNamespace("it-")
	sys, err := system.New(t.Context(), system.Config{
		Binaries: binaries(t), Dir: filepath.Join(t.TempDir(), ns), Kafka: plain(c), Namespace: ns, Partitions: 3, Engines: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	opts, err := sys.Options()
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	topic := sys.Topic(record.TopicChangelog)
	value := "delete"
	resp, err := kadm.NewClient(cl).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "cleanup.policy", Value: &value}}, topic)
	if err != nil || resp[0].Err != nil {
		t.Fatal(err, resp)
	}
	awaitConfig(t, kadm.NewClient(cl), topic, "cleanup.policy", value)
	out, err := sys.Topics(t.Context(), "check")
	if err == nil {
		t.Error("engine topics check accepts a changelog that deletes")
	}
	found := ""
	for l := range strings.SplitSeq(out, "\n") {
		if strings.Contains(l, topic) && strings.Contains(l, "cleanup.policy") {
			found = l
		}
	}
	if !strings.Contains(found, "delete") || !strings.Contains(found, "compact") || !strings.Contains(found, "fix: ") {
		t.Errorf("no line names the topic, the setting, what it is and is to be, and the fix:\n%s", out)
	}
	e := sys.Engines[0]
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	if err := e.Ready(t.Context()); err == nil || !strings.Contains(e.Tail(), "cleanup.policy") {
		t.Errorf("the engine starts all the same: %v\n%s", err, e.Tail())
	}
}

// awaitConfig returns when the broker has learnt a setting: the controller answers before.
func awaitConfig(t *testing.T, adm *kadm.Client, topic, key, value string) {
	t.Helper()
	for {
		rs, err := adm.DescribeTopicConfigs(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range rs[0].Configs {
			if c.Key == key && c.MaybeValue() == value {
				return
			}
		}
	}
}

// takeOver hands all work from one engine to another and back: in order, and not.
func takeOver(t *testing.T, c *kafkatest.Cluster) {
	d := deploy(t, plain(c), 2, 2)
	one, two := d.Engines[0], d.Engines[1]
	wait := d.start(d.client, 60)
	d.must(one.Stop()) // gives its partitions to the other
	wait()
	d.start(d.http(1), 10)()

	d.must(one.Start())
	d.must(one.Ready(d.ctx))
	wait = d.start(d.client, 60)
	d.must(two.Kill()) // its session has to end first
	wait()
	d.start(d.http(0), 10)()

	d.must(two.Wipe()) // comes back with nothing
	d.must(two.Start())
	d.must(two.Ready(d.ctx))
	wait = d.start(d.client, 60)
	d.must(one.Stop())
	wait()
	d.judge()
}

// TestThreeBrokers loses one of three brokers under load.
func TestThreeBrokers(t *testing.T) {
	c := kafkatest.Start(t, kafkatest.Config{Brokers: 3})
	d := deploy(t, plain(c), 1, 1)
	d.start(d.client, 20)()
	wait := d.start(d.client, 60)
	d.must(c.Kill(1))
	wait()
	wait = d.start(d.client, 20)
	d.must(c.Restart(d.ctx, 1))
	wait()
	d.judge()
}

// TestKillDrill is the smoke version of `make drill DRILL=kill`.
func TestKillDrill(t *testing.T) {
	if testing.Short() && os.Getenv(kafkatest.RequireEnv) == "" {
		t.Skip("real Kafka is left out: -short")
	}
	bin := binaries(t)
	kafkatest.Require(t)
	cmd := exec.CommandContext(t.Context(), "go", "run", "./drill", "kill", "-quick", "-bin", filepath.Dir(bin.Engine))
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	t.Log(stdout.String())
	if err != nil {
		t.Errorf("%v\n%s", err, stderr.String())
	}
}
