package processor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/internal/fault"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
)

// env is a cluster with the topics of one partition: kfake, or the real one that
// ODRADEK_TEST_KAFKA names (host:port,...).
type env struct {
	t     testing.TB
	names topology.Names
	seeds []string
	fake  *kfake.Cluster
	cl    *kgo.Client
	dial  kgo.Opt // of the owners; nil: directly
}

func newEnv(t testing.TB, opts ...kfake.Opt) *env {
	e := &env{t: t, names: topology.Names{Namespace: "t" + strconv.FormatInt(time.Now().UnixNano(), 36)}}
	topics := map[string]int32{e.names.Tasks(counterService): 3}
	for _, topic := range []record.Topic{record.TopicCommands, record.TopicEvents, record.TopicInternal, record.TopicChangelog, record.TopicStatus} {
		topics[e.names.Topic(topic)] = 1
	}
	if s := os.Getenv("ODRADEK_TEST_KAFKA"); s != "" {
		e.seeds = strings.Split(s, ",")
	} else {
		opts = append([]kfake.Opt{kfake.NumBrokers(3)}, opts...)
		for name, n := range topics {
			opts = append(opts, kfake.SeedTopics(n, name))
		}
		c, err := kfake.NewCluster(opts...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		e.fake, e.seeds = c, c.ListenAddrs()
	}
	var err error
	if e.cl, err = kgo.NewClient(kgo.SeedBrokers(e.seeds...), kgo.ProducerLinger(0), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(20*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.cl.Close)
	if e.fake == nil {
		adm := kadm.NewClient(e.cl)
		for name, n := range topics {
			if _, err := adm.CreateTopic(t.Context(), n, -1, nil, name); err != nil {
				t.Fatal(err)
			}
			await(t, "topic "+name+" at the broker", func() bool { _, err := listEnd(t.Context(), e.cl, name, 0); return err == nil })
		}
		t.Cleanup(func() {
			for name := range topics {
				_, _ = adm.DeleteTopics(context.Background(), name)
			}
		})
	}
	return e
}

func (e *env) topic(t record.Topic) string { return e.names.Topic(t) }

// ownerConfig is the configuration of a lane with the counting step on a disk.
func (e *env) ownerConfig(d *disk, inject *fault.Injector) *Config {
	cfg := Config{
		InstanceID: "test", DataDir: "unused", Names: e.names, Fault: inject,
		Client: func(opts ...kgo.Opt) (*kgo.Client, error) {
			base := []kgo.Opt{kgo.SeedBrokers(e.seeds...)}
			if e.dial != nil {
				base = append(base, e.dial)
			}
			return kgo.NewClient(append(base, opts...)...)
		},
		Limits: Limits{BatchInputsMax: 20, FetchWait: 200 * time.Millisecond, RetryTimeout: 3 * time.Second, IdleCheck: -1, StopTimeout: 10 * time.Second},
	}
	cfg.Partition.Table = topology.TableZero(1)
	cfg.Partition.Services = map[string]int32{counterService: 3}
	cfg.ports = ports{
		openStore: func(int32) (Store, error) {
			s, err := d.open()
			if err == nil {
				s.(*memStore).fault = inject
			}
			return s, err
		},
		crashNote:  func(int32) string { return "" },
		quarantine: func(int32) (string, error) { d.wipe(); return "elsewhere", nil },
		stepper: func(_ int32, view machine.View) (Stepper, error) {
			return &counter{store: view.(*memStore)}, nil
		},
	}
	c := cfg.WithDefaults()
	return &c
}

// lone is the host of a lane that always believes to be the owner.
type lone struct {
	gave   atomic.Int32
	asked  atomic.Int32
	takes  chan struct{}
	refuse atomic.Bool
	hung   atomic.Int32
}

func newLone() *lone { return &lone{takes: make(chan struct{}, 10_000)} }

func (h *lone) confirm(ctx context.Context, _ int32) error {
	h.asked.Add(1)
	if h.refuse.Load() {
		<-ctx.Done()
		return ErrNotOwner
	}
	return nil
}
func (h *lone) giveBack(int32)                            { h.gave.Add(1) }
func (h *lone) tookOver(*lane)                            { h.takes <- struct{}{} }
func (h *lone) abandoned() int                            { return int(h.hung.Add(1)) }
func (h *lone) restoring(context.Context) (func(), error) { return func() {}, nil }

// start runs a lane until the test ends or halt is called.
func (e *env) start(cfg *Config, h *lone) *lane {
	l := newLane(cfg, 0, newTopicNames(cfg.Names, cfg.Partition.Services), h)
	l.start(context.Background())
	e.t.Cleanup(func() { l.halt(); <-l.done })
	return l
}

const keys = 17

// feed writes commands and events, by turns, over some keys.
func (e *env) feed(total int) {
	for i := range total {
		topic := record.TopicCommands
		if i%3 == 0 {
			topic = record.TopicEvents
		}
		e.cl.Produce(context.Background(), &kgo.Record{Topic: e.topic(topic), Key: []byte("k" + strconv.Itoa(i%keys))}, func(_ *kgo.Record, err error) {
			if err != nil {
				e.t.Error("feed:", err)
			}
		})
		if i%10 == 0 {
			_ = e.cl.Flush(context.Background()) // small bursts, so that there are many batches
		}
	}
	_ = e.cl.Flush(context.Background())
}

// verdict is what an outsider sees of a run: outputs that are there twice or not at
// all, counters that a restore would get wrong.
type verdict struct{ outputs, dup, lost, extra, behind int }

func (v verdict) wrong() bool { return v.dup+v.lost+v.extra+v.behind > 0 }
func (v verdict) String() string {
	return fmt.Sprintf("%d outputs, %d twice, %d lost, %d too many, %d counters wrong", v.outputs, v.dup, v.lost, v.extra, v.behind)
}

func want(total, key int) uint64 {
	n := total / keys
	if key < total%keys {
		n++
	}
	return uint64(n)
}

// outputs reads the tasks until all are there, or nothing came for idle.
func (e *env) outputs(total int, idle time.Duration) (map[string]map[uint64]int, int) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(e.seeds...), kgo.ConsumeTopics(e.names.Tasks(counterService)),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		e.t.Fatal(err)
	}
	defer cl.Close()
	seen, at, n := map[string]map[uint64]int{}, map[int32]int64{}, 0
	read := func(d time.Duration) int {
		ctx, cancel := context.WithTimeout(e.t.Context(), d)
		defer cancel()
		got := 0
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if o, ok := at[r.Partition]; ok && r.Offset <= o {
				return // the reader itself was given it twice
			}
			at[r.Partition] = r.Offset
			got++
			if seen[string(r.Key)] == nil {
				seen[string(r.Key)] = map[uint64]int{}
			}
			seen[string(r.Key)][binary.BigEndian.Uint64(r.Value)]++
		})
		return got
	}
	for last := time.Now(); n < total && time.Since(last) < idle; {
		if got := read(200 * time.Millisecond); got > 0 {
			n, last = n+got, time.Now()
		}
	}
	for got := read(300 * time.Millisecond); got > 0; got = read(300 * time.Millisecond) {
		n += got
	}
	return seen, n
}

// changelog folds what is committed: what a takeover without a disk finds.
func (e *env) changelog() (map[string]uint64, record.Positions) {
	adm := kadm.NewClient(e.cl)
	topic := e.topic(record.TopicChangelog)
	ends, err := adm.ListCommittedOffsets(e.t.Context(), topic)
	if err != nil {
		e.t.Fatal(err)
	}
	end, _ := ends.Lookup(topic, 0)
	cl, err := kgo.NewClient(kgo.SeedBrokers(e.seeds...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(0)}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		e.t.Fatal(err)
	}
	defer cl.Close()
	rows, pos := map[string]uint64{}, record.Positions{}
	for next := int64(0); next < end.Offset; {
		fs := cl.PollFetches(e.t.Context())
		if err := fs.Err(); err != nil {
			e.t.Fatal(err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if r.Offset < next {
				return
			}
			next = r.Offset + 1
			if r.Attrs.IsControl() {
				return
			}
			if k, err := codec.DecodeKey(r.Key); err == nil && k.Kind == codec.RowPositions {
				pos, _ = codec.DecodePositions(r.Value)
				return
			}
			rows[string(r.Key)] = binary.BigEndian.Uint64(r.Value)
		})
	}
	return rows, pos
}

// judge compares what happened with what had to.
func (e *env) judge(total int, idle time.Duration, stop func()) (v verdict) {
	_, _ = e.outputs(total, idle)
	stop()
	seen, n := e.outputs(total, 0)
	v.outputs = n
	rows, _ := e.changelog()
	for i := range keys {
		key := "k" + strconv.Itoa(i)
		for s := uint64(1); s <= want(total, i); s++ {
			switch seen[key][s] {
			case 0:
				v.lost++
			case 1:
			default:
				v.dup++
			}
		}
		v.extra += max(0, len(seen[key])-int(want(total, i)))
		if rows[rowKey(key)] != want(total, i) {
			v.behind++
		}
	}
	return v
}

// await waits for a condition that another goroutine brings about.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// counts collects what a listener hears.
type counts struct {
	mu        sync.Mutex
	commits   int
	takeovers int
	unknown   int
	fenced    int
	failed    []error
	incidents []error
	refused   []RefusedInfo
	undeliv   []UndeliveredInfo
	hung      []HungInfo
	rebuilt   []StoreInfo
	released  []ReleaseInfo
	infos     []CommitInfo
}

func (c *counts) listener() Listener {
	lock := func(f func()) { c.mu.Lock(); defer c.mu.Unlock(); f() }
	return Listener{
		TakenOver:     func(TakeoverInfo) { lock(func() { c.takeovers++ }) },
		Committed:     func(i *CommitInfo) { lock(func() { c.commits++; c.infos = append(c.infos, *i) }) },
		Fenced:        func(LaneError) { lock(func() { c.fenced++ }) },
		Unknown:       func(LaneError) { lock(func() { c.unknown++ }) },
		Failed:        func(i LaneError) { lock(func() { c.failed = append(c.failed, i.Err) }) },
		Incident:      func(i LaneError) { lock(func() { c.incidents = append(c.incidents, i.Err) }) },
		Refused:       func(i RefusedInfo) { lock(func() { c.refused = append(c.refused, i) }) },
		Undeliverable: func(i UndeliveredInfo) { lock(func() { c.undeliv = append(c.undeliv, i) }) },
		Hung:          func(i HungInfo) { lock(func() { c.hung = append(c.hung, i) }) },
		Rebuilt:       func(i StoreInfo) { lock(func() { c.rebuilt = append(c.rebuilt, i) }) },
		Released:      func(i ReleaseInfo) { lock(func() { c.released = append(c.released, i) }) },
	}
}

func (c *counts) get(f func() int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return f()
}

// owners runs lanes that all believe to own the partition, each on its own disk,
// and starts one again after it has crashed.
type contest struct {
	owners int
	total  int
	inject func(owner int) *fault.Injector
	idle   time.Duration
	counts *counts
}

func (e *env) contest(c contest) verdict {
	if c.idle == 0 {
		c.idle = 15 * time.Second
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for o := range c.owners {
		d := newDisk(uint64(o))
		var inject *fault.Injector
		if c.inject != nil {
			inject = c.inject(o)
		}
		wg.Go(func() {
			for ctx.Err() == nil {
				cfg := e.ownerConfig(d, inject)
				cfg.Limits.StopTimeout = 500 * time.Millisecond
				cfg.ports.pauseMin = 5 * time.Millisecond
				if c.counts != nil {
					cfg.Listener = c.counts.listener()
				}
				l := newLane(cfg, 0, newTopicNames(cfg.Names, cfg.Partition.Services), newLone())
				l.start(ctx)
				<-l.done
				if isCrash(l.progress.failure()) {
					d.crash()
				}
			}
		})
	}
	wg.Go(func() { e.feed(c.total) })
	return e.judge(c.total, c.idle, func() { stop(); wg.Wait() })
}

// one waits for a value.
func one[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("no %s", what)
		panic("unreachable")
	}
}

var errTest = errors.New("test")
