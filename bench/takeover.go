package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/record"
)

// takeoverRow hands a partition with much state to an engine that has its store, and
// to one that has nothing.
func takeoverRow() row {
	return row{name: "takeover", about: "a takeover of 1 GB of state, with the store on disk and without", run: func(ctx context.Context, c config) (*result, error) {
		runs, reps := 250_000, min(c.reps, 3)
		if c.quick {
			runs, reps = 15_000, 1
		}
		c.reps = reps
		return c.withBed(ctx, 1, func(b *bed) (*result, error) { return b.takeover(ctx, runs) })
	}}
}

// stateBytes is the input of one run of the state.
const stateBytes = 4 << 10

func (b *bed) takeover(ctx context.Context, runs int) (*result, error) {
	res := newResult(b.cfg)
	r, err := b.open(ctx, sideSpec{name: "state", load: emptyLoad, partitions: 1, engine: roleEngine, client: roleClient})
	if err != nil {
		return nil, err
	}
	defer func() { r.close() }()
	inputs := newPayloads()
	filling, cancel := context.WithTimeout(ctx, 20*time.Minute)
	defer cancel()
	err = r.flood(filling, parkedType, runs, func(int) []byte {
		var in strings.Builder
		in.WriteByte('"')
		for in.Len() < stateBytes-payloadBytes {
			in.WriteString(inputs.text())
		}
		in.WriteByte('"')
		return []byte(in.String())
	})
	if err != nil {
		return nil, err
	}
	if _, err := r.watch(filling, parkedType, runs, false, time.Time{}); err != nil {
		return nil, err
	}
	dir := filepath.Join(b.dir, "state")
	disk, err := folderBytes(dir)
	if err != nil {
		return nil, err
	}
	res.set("state_gb", float64(disk)/1e9)
	say("%d runs, %.2f GB of store", runs, float64(disk)/1e9)

	var warm, cold, share, rate []float64
	for rep := range b.cfg.reps {
		// Killed: the Checkpoint is where the last one stood.
		if err := r.engine().Kill(); err != nil {
			return nil, err
		}
		w, err := b.restart(ctx, r, rep, "warm", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		if err := r.engine().Kill(); err != nil {
			return nil, err
		}
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
		raw, n, err := b.rawRestore(ctx, r.side)
		if err != nil {
			return nil, err
		}
		k, err := b.restart(ctx, r, rep, "cold", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		if k.Records < runs || n < runs {
			res.invalid(fmt.Sprintf("%d runs were to be restored; the engine read %d records, the raw loop %d", runs, k.Records, n))
		}
		warm, cold, share, rate = append(warm, w.Seconds), append(cold, k.Seconds), append(share, raw.Seconds()/k.Seconds), append(rate, float64(disk)/1e6/k.Seconds)
		say("%d/%d: warm %.2f s (%d records), cold %.2f s, raw consume and write %.2f s", rep+1, b.cfg.reps, w.Seconds, w.Records, k.Seconds, raw.Seconds())
	}
	res.set("warm_s", warm...)
	res.set("cold_s", cold...)
	res.set("cold_share", share...)
	res.set("cold_mb_per_s", rate...)
	return res, nil
}

// tookOver is what the engine logs of a takeover.
type tookOver struct {
	Msg     string  `json:"msg"`
	Records int     `json:"records"`
	Seconds float64 `json:"seconds"`
}

// restart starts the engine again and waits until it has taken its partition over. The
// dead one's session has to end first, which is not part of the takeover.
func (b *bed) restart(ctx context.Context, r *running, rep int, what, admin string) (tookOver, error) {
	role := fmt.Sprintf("%s-%s-%d", roleEngine, what, rep)
	if err := b.start(r, role, b.engineArgs(r.namespace, filepath.Join(b.dir, r.namespace), admin)); err != nil {
		return tookOver{}, err
	}
	log := filepath.Join(b.dir, r.name+"-"+role+".log")
	for range 3000 {
		text, err := os.ReadFile(log)
		if err != nil {
			return tookOver{}, err
		}
		for line := range strings.Lines(string(text)) {
			var t tookOver
			if json.Unmarshal([]byte(line), &t) == nil && t.Msg == "partition taken over" {
				return t, nil
			}
		}
		select {
		case <-ctx.Done():
			return tookOver{}, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return tookOver{}, errors.New("the engine did not take its partition over within five minutes; see " + log)
}

// rawRestore consumes the changelog and writes each row as it is into a fresh Pebble,
// as the least that any restore does.
func (b *bed) rawRestore(ctx context.Context, s side) (time.Duration, int, error) {
	dir := filepath.Join(b.dir, "raw-restore")
	defer func() { _ = os.RemoveAll(dir) }()
	begin := time.Now()
	db, err := pebble.Open(dir, &pebble.Options{DisableWAL: true, MemTableSize: 64 << 20, Logger: silent{}})
	if err != nil {
		return 0, 0, err
	}
	cl, err := s.consume([]string{s.names().Topic(record.TopicChangelog)}, kgo.KeepControlRecords())
	if err != nil {
		return 0, 0, errors.Join(err, db.Close())
	}
	defer cl.Close()
	ends, err := committedEnds(ctx, cl, s.names().Topic(record.TopicChangelog))
	n := 0
	for err == nil && len(ends) > 0 {
		fetched := cl.PollFetches(ctx)
		if err = fetched.Err(); err != nil {
			break
		}
		batch := db.NewBatch()
		fetched.EachPartition(func(p kgo.FetchTopicPartition) {
			for _, k := range p.Records {
				if !k.Attrs.IsControl() {
					n++
					err = errors.Join(err, batch.Set(k.Key, k.Value, nil))
				}
				if k.Offset >= ends[p.Partition]-1 {
					delete(ends, p.Partition)
				}
			}
		})
		err = errors.Join(err, batch.Commit(pebble.NoSync))
	}
	if err = errors.Join(err, db.Flush(), db.Close()); err != nil {
		return 0, n, err
	}
	return time.Since(begin), n, nil
}

// silent is Pebble's logger.
type silent struct{}

func (silent) Infof(string, ...any)           {}
func (silent) Errorf(string, ...any)          {}
func (silent) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }
