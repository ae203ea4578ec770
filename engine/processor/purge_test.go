package processor

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/odradek/odradek/record"
)

// TestPurgeStaysBehindTheGroup: tasks are deleted behind the group's commit as it is,
// not as it was (W7): an operator may have taken it back, to have tasks done again.
func TestPurgeStaysBehindTheGroup(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	cfg := e.ownerConfig(newDisk(1), nil)
	adm := kadm.NewClient(e.cl)
	now := time.Now()
	cfg.Clock = func() time.Time { return now }
	p := &purger{
		cfg: cfg, names: newTopicNames(cfg.Names, cfg.Partition.Services), adm: adm,
		done: map[string]map[int32]int64{}, tasks: map[string][]taskSample{}, mute: map[string]bool{},
	}
	group, topic := cfg.Names.ServiceGroup(counterService), cfg.Names.Tasks(counterService)
	commit := func(at int64) {
		t.Helper()
		offsets := kadm.Offsets{}
		offsets.AddOffset(topic, 0, at, -1)
		if err := adm.CommitAllOffsets(t.Context(), group, offsets); err != nil {
			t.Fatal(err)
		}
	}
	settled := func() map[int32]int64 {
		t.Helper()
		now = now.Add(time.Minute)
		if !p.sample(t.Context(), counterService) {
			t.Fatal("no sample")
		}
		return p.settledTasks(counterService, now.Add(-time.Minute))
	}
	commit(5)
	if got := settled(); len(got) != 0 {
		t.Errorf("at once: %v", got)
	}
	commit(8)
	if got := settled(); got[0] != 5 {
		t.Errorf("a minute later: %v, want 5", got)
	}
	commit(2)
	if got := settled(); got[0] != 2 {
		t.Errorf("after the group was taken back: %v, want 2", got)
	}
	commit(9)
	if got := settled(); got[0] != 2 {
		t.Errorf("a minute after that: %v, want 2", got)
	}
	if _, err := adm.DeleteGroup(t.Context(), group); err != nil {
		t.Fatal(err)
	}
	if got := settled(); got[0] != 0 {
		t.Errorf("without the group: %v", got)
	}
}

// TestPurgeSamplesTheLast: a partition that falls silent is purged to its end.
func TestPurgeSamplesTheLast(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var p progress
	p.init(func() time.Time { return now })
	settle := func(at int64) {
		b := &batch{}
		b.positions.Commands.Offset = at
		p.settled(b)
	}
	settle(1)
	now = now.Add(time.Second)
	settle(2)
	first := record.Position{Offset: 1}
	if pos, ok := p.behind(now.Add(-time.Second)); !ok || pos.Commands != first {
		t.Errorf("%v %v, want 1", pos.Commands, ok)
	}
	now = now.Add(time.Hour)
	if pos, ok := p.behind(now.Add(-10 * time.Minute)); !ok || pos.Commands.Offset != 2 {
		t.Errorf("an hour later %v %v, want 2", pos.Commands, ok)
	}
}
