package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// scaleOutRow gives each engine a fifth of a core, and then twice as many of them
// twice the partitions.
func scaleOutRow() row {
	return row{name: "scale-out", about: "one engine against two, each with 0.2 of a core", run: func(ctx context.Context, c config) (*result, error) {
		if c.quick {
			c.reps = min(c.reps, 2)
		}
		return c.withBed(ctx, 1, func(b *bed) (*result, error) { return b.scaleOut(ctx) })
	}}
}

const (
	coreShare        = 0.2
	partitionsEngine = 2 // of each engine
)

func (b *bed) scaleOut(ctx context.Context) (*result, error) {
	res := newResult(b.cfg)
	caps, err := newCPUCaps()
	if err != nil {
		return nil, err
	}
	defer func() { _ = caps.close() }()
	var sides []*running
	for _, engines := range []int{1, 2} {
		r, err := b.open(ctx, sideSpec{name: fmt.Sprintf("engines-%d", engines), load: chainLoad, partitions: engines * partitionsEngine, engine: roleEngine, engines: engines, worker: roleWorker, client: roleClient})
		if err != nil {
			return nil, err
		}
		defer r.close()
		for i, p := range r.running[:engines] {
			if err := caps.limit(fmt.Sprintf("%s-%d", r.name, i), p.Pid(), coreShare); err != nil {
				return nil, err
			}
		}
		sides = append(sides, r)
	}
	t := b.cfg.times()
	for _, r := range sides {
		if _, err := b.measure(ctx, r, load{InFlight: 500, Measure: t.side}); err != nil {
			return nil, err
		}
	}
	var one, two, ratio []float64
	for rep := range b.cfg.reps {
		got := map[*running]float64{}
		for i := range sides {
			r := sides[(i+rep)%2]
			p, err := b.measure(ctx, r, load{InFlight: 500, Warm: t.warm, Measure: t.measure})
			if err != nil {
				return nil, err
			}
			got[r] = p.PerSecond
		}
		one, two, ratio = append(one, got[sides[0]]), append(two, got[sides[1]]), append(ratio, got[sides[1]]/got[sides[0]])
		say("%d/%d: one engine %.0f/s, two %.0f/s", rep+1, b.cfg.reps, got[sides[0]], got[sides[1]])
	}
	res.set("one_wps", one...)
	res.set("two_wps", two...)
	res.set("two_to_one", ratio...)
	for _, r := range sides {
		b.judged(ctx, r, res)
	}
	return res, nil
}

// cpuCaps limits the CPU of processes by control groups: version 2 where the system has
// it, else version 1 in a mount of its own. Both need root.
type cpuCaps struct {
	dir     string
	v2      bool
	mounted bool
	groups  []string
}

func newCPUCaps() (*cpuCaps, error) {
	const root = "/sys/fs/cgroup"
	if b, err := os.ReadFile(filepath.Join(root, "cgroup.controllers")); err == nil && strings.Contains(string(b), "cpu") {
		if err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+cpu"), 0o644); err != nil {
			return nil, fmt.Errorf("limiting the engines' CPU needs the control group controller cpu, as root: %w", err)
		}
		return &cpuCaps{dir: root, v2: true}, nil
	}
	dir, err := os.MkdirTemp("", "odradek-cgroup-")
	if err != nil {
		return nil, err
	}
	if err := syscall.Mount("none", dir, "cgroup", 0, "cpu"); err != nil {
		return nil, errors.Join(fmt.Errorf("limiting the engines' CPU needs control groups, as root: mount the controller cpu: %w", err), os.Remove(dir))
	}
	return &cpuCaps{dir: dir, mounted: true}, nil
}

// limit gives a process, and what it starts from now on, a share of one core.
func (c *cpuCaps) limit(name string, pid int, share float64) error {
	const period = 20_000 // microseconds: short, so that a batch is not cut by long pauses
	group := filepath.Join(c.dir, "odradek-bench-"+strconv.Itoa(os.Getpid())+"-"+name)
	if err := os.Mkdir(group, 0o755); err != nil {
		return err
	}
	c.groups = append(c.groups, group)
	quota := strconv.Itoa(int(share * period))
	files := map[string]string{"cpu.cfs_period_us": strconv.Itoa(period), "cpu.cfs_quota_us": quota}
	if c.v2 {
		files = map[string]string{"cpu.max": quota + " " + strconv.Itoa(period)}
	}
	for name, v := range files {
		if err := os.WriteFile(filepath.Join(group, name), []byte(v), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644)
}

// close gives everything back; the processes have ended, or are free again.
func (c *cpuCaps) close() (err error) {
	for _, g := range c.groups {
		if b, e := os.ReadFile(filepath.Join(g, "cgroup.procs")); e == nil {
			for pid := range strings.FieldsSeq(string(b)) {
				_ = os.WriteFile(filepath.Join(c.dir, "cgroup.procs"), []byte(pid), 0o644)
			}
		}
		err = errors.Join(err, os.Remove(g))
	}
	if c.mounted {
		err = errors.Join(err, syscall.Unmount(c.dir, 0), os.Remove(c.dir))
	}
	return err
}
