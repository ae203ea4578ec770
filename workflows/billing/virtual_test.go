package billing_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/partition"
	"github.com/odradek/odradek/engine/processor"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
	"github.com/odradek/odradek/workflow"
	"github.com/odradek/odradek/workflows/billing"
)

// TestYearOnTheWholeEngine bills three customers over a year of virtual time on real
// lanes over kfake, through both changes of the clocks: each month's calls go out at
// the moment when the month ends in the customer's zone, and never twice. There is
// an engine for the ten minutes around such a moment only, so each time all is
// restored and every run replayed; an idle one would tick through the year.
func TestYearOnTheWholeEngine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		zones := map[string]string{"c-berlin": "Europe/Berlin", "c-havana": "America/Havana", "c-kathmandu": "Asia/Kathmandu"}
		var turns []time.Time // when a month ends for somebody
		want := map[string][]string{}
		for customer, zone := range zones {
			loc, err := time.LoadLocation(zone)
			if err != nil {
				t.Fatal(err)
			}
			for m := range 12 {
				due := time.Date(2000, time.Month(2+m), 1, 0, 0, 0, 0, loc).UTC()
				turns = append(turns, due)
				for _, service := range []string{"consumption", "payment", "invoice", "email"} {
					want[customer] = append(want[customer], fmt.Sprintf("%s for %s at %s", service, due.Format(time.RFC3339), due.Format(time.RFC3339)))
				}
			}
		}
		slices.SortFunc(turns, time.Time.Compare)

		e := newEngine(t)
		time.Sleep(time.Until(time.Date(2000, 1, 10, 0, 0, 0, 0, time.UTC))) // the bubble begins with the year 2000
		e.start()
		for customer, zone := range zones {
			e.submit(customer, &record.Start{Type: billing.Definition.Type(), Input: fmt.Appendf(nil, `{"customer":%q,"calendar":{"zone":%q},"months":12}`, customer, zone)})
		}
		for _, turn := range turns {
			e.away(turn.Add(-5 * time.Minute))
			time.Sleep(10 * time.Minute)
		}
		for customer := range zones {
			if err := e.instance.WaitClosed(t.Context(), customer); err != nil {
				t.Fatal(err)
			}
			if got := e.callsOf(customer); !slices.Equal(got, want[customer]) {
				t.Errorf("%s: got %d calls\n%s\nwant\n%s", customer, len(got), strings.Join(got, "\n"), strings.Join(want[customer], "\n"))
			}
		}
		e.stop()
	})
}

// TestUnsubscribingOnTheWholeEngine: the signal ends the process between two months.
func TestUnsubscribingOnTheWholeEngine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		e.start()
		e.submit("c-1", &record.Start{Type: billing.Definition.Type(), Input: []byte(`{"customer":"c-1"}`)})
		turn := time.Date(2000, 2, 1, 0, 0, 0, 0, time.UTC)
		e.away(turn.Add(-time.Minute))
		time.Sleep(10 * time.Minute)
		e.away(turn.AddDate(0, 0, 9))
		e.submit("c-1", &record.Signal{Name: billing.Unsubscribe.Name(), Payload: []byte(`{"reason":"moved"}`)})
		if err := e.instance.WaitClosed(t.Context(), "c-1"); err != nil {
			t.Fatal(err)
		}
		if at := time.Now(); !at.Before(time.Date(2000, 2, 10, 0, 0, 10, 0, time.UTC)) {
			t.Errorf("closed at %s", at)
		}
		if got := e.callsOf("c-1"); len(got) != 4 {
			t.Errorf("calls: %v", got)
		}
		e.stop()
	})
}

const (
	namespace  = "t"
	partitions = 2
	// lateness is within what a call may be late, never early: a fetch that misses a
	// record waits for FetchWait, a minute here. All months end on a multiple of it.
	lateness = 5 * time.Minute
)

// engine is lanes over kfake on pipes, so that its time is the bubble's, and a
// service worker that answers at once.
type engine struct {
	t        *testing.T
	pipes    *pipes
	cfg      processor.Config
	instance *processor.Instance

	mu    sync.Mutex
	calls map[string][]string // by customer
	seen  map[string]bool     // by idempotency key and attempt
}

func newEngine(t *testing.T) *engine {
	t.Helper()
	e := &engine{t: t, pipes: &pipes{}, calls: map[string][]string{}, seen: map[string]bool{}}
	opts := []kfake.Opt{
		kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(e.pipes.listen),
		kfake.GroupMaxSessionTimeout(500 * time.Hour),
	}
	services := map[string]int32{}
	for service := range billing.Definition.Services() {
		services[service] = partitions
	}
	names := topology.Names{Namespace: namespace}
	d := topology.Deployment{Names: names, Partitions: partitions, ReplicationFactor: 1, MinInsyncReplicas: 1, Services: services, CanPurge: true}
	for _, spec := range d.Plan() {
		opts = append(opts, kfake.SeedTopics(spec.Partitions, spec.Name))
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	ids, err := kadm.NewClient(e.client()).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	topicIDs := map[string]string{}
	for name, topic := range ids {
		topicIDs[name] = topic.ID.String()
	}
	e.cfg = processor.Config{
		InstanceID: "one", AdvertisedAddr: "127.0.0.1:1", DataDir: t.TempDir(), Cluster: "c", TopicIDs: topicIDs, Names: names,
		Client: e.dial,
		Partition: partition.Config{
			Table: topology.TableZero(partitions), Services: services, Build: "test", CacheRuns: 1,
			Definitions: []workflow.Definition{billing.Definition},
		},
		Listener: processor.Listener{
			Warning: func(i processor.WarningInfo) { t.Errorf("at %s: %s", time.Now().UTC(), i) },
			Failed:  func(i processor.LaneError) { t.Errorf("at %s: %s", time.Now().UTC(), i) },
		},
		// A year has 30 million seconds: what would look around every second must not.
		Limits: processor.Limits{
			FetchWait: time.Minute, IdleCheck: -1, HangTick: time.Hour, PurgeEvery: -1, StatusEvery: 24 * time.Hour,
			SessionTimeout: 100 * time.Hour, Heartbeat: 24 * time.Hour,
		},
	}
	return e
}

func (e *engine) dial(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(e.pipes.dial),
		kgo.MetadataMaxAge(time.Hour), kgo.DisableClientMetrics(),
	}, opts...)...)
}

func (e *engine) client(opts ...kgo.Opt) *kgo.Client {
	e.t.Helper()
	cl, err := e.dial(opts...)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(cl.Close)
	return cl
}

// start starts an instance; the first one also the worker, which never stops.
func (e *engine) start() {
	e.t.Helper()
	if e.instance == nil {
		go e.work(e.client(
			kgo.ConsumeRegex(), kgo.ConsumeTopics("^"+namespace+`\.tasks\.`), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(12*time.Hour), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		))
	}
	instance, err := processor.New(e.cfg)
	if err != nil {
		e.t.Fatal(err)
	}
	if err := instance.Start(e.t.Context()); err != nil {
		e.t.Fatal(err)
	}
	e.instance = instance
	for range 10_000 {
		if s := instance.Status(); s.Ready && len(s.Lanes) == partitions {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	e.t.Fatalf("not ready: %+v", instance.Status())
}

func (e *engine) stop() {
	e.t.Helper()
	if err := e.instance.Stop(context.Background()); err != nil {
		e.t.Fatal(err)
	}
}

// away lets time pass without an engine.
func (e *engine) away(until time.Time) {
	e.t.Helper()
	e.stop()
	time.Sleep(time.Until(until))
	e.start()
}

func (e *engine) submit(workflowID string, body record.Body) {
	e.t.Helper()
	r, err := e.instance.Submit(e.t.Context(), workflowID, body)
	if err != nil || r.Outcome != record.OutcomeStarted && r.Outcome != record.OutcomeApplied {
		e.t.Fatalf("%s: %+v, %v", workflowID, r, err)
	}
}

func (e *engine) callsOf(customer string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.calls[customer]
}

// work takes tasks and answers them by docs/protocol.md, as any Kafka client may.
func (e *engine) work(cl *kgo.Client) {
	table := topology.TableZero(partitions)
	for {
		fs := cl.PollFetches(context.Background())
		if fs.IsClientClosed() {
			return
		}
		fs.EachRecord(func(r *kgo.Record) {
			var headers []record.Header
			for _, h := range r.Headers {
				headers = append(headers, record.Header(h))
			}
			task, err := codec.DecodeTask(r.Key, r.Value, headers)
			if err != nil {
				e.t.Errorf("task at %s/%d/%d: %v", r.Topic, r.Partition, r.Offset, err)
				return
			}
			result := e.call(strings.TrimPrefix(r.Topic, namespace+".tasks."), &task)
			out := codec.EncodeCompleted(task.WorkflowID, &record.TaskCompleted{Task: task.ID, Attempt: task.Attempt, Result: result})
			done := &kgo.Record{Topic: namespace + ".events", Partition: table.Partition(task.WorkflowID), Key: out.Key, Value: out.Value}
			for _, h := range out.Headers {
				done.Headers = append(done.Headers, kgo.RecordHeader(h))
			}
			if err := cl.ProduceSync(context.Background(), done).FirstErr(); err != nil {
				e.t.Errorf("answer task %s: %v", task.ID, err)
			}
		})
	}
}

// call notes a call and answers it.
func (e *engine) call(service string, task *codec.Task) []byte {
	var in struct {
		Due   time.Time
		Cents int64
	}
	if err := json.Unmarshal(task.Input, &in); err != nil {
		e.t.Error(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.seen[task.Key] {
		e.t.Errorf("task %s came twice", task.Key)
	}
	e.seen[task.Key] = true
	e.calls[task.WorkflowID] = append(e.calls[task.WorkflowID], fmt.Sprintf("%s for %s at %s", service, in.Due.Format(time.RFC3339), time.Now().UTC().Truncate(lateness).Format(time.RFC3339)))
	switch service {
	case "consumption":
		return []byte(`{"units":100}`)
	case "payment":
		return fmt.Appendf(nil, `{"id":"p","cents":%d}`, in.Cents)
	case "invoice":
		return []byte(`{"number":"i"}`)
	}
	return []byte(`{"message":"m"}`)
}

// pipes is a network with one listener.
type pipes struct {
	accept chan net.Conn
	done   chan struct{}
	once   sync.Once
}

func (p *pipes) listen(_, _ string) (net.Listener, error) {
	p.accept, p.done = make(chan net.Conn), make(chan struct{})
	return p, nil
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "tcp" }
func (pipeAddr) String() string  { return "127.0.0.1:9092" }

type pipeConn struct{ net.Conn }

func (pipeConn) LocalAddr() net.Addr  { return pipeAddr{} }
func (pipeConn) RemoteAddr() net.Addr { return pipeAddr{} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	a, b := net.Pipe()
	select {
	case p.accept <- pipeConn{b}:
		return pipeConn{a}, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
