package processor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
)

// tenure is what one takeover won: the right to write, until the first doubt. The
// step goroutine owns its fields while it runs; the lane's goroutine before and
// after.
type tenure struct {
	committer
	lane    *lane
	stepper Stepper
	readers [2]*reader // events and internal; commands
	reading sync.WaitGroup
	unread  context.CancelFunc

	in       inputs
	local    *locals
	sent     *sent            // the attempts that are out (W4)
	next     record.Positions // behind the inputs that were stepped
	founding *batch           // of the partition's first start; nil later
	flight   []*batch         // unsettled, oldest first
	batchMax int              // grows to the limit after an error takeover; 0: the limit (P5)
	last     time.Time        // of the last batch
	beaten   time.Time        // the last sign of life
	active   *map[string]topology.Active

	current *record.Record // being stepped; nil: due entries
	alone   bool           // and nothing else is in the open batch
	asking  *query         // being asked; nil: none
	stepped chan error
	guard   guard // who owns the tenure when author code hangs (C3)
}

// open makes the step and the readers. Input is not read before: what a takeover
// would throw away is not worth fetching.
func (t *tenure) open(cp record.Checkpoint) error {
	l, cfg, from := t.lane, t.lane.cfg, cp.Inputs
	s, err := cfg.ports.stepper(l.partition, l.store)
	if err != nil {
		return fmt.Errorf("make the step of partition %d: %w", l.partition, err)
	}
	t.stepper, t.next, t.last = s, from, time.Now()
	t.sent = newSent(cfg.Partition.Services, from.Now)
	t.next.Now++ // a time tells in which tenure an attempt went out
	l.setSent(t.sent)
	b := &batch{}
	b.info.begun = t.last
	t.followActive()
	s.Begin(t.now())
	s.Claim() // at the partition's first start, its slots (S1)
	t.founding = t.finish(b, s.Finish())
	for _, u := range l.blame.targets {
		t.stepper.Undeliverable(u.topic, u.service, u.code, u.detail)
	}
	for run, why := range l.blame.condemned {
		t.stepper.Condemn(run, why.code, why.detail)
	}
	l.blame.targets = nil
	l.progress.recovered(cp)
	t.stepped = make(chan error, 1)
	t.local = newLocals(l.cfg.ports.places, l.cfg.Listener.Warning)
	if t.readers[0], err = t.reader(map[record.Topic]record.Position{record.TopicEvents: from.Events, record.TopicInternal: from.Internal}); err != nil {
		return err
	}
	t.readers[1], err = t.reader(map[record.Topic]record.Position{record.TopicCommands: from.Commands})
	return err
}

func (t *tenure) reader(from map[record.Topic]record.Position) (*reader, error) {
	l := t.lane
	cl, err := l.cfg.reader(l.partition, from, kgo.KeepControlRecords())
	if err != nil {
		return nil, fmt.Errorf("make a reader of partition %d: %w", l.partition, err)
	}
	r := &reader{cl: cl, fault: l.cfg.Fault, out: make(chan fetched, 1), done: make(chan struct{})}
	for topic, pos := range from {
		r.names[r.n] = inputTopic{name: l.names.topics[topic], topic: topic, next: pos, lag: l.progress.lag(topic)}
		r.n++
	}
	return r, nil
}

// serve steps until ctx ends, or something does.
func (t *tenure) serve(ctx context.Context) error {
	reading, unread := context.WithCancel(ctx)
	t.unread = unread
	for _, r := range t.readers {
		t.reading.Go(func() { r.run(reading) })
	}
	go t.run(ctx)
	defer func() { tell(t.lane.cfg.Listener.End, t.loop()) }()
	return t.watch()
}

// run is the step goroutine with its own recover (C3). One that hung and comes back
// arrives here by Goexit, and the tenure is no longer its own.
func (t *tenure) run(ctx context.Context) {
	err := errors.New("it ended by Goexit")
	defer func() {
		p := recover()
		if t.guard.abandoned() {
			t.stepper.Close() // the parked runs in it are nobody else's
			return
		}
		if p != nil {
			err = fmt.Errorf("partition %d: the step panicked: %v\n%s", t.partition, p, debug.Stack())
		}
		t.stepped <- err
	}()
	err = t.steps(ctx)
}

// steps: it follows what has settled, steps what is there,
// and waits for more. It never lingers: a batch is what came while the ones before
// were on their way.
func (t *tenure) steps(ctx context.Context) error {
	idle := time.NewTimer(time.Hour)
	defer idle.Stop()
	if t.founding != nil {
		t.launch(t.founding)
	}
	for {
		t.beat()
		if err := t.follow(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return t.drain()
		}
		if len(t.flight) < t.depth() {
			b, err := t.step()
			if err != nil {
				return t.failed(err)
			}
			if b != nil {
				t.launch(b)
				continue
			}
		}
		if err := t.wait(ctx, idle); err != nil {
			return t.failed(err)
		}
	}
}

// beatEvery is how often the step shows that it is alive, at least: it wakes for it.
const beatEvery = 10 * time.Second

func (t *tenure) beat() {
	if now := time.Now(); now.Sub(t.beaten) > time.Second {
		t.beaten = now
		tell(t.lane.cfg.Listener.Beat, t.loop())
	}
}

func (t *tenure) loop() string { return fmt.Sprintf("step of partition %d", t.partition) }

// depth is how many batches may be on their way: one, while it is not known which
// input kills the process.
func (t *tenure) depth() int {
	if t.lane.crashes.careful > 0 {
		return 1
	}
	return depth
}

// launch sends a batch on its way.
func (t *tenure) launch(b *batch) {
	var prev *batch
	if n := len(t.flight); n > 0 {
		prev = t.flight[n-1]
	}
	t.flight = append(t.flight, b)
	t.sent.launched(b)
	t.last = b.info.begun
	t.send(b, prev)
}

// follow settles what is settled, oldest first. The first error is the reason why
// the tenure ends; what is behind it is discarded with it.
func (t *tenure) follow() error {
	for len(t.flight) > 0 {
		b := t.flight[0]
		select {
		case <-b.settled.open:
		default:
			return nil
		}
		if err := t.settle(b); err != nil {
			return t.why(b, err)
		}
		t.flight = t.flight[:copy(t.flight, t.flight[1:])]
		t.lane.committed()
		t.lane.crashes.settled()
		if t.batchMax > 0 { // a commit after an error: the next batch may be twice as large (P5)
			if t.batchMax *= 2; t.batchMax >= t.lane.cfg.Limits.BatchInputsMax {
				t.batchMax = 0
			}
		}
		t.lane.forgive(b)
	}
	return nil
}

// why adds to a refusal which input it is about, if there is only one.
func (t *tenure) why(b *batch, err error) error {
	ref, ok := errors.AsType[*refusedError](err)
	if !ok || b.inputs > 1 {
		return err
	}
	e := &refusedInput{input: b.first, err: err}
	if ref.output >= 0 {
		e.run = b.Outputs[ref.output].Run
	}
	if e.input == nil && e.run.IsZero() {
		return err
	}
	return e
}

// forgive forgets what was held against the input of a batch that has settled.
func (l *lane) forgive(b *batch) {
	if b.Counts.Stuck > 0 {
		clear(l.blame.condemned)
	}
	if b.first == nil {
		return
	}
	delete(l.blame.refused, *b.first)
	delete(l.blame.poison, *b.first)
	delete(l.blame.starts, *b.first)
	if l.blame.alone != nil && *l.blame.alone == *b.first {
		l.blame.alone, l.blame.hung = nil, record.RunID{}
	}
}

// failed ends the tenure for a reason of the step's; batches on their way may yet
// commit, and those that did are followed.
func (t *tenure) failed(err error) error {
	if e := t.drain(); e != nil && !errors.Is(e, errStopped) {
		return e
	}
	return err
}

// drain waits for the batches on their way, for a bounded time: what does not end
// in it is decided by the next takeover, here or elsewhere.
func (t *tenure) drain() error {
	timeout := time.NewTimer(t.lane.cfg.Limits.StopTimeout)
	defer timeout.Stop()
	for len(t.flight) > 0 {
		select {
		case <-t.flight[0].settled.open:
			if err := t.follow(); err != nil {
				return err
			}
		case <-timeout.C:
			return fmt.Errorf("stop with %d batches open: %w", len(t.flight), ErrOutcomeUnknown)
		}
	}
	return errStopped
}

// wait sleeps until there is something to do.
func (t *tenure) wait(ctx context.Context, timer *time.Timer) error {
	var settled <-chan struct{}
	if len(t.flight) > 0 {
		settled = t.flight[0].settled.open
	}
	events, commands, local, lost, queries := t.readers[0].out, t.readers[1].out, t.local.wake, t.sent.wake, t.lane.queries.wake
	if len(t.flight) >= t.depth() {
		events, commands, local, lost, queries = nil, nil, nil, nil, nil
	}
	pause, err := t.untilDue()
	if err != nil {
		return err
	}
	timer.Reset(pause)
	select {
	case <-ctx.Done():
	case <-settled:
	case <-timer.C:
	case <-local:
	case <-lost:
	case <-queries:
	case f := <-events:
		return t.take(f)
	case f := <-commands:
		return t.take(f)
	}
	return nil
}

// untilDue is how long nothing comes due by itself.
func (t *tenure) untilDue() (time.Duration, error) {
	pause := beatEvery
	if every := t.lane.cfg.Limits.IdleCheck; every > 0 && len(t.flight) == 0 {
		pause = min(pause, time.Until(t.last.Add(every)))
	}
	if len(t.flight) >= t.depth() {
		return pause, nil
	}
	due, ok, err := t.stepper.NextDue()
	if err != nil {
		return 0, err
	}
	if ok {
		pause = min(pause, due.Time().Sub(t.lane.cfg.Clock()))
	}
	return max(pause, 0), nil
}

func (t *tenure) take(f fetched) error {
	if f.err != nil {
		return f.err
	}
	t.in.push(f.records)
	return nil
}

// close ends the tenure: every client is closed, none is ever used again (P2),
// and whatever is open with them is decided by the next takeover. It does not wait
// for a goroutine that hangs in author code.
func (t *tenure) close() {
	if t.unread != nil {
		t.unread()
	}
	if t.local != nil {
		t.local.stop()
	}
	var closing sync.WaitGroup
	for _, r := range t.readers {
		if r != nil {
			closing.Go(r.cl.CloseAllowingRebalance)
		}
	}
	for i := range t.producers {
		if cl := t.producers[i].cl; cl != nil {
			closing.Go(cl.Close)
		}
	}
	closing.Wait()
	t.reading.Wait()
	t.busy.Wait()
	if t.stepper != nil && !t.guard.abandoned() {
		t.stepper.Close()
	}
}
