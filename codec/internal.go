package codec

import (
	"encoding/json"

	"github.com/odradek/odradek/record"
)

// Commands that engines give each other, on internal (S5). Cancels, terminates and
// signals between workflows look as they do on commands.
const (
	commandChildStart  = "child-start"
	commandChildStop   = "child-stop"
	commandChildReport = "child-report"
	commandAwait       = "await"
)

// Headers of the records that engines send each other.
const (
	headerParent   = "od-parent"    // <run ID>.<event> of who asked
	headerParentID = "od-parent-id" // its workflow ID; absent: the record's key
	headerStatus   = "od-status"    // how a run has closed; absent: there is none
	headerNow      = "od-now"       // 1: a child is to end at once
)

// EncodeChildStart makes the record that asks for a child. The caller sets the partition.
func EncodeChildStart(workflowID string, c *record.ChildStart) record.Output {
	w, key := internalHeaders(commandChildStart, workflowID, c.Parent, len(c.Type)+record.RunIDLen)
	w.text(HeaderRun, c.Run.String())
	w.text(HeaderType, c.Type)
	return internal(&w, key, workflowID, c.Input)
}

// EncodeChildStop makes the record that asks a child to end. The caller sets the
// partition.
func EncodeChildStop(workflowID string, c *record.ChildStop) record.Output {
	w, key := internalHeaders(commandChildStop, workflowID, c.Parent, len(c.Reason)+1)
	if c.Terminate {
		w.text(headerNow, "1")
	}
	w.text(HeaderReason, c.Reason)
	return internal(&w, key, workflowID, nil)
}

// EncodeAwait makes the record that asks for a report of a close. The caller sets the
// partition.
func EncodeAwait(workflowID string, c *record.Await) record.Output {
	w, key := internalHeaders(commandAwait, workflowID, c.Parent, 0)
	return internal(&w, key, workflowID, nil)
}

// EncodeChildReport makes the record that tells a run of a close. Its key is the
// parent's workflow ID. The caller sets the partition.
func EncodeChildReport(c *record.ChildReport) record.Output {
	w := newHeaders(4, len(c.Parent.WorkflowID)+len(commandChildReport)+taskIDLen+record.RunIDLen+16)
	key := w.key(c.Parent.WorkflowID)
	w.text(HeaderCommand, commandChildReport)
	w.task(headerParent, record.TaskID{Run: c.Parent.Run, No: c.Parent.Event})
	if !c.Run.IsZero() {
		w.text(HeaderRun, c.Run.String())
		w.text(headerStatus, c.Status.String())
	}
	value := c.Result
	if c.Status != record.StatusCompleted {
		value = appendFailureJSON(nil, &c.Failure)
	}
	return internal(&w, key, c.Parent.WorkflowID, value)
}

// EncodeSent makes the record of a signal from another workflow. Its command ID is the
// event that sent it. The caller sets the partition.
func EncodeSent(workflowID string, from record.TaskID, name string, payload []byte) record.Output {
	out := EncodeSignal(workflowID, &record.Signal{CommandID: from.String(), Name: name, Payload: payload})
	out.Topic = record.TopicInternal
	return out
}

func internalHeaders(cmd, workflowID string, p record.Parent, more int) (headerWriter, []byte) {
	w := newHeaders(5, len(workflowID)+len(cmd)+len(p.WorkflowID)+taskIDLen+more)
	key := w.key(workflowID)
	w.text(HeaderCommand, cmd)
	w.task(headerParent, record.TaskID{Run: p.Run, No: p.Event})
	w.text(headerParentID, p.WorkflowID)
	return w, key
}

func internal(w *headerWriter, key []byte, workflowID string, value []byte) record.Output {
	if len(value) == 0 { // the same bytes from a live run and from a chunk
		value = nil
	}
	return record.Output{Topic: record.TopicInternal, Key: key, Value: value, Headers: w.hs, WorkflowID: workflowID}
}

// decodeInternal reads what an engine has sent of its own.
func decodeInternal(w *wire, key, value []byte) record.Body {
	cmd := string(w.command)
	switch cmd {
	case commandChildStart, commandChildStop, commandChildReport, commandAwait:
	default:
		if w.signal == nil {
			return bad(CodeInternalInvalid, "a record on internal has no header %s and is nothing that engines write there: only they write that topic; write to commands or events", HeaderForward)
		}
		return decodeCommand(w, value)
	}
	from, err := record.ParseTaskID(string(w.parent[:min(len(w.parent), taskIDLen+1)]))
	if err != nil {
		return bad(CodeInternalInvalid, "header %s: %v: only engines write internal", headerParent, err)
	}
	parent := record.Parent{WorkflowID: string(key), Run: from.Run, Event: from.No}
	if cmd != commandChildReport {
		if parent.WorkflowID = string(w.parentID); record.CheckWorkflowID(parent.WorkflowID) != nil {
			return bad(CodeInternalInvalid, "header %s is no workflow ID: only engines write internal", headerParentID)
		}
	}
	var run record.RunID
	if len(w.run) > 0 {
		if run, err = record.ParseRunID(string(w.run[:min(len(w.run), 64)])); err != nil {
			return bad(CodeInternalInvalid, "header %s: %v: only engines write internal", HeaderRun, err)
		}
	}
	switch cmd {
	case commandChildStop:
		return &record.ChildStop{Parent: parent, Terminate: string(w.now) == "1", Reason: string(w.reason)}
	case commandAwait:
		return &record.Await{Parent: parent}
	case commandChildStart:
		if why := checkType(w.typ); why != nil {
			return why
		}
		if run.IsZero() {
			return bad(CodeInternalInvalid, "header %s is missing: only engines write internal", HeaderRun)
		}
		return &record.ChildStart{Parent: parent, Run: run, Type: string(w.typ), Input: value}
	}
	return decodeReport(w, parent, run, value)
}

func decodeReport(w *wire, parent record.Parent, run record.RunID, value []byte) record.Body {
	c := &record.ChildReport{Parent: parent, Run: run}
	if !run.IsZero() {
		if c.Status = record.ParseStatus(string(w.status)); !c.Status.Closed() {
			return bad(CodeInternalInvalid, "header %s is %q, no status of a closed run: only engines write internal", headerStatus, clip(w.status))
		}
	}
	if c.Status == record.StatusCompleted {
		c.Result = value
		return c
	}
	if err := json.Unmarshal(value, &c.Failure); err != nil {
		return bad(CodeFailureInvalid, "the value of a %s is a failure as JSON, but: %v", commandChildReport, err)
	}
	return c
}
