package processor

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/statestore"
	"github.com/odradek/odradek/topology"
	"github.com/odradek/odradek/workflow"
)

// deployment is a cluster with all topics, workers that double numbers, and
// instances with the real step and store.
type deployment struct {
	*env
	partitions int32
	dir        string
}

const deploymentPartitions = 4

var (
	double = workflow.NewTask[int, int]("math", "double")
	stop   = workflow.NewSignal[string]("stop")
)

// doubling doubles its input with three tasks, and ends.
func doubling(ctx workflow.Context, n int) (int, error) {
	for range 3 {
		var err error
		if n, err = double.Run(ctx, n); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// waiting ends when it is told to.
func waiting(ctx workflow.Context, _ int) (string, error) { return stop.Receive(ctx) }

// loop hangs until the test ends.
func looping(release <-chan struct{}) func(workflow.Context, int) (int, error) {
	return func(workflow.Context, int) (int, error) { <-release; return 0, nil }
}

func deploy(t *testing.T) *deployment {
	t.Helper()
	d := &deployment{env: &env{t: t, names: topology.Names{Namespace: "d"}}, partitions: deploymentPartitions, dir: t.TempDir()}
	opts := []kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(2, d.names.Tasks("math")), kfake.SeedTopics(1, d.topic(record.TopicStatus))}
	for _, topic := range []record.Topic{record.TopicCommands, record.TopicEvents, record.TopicInternal, record.TopicChangelog, record.TopicHistory, record.TopicDeadLetters, record.TopicCancels} {
		opts = append(opts, kfake.SeedTopics(d.partitions, d.topic(topic)))
	}
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	d.fake, d.seeds = c, c.ListenAddrs()
	if d.cl, err = kgo.NewClient(kgo.SeedBrokers(d.seeds...), kgo.ProducerLinger(0), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.cl.Close)
	return d
}

// work answers tasks until the test ends.
func (d *deployment) work() {
	ctx, cancel := context.WithCancel(context.Background())
	cl, err := kgo.NewClient(kgo.SeedBrokers(d.seeds...), kgo.ConsumeTopics(d.names.Tasks("math")), kgo.ConsumerGroup(d.names.ServiceGroup("math")),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.ProducerLinger(0), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		d.t.Fatal(err)
	}
	done := make(chan struct{})
	d.t.Cleanup(func() { cancel(); <-done; cl.Close() })
	table := topology.TableZero(d.partitions)
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
				var hs []record.Header
				for _, h := range r.Headers {
					hs = append(hs, record.Header(h))
				}
				task, err := codec.DecodeTask(r.Key, r.Value, hs)
				if err != nil {
					d.t.Error(err)
					return
				}
				n, _ := strconv.Atoi(string(task.Input))
				out := codec.EncodeCompleted(task.WorkflowID, &record.TaskCompleted{Task: task.ID, Attempt: task.Attempt, Result: []byte(strconv.Itoa(2 * n))})
				ev := &kgo.Record{Topic: d.topic(record.TopicEvents), Partition: table.Partition(task.WorkflowID), Key: out.Key, Value: out.Value}
				for _, h := range out.Headers {
					ev.Headers = append(ev.Headers, kgo.RecordHeader(h))
				}
				cl.Produce(ctx, ev, nil)
			})
			_ = cl.CommitUncommittedOffsets(ctx)
		}
	}()
}

// instance makes one; it is stopped when the test ends.
func (d *deployment) instance(id string, change ...func(*Config)) *Instance {
	d.t.Helper()
	cfg := Config{
		InstanceID: id, AdvertisedAddr: id + ":1", DataDir: filepath.Join(d.dir, id), Names: d.names,
		Client: func(opts ...kgo.Opt) (*kgo.Client, error) {
			return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(d.seeds...)}, opts...)...)
		},
		Limits: Limits{FetchWait: 100 * time.Millisecond, Heartbeat: 50 * time.Millisecond, SessionTimeout: 6 * time.Second, StatusEvery: 100 * time.Millisecond},
	}
	cfg.Partition.Table = topology.TableZero(d.partitions)
	cfg.Partition.Services = map[string]int32{"math": 2}
	cfg.Partition.Build = "test"
	cfg.Partition.Definitions = []workflow.Definition{workflow.Define("doubling", doubling, double), workflow.Define("waiting", waiting, stop)}
	cfg.Listener = Listener{
		Warning:  func(w WarningInfo) { d.t.Log(id, w) },
		Failed:   func(e LaneError) { d.t.Log(id, e) },
		Incident: func(e LaneError) { d.t.Log(id, e) },
		Hung:     func(h HungInfo) { d.t.Log(id, h) },
		Released: func(r ReleaseInfo) { d.t.Log(id, r) },
	}
	for _, f := range change {
		f(&cfg)
	}
	i, err := New(cfg)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = i.Stop(context.Background()) })
	return i
}

func (d *deployment) start(id string, change ...func(*Config)) *Instance {
	d.t.Helper()
	i := d.instance(id, change...)
	if err := i.Start(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	return i
}

func running(is ...*Instance) int {
	n := 0
	for _, i := range is {
		for _, l := range i.Status().Lanes {
			if l.State == StateRunning {
				n++
			}
		}
	}
	return n
}

// submit sends a command to whoever owns its partition.
func submit(t *testing.T, body record.Body, id string, is ...*Instance) record.Reply {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for _, i := range is {
			r, err := i.Submit(t.Context(), id, body)
			if err == nil {
				return r
			}
			if !errors.Is(err, ErrNotOwner) {
				t.Fatal(err)
			}
		}
	}
	t.Fatalf("nobody owns workflow %s", id)
	panic("unreachable")
}

// result waits for the workflow's end and gives its result.
func result(t *testing.T, id string, is ...*Instance) string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for _, i := range is {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := i.WaitClosed(ctx, id)
			cancel()
			s, ok := i.Store(i.Partition(id))
			if err != nil || !ok {
				continue
			}
			st, err := s.Describe(id)
			if err != nil || st == nil || !st.Run.Status.Closed() {
				continue
			}
			events, err := s.Chunk(id, st.Run.Run, st.Run.CloseChunk)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				if b, ok := e.Body.(*record.RunCompleted); ok {
					return string(b.Result)
				}
			}
			return st.Run.Status.String()
		}
	}
	t.Fatalf("workflow %s does not end", id)
	panic("unreachable")
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestInstanceRunsWorkflows(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	d.work()
	i := d.start("one")
	await(t, "lanes", func() bool { return running(i) == deploymentPartitions })
	for n := range 20 {
		id := fmt.Sprint("w", n)
		r := submit(t, &record.Start{Type: "doubling", Input: []byte(strconv.Itoa(n))}, id, i)
		if r.Outcome != record.OutcomeStarted || r.WorkflowID != id || r.Run.IsZero() {
			t.Errorf("%+v", r)
		}
	}
	for n := range 20 {
		if got := result(t, fmt.Sprint("w", n), i); got != strconv.Itoa(8*n) {
			t.Errorf("w%d: %s", n, got)
		}
	}
	// Commands that change nothing are answered as well.
	if r := submit(t, &record.Start{Type: "doubling", Input: []byte("3")}, "w3", i); r.Outcome != record.OutcomeRepeated {
		t.Errorf("%+v", r)
	}
	if r := submit(t, &record.Start{Type: "doubling", Input: []byte("4")}, "w3", i); r.Outcome != record.OutcomeConflict {
		t.Errorf("%+v", r)
	}
	if r := submit(t, &record.Signal{Name: "stop", Payload: []byte(`"x"`)}, "nobody", i); r.Outcome != record.OutcomeNotFound {
		t.Errorf("%+v", r)
	}
	submit(t, &record.Start{Type: "waiting", Input: []byte("0")}, "v", i)
	if r := submit(t, &record.Signal{Name: "stop", Payload: []byte(`"now"`)}, "v", i); r.Outcome != record.OutcomeApplied {
		t.Errorf("%+v", r)
	}
	if got := result(t, "v", i); got != `"now"` {
		t.Errorf("v: %s", got)
	}
	if s := i.Status(); !s.Ready || len(s.Lanes) != deploymentPartitions {
		t.Errorf("%+v", s)
	}
}

// TestInstancesShareAndTakeOver: partitions move to a newcomer, and back when it
// goes; workflows go on, and a store made from Kafka equals the live one.
func TestInstancesShareAndTakeOver(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	d.work()
	one := d.start("one")
	await(t, "lanes", func() bool { return running(one) == deploymentPartitions })
	two := d.instance("two")
	for n := range 60 {
		submit(t, &record.Start{Type: "doubling", Input: []byte(strconv.Itoa(n))}, fmt.Sprint("w", n), one, two)
		if n == 20 {
			if err := two.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	await(t, "sharing", func() bool { return running(one) == 2 && running(two) == 2 })
	for p := range int32(deploymentPartitions) {
		await(t, "owner", func() bool {
			a, self, ok := one.Owner(p)
			b, other, known := two.Owner(p)
			return ok && known && a == b && self != other
		})
	}
	for n := range 60 {
		if got := result(t, fmt.Sprint("w", n), one, two); got != strconv.Itoa(8*n) {
			t.Errorf("w%d: %s", n, got)
		}
	}
	if err := two.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "taking over", func() bool { return running(one) == deploymentPartitions })
	for n := range 60 {
		if got := result(t, fmt.Sprint("w", n), one); got != strconv.Itoa(8*n) {
			t.Errorf("w%d after the takeover: %s", n, got)
		}
	}
	d.sameFromKafka(one)
}

// sameFromKafka stops the instance, and compares each of its stores with one that
// is folded from the changelog alone.
func (d *deployment) sameFromKafka(i *Instance) {
	t := d.t
	t.Helper()
	dumps := map[int32][]byte{}
	for p := range d.partitions {
		s, ok := i.Store(p)
		if !ok {
			t.Fatalf("partition %d is not here", p)
		}
		var b bytes.Buffer
		if err := s.Dump(&b); err != nil {
			t.Fatal(err)
		}
		dumps[p] = b.Bytes()
	}
	fresh := d.instance("fresh")
	for p := range d.partitions {
		s, err := fresh.cfg.ports.openStore(p)
		if err != nil {
			t.Fatal(err)
		}
		l := newLane(&fresh.cfg, p, fresh.names, newLone())
		l.setStore(s)
		end, err := listEnd(t.Context(), d.cl, d.topic(record.TopicChangelog), p)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := l.restore(t.Context(), end); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := s.(diskStore).Dump(&b); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b.Bytes(), dumps[p]) || b.Len() == 0 {
			t.Errorf("partition %d: restored %d bytes, live %d bytes, not the same", p, b.Len(), len(dumps[p]))
		}
		if err := l.closeStore(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStoreIsDeleted: a restart without the disk loses nothing.
func TestDiskIsLost(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	d.work()
	one := d.start("one")
	for n := range 10 {
		submit(t, &record.Start{Type: "waiting", Input: []byte("0")}, fmt.Sprint("w", n), one)
	}
	if err := one.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	two := d.start("two") // another folder
	for n := range 10 {
		submit(t, &record.Signal{Name: "stop", Payload: []byte(`"x"`)}, fmt.Sprint("w", n), two)
		if got := result(t, fmt.Sprint("w", n), two); got != `"x"` {
			t.Errorf("w%d: %s", n, got)
		}
	}
}

// TestWaiterIsAnsweredAfterATakeover: the reply of a batch whose outcome was unknown
// is asked for again, from the state (I1).
func TestWaiterIsAnsweredAfterATakeover(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	i := d.start("one")
	await(t, "lanes", func() bool { return running(i) == deploymentPartitions })
	count := d.tamper(4, .5)
	for n := range 12 {
		r := submit(t, &record.Start{Type: "waiting", Input: []byte("0")}, fmt.Sprint("w", n), i)
		if r.Outcome != record.OutcomeStarted {
			t.Errorf("w%d: %v", n, r.Outcome)
		}
		if r := submit(t, &record.Signal{Name: "stop", Payload: []byte(`"x"`)}, fmt.Sprint("w", n), i); r.Outcome != record.OutcomeApplied {
			t.Errorf("w%d: %v", n, r.Outcome)
		}
		if got := result(t, fmt.Sprint("w", n), i); got != `"x"` {
			t.Errorf("w%d: %s", n, got)
		}
	}
	if len(count()) == 0 {
		t.Error("no answer was tampered with")
	}
}

// TestHungWorkflow: author code that does not come back makes its own run stuck,
// and its partition goes on (C2, C3).
func TestHungWorkflow(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	d.work()
	release := make(chan struct{})
	defer close(release)
	i := d.start("one", func(c *Config) {
		c.Limits.HangTick = 5 * time.Millisecond
		c.Partition.Definitions = append(c.Partition.Definitions, workflow.Define("looping", looping(release)))
	})
	var others []string
	for n := 0; len(others) < 5; n++ {
		if id := fmt.Sprint("o", n); i.Partition(id) == i.Partition("h") {
			others = append(others, id)
		}
	}
	await(t, "lanes", func() bool { return running(i) == deploymentPartitions })
	submit(t, &record.Start{Type: "waiting", Input: []byte("0")}, others[0], i)
	if r := submit(t, &record.Start{Type: "looping", Input: []byte("0")}, "h", i); r.Outcome != record.OutcomeStarted {
		t.Errorf("%+v", r)
	}
	s, _ := i.Store(i.Partition("h"))
	st, err := s.Describe("h")
	if err != nil {
		t.Fatal(err)
	}
	if st.Stuck == nil || st.Stuck.Code != "hang" {
		t.Errorf("stuck: %+v", st.Stuck)
	}
	for _, id := range others[1:] {
		submit(t, &record.Start{Type: "doubling", Input: []byte("1")}, id, i)
		if got := result(t, id, i); got != "8" {
			t.Errorf("%s: %s", id, got)
		}
	}
	if n := i.Status().Abandoned; n != 2 {
		t.Errorf("%d goroutines abandoned", n)
	}
}

// TestStatusWhileItStarts: whoever watches an instance does not wait for its start.
// It fails with -race where the group is set without the lock.
func TestStatusWhileItStarts(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	i := d.instance("one")
	started := make(chan error, 1)
	go func() { started <- i.Start(t.Context()) }()
	await(t, "membership", func() bool { return i.Status().Generation >= 0 })
	if err := <-started; err != nil {
		t.Error(err)
	}
	if err := i.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestStoresShareACache: store.cache_bytes is of all stores together.
func TestStoresShareACache(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	i := d.start("one", func(c *Config) { c.Limits.StoreCacheBytes = 3 << 20 })
	await(t, "lanes", func() bool { return running(i) == int(d.partitions) })
	for p := range d.partitions {
		s, ok := i.Store(p)
		if !ok || !s.Shares(i.cfg.ports.cache) {
			t.Errorf("the store of partition %d has a cache of its own", p)
		}
	}
}

// TestLoopsBeat: an idle lane shows that it is alive, and says when it has ended.
func TestLoopsBeat(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	var mu sync.Mutex
	beats := map[string]int{}
	i := d.start("one", func(c *Config) {
		c.Listener.Beat = func(loop string) { mu.Lock(); defer mu.Unlock(); beats[loop]++ }
		c.Listener.End = func(loop string) { mu.Lock(); defer mu.Unlock(); delete(beats, loop) }
	})
	await(t, "beats", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return beats["report"] > 1 && beats["step of partition 0"] > 0
	})
	if err := i.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(beats) > 0 {
		t.Errorf("after the stop: %v", beats)
	}
}

// TestLaneThatNeverTookOverKeepsItsStoresPlace: the balancer is told how far the store
// on the disk is, also while its lane waits for its turn.
func TestLaneThatNeverTookOverKeepsItsStoresPlace(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	i := d.instance("one")
	i.stores[0] = 42
	l := newLane(&i.cfg, 0, i.names, i)
	l.stop = func(error) {}
	close(l.done)
	i.lanes[0] = l
	if at := i.memberData().Stores[0]; at != 42 {
		t.Errorf("with a lane that waits: %d, want 42", at)
	}
	i.release([]int32{0}, false)
	if at := i.memberData().Stores[0]; at != 42 {
		t.Errorf("after it: %d, want 42", at)
	}
}

// TestPurge: input is deleted behind what has settled, after a while (W7).
func TestPurge(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	d.work()
	i := d.start("one", func(c *Config) {
		c.Limits.PurgeEvery, c.Limits.PurgeBehind, c.Limits.IdleCheck = 20*time.Millisecond, time.Nanosecond, 20*time.Millisecond
	})
	submit(t, &record.Start{Type: "doubling", Input: []byte("1")}, "w", i)
	result(t, "w", i)
	p := i.Partition("w")
	l := i.lane(p)
	l.progress.mu.Lock()
	l.progress.history = nil // the next commit is the next sample
	l.progress.mu.Unlock()
	adm := kadm.NewClient(d.cl)
	for topic, want := range map[string]int64{d.topic(record.TopicCommands): 1, d.topic(record.TopicEvents): 3, d.names.Tasks("math"): 3} {
		n := p
		if topic == d.names.Tasks("math") {
			n = topology.TaskPartition(p, 2, "")
		}
		await(t, "purge of "+topic, func() bool {
			starts, err := adm.ListStartOffsets(t.Context(), topic)
			if err != nil {
				t.Fatal(err)
			}
			o, _ := starts.Lookup(topic, n)
			return o.Offset >= want
		})
	}
}

// TestGroupSeesPositions: the group's offsets are for dashboards.
func TestGroupSeesPositions(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	i := d.start("one")
	submit(t, &record.Start{Type: "waiting", Input: []byte("1")}, "w", i)
	adm := kadm.NewClient(d.cl)
	await(t, "offset", func() bool {
		offsets, err := adm.FetchOffsets(t.Context(), d.names.Group())
		if err != nil {
			return false
		}
		o, ok := offsets.Lookup(d.topic(record.TopicCommands), i.Partition("w"))
		return ok && o.At == 1
	})
	if got := i.Instances(); len(got) != 1 || got[0].Instance != "one" {
		t.Errorf("instances %+v", got)
	}
}

func TestSubmitElsewhere(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	i := d.instance("one")
	if _, err := i.Submit(t.Context(), "w", &record.Start{Type: "waiting"}); !errors.Is(err, ErrNotOwner) {
		t.Error(err)
	}
	if err := i.WaitClosed(t.Context(), "w"); !errors.Is(err, ErrNotOwner) {
		t.Error(err)
	}
	if err := i.Stop(t.Context()); err != nil { // before Start
		t.Error(err)
	}
	if err := i.Start(t.Context()); err == nil {
		t.Error("it starts after Stop")
	}
}

func TestOpenVersions(t *testing.T) {
	t.Parallel()
	s := fakeList{
		{Type: "t", Version: 3, StartedAt: 900}, {Type: "u", Version: 0, StartedAt: 800}, {Type: "t", Version: 1, StartedAt: 20},
	}
	for range 300 {
		s = append(s, record.RunRow{Type: "t", Version: 3, StartedAt: 500})
	}
	got, err := openVersions(s, []string{"t", "u", "v"}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got["t"], []uint32{1, 2, 3}) || !slices.Equal(got["u"], []uint32{0}) || got["v"] != nil {
		t.Errorf("%v", got)
	}
}

// fakeList lists as the store does: newest first, behind a cursor.
type fakeList []record.RunRow

func (f fakeList) List(q statestore.ListQuery) (rows []record.RunRow, next statestore.Cursor, err error) {
	sorted := slices.Clone(f)
	slices.SortStableFunc(sorted, func(a, b record.RunRow) int { return int(b.StartedAt - a.StartedAt) })
	for _, r := range sorted {
		if q.Type != "" && q.Type != r.Type || q.After != "" && place(statestore.CursorOf(&r)) <= place(q.After) || len(rows) == q.Limit {
			continue
		}
		rows = append(rows, r)
	}
	return rows, "", nil
}

func place(c statestore.Cursor) string {
	b, _ := base64.RawURLEncoding.DecodeString(string(c))
	return string(b)
}
