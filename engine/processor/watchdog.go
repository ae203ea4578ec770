package processor

import (
	"time"

	"github.com/odradek/odradek/record"
)

// hangTicks within one turn are a hang (C2). Ticks are counted, not time: a process
// that was paused gets one tick for all of the pause, and condemns nobody.
const hangTicks = 10

// watch waits for the step goroutine, and gives it up if author code does not come
// back.
func (t *tenure) watch() error {
	tick := time.NewTicker(t.lane.cfg.Limits.HangTick)
	defer tick.Stop()
	var turn uint64
	ticks := 0
	for {
		select {
		case err := <-t.stepped:
			return err
		case <-tick.C:
			at, run := t.stepper.Progress()
			if at == 0 || at != turn {
				turn, ticks = at, 0
				continue
			}
			if ticks++; ticks >= hangTicks {
				return t.abandon(run)
			}
		}
	}
}

// abandon leaves the step goroutine where it hangs. No transaction is open for its
// batch, so nobody waits for it; when it comes back it exits and touches nothing
// (C3). What was on its way commits without it.
func (t *tenure) abandon(run record.RunID) error {
	t.hung.Store(true)
	t.stepper.Abandon()
	// The turn's number was read atomically after the step wrote these.
	hung := &hungError{run: run, alone: t.alone}
	if t.current != nil {
		origin := t.current.Origin
		hung.input = &origin
	}
	return t.failed(hung)
}
