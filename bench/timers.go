package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// timersRow lets very many timers come due at the same moment.
func timersRow() row {
	return row{name: "timers", about: "100,000 timers due at once", run: func(ctx context.Context, c config) (*result, error) {
		n, ahead, reps := 100_000, 45*time.Second, min(c.reps, 3)
		if c.quick {
			n, ahead, reps = 20_000, 15*time.Second, 1
		}
		c.reps = reps
		return c.withBed(ctx, 1, func(b *bed) (*result, error) {
			res := newResult(c)
			var late, early, p []float64
			for rep := range reps {
				l, due, err := b.timers(ctx, rep, n, ahead)
				if err != nil {
					return nil, err
				}
				if l.doubled+l.failed > 0 {
					res.invalid(fmt.Sprintf("%d timers closed twice, %d failed", l.doubled, l.failed))
				}
				late, early = append(late, l.last.Sub(due).Seconds()), append(early, float64(l.early))
				p = append(p, float64(n)/l.last.Sub(due).Seconds())
				say("%d/%d: %d timers, the last close came %.2f s after the due time, %d early", rep+1, reps, n, l.last.Sub(due).Seconds(), l.early)
			}
			res.set("last_late_s", late...)
			res.set("early", early...)
			res.set("per_second", p...)
			res.set("timers", float64(n))
			return res, nil
		})
	}}
}

func (b *bed) timers(ctx context.Context, rep, n int, ahead time.Duration) (lived, time.Time, error) {
	r, err := b.open(ctx, sideSpec{name: fmt.Sprintf("timers-%d", rep), load: emptyLoad, partitions: b.cfg.partitions, engine: roleEngine, client: roleClient})
	if err != nil {
		return lived{}, time.Time{}, err
	}
	defer r.close()
	due := time.Now().Add(ahead).Truncate(time.Millisecond)
	input, err := json.Marshal(due)
	if err != nil {
		return lived{}, due, err
	}
	ctx, cancel := context.WithTimeout(ctx, ahead+2*time.Minute)
	defer cancel()
	if err := r.flood(ctx, timerType, n, func(int) []byte { return input }); err != nil {
		return lived{}, due, err
	}
	if _, err := r.watch(ctx, timerType, n, false, time.Time{}); err != nil {
		return lived{}, due, err
	}
	if !time.Now().Before(due) {
		return lived{}, due, errors.New("the timers were not all started before they came due: the figure would be the start's")
	}
	l, err := r.watch(ctx, timerType, n, true, due)
	return l, due, err
}
