package worker

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// onRevoked gives partitions back: nothing more is started, running calls may end
// until the rebalance timeout nears (W5), and the last commit says what is done.
func (s *service) onRevoked(ctx context.Context, _ *kgo.Client, lost map[string][]int32) {
	if len(lost[s.topic]) == 0 {
		return
	}
	<-s.made
	s.gate.flush()
	s.drain(ctx, lost[s.topic], s.worker.cfg.RebalanceTimeout*9/10, errMoved)
}

// onLost drops partitions that the group gave away already: their calls are cut off
// and nothing can be committed.
func (s *service) onLost(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	if len(lost[s.topic]) == 0 {
		return
	}
	<-s.made
	s.gate.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range lost[s.topic] {
		if p := s.parts[id]; p != nil {
			s.drop(p, errLost)
		}
	}
	s.setPermits()
	s.log.Warn("partitions lost; their open calls are made again by others", "partitions", lost[s.topic])
}

// drain ends partitions: their calls have the given time, then they are cancelled
// with the cause. It returns after the last commit.
func (s *service) drain(ctx context.Context, ids []int32, wait time.Duration, cause error) {
	s.drainMu.Lock()
	defer s.drainMu.Unlock()
	var parts []*partition
	s.mu.Lock()
	for _, id := range ids {
		if p := s.parts[id]; p != nil {
			p.close()
			parts = append(parts, p)
		}
	}
	s.mu.Unlock()
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	for _, p := range parts {
		select {
		case <-p.idle:
		case <-deadline.C:
			deadline.Reset(0)
			s.log.Warn("calls are cut off; the next holder makes them again", "partition", p.id, "calls", s.pendingOf(p), "waited", wait)
			p.cancel(cause)
		case <-ctx.Done():
			p.cancel(cause)
		}
	}
	// A handler that heeds its context returns now, and may have a result to report.
	grace := time.NewTimer(wait / 20)
	defer grace.Stop()
	for _, p := range parts {
		select {
		case <-p.idle:
		case <-grace.C:
			grace.Reset(0)
		case <-ctx.Done():
		}
	}
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	var plans []plan
	s.mu.Lock()
	for _, p := range parts {
		if s.parts[p.id] != p {
			continue // lost meanwhile
		}
		if pl, ok := p.last(); ok {
			plans = append(plans, pl)
		}
	}
	s.mu.Unlock()
	if len(plans) > 0 && ctx.Err() == nil {
		_, _ = s.commit(ctx, plans) // logged; without it the next holder does a little again
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range parts {
		if s.parts[p.id] == p {
			s.drop(p, cause)
		}
	}
	s.setPermits()
}

func (s *service) pendingOf(p *partition) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.pending
}

// stop ends the service: fetching has stopped already, calls get the time that ctx
// leaves, at most DrainTimeout.
func (s *service) stop(ctx context.Context) {
	if s.client == nil {
		return
	}
	wait := s.worker.cfg.DrainTimeout
	if deadline, ok := ctx.Deadline(); ok {
		wait = max(0, min(wait, time.Until(deadline)-2*time.Second))
	}
	s.mu.Lock()
	ids := slices.Collect(maps.Keys(s.parts))
	s.mu.Unlock()
	s.drain(ctx, ids, wait, errStopped)
	s.pool.close()
	s.endCommits()
	s.loops.Wait()
	_ = s.client.LeaveGroupContext(ctx) // otherwise the session timeout tells
	s.client.Close()
}
