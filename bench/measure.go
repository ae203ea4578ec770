package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
)

type config struct {
	row        string
	reps       int
	quick      bool
	partitions int
	results    string
	goals      string
	profile    string
}

// times of a measurement: warm is before each load, jvm before all of them.
type times struct{ jvm, side, warm, measure time.Duration }

func (c config) times() times {
	if c.quick {
		return times{jvm: 3 * time.Second, side: 4 * time.Second, warm: 300 * time.Millisecond, measure: 1500 * time.Millisecond}
	}
	return times{jvm: 10 * time.Second, side: 12 * time.Second, warm: time.Second, measure: 4 * time.Second}
}

func cores() int { return runtime.NumCPU() }

// pairs is a row that measures the engine against the raw loop, in turn.
type pairs struct {
	name       string
	load       workload
	brokers    int   // 0: 1
	partitions []int // nil: as the flag says
	levels     []int // workflows in flight
}

func (p pairs) row(about string) row { return row{name: p.name, about: about, run: p.run} }

func (p pairs) run(ctx context.Context, c config) (*result, error) {
	if c.quick {
		c.reps = min(c.reps, 2)
	}
	counts := p.partitions
	if counts == nil {
		counts = []int{c.partitions}
	}
	return c.withBed(ctx, p.brokers, func(b *bed) (*result, error) {
		res := newResult(c)
		for _, n := range counts {
			if err := p.count(ctx, b, n, res); err != nil {
				return nil, err
			}
		}
		res.finish()
		for _, n := range counts[1:] {
			res.set(fmt.Sprintf("%dp_to_%dp", n, counts[0]), res.At[p.key(n, p.levels[0])].Ratio/res.At[p.key(counts[0], p.levels[0])].Ratio)
		}
		return res, nil
	})
}

// key of a level's figures in the result's line.
func (p pairs) key(partitions, level int) string {
	if len(p.partitions) > 1 {
		return fmt.Sprintf("%dp", partitions)
	}
	return fmt.Sprint(level)
}

// count measures both sides on topics of n partitions.
func (p pairs) count(ctx context.Context, b *bed, n int, res *result) error {
	suffix := ""
	if len(p.partitions) > 1 {
		suffix = fmt.Sprintf("-%dp", n)
	}
	eng, err := b.open(ctx, sideSpec{name: "engine" + suffix, load: p.load, partitions: n, engine: roleEngine, worker: p.load.worker(roleWorker), client: roleClient})
	if err != nil {
		return err
	}
	defer func() { eng.close() }()
	raw, err := b.open(ctx, sideSpec{name: "raw" + suffix, load: p.load, partitions: n, engine: roleRawEngine, worker: p.load.worker(roleRawWorker), client: roleRawClient})
	if err != nil {
		return err
	}
	defer func() { raw.close() }()
	t := b.cfg.times()
	for _, r := range []*running{eng, raw} {
		if err := r.ready(); err != nil {
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
		for _, level := range p.levels {
			order := [2]*running{eng, raw}
			if rep%2 == 1 { // who begins alternates (B2)
				order = [2]*running{raw, eng}
			}
			got := map[*running]point{}
			for _, r := range order {
				at, err := b.measure(ctx, r, load{InFlight: level, Warm: t.warm, Measure: t.measure})
				if err != nil {
					return err
				}
				got[r] = at
			}
			key := p.key(n, level)
			res.add(key, got[eng], got[raw])
			say("%d/%d, %s: engine %.0f/s p50 %.1f ms, raw %.0f/s p50 %.1f ms, ratio %.2f", rep+1, b.cfg.reps, key,
				got[eng].PerSecond, ms(got[eng].P50), got[raw].PerSecond, ms(got[raw].P50), got[eng].PerSecond/got[raw].PerSecond)
		}
	}
	b.judged(ctx, eng, res)
	b.judged(ctx, raw, res)
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
