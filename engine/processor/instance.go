package processor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/statestore"
	"github.com/odradek/odradek/topology"
)

// Instance is one member of the deployment: it owns the partitions that the group
// gives it, and answers for them. Start once, Stop once or more; every other
// method may be called from any goroutine at any time.
type Instance struct {
	cfg   Config
	names *topicNames

	plain    *kgo.Client // commands, status rows, requests
	group    *group
	balancer *balancer
	owners   *owners
	services servicesLook
	restore  chan struct{} // holds a token per lane that restores
	hung     atomic.Int64
	failed   chan error

	ctx     context.Context
	cancel  context.CancelFunc
	routine sync.WaitGroup

	mu       sync.Mutex
	lanes    map[int32]*lane
	refused  map[int32]time.Time           // until when
	stores   map[int32]int64               // changelog positions on disk
	open     map[int32]map[string][]uint32 // versions with open runs, by partition
	started  bool
	stopped  bool
	stopOnce sync.Once
	stopErr  error
}

// New checks the configuration. It does no I/O.
func New(cfg Config) (*Instance, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	l, stores := cfg.Limits.WithDefaults(), cfg.Partition.Table.Partitions
	cfg.ports.cache = statestore.NewCache(statestore.CacheConfig{
		Bytes: l.StoreCacheBytes, Stores: int(stores), MemTableBytes: l.memTableBytes(stores),
	})
	i := &Instance{
		cfg: cfg.WithDefaults(), lanes: map[int32]*lane{}, refused: map[int32]time.Time{}, stores: map[int32]int64{}, open: map[int32]map[string][]uint32{},
		failed: make(chan error, 1),
	}
	i.names = newTopicNames(i.cfg.Names, i.cfg.Partition.Services)
	i.restore = make(chan struct{}, i.cfg.Limits.TakeoversMax)
	i.balancer = &balancer{topic: i.names.topics[record.TopicCommands], partitions: i.cfg.Partition.Table.Partitions, me: i.memberData}
	i.owners = newOwners(&i.cfg, i.names)
	i.ctx, i.cancel = context.WithCancel(context.Background())
	return i, nil
}

// SetActive says how many task partitions of each service get new tasks, where not all do
// (W2). Lanes follow with their next batch.
func (i *Instance) SetActive(active map[string]topology.Active) { i.cfg.active.Store(&active) }

// Start joins the group; lanes start as it gives partitions. ctx bounds the start
// only.
func (i *Instance) Start(ctx context.Context) (err error) {
	i.mu.Lock()
	if i.started || i.stopped {
		i.mu.Unlock()
		return errors.New("an Instance starts once")
	}
	i.started = true
	i.mu.Unlock()
	if i.plain, err = i.cfg.plain(kgo.MaxBufferedRecords(1 << 16)); err != nil {
		return fmt.Errorf("make the instance's Kafka client: %w", err)
	}
	if err := i.owners.start(ctx, i.ctx, i.plain, &i.routine); err != nil {
		return err
	}
	i.readStores()
	if err := i.join(); err != nil {
		return err
	}
	i.routine.Go(i.report)
	i.routine.Go(i.purge)
	i.routine.Go(i.watchInputs)
	i.routine.Go(i.watchLost)
	return nil
}

// join joins the group, which calls back from now on. Its calls wait for the lock,
// and so find the group set.
func (i *Instance) join() (err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.stopped {
		return errors.New("the Instance was stopped while it started")
	}
	i.group, err = joinGroup(&i.cfg, i.names.topics[record.TopicCommands], i.balancer, i)
	return err
}

// Stop ends all lanes, each after its batches on their way or StopTimeout, leaves
// the group and closes everything. It is idempotent, and safe before Start.
func (i *Instance) Stop(ctx context.Context) error {
	i.stopOnce.Do(func() { i.stopErr = i.stop(ctx) })
	return i.stopErr
}

func (i *Instance) stop(ctx context.Context) error {
	i.mu.Lock()
	i.stopped = true
	started, group := i.started, i.group
	i.mu.Unlock()
	i.cancel()
	defer i.cfg.ports.cache.Close() // when the last store is closed
	if !started {
		return nil
	}
	i.release(i.partitions(), false)
	var err error
	if group != nil {
		err = group.leave(ctx)
	}
	i.routine.Wait()
	if i.plain != nil {
		i.owners.bye(ctx)
		i.plain.CloseAllowingRebalance()
	}
	return err
}

// Failed gives the error for which the process should be restarted: too many
// goroutines hang in workflow code, or the clock is off. Nothing else comes.
func (i *Instance) Failed() <-chan error { return i.failed }

func (i *Instance) fail(err error) {
	select {
	case i.failed <- err:
	default:
	}
}

func (i *Instance) partitions() []int32 {
	i.mu.Lock()
	defer i.mu.Unlock()
	ps := make([]int32, 0, len(i.lanes))
	for p := range i.lanes {
		ps = append(ps, p)
	}
	slices.Sort(ps)
	return ps
}

// held gives the lanes by partition.
func (i *Instance) held() map[int32]*lane {
	i.mu.Lock()
	defer i.mu.Unlock()
	return maps.Clone(i.lanes)
}

// stepping leaves those that step.
func stepping(lanes map[int32]*lane) map[int32]*lane {
	maps.DeleteFunc(lanes, func(_ int32, l *lane) bool { return !l.progress.running() })
	return lanes
}

// every calls do with the lanes that are held, after each pause, until the instance stops.
// A negative pause: never.
func (i *Instance) every(pause time.Duration, do func(lanes map[int32]*lane)) {
	if pause < 0 {
		return
	}
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-i.ctx.Done():
			return
		case <-tick.C:
			do(i.held())
		}
	}
}

// look lets a look at Kafka end within watchTimeout, and tells what went wrong.
func (i *Instance) look(what string, look func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(i.ctx, watchTimeout)
	defer cancel()
	if err := look(ctx); err != nil && i.ctx.Err() == nil {
		tell(i.cfg.Listener.Warning, WarningInfo{what, err})
	}
}

// assigned starts lanes. The group calls it.
func (i *Instance) assigned(ps []int32) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.stopped {
		return
	}
	for _, p := range ps {
		if p >= i.cfg.Partition.Table.Partitions || i.lanes[p] != nil {
			continue
		}
		l := newLane(&i.cfg, p, i.names, i)
		i.lanes[p] = l
		l.start(i.ctx)
		i.routine.Go(func() {
			<-l.done
			if err := l.progress.failure(); errors.Is(err, ErrTooManyHung) {
				i.fail(err)
			}
		})
	}
}

// revoked ends lanes. The group calls it and waits, so that the next owner finds
// nothing open. Lost partitions are somebody else's already; their lanes end the
// same way, because whatever they still do is fenced.
func (i *Instance) revoked(ps []int32, lost bool) { i.release(ps, lost) }

func (i *Instance) release(ps []int32, _ bool) {
	var ending []*lane
	i.mu.Lock()
	for _, p := range ps {
		if l := i.lanes[p]; l != nil {
			l.halt()
			ending = append(ending, l)
		}
	}
	i.mu.Unlock()
	for _, l := range ending {
		<-l.done
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, l := range ending {
		delete(i.lanes, l.partition)
		delete(i.open, l.partition)
		if at := l.progress.changelog(); at > 0 { // 0: it never took over, and the store is as it was
			i.stores[l.partition] = at
		}
	}
}

func (i *Instance) lane(p int32) *lane {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.lanes[p]
}

// The lanes' host.

func (i *Instance) confirm(ctx context.Context, p int32) error { return i.group.confirm(ctx, p) }

func (i *Instance) giveBack(p int32) {
	until := time.Now().Add(i.cfg.Limits.GiveBack)
	i.mu.Lock()
	i.refused[p] = until
	i.mu.Unlock()
	i.group.cl.ForceRebalance()
}

func (i *Instance) tookOver(l *lane) { i.owners.claim(l.partition) }

func (i *Instance) abandoned() int { return int(i.hung.Add(1)) }

func (i *Instance) restoring(ctx context.Context) (func(), error) {
	select {
	case i.restore <- struct{}{}:
		return func() { <-i.restore }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// memberData is what the balancer is told of this member.
func (i *Instance) memberData() memberData {
	d := memberData{Instance: i.cfg.InstanceID, Build: i.cfg.Partition.Build, Types: map[string][]uint32{}, Stores: map[int32]int64{}, Open: map[int32]map[string][]uint32{}}
	for _, def := range i.cfg.Partition.Definitions {
		d.Types[def.Type()] = append(d.Types[def.Type()], def.Version())
	}
	now := time.Now()
	i.mu.Lock()
	defer i.mu.Unlock()
	for p, at := range i.stores {
		d.Stores[p] = at
	}
	for p, l := range i.lanes {
		d.Stores[p] = max(d.Stores[p], l.progress.changelog()) // 0 until its first takeover
	}
	for p, open := range i.open {
		d.Open[p] = open
	}
	for p, until := range i.refused {
		if now.Before(until) {
			d.Refused = append(d.Refused, p)
		} else {
			delete(i.refused, p)
		}
	}
	slices.Sort(d.Refused)
	return d
}

// Partition is the partition to which a workflow belongs.
func (i *Instance) Partition(workflowID string) int32 {
	return i.cfg.Partition.Table.Partition(workflowID)
}

// Owner says at which address a partition is processed, and whether that is this
// instance. ok is false while nobody is known.
func (i *Instance) Owner(p int32) (addr string, self, ok bool) {
	if l := i.lane(p); l != nil && l.progress.running() {
		return i.cfg.AdvertisedAddr, true, true
	}
	row, ok := i.owners.owner(p)
	return row.Addr, ok && row.Instance == i.cfg.InstanceID, ok
}

// Store gives the settled rows of a partition that this instance processes. The
// store is closed when the partition goes; reads then return an error.
func (i *Instance) Store(p int32) (*statestore.Store, bool) {
	l := i.lane(p)
	if l == nil || !l.progress.running() {
		return nil, false
	}
	s, ok := l.getStore().(diskStore)
	return s.Store, ok && s.Store != nil
}

// LaneStatus describes one lane.
type LaneStatus struct {
	Partition   int32
	State       State
	Since       time.Time // when it came into the state
	Error       string    // why the last tenure ended; empty since the next commit
	LastCommit  time.Time
	Takeovers   int
	Positions   record.Positions // settled
	RestoreLeft int64            // changelog offsets
	LagCommands int64            // records, as of the last fetch
	LagEvents   int64
	LagInternal int64
	// Inputs are the topics that the lane reads, the changelog too.
	Inputs map[record.Topic]InputStatus
}

// InputStatus is what is known of a topic's partition beside its lane, as of the last
// look (Limits.WatchEvery).
type InputStatus struct {
	Oldest  time.Time // time of the oldest record that is not processed; zero: none is older than a look
	Stalled time.Time // since when its last stable offset stands below the end; zero: it does not (P9)
}

// InstanceStatus describes the instance.
type InstanceStatus struct {
	Instance   string
	Addr       string
	Generation int32 // of the group; -1: not a member
	Ready      bool  // a member, and each lane works or stands with an incident
	Abandoned  int   // goroutines that hang in workflow code
	Lanes      []LaneStatus
}

// Status describes the instance and its lanes, by partition.
func (i *Instance) Status() InstanceStatus {
	s := InstanceStatus{Instance: i.cfg.InstanceID, Addr: i.cfg.AdvertisedAddr, Generation: -1, Abandoned: int(i.hung.Load())}
	i.mu.Lock()
	for p, l := range i.lanes {
		s.Lanes = append(s.Lanes, l.progress.status(p))
	}
	g := i.group
	i.mu.Unlock()
	if g != nil {
		_, s.Generation = g.cl.GroupMetadata()
	}
	s.Ready = s.Generation >= 0
	slices.SortFunc(s.Lanes, func(a, b LaneStatus) int { return int(a.Partition - b.Partition) })
	for _, l := range s.Lanes {
		s.Ready = s.Ready && (l.State == StateRunning || l.State == StateIncident)
	}
	return s
}
