package processor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/odradek/odradek/record"
)

// TestOutputHurtsOnlyItsRun: a task topic that is not there makes the run stuck
// whose output it was, and nobody else (P5).
func TestOutputHurtsOnlyItsRun(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	c := &counts{}
	cfg := e.ownerConfig(newDisk(1), nil)
	cfg.Listener = c.listener()
	plain := cfg.ports.stepper
	cfg.ports.stepper = stepperWith(plain, func(s *counter) { s.badKey = "k1" })
	e.produce(t, "k0", "k1", "k2", "k0", "k1")
	l := e.start(cfg, newLone())
	await(t, "settled positions", func() bool { return l.progress.positions().Commands.Offset == 5 })
	rows, _ := e.changelog()
	if rows[rowKey("k0")] != 2 || rows[rowKey("k2")] != 1 || rows[rowKey("k1")] != 0 {
		t.Errorf("rows %v", rows)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.undeliv) != 1 || c.undeliv[0].Service != "missing" || c.undeliv[0].Code != "output_topic_missing" {
		t.Errorf("undeliverable: %v", c.undeliv)
	}
	if c.unknown+c.fenced+len(c.failed) > 0 || c.takeovers != 2 {
		t.Errorf("%d unknown, %d fenced, failed %v, %d takeovers", c.unknown, c.fenced, c.failed, c.takeovers)
	}
}

func TestJudgeAdd(t *testing.T) {
	t.Parallel()
	var ts targets
	ts.add(record.TopicTasks, "pay", "n.tasks.pay", 1)
	ts.add(record.TopicTasks, "pay", "n.tasks.pay", 1)
	ts.add(record.TopicChangelog, "", "n.changelog", 1)
	if len(ts.list) != 2 {
		t.Fatalf("targets %v", ts.list)
	}
	for _, c := range []struct {
		name             string
		tasks, changelog *kerr.Error
		again            bool
		fatal            error
		undeliverable    string
		unknown          bool
	}{
		{name: "all added", unknown: true},
		{name: "markers of the last transaction", tasks: kerr.ConcurrentTransactions, changelog: kerr.ConcurrentTransactions, again: true, unknown: true},
		{name: "coordinator moves", tasks: kerr.NotCoordinator, changelog: kerr.NotCoordinator, again: true, unknown: true},
		{name: "fenced", tasks: kerr.ProducerFenced, changelog: kerr.ProducerFenced, fatal: kerr.ProducerFenced, unknown: true},
		{name: "producer ID rotated", tasks: kerr.InvalidProducerIDMapping, changelog: kerr.InvalidProducerIDMapping, fatal: kerr.InvalidProducerIDMapping, unknown: true},
		{name: "tasks unknown", tasks: kerr.UnknownTopicOrPartition, changelog: kerr.OperationNotAttempted, again: true, undeliverable: "output_topic_missing", unknown: true},
		{name: "tasks forbidden", tasks: kerr.TopicAuthorizationFailed, changelog: kerr.OperationNotAttempted, again: true, undeliverable: "output_forbidden"},
		{name: "changelog unknown", tasks: kerr.OperationNotAttempted, changelog: kerr.UnknownTopicOrPartition, again: true, unknown: true},
		{name: "changelog forbidden", tasks: kerr.OperationNotAttempted, changelog: kerr.TopicAuthorizationFailed, fatal: kerr.TopicAuthorizationFailed},
		{name: "nothing attempted, nobody says why", tasks: kerr.OperationNotAttempted, changelog: kerr.OperationNotAttempted, again: true, unknown: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			resp := kmsg.NewPtrAddPartitionsToTxnResponse()
			for name, err := range map[string]*kerr.Error{"n.tasks.pay": c.tasks, "n.changelog": c.changelog} {
				rt := kmsg.NewAddPartitionsToTxnResponseTopic()
				rt.Topic = name
				rp := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
				rp.Partition = 1
				if err != nil {
					rp.ErrorCode = err.Code
				}
				rt.Partitions = append(rt.Partitions, rp)
				resp.Topics = append(resp.Topics, rt)
			}
			a := judgeAdd(resp, &ts)
			if (a.again != nil) != c.again || !errors.Is(a.fatal, c.fatal) || (a.fatal == nil) != (c.fatal == nil) || a.unknown != c.unknown {
				t.Errorf("again %v, fatal %v, unknown %v", a.again, a.fatal, a.unknown)
			}
			switch {
			case c.undeliverable == "" && len(a.undeliverable) > 0,
				c.undeliverable != "" && (len(a.undeliverable) != 1 || a.undeliverable[0].code != c.undeliverable || a.undeliverable[0].service != "pay"):
				t.Errorf("undeliverable %+v", a.undeliverable)
			}
		})
	}
}

// TestAddIsRetried: CONCURRENT_TRANSACTIONS passes (P4).
func TestAddIsRetried(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	needFake(t, e)
	var refused atomic.Int32
	e.fake.ControlKey(int16(kmsg.AddPartitionsToTxn), func(kr kmsg.Request) (kmsg.Response, error, bool) {
		e.fake.KeepControl()
		if refused.Add(1) > 3 {
			return nil, nil, false
		}
		req := kr.(*kmsg.AddPartitionsToTxnRequest)
		if req.Version != 3 {
			t.Errorf("version %d of AddPartitionsToTxn is for brokers", req.Version)
		}
		resp := req.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
		for _, rt := range req.Topics {
			st := kmsg.NewAddPartitionsToTxnResponseTopic()
			st.Topic = rt.Topic
			for _, p := range rt.Partitions {
				sp := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
				sp.Partition, sp.ErrorCode = p, kerr.ConcurrentTransactions.Code
				st.Partitions = append(st.Partitions, sp)
			}
			resp.Topics = append(resp.Topics, st)
		}
		return resp, nil, true
	})
	c := &counts{}
	cfg := e.ownerConfig(newDisk(1), nil)
	cfg.Listener = c.listener()
	l := e.start(cfg, newLone())
	e.produce(t, "k0")
	await(t, "settled positions", func() bool { return l.progress.positions().Commands.Offset == 1 })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.takeovers != 1 || c.infos[0].AddRetries != 3 {
		t.Errorf("%d takeovers, %+v", c.takeovers, c.infos)
	}
}

// TestFencedLaneAsksTheGroup: the lane that was fenced does not take over again
// until the group has confirmed that it should (P3), and hands over when asked.
func TestFencedLaneAsksTheGroup(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	first, second := newLone(), newLone()
	first.refuse.Store(true)
	c := &counts{}
	cfg := e.ownerConfig(newDisk(1), nil)
	cfg.Listener = c.listener()
	old := e.start(cfg, first)
	one(t, "takeover", first.takes)
	e.produce(t, "k0")
	await(t, "settled positions", func() bool { return old.progress.positions().Commands.Offset == 1 })
	next := e.start(e.ownerConfig(newDisk(2), nil), second)
	one(t, "takeover", second.takes)
	e.produce(t, "k0")
	await(t, "settled positions of the second", func() bool { return next.progress.positions().Commands.Offset == 2 })
	await(t, "question to the group", func() bool { return first.asked.Load() == 1 })
	if s := old.progress.status(0); s.State != StateFenced {
		t.Errorf("state %v", s.State)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fenced != 1 || c.takeovers != 1 {
		t.Errorf("%d fenced, %d takeovers", c.fenced, c.takeovers)
	}
	select {
	case <-second.takes:
		t.Error("the second had to take over again")
	default:
	}
}

// TestIdleOwnerFindsOut: nobody tells an idle owner that it was fenced; a commit of
// its positions does (P3).
func TestIdleOwnerFindsOut(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	first, second := newLone(), newLone()
	first.refuse.Store(true)
	cfg := e.ownerConfig(newDisk(1), nil)
	cfg.Limits.IdleCheck = 20 * time.Millisecond
	old := e.start(cfg, first)
	one(t, "takeover", first.takes)
	await(t, "commit of positions", func() bool { return old.progress.changelog() > 0 })
	e.start(e.ownerConfig(newDisk(2), nil), second)
	one(t, "takeover", second.takes)
	await(t, "question to the group", func() bool { return first.asked.Load() == 1 })
}

// TestPartitionIsGivenBack: five takeovers without a commit offer it to others (P3).
func TestPartitionIsGivenBack(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	needFake(t, e)
	e.fake.ControlKey(int16(kmsg.EndTxn), func(kr kmsg.Request) (kmsg.Response, error, bool) {
		e.fake.KeepControl()
		resp := kr.ResponseKind().(*kmsg.EndTxnResponse)
		resp.ErrorCode = kerr.UnknownServerError.Code
		return resp, nil, true
	})
	c := &counts{}
	cfg := e.ownerConfig(newDisk(1), nil)
	cfg.Listener, cfg.ports.pauseMin = c.listener(), time.Millisecond
	h := newLone()
	e.start(cfg, h)
	e.produce(t, "k0")
	await(t, "give back", func() bool { return h.gave.Load() == 1 })
	if n := c.get(func() int { return c.takeovers }); n < failuresMax || n > failuresMax+1 {
		t.Errorf("after %d takeovers", n)
	}
}

// TestLostDataIsAnIncident: the partition stands, and nothing is read anew (P6).
func TestLostDataIsAnIncident(t *testing.T) {
	t.Parallel()
	t.Run("input out of range", func(t *testing.T) {
		t.Parallel()
		e := newEnv(t)
		e.produce(t, "k0", "k0", "k0")
		deleteBefore(t, e, record.TopicCommands, 2)
		c := &counts{}
		cfg := e.ownerConfig(newDisk(1), nil)
		cfg.Listener = c.listener()
		l := e.start(cfg, newLone())
		await(t, "incident", func() bool { return c.get(func() int { return len(c.incidents) }) == 1 })
		if !errors.Is(c.incidents[0], ErrDataLoss) || l.progress.status(0).State != StateIncident {
			t.Errorf("%v, %+v", c.incidents, l.progress.status(0))
		}
	})
	t.Run("store ahead of the changelog", func(t *testing.T) {
		t.Parallel()
		e := newEnv(t)
		d := newDisk(1)
		cp := emptyCheckpoint(0)
		cp.Changelog.Offset, cp.At = 7, record.MillisOf(time.Now())
		d.apply(diskWrite{nil, cp})
		c := &counts{}
		cfg := e.ownerConfig(d, nil)
		cfg.Listener = c.listener()
		e.start(cfg, newLone())
		await(t, "incident", func() bool { return c.get(func() int { return len(c.incidents) }) == 1 })
		if !errors.Is(c.incidents[0], ErrDataLoss) {
			t.Error(c.incidents)
		}
	})
}

// deleteBefore deletes records before an offset.
func deleteBefore(t *testing.T, e *env, topic record.Topic, before int64) {
	t.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset(e.topic(topic), 0, before, -1)
	resp, err := kadm.NewClient(e.cl).DeleteRecords(t.Context(), offsets)
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestStoreIsRebuilt: one that cannot be used, or is too old to trust, is renamed
// and made again from Kafka.
func TestStoreIsRebuilt(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*disk){
		"damaged":     func(d *disk) { d.damaged = true },
		"old":         func(d *disk) { d.cp.At -= record.Millis(13 * time.Hour / time.Millisecond); d.cp.Changelog.Offset-- },
		"before 0":    func(d *disk) { d.cp.Changelog.Offset = -1 },
		"disk failed": func(d *disk) { d.applyErr = errTest },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			d := newDisk(1)
			l := e.start(e.ownerConfig(d, nil), newLone())
			e.produce(t, "k0", "k1")
			await(t, "settled positions", func() bool { return l.progress.positions().Commands.Offset == 2 })
			l.halt()
			<-l.done
			for _, w := range d.unsynced {
				d.apply(w)
			}
			d.unsynced = nil
			spoil(d)
			c := &counts{}
			cfg := e.ownerConfig(d, nil)
			cfg.Listener, cfg.ports.pauseMin = c.listener(), time.Millisecond
			l = e.start(cfg, newLone())
			e.produce(t, "k0")
			if name == "disk failed" {
				await(t, "failure", func() bool { return c.get(func() int { return len(c.failed) }) > 0 })
				d.mu.Lock()
				d.applyErr = nil
				d.mu.Unlock()
			}
			await(t, "settled positions", func() bool {
				s, _ := l.getStore().(*memStore)
				if s == nil {
					return false
				}
				k0, _ := s.get(rowKey("k0"))
				k1, _ := s.get(rowKey("k1"))
				return k0 == 2 && k1 == 1
			})
			if name != "disk failed" && c.get(func() int { return len(c.rebuilt) }) != 1 {
				t.Errorf("rebuilt %v", c.rebuilt)
			}
		})
	}
}

// TestStoreAtTheEndIsNeverTooOld: behind its Checkpoint stands nothing but the marker
// of its last transaction, which no compaction can have changed (F4).
func TestStoreAtTheEndIsNeverTooOld(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	d := newDisk(1)
	l := e.start(e.ownerConfig(d, nil), newLone())
	e.produce(t, "k0", "k1")
	await(t, "settled positions", func() bool { return l.progress.positions().Commands.Offset == 2 })
	l.halt()
	<-l.done
	for _, w := range d.unsynced {
		d.apply(w)
	}
	d.unsynced = nil
	d.cp.At -= record.Millis(300 * time.Hour / time.Millisecond)
	c := &counts{}
	cfg := e.ownerConfig(d, nil)
	cfg.Listener = c.listener()
	l = e.start(cfg, newLone())
	e.produce(t, "k0")
	await(t, "settled positions", func() bool { return l.progress.positions().Commands.Offset == 3 })
	if n := c.get(func() int { return len(c.rebuilt) }); n != 0 {
		t.Errorf("rebuilt: %v", c.rebuilt)
	}
}

// TestClockBehindDoesNotTakeOver: timers would stand still (T2).
func TestClockBehindDoesNotTakeOver(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	l := e.start(e.ownerConfig(newDisk(1), nil), newLone())
	e.produce(t, "k0")
	await(t, "settled positions", func() bool { return l.progress.positions().Commands.Offset == 1 })
	l.halt()
	<-l.done
	c := &counts{}
	cfg := e.ownerConfig(newDisk(2), nil)
	cfg.Listener = c.listener()
	cfg.Clock = func() time.Time { return time.Now().Add(-time.Hour) }
	e.start(cfg, newLone())
	await(t, "failure", func() bool { return c.get(func() int { return len(c.failed) }) > 0 })
	if !errors.Is(c.failed[0], ErrClock) {
		t.Error(c.failed)
	}
}

// TestTimeDoesNotGoBack: a clock that jumps back within bounds does not take the
// batches with it (T2).
func TestTimeDoesNotGoBack(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	var back atomic.Int64
	cfg := e.ownerConfig(newDisk(1), nil)
	cfg.Clock = func() time.Time { return time.Now().Add(time.Duration(back.Load())) }
	l := e.start(cfg, newLone())
	e.produce(t, "k0")
	await(t, "settled positions", func() bool { return l.progress.positions().Commands.Offset == 1 })
	at := l.progress.positions().Now
	back.Store(-int64(time.Hour))
	e.produce(t, "k0")
	await(t, "settled positions", func() bool { return l.progress.positions().Commands.Offset == 2 })
	if now := l.progress.positions().Now; now < at {
		t.Errorf("from %d to %d", at, now)
	}
}

// TestHungCode: the goroutine is given up, what was on its way commits, and the
// second time, alone, the run is condemned (C2, C3).
func TestHungCode(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	c := &counts{}
	cfg := e.ownerConfig(newDisk(1), nil)
	cfg.Listener, cfg.Limits.HangTick, cfg.ports.pauseMin = c.listener(), 3*time.Millisecond, time.Millisecond
	var turn atomic.Uint64
	var mu sync.Mutex
	back := make(chan struct{})
	var alone []int // inputs that were in the batch before the one that hung
	plain := cfg.ports.stepper
	cfg.ports.stepper = stepperWith(plain, func(s *counter) {
		var at atomic.Uint64
		gone := make(chan struct{})
		s.hangKey = "k1"
		s.turn = func() (uint64, record.RunID) { return at.Load(), runOf("k1") }
		s.abandon = func() { close(gone) }
		s.hang = func(s *counter) {
			mu.Lock()
			alone = append(alone, len(s.writes))
			mu.Unlock()
			at.Store(turn.Add(1))
			<-back
			<-gone
			panic("an abandoned goroutine went on")
		}
	})
	e.produce(t, "k0", "k2", "k1", "k0", "k2", "k1")
	h := newLone()
	l := e.start(cfg, h)
	await(t, "settled positions", func() bool { return l.progress.positions().Commands.Offset == 6 })
	close(back) // both come back, panic, and are nobody's
	rows, _ := e.changelog()
	if rows[rowKey("k0")] != 2 || rows[rowKey("k2")] != 2 || rows[rowKey("k1")] != 0 {
		t.Errorf("rows %v", rows)
	}
	mu.Lock()
	defer mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.hung) != 2 || c.hung[0].Condemned || !c.hung[1].Condemned || c.hung[1].Run != runOf("k1") {
		t.Errorf("hung %v", c.hung)
	}
	if len(alone) != 2 || alone[1] != 0 {
		t.Errorf("with %v others in the batch", alone)
	}
}

// TestTooManyHung: past the bound the lane ends, so that the process is restarted.
func TestTooManyHung(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	cfg := e.ownerConfig(newDisk(1), nil)
	cfg.Limits.HangTick, cfg.Limits.AbandonedMax = time.Millisecond, 1
	back := make(chan struct{})
	defer close(back)
	var turn atomic.Uint64
	plain := cfg.ports.stepper
	cfg.ports.stepper = stepperWith(plain, func(s *counter) {
		var at atomic.Uint64
		s.hangKey = "k1"
		s.turn = func() (uint64, record.RunID) { return at.Load(), runOf(fmt.Sprint("k", at.Load())) }
		s.hang = func(*counter) { at.Store(turn.Add(1)); <-back; panic("an abandoned goroutine went on") }
	})
	e.produce(t, "k1")
	l := e.start(cfg, newLone())
	select {
	case <-l.done:
	case <-time.After(20 * time.Second):
		t.Fatal("the lane goes on")
	}
	if err := l.progress.failure(); !errors.Is(err, ErrTooManyHung) {
		t.Error(err)
	}
}

// TestStopEndsWhatIsOnItsWay: a lane that is told to stop leaves nothing open.
func TestStopEndsWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	c := &counts{}
	cfg := e.ownerConfig(newDisk(1), nil)
	cfg.Listener = c.listener()
	l := e.start(cfg, newLone())
	for range 200 {
		e.cl.Produce(context.Background(), &kgo.Record{Topic: e.topic(record.TopicCommands), Key: []byte("k0")}, nil)
	}
	if err := e.cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "commit", func() bool { return c.get(func() int { return c.commits }) > 0 })
	l.halt()
	<-l.done
	if !c.released[0].Clean {
		t.Errorf("released %v", c.released)
	}
	settled := l.progress.positions().Commands.Offset
	if rows, pos := e.changelog(); pos.Commands.Offset != settled || rows[rowKey("k0")] != uint64(settled) {
		t.Errorf("settled %d, committed %d, counter %d", settled, pos.Commands.Offset, rows[rowKey("k0")])
	}
}
