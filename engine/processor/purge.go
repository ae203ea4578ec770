package processor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/odradek/odradek/internal/fault"
	"github.com/odradek/odradek/record"
)

// purger deletes what is consumed (W7): inputs behind the settled Checkpoint of
// our lanes, tasks behind the commit of their service's group, both as they stood
// PurgeBehind ago. Task partition m is the business of the owner of partition m.
type purger struct {
	cfg   *Config
	names *topicNames
	adm   *kadm.Client

	done  map[string]map[int32]int64 // what was deleted
	tasks map[string][]taskSample    // of each service, oldest first
	mute  map[string]bool            // topics that we may not delete from, told once
}

// taskSample is what a service's group had committed.
type taskSample struct {
	at      time.Time
	offsets map[int32]int64
}

// purge runs until the instance stops.
func (i *Instance) purge() {
	p := &purger{
		cfg: &i.cfg, names: i.names, adm: kadm.NewClient(i.plain),
		done: map[string]map[int32]int64{}, tasks: map[string][]taskSample{}, mute: map[string]bool{},
	}
	i.every(i.cfg.Limits.PurgeEvery, func(lanes map[int32]*lane) { p.round(i.ctx, stepping(lanes)) })
}

// round deletes what is due now.
func (p *purger) round(ctx context.Context, lanes map[int32]*lane) {
	offsets := kadm.Offsets{}
	before := p.cfg.Clock().Add(-p.cfg.Limits.PurgeBehind)
	for n, l := range lanes {
		pos, ok := l.progress.behind(before)
		if !ok {
			continue
		}
		p.add(offsets, p.names.topics[record.TopicCommands], n, pos.Commands.Offset)
		p.add(offsets, p.names.topics[record.TopicEvents], n, pos.Events.Offset)
		p.add(offsets, p.names.topics[record.TopicInternal], n, pos.Internal.Offset)
	}
	for service, m := range p.cfg.Partition.Services {
		if !p.sample(ctx, service) {
			continue
		}
		for n, at := range p.settledTasks(service, before) {
			if lanes[n] != nil && n < m {
				p.add(offsets, p.names.of(record.TopicTasks, service), n, at)
			}
		}
	}
	if len(offsets) == 0 || p.cfg.Fault.At(fault.BeforePurge) != nil {
		return
	}
	p.delete(ctx, offsets)
}

func (p *purger) add(offsets kadm.Offsets, topic string, n int32, at int64) {
	if at > p.done[topic][n] && !p.mute[topic] {
		offsets.AddOffset(topic, n, at, -1)
	}
}

// sample notes what the service's group has committed; nothing, if there is no such
// group. It reports whether it knows.
func (p *purger) sample(ctx context.Context, service string) bool {
	group, topic := p.cfg.Names.ServiceGroup(service), p.names.of(record.TopicTasks, service)
	if p.mute[topic] {
		return false
	}
	committed, err := p.adm.FetchOffsets(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		if ctx.Err() == nil {
			p.refused(topic, -1, fmt.Errorf("fetch the offsets of group %s: %w", group, err))
		}
		return false
	}
	s := taskSample{p.cfg.Clock(), map[int32]int64{}}
	committed.Each(func(o kadm.OffsetResponse) {
		if o.Topic == topic && o.Err == nil && o.At >= 0 {
			s.offsets[o.Partition] = o.At
		}
	})
	samples := append(p.tasks[service], s)
	if len(samples) > samplesMax {
		samples = samples[1:]
	}
	p.tasks[service] = samples
	return true
}

// settledTasks gives the least that the group had committed in any sample from the
// newest before t on: a commit that was taken back since counts. Older samples are
// not needed any more.
func (p *purger) settledTasks(service string, t time.Time) map[int32]int64 {
	samples := p.tasks[service]
	n := len(samples) - 1
	for n >= 0 && samples[n].at.After(t) {
		n--
	}
	if n < 0 {
		return nil
	}
	samples = samples[n:]
	p.tasks[service] = samples
	least := maps.Clone(samples[0].offsets)
	for _, s := range samples[1:] {
		for n := range least {
			least[n] = min(least[n], s.offsets[n]) // 0: nothing was committed
		}
	}
	return least
}

func (p *purger) delete(ctx context.Context, offsets kadm.Offsets) {
	resp, err := p.adm.DeleteRecords(ctx, offsets)
	if err != nil {
		if ctx.Err() == nil {
			tell(p.cfg.Listener.Warning, WarningInfo{"purge", err})
		}
		return
	}
	resp.Each(func(r kadm.DeleteRecordsResponse) {
		if r.Err != nil {
			p.refused(r.Topic, r.Partition, r.Err)
			return
		}
		if p.done[r.Topic] == nil {
			p.done[r.Topic] = map[int32]int64{}
		}
		at, _ := offsets.Lookup(r.Topic, r.Partition)
		p.done[r.Topic][r.Partition] = at.At
		tell(p.cfg.Listener.Purged, PurgeInfo{Topic: r.Topic, Partition: r.Partition, Before: r.LowWatermark})
	})
}

// refused tells; without the right to delete, or to look at a group, once.
func (p *purger) refused(topic string, n int32, err error) {
	if errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.GroupAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed) {
		p.mute[topic] = true
	}
	tell(p.cfg.Listener.Purged, PurgeInfo{Topic: topic, Partition: n, Err: err})
}
