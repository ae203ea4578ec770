package processor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/odradek/odradek/record"
)

// group is the membership: it says who should own a partition, never whether a
// write counts. It subscribes to commands and fetches nothing.
type group struct {
	cfg   *Config
	cl    *kgo.Client
	topic string

	mu    sync.Mutex
	owned map[int32]bool

	polling sync.WaitGroup
}

// assigner hears what the group gives and takes. The group waits for its calls.
type assigner interface {
	assigned(ps []int32)
	revoked(ps []int32, lost bool)
}

// rebalanceTimeout is how long members have to let go of partitions: far above
// StopTimeout, so that a slow one is not thrown out.
const rebalanceTimeout = 60 * time.Second

// joinGroup joins. The assigner is called as soon as there is something to say.
func joinGroup(cfg *Config, topic string, b *balancer, a assigner) (*group, error) {
	g := &group{cfg: cfg, topic: topic, owned: map[int32]bool{}}
	var ready sync.WaitGroup // the callbacks need g.cl
	ready.Add(1)
	change := func(m map[string][]int32, own bool) []int32 {
		ready.Wait()
		ps := m[topic]
		g.mu.Lock()
		defer g.mu.Unlock()
		for _, p := range ps {
			if own {
				g.owned[p] = true
			} else {
				delete(g.owned, p)
			}
		}
		return ps
	}
	say := func(info RebalanceInfo) {
		_, info.Generation = g.cl.GroupMetadata()
		if len(info.Assigned)+len(info.Revoked) > 0 {
			tell(cfg.Listener.Rebalanced, info)
		}
	}
	cl, err := cfg.plain(
		kgo.ConsumerGroup(cfg.Names.Group()),
		kgo.ConsumeTopics(topic),
		kgo.Balancers(b),
		kgo.DisableAutoCommit(),
		kgo.SessionTimeout(cfg.Limits.SessionTimeout),
		kgo.HeartbeatInterval(cfg.Limits.Heartbeat),
		kgo.RebalanceTimeout(rebalanceTimeout),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
			ps := change(m, true)
			say(RebalanceInfo{Assigned: ps})
			a.assigned(ps)
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
			ps := change(m, false)
			say(RebalanceInfo{Revoked: ps})
			a.revoked(ps, false)
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
			ps := change(m, false)
			say(RebalanceInfo{Revoked: ps, Lost: true})
			a.revoked(ps, true)
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("join group %s: %w", cfg.Names.Group(), err)
	}
	cl.PauseFetchTopics(topic)
	g.cl = cl
	ready.Done()
	g.polling.Go(g.poll)
	return g, nil
}

// poll reads what the client says of the group's health: there are no records.
func (g *group) poll() {
	for {
		fs := g.cl.PollFetches(context.Background())
		if fs.IsClientClosed() {
			return
		}
		fs.EachError(func(_ string, _ int32, err error) {
			tell(g.cfg.Listener.Warning, WarningInfo{"group " + g.cfg.Names.Group(), err})
		})
	}
}

func (g *group) owns(p int32) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.owned[p]
}

// confirmPause is between two questions to the group.
const confirmPause = 200 * time.Millisecond

// confirm sends a heartbeat, and returns when the group has answered that this
// member's generation is the current one and the partition is its own (P3). It
// asks on while a rebalance is under way, and until ctx ends, which the loss of
// the partition brings about.
func (g *group) confirm(ctx context.Context, p int32) error {
	for {
		member, generation := g.cl.GroupMetadata()
		if generation >= 0 && g.owns(p) {
			req := kmsg.NewPtrHeartbeatRequest()
			req.Group, req.Generation, req.MemberID = g.cfg.Names.Group(), generation, member
			resp, err := req.RequestWith(ctx, g.cl)
			if err == nil {
				err = kerr.ErrorForCode(resp.ErrorCode)
			}
			if _, now := g.cl.GroupMetadata(); err == nil && now == generation && g.owns(p) {
				return nil
			}
		}
		if !sleep(ctx, confirmPause) {
			return ErrNotOwner
		}
	}
}

// commit notes the positions in the group, for dashboards only.
func (g *group) commit(ctx context.Context, names *topicNames, positions map[int32]record.Positions) error {
	if _, generation := g.cl.GroupMetadata(); generation < 0 || len(positions) == 0 {
		return nil
	}
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for p, pos := range positions {
		for topic, at := range map[record.Topic]record.Position{record.TopicCommands: pos.Commands, record.TopicEvents: pos.Events, record.TopicInternal: pos.Internal} {
			name := names.topics[topic]
			if offsets[name] == nil {
				offsets[name] = map[int32]kgo.EpochOffset{}
			}
			offsets[name][p] = kgo.EpochOffset{Epoch: at.LeaderEpoch, Offset: at.Offset}
		}
	}
	var errs []error
	g.cl.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			errs = append(errs, err)
			return
		}
		for i := range resp.Topics {
			for j := range resp.Topics[i].Partitions {
				if err := kerr.ErrorForCode(resp.Topics[i].Partitions[j].ErrorCode); err != nil {
					errs = append(errs, fmt.Errorf("commit offsets of group %s: partition %d: %w", g.cfg.Names.Group(), resp.Topics[i].Partitions[j].Partition, err))
				}
			}
		}
	})
	return errors.Join(errs...)
}

// leave leaves the group, which calls the assigner for what is still owned.
func (g *group) leave(ctx context.Context) error {
	err := g.cl.LeaveGroupContext(ctx)
	g.cl.CloseAllowingRebalance()
	g.polling.Wait()
	return err
}
