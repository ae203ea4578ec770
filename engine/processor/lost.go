package processor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/statestore"
)

const (
	// lostMax is how many attempts a lane is asked about in one round.
	lostMax = 1000
	// scanRunsMax is how many open runs of a lane's store a round reads at most: at about
	// 20 us each a twentieth of a core.
	scanRunsMax = 10_000
	scanPage    = 500
	// tailBack is how far from a task partition's end its last record is looked for; what
	// lies behind it are the markers of transactions.
	tailBack = 64
)

// lostWatch looks for attempts whose records the services' groups have left behind without
// an answer (W4): a worker that commits before it answers and dies, offsets that were reset,
// records that Kafka has deleted. One round asks for all lanes of the instance:
//
//  1. the groups' commits, and where the task topics begin. A record lies behind if it is
//     below what was committed, or begun at, in this round and in the one before it: a
//     worker that answers a moment after it commits is not disturbed;
//  2. attempts that lie behind are taken out of what the lanes have sent;
//  3. the ends of the events: answers that were sent before the commit lie below them.
//     Answers that came to another partition are forwarded, so these owners must have
//     settled up to there (their commits tell), before
//  4. the ends of the lane's own inputs are listed. Once the lane has stepped up to them it
//     has seen every such answer, and steps the attempts: those that are open are lost.
type lostWatch struct {
	cfg      *Config
	names    *topicNames
	adm      *kadm.Client
	services []string
	behind   map[string]map[int32]int64 // of the round before, by service and task partition
	waiting  map[*sent]*lostWaiting
	mute     map[string]bool // groups that we may not look at, told once
}

// lostWaiting are attempts of a lane that wait for the owners of other partitions.
type lostWaiting struct {
	records []*record.Record
	events  map[int32]int64 // up to where they must have settled
}

// over reports whether the owners of all partitions but n, which is the lane's own, have
// settled enough.
func (w *lostWaiting) over(n int32, owners map[int32]int64) bool {
	for q, end := range w.events {
		if q != n && owners[q] < end {
			return false
		}
	}
	return true
}

// watchLost runs until the instance stops.
func (i *Instance) watchLost() {
	w := newLostWatch(&i.cfg, i.names, i.plain)
	i.every(i.cfg.Limits.LostEvery, func(lanes map[int32]*lane) {
		i.look("look for lost attempts", func(ctx context.Context) error { return w.round(ctx, stepping(lanes)) })
	})
}

func newLostWatch(cfg *Config, names *topicNames, plain *kgo.Client) *lostWatch {
	return &lostWatch{
		cfg: cfg, names: names, adm: kadm.NewClient(plain), services: slices.Sorted(maps.Keys(cfg.Partition.Services)),
		waiting: map[*sent]*lostWaiting{}, mute: map[string]bool{},
	}
}

func (w *lostWatch) round(ctx context.Context, lanes map[int32]*lane) error {
	if len(w.services) == 0 || len(lanes) == 0 {
		return nil
	}
	behind, owners, err := w.look(ctx)
	if err != nil {
		return err
	}
	low := lower(w.behind, behind)
	w.behind = behind
	for n, l := range lanes { // by the lanes here it is known at once
		if at, ok := l.progress.at(record.TopicEvents); ok {
			owners[n] = max(owners[n], at)
		}
	}
	if err := w.lookAtTails(ctx, lanes); err != nil {
		return err
	}
	open := map[*sent]*lostWaiting{}
	var errs []error
	for n, l := range lanes {
		s, store := l.out()
		if s == nil {
			continue
		}
		if wait := w.waiting[s]; wait != nil {
			open[s] = wait
			continue
		}
		records := s.behind(low, lostMax)
		older, err := w.scan(s, store, low)
		if err != nil {
			errs = append(errs, fmt.Errorf("read the open tasks in the store of partition %d: %w", n, err))
		}
		if records = append(records, older...); len(records) > 0 {
			open[s] = &lostWaiting{records: records}
		}
	}
	w.waiting = open // what a tenure waited for that has ended, the next one finds again
	return errors.Join(append(errs, w.hand(ctx, lanes, owners))...)
}

// look asks for what the services' groups have left behind, and up to where the owners of
// the partitions have settled events.
func (w *lostWatch) look(ctx context.Context) (behind map[string]map[int32]int64, owners map[int32]int64, err error) {
	groups, topics := []string{w.cfg.Names.Group()}, make([]string, len(w.services))
	for i, service := range w.services {
		topics[i] = w.names.of(record.TopicTasks, service)
		if group := w.cfg.Names.ServiceGroup(service); !w.mute[group] {
			groups = append(groups, group)
		}
	}
	commits := w.adm.FetchManyOffsets(ctx, groups...)
	starts, err := w.adm.ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, nil, fmt.Errorf("list where the task topics begin: %w", err)
	}
	behind, owners = map[string]map[int32]int64{}, map[int32]int64{}
	for i, service := range w.services {
		group := w.cfg.Names.ServiceGroup(service)
		resp, asked := commits[group]
		if err := resp.Err; err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			w.mute[group] = errors.Is(err, kerr.GroupAuthorizationFailed)
			tell(w.cfg.Listener.Warning, WarningInfo{"look for lost attempts", fmt.Errorf("fetch the offsets of group %s: %w", group, err)})
			continue
		}
		if !asked {
			continue
		}
		at := map[int32]int64{}
		for n, start := range starts[topics[i]] {
			if start.Err != nil {
				continue
			}
			at[n] = start.Offset
			if o, ok := resp.Fetched.Lookup(topics[i], n); ok && o.Err == nil {
				at[n] = max(at[n], o.At)
			}
		}
		behind[service] = at
	}
	own := commits[w.cfg.Names.Group()]
	own.Fetched.Each(func(o kadm.OffsetResponse) {
		if o.Topic == w.names.topics[record.TopicEvents] && o.Err == nil {
			owners[o.Partition] = max(o.At, 0)
		}
	})
	return behind, owners, nil
}

// lower gives what is behind in both rounds: a commit that was taken back counts.
func lower(a, b map[string]map[int32]int64) map[string]map[int32]int64 {
	low := map[string]map[int32]int64{}
	for service, at := range b {
		if a[service] == nil {
			continue
		}
		low[service] = map[int32]int64{}
		for n, offset := range at {
			if before, ok := a[service][n]; ok {
				low[service][n] = min(before, offset)
			}
		}
	}
	return low
}

// ends lists the ends of topics, committed or not, by partition.
func (w *lostWatch) ends(ctx context.Context, topics ...record.Topic) (map[record.Topic]map[int32]int64, error) {
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = w.names.topics[t]
	}
	listed, err := w.adm.ListEndOffsets(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list the ends of the inputs: %w", err)
	}
	ends := map[record.Topic]map[int32]int64{}
	for i, t := range topics {
		ends[t] = map[int32]int64{}
		for n := range w.cfg.Partition.Table.Partitions {
			o, ok := listed.Lookup(names[i], n)
			switch {
			case !ok:
				return nil, fmt.Errorf("list the end of %s/%d: no answer", names[i], n)
			case o.Err != nil:
				return nil, fmt.Errorf("list the end of %s/%d: %w", names[i], n, o.Err)
			}
			ends[t][n] = o.Offset
		}
	}
	return ends, nil
}

// hand gives the lanes the attempts for which the other owners have settled enough.
func (w *lostWatch) hand(ctx context.Context, lanes map[int32]*lane, owners map[int32]int64) error {
	var ends map[record.Topic]map[int32]int64
	var err error
	for _, wait := range w.waiting {
		if wait.events == nil && ends == nil {
			if ends, err = w.ends(ctx, record.TopicEvents); err != nil {
				return err
			}
		}
		if wait.events == nil {
			wait.events = ends[record.TopicEvents]
		}
	}
	ready := map[int32]*sent{}
	for n, l := range lanes {
		s, _ := l.out()
		wait := w.waiting[s]
		if wait == nil {
			continue
		}
		if wait.over(n, owners) {
			ready[n] = s
		}
	}
	if len(ready) == 0 {
		return nil
	}
	if ends, err = w.ends(ctx, record.TopicCommands, record.TopicEvents, record.TopicInternal); err != nil {
		return err
	}
	for n, s := range ready {
		at := inputEnds{ends[record.TopicCommands][n], ends[record.TopicEvents][n], ends[record.TopicInternal][n]}
		s.hand(lostTasks{at, w.waiting[s].records})
		delete(w.waiting, s)
	}
	return nil
}

// scan looks, a part a round, for attempts that went out before their tenure or were too
// many to remember.
func (w *lostWatch) scan(s *sent, store Store, low map[string]map[int32]int64) (out []*record.Record, err error) {
	runs, ok := store.(lister)
	scan := s.scanning(low)
	if scan == nil || !ok {
		return nil, nil
	}
	cursor := scan.cursor
	for read := 0; read < scanRunsMax && len(out) < lostMax; read += scanPage {
		var rows []record.RunRow
		if rows, cursor, err = runs.List(statestore.ListQuery{Status: record.StatusRunning, Limit: scanPage, After: cursor}); err != nil {
			return nil, err
		}
		for i := range rows {
			if rows[i].OpenTasks == 0 {
				continue
			}
			state, err := store.LoadRun(rows[i].WorkflowID, rows[i].Run)
			if err != nil {
				return nil, err
			}
			out = append(out, olderTasks(state, scan.services)...)
		}
		if cursor == "" {
			break
		}
	}
	s.scanned(cursor)
	return out, nil
}

// olderTasks are the open attempts of a run that the olders stand for.
func olderTasks(state *machine.State, services map[string]*older) (out []*record.Record) {
	if state == nil {
		return nil
	}
	for i := range state.Tasks {
		t := &state.Tasks[i]
		o := services[t.Service]
		if o == nil {
			continue
		}
		lost := &record.TaskLost{Task: record.TaskID{Run: state.Run.Run, No: t.No}, OutBy: o.out}
		if failed, _ := machine.ReceiveLost(state, lost); failed != nil {
			out = append(out, lostRecord(state.Run.WorkflowID, lost))
		}
	}
	return out
}

// lookAtTails finds where the task topics end for tenures that have just begun: behind the
// last record, not behind the markers that follow it, because no consumer of the usual
// kinds commits an offset behind those.
func (w *lostWatch) lookAtTails(ctx context.Context, lanes map[int32]*lane) error {
	ask, unlooked := map[string]bool{}, map[*sent][]string{}
	for _, l := range lanes {
		if s, _ := l.out(); s != nil {
			unlooked[s] = s.unlooked()
			for _, service := range unlooked[s] {
				ask[service] = true
			}
		}
	}
	if len(ask) == 0 {
		return nil
	}
	tails, err := w.tails(ctx, slices.Sorted(maps.Keys(ask)))
	if err != nil {
		return err
	}
	for s, services := range unlooked {
		for _, service := range services {
			if tails[service] != nil {
				s.looked(service, tails[service])
			}
		}
	}
	return nil
}

// tails gives the offset behind the last record of each task partition of the services.
func (w *lostWatch) tails(ctx context.Context, services []string) (map[string]map[int32]int64, error) {
	topics, of := make([]string, len(services)), map[string]string{}
	for i, service := range services {
		topics[i] = w.names.of(record.TopicTasks, service)
		of[topics[i]] = service
	}
	starts, err := w.adm.ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("list where the task topics begin: %w", err)
	}
	ends, err := w.adm.ListEndOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("list where the task topics end: %w", err)
	}
	tails, left, from := map[string]map[int32]int64{}, map[string]map[int32]int64{}, map[string]map[int32]kgo.Offset{}
	for topic, service := range of {
		if !whole(starts[topic]) || !whole(ends[topic]) {
			continue // asked again in the next round
		}
		at := map[int32]int64{}
		for n, end := range ends[topic] {
			start, _ := starts.Lookup(topic, n)
			at[n] = max(start.Offset, end.Offset-tailBack)
			if at[n] < end.Offset {
				if left[topic] == nil {
					left[topic], from[topic] = map[int32]int64{}, map[int32]kgo.Offset{}
				}
				left[topic][n], from[topic][n] = end.Offset, kgo.NewOffset().At(at[n])
			}
		}
		if len(at) > 0 {
			tails[service] = at
		}
	}
	if len(left) == 0 {
		return tails, nil
	}
	cl, err := w.cfg.Client(
		kgo.ConsumePartitions(from), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(time.Second),
	)
	if err != nil {
		return nil, fmt.Errorf("make a reader: %w", err)
	}
	defer cl.CloseAllowingRebalance()
	for len(left) > 0 {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil || fs.IsClientClosed() {
			return nil, fmt.Errorf("read the ends of the task topics: %w", context.Cause(ctx))
		}
		if err := fs.Err(); err != nil {
			return nil, fmt.Errorf("read the ends of the task topics: %w", err)
		}
		fs.EachPartition(func(p kgo.FetchTopicPartition) {
			end, ok := left[p.Topic][p.Partition]
			if !ok {
				return
			}
			for _, r := range p.Records {
				if !r.Attrs.IsControl() {
					tails[of[p.Topic]][p.Partition] = r.Offset + 1
				}
				if r.Offset+1 >= end {
					delete(left[p.Topic], p.Partition)
				}
			}
			if len(left[p.Topic]) == 0 {
				delete(left, p.Topic)
			}
		})
	}
	return tails, nil
}

// whole reports whether a topic's offsets are there and none is an error.
func whole(offsets map[int32]kadm.ListedOffset) bool {
	for _, o := range offsets {
		if o.Err != nil {
			return false
		}
	}
	return len(offsets) > 0
}
