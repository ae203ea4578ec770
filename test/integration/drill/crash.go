package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"github.com/odradek/odradek/internal/fault"
	"github.com/odradek/odradek/test/kafkatest"
	"github.com/odradek/odradek/test/system"
	"github.com/odradek/odradek/workflows/billing/apis"
)

// crashDrill runs test builds that kill themselves at named points, again and again,
// under load: what a kill from outside hits once in a thousand times.
type crashDrill struct {
	engine  []fault.Point // where the engine crashes, by turns; none: it does not
	worker  []fault.Point
	off     fault.Rule // that is not kept; empty: all are
	crashes int        // after so many the load ends
	load    time.Duration
	seed    uint64
}

// crashed is what came of it.
type crashed struct {
	*system.Judgement
	crashes  int
	accepted int
	open     int            // that did not close
	stuck    map[string]int // of these, by code
}

// Bounds of a crash drill. Without a rule some runs never close, and engines may
// refuse to go on: both are given a while, and the oracle judges what there is.
const (
	crashLoadMax = 30 * time.Second
	crashQuiet   = 25 * time.Second // without a crash or anything that closes: two session timeouts
	crashRate    = 25
	crashPasses  = 60 // a point is passed up to so often before the crash
)

// run runs it on a broker, in a folder and namespace of its own.
func (c crashDrill) run(ctx context.Context, bin system.Binaries, broker *kafkatest.Cluster, dir string, log *journal) (_ *crashed, err error) {
	var env []string
	if c.off != "" {
		env = append(env, "ODRADEK_RULES_OFF="+string(c.off))
	}
	ns := system.NewNamespace("crash-")
	sys, err := system.New(ctx, system.Config{
		Binaries: bin, Dir: filepath.Join(dir, ns), Kafka: map[string]string{"bootstrap.servers": broker.Seeds()[0]},
		Namespace: ns, Partitions: 2, Engines: 1, Workers: 1, Env: env, Faults: apis.Faults{FailRate: .02, LoseRate: .15, Seed: int64(c.seed)},
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sys.Close()) }()
	if err := sys.Start(ctx); err != nil {
		return nil, err
	}
	l, err := newLoad(sys, 300*time.Millisecond, log)
	if err != nil {
		return nil, err
	}
	defer l.close()
	out := &crashed{}
	if err := c.hurt(ctx, sys, l, out); err != nil {
		return nil, err
	}
	out.stuck = l.stuck(ctx)
	for _, m := range sys.Members() {
		m.SetEnv()
		if !m.Process().Running() {
			continue
		}
		if err := m.Stop(); err != nil && c.off == "" {
			return nil, err
		}
	}
	out.accepted, out.open = l.counts()
	out.Judgement, err = sys.Judge(ctx, l.months())
	return out, err
}

// hurt starts whoever has crashed until there were enough crashes, then lets all
// that was accepted close.
func (c crashDrill) hurt(ctx context.Context, sys *system.System, l *load, out *crashed) error {
	rng := rand.New(rand.NewPCG(c.seed, 2))
	arm := func(m *system.Member, points []fault.Point) {
		m.SetEnv()
		if len(points) > 0 && out.crashes < c.crashes {
			m.SetEnv(fmt.Sprintf("ODRADEK_FAULT_POINT=%s:%d", points[rng.IntN(len(points))], 1+rng.IntN(crashPasses)))
		}
	}
	watching, stopWatching := context.WithCancel(ctx)
	watched := make(chan error, 1)
	go func() { watched <- l.watch(watching) }()
	loading, stopLoading := context.WithTimeout(ctx, crashLoadMax)
	loaded := make(chan struct{})
	go func() { l.run(loading, crashRate); close(loaded) }()
	defer func() {
		stopLoading()
		stopWatching()
		_, _ = <-watched, <-loaded
	}()
	// The first processes have no point: everything has begun when crashes begin.
	for i, m := range sys.Members() {
		if points := [][]fault.Point{c.engine, c.worker}[i]; len(points) > 0 {
			if err := m.Kill(); err != nil {
				return err
			}
			arm(m, points)
			if err := m.Start(); err != nil {
				return err
			}
		}
	}
	least := time.NewTimer(c.load)
	defer least.Stop()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	loadIsOver := loading.Done()
	leastIsOver := false
	closed, quiet := 0, time.Now()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-least.C:
			leastIsOver = true
		case <-loadIsOver:
			loadIsOver, out.crashes = nil, max(out.crashes, c.crashes)
		case <-look.C:
		}
		if leastIsOver && out.crashes >= c.crashes {
			stopLoading()
		}
		for i, m := range sys.Members() {
			if m.Process().Running() {
				continue
			}
			out.crashes++
			quiet = time.Now()
			arm(m, [][]fault.Point{c.engine, c.worker}[i])
			if err := m.Start(); err != nil {
				return err
			}
		}
		accepted, open := l.counts()
		if accepted-open > closed {
			closed, quiet = accepted-open, time.Now()
		}
		select {
		case <-loaded:
			if open == 0 || time.Since(quiet) > crashQuiet {
				return nil
			}
		default:
		}
	}
}
