package engine

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/odradek/odradek/workflow"
)

var payTask = workflow.NewTask[int, int]("pay", "charge")

func commandConfig() Config {
	return Config{Build: "test", Workflows: []workflow.Definition{
		workflow.Define("paying", func(ctx workflow.Context, n int) (int, error) { return payTask.Run(ctx, n) }, payTask),
	}}
}

// call runs a command line as a user would.
func call(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Run(ctx, commandConfig(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// TestExamplesAreCommands: what the help shows can be typed: its flags are there.
func TestExamplesAreCommands(t *testing.T) {
	t.Parallel()
	n := 0
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			args := strings.Fields(line)
			if len(args) == 0 {
				continue
			}
			n++
			root := command(commandConfig())
			found, rest, err := root.Find(args[1:])
			if err == nil {
				err = found.ParseFlags(rest)
			}
			if err != nil || args[0] != root.Name() || found.CommandPath() != c.CommandPath() {
				t.Errorf("example of %q: %s: %v", c.CommandPath(), strings.TrimSpace(line), err)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(command(commandConfig()))
	if n < 5 {
		t.Errorf("%d examples", n)
	}
}

// TestBadUse: exit code 2, and a message that names the mistake.
func TestBadUse(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "engine.yaml")
	if err := os.WriteFile(file, []byte("namspace: a\ncache: {runs: many}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"flag":              {[]string{"run", "--bogus"}, "unknown flag: --bogus"},
		"command":           {[]string{"rnu"}, `unknown command "rnu"`},
		"argument":          {[]string{"run", "now"}, `unknown command "now"`},
		"key":               {[]string{"run", "--config", file}, file + `:1: namspace: this key is not known. Did you mean "namespace"?`},
		"value":             {[]string{"config", "check", "--config", file}, file + `:2: cache.runs: "many" is not a whole number`},
		"no file":           {[]string{"run", "--config", file + "x"}, "no such file"},
		"API for everybody": {[]string{"run", "--api-listen", "0.0.0.0:0"}, "api.listen"},
		"topics":            {[]string{"topics", "create", "--topics-partitions", "0"}, "topics.partitions"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, _, stderr := call(t.Context(), c.args...)
			if code != exitUsage || !strings.Contains(stderr, c.want) {
				t.Errorf("code %d: %s\nwant %q", code, stderr, c.want)
			}
		})
	}
}

// TestKafkaIsAway: exit code 4, and which setting to look at.
func TestKafkaIsAway(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"run", "--data-dir", t.TempDir()}, {"topics", "check"}, {"topics", "create"}, {"config", "check", "--online"}} {
		code, _, stderr := call(t.Context(), append(args, "--bootstrap-servers", "127.0.0.1:1")...)
		if code != exitUnavailable || !strings.Contains(stderr, "127.0.0.1:1") || !strings.Contains(stderr, "bootstrap.servers") {
			t.Errorf("%v: code %d: %s", args, code, stderr)
		}
	}
}

// TestRunIsRefused: a broker and topics with which the engine cannot be right, each
// with its fix, and nothing is opened (quality: bad input).
func TestRunIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		create bool
		spoil  func(*testing.T, *kfake.Cluster, *kadm.Client)
		want   []string
	}{
		"no topics": {false, func(*testing.T, *kfake.Cluster, *kadm.Client) {}, []string{"the deployment has no slot table", "engine topics create"}},
		"a topic is missing": {true, func(t *testing.T, _ *kfake.Cluster, adm *kadm.Client) {
			if _, err := adm.DeleteTopic(t.Context(), "odradek.events"); err != nil {
				t.Fatal(err)
			}
		}, []string{"odradek.events: the topic is missing; fix: engine topics create"}},
		"changelog not compacted": {true, func(t *testing.T, _ *kfake.Cluster, adm *kadm.Client) {
			value := "delete"
			rs, err := adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "cleanup.policy", Value: &value}}, "odradek.changelog")
			if err != nil || rs[0].Err != nil {
				t.Fatal(err, rs)
			}
		}, []string{`odradek.changelog: cleanup.policy is "delete", wanted "compact"; fix: kafka-configs.sh`}},
		"no right to see a topic": {true, func(t *testing.T, c *kfake.Cluster, _ *kadm.Client) {
			c.ControlKey(kmsg.DescribeConfigs.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
				for _, r := range req.(*kmsg.DescribeConfigsRequest).Resources {
					x := kmsg.NewDescribeConfigsResponseResource()
					x.ResourceType, x.ResourceName, x.ErrorCode = r.ResourceType, r.ResourceName, kerr.TopicAuthorizationFailed.Code
					resp.Resources = append(resp.Resources, x)
				}
				return resp, nil, true
			})
		}, []string{"allow this principal DESCRIBE_CONFIGS on topics with the prefix"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cluster.Close)
			seeds := cluster.ListenAddrs()[0]
			if c.create {
				code, stdout, stderr := call(t.Context(), "topics", "create", "--bootstrap-servers", seeds, "--topics-partitions", "2")
				if code != exitOK || !strings.Contains(stdout, "created odradek.tasks.pay") {
					t.Fatalf("create: code %d: %s%s", code, stdout, stderr)
				}
				if code, stdout, stderr = call(t.Context(), "topics", "check", "--bootstrap-servers", seeds); code != exitOK || !strings.Contains(stdout, "the topics are as planned") {
					t.Fatalf("check: code %d: %s%s", code, stdout, stderr)
				}
			}
			cl, err := kgo.NewClient(kgo.SeedBrokers(seeds))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cl.Close)
			c.spoil(t, cluster, kadm.NewClient(cl))
			dir := filepath.Join(t.TempDir(), "data")
			for _, args := range [][]string{
				{"run", "--data-dir", dir, "--api-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--allow-weaker-broker"}, {"topics", "check"},
			} {
				code, stdout, stderr := call(t.Context(), append(args, "--bootstrap-servers", seeds)...)
				for _, want := range c.want {
					if code != exitUnavailable || !strings.Contains(stdout+stderr, want) {
						t.Errorf("%s: code %d: %s%s\nwant %q", args[0], code, stdout, stderr, want)
					}
				}
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("the data directory was made")
			}
		})
	}
}
