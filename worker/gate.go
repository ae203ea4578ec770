package worker

import (
	"context"
	"sync"
)

// gate lets a rebalance callback wait until everything that a poll returned before
// is registered. Without it, records polled just before a revocation could be
// registered after the partition has come back, ahead of those that its new
// beginning delivers, and the watermark would pass them. (kgo's own
// BlockRebalanceOnPoll would hold up polls while a callback waits for calls.)
type gate struct {
	mu     sync.Mutex
	passes uint64 // polls whose records are registered
	inside bool
	cancel context.CancelFunc
	left   chan struct{} // closed at the end of the pass under way
}

// enter begins a pass. Its context ends when flush wants the pass to end.
func (g *gate) enter(ctx context.Context) context.Context {
	g.mu.Lock()
	defer g.mu.Unlock()
	ctx, g.cancel = context.WithCancel(ctx)
	g.inside, g.left = true, make(chan struct{})
	return ctx
}

// leave ends the pass: what it polled is registered.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cancel()
	g.inside = false
	g.passes++
	close(g.left)
}

// flush returns when the pass under way, if any, is over. The client must have
// stopped giving out the records in question before: then no pass to come has them.
func (g *gate) flush() {
	g.mu.Lock()
	if !g.inside {
		g.mu.Unlock()
		return
	}
	g.cancel()
	left := g.left
	g.mu.Unlock()
	<-left
}
