package machine

import (
	"fmt"
	"time"

	"github.com/odradek/odradek/record"
)

// Received is what an input means for its run. Nothing is changed yet (M5): an
// Event is applied after the code has run its turn, an Attempt at once.
type Received struct {
	Event   record.HistoryBody // starts a turn; nil: the run's code has nothing to see
	Attempt *record.AttemptRow // the open attempt failed, another follows
	Outcome record.Outcome     // of a command
	Detail  string             // for people, with a rejection
	Ignored string             // why an event or a timer changes nothing: a label of metrics
}

func rejected(o record.Outcome, format string, args ...any) Received {
	return Received{Outcome: o, Detail: fmt.Sprintf(format, args...)}
}

// Type checks payloads for a workflow type, before they become history.
type Type interface {
	CheckInput(input []byte) error
	CheckSignal(name string, payload []byte) error
	CheckUpdate(name string, payload []byte) error
}

// Existing is what must be known of a run to judge a start with its workflow ID.
type Existing struct {
	Known bool   // the start's command ID is one of the run's
	Type  string // workflow type of the run
	Input uint64 // canonical hash of its input (I2)
}

// ReceiveStart judges a start. s is the workflow's current run, nil if there is
// none; typ is nil for a workflow type that the binary does not have: its run
// waits without code unless refuse is set (S3). input is the canonical hash of
// the start's input.
func ReceiveStart(s *State, c *record.Start, input uint64, e Existing, typ Type, version uint32, refuse bool) Received {
	switch {
	case s != nil && e.Known:
		return Received{Outcome: record.OutcomeRepeated}
	case s != nil && reusable(s.Run.Status, c.Reuse):
	case s != nil && e.Type == c.Type && e.Input == input:
		return Received{Outcome: record.OutcomeRepeated}
	case s != nil && e.Type != c.Type:
		return rejected(record.OutcomeConflict, "workflow ID %q is in use by a run of type %q, which was to be %q: choose another ID", s.Run.WorkflowID, e.Type, c.Type)
	case s != nil:
		return rejected(record.OutcomeConflict, "workflow ID %q is in use by run %s, which was started with another input: choose another ID, or send the same input to get that run", s.Run.WorkflowID, s.Run.Run)
	}
	if typ == nil && refuse {
		return rejected(record.OutcomeUnknownType, "workflow type %q is not compiled into this engine", c.Type)
	}
	if typ != nil {
		if err := typ.CheckInput(c.Input); err != nil {
			return rejected(record.OutcomeInvalid, "input of workflow type %q: %v", c.Type, err)
		}
		if why := checkWith(c, typ); why != nil {
			return *why
		}
	}
	return Received{
		Event:   &record.RunStarted{Type: c.Type, Version: version, Input: c.Input, CommandID: c.CommandID},
		Outcome: record.OutcomeStarted,
	}
}

// reusable reports whether a start may follow a run of that status.
func reusable(s record.Status, p record.ReusePolicy) bool {
	switch p {
	case record.ReuseFailed:
		return s.Closed() && s != record.StatusCompleted
	case record.ReuseClosed:
		return s.Closed()
	case record.ReuseTerminate:
		return true
	}
	return false
}

// checkWith checks what a start gives the run.
func checkWith(c *record.Start, typ Type) *Received {
	var err error
	var what string
	switch {
	case c.Signal != nil:
		what, err = "signal "+c.Signal.Name, typ.CheckSignal(c.Signal.Name, c.Signal.Payload)
	case c.Update != nil:
		what, err = "update "+c.Update.Name, typ.CheckUpdate(c.Update.Name, c.Update.Payload)
	}
	if err == nil {
		return nil
	}
	r := rejected(record.OutcomeInvalid, "%s of workflow type %q: %v", what, c.Type, err)
	return &r
}

// ReceiveUpdate judges an update. The arguments are as ReceiveSignal's. The run's code
// may refuse it still.
func ReceiveUpdate(s *State, workflowID string, c *record.Update, known bool, typ Type) Received {
	switch {
	case s == nil:
		return rejected(record.OutcomeNotFound, "no workflow has the ID %q: start it first, or check the ID", workflowID)
	case known:
		return Received{Outcome: record.OutcomeRepeated}
	case s.Run.Status.Closed():
		return rejected(record.OutcomeClosed, "run %s of workflow %q is %s: it takes no more updates", s.Run.Run, workflowID, s.Run.Status)
	}
	if typ != nil {
		if err := typ.CheckUpdate(c.Name, c.Payload); err != nil {
			return rejected(record.OutcomeInvalid, "update %q of workflow type %q: %v", c.Name, s.Run.Type, err)
		}
	}
	return Received{
		Event:   &record.UpdateReceived{Name: c.Name, Payload: c.Payload, CommandID: c.CommandID},
		Outcome: record.OutcomeApplied,
	}
}

// ReceiveSignal judges a signal. known says that its command ID is one of the
// run's; typ is nil while the binary lacks the run's code: the signal then waits
// unchecked.
func ReceiveSignal(s *State, workflowID string, c *record.Signal, known bool, typ Type) Received {
	switch {
	case s == nil:
		return rejected(record.OutcomeNotFound, "no workflow has the ID %q: start it first, or check the ID", workflowID)
	case known:
		return Received{Outcome: record.OutcomeRepeated}
	case s.Run.Status.Closed():
		return rejected(record.OutcomeClosed, "run %s of workflow %q is %s: it takes no more signals", s.Run.Run, workflowID, s.Run.Status)
	}
	if typ != nil {
		if err := typ.CheckSignal(c.Name, c.Payload); err != nil {
			return rejected(record.OutcomeInvalid, "signal %q of workflow type %q: %v", c.Name, s.Run.Type, err)
		}
	}
	return Received{
		Event:   &record.SignalReceived{Name: c.Name, Payload: c.Payload, CommandID: c.CommandID},
		Outcome: record.OutcomeApplied,
	}
}

// ReceiveCancel judges a request to end. known is as ReceiveSignal's.
func ReceiveCancel(s *State, workflowID string, c *record.Cancel, known bool) Received {
	if r, refused := ending(s, workflowID, c.Run, known); refused {
		return r
	}
	return Received{Event: &record.CancelRequested{CommandID: c.CommandID, Reason: c.Reason, By: c.By}, Outcome: record.OutcomeApplied}
}

// ReceiveTerminate judges an order to close at once. known is as ReceiveSignal's,
// retain is how long the history is kept (F4).
func ReceiveTerminate(s *State, workflowID string, c *record.Terminate, known bool, retain time.Duration) Received {
	if r, refused := ending(s, workflowID, c.Run, known); refused {
		return r
	}
	return Received{Event: &record.RunTerminated{CommandID: c.CommandID, Reason: c.Reason, By: c.By, Retain: retain}, Outcome: record.OutcomeApplied}
}

// ending is what cancel and terminate have in common.
func ending(s *State, workflowID string, run record.RunID, known bool) (Received, bool) {
	switch {
	case s == nil:
		return rejected(record.OutcomeNotFound, "no workflow has the ID %q: check the ID", workflowID), true
	case known:
		return Received{Outcome: record.OutcomeRepeated}, true
	case !run.IsZero() && s.Run.Run != run:
		return rejected(record.OutcomeNotFound, "the current run of workflow %q is %s, not %s: leave the run out to reach the current one", workflowID, s.Run.Run, run), true
	case s.Run.Status.Closed():
		return rejected(record.OutcomeClosed, "run %s of workflow %q is %s already", s.Run.Run, workflowID, s.Run.Status), true
	}
	return Received{}, false
}

// ReceiveTimer judges a due timer.
func ReceiveTimer(s *State, no uint64) Received {
	if s.Timer(no) == nil {
		return Received{Ignored: "timer_closed"}
	}
	return Received{Event: &record.TimerFired{Timer: no}}
}

// ReceiveChildStart judges the start of a child. s and typ are as ReceiveStart's.
func ReceiveChildStart(s *State, workflowID string, c *record.ChildStart, typ Type, version uint32, refuse bool) Received {
	switch {
	case s != nil && s.Run.Run == c.Run:
		return Received{Outcome: record.OutcomeRepeated}
	case s != nil:
		return rejected(record.OutcomeConflict, "workflow ID %q is in use by run %s of type %q", workflowID, s.Run.Run, s.Run.Type)
	case typ == nil && refuse:
		return rejected(record.OutcomeUnknownType, "workflow type %q is not compiled into this engine", c.Type)
	}
	if typ != nil {
		if err := typ.CheckInput(c.Input); err != nil {
			return rejected(record.OutcomeInvalid, "input of workflow type %q: %v", c.Type, err)
		}
	}
	return Received{Event: &record.RunStarted{Type: c.Type, Version: version, Input: c.Input, Parent: c.Parent}, Outcome: record.OutcomeStarted}
}

// ReceiveReport judges the report that a child, or an awaited workflow, has closed.
func ReceiveReport(s *State, c *record.ChildReport) Received {
	if s == nil || s.Run.Status.Closed() {
		return Received{Ignored: "run_closed"}
	}
	for i := range s.Children {
		if s.Children[i].From == (record.TaskID{Run: c.Parent.Run, No: c.Parent.Event}) {
			return Received{Event: &record.ChildClosed{Child: s.Children[i].No, Run: c.Run, Status: c.Status, Result: c.Result, Failure: c.Failure}}
		}
	}
	return Received{Ignored: "child_closed"}
}

// Child finds an open child or awaited workflow; nil if it is not open.
func (s *State) Child(no uint64) *record.ChildRow { return find(s.Children, no, childNo) }

// ReceiveOperate judges an operator's command as far as it is the same for all: without an
// outcome the run is there and the command is new. known is as ReceiveSignal's.
func ReceiveOperate(s *State, workflowID string, c *record.Operate, known bool) Received {
	switch {
	case s == nil:
		return rejected(record.OutcomeNotFound, "no workflow has the ID %q: check the ID", workflowID)
	case known:
		return Received{Outcome: record.OutcomeRepeated}
	case !c.Run.IsZero() && s.Run.Run != c.Run:
		return rejected(record.OutcomeNotFound, "the current run of workflow %q is %s, not %s: leave the run out to reach the current one", workflowID, s.Run.Run, c.Run)
	}
	return Received{}
}
