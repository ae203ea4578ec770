package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// soakRow runs for long at 80 % of what the engine can do, over parked runs.
func soakRow() row {
	return row{name: "soak", long: true, about: "30 minutes at 80 % load over parked runs (HOURS=24: so many hours)", run: func(ctx context.Context, c config) (*result, error) {
		total, parked := 30*time.Minute, 100_000
		if h := os.Getenv("HOURS"); h != "" {
			v, err := strconv.ParseFloat(h, 64)
			if err != nil || v <= 0 {
				return nil, fmt.Errorf("HOURS is %q: give a number of hours above 0", h)
			}
			total = time.Duration(v * float64(time.Hour))
		}
		if c.quick {
			total, parked = 45*time.Second, 5_000
		}
		c.reps = 1
		return c.withBed(ctx, 1, func(b *bed) (*result, error) { return b.soak(ctx, total, parked) })
	}}
}

// soakParts is how many looks there are; a third of them each is compared.
const soakParts = 30

func (b *bed) soak(ctx context.Context, total time.Duration, parked int) (*result, error) {
	res := newResult(b.cfg)
	r, err := b.open(ctx, sideSpec{name: "soak", load: chainLoad, partitions: b.cfg.partitions, engine: roleEngine, worker: roleWorker, client: roleClient})
	if err != nil {
		return nil, err
	}
	defer r.close()
	if err := r.park(ctx, 0, parked, newPayloads()); err != nil {
		return nil, err
	}
	t := b.cfg.times()
	if _, err := b.measure(ctx, r, load{InFlight: 1000, Measure: t.side}); err != nil {
		return nil, err
	}
	most, err := b.measure(ctx, r, load{InFlight: 1000, Warm: t.warm, Measure: 2 * t.measure})
	if err != nil {
		return nil, err
	}
	rate := 0.8 * most.PerSecond
	say("%.0f/s at most; %v at %.0f/s over %d parked runs", most.PerSecond, total, rate, parked)
	dir := filepath.Join(b.dir, "soak")
	disk, err := folderBytes(dir)
	if err != nil {
		return nil, err
	}
	var wps, p99, memory, growth []float64
	for range soakParts {
		p, err := b.measure(ctx, r, load{InFlight: 2000, Rate: rate, Measure: total / soakParts})
		if err != nil {
			return nil, err
		}
		m, err := residentBytes(r.pids[roleEngine])
		if err != nil {
			return nil, err
		}
		now, err := folderBytes(dir)
		if err != nil {
			return nil, err
		}
		wps, p99, memory = append(wps, p.PerSecond), append(p99, ms(p.P99)), append(memory, mb(m))
		growth = append(growth, float64(now-disk)/float64(p.Accepted))
		disk = now
		say("%.0f/s, p99 %.0f ms, %.0f MB, %.0f bytes of store per workflow", p.PerSecond, ms(p.P99), mb(m), growth[len(growth)-1])
	}
	for name, v := range map[string][]float64{"wps": wps, "p99": p99, "memory": memory} {
		res.set(name+"_last_to_first", thirdOf(v, 2)/thirdOf(v, 0))
	}
	res.set("disk_growth_last_to_first", mean(growth[2*soakParts/3:])/mean(growth[:soakParts/3]))
	res.set("wps", wps...)
	res.set("p99_ms", p99...)
	res.set("memory_mb", memory...)
	res.set("rate_asked", rate)
	res.set("minutes", total.Minutes())
	b.judgedBeside(ctx, r, res, parkedType)
	return res, nil
}

// thirdOf is the median of a third, the first being 0.
func thirdOf(v []float64, n int) float64 {
	part := slices.Clone(v[n*len(v)/3 : (n+1)*len(v)/3])
	slices.Sort(part)
	return middle(part)
}

func mean(v []float64) (sum float64) {
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}
