package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/odradek/odradek/topology"
)

const (
	// openMax bounds the records of a service that are delivered and not finished, so
	// that a poll is worth its while for fast handlers; a service with more permits gets
	// twice their number.
	openMax = 1024
	// openBytesMax bounds their payloads.
	openBytesMax = 16 << 20
	// fetchBytesMax bounds one fetch; kgo holds at most one per broker.
	fetchBytesMax = 8 << 20
	// beatEvery is how often the poll shows that it is alive, at least: it wakes for it.
	beatEvery = 10 * time.Second
	// fetchPartitionBytesMax must exceed max.message.bytes.
	fetchPartitionBytesMax = 2 << 20
)

// service is the member of one service's consumer group.
type service struct {
	worker     *Worker
	name       string
	topic      string
	group      string
	handlers   map[string]*Handler
	operations []string // sorted, for people
	permits    int      // of the whole service
	rate       Rate     // of the whole service; its defaults are filled in by start
	partitions int32    // M of the task topic
	log        *slog.Logger

	client *kgo.Client
	made   chan struct{} // closed when client is there: the group's callbacks may come before
	pool   *pool
	gate   gate
	dirty  chan struct{} // something finished
	urgent chan struct{} // records wait for a commit
	loops  sync.WaitGroup

	commits    context.Context // of the commit loop: ended when nothing is open
	endCommits context.CancelFunc

	// commitMu is held from making a commit's content to its answer, so that commits
	// follow one another. It comes before mu.
	commitMu sync.Mutex
	// drainMu lets one drain at a time run: a second one finds the partitions gone. It
	// comes before commitMu.
	drainMu sync.Mutex

	mu          sync.Mutex
	active      int32 // of the partitions: the first ones get new tasks and carry the limits
	before      int32 // as it was before a change that is getting about; 0: there is none
	parts       map[int32]*partition
	breaker     breaker
	paused      bool // by an operator
	joined      bool
	refused     int       // results that Kafka refused since it was last said
	refusedSaid time.Time // when that was
	room        chan struct{}
}

func newService(w *Worker, name string, handlers map[string]*Handler) *service {
	s := &service{
		worker: w, name: name, topic: w.names.Tasks(name), group: w.names.ServiceGroup(name),
		handlers: handlers, operations: slices.Sorted(maps.Keys(handlers)),
		permits: w.cfg.concurrency(name), rate: w.cfg.Services[name].Rate,
		log:   w.cfg.Logger.With("service", name),
		parts: map[int32]*partition{}, made: make(chan struct{}), breaker: breaker{state: breakerClosed},
		dirty: make(chan struct{}, 1), urgent: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
	s.commits, s.endCommits = context.WithCancel(context.Background())
	s.pool = newPool(s.work, w.cfg.Services[name].PerKey)
	return s
}

// ErrTopicMissing is returned by Start if a topic that the worker needs is not there.
var ErrTopicMissing = errors.New("topic is missing")

// start checks the task topic, joins the group and starts the loops.
func (s *service) start(ctx context.Context) error {
	// Before the group is joined: what comes of that needs the number of partitions.
	topics, err := kadm.NewClient(s.worker.producer).ListTopics(ctx, s.topic)
	if err == nil {
		err = topics.Error()
	}
	t := topics[s.topic]
	switch {
	case err != nil && !errors.Is(err, errUnknownTopic):
		return fmt.Errorf("describe topic %s: %w", s.topic, err)
	case err != nil || len(t.Partitions) == 0:
		return fmt.Errorf("%w: %s of service %s; run `engine topics create` with a workflow that uses the service, or remove the service here", ErrTopicMissing, s.topic, s.name)
	}
	s.partitions = int32(len(t.Partitions))
	s.setActive(s.worker.control.Load().Active[s.name], time.Now())
	if s.permits < int(s.active) {
		return fmt.Errorf("%w: concurrency of service %s is %d, but %s has %d active partitions, which each need a permit (W2); raise it to at least %d, or run `engine topics tasks %s %d`",
			ErrConfig, s.name, s.permits, s.topic, s.active, s.active, s.name, s.permits)
	}
	s.rate = s.rate.withDefaults(int(s.partitions)) // of all: their active number may rise
	if s.rate.Calls > 0 && s.rate.Burst < int(s.active) {
		return fmt.Errorf("%w: the burst of service %s is %d, but %s has %d active partitions, which each need a token (W2); raise it to at least %d, or run `engine topics tasks %s %d`",
			ErrConfig, s.name, s.rate.Burst, s.topic, s.active, s.active, s.name, s.rate.Burst)
	}
	defer close(s.made)
	client, err := s.worker.cfg.client(
		kgo.ConsumerGroup(s.group),
		kgo.ConsumeTopics(s.topic),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMinBytes(1),
		kgo.FetchMaxWait(500*time.Millisecond),
		kgo.FetchMaxBytes(fetchBytesMax),
		kgo.FetchMaxPartitionBytes(fetchPartitionBytesMax),
		kgo.DisableAutoCommit(),
		kgo.SessionTimeout(s.worker.cfg.SessionTimeout),
		kgo.HeartbeatInterval(s.worker.cfg.HeartbeatInterval),
		kgo.RebalanceTimeout(s.worker.cfg.RebalanceTimeout),
		kgo.OnPartitionsAssigned(s.onAssigned),
		kgo.OnOffsetsFetched(s.onOffsetsFetched),
		kgo.OnPartitionsRevoked(s.onRevoked),
		kgo.OnPartitionsLost(s.onLost),
	)
	if err != nil {
		return fmt.Errorf("make the consumer of service %s: %w", s.name, err)
	}
	s.client = client
	s.loops.Go(func() { s.pollLoop(s.worker.ctx) })
	s.loops.Go(func() { s.commitLoop(s.commits) })
	return nil
}

// loop is the name of pollLoop for people.
func (s *service) loop() string { return "poll of service " + s.name }

// pollLoop registers records until ctx ends.
func (s *service) pollLoop(ctx context.Context) {
	defer s.worker.cfg.Listener.end(s.loop())
	for s.waitForRoom(ctx) {
		polling, cancel := context.WithTimeout(s.gate.enter(ctx), beatEvery)
		fetches := s.client.PollRecords(polling, openMax)
		cancel()
		ready := s.register(fetches)
		s.gate.leave()
		s.pool.put(ready)
		fetches.EachError(func(topic string, partition int32, err error) {
			if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, kgo.ErrClientClosed) {
				s.log.Error("fetch", "topic", topic, "partition", partition, "err", err)
			}
		})
	}
}

// waitForRoom waits until more records may be held; false when ctx ended.
func (s *service) waitForRoom(ctx context.Context) bool {
	for {
		s.worker.cfg.Listener.beat(s.loop())
		s.mu.Lock()
		open, bytes := 0, int64(0)
		for _, p := range s.parts {
			open += p.offsets.open
			bytes += p.offsets.bytes
		}
		full := open >= max(openMax, 2*s.permits) || bytes >= openBytesMax
		s.mu.Unlock()
		if !full {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-s.room:
		case <-time.After(beatEvery):
		}
	}
}

// register gives the polled records to their partitions and returns the jobs that
// may start at once.
func (s *service) register(fetches kgo.Fetches) (ready []*job) {
	urgent := false
	s.mu.Lock()
	defer s.mu.Unlock()
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		p := s.parts[f.Partition]
		if p == nil || p.closing || f.Topic != s.topic {
			return // revoked: the next holder gets them
		}
		for _, rec := range f.Records {
			j, what, rewound := p.take(rec)
			if rewound {
				s.log.Error("Kafka lost the end of the log; reading on from there", "partition", p.id, "offset", rec.Offset, "leader_epoch", rec.LeaderEpoch)
			}
			switch what {
			case deliveryRepeated:
				s.skipped(rec, SkipRepeated)
				continue
			case deliveryFinished:
				s.skipped(rec, SkipFinished)
				s.kick(s.dirty)
				continue
			}
			if j != nil {
				ready = append(ready, j)
			}
		}
		s.pauseOrResume(p)
		urgent = urgent || p.waiting()
	})
	if urgent {
		s.kick(s.urgent)
	}
	return ready
}

func (s *service) skipped(rec *kgo.Record, reason string) {
	s.worker.cfg.Listener.recordSkipped(RecordSkipped{Service: s.name, Partition: rec.Partition, Offset: rec.Offset, Reason: reason})
}

// begin reports whether the job may be called; the partition may have gone since it
// was queued.
func (s *service) begin(j *job) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j.part.closing || j.era != j.part.rewinds {
		return false
	}
	j.part.pending++
	return true
}

// finished notes that the job's result is acknowledged.
func (s *service) finished(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j.part.offsets.finish(j.no)
	s.ended(j)
	if j.part.waiting() {
		s.kick(s.urgent)
	} else {
		s.kick(s.dirty)
	}
}

// givenUp notes that the job ended without a result: it is the next holder's.
func (s *service) givenUp(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended(j)
}

// ended is what finished and givenUp share; once per job.
func (s *service) ended(j *job) {
	if j.ended {
		return
	}
	j.ended = true
	j.part.ended(j)
	j.part.pending--
	j.part.settle()
	s.kick(s.room)
}

// onAssigned is called after each rebalance, also if it gave nothing.
func (s *service) onAssigned(context.Context, *kgo.Client, map[string][]int32) {
	<-s.made
	s.mu.Lock()
	defer s.mu.Unlock()
	s.joined = true
}

// onOffsetsFetched begins the partitions that are new to this member: the commit's
// offset and metadata say what the last holder did.
func (s *service) onOffsetsFetched(_ context.Context, _ *kgo.Client, resp *kmsg.OffsetFetchResponse) error {
	<-s.made
	begin := func(partition int32, offset int64, metadata *string, code int16) {
		if code != 0 {
			return // kgo asks again
		}
		prior := progress{Announced: offset}
		if metadata != nil && offset >= 0 {
			var err error
			if prior, err = decodeProgress(offset, *metadata); err != nil {
				s.log.Error("what the last holder finished out of order is done again", "partition", partition, "offset", offset, "err", err)
			}
		}
		s.beginPartition(partition, offset, prior)
	}
	if len(resp.Groups) == 0 { // before version 8; kgo fills both after
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				begin(p.Partition, p.Offset, p.Metadata, p.ErrorCode)
			}
		}
	}
	for _, g := range resp.Groups {
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				begin(p.Partition, p.Offset, p.Metadata, p.ErrorCode)
			}
		}
	}
	return nil
}

func (s *service) beginPartition(id int32, offset int64, prior progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.parts[id]; old != nil {
		s.drop(old, errLost)
	}
	s.parts[id] = newPartition(id, offset, prior)
	s.client.ResumeFetchPartitions(map[string][]int32{s.topic: {id}})
	s.setPermits()
	s.log.Info("partition taken", "partition", id, "offset", offset, "finished_beyond", len(prior.Finished))
}

// drop forgets a partition; s.mu is held.
func (s *service) drop(p *partition, cause error) {
	delete(s.parts, p.id)
	p.close()
	p.cancel(cause)
	s.pool.drop(p)
	s.kick(s.room)
}

// held is the number of permits that the held partitions carry (W2).
func (s *service) held() int {
	n := 0
	for id := range s.parts {
		n += s.shareOf(s.permits, id)
	}
	return n
}

// shareOf is what a held partition carries of a limit. While a change of the active
// partitions gets about, that is the smaller of its shares before and after it: whoever
// knows of it and whoever does not stay within the limit together.
func (s *service) shareOf(limit int, id int32) int {
	n := share(limit, int(s.active), id)
	if s.before > 0 {
		n = min(n, share(limit, int(s.before), id))
	}
	return n
}

// setActive takes the number of active partitions from control. It reports whether
// something has changed. s.mu is held.
func (s *service) setActive(a topology.Active, now time.Time) (changed bool) {
	active, before := a.Of(s.partitions), int32(0)
	if now.Before(a.At.Add(topology.ActiveSettles)) {
		before = topology.Active{Partitions: a.Before}.Of(s.partitions)
	}
	changed = active != s.active || before != s.before
	s.active, s.before = active, before
	return changed
}

// follow takes what control says of the service.
func (s *service) follow(a topology.Active) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.setActive(a, time.Now()) {
		return
	}
	if s.permits < int(s.active) || s.rate.Calls > 0 && s.rate.Burst < int(s.active) {
		s.log.Error("a limit is below the number of active task partitions: some of them wait; raise it, or lower the number", "concurrency", s.permits, "burst", s.rate.Burst, "active_partitions", s.active)
	}
	s.log.Info("active task partitions", "active", s.active, "before", a.Before, "by", a.By, "reason", a.Reason)
	s.setPermits()
}

// draining reports whether a partition gets no new tasks: what is left in it goes back to
// the engine, which sends it to an active one. s.mu is held.
func (s *service) draining(id int32) bool { return id >= s.active }

// heldRate is what the held partitions carry of the service's rate: calls per second, and
// their burst.
func (s *service) heldRate() (perSecond float64, burst int) {
	part := 0.0
	for id := range s.parts {
		burst += s.shareOf(s.rate.Burst, id)
		if !s.draining(id) && (s.before == 0 || id < s.before) {
			part += 1 / float64(max(s.active, s.before))
		}
	}
	return s.rate.perSecond() * part, burst
}
