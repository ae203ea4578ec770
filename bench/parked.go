package main

import (
	"context"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/odradek/odradek/record"
)

// parkedRow has very many runs that wait, and fresh work beside them.
func parkedRow() row {
	return row{name: "parked", about: "1,000,000 parked workflows, and fresh work beside them", run: func(ctx context.Context, c config) (*result, error) {
		n, first := 1_000_000, 100_000
		if c.quick {
			n, first, c.reps = 60_000, 30_000, min(c.reps, 2)
		}
		return c.withBed(ctx, 1, func(b *bed) (*result, error) { return b.parked(ctx, n, first) })
	}}
}

func (b *bed) parked(ctx context.Context, n, first int) (*result, error) {
	res := newResult(b.cfg)
	open := func(name string) (*running, error) {
		return b.open(ctx, sideSpec{name: name, load: chainLoad, partitions: b.cfg.partitions, engine: roleEngine, worker: roleWorker, client: roleClient})
	}
	full, err := open("full")
	if err != nil {
		return nil, err
	}
	defer full.close()
	fresh, err := open("fresh")
	if err != nil {
		return nil, err
	}
	defer fresh.close()

	inputs := newPayloads()
	// The first ones fill the cache: what comes after them is beyond it.
	if err := full.park(ctx, 0, first, inputs); err != nil {
		return nil, err
	}
	before, err := settledMemory(full.pids[roleEngine])
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := full.park(ctx, first, n, inputs); err != nil {
		return nil, err
	}
	after, err := settledMemory(full.pids[roleEngine])
	if err != nil {
		return nil, err
	}
	say("%d parked, %.0f/s; memory of the engine %.0f MB, %.0f MB when %d were parked", n, float64(n-first)/time.Since(begin).Seconds(), mb(after), mb(before), first)
	res.set("parked", float64(n))
	res.set("memory_bytes_per_run", float64(after-before)/float64(n-first))
	res.set("memory_mb", mb(after))

	disk, err := folderBytes(filepath.Join(b.dir, "full"))
	if err != nil {
		return nil, err
	}
	res.set("pebble_bytes_per_run", float64(disk)/float64(n)-payloadBytes)
	log, err := b.compacted(ctx, full)
	if err != nil {
		return nil, err
	}
	res.set("changelog_bytes_per_run", log/float64(n)-payloadBytes)

	t := b.cfg.times()
	for _, r := range []*running{full, fresh} {
		if _, err := b.measure(ctx, r, load{InFlight: 1000, Measure: t.side}); err != nil {
			return nil, err
		}
	}
	var share, rate []float64
	for rep := range b.cfg.reps {
		order := [2]*running{full, fresh}
		if rep%2 == 1 {
			order = [2]*running{fresh, full}
		}
		got := map[*running]float64{}
		for _, r := range order {
			p, err := b.measure(ctx, r, load{InFlight: 1000, Warm: t.warm, Measure: t.measure})
			if err != nil {
				return nil, err
			}
			got[r] = p.PerSecond
		}
		share, rate = append(share, got[full]/got[fresh]), append(rate, got[full])
		say("%d/%d: %.0f/s over parked runs, %.0f/s without", rep+1, b.cfg.reps, got[full], got[fresh])
	}
	res.set("throughput_share", share...)
	res.set("wps", rate...)
	b.judged(ctx, fresh, res)
	b.judgedBeside(ctx, full, res, parkedType)
	return res, nil
}

// park starts the workflows numbered from first to n, and waits until they are there.
func (r *running) park(ctx context.Context, first, n int, inputs *payloads) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Minute)
	defer cancel()
	if err := r.floodRange(ctx, parkedType, first, n, func(int) []byte { return inputs.bytes() }); err != nil {
		return err
	}
	_, err := r.watch(ctx, parkedType, n, false, time.Time{})
	return err
}

// settledMemory is the resident set of a process once it no longer falls: the runtime
// gives memory back with a delay.
func settledMemory(pid int) (int64, error) {
	least := int64(1) << 62
	for range 15 {
		time.Sleep(time.Second)
		m, err := residentBytes(pid)
		if err != nil {
			return 0, err
		}
		least = min(least, m)
	}
	return least, nil
}

func residentBytes(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0, fmt.Errorf("%q is no /proc/PID/statm", b)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

func mb(bytes int64) float64 { return float64(bytes) / (1 << 20) }

func folderBytes(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return nil // a file of a store may be gone by now
	})
	return sum, err
}

// compacted is the size of a side's changelog once the broker has compacted it, which
// it is asked to do soon.
func (b *bed) compacted(ctx context.Context, r *running) (float64, error) {
	adm := kadm.NewClient(b.admin)
	topic := r.names().Topic(record.TopicChangelog)
	var cs []kadm.AlterConfig
	for name, value := range map[string]string{"min.cleanable.dirty.ratio": "0.01", "segment.ms": "1000", "max.compaction.lag.ms": "1000"} {
		cs = append(cs, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value})
	}
	if resp, err := adm.AlterTopicConfigs(ctx, cs, topic); err != nil {
		return 0, err
	} else if _, err := resp.On(topic, nil); err != nil {
		return 0, err
	}
	last, same := -1.0, 0
	for same < 5 {
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(5 * time.Second):
		}
		v, err := volumeOf(ctx, b.admin, r.namespace)
		if err != nil {
			return 0, err
		}
		size := v[record.TopicChangelog.String()].Bytes
		// An idle owner writes a position now and then: what grows by little is settled.
		if same++; math.Abs(size-last) > 0.005*size {
			last, same = size, 0
		}
	}
	return last, nil
}
