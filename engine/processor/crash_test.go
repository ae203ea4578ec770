package processor

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/odradek/odradek/record"
)

// TestInputThatKillsTheProcess: it becomes a dead letter after a few crashes, nobody
// else does, and then no note is left (quality: bad input).
func TestInputThatKillsTheProcess(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	d, c, dead := newDisk(1), &counts{}, map[string]int{}
	path := filepath.Join(t.TempDir(), "0.crash")
	e.produce(t, "k0", "k2", "k1", "k0", "k2")
	begin := func() *lane {
		cfg := e.ownerConfig(d, nil)
		cfg.Listener, cfg.ports.crashNote = c.listener(), func(int32) string { return path }
		cfg.ports.stepper = stepperWith(cfg.ports.stepper, func(s *counter) { s.crashKey, s.dead = "k1", dead })
		return e.start(cfg, newLone())
	}
	died := 0
	l := begin()
	for done := false; !done; {
		await(t, "end", func() bool {
			select {
			case <-l.done:
				return true
			default:
				done = l.progress.positions().Commands.Offset == 5
				return done
			}
		})
		if !done {
			if died++; died > 2*crashesMax {
				t.Fatalf("it dies for ever: %v", l.progress.failure())
			}
			if at := l.progress.positions().Commands.Offset; died > crashesMax && at != 2 {
				t.Errorf("death %d: settled up to %d, want all that come before it", died, at)
			}
			d.crash()
			l = begin()
		}
	}
	if died != 2*crashesMax {
		t.Errorf("it died %d times", died)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the note went before the start was good: %v", err)
	}
	l.halt()
	<-l.done
	if len(dead) != 1 || dead["k1"] != 1 {
		t.Errorf("dead letters %v", dead)
	}
	rows, _ := e.changelog()
	if rows[rowKey("k0")] != 2 || rows[rowKey("k2")] != 2 || rows[rowKey("k1")] != 0 {
		t.Errorf("rows %v", rows)
	}
	if len(c.refused) != 1 || c.refused[0].Origin.Offset != 2 {
		t.Errorf("told %v", c.refused)
	}
	if left, _ := filepath.Glob(path + "*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestCrashNotes: what one start leaves to the next.
func TestCrashNotes(t *testing.T) {
	t.Parallel()
	in := func(offset int64) record.Origin { return record.Origin{Topic: record.TopicEvents, Offset: offset} }
	path := func(t *testing.T) string { return filepath.Join(t.TempDir(), "note") }
	begin := func(path string) (*crashes, []record.Origin) {
		c := &crashes{cfg: &Config{}, path: path}
		return c, c.begin()
	}
	there := func(path string) bool { _, err := os.Stat(path); return err == nil }
	t.Run("a start that works for a while is good", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := path(t)
			for range 10 {
				c, _ := begin(p)
				c.settled()
				if !there(p) {
					t.Fatal("the first commit was enough: an input behind it may kill")
				}
				time.Sleep(crashFree) // of the bubble
				c.settled()
				if there(p) || c.careful > 0 {
					t.Fatalf("a note is there: %v, careful %d", there(p), c.careful)
				}
				c.stepping(in(1))
				if c.settled(); there(p) {
					t.Fatal("written while all is well")
				}
			}
		})
	})
	t.Run("others crash", func(t *testing.T) {
		p := path(t)
		for n := range int64(20) { // each time another input
			c, guilty := begin(p)
			if len(guilty) > 0 || (c.careful > 0) != (n >= crashesMax) {
				t.Fatalf("start %d: guilty %v, careful %d", n, guilty, c.careful)
			}
			c.stepping(in(n))
		}
	})
	t.Run("with others between", func(t *testing.T) {
		p := path(t)
		starts := 0
		for ; starts < 20; starts++ {
			c, guilty := begin(p)
			if len(guilty) > 0 {
				if guilty[0] != in(7) {
					t.Errorf("guilty %v", guilty)
				}
				break
			}
			c.stepping(in(int64(100 + starts)))
			c.stepping(in(7))
		}
		if starts != 2*crashesMax {
			t.Errorf("found after %d crashes", starts)
		}
	})
	t.Run("careful for so many", func(t *testing.T) {
		p := path(t)
		for range crashesMax {
			begin(p)
		}
		c, _ := begin(p)
		for range carefulInputs {
			if c.careful == 0 {
				t.Fatal("too early")
			}
			c.stepping(in(1))
		}
		if c.careful != 0 {
			t.Errorf("careful for %d more", c.careful)
		}
	})
	t.Run("cut short", func(t *testing.T) {
		p := path(t)
		if err := os.WriteFile(p, []byte(`{"starts":9,"step`), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, guilty := begin(p); c.careful > 0 || len(guilty) > 0 || c.note.Starts != 1 {
			t.Errorf("%+v", c)
		}
	})
}
