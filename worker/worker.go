package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/internal/kafka"
	"github.com/odradek/odradek/topology"
)

// tableRefresh is how often control is read again. A stale slot table costs a forward by
// the engine (S1), nothing else; topology.ActiveSettles is twice as long.
const tableRefresh = topology.ActiveSettles / 2

// stopGrace is what Stop may take after the calls have ended: producing, the last
// commit, leaving the groups. Without Kafka it is spent in vain.
const stopGrace = 5 * time.Second

var errUnknownTopic = kerr.UnknownTopicOrPartition

// Worker serves the tasks of services. Start it once, Stop it once; Stop before
// Start and Stop again are harmless.
type Worker struct {
	cfg      Config
	names    topology.Names
	services []*service // by name
	producer *kgo.Client
	cancels  *cancels
	status   status
	control  atomic.Pointer[kafka.Control]

	ctx       context.Context // of fetching: ended first
	stopFetch context.CancelFunc
	loops     sync.WaitGroup

	mu      sync.Mutex
	started bool
	stopped bool
	timers  map[*time.Timer]func() // of later, with what to do if they never fire
}

// New makes a worker of a valid configuration; it does no I/O.
func New(cfg Config) (*Worker, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	w := &Worker{cfg: cfg, names: topology.Names{Namespace: cfg.Namespace}, timers: map[*time.Timer]func(){}, cancels: newCancels()}
	w.ctx, w.stopFetch = context.WithCancel(context.Background())
	handlers := cfg.handlers()
	for _, name := range slices.Sorted(maps.Keys(handlers)) {
		w.services = append(w.services, newService(w, name, handlers[name]))
	}
	return w, nil
}

// Start connects, checks the topics and joins the groups. After an error nothing is
// left running. ctx bounds Start alone.
func (w *Worker) Start(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.started || w.stopped {
		return errors.New("worker was started already; make another one")
	}
	w.started = true
	if err := w.start(ctx); err != nil {
		w.stopped = true
		w.stopFetch()
		for _, s := range w.services {
			s.endCommits()
			if s.client != nil {
				s.client.Close()
				s.loops.Wait()
				s.pool.close()
			}
		}
		if w.producer != nil {
			w.producer.Close()
		}
		w.loops.Wait()
		w.status.stop(ctx)
		return err
	}
	return nil
}

func (w *Worker) start(ctx context.Context) (err error) {
	w.producer, err = w.cfg.client(
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0),
		kgo.MetadataMinAge(100*time.Millisecond), // a moved leader is found soon
	)
	if err != nil {
		return fmt.Errorf("make the producer of results: %w", err)
	}
	if err := w.readControl(ctx); err != nil {
		return err
	}
	if err := w.cancels.start(ctx, w); err != nil {
		if w.cancels.client != nil {
			w.cancels.client.Close()
		}
		return err
	}
	w.loops.Go(func() { w.cancels.loop(w.ctx, w) })
	if err := w.status.start(ctx, w); err != nil {
		return err
	}
	for _, s := range w.services {
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	w.loops.Go(w.tableLoop)
	w.loops.Go(func() { w.status.loop(w.ctx) })
	return nil
}

// readControl reads the slot table and the active task partitions.
func (w *Worker) readControl(ctx context.Context) error {
	c, err := kafka.ReadControl(ctx, w.producer, w.names)
	if err != nil {
		return fmt.Errorf("read the slot table: %w", err)
	}
	w.control.Store(&c)
	return nil
}

func (w *Worker) tableLoop() {
	tick := time.NewTicker(tableRefresh)
	defer tick.Stop()
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-tick.C:
			if err := w.readControl(w.ctx); err != nil && w.ctx.Err() == nil {
				w.cfg.Logger.Warn("slot table not read again; results may need a forward", "err", err)
			}
			for _, s := range w.services {
				s.follow(w.control.Load().Active[s.name])
			}
		}
	}
}

// route is the partition of the workflow's slot.
func (w *Worker) route(workflowID string) int32 { return w.control.Load().Table.Partition(workflowID) }

// later calls do after d, or never if the worker stops before.
func (w *Worker) later(d time.Duration, do, never func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		go never()
		return
	}
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		w.mu.Lock()
		_, ours := w.timers[t]
		delete(w.timers, t)
		w.mu.Unlock()
		if ours {
			do()
		}
	})
	w.timers[t] = never
}

// Stop stops fetching, lets running calls end for at most DrainTimeout (less if ctx
// ends sooner), produces and commits what they gave, and leaves the groups. It
// returns an error if there was no time for some of it; then the group redelivers,
// and nothing is lost.
func (w *Worker) Stop(ctx context.Context) error {
	w.mu.Lock()
	if !w.started || w.stopped {
		w.stopped = true
		w.mu.Unlock()
		return nil
	}
	w.stopped = true
	for t, never := range w.timers {
		t.Stop()
		delete(w.timers, t)
		go never()
	}
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, w.cfg.DrainTimeout+stopGrace)
	defer cancel()
	w.stopFetch()
	w.loops.Wait()
	var services sync.WaitGroup
	for _, s := range w.services {
		services.Go(func() { s.stop(ctx) })
	}
	services.Wait()
	w.status.stop(ctx)
	err := w.producer.Flush(ctx)
	w.producer.Close()
	return err
}

// ServiceStatus is a moment of one service.
type ServiceStatus struct {
	Service     string
	Joined      bool      // the group gave or refused partitions at least once
	Partitions  []int32   // held, ascending
	Permits     int       // of the held partitions (W2)
	Rate        float64   // calls per second that they carry; 0: no limit
	RateLimited bool      // queued records wait for the rate
	Running     int       // calls under way
	Queued      int       // records that wait for a permit
	KeyLimited  int       // of the queued those that wait for the turn of their keys
	Keys        int       // of limits that are remembered
	Open        int       // records delivered and not finished
	Paused      int       // partitions that are not fetched (W3)
	Breaker     string    // closed, open, half-open
	RetryAt     time.Time // when an open breaker lets the service be asked again
	LastFailure string    // that opened it

	OperatorPaused bool // an operator has paused the service: nothing is called
}

// Status gives a moment of each service, by name.
func (w *Worker) Status() []ServiceStatus {
	out := make([]ServiceStatus, 0, len(w.services))
	for _, s := range w.services {
		out = append(out, s.status())
	}
	return out
}

func (s *service) status() ServiceStatus {
	st := ServiceStatus{Service: s.name}
	s.pool.count(&st)
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Permits = s.held()
	if s.rate.Calls > 0 {
		st.Rate, _ = s.heldRate()
	}
	st.Joined, st.Breaker, st.OperatorPaused = s.joined, string(s.breaker.state), s.paused
	if s.breaker.state != breakerClosed {
		st.RetryAt, st.LastFailure = s.breaker.retryAt, s.breaker.last
	}
	st.Partitions = slices.Sorted(maps.Keys(s.parts))
	for _, p := range s.parts {
		st.Open += p.offsets.open
		if p.paused {
			st.Paused++
		}
	}
	return st
}
