package processor

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/odradek/odradek/record"
)

// hangTicks within one turn are a hang (C2). Ticks are counted, not time: a process
// that was paused gets one tick for all of the pause, and condemns nobody.
const hangTicks = 10

// guard decides between the step goroutine, which comes back from author code, and
// the watchdog, which gives it up: exactly one of them owns the tenure afterwards
// (C3). Its value is odd while a step runs.
type guard struct{ steps atomic.Uint64 }

const gaveUp = ^uint64(0)

// enter begins a step.
func (g *guard) enter() { g.steps.Add(1) }

// leave ends a step. If the watchdog was faster, the goroutine ends here.
func (g *guard) leave() {
	if at := g.steps.Load(); at == gaveUp || !g.steps.CompareAndSwap(at, at+1) {
		runtime.Goexit()
	}
}

// giveUp takes the tenure from the step that runs; false if it has come back.
func (g *guard) giveUp(step uint64) bool {
	return step%2 == 1 && g.steps.CompareAndSwap(step, gaveUp)
}

func (g *guard) now() uint64     { return g.steps.Load() }
func (g *guard) abandoned() bool { return g.steps.Load() == gaveUp }

// watch waits for the step goroutine, and gives it up if author code does not come
// back.
func (t *tenure) watch() error {
	tick := time.NewTicker(t.lane.cfg.Limits.HangTick)
	defer tick.Stop()
	var turn, step uint64
	ticks := 0
	for {
		select {
		case err := <-t.stepped:
			return err
		case <-tick.C:
			at, run := t.stepper.Progress()
			if now := t.guard.now(); at == 0 || at != turn || now != step {
				turn, step, ticks = at, now, 0
				continue
			}
			if ticks++; ticks >= hangTicks && t.guard.giveUp(step) {
				return t.abandoned(run)
			}
		}
	}
}

// abandoned goes on without the step goroutine, which hangs. No transaction is open
// for its batch, so nobody waits for it; when it comes back it exits and touches
// nothing of the tenure (C3). What was on its way commits without it.
func (t *tenure) abandoned(run record.RunID) error {
	t.stepper.Abandon()
	hung := &hungError{run: run, alone: t.alone, query: t.asking} // written before the step entered the guard
	if t.current != nil {
		origin := t.current.Origin
		hung.input = &origin
	}
	return t.failed(hung)
}
