package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/test/kafkatest"
)

const rowChainExternal = "chain-external"

type config struct {
	row        string
	reps       int
	quick      bool
	partitions int
	results    string
	profile    string
}

// levels are the numbers of workflows in flight.
var levels = []int{1, 64, 1000, 4000}

// times of a measurement: warm is before each load, jvm before all of them.
type times struct{ jvm, side, warm, measure time.Duration }

func (c config) times() times {
	if c.quick {
		return times{jvm: 3 * time.Second, side: 4 * time.Second, warm: 300 * time.Millisecond, measure: 1500 * time.Millisecond}
	}
	return times{jvm: 10 * time.Second, side: 12 * time.Second, warm: time.Second, measure: 4 * time.Second}
}

func cores() int { return runtime.NumCPU() }

// measure is the row from the broker's start to the oracle's word.
func (c config) measure(ctx context.Context) (err error) {
	if c.quick {
		c.reps = min(c.reps, 2)
	}
	b := &bed{cfg: c}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "odradek-bench-"); err != nil {
		return err
	}
	b.cluster, err = kafkatest.Launch(ctx, kafkatest.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.cluster.Close()) }()
	if b.admin, err = kgo.NewClient(kgo.SeedBrokers(b.cluster.Seeds()...)); err != nil {
		return err
	}
	defer b.admin.Close()
	defer func() { err = errors.Join(err, b.procs.Close()) }()
	t := c.times()
	say("warm the broker up: %v, then each side: %v", t.jvm, t.side)
	if err := b.cluster.WarmUp(ctx, t.jvm); err != nil {
		return err
	}
	eng, err := b.open(ctx, "engine", roleEngine, roleWorker, roleClient)
	if err != nil {
		return err
	}
	defer eng.client.close()
	raw, err := b.open(ctx, "raw", roleRawEngine, roleRawWorker, roleRawClient)
	if err != nil {
		return err
	}
	defer raw.client.close()
	res := newResult(c)
	if err := b.runAll(ctx, eng, raw, t, res); err != nil {
		return err
	}
	for _, r := range []*running{eng, raw} {
		judging, cancel := context.WithTimeout(ctx, 2*time.Minute)
		err := r.oracle(judging, r.started)
		cancel()
		if err != nil {
			res.invalid(fmt.Sprintf("the oracle of %s: %v", r.name, err))
		} else {
			say("the oracle: %d workflows of %s started and closed once", r.started, r.name)
		}
	}
	res.finish()
	if err := res.write(); err != nil {
		return err
	}
	if !res.OK {
		return errors.New("not ok")
	}
	return os.RemoveAll(b.dir) // kept after a failure: it has the logs
}

func (b *bed) runAll(ctx context.Context, eng, raw *running, t times, res *result) error {
	for _, r := range []*running{eng, raw} {
		if _, err := b.measure(ctx, r, load{InFlight: 1, Measure: t.warm}); err != nil {
			return err
		}
		if _, err := b.measure(ctx, r, load{InFlight: 1000, Measure: t.side}); err != nil {
			return err
		}
	}
	if b.cfg.profile != "" {
		if err := b.profiles(ctx, eng, raw); err != nil {
			return err
		}
	}
	for rep := range b.cfg.reps {
		for _, n := range levels {
			pair := [2]*running{eng, raw}
			if rep%2 == 1 { // who begins alternates (B2)
				pair = [2]*running{raw, eng}
			}
			got := map[*running]point{}
			for _, r := range pair {
				p, err := b.measure(ctx, r, load{InFlight: n, Warm: t.warm, Measure: t.measure})
				if err != nil {
					return err
				}
				got[r] = p
			}
			res.add(n, got[eng], got[raw])
			say("%d/%d, %d in flight: engine %.0f/s p50 %.1f ms, raw %.0f/s p50 %.1f ms, ratio %.2f", rep+1, b.cfg.reps, n,
				got[eng].PerSecond, ms(got[eng].P50), got[raw].PerSecond, ms(got[raw].P50), got[eng].PerSecond/got[raw].PerSecond)
		}
	}
	return nil
}

// profiles takes the profiles of both sides at 1000 in flight, outside the pairs.
func (b *bed) profiles(ctx context.Context, sides ...*running) error {
	const seconds = 8
	for _, r := range sides {
		taken := make(chan error, 1)
		go func() { taken <- takeProfiles(ctx, b.cfg.profile, seconds, r.profile) }()
		_, err := b.measure(ctx, r, load{InFlight: 1000, Measure: (seconds + 1) * time.Second})
		if err := errors.Join(err, <-taken); err != nil {
			return err
		}
	}
	return nil
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
