package partition

import (
	"fmt"
	"time"

	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/record"
)

// How a stuck run is tried again by itself: what may heal with time is, with a
// pause that doubles; the rest waits for another build (S3).
const (
	stuckRetryMin  = 10 * time.Second
	stuckRetryMax  = time.Hour
	stuckDetailMax = 8 << 10
)

// refuseRun says why the run's code must not run now.
func (p *Partition) refuseRun(e *entry) *machine.Refusal {
	if r := p.refuseType(e); r != nil {
		return r
	}
	if !e.coded {
		return noCode(e)
	}
	if r, ok := p.condemned[e.state.Run.Run]; ok {
		delete(p.condemned, e.state.Run.Run)
		return &r
	}
	return nil
}

func noCode(e *entry) *machine.Refusal {
	r := &e.state.Run
	version := ""
	if r.Version > 0 {
		version = fmt.Sprintf(" of version %d", r.Version)
	}
	return &machine.Refusal{Code: "no_code", Detail: fmt.Sprintf("this binary has no workflow type %q%s: deploy one that has it, and the run goes on by itself", r.Type, version)}
}

// heals reports whether time may mend what a code of a Refusal says.
func heals(code string) bool {
	switch code {
	case record.CodeTypePaused, "no_code", "divergence", "panic", "turn_limit", "payload_too_large":
		return false
	}
	return true
}

// stick notes why the run does not go on.
func (p *Partition) stick(e *entry, why *machine.Refusal, open bool) {
	p.touch(e)
	e.drop()
	row := &record.StuckRow{
		Code: why.Code, Detail: why.Detail[:min(len(why.Detail), stuckDetailMax)],
		Since: p.now, Build: p.cfg.Build, RetryAt: record.Never, TurnOpen: open, EventNext: e.state.Run.Events + 1,
	}
	if old := e.state.Stuck; old != nil {
		row.Since, row.Tries = old.Since, old.Tries+1
	}
	if heals(why.Code) {
		row.RetryAt = p.now.Add(min(stuckRetryMin<<min(row.Tries, 16), stuckRetryMax))
	}
	e.state.SetStuck(row)
	if row.Code == record.CodeTypePaused {
		return // as it should be
	}
	p.batch.Counts.Stuck++
	p.cfg.Logger.Warn("run is stuck", "workflow_id", e.state.Run.WorkflowID, "run_id", e.state.Run.Run.String(),
		"workflow_type", e.state.Run.Type, "partition", p.cfg.Partition, "code", row.Code, "detail", row.Detail)
}

// tryAgain reports whether a stuck run is to be tried now: by another build,
// because its time has come, or because its type is not paused any more.
func (p *Partition) tryAgain(e *entry) bool {
	s := e.state.Stuck
	switch {
	case e.state.Run.Paused:
		return false
	case s.Code == record.CodeTypePaused:
		return !p.typePaused(e.state.Run.Type)
	}
	return s.Build != p.cfg.Build || s.RetryAt <= p.now
}

// wait puts an input into the run's inbox.
func (p *Partition) wait(e *entry, row record.InboxRow) {
	p.touch(e)
	row.No = 1
	if n := len(e.state.Inbox); n > 0 {
		row.No = e.state.Inbox[n-1].No + 1
	}
	e.state.AddInbox(row)
}
