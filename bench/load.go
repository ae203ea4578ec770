package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// load asks a client for one measurement.
type load struct {
	InFlight int           `json:"in_flight"`
	Rate     float64       `json:"rate"` // starts per second at most; 0: as they close
	Warm     time.Duration `json:"warm"` // not counted
	Measure  time.Duration `json:"measure"`
}

// loaded is what a client saw. Starts are numbered from 0 over the life of the
// client: Started is how many there were up to now.
type loaded struct {
	Started   int           `json:"started"`
	Accepted  int           `json:"accepted"`  // of this load
	Completed int           `json:"completed"` // in the counted time
	Measure   time.Duration `json:"measure"`
	P50       time.Duration `json:"p50"`
	P90       time.Duration `json:"p90"`
	P99       time.Duration `json:"p99"`
	Max       time.Duration `json:"max"`
	Error     string        `json:"error,omitempty"` // the first one
}

// perSecond is the throughput.
func (l loaded) perSecond() float64 { return float64(l.Completed) / l.Measure.Seconds() }

// starter starts one workflow and returns when it has closed.
type starter interface {
	do(ctx context.Context, id string, input []byte) error
	close()
}

// workflowID is the n-th ID of a client: all have the same length.
func workflowID(n int) string { return fmt.Sprintf("chain-%010d", n) }

// client carries out the loads that come on standard input, one JSON object a line,
// and answers each with one on standard output. It ends with its input.
func (s side) client(ctx context.Context, open func(context.Context) (starter, error)) error {
	st, err := open(ctx)
	if err != nil {
		return err
	}
	defer st.close()
	g := generator{starter: st, inputs: newPayloads()}
	in, out := json.NewDecoder(bufio.NewReader(os.Stdin)), json.NewEncoder(os.Stdout)
	for {
		var l load
		if err := in.Decode(&l); errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		} else if err != nil {
			return err
		}
		if err := out.Encode(g.run(ctx, l)); err != nil {
			return err
		}
	}
}

// generator keeps workflows in flight: when one closes, the next is started.
type generator struct {
	starter starter
	inputs  *payloads
	next    atomic.Int64
}

// patience is how long a workflow may take before the measurement is given up.
const patience = time.Minute

func (g *generator) run(ctx context.Context, l load) loaded {
	ctx, cancel := context.WithTimeout(ctx, l.Warm+l.Measure+patience)
	defer cancel()
	begin := time.Now().Add(l.Warm)
	end := begin.Add(l.Measure)
	before := g.next.Load()
	limit := rate.NewLimiter(rate.Inf, 1)
	if l.Rate > 0 {
		limit = rate.NewLimiter(rate.Limit(l.Rate), 1)
	}
	var (
		mu    sync.Mutex
		all   []time.Duration
		first error
		wg    sync.WaitGroup
	)
	for range l.InFlight {
		wg.Go(func() {
			var mine []time.Duration
			var err error
			for err == nil && time.Now().Before(end) {
				if err = limit.Wait(ctx); err != nil || !time.Now().Before(end) {
					break
				}
				start := time.Now()
				if err = g.starter.do(ctx, workflowID(int(g.next.Add(1)-1)), g.inputs.bytes()); err != nil {
					break
				}
				if now := time.Now(); now.After(begin) && now.Before(end) {
					mine = append(mine, now.Sub(start))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
			if first == nil {
				first = err
			}
		})
	}
	wg.Wait()
	r := loaded{Started: int(g.next.Load()), Accepted: int(g.next.Load() - before), Completed: len(all), Measure: l.Measure}
	if first != nil {
		r.Error = first.Error()
	}
	if len(all) > 0 {
		slices.Sort(all)
		r.P50, r.P90, r.P99, r.Max = quantile(all, .5), quantile(all, .9), quantile(all, .99), all[len(all)-1]
	}
	return r
}

// quantile of sorted values.
func quantile[T any](sorted []T, q float64) T {
	return sorted[min(len(sorted)-1, int(float64(len(sorted))*q))]
}
