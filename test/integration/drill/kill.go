package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/odradek/odradek/test/kafkatest"
	"github.com/odradek/odradek/test/system"
	"github.com/odradek/odradek/workflows/billing/apis"
)

// plan says what a kill drill does and what it must have done to mean anything.
type plan struct {
	quick   bool
	engine  int // kill -9 of an engine
	worker  int // kill -9 of a service worker
	store   int // kill -9 of an engine whose stores are deleted
	pauses  int // SIGSTOP of an engine, for longer than the session timeout
	runsMin int
	rate    int           // starts a second
	gap     time.Duration // about the time between two blows to engines
	limit   time.Duration
	bin     string // folder with the binaries; empty: they are built
}

// pauseTime is longer than the session timeout of the engines' group, 10 s.
const pauseTime = 12 * time.Second

func fullPlan() plan {
	return plan{engine: 10, worker: 6, store: 4, pauses: 2, runsMin: 3000, rate: 20, gap: 11 * time.Second, limit: 6 * time.Minute}
}

func quickPlan() plan {
	return plan{quick: true, engine: 2, worker: 1, store: 1, pauses: 1, runsMin: 300, rate: 20, gap: 8 * time.Second, limit: 90 * time.Second}
}

type kills struct {
	Engine int `json:"engine"`
	Worker int `json:"worker"`
	Store  int `json:"store"`
}

// killLine is the last line of the drill.
type killLine struct {
	Drill         string  `json:"drill"`
	Quick         bool    `json:"quick,omitempty"`
	Seed          uint64  `json:"seed"`
	Kills         kills   `json:"kills"`
	Pauses        int     `json:"pauses"`
	StoresDeleted int     `json:"stores_deleted"`
	Accepted      int     `json:"accepted"`
	Runs          int     `json:"runs"` // that closed
	Missing       int     `json:"missing"`
	Doubled       int     `json:"doubled"`
	StoreEqual    bool    `json:"store_equal"`
	Stores        int     `json:"stores"`   // that were compared
	Requests      int     `json:"requests"` // to the APIs
	Repeats       int     `json:"repeats"`  // that the APIs had had before
	Exits         int     `json:"exits"`    // of processes that ended by themselves and were started again
	Valid         bool    `json:"valid"`
	OK            bool    `json:"ok"`
	Seconds       float64 `json:"seconds"`
}

func (l *killLine) good() bool { return l.OK && l.Valid }

// killDrill is one under way.
type killDrill struct {
	plan plan
	rng  *rand.Rand
	sys  *system.System
	load *load
	log  *journal
	line killLine
	hit  *system.Member // that is down or paused
}

// kill runs the drill.
func kill(ctx context.Context, p plan, seed uint64, log *journal) (_ *killLine, err error) {
	d := &killDrill{plan: p, rng: rand.New(rand.NewPCG(seed, 1)), log: log}
	d.line.Drill, d.line.Quick, d.line.Seed = "kill", p.quick, seed
	defer func() { d.line.Seconds = log.seconds() }()
	ctx, cancel := context.WithTimeoutCause(ctx, p.limit-time.Since(log.began), fmt.Errorf("the drill did not end within %s", p.limit))
	defer cancel()
	dir, err := os.MkdirTemp("", "odradek-drill-")
	if err != nil {
		return &d.line, err
	}
	defer func() {
		if err != nil || !d.line.good() {
			log.say("logs, ledgers and stores stay in %s", dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	err = d.run(ctx, dir)
	if err != nil && ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	return &d.line, err
}

func (d *killDrill) run(ctx context.Context, dir string) (err error) {
	bin := system.In(d.plan.bin)
	if d.plan.bin == "" {
		if bin, err = system.Build(ctx, dir, ""); err != nil {
			return err
		}
	}
	broker, err := kafkatest.Launch(ctx, kafkatest.Config{Dir: filepath.Join(dir, "kafka")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	d.sys, err = system.New(ctx, system.Config{
		Binaries: bin, Dir: filepath.Join(dir, "system"), Kafka: map[string]string{"bootstrap.servers": broker.Seeds()[0]},
		Namespace: "drill", Partitions: 3, Engines: 2, Workers: 2,
		Faults: apis.Faults{FailRate: .03, LoseRate: .03, Seed: int64(d.line.Seed)},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.sys.Close()) }()
	d.log.say("Kafka is at %s; the engines start", broker.Seeds()[0])
	if err := d.sys.Start(ctx); err != nil {
		return err
	}
	if d.load, err = newLoad(d.sys, time.Second, d.log); err != nil {
		return err
	}
	defer d.load.close()
	if err := d.hurt(ctx); err != nil {
		return err
	}
	d.log.say("all members stop")
	if err := d.sys.Stop(); err != nil {
		return err
	}
	return d.judge(ctx)
}

// hurt runs the load, hurts the members meanwhile, and waits until all that was
// accepted has closed.
func (d *killDrill) hurt(ctx context.Context) error {
	watching, stopWatching := context.WithCancel(ctx)
	watched := make(chan error, 1)
	go func() { watched <- d.load.watch(watching) }()
	loading, stopLoading := context.WithCancel(ctx)
	loaded := make(chan struct{})
	go func() { d.load.run(loading, d.plan.rate); close(loaded) }()
	defer func() {
		stopLoading()
		stopWatching()
		_, _ = <-loaded, <-watched
	}()
	d.log.say("%d starts a second", d.plan.rate)
	if err := d.pause(ctx, 3*time.Second); err != nil {
		return err
	}
	for _, blow := range d.blows() {
		if err := blow(ctx); err != nil {
			return err
		}
	}
	for {
		accepted, open := d.load.counts()
		if accepted-open >= d.plan.runsMin {
			break
		}
		if err := d.pause(ctx, time.Second); err != nil {
			return fmt.Errorf("%d accepted, %d open: %w", accepted, open, err)
		}
	}
	stopLoading()
	select {
	case <-loaded:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	d.log.say("the load ends")
	for {
		accepted, open := d.load.counts()
		d.line.Accepted = accepted
		if open == 0 {
			d.log.say("all %d have closed", accepted)
			return nil
		}
		if err := d.pause(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d have not closed: %w", open, accepted, err)
		}
	}
}

// pause waits, and starts again what ended by itself, as a supervisor would.
func (d *killDrill) pause(ctx context.Context, t time.Duration) error {
	end := time.NewTimer(t)
	defer end.Stop()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-end.C:
			return nil
		case <-look.C:
		}
		for _, m := range d.sys.Members() {
			if m == d.hit || m.Process().Running() {
				continue
			}
			d.line.Exits++
			d.log.say("%s has ended by itself (%v) and is started again; its log ends with\n%s", m.Name, m.Process().State(), m.Tail())
			if err := m.Start(); err != nil {
				return err
			}
		}
	}
}

// blows are what happens to members, in the seed's order.
func (d *killDrill) blows() []func(context.Context) error {
	engines, workers := d.sys.Engines, d.sys.Workers
	any := func(ms []*system.Member) *system.Member { return ms[d.rng.IntN(len(ms))] }
	var all []func(context.Context) error
	add := func(n int, blow func(context.Context) error) {
		for range n {
			all = append(all, blow)
		}
	}
	add(d.plan.engine, func(ctx context.Context) error {
		return d.killOne(ctx, any(engines), &d.line.Kills.Engine, false, d.plan.gap)
	})
	add(d.plan.store, func(ctx context.Context) error {
		return d.killOne(ctx, any(engines), &d.line.Kills.Store, true, d.plan.gap)
	})
	add(d.plan.worker, func(ctx context.Context) error {
		return d.killOne(ctx, any(workers), &d.line.Kills.Worker, false, d.plan.gap/3)
	})
	add(d.plan.pauses, func(ctx context.Context) error { return d.pauseOne(ctx, any(engines)) })
	d.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return slices.Clip(all)
}

// killOne kills a member, starts it again after a moment, and lets a time of about
// gap pass.
func (d *killDrill) killOne(ctx context.Context, m *system.Member, count *int, wipe bool, gap time.Duration) error {
	if !m.Process().Running() { // it ended by itself this moment: pause starts it
		if err := d.pause(ctx, time.Second); err != nil {
			return err
		}
	}
	d.hit = m
	if err := m.Kill(); err != nil {
		return err
	}
	*count++
	what := ""
	if wipe {
		if err := m.Wipe(); err != nil {
			return err
		}
		d.line.StoresDeleted++
		what = " and its stores deleted"
	}
	accepted, open := d.load.counts()
	d.log.say("%s is killed%s; %d accepted, %d open", m.Name, what, accepted, open)
	if err := d.pause(ctx, time.Duration(d.rng.Int64N(int64(1500*time.Millisecond)))); err != nil {
		return err
	}
	if err := m.Start(); err != nil {
		return err
	}
	d.hit = nil
	return d.pause(ctx, gap*3/4+time.Duration(d.rng.Int64N(int64(gap/2))))
}

// pauseOne stops an engine for so long that others take its partitions, and lets it
// go on as if nothing had been.
func (d *killDrill) pauseOne(ctx context.Context, m *system.Member) error {
	d.hit = m
	if err := m.Process().Pause(); err != nil {
		return err
	}
	d.log.say("%s is paused for %s", m.Name, pauseTime)
	if err := d.pause(ctx, pauseTime); err != nil {
		return errors.Join(err, m.Process().Resume())
	}
	if err := m.Process().Resume(); err != nil {
		return err
	}
	d.hit = nil
	d.line.Pauses++
	d.log.say("%s goes on", m.Name)
	return d.pause(ctx, d.plan.gap*3/4)
}

// judge fills the line.
func (d *killDrill) judge(ctx context.Context) error {
	j, err := d.sys.Judge(ctx, d.load.months())
	l := &d.line
	l.Runs, l.Missing, l.Doubled, l.StoreEqual, l.Stores = j.Runs, j.Missing, j.Doubled, j.StoreEqual, j.Stores
	l.Requests, l.Repeats = j.Requests, j.Repeats
	for _, p := range j.Problems {
		d.log.say("wrong: %s", p)
	}
	if err != nil {
		return fmt.Errorf("judge: %w", err)
	}
	p := d.plan
	l.Valid = l.Kills == kills{p.engine, p.worker, p.store} && l.Pauses == p.pauses && l.StoresDeleted == p.store && l.Runs >= p.runsMin
	l.OK = j.OK() && l.StoreEqual
	d.log.say("%d requests to the APIs, %d of them repeats; %d attempts of tasks; %d stores compared", j.Requests, j.Repeats, j.Tasks, j.Stores)
	return nil
}
