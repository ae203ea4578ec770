package engine

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/engine/processor"
	"github.com/odradek/odradek/httpapi"
	"github.com/odradek/odradek/httpapi/httpapitest"
	"github.com/odradek/odradek/internal/kafka"
	"github.com/odradek/odradek/job"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
	"github.com/odradek/odradek/workflow"
)

const apiPartitions = 4

// apiBrokers has the topics of a deployment whose workflows use these services.
func apiBrokers(t *testing.T, services ...string) (seeds []string, names topology.Names) {
	t.Helper()
	names = topology.Names{Namespace: "t"}
	opts := []kfake.Opt{kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(time.Second)}
	for topic := record.TopicCommands; topic <= record.TopicStatus; topic++ {
		n := int32(apiPartitions)
		switch topic {
		case record.TopicTasks:
			continue
		case record.TopicControl, record.TopicStatus:
			n = 1
		}
		opts = append(opts, kfake.SeedTopics(n, names.Topic(topic)))
	}
	for _, service := range services {
		opts = append(opts, kfake.SeedTopics(int32(servicePartitions(service)), names.Tasks(service)))
	}
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs(), names
}

// apiControl writes the slot table, which workers and clients read, and gives a client.
func apiControl(t *testing.T, seeds []string, names topology.Names) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	if err := kafka.WriteControl(t.Context(), cl, names, kafka.Control{Table: topology.TableZero(apiPartitions)}); err != nil {
		t.Fatal(err)
	}
	return cl
}

// apiInstance runs a whole instance; its API is at the address.
func apiInstance(t *testing.T, seeds []string, names topology.Names, id string, definitions ...workflow.Definition) (httpapi.Engine, string, *processor.Instance) {
	t.Helper()
	return apiInstanceWith(t, seeds, names, id, func(*processor.Config) {}, definitions...)
}

// apiInstanceWith is apiInstance with another configuration.
func apiInstanceWith(t *testing.T, seeds []string, names topology.Names, id string, change func(*processor.Config), definitions ...workflow.Definition) (httpapi.Engine, string, *processor.Instance) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := processor.Config{
		InstanceID: id, AdvertisedAddr: listener.Addr().String(), DataDir: t.TempDir(), Cluster: "kfake", Names: names,
		Client: func(opts ...kgo.Opt) (*kgo.Client, error) {
			return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(seeds...)}, opts...)...)
		},
		Limits: processor.Limits{SessionTimeout: 2 * time.Second, Heartbeat: 100 * time.Millisecond, StatusEvery: 100 * time.Millisecond, FetchWait: 200 * time.Millisecond},
	}
	change(&cfg)
	cfg.Partition.Table = topology.TableZero(apiPartitions)
	jobs := &jobEngine{}
	cfg.Partition.Definitions = append(append(httpapitest.Definitions(), job.Definitions(jobs)...), definitions...)
	cfg.Partition.Services = servicesOf(cfg.Partition.Definitions)
	instance, err := processor.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e := newAPIEngine(instance, apiPartitions, cfg.Partition.Definitions)
	jobs.Engine = e
	s, err := httpapi.New(httpapi.Config{Engine: e, InstanceID: id})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(s)
	srv.Listener.Close()
	srv.Listener = listener
	srv.Start()
	t.Cleanup(srv.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := instance.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := instance.Stop(context.Background()); err != nil {
			t.Errorf("stop %s: %v", id, err)
		}
	})
	return e, "http://" + listener.Addr().String(), instance
}

// ownsAll waits until the instance processes every partition.
func ownsAll(t *testing.T, e httpapi.Engine) {
	t.Helper()
	waitUntil(t, "the instance owns every partition", func() bool {
		for p := range e.Partitions() {
			if _, self, ok := e.Owner(p); !self || !ok {
				return false
			}
		}
		return true
	})
}

// waitUntil looks again and again; the time only guards against hanging.
func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for give := time.Now().Add(time.Minute); time.Now().Before(give); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("never came true: %s", what)
}

// TestEngineKeepsTheAPIsContract runs the contract of package httpapitest, which
// the engine in memory keeps too, against lanes on a broker.
func TestEngineKeepsTheAPIsContract(t *testing.T) {
	t.Parallel()
	seeds, names := apiBrokers(t)
	e, _, _ := apiInstance(t, seeds, names, "one")
	ownsAll(t, e)
	httpapitest.Contract(t, e, "contract")
}

// TestTwoInstancesAnswerForEachOther: each is asked for everything while partitions
// move from one to the other.
func TestTwoInstancesAnswerForEachOther(t *testing.T) {
	t.Parallel()
	seeds, names := apiBrokers(t)
	one, oneURL, _ := apiInstance(t, seeds, names, "one")
	ownsAll(t, one)
	two, twoURL, second := apiInstance(t, seeds, names, "two")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var clients []*client.HTTP
	for _, u := range []string{oneURL, twoURL} {
		c, err := client.NewHTTP(client.HTTPConfig{URL: u, Client: &http.Client{Transport: &http.Transport{}}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		clients = append(clients, c)
	}
	const n = 40
	greet := func(from int, clients ...*client.HTTP) {
		var wg sync.WaitGroup
		for i := from; i < from+n; i++ {
			wg.Go(func() {
				id, c, other := fmt.Sprint("w", i), clients[i%len(clients)], clients[(i+1)%len(clients)]
				h, err := client.Start[httpapitest.Person, httpapitest.Greeted](ctx, c, httpapitest.Greeting, id, httpapitest.Person{Name: id})
				if err != nil {
					t.Errorf("start %s: %v", id, err)
					return
				}
				if err := client.Signal(ctx, other, id, httpapitest.FinishSignal(), httpapitest.Word{Word: "Hi"}); err != nil {
					t.Errorf("signal %s: %v", id, err)
					return
				}
				if got, err := h.Result(ctx); err != nil || got.Text != "Hi "+id {
					t.Errorf("result of %s: %+v, %v", id, got, err)
				}
			})
		}
		wg.Wait()
	}
	greet(0, clients...) // while the second joins
	waitUntil(t, "both own partitions", func() bool {
		owned := 0
		for p := range two.Partitions() {
			if _, self, _ := two.Owner(p); self {
				owned++
			}
		}
		return owned > 0 && owned < apiPartitions
	})
	greet(n, clients...)
	for i, c := range clients {
		listed(ctx, t, fmt.Sprint("instance ", i), c, 2*n)
	}
	stopped := make(chan error)
	go func() { stopped <- second.Stop(ctx) }()
	greet(2*n, clients[0]) // while the first takes over
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	listed(ctx, t, "the instance that is left", clients[0], 3*n)
}

// listed wants n completed workflows.
func listed(ctx context.Context, t *testing.T, who string, c *client.HTTP, n int) {
	t.Helper()
	page, err := c.List(ctx, client.ListRequest{Limit: 1000, Status: "completed"})
	if err != nil || page.Partial || len(page.Workflows) != n {
		t.Errorf("%s lists %d workflows of %d, partial %v: %v", who, len(page.Workflows), n, page.Partial, err)
	}
}
