package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/internal/kafka"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
)

const (
	testService = "payment"
	testEvents  = 3 // partitions of events
)

// env is a broker on pipes, so that a whole test runs in virtual time.
type env struct {
	t       *testing.T
	net     *pipeNet
	cluster *kfake.Cluster
	client  *kgo.Client // the engine's side
	read    *kgo.Client // reads events
	next    int
}

// newEnv must be called inside a synctest bubble.
func newEnv(t *testing.T, taskPartitions int32) *env {
	t.Helper()
	e := &env{t: t, net: &pipeNet{listeners: map[string]*pipeListener{}, cut: map[string]bool{}}}
	var err error
	e.cluster, err = kfake.NewCluster(
		kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(e.net.listen),
		kfake.GroupMinSessionTimeout(time.Second),
		kfake.SeedTopics(testEvents, "t.events"),
		kfake.SeedTopics(taskPartitions, "t.tasks."+testService),
		kfake.SeedTopics(1, "t.control"),
		kfake.SeedTopics(1, "t.cancels"),
		kfake.SeedTopics(1, "t.status"),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.cluster.Close)
	e.client = e.newClient("engine", kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := kafka.WriteControl(t.Context(), e.newClient("control"), topology.Names{Namespace: "t"}, kafka.Control{Table: topology.TableZero(testEvents)}); err != nil {
		t.Fatal(err)
	}
	e.read = e.newClient("reader", kgo.ConsumeTopics("t.events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	return e
}

// newClient connects from the named host; net.sever cuts a host off.
func (e *env) newClient(host string, opts ...kgo.Opt) *kgo.Client {
	e.t.Helper()
	cl, err := kgo.NewClient(append(e.dial(host), opts...)...)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(cl.Close)
	return cl
}

// dial is how the named host reaches the broker.
func (e *env) dial(host string) []kgo.Opt {
	return []kgo.Opt{kgo.SeedBrokers("127.0.0.1:9092"), kgo.Dialer(e.net.dialer(host))}
}

// taskRecord is a task as the engine writes it.
func taskRecord(n int, operation string, partition int32, input string) *kgo.Record {
	id := taskID(n)
	return &kgo.Record{
		Topic: "t.tasks." + testService, Partition: partition, Key: []byte(workflowID(n)), Value: []byte(input),
		Headers: []kgo.RecordHeader{
			{Key: "od-op", Value: []byte(operation)},
			{Key: "od-task", Value: []byte(id.String())},
			{Key: "od-attempt", Value: []byte("1")},
			{Key: "od-type", Value: []byte("monthly")},
			{Key: "traceparent", Value: []byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")},
		},
	}
}

func workflowID(n int) string { return fmt.Sprintf("customer-%d", n) }

func taskID(n int) record.TaskID {
	return record.TaskID{Run: record.DeriveRunID(workflowID(n), record.Origin{Offset: int64(n)}, 1), No: 3}
}

// put writes n tasks of one operation in turn over the partitions and gives their numbers.
func (e *env) put(n int, operation string, partitions int32) (numbers []int) {
	e.t.Helper()
	var recs []*kgo.Record
	for range n {
		recs = append(recs, taskRecord(e.next, operation, int32(e.next)%partitions, strconv.Itoa(e.next)))
		numbers = append(numbers, e.next)
		e.next++
	}
	e.produce(recs...)
	return numbers
}

func (e *env) produce(recs ...*kgo.Record) {
	e.t.Helper()
	if err := e.client.ProduceSync(e.t.Context(), recs...).FirstErr(); err != nil {
		e.t.Fatal(err)
	}
}

// event is a result as the engine reads it.
type event struct {
	Partition       int32
	Key, Kind, Task string
	Attempt, Value  string
	Traceparent     string
	More            string // what a poll adds
}

// events reads n results.
func (e *env) events(n int) (out []event) {
	e.t.Helper()
	for len(out) < n {
		fs := e.read.PollFetches(e.t.Context())
		if err := fs.Err(); err != nil {
			e.t.Fatalf("after %d of %d events: %v", len(out), n, err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			ev := event{Partition: r.Partition, Key: string(r.Key), Value: string(r.Value)}
			for _, h := range r.Headers {
				switch h.Key {
				case "od-event":
					ev.Kind = string(h.Value)
				case "od-task":
					ev.Task = string(h.Value)
				case "od-attempt":
					ev.Attempt = string(h.Value)
				case "od-sending", "od-after-ms", "od-forget", "od-dl-task":
					ev.More += " " + strings.TrimPrefix(h.Key, "od-") + "=" + string(h.Value)
				case "traceparent":
					ev.Traceparent = string(h.Value)
				}
			}
			out = append(out, ev)
		})
	}
	return out
}

// start runs a worker on the named host until the test's end.
func (e *env) start(host string, cfg Config) *Worker {
	e.t.Helper()
	cfg.Namespace, cfg.Kafka = "t", e.dial(host)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	w, err := New(cfg)
	if err != nil {
		e.t.Fatal(err)
	}
	if err := w.Start(e.t.Context()); err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = w.Stop(context.Background()) })
	return w
}

// pipeNet is a network of pipes with one address per listener.
type pipeNet struct {
	mu        sync.Mutex
	listeners map[string]*pipeListener
	conns     []*pipeConn
	cut       map[string]bool // hosts
}

type pipeListener struct {
	net    *pipeNet
	addr   pipeAddr
	accept chan net.Conn
	done   chan struct{}
	once   sync.Once
}

type pipeAddr string

func (pipeAddr) Network() string  { return "tcp" }
func (a pipeAddr) String() string { return string(a) }

func (n *pipeNet) listen(_, address string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := &pipeListener{net: n, addr: pipeAddr(address), accept: make(chan net.Conn), done: make(chan struct{})}
	n.listeners[address] = l
	return l, nil
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return l.addr }

type pipeConn struct {
	net.Conn
	host string
	addr pipeAddr
}

func (c *pipeConn) RemoteAddr() net.Addr { return c.addr }
func (c *pipeConn) LocalAddr() net.Addr  { return c.addr }

var errCut = errors.New("host is cut off")

func (n *pipeNet) dialer(host string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		n.mu.Lock()
		l, cut := n.listeners[address], n.cut[host]
		n.mu.Unlock()
		if cut || l == nil {
			return nil, errCut
		}
		a, b := net.Pipe()
		select {
		case l.accept <- &pipeConn{Conn: b, host: host, addr: l.addr}:
		case <-l.done:
			return nil, net.ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		c := &pipeConn{Conn: a, host: host, addr: l.addr}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.conns = append(n.conns, c)
		return c, nil
	}
}

// sever cuts the host off for good, as SIGKILL does from the broker's view.
func (n *pipeNet) sever(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut[host] = true
	for _, c := range n.conns {
		if c.host == host {
			_ = c.Close()
		}
	}
}

// waitFor waits in virtual time until the condition holds.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for range 10_000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the condition never held")
}

// committedSpans is how many finished spans beyond the watermark the last commits carry.
func (s *service) committedSpans() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, p := range s.parts {
		if p.committed.offset >= 0 {
			pr, err := decodeProgress(p.committed.offset, p.committed.metadata)
			if err != nil {
				panic(err)
			}
			n += len(pr.Finished)
		}
	}
	return n
}
