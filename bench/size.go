package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/partition"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/statestore"
	"github.com/odradek/odradek/topology"
)

// sizeRow lets the step work over more and more runs that wait.
func sizeRow() row {
	return row{name: "size", long: true, about: "the step's cost per input, from a thousand to ten million runs", run: func(ctx context.Context, c config) (*result, error) {
		sizes := []int{1_000, 10_000, 100_000, 1_000_000, 10_000_000}
		if c.quick {
			sizes, c.reps = []int{1_000, 10_000, 100_000}, min(c.reps, 2)
		}
		return c.withBed(ctx, 1, func(b *bed) (*result, error) { return b.size(ctx, sizes) })
	}}
}

// wakes is how many of the runs that were filled in are given their signal, to see that
// they are runs.
const wakes = 100

// size fills a partition through its changelog, and measures fresh chains on it and on
// another one that stays empty, in turn: the machine's speed is not the same for an hour.
func (b *bed) size(ctx context.Context, sizes []int) (*result, error) {
	res := newResult(b.cfg)
	open := func(name string) (*running, error) {
		r, err := b.open(ctx, sideSpec{name: name, load: chainLoad, partitions: 1, engine: roleEngine, worker: roleWorker, client: roleClient})
		if err == nil {
			err = r.ready()
		}
		return r, err
	}
	empty, err := open("empty")
	if err != nil {
		return nil, err
	}
	defer func() { empty.close() }()
	full, err := open("full")
	if err != nil {
		return nil, err
	}
	defer func() { full.close() }()
	t := b.cfg.times()
	for _, r := range []*running{empty, full} {
		if _, err := b.measure(ctx, r, load{InFlight: 1000, Measure: t.side}); err != nil {
			return nil, err
		}
	}
	have := 0
	for _, n := range sizes {
		if err := b.fill(ctx, full, have, n); err != nil {
			return nil, err
		}
		if err := b.wake(ctx, full, have, n); err != nil {
			res.invalid(err.Error())
		}
		have = n
		if _, err := b.measure(ctx, full, load{InFlight: 1000, Measure: t.side / 2}); err != nil {
			return nil, err
		}
		var step, ratio, cpu []float64
		for rep := range b.cfg.reps {
			order := [2]*running{full, empty}
			if rep%2 == 1 {
				order = [2]*running{empty, full}
			}
			us, cpus := map[*running]float64{}, map[*running]float64{}
			for _, r := range order {
				before, err := scrape(ctx, r.metrics)
				if err != nil {
					return nil, err
				}
				p, err := b.measure(ctx, r, load{InFlight: 1000, Measure: t.measure})
				if err != nil {
					return nil, err
				}
				after, err := scrape(ctx, r.metrics)
				if err != nil {
					return nil, err
				}
				of := func(name string) float64 { return after[name] - before[name] }
				us[r] = of("odradek_lane_step_seconds_sum") / of("odradek_lane_inputs_total") * 1e6
				cpus[r] = p.CPU[roleEngine]
			}
			step, ratio, cpu = append(step, us[full]), append(ratio, us[full]/us[empty]), append(cpu, cpus[full]/cpus[empty])
		}
		res.set(fmt.Sprintf("step_us_at_%d", n), step...)
		res.set(fmt.Sprintf("step_ratio_at_%d", n), ratio...)
		res.set(fmt.Sprintf("engine_cpu_ratio_at_%d", n), cpu...)
		say("%d runs: %.2f us of step per input, %.2f times that over none", n, res.Figures[fmt.Sprintf("step_us_at_%d", n)], res.Figures[fmt.Sprintf("step_ratio_at_%d", n)])
	}
	res.growth("step", sizes)
	res.growth("engine_cpu", sizes)
	res.set("runs", float64(have))
	b.judged(ctx, empty, res)
	b.judgedBeside(ctx, full, res, parkedType)
	return res, nil
}

// growth is what the largest size costs, times what the smallest does.
func (r *result) growth(what string, sizes []int) {
	of := func(n int) float64 { return r.Figures[fmt.Sprintf("%s_ratio_at_%d", what, n)] }
	r.set(what+"_growth", of(sizes[len(sizes)-1])/of(sizes[0]))
}

// fill writes runs numbered from first to n into the changelog of a side whose engine is
// away, and has an engine read them.
func (b *bed) fill(ctx context.Context, r *running, first, n int) error {
	if err := r.running[0].Stop(30 * time.Second); err != nil {
		return err
	}
	delete(r.pids, roleEngine)
	begin := time.Now()
	if err := r.writeRuns(ctx, first, n); err != nil {
		return err
	}
	wrote := time.Since(begin)
	admin, err := freeAddr()
	if err != nil {
		return err
	}
	t, err := b.restart(ctx, r, n, "size", admin)
	if err != nil {
		return err
	}
	if t.Records < n-first {
		return fmt.Errorf("%d runs were to be filled in; the engine read %d records", n-first, t.Records)
	}
	last := len(r.running) - 1
	r.running[0], r.running = r.running[last], r.running[:last]
	role := r.running[0].Name
	r.pids[roleEngine], r.metrics = r.pids[role], admin
	delete(r.pids, role)
	disk, err := folderBytes(filepath.Join(b.dir, r.name))
	say("%d runs: written in %.0f s, restored in %.0f s, %.2f GB of store", n, wrote.Seconds(), t.Seconds, float64(disk)/1e9)
	return err
}

// writeRuns writes the changelog rows of runs of parkedType, as an engine does.
func (r *running) writeRuns(ctx context.Context, first, n int) error {
	inputs := newPayloads()
	now := record.MillisOf(time.Now())
	events, err := parkedHistory(r.namespace, now, inputs.bytes())
	if err != nil {
		return err
	}
	cl, err := r.kafka(kgo.MaxBufferedRecords(100_000), kgo.ProducerLinger(5*time.Millisecond), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return err
	}
	defer cl.Close()
	started := *events[0].Body.(*record.RunStarted)
	topic := r.names().Topic(record.TopicChangelog)
	var failed atomic.Pointer[error]
	for i := first; i < n; i++ {
		id := floodID(parkedType, i)
		body := started
		body.Input = inputs.bytes()
		events[0].Body = &body
		run := record.DeriveRunID(id, record.Origin{Topic: record.TopicCommands, Offset: int64(i)}, now)
		cl.Produce(ctx, &kgo.Record{Topic: topic, Key: codec.AppendChunkKey(nil, id, run, 1), Value: codec.AppendChunk(nil, events)}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(&err)
			}
		})
		if err := failed.Load(); err != nil {
			return *err
		}
	}
	if err := cl.Flush(ctx); err != nil {
		return err
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// parkedHistory is what the step makes of the start of a run that waits.
func parkedHistory(namespace string, now record.Millis, input []byte) ([]record.HistoryEvent, error) {
	store, err := statestore.Open(statestore.Config{Dir: "template", FS: vfs.NewMem(), Cluster: namespace})
	if err != nil {
		return nil, err
	}
	defer func() { _ = store.Close() }()
	p, err := partition.New(partition.Config{Namespace: namespace, Table: topology.TableZero(1), Definitions: definitions()}, store)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	p.Begin(now)
	p.Claim()
	out := codec.EncodeStart(floodID(parkedType, 0), &record.Start{Type: parkedType, Input: input})
	r := codec.Decode(codec.KafkaRecord{Topic: record.TopicCommands, Timestamp: now, Key: out.Key, Value: out.Value, Headers: out.Headers})
	if err := p.Step(&r); err != nil {
		return nil, err
	}
	for _, row := range p.Finish().Rows {
		if events, err := codec.DecodeChunk(row.Value); row.Travels && err == nil && len(events) > 1 {
			return events, nil
		}
	}
	return nil, errors.New("the start of a run that waits makes no chunk")
}

// wake gives some of the runs numbered from first to n what they wait for: each must close.
func (b *bed) wake(ctx context.Context, r *running, first, n int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cl, err := client.NewKafka(ctx, client.KafkaConfig{Namespace: r.namespace, Options: []kgo.Opt{kgo.SeedBrokers(strings.Split(r.seeds, ",")...)}})
	if err != nil {
		return err
	}
	defer cl.Close()
	for _, i := range rand.Perm(n - first)[:wakes] {
		id := floodID(parkedType, first+i)
		run, err := cl.Attach(ctx, id)
		if err == nil {
			err = cl.Signal(ctx, client.SignalRequest{WorkflowID: id, Name: release.Name(), Payload: []byte(`"go"`)})
		}
		var got client.Result
		if err == nil {
			got, err = run.Result(ctx)
		}
		if err == nil {
			err = got.Err()
		}
		if err != nil {
			return fmt.Errorf("a run that was filled in does not go on: %w", err)
		}
	}
	return nil
}
