package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/internal/kafka"
	"github.com/odradek/odradek/topology"
	"github.com/odradek/odradek/workflow"
)

// TestTopicsTasks: the number of active task partitions is a row of control that says who,
// when and why; what the topic does not allow is refused.
func TestTopicsTasks(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	seeds := cluster.ListenAddrs()[0]
	run := func(want int, says string, args ...string) {
		t.Helper()
		code, stdout, stderr := call(t.Context(), append(args, "--bootstrap-servers", seeds)...)
		if code != want || !strings.Contains(stdout+stderr, says) {
			t.Errorf("%v: code %d: %s%s\nwant %d and %q", args, code, stdout, stderr, want, says)
		}
	}
	run(exitUnavailable, "", "topics", "tasks", "pay", "1")
	run(exitOK, "created odradek.tasks.pay", "topics", "create", "--topics-partitions", "4")
	run(exitOK, "1 of 4 task partitions of service pay are active, before it were 4; engines and workers follow within 2m0s", "topics", "tasks", "pay", "1", "--reason", "one call", "--by", "me")
	run(exitOK, "1 of 4 task partitions of service pay are active already", "topics", "tasks", "pay", "1")
	run(exitUnavailable, "the change of service pay to 1 active task partitions at ", "topics", "tasks", "pay", "2")
	run(exitUsage, "allowed are 1 to 4", "topics", "tasks", "pay", "5")
	run(exitUsage, "allowed are 1 to 4", "topics", "tasks", "pay", "0")
	run(exitUsage, `"two" is not a number`, "topics", "tasks", "pay", "two")
	run(exitUsage, `no workflow type of this binary uses service "email"`, "topics", "tasks", "email", "1")
	run(exitOK, "the topics are as planned", "topics", "check")
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	c, err := kafka.ReadControl(t.Context(), cl, topology.Names{Namespace: "odradek"})
	if err != nil {
		t.Fatal(err)
	}
	a := c.Active["pay"]
	if a.At.IsZero() || len(c.Active) != 1 {
		t.Errorf("control has %+v", c.Active)
	}
	if a.At = (topology.Active{}).At; a != (topology.Active{Partitions: 1, Before: 4, By: "me", Reason: "one call"}) {
		t.Errorf("the row is %+v", a)
	}
}

// TestTasksGoToActivePartitions from the lanes' next batches on, and to all again when the
// row says so: the instance follows control.
func TestTasksGoToActivePartitions(t *testing.T) {
	t.Parallel()
	debit := workflow.NewTask[int, int]("bank", "debit")
	pay := workflow.Define("pay", func(ctx workflow.Context, n int) (int, error) { return debit.Run(ctx, n) }, debit)
	seeds, names := apiBrokers(t, "bank")
	cl := apiControl(t, seeds, names)
	ctx := t.Context()
	e, addr, instance := apiInstance(t, seeds, names, "one", pay)
	ownsAll(t, e)
	c, err := client.NewHTTP(client.HTTPConfig{URL: addr})
	if err != nil {
		t.Fatal(err)
	}
	dial := func(more ...kgo.Opt) (*kgo.Client, error) {
		return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(seeds...)}, more...)...)
	}
	next := 0
	// used starts workflows and gives how many partitions of the topic have new tasks.
	used := func(n int32) (out int) {
		t.Helper()
		if err := kafka.WriteActive(ctx, cl, names, "bank", topology.Active{Partitions: n}); err != nil {
			t.Fatal(err)
		}
		if err := readActive(ctx, dial, names, instance); err != nil {
			t.Fatal(err)
		}
		before := taskEnds(t, ctx, cl, names)
		for range 40 {
			if _, err := c.Start(ctx, client.StartRequest{WorkflowID: fmt.Sprint("pay-", next), Type: "pay", Input: []byte("1")}); err != nil {
				t.Fatal(err)
			}
			next++
		}
		for p, end := range taskEnds(t, ctx, cl, names) {
			if end > before[p] {
				out++
			}
		}
		return out
	}
	for _, n := range []int32{1, 3, apiPartitions} {
		if got := used(n); got != int(n) {
			t.Errorf("%d partitions have new tasks, want %d", got, n)
		}
	}
}

// taskEnds are the ends of the partitions of the service's topic.
func taskEnds(t *testing.T, ctx context.Context, cl *kgo.Client, names topology.Names) map[int32]int64 {
	t.Helper()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, names.Tasks("bank"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) { out[o.Partition] = o.Offset })
	return out
}
