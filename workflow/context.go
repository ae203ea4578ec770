package workflow

import (
	"log/slog"
	"time"
)

// Context is a run's access to everything outside its code. It is a small value:
// pass it on as the first argument. It belongs to one run and to the goroutine that
// the engine runs it on (A2): its use from another goroutine, or after the run has
// closed, makes the run stuck. The zero Context belongs to no run; its use panics.
type Context struct {
	host  Host
	def   *definition
	scope *Scope
}

const noRun = "workflow: this Context belongs to no run: workflow code gets its Context from the engine, as the first argument of the function given to Define; pass that one on"

// enter gives the run's host, if the run may be used here and now.
func (c Context) enter() Host {
	if c.host == nil {
		panic(noRun)
	}
	c.host.Enter()
	return c.host
}

// Now is the time of the current turn, in UTC, to the millisecond. It stands still
// while the code runs, moves whenever the run waits, never goes back, and is the
// same in replay (T1).
func Now(ctx Context) time.Time { return ctx.enter().Now().Time() }

// Info names the run.
func Info(ctx Context) RunInfo { return ctx.enter().Info() }

// Logger is the run's logger, with the attributes workflow_id, run_id and
// workflow_type. It is silent while history is replayed, so that a line is written
// when what it tells happens. A turn that the engine has to repeat, after a crash
// say, writes its lines again.
func Logger(ctx Context) *slog.Logger { return ctx.enter().Logger() }
