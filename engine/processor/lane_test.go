package processor

import (
	"testing"
	"time"
)

func TestLaneCommitsEachInputOnce(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	c := &counts{}
	v := e.contest(contest{owners: 1, total: 2000, counts: c})
	if v.wrong() || v.outputs != 2000 {
		t.Fatal(v)
	}
	if c.takeovers != 1 || c.unknown+c.fenced+len(c.failed) > 0 {
		t.Errorf("%d takeovers, %d unknown, %d fenced, failed %v", c.takeovers, c.unknown, c.fenced, c.failed)
	}
	t.Logf("%v in %d commits", v, c.commits)
}

func TestOwnersThatFight(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	c := &counts{}
	v := e.contest(contest{owners: 2, total: 1500, counts: c, idle: 20 * time.Second})
	if v.wrong() {
		t.Fatal(v)
	}
	if c.takeovers < 5 {
		t.Errorf("%d takeovers: they did not fight", c.takeovers)
	}
	t.Logf("%v in %d commits, %d takeovers, %d fenced, %d unknown", v, c.commits, c.takeovers, c.fenced, c.unknown)
}
