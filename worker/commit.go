package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/odradek/odradek/internal/fault"
)

// commitLoop commits when something finished, at most once an interval, and at once
// when records wait for their announcement.
func (s *service) commitLoop(ctx context.Context) {
	pause := time.NewTimer(0)
	<-pause.C
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.urgent:
		case <-s.dirty:
			pause.Reset(s.worker.cfg.CommitInterval)
			select {
			case <-ctx.Done():
				return
			case <-s.urgent:
				pause.Stop()
			case <-pause.C:
			}
		}
		if s.commitAll(ctx) {
			continue
		}
		// A rebalance is under way, or Kafka is away: nothing is lost, only later.
		pause.Reset(s.worker.cfg.CommitInterval)
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
			s.kick(s.dirty)
		}
	}
}

// kick makes the commit loop look; ch is dirty or urgent.
func (s *service) kick(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// commitAll commits all held partitions that have something to say, and lets go
// what that commit announced. It reports whether all of it is there.
func (s *service) commitAll(ctx context.Context) bool {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	var plans []plan
	s.mu.Lock()
	for _, p := range s.parts {
		pl, ok := p.plan(s.worker.cfg.StartsMax)
		if ok {
			plans = append(plans, pl)
		}
		s.pauseOrResume(p)
	}
	s.mu.Unlock()
	if len(plans) == 0 {
		return true
	}
	there, err := s.commit(ctx, plans)
	var ready []*job
	s.mu.Lock()
	for i, pl := range plans {
		if there[i] && !pl.part.closing {
			ready = pl.part.release(pl, ready)
		}
		if pl.part.waiting() {
			s.kick(s.dirty)
		}
	}
	s.mu.Unlock()
	s.pool.put(ready)
	return err == nil
}

// commit writes the plans' offsets and metadata in one request; commitMu is held.
// It reports which are there, and the first error.
func (s *service) commit(ctx context.Context, plans []plan) (there []bool, err error) {
	fault.At(fault.WorkerCommit)
	begun := time.Now()
	offsets := make(map[int32]kgo.EpochOffset, len(plans))
	metadata := make(map[int32]string, len(plans))
	for _, pl := range plans {
		offsets[pl.part.id] = kgo.EpochOffset{Epoch: -1, Offset: pl.point.offset}
		metadata[pl.part.id] = pl.point.metadata
	}
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		for i := range req.Topics {
			ps := req.Topics[i].Partitions
			for k := range ps {
				ps[k].Metadata = kmsg.StringPtr(metadata[ps[k].Partition])
			}
		}
		return nil
	})
	there = make([]bool, len(plans))
	s.client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{s.topic: offsets},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, e error) {
			if err = e; err != nil {
				return
			}
			codes := map[int32]int16{}
			for _, t := range resp.Topics {
				for _, p := range t.Partitions {
					codes[p.Partition] = p.ErrorCode
				}
			}
			for i, pl := range plans {
				code, answered := codes[pl.part.id]
				there[i] = answered && code == 0
				switch {
				case !answered && err == nil:
					err = fmt.Errorf("partition %d is missing in the answer", pl.part.id)
				case code != 0 && err == nil:
					err = kerr.ErrorForCode(code)
				}
			}
		})
	if err != nil {
		err = fmt.Errorf("commit %d partitions of group %s: %w", len(plans), s.group, err)
		if ctx.Err() == nil {
			s.log.Warn("offsets not committed, trying again", "err", err)
		}
	}
	s.worker.cfg.Listener.commitEnded(CommitEnded{Service: s.name, Partitions: len(plans), Duration: time.Since(begun), Err: err})
	return there, err
}

// pauseOrResume stops fetching a partition whose commit metadata might not hold
// what is finished out of order, and goes on when it does (W3). s.mu is held.
func (s *service) pauseOrResume(p *partition) {
	at := map[string][]int32{s.topic: {p.id}}
	switch full := p.full(); {
	case full && !p.paused:
		p.paused = true
		s.client.PauseFetchPartitions(at)
		s.log.Warn("fetching pauses: calls are open for so long that the commit's metadata is full", "partition", p.id, "open", p.offsets.open, "watermark", p.offsets.watermark())
	case !full && p.paused:
		p.paused = false
		s.client.ResumeFetchPartitions(at)
		s.log.Info("fetching goes on", "partition", p.id)
	}
}
