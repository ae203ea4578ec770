package partition

import (
	"fmt"
	"time"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

// Local is an attempt of a local task.
type Local struct {
	WorkflowID string
	Task       record.TaskID
	Attempt    uint32
	Input      []byte
	Name       string
	Timeout    time.Duration      // of the attempt; 0: the engine's own
	Call       workflow.LocalFunc // nil: the binary does not have it
}

// local lets an attempt of a local task be carried out after this batch.
func (p *Partition) local(e *entry, t *record.TaskRow, attempt uint32, input []byte) {
	l := Local{WorkflowID: e.state.Run.WorkflowID, Task: record.TaskID{Run: e.state.Run.Run, No: t.No}, Attempt: attempt, Input: input, Name: t.Operation, Timeout: t.Limits.Attempt}
	if e.coded {
		l.Call = e.def.Local(t.Operation)
	}
	p.batch.Locals = append(p.batch.Locals, l)
	p.batch.bytes += len(input)
	p.batch.Counts.Tasks++
}

// localAgain carries out a local task that was open when the partition was taken over:
// whoever had it before may be dead.
func (p *Partition) localAgain(e *entry, d record.Due) error {
	t := e.state.Task(d.No)
	if t == nil || !t.Local() {
		return nil
	}
	if a := e.state.Attempt(d.No); a != nil && a.NextAt > 0 {
		return nil // it waits for its time
	}
	ev, err := p.event(e, t.Chunk, t.No)
	if err != nil {
		return err
	}
	b, ok := ev.Body.(*record.LocalScheduled)
	if !ok {
		return fmt.Errorf("event %d of run %s of workflow %q is no local task, its row says so", t.No, e.state.Run.Run, e.state.Run.WorkflowID)
	}
	p.batch.Counts.Inputs++
	p.local(e, t, e.state.OpenAttempt(t.No), b.Input)
	return nil
}
