package pulse

import (
	"testing"
	"time"
)

func TestPulse(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	p := New(10*time.Second, func() time.Time { return now })
	check := func(want string) {
		t.Helper()
		got := ""
		if err := p.Err(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("at %v: %q, want %q", now.Sub(time.Unix(0, 0)), got, want)
		}
	}
	check("")
	p.Beat("b")
	p.Beat("a")
	now = now.Add(10 * time.Second)
	check("")
	now = now.Add(time.Second)
	check("loops that do not tick: a (11s), b (11s)")
	p.Beat("a")
	check("loops that do not tick: b (11s)")
	p.End("b")
	check("")
}
