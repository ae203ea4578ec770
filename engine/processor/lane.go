package processor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/odradek/odradek/internal/fault"
	"github.com/odradek/odradek/record"
)

// How a lane that failed tries again (P3).
const (
	takeoverPauseMin = 50 * time.Millisecond
	takeoverPauseMax = 5 * time.Second
	// failuresMax takeovers without a commit give the partition back.
	failuresMax = 5
	// refusalsMax is how often an input fails alone, for what it is, before it
	// becomes a dead letter (P5).
	refusalsMax = 3
)

// lane processes one owned partition until it is stopped. Its goroutine takes over,
// watches the step while the tenure lasts, judges how it ended, and takes over
// again. doc.go draws the states.
type lane struct {
	cfg       *Config
	partition int32
	names     *topicNames
	waiters   *waiters
	queries   *queries
	progress  progress
	host      host

	stop context.CancelCauseFunc
	done chan struct{}

	// Owned by the lane's goroutine.
	takeovers  int
	failures   int  // takeovers since the last commit
	firstBatch int  // bound of the first batch after a takeover; 0: none (P5)
	rewound    bool // a test control: the next takeover does not restore
	blame      blame
	crashes    crashes

	mu    sync.Mutex
	store Store // set by the lane's goroutine; read by others
	sent  *sent // of the tenure, the same
}

// host is what a lane needs from its instance.
type host interface {
	// confirm returns once the group has said, after the call, that the partition is
	// this instance's (P3); an error if it is not.
	confirm(ctx context.Context, partition int32) error
	// giveBack offers the partition to others.
	giveBack(partition int32)
	// tookOver is called after each takeover.
	tookOver(l *lane)
	// abandoned counts a goroutine that hangs in author code and gives their number.
	abandoned() int
	// restoring bounds how many lanes restore at a time.
	restoring(ctx context.Context) (release func(), err error)
}

// blame remembers, across takeovers, what the next tenure must do with care.
type blame struct {
	refused   map[record.Origin]int           // inputs that failed alone, and how often
	poison    map[record.Origin]undeliverable // inputs that become dead letters
	runs      map[record.RunID]int            // runs whose due entry failed alone
	condemned map[record.RunID]undeliverable  // code and detail
	starts    map[record.Origin]undeliverable // the same, of runs that such an input would start
	targets   []undeliverable

	hung     record.RunID   // whose code hung last
	alone    *record.Origin // an input that is stepped alone: its run hung
	aloneDue bool           // due entries are stepped one by one: one of them hung
}

func newLane(cfg *Config, p int32, names *topicNames, h host) *lane {
	l := &lane{cfg: cfg, partition: p, names: names, host: h, done: make(chan struct{})}
	l.waiters, l.queries = newWaiters(), newQueries()
	l.progress.init(cfg.Clock)
	l.crashes = crashes{cfg: cfg, partition: p, path: cfg.ports.crashNote(p)}
	l.blame = blame{refused: map[record.Origin]int{}, poison: map[record.Origin]undeliverable{}, runs: map[record.RunID]int{}, condemned: map[record.RunID]undeliverable{}, starts: map[record.Origin]undeliverable{}}
	return l
}

// start runs the lane until halt.
func (l *lane) start(ctx context.Context) {
	ctx, l.stop = context.WithCancelCause(ctx)
	go func() {
		defer close(l.done)
		defer l.waiters.close()
		err := l.run(ctx)
		l.progress.failed(err)
		clean := errors.Is(err, errStopped)
		if !isCrash(err) {
			l.crashes.end()
			if e := l.closeStore(); e != nil && clean {
				err, clean = e, false
			}
		}
		l.progress.state(StateReleased)
		if clean {
			err = nil
		}
		tell(l.cfg.Listener.Released, ReleaseInfo{Partition: l.partition, Clean: clean, Err: err})
	}()
}

// halt stops the lane; done is closed when it has.
func (l *lane) halt() { l.stop(errStopped) }

// run is the lane's life: one tenure after the other.
func (l *lane) run(ctx context.Context) error {
	for {
		err := l.tenure(ctx)
		if isCrash(err) {
			l.progress.failed(err)
			return err
		}
		if ctx.Err() != nil {
			return err
		}
		pause, err := l.judge(ctx, err)
		if err != nil {
			return err
		}
		if !sleep(ctx, pause) {
			return errStopped
		}
	}
}

// tenure takes over and works until something ends it.
func (l *lane) tenure(ctx context.Context) error {
	release, err := l.host.restoring(ctx)
	if err != nil {
		return errStopped
	}
	t, err := l.takeover(ctx)
	release()
	if err != nil {
		return err
	}
	defer t.close()
	l.progress.state(StateRunning)
	l.host.tookOver(l)
	l.waiters.recovered(l.progress.positions().Commands.Offset)
	l.queries.again()
	return t.serve(ctx)
}

// judge says what follows from the end of a tenure: a pause before the next
// takeover, or the end of the lane. Every doubt is answered by a takeover.
func (l *lane) judge(ctx context.Context, err error) (time.Duration, error) {
	l.progress.failed(err)
	l.failures++
	l.firstBatch = 1
	info := LaneError{Partition: l.partition, Err: err, Pause: l.pause()}
	if l.cfg.Fault.Off(fault.Rewind) && errors.Is(err, ErrOutcomeUnknown) {
		l.rewound = true
	}
	var (
		inc     *incidentError
		undeliv *undeliverableError
		hung    *hungError
		ref     *refusedInput
	)
	switch {
	case errors.As(err, &inc):
		l.progress.state(StateIncident)
		tell(l.cfg.Listener.Incident, info)
		<-ctx.Done()
		return 0, errStopped
	case errors.As(err, &undeliv):
		l.failures--
		l.undeliverable(undeliv)
		return 0, nil
	case errors.As(err, &hung):
		l.failures--
		return 0, l.hung(hung)
	case errors.As(err, &ref):
		l.refused(ref)
	case errors.Is(err, ErrFenced):
		l.progress.state(StateFenced)
		tell(l.cfg.Listener.Fenced, info)
		if !sleep(ctx, info.Pause) {
			return 0, errStopped
		}
		info.Pause = 0
		if l.host.confirm(ctx, l.partition) != nil {
			return 0, errStopped
		}
	case errors.Is(err, ErrOutcomeUnknown):
		tell(l.cfg.Listener.Unknown, info)
	default:
		tell(l.cfg.Listener.Failed, info)
		if e := l.closeStore(); e != nil { // it may be what failed
			tell(l.cfg.Listener.Failed, LaneError{Partition: l.partition, Err: e})
		}
	}
	l.progress.state(StateWaiting)
	if l.failures >= failuresMax && l.failures%failuresMax == 0 {
		tell(l.cfg.Listener.GaveBack, info)
		l.host.giveBack(l.partition)
	}
	return info.Pause, nil
}

// pause is 50ms, doubling to 5s, each half random.
func (l *lane) pause() time.Duration {
	d := min(l.cfg.ports.pauseMin<<min(max(l.failures-1, 0), 8), takeoverPauseMax)
	return d/2 + rand.N(d/2)
}

// undeliverable remembers what cannot be written: the next step knows (P5).
func (l *lane) undeliverable(e *undeliverableError) {
	for _, u := range e.outputs {
		tell(l.cfg.Listener.Undeliverable, UndeliveredInfo{Partition: l.partition, Topic: u.topic, Service: u.service, Code: u.code, Detail: u.detail})
		known := false
		for i := range l.blame.targets {
			known = known || l.blame.targets[i].service == u.service && l.blame.targets[i].topic == u.topic
		}
		if !known {
			l.blame.targets = append(l.blame.targets, u)
		}
	}
}

// refusedInput is the end of a tenure whose batch had one input, or due entries of
// one run, and was refused for what it is.
type refusedInput struct {
	input *record.Origin
	run   record.RunID
	err   error
}

func (e *refusedInput) Error() string { return e.err.Error() }
func (e *refusedInput) Unwrap() error { return e.err }

// refused counts, and after the third time takes the input out of the way (P5).
func (l *lane) refused(e *refusedInput) {
	if e.input != nil {
		l.blame.refused[*e.input]++
		if l.blame.refused[*e.input] < refusalsMax {
			return
		}
		delete(l.blame.refused, *e.input)
		l.blame.poison[*e.input] = undeliverable{code: "input_refused", detail: fmt.Sprintf("what this record leads to was refused %d times: %v", refusalsMax, e.err)}
		tell(l.cfg.Listener.Refused, RefusedInfo{Partition: l.partition, Origin: *e.input, Run: e.run, Err: e.err})
		return
	}
	l.blame.runs[e.run]++
	if l.blame.runs[e.run] < refusalsMax {
		return
	}
	delete(l.blame.runs, e.run)
	l.blame.condemned[e.run] = undeliverable{code: "output_refused", detail: e.err.Error()}
	tell(l.cfg.Listener.Refused, RefusedInfo{Partition: l.partition, Run: e.run, Err: e.err})
}

// hung counts a strike against a run; the second, alone in its batch, condemns it.
func (l *lane) hung(e *hungError) error {
	n := l.host.abandoned()
	if e.query != nil { // it fails alone (I3)
		e.query.answer(queryReply{Answer: record.Answer{Run: e.run, Outcome: record.OutcomeUnanswered, Detail: fmt.Sprintf("query %q did not come back: look for a loop without end, a lock, or I/O in its code", e.query.name)}})
		l.queries.forget(e.query)
		tell(l.cfg.Listener.Hung, HungInfo{Partition: l.partition, Run: e.run, Abandoned: n})
		if n > l.cfg.Limits.AbandonedMax {
			return ErrTooManyHung
		}
		return nil
	}
	again := l.blame.hung == e.run || l.blame.alone != nil && e.input != nil && *l.blame.alone == *e.input
	condemned := e.alone && again
	info := HungInfo{Partition: l.partition, Run: e.run, Abandoned: n, Condemned: condemned}
	if condemned {
		why := undeliverable{code: "hang", detail: "the code did not come back from a turn, twice, the second time alone: look for a loop without end, a lock, or I/O in workflow code"}
		l.blame.condemned[e.run] = why
		if e.input != nil {
			// The run may be one that this input was about to start: stepped again, at
			// another time, it gets another ID.
			l.blame.starts[*e.input] = why
		}
		l.blame.hung, l.blame.alone, l.blame.aloneDue = record.RunID{}, nil, false
	} else {
		l.blame.hung, l.blame.alone, l.blame.aloneDue = e.run, e.input, e.input == nil
	}
	tell(l.cfg.Listener.Hung, info)
	if n > l.cfg.Limits.AbandonedMax {
		return ErrTooManyHung
	}
	return nil
}

// committed notes that the tenure has brought something to an end.
func (l *lane) committed() { l.failures = 0 }

func (l *lane) setStore(s Store) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.store = s
}

// out gives what the tenure has sent, and the store of it; nil before the first.
func (l *lane) out() (*sent, Store) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent, l.store
}

func (l *lane) setSent(s *sent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = s
}

func (l *lane) getStore() Store {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.store
}

func (l *lane) closeStore() error {
	s := l.getStore()
	if s == nil {
		return nil
	}
	l.setStore(nil)
	if err := s.Close(); err != nil {
		return fmt.Errorf("close the store of partition %d: %w", l.partition, err)
	}
	return nil
}

// sleep waits and reports whether the context is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
