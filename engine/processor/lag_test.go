package processor

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/record"
)

// watch makes the watch of a lane that took over once and reads nothing, with a clock
// that the test sets.
func (e *env) watch(now *time.Time) (*inputWatch, map[int32]*lane, *[]string) {
	cfg, told := e.ownerConfig(newDisk(1), nil), &[]string{}
	cfg.Clock = func() time.Time { return *now }
	cfg.Listener.Warning = func(i WarningInfo) { *told = append(*told, i.String()) }
	l := newLane(cfg, 0, newTopicNames(cfg.Names, nil), newLone())
	l.progress.recovered(record.Checkpoint{})
	return newInputWatch(cfg, l.names, e.cl), map[int32]*lane{0: l}, told
}

// TestStalledInputNamesTheProducer: a transaction that stays open on an input is told
// after 20 s with its transactional ID, once, and seen in the status (P9).
func TestStalledInputNamesTheProducer(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	foreign, err := kgo.NewClient(kgo.SeedBrokers(e.seeds...), kgo.TransactionalID("somebody-else"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	now := time.Now()
	begun := now
	w, lanes, told := e.watch(&now)
	look := func(ahead time.Duration, warnings int, stalled bool) {
		t.Helper()
		now = begun.Add(ahead)
		if err := w.look(t.Context(), lanes); err != nil {
			t.Fatal(err)
		}
		if len(*told) != warnings {
			t.Errorf("after %v: %q", ahead, *told)
		}
		if in := lanes[0].progress.status(0).Inputs[record.TopicEvents]; in.Stalled.IsZero() == stalled {
			t.Errorf("after %v: %+v", ahead, in)
		}
	}
	look(-time.Minute, 0, false)
	if err := foreign.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := foreign.ProduceSync(t.Context(), &kgo.Record{Topic: e.topic(record.TopicEvents), Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	look(0, 0, true)
	look(20*time.Second, 0, true)
	look(21*time.Second, 1, true)
	if len(*told) > 0 && (!strings.Contains((*told)[0], `"somebody-else"`) || !strings.Contains((*told)[0], e.topic(record.TopicEvents)+"/0")) {
		t.Errorf("told %s", (*told)[0])
	}
	look(time.Minute, 1, true)
	look(11*time.Minute, 2, true)
	if err := foreign.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	await(t, "movement", func() bool {
		if err := w.look(t.Context(), lanes); err != nil {
			t.Fatal(err)
		}
		return w.seen[watchKey{record.TopicEvents, 0}].stands.IsZero()
	})
	look(time.Hour, 2, false)
}

// TestOldInputIsTold: what waits for longer than half of its retention is a warning, and
// its age is known; markers behind the last record are not input (W7).
func TestOldInputIsTold(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	now := time.UnixMilli(time.Now().UnixMilli())
	w, lanes, told := e.watch(&now)
	w.cfg.Limits.InputRetention = 7 * 24 * time.Hour
	look := func(at int64, oldest time.Time, warnings int) {
		t.Helper()
		lanes[0].progress.recovered(record.Checkpoint{Inputs: record.Positions{Commands: record.Position{Offset: at}}})
		if err := w.look(t.Context(), lanes); err != nil {
			t.Fatal(err)
		}
		if in := lanes[0].progress.status(0).Inputs[record.TopicCommands]; !in.Oldest.Equal(oldest) {
			t.Errorf("at %d: oldest %v, want %v", at, in.Oldest, oldest)
		}
		if len(*told) != warnings {
			t.Errorf("at %d: %q", at, *told)
		}
	}
	tx, err := kgo.NewClient(kgo.SeedBrokers(e.seeds...), kgo.TransactionalID("tx"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	if err := tx.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	old, young := now.Add(-90*time.Hour), now.Add(-time.Hour)
	for _, at := range []time.Time{old, young} {
		if err := tx.ProduceSync(t.Context(), &kgo.Record{Topic: e.topic(record.TopicCommands), Value: []byte("x"), Timestamp: at}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	await(t, "marker", func() bool {
		at, err := list(t.Context(), e.cl, e.topic(record.TopicCommands), 0, (*kadm.Client).ListCommittedOffsets)
		return err == nil && at == 3
	})
	look(2, time.Time{}, 0) // the first look knows only the ends
	look(0, old, 1)
	look(0, old, 1) // told once
	look(1, young, 1)
	look(2, time.Time{}, 1) // the marker
	look(3, time.Time{}, 1)
}

// TestInstanceLooksAtItsInputs: the status shows an open transaction of somebody else's.
func TestInstanceLooksAtItsInputs(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	i := d.start("one", func(c *Config) { c.Limits.WatchEvery = 20 * time.Millisecond })
	foreign, err := kgo.NewClient(kgo.SeedBrokers(d.cl.OptValue(kgo.SeedBrokers).([]string)...), kgo.TransactionalID("somebody-else"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	if err := foreign.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := foreign.ProduceSync(t.Context(), &kgo.Record{Topic: d.topic(record.TopicInternal), Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	stalled := func() bool {
		for _, l := range i.Status().Lanes {
			if l.Partition == 0 {
				return !l.Inputs[record.TopicInternal].Stalled.IsZero()
			}
		}
		return false
	}
	await(t, "stall in the status", stalled)
	if err := foreign.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	await(t, "end of it", func() bool { return !stalled() })
}
