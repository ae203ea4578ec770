package processor

import (
	"sync"
	"testing"
)

// TestGuard: the goroutine that comes back and the watchdog never both go on (C3).
func TestGuard(t *testing.T) {
	t.Parallel()
	var g guard
	if g.giveUp(g.now()) {
		t.Error("given up between two steps")
	}
	g.enter()
	step := g.now()
	g.leave()
	if g.giveUp(step) {
		t.Error("given up after it came back")
	}
	for range 1000 {
		var g guard
		g.enter()
		back, gave := false, false
		var wg sync.WaitGroup
		wg.Go(func() { g.leave(); back = true })
		wg.Go(func() { gave = g.giveUp(1) })
		wg.Wait()
		if back == gave {
			t.Fatalf("came back: %v, given up: %v", back, gave)
		}
	}
}
