package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/test/kafkatest"
)

// withBed starts warm brokers for fn and stops them afterwards. The folder with the
// logs is kept if anything went wrong.
func (c config) withBed(ctx context.Context, brokers int, fn func(b *bed) (*result, error)) (res *result, err error) {
	b := &bed{cfg: c}
	if b.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp("", "odradek-bench-"); err != nil {
		return nil, err
	}
	if b.cluster, err = kafkatest.Launch(ctx, kafkatest.Config{Brokers: brokers}); err != nil {
		return nil, err
	}
	defer func() {
		if e := b.cluster.Close(); e != nil {
			err = errors.Join(err, e)
		}
		if err == nil && res != nil && res.Valid {
			err = os.RemoveAll(b.dir)
		}
	}()
	if b.admin, err = kgo.NewClient(kgo.SeedBrokers(b.cluster.Seeds()...)); err != nil {
		return nil, err
	}
	defer b.admin.Close()
	defer func() { err = errors.Join(err, b.procs.Close()) }()
	t := c.times()
	say("warm the broker up: %v", t.jvm)
	if err := b.cluster.WarmUp(ctx, t.jvm); err != nil {
		return nil, err
	}
	return fn(b)
}

// sibling is a program that was built beside this one.
func (b *bed) sibling(name string) string { return filepath.Join(filepath.Dir(b.self), name) }

// judged asks the oracle about a side and notes what it says (B3).
func (b *bed) judged(ctx context.Context, r *running, res *result) { b.judgedBeside(ctx, r, res) }

// judgedBeside leaves the workflows out that a flood of these types started.
func (b *bed) judgedBeside(ctx context.Context, r *running, res *result, but ...string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if err := r.oracle(ctx, r.started, but...); err != nil {
		res.invalid("the oracle of " + r.name + ": " + err.Error())
		return
	}
	say("the oracle: %d workflows of %s started and closed once", r.started, r.name)
}
