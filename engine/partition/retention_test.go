package partition

import (
	"slices"
	"testing"
	"time"
)

// TestRetentionWithinTheFlight: a run whose chunks go while the batch that closed it
// is on its way is still known by its command IDs, and leaves no rows behind (P8, F4).
func TestRetentionWithinTheFlight(t *testing.T) {
	t.Parallel()
	h := newHarness(t, -1)
	h.cfg.RetentionCompleted = time.Millisecond
	h.reopen(t)
	h.p.Begin(h.now)
	h.step(t, "start w after 1 id=c1")
	h.step(t, "signal w more -1 id=s1")
	closing := h.p.Finish()
	h.now = h.now.Add(time.Second)
	h.p.Begin(h.now)
	h.due(t)
	dropping := h.p.Finish()
	h.settle(t, closing)
	h.settle(t, dropping)
	s, err := h.store.Load("w")
	if err != nil {
		t.Fatal(err)
	}
	if !s.Gone || s.Summary == nil || !slices.Equal(s.Summary.CommandIDs, []string{"c1", "s1"}) {
		t.Errorf("gone %v, summary %+v", s.Gone, s.Summary)
	}
	if left, err := h.store.Commands("w", s.Run.Run); err != nil || len(left) > 0 {
		t.Errorf("command rows left: %v (%v)", left, err)
	}
	h.sameAfterTakeover(t)
}
