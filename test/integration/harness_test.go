//go:build !odradek_test && !race

package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/test/kafkatest"
	"github.com/odradek/odradek/test/system"
	"github.com/odradek/odradek/workflows/billing"
	"github.com/odradek/odradek/workflows/billing/apis"
)

// built are the binaries, made once.
var built struct {
	once sync.Once
	dir  string
	bin  system.Binaries
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir) // a temporary folder
	}
	os.Exit(code)
}

func binaries(t *testing.T) system.Binaries {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "odradek-bin-"); built.err == nil {
			built.bin, built.err = system.Build(context.Background(), built.dir, "")
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.bin
}

// testTimeout bounds a test: far above what each needs.
const testTimeout = 3 * time.Minute

// deployment is a system under test, with a client that needs no engine of its own.
type deployment struct {
	*testing.T
	*system.System
	ctx    context.Context
	client *client.Kafka
	months map[string]int
}

// deploy starts a deployment.
func deploy(t *testing.T, kafka map[string]string, engines, workers int) *deployment {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	ns := system.NewNamespace("it-")
	dir := t.TempDir()
	sys, err := system.New(ctx, system.Config{
		Binaries: binaries(t), Dir: filepath.Join(dir, ns), Kafka: kafka, Namespace: ns, Partitions: 3,
		Engines: engines, Workers: workers, Faults: apis.Faults{FailRate: .02, LoseRate: .02, Seed: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	d := &deployment{T: t, System: sys, ctx: ctx, months: map[string]int{}}
	t.Cleanup(func() {
		if err := sys.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			for _, m := range sys.Members() {
				t.Logf("%s: %s", m.Name, m.Tail())
			}
		}
	})
	d.must(sys.Start(ctx))
	opts, err := sys.Options()
	d.must(err)
	d.client, err = client.NewKafka(ctx, client.KafkaConfig{Namespace: ns, Options: opts})
	d.must(err)
	t.Cleanup(d.client.Close)
	return d
}

func (d *deployment) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// month is how long a customer's month lasts.
const month = 500 * time.Millisecond

// start starts n customers' contracts of one month, and gives how to wait for their
// ends.
func (d *deployment) start(c client.Client, n int) (wait func()) {
	d.Helper()
	var handles []client.Handle[billing.Summary]
	for range n {
		id := fmt.Sprintf("customer-%04d", len(d.months))
		in := billing.Subscription{Customer: id, Calendar: billing.Calendar{Every: billing.Length(month)}, Months: 1}
		h, err := client.Start[billing.Subscription, billing.Summary](d.ctx, c, billing.Definition.Type(), id, in)
		d.must(err)
		d.months[id] = 1
		handles = append(handles, h)
	}
	return func() {
		d.Helper()
		for _, h := range handles {
			sum, err := h.Result(d.ctx)
			if err != nil {
				d.Fatalf("%s: %v", h.WorkflowID(), err)
			}
			if sum.Months != 1 {
				d.Errorf("%s was billed for %d months", h.WorkflowID(), sum.Months)
			}
		}
	}
}

// http is a client of an engine's API.
func (d *deployment) http(i int) *client.HTTP {
	d.Helper()
	c, err := client.NewHTTP(client.HTTPConfig{URL: "http://" + d.Engines[i].API})
	d.must(err)
	d.Cleanup(c.Close)
	return c
}

// judge stops everything and asks the oracle.
func (d *deployment) judge() {
	d.Helper()
	d.must(d.Stop())
	j, err := d.Judge(d.ctx, d.months)
	d.must(err)
	for _, p := range j.Problems {
		d.Error(p)
	}
	if !j.OK() || !j.StoreEqual || j.Runs < len(d.months) {
		d.Errorf("%d missing, %d doubled, %d broken; stores equal: %v; %d runs of %d closed", j.Missing, j.Doubled, j.Broken, j.StoreEqual, j.Runs, len(d.months))
	}
	d.Logf("%d runs, %d requests, %d stores compared", j.Runs, j.Requests, j.Stores)
}

func plain(c *kafkatest.Cluster) map[string]string {
	seeds := c.Seeds()
	s := seeds[0]
	for _, more := range seeds[1:] {
		s += "," + more
	}
	return map[string]string{"bootstrap.servers": s}
}
