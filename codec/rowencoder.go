package codec

import (
	"encoding/binary"

	"github.com/odradek/odradek/record"
)

// blockBytes is how much a RowEncoder allocates at a time: some hundred rows
// share an allocation.
const blockBytes = 64 << 10

// RowEncoder makes rows of values: it is the machine's RowWriter, plus the rows
// that belong to a partition. The zero value is ready. It is for one goroutine.
//
// The bytes of rows are never written again, so that they may outlive the encoder
// (a batch in flight keeps them); the slice Rows is reused after Reset.
type RowEncoder struct {
	Rows []record.Row

	block []byte // rest of the current block: len is used, cap is not
}

// Reset forgets the rows.
func (e *RowEncoder) Reset() {
	clear(e.Rows)
	e.Rows = e.Rows[:0]
}

// key begins a row that needs at most size bytes, key included.
func (e *RowEncoder) begin(size int) []byte {
	if cap(e.block)-len(e.block) < size {
		e.block = make([]byte, 0, max(size, blockBytes))
	}
	return e.block[len(e.block):]
}

// put ends a row: b is what begin gave, with key and value appended.
func (e *RowEncoder) put(b []byte, keyLen int, travels bool) {
	e.Rows = append(e.Rows, record.Row{Key: b[:keyLen:keyLen], Value: b[keyLen:len(b):len(b)], Travels: travels})
	if len(b) <= cap(e.block)-len(e.block) { // else the size was wrong and b has grown out of the block
		e.block = e.block[:len(e.block)+len(b)]
	}
}

func (e *RowEncoder) delete(b []byte, travels bool) {
	e.put(b, len(b), travels)
	e.Rows[len(e.Rows)-1].Value = nil
}

// keyLen is an upper bound of the length of a key of a run's row.
func keyLen(workflowID string) int { return len(workflowID) + 64 }

// row begins a row of a run, with the format version written.
func (e *RowEncoder) row(kind RowKind, r *record.RunRow, no uint64, size int) (b []byte, n int) {
	b = AppendRowKey(e.begin(keyLen(r.WorkflowID)+size+1), kind, r.WorkflowID, r.Run, no)
	return append(b, rowFormat), len(b)
}

func (e *RowEncoder) deleteRow(kind RowKind, r *record.RunRow, no uint64) {
	e.delete(AppendRowKey(e.begin(keyLen(r.WorkflowID)), kind, r.WorkflowID, r.Run, no), kind.Travels())
}

// PutRun writes the run row.
func (e *RowEncoder) PutRun(r *record.RunRow) {
	b, n := e.row(RowRun, r, 0, 200+len(r.Type)+len(r.Build)+len(r.Parent.WorkflowID))
	e.put(appendRun(b, r), n, false)
}

// DeleteRun deletes the run row.
func (e *RowEncoder) DeleteRun(r *record.RunRow) { e.deleteRow(RowRun, r, 0) }

// PutTask writes an open task.
func (e *RowEncoder) PutTask(r *record.RunRow, t *record.TaskRow) {
	b, n := e.row(RowTask, r, t.No, taskRowLen(t))
	b = appendTaskRow(b, t)
	if t.Again > 0 || t.Key > 0 {
		b = appendTaken(b, t)
	}
	e.put(b, n, false)
}

// DeleteTask deletes a task that is no longer open.
func (e *RowEncoder) DeleteTask(r *record.RunRow, no uint64) { e.deleteRow(RowTask, r, no) }

// PutTimer writes an open timer.
func (e *RowEncoder) PutTimer(r *record.RunRow, t *record.TimerRow) {
	b, n := e.row(RowTimer, r, t.No, 10)
	e.put(appendMillis(b, t.Due), n, false)
}

// DeleteTimer deletes a timer that is no longer open.
func (e *RowEncoder) DeleteTimer(r *record.RunRow, no uint64) { e.deleteRow(RowTimer, r, no) }

// PutSignal writes a buffered signal.
func (e *RowEncoder) PutSignal(r *record.RunRow, s *record.SignalRow) {
	b, n := e.row(RowSignal, r, s.No, 16+len(s.Name))
	e.put(appendSignalRow(b, s), n, false)
}

// DeleteSignal deletes a signal that is consumed.
func (e *RowEncoder) DeleteSignal(r *record.RunRow, no uint64) { e.deleteRow(RowSignal, r, no) }

// PutChild writes an open child or an awaited workflow.
func (e *RowEncoder) PutChild(r *record.RunRow, c *record.ChildRow) {
	b, n := e.row(RowChild, r, c.No, 72+len(c.WorkflowID)+len(c.Type))
	e.put(appendChildRow(b, c), n, false)
}

// DeleteChild deletes a child that is no longer open.
func (e *RowEncoder) DeleteChild(r *record.RunRow, no uint64) { e.deleteRow(RowChild, r, no) }

// PutUpdate writes an update that waits for its answer.
func (e *RowEncoder) PutUpdate(r *record.RunRow, u *record.UpdateRow) {
	b, n := e.row(RowUpdate, r, u.No, 32+len(u.Name)+len(u.CommandID))
	e.put(appendUpdateRow(b, u), n, false)
}

// DeleteUpdate deletes an update that is answered.
func (e *RowEncoder) DeleteUpdate(r *record.RunRow, no uint64) { e.deleteRow(RowUpdate, r, no) }

// PutCommand writes which event a command ID became (I1).
func (e *RowEncoder) PutCommand(r *record.RunRow, c *record.CommandRow) {
	b := AppendCommandKey(e.begin(keyLen(r.WorkflowID)+len(c.CommandID)+16), r.WorkflowID, r.Run, c.CommandID)
	n := len(b)
	e.put(binary.AppendUvarint(append(b, rowFormat), c.Event), n, false)
}

// DeleteCommand deletes the row of a command ID.
func (e *RowEncoder) DeleteCommand(r *record.RunRow, commandID string) {
	e.delete(AppendCommandKey(e.begin(keyLen(r.WorkflowID)+len(commandID)), r.WorkflowID, r.Run, commandID), false)
}

// PutDue writes an entry of the due index.
func (e *RowEncoder) PutDue(d record.Due) {
	b := AppendDueKey(e.begin(keyLen(d.WorkflowID)+1), d)
	n := len(b)
	e.put(append(b, rowFormat), n, false)
}

// DeleteDue deletes an entry of the due index.
func (e *RowEncoder) DeleteDue(d record.Due) {
	e.delete(AppendDueKey(e.begin(keyLen(d.WorkflowID)), d), false)
}

// PutListing writes the run's entry in the listing.
func (e *RowEncoder) PutListing(r *record.RunRow) {
	b := appendListingKey(e.begin(64+len(r.Type)+len(r.WorkflowID)), r)
	n := len(b)
	e.put(appendBytes(append(b, rowFormat), r.WorkflowID), n, false)
}

// DeleteListing deletes the run's entry in the listing.
func (e *RowEncoder) DeleteListing(r *record.RunRow) {
	e.delete(appendListingKey(e.begin(64+len(r.Type)), r), false)
}

// PutChunk writes a chunk.
func (e *RowEncoder) PutChunk(r *record.RunRow, no uint32, events []record.HistoryEvent) {
	b := AppendChunkKey(e.begin(keyLen(r.WorkflowID)+chunkLen(events)), r.WorkflowID, r.Run, no)
	n := len(b)
	e.put(AppendChunk(b, events), n, true)
}

// DeleteChunk writes the tombstone of a chunk: from the last to the first (F2).
func (e *RowEncoder) DeleteChunk(r *record.RunRow, no uint32) {
	e.delete(AppendChunkKey(e.begin(keyLen(r.WorkflowID)), r.WorkflowID, r.Run, no), true)
}

// PutAttempt writes the attempts of an open task.
func (e *RowEncoder) PutAttempt(r *record.RunRow, a *record.AttemptRow) {
	b, n := e.row(RowAttempt, r, a.Task, 62+attemptsLen(a.Last)+len(a.Details))
	b = binary.AppendUvarint(b, uint64(a.Open))
	b = appendMillis(b, a.NextAt)
	b = appendAttempts(b, a.Last)
	b = binary.AppendUvarint(b, uint64(a.Free))
	b = appendMillis(b, a.OutAt)
	b = appendMillis(b, a.BeatAt)
	b = appendOptionalBytes(b, a.Details)
	b = appendBool(b, a.Pending)
	e.put(binary.AppendUvarint(b, uint64(a.Sending)), n, true)
}

// DeleteAttempt deletes the attempts of a task.
func (e *RowEncoder) DeleteAttempt(r *record.RunRow, task uint64) { e.deleteRow(RowAttempt, r, task) }

// PutStuck writes why a run does not go on.
func (e *RowEncoder) PutStuck(r *record.RunRow, s *record.StuckRow) {
	b, n := e.row(RowStuck, r, 0, 80+len(s.Code)+len(s.Detail)+len(s.Build))
	e.put(appendStuck(b, s), n, true)
}

// DeleteStuck says that the run goes on.
func (e *RowEncoder) DeleteStuck(r *record.RunRow) { e.deleteRow(RowStuck, r, 0) }

// PutInbox writes a waiting input (T4).
func (e *RowEncoder) PutInbox(r *record.RunRow, i *record.InboxRow) {
	size := 64
	switch {
	case i.Signal != nil:
		size += len(i.Signal.CommandID) + len(i.Signal.Name) + len(i.Signal.Payload)
	case i.Cancel != nil:
		size += 32 + len(i.Cancel.CommandID) + len(i.Cancel.Reason) + len(i.Cancel.By)
	case i.Update != nil:
		size += len(i.Update.CommandID) + len(i.Update.Name) + len(i.Update.Payload)
	case i.Report != nil:
		size += 64 + len(i.Report.Parent.WorkflowID) + len(i.Report.Result) + failureLen(&i.Report.Failure)
	case i.Completed != nil:
		size += len(i.Completed.Result)
	case i.Failed != nil:
		size += failureLen(&i.Failed.Failure)
	}
	b, n := e.row(RowInbox, r, i.No, size)
	e.put(appendInbox(b, i), n, true)
}

// DeleteInbox deletes an input that no longer waits.
func (e *RowEncoder) DeleteInbox(r *record.RunRow, no uint64) { e.deleteRow(RowInbox, r, no) }

// PutSummary writes what stays of a closed run (F4).
func (e *RowEncoder) PutSummary(s *record.SummaryRow) {
	b, n := e.row(RowSummary, &s.RunRow, 0, summaryLen(s))
	e.put(appendSummary(b, s), n, true)
}

// DeleteSummary makes the run unknown.
func (e *RowEncoder) DeleteSummary(s *record.SummaryRow) { e.deleteRow(RowSummary, &s.RunRow, 0) }

// PutDeadLetter writes a dead letter. One that exceeds what a record of the
// changelog can carry is cut, and says so.
func (e *RowEncoder) PutDeadLetter(d *record.DeadLetterRow) {
	d = fitDeadLetter(d)
	b := appendDeadLetterKey(e.begin(128+deadLetterLen(d)), d.Origin)
	n := len(b)
	e.put(appendDeadLetter(append(b, rowFormat), d), n, true)
}

// DeleteDeadLetter deletes the dead letter of a record.
func (e *RowEncoder) DeleteDeadLetter(origin record.Origin) {
	e.delete(appendDeadLetterKey(e.begin(32), origin), true)
}

// PutOwnership writes the partition's slots (S1).
func (e *RowEncoder) PutOwnership(o *record.OwnershipRow) {
	b := AppendPartitionKey(e.begin(40+6*len(o.Owned)+20*len(o.Moved)), RowOwnership)
	n := len(b)
	e.put(appendOwnership(append(b, rowFormat), o), n, true)
}

// PutType writes what was done to a workflow type.
func (e *RowEncoder) PutType(t *record.TypeRow) {
	size := 32 + len(t.Type)
	for i := range t.Acts {
		a := &t.Acts[i]
		size += 32 + len(a.CommandID) + len(a.Reason) + len(a.By)
	}
	b := AppendTypeKey(e.begin(size), t.Type)
	n := len(b)
	e.put(appendType(append(b, rowFormat), t), n, true)
}

// PutPositions writes the lane's input positions, the last row of every batch.
func (e *RowEncoder) PutPositions(p record.Positions) {
	b := AppendPartitionKey(e.begin(80), RowPositions)
	n := len(b)
	e.put(appendPositions(append(b, rowFormat), p), n, true)
}

// PutAttributes writes the search attributes of a run.
func (e *RowEncoder) PutAttributes(r *record.RunRow, as []record.Attribute) {
	n := 8
	for i := range as {
		n += 16 + len(as[i].Name) + len(as[i].Value)
	}
	b, at := e.row(RowAttributes, r, 0, n)
	e.put(appendAttributes(b, as), at, false)
}

// DeleteAttributes says that the run has none.
func (e *RowEncoder) DeleteAttributes(r *record.RunRow) { e.deleteRow(RowAttributes, r, 0) }

// PutIndex lets the run be found by an attribute.
func (e *RowEncoder) PutIndex(r *record.RunRow, a *record.Attribute) {
	b := appendIndexKey(e.begin(indexLen(r, a)), r, a)
	n := len(b)
	b = append(b, rowFormat)
	e.put(appendBytes(b, r.WorkflowID), n, false)
}

// DeleteIndex undoes PutIndex.
func (e *RowEncoder) DeleteIndex(r *record.RunRow, a *record.Attribute) {
	e.delete(appendIndexKey(e.begin(indexLen(r, a)), r, a), false)
}

func indexLen(r *record.RunRow, a *record.Attribute) int {
	return 48 + len(a.Name) + len(a.Value) + len(r.WorkflowID)
}
