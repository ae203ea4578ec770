package codec

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/odradek/odradek/record"
)

// Values of rows. What stands in the key is not repeated; every value begins with
// its format version (K4). Each Decode is the inverse of the RowEncoder's Put;
// payloads alias the value.

func appendRun(dst []byte, r *record.RunRow) []byte {
	dst = appendBytes(dst, r.Type)
	dst = binary.AppendUvarint(dst, uint64(r.Version))
	dst = append(dst, byte(r.Status))
	dst = appendMillis(dst, r.StartedAt)
	dst = appendMillis(dst, r.ClosedAt)
	dst = appendMillis(dst, r.UpdatedAt)
	dst = binary.AppendUvarint(dst, r.Events)
	dst = binary.AppendUvarint(dst, uint64(r.Chunks))
	dst = binary.AppendUvarint(dst, r.CloseEvent)
	dst = binary.AppendUvarint(dst, uint64(r.CloseChunk))
	dst = appendMillis(dst, r.DropAt)
	dst = binary.AppendUvarint(dst, uint64(r.OpenTasks))
	dst = binary.AppendUvarint(dst, uint64(r.OpenTimers))
	dst = binary.AppendUvarint(dst, uint64(r.OpenSignals))
	dst = binary.AppendUvarint(dst, uint64(r.OpenChildren))
	dst = binary.AppendUvarint(dst, uint64(r.OpenUpdates))
	flags := byte(0)
	if !r.Parent.IsZero() {
		flags |= runHasParent
	}
	if r.CancelAsked {
		flags |= runCancelAsked
	}
	if !r.Previous.IsZero() {
		flags |= runHasPrevious
	}
	if r.Awaited {
		flags |= runAwaited
	}
	if r.Rewound {
		flags |= runRewound
	}
	if r.Paused {
		flags |= runPaused
	}
	dst = append(dst, flags)
	dst = appendBytes(dst, r.Build)
	if flags&runHasParent != 0 {
		dst = appendParent(dst, r.Parent)
	}
	if flags&runHasPrevious != 0 {
		dst = append(dst, r.Previous[:]...)
	}
	return dst
}

// Flags of a run row.
const (
	runHasParent   = 1
	runCancelAsked = 2
	runHasPrevious = 4
	runAwaited     = 8
	runRewound     = 16
	runPaused      = 32
	runFlags       = 63
)

func (r *reader) run(k Key) record.RunRow {
	row := record.RunRow{
		WorkflowID: k.WorkflowID, Run: k.Run,
		Type: r.string(), Version: r.uint32(), Status: record.Status(r.byte()),
		StartedAt: r.millis(), ClosedAt: r.millis(), UpdatedAt: r.millis(),
		Events: r.uvarint(), Chunks: r.uint32(), CloseEvent: r.uvarint(), CloseChunk: r.uint32(), DropAt: r.millis(),
		OpenTasks: r.uint32(), OpenTimers: r.uint32(), OpenSignals: r.uint32(),
		OpenChildren: r.uint32(), OpenUpdates: r.uint32(),
	}
	flags := r.byte()
	if flags > runFlags {
		r.fail("a run row has a flag that does not exist")
	}
	row.Build = r.string()
	if flags&runHasParent != 0 {
		row.Parent = r.parent()
	}
	if flags&runHasPrevious != 0 {
		row.Previous = r.runID()
	}
	row.CancelAsked, row.Awaited = flags&runCancelAsked != 0, flags&runAwaited != 0
	row.Rewound, row.Paused = flags&runRewound != 0, flags&runPaused != 0
	return row
}

// decoded wraps a reader's fault with the row that it was found in.
func decoded[T any](r *reader, k Key, what string, v T) (T, error) {
	if err := r.end(); err != nil {
		var zero T
		return zero, fmt.Errorf("%s row of run %s of workflow %q: %w", what, k.Run, k.WorkflowID, err)
	}
	return v, nil
}

// DecodeRunRow decodes a run row.
func DecodeRunRow(k Key, value []byte) (record.RunRow, error) {
	r := newReader(value)
	return decoded(&r, k, "run", r.run(k))
}

// DecodeTaskRow decodes an open task.
func DecodeTaskRow(k Key, value []byte) (record.TaskRow, error) {
	r := newReader(value)
	t := r.taskRow(k.No)
	if len(r.b) > 0 {
		r.taken(&t)
	}
	return decoded(&r, k, "task", t)
}

func appendTaskRow(dst []byte, t *record.TaskRow) []byte {
	dst = binary.AppendUvarint(dst, uint64(t.Chunk))
	dst = appendBytes(dst, t.Service)
	dst = appendBytes(dst, t.Operation)
	dst = appendPolicy(dst, t.Policy)
	dst = appendLimits(dst, t.Limits, t.LimitKey)
	return appendMillis(dst, t.ScheduledAt)
}

// appendTaken appends what a task has that an operator has taken up; a row of any other
// task ends before it.
func appendTaken(dst []byte, t *record.TaskRow) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, t.Again), t.Key)
}

func (r *reader) taken(t *record.TaskRow) { t.Again, t.Key = r.uvarint(), r.uvarint() }

func taskRowLen(t *record.TaskRow) int {
	return 200 + len(t.Service) + len(t.Operation) + len(t.Policy.NonRetryable) + len(t.LimitKey)
}

func (r *reader) taskRow(no uint64) record.TaskRow {
	t := record.TaskRow{No: no, Chunk: r.uint32(), Service: r.string(), Operation: r.string(), Policy: r.policy()}
	t.Limits, t.LimitKey = r.limits()
	t.ScheduledAt = r.millis()
	return t
}

func appendSignalRow(dst []byte, s *record.SignalRow) []byte {
	return appendBytes(binary.AppendUvarint(dst, uint64(s.Chunk)), s.Name)
}

func (r *reader) signalRow(no uint64) record.SignalRow {
	return record.SignalRow{No: no, Chunk: r.uint32(), Name: r.string()}
}

func appendChildRow(dst []byte, c *record.ChildRow) []byte {
	dst = appendBytes(dst, c.WorkflowID)
	dst = appendBytes(dst, c.Type)
	dst = append(append(dst, byte(c.Close)), c.Run[:]...)
	return appendBool(appendTaskOf(dst, c.From), c.Asked)
}

func (r *reader) childRow(no uint64) record.ChildRow {
	return record.ChildRow{No: no, WorkflowID: r.string(), Type: r.string(), Close: record.ClosePolicy(r.byte()), Run: r.runID(), From: r.task(), Asked: r.bool()}
}

func appendUpdateRow(dst []byte, u *record.UpdateRow) []byte {
	return appendBytes(appendBytes(binary.AppendUvarint(dst, uint64(u.Chunk)), u.Name), u.CommandID)
}

func (r *reader) updateRow(no uint64) record.UpdateRow {
	return record.UpdateRow{No: no, Chunk: r.uint32(), Name: r.string(), CommandID: r.string()}
}

// appendOpened appends what is open in a run: each row after its number.
func appendOpened(dst []byte, o *record.Opened) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(o.Tasks)))
	for i := range o.Tasks {
		dst = appendTaken(appendTaskRow(binary.AppendUvarint(dst, o.Tasks[i].No), &o.Tasks[i]), &o.Tasks[i])
	}
	dst = binary.AppendUvarint(dst, uint64(len(o.Timers)))
	for i := range o.Timers {
		dst = appendMillis(binary.AppendUvarint(dst, o.Timers[i].No), o.Timers[i].Due)
	}
	dst = binary.AppendUvarint(dst, uint64(len(o.Signals)))
	for i := range o.Signals {
		dst = appendSignalRow(binary.AppendUvarint(dst, o.Signals[i].No), &o.Signals[i])
	}
	dst = binary.AppendUvarint(dst, uint64(len(o.Children)))
	for i := range o.Children {
		dst = appendChildRow(binary.AppendUvarint(dst, o.Children[i].No), &o.Children[i])
	}
	dst = binary.AppendUvarint(dst, uint64(len(o.Updates)))
	for i := range o.Updates {
		dst = appendUpdateRow(binary.AppendUvarint(dst, o.Updates[i].No), &o.Updates[i])
	}
	return appendBool(appendAttributes(dst, o.Attributes), o.CancelAsked)
}

func (r *reader) opened() (o record.Opened) {
	o.Tasks = rowsOf(r, func(no uint64) record.TaskRow {
		t := r.taskRow(no)
		r.taken(&t)
		return t
	})
	o.Timers = rowsOf(r, func(no uint64) record.TimerRow { return record.TimerRow{No: no, Due: r.millis()} })
	o.Signals = rowsOf(r, r.signalRow)
	o.Children = rowsOf(r, r.childRow)
	o.Updates = rowsOf(r, r.updateRow)
	o.Attributes = r.attributes()
	o.CancelAsked = r.bool()
	return o
}

func rowsOf[T any](r *reader, row func(no uint64) T) (out []T) {
	for n := r.count(2); n > 0 && r.err == nil; n-- {
		out = append(out, row(r.uvarint()))
	}
	return out
}

func openedLen(o *record.Opened) int {
	n := 80
	for i := range o.Tasks {
		n += 10 + taskRowLen(&o.Tasks[i])
	}
	n += 24 * len(o.Timers)
	for i := range o.Signals {
		n += 32 + len(o.Signals[i].Name)
	}
	for i := range o.Children {
		n += 100 + len(o.Children[i].WorkflowID) + len(o.Children[i].Type)
	}
	for i := range o.Updates {
		n += 48 + len(o.Updates[i].Name) + len(o.Updates[i].CommandID)
	}
	for i := range o.Attributes {
		n += 16 + len(o.Attributes[i].Name) + len(o.Attributes[i].Value)
	}
	return n
}

// DecodeTimerRow decodes an open timer.
func DecodeTimerRow(k Key, value []byte) (record.TimerRow, error) {
	r := newReader(value)
	return decoded(&r, k, "timer", record.TimerRow{No: k.No, Due: r.millis()})
}

// DecodeSignalRow decodes a buffered signal.
func DecodeSignalRow(k Key, value []byte) (record.SignalRow, error) {
	r := newReader(value)
	return decoded(&r, k, "signal", r.signalRow(k.No))
}

// DecodeChildRow decodes an open child.
func DecodeChildRow(k Key, value []byte) (record.ChildRow, error) {
	r := newReader(value)
	return decoded(&r, k, "child", r.childRow(k.No))
}

// DecodeUpdateRow decodes an update that waits for its answer.
func DecodeUpdateRow(k Key, value []byte) (record.UpdateRow, error) {
	r := newReader(value)
	return decoded(&r, k, "update", r.updateRow(k.No))
}

// DecodeCommandRow decodes a command ID's event.
func DecodeCommandRow(k Key, value []byte) (record.CommandRow, error) {
	r := newReader(value)
	return decoded(&r, k, "command", record.CommandRow{CommandID: k.CommandID, Event: r.uvarint()})
}

// DecodeAttemptRow decodes the attempts of a task.
func DecodeAttemptRow(k Key, value []byte) (record.AttemptRow, error) {
	r := newReader(value)
	return decoded(&r, k, "attempt", record.AttemptRow{
		Task: k.No, Open: r.uint32(), NextAt: r.millis(), Last: r.attempts(), Free: r.uint32(), OutAt: r.millis(), BeatAt: r.millis(), Details: r.optional(), Pending: r.bool(), Sending: r.uint32(),
	})
}

func appendStuck(dst []byte, s *record.StuckRow) []byte {
	dst = appendBytes(dst, s.Code)
	dst = appendBytes(dst, s.Detail)
	dst = appendMillis(dst, s.Since)
	dst = appendBytes(dst, s.Build)
	dst = binary.AppendUvarint(dst, uint64(s.Tries))
	dst = appendMillis(dst, s.RetryAt)
	dst = appendBool(dst, s.TurnOpen)
	return binary.AppendUvarint(dst, s.EventNext)
}

// DecodeStuckRow decodes why a run does not go on.
func DecodeStuckRow(k Key, value []byte) (record.StuckRow, error) {
	r := newReader(value)
	return decoded(&r, k, "stuck", record.StuckRow{
		Code: r.string(), Detail: r.string(), Since: r.millis(), Build: r.string(),
		Tries: r.uint32(), RetryAt: r.millis(), TurnOpen: r.bool(), EventNext: r.uvarint(),
	})
}

// What waits in an inbox row.
const (
	inboxSignal    = 1
	inboxCompleted = 2
	inboxFailed    = 3
	inboxTimer     = 4
	inboxCancel    = 5
	inboxReport    = 6
	inboxUpdate    = 7
)

func appendInbox(dst []byte, i *record.InboxRow) []byte {
	switch {
	case i.Signal != nil:
		s := i.Signal
		dst = append(dst, inboxSignal)
		dst = appendBytes(dst, s.CommandID)
		dst = appendBytes(dst, s.Name)
		dst = appendBool(dst, s.Reply)
		return appendBytes(dst, s.Payload)
	case i.Cancel != nil:
		c := i.Cancel
		dst = append(dst, inboxCancel)
		dst = appendBytes(dst, c.CommandID)
		dst = append(dst, c.Run[:]...)
		dst = appendBytes(dst, c.Reason)
		dst = appendBytes(dst, c.By)
		return appendBool(dst, c.Reply)
	case i.Update != nil:
		u := i.Update
		dst = append(dst, inboxUpdate)
		dst = appendBytes(dst, u.CommandID)
		dst = appendBytes(dst, u.Name)
		return appendBytes(dst, u.Payload)
	case i.Report != nil:
		c := i.Report
		dst = append(dst, inboxReport)
		dst = appendParent(dst, c.Parent)
		dst = append(dst, c.Run[:]...)
		dst = append(dst, byte(c.Status))
		dst = appendFailure(dst, &c.Failure)
		return appendBytes(dst, c.Result)
	case i.Completed != nil:
		c := i.Completed
		dst = append(dst, inboxCompleted)
		dst = appendTask(dst, c.Task, c.Attempt)
		return appendBytes(dst, c.Result)
	case i.Failed != nil:
		f := i.Failed
		dst = append(dst, inboxFailed)
		dst = appendTask(dst, f.Task, f.Attempt)
		return appendFailure(dst, &f.Failure)
	}
	dst = append(dst, inboxTimer)
	return binary.AppendUvarint(dst, i.Timer)
}

func appendTask(dst []byte, t record.TaskID, attempt uint32) []byte {
	return binary.AppendUvarint(appendTaskOf(dst, t), uint64(attempt))
}

func appendTaskOf(dst []byte, t record.TaskID) []byte {
	return binary.AppendUvarint(append(dst, t.Run[:]...), t.No)
}

func (r *reader) task() record.TaskID { return record.TaskID{Run: r.runID(), No: r.uvarint()} }

// DecodeInboxRow decodes a waiting input.
func DecodeInboxRow(k Key, value []byte) (record.InboxRow, error) {
	r := newReader(value)
	row := record.InboxRow{No: k.No}
	switch what := r.byte(); what {
	case inboxSignal:
		row.Signal = &record.Signal{CommandID: r.string(), Name: r.string(), Reply: r.bool(), Payload: r.bytes()}
	case inboxCompleted:
		row.Completed = &record.TaskCompleted{Task: r.task(), Attempt: r.uint32(), Result: r.bytes()}
	case inboxFailed:
		row.Failed = &record.TaskFailed{Task: r.task(), Attempt: r.uint32(), Failure: r.failure()}
	case inboxCancel:
		row.Cancel = &record.Cancel{CommandID: r.string(), Run: r.runID(), Reason: r.string(), By: r.string(), Reply: r.bool()}
	case inboxUpdate:
		row.Update = &record.Update{CommandID: r.string(), Name: r.string(), Payload: r.bytes()}
	case inboxReport:
		row.Report = &record.ChildReport{Parent: r.parent(), Run: r.runID(), Status: record.Status(r.byte()), Failure: r.failure(), Result: r.bytes()}
	case inboxTimer:
		row.Timer = r.uvarint()
	case 0:
		r.fail("a waiting input without kind")
	default:
		if r.err == nil {
			r.err = fmt.Errorf("waiting input of kind %d: %w", what, ErrFormatNewer)
		}
	}
	return decoded(&r, k, "inbox", row)
}

func appendSummary(dst []byte, s *record.SummaryRow) []byte {
	dst = appendRun(dst, &s.RunRow)
	dst = binary.BigEndian.AppendUint64(dst, s.Input)
	dst = appendMillis(dst, s.ExpireAt)
	dst = appendBytes(dst, s.Result)
	dst = appendBool(dst, s.Failure != nil)
	if s.Failure != nil {
		dst = appendFailure(dst, s.Failure)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.CommandIDs)))
	for _, id := range s.CommandIDs {
		dst = appendBytes(dst, id)
	}
	return appendAttributes(dst, s.Attributes)
}

func summaryLen(s *record.SummaryRow) int {
	n := 200 + len(s.Type) + len(s.Build) + len(s.Parent.WorkflowID) + len(s.Result)
	for i := range s.Attributes {
		n += 16 + len(s.Attributes[i].Name) + len(s.Attributes[i].Value)
	}
	if s.Failure != nil {
		n += failureLen(s.Failure)
	}
	for _, id := range s.CommandIDs {
		n += 3 + len(id)
	}
	return n
}

// DecodeSummaryRow decodes the summary of a closed run.
func DecodeSummaryRow(k Key, value []byte) (record.SummaryRow, error) {
	r := newReader(value)
	s := record.SummaryRow{RunRow: r.run(k), Input: r.uint64(), ExpireAt: r.millis(), Result: r.bytes()}
	if r.bool() {
		f := r.failure()
		s.Failure = &f
	}
	for n := r.count(1); n > 0 && r.err == nil; n-- {
		s.CommandIDs = append(s.CommandIDs, r.string())
	}
	s.Attributes = r.attributes()
	return decoded(&r, k, "summary", s)
}

func appendOwnership(dst []byte, o *record.OwnershipRow) []byte {
	dst = binary.AppendUvarint(dst, o.Version)
	dst = binary.AppendUvarint(dst, uint64(len(o.Owned)))
	for _, s := range o.Owned {
		dst = binary.AppendUvarint(dst, uint64(s.First))
		dst = binary.AppendUvarint(dst, uint64(s.Last))
	}
	dst = binary.AppendUvarint(dst, uint64(len(o.Moved)))
	for _, m := range o.Moved {
		dst = binary.AppendUvarint(dst, uint64(m.Slot))
		dst = binary.AppendVarint(dst, int64(m.To))
		dst = binary.AppendUvarint(dst, m.Version)
	}
	return dst
}

func (r *reader) slot() uint16 {
	v := r.uvarint()
	if v > math.MaxUint16 {
		r.fail("a slot exceeds 16 bits")
		return 0
	}
	return uint16(v)
}

// DecodeOwnershipRow decodes the slots of a partition.
func DecodeOwnershipRow(value []byte) (record.OwnershipRow, error) {
	r := newReader(value)
	o := record.OwnershipRow{Version: r.uvarint()}
	for n := r.count(2); n > 0 && r.err == nil; n-- {
		o.Owned = append(o.Owned, record.SlotRange{First: r.slot(), Last: r.slot()})
	}
	for n := r.count(3); n > 0 && r.err == nil; n-- {
		o.Moved = append(o.Moved, record.SlotMove{Slot: r.slot(), To: r.int32(), Version: r.uvarint()})
	}
	if err := r.end(); err != nil {
		return record.OwnershipRow{}, fmt.Errorf("ownership row: %w", err)
	}
	return o, nil
}

func appendPositions(dst []byte, p record.Positions) []byte {
	dst = appendPosition(dst, p.Commands)
	dst = appendPosition(dst, p.Events)
	dst = appendPosition(dst, p.Internal)
	return appendMillis(dst, p.Now)
}

func (r *reader) positions() record.Positions {
	return record.Positions{Commands: r.position(), Events: r.position(), Internal: r.position(), Now: r.millis()}
}

// DecodePositions decodes the positions row of a lane.
func DecodePositions(value []byte) (record.Positions, error) {
	r := newReader(value)
	p := r.positions()
	if err := r.end(); err != nil {
		return record.Positions{}, fmt.Errorf("positions row: %w", err)
	}
	return p, nil
}

// AppendCheckpoint appends the value of a store's checkpoint row.
func AppendCheckpoint(dst []byte, c record.Checkpoint) []byte {
	dst = appendPositions(append(dst, rowFormat), c.Inputs)
	dst = appendPosition(dst, c.Changelog)
	return appendMillis(dst, c.At)
}

// DecodeCheckpoint is the inverse of AppendCheckpoint.
func DecodeCheckpoint(value []byte) (record.Checkpoint, error) {
	r := newReader(value)
	c := record.Checkpoint{Inputs: r.positions(), Changelog: r.position(), At: r.millis()}
	if err := r.end(); err != nil {
		return record.Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	return c, nil
}

func appendDeadLetter(dst []byte, d *record.DeadLetterRow) []byte {
	dst = binary.AppendVarint(dst, int64(d.Origin.LeaderEpoch))
	dst = appendMillis(dst, d.Origin.Timestamp)
	dst = appendBytes(dst, d.Code)
	dst = appendBytes(dst, d.Reason)
	dst = appendMillis(dst, d.At)
	dst = appendBytes(dst, d.Raw.Key)
	dst = appendHeaders(dst, d.Raw.Headers)
	return appendBytes(dst, d.Raw.Value)
}

// DecodeDeadLetterRow decodes a dead letter.
func DecodeDeadLetterRow(k Key, value []byte) (record.DeadLetterRow, error) {
	r := newReader(value)
	d := record.DeadLetterRow{Origin: k.Origin}
	d.Origin.LeaderEpoch, d.Origin.Timestamp = r.int32(), r.millis()
	d.Code, d.Reason, d.At = r.string(), r.string(), r.millis()
	d.Raw.Key, d.Raw.Headers = r.bytes(), r.headers()
	d.Raw.Value = r.bytes()
	if err := r.end(); err != nil {
		return record.DeadLetterRow{}, fmt.Errorf("dead letter of %s/%d/%d: %w", k.Origin.Topic, k.Origin.Partition, k.Origin.Offset, err)
	}
	return d, nil
}

func appendType(dst []byte, t *record.TypeRow) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(t.Acts)))
	for i := range t.Acts {
		a := &t.Acts[i]
		dst = appendMillis(append(dst, byte(a.Op)), a.At)
		dst = appendBytes(dst, a.CommandID)
		dst = appendBytes(dst, a.Reason)
		dst = appendBytes(dst, a.By)
	}
	return dst
}

// DecodeTypeRow decodes what was done to a workflow type.
func DecodeTypeRow(k Key, value []byte) (record.TypeRow, error) {
	r := newReader(value)
	t := record.TypeRow{Type: k.Type}
	n := r.count(5)
	if n == 0 {
		r.fail("nothing was done to the type")
	}
	for ; n > 0 && r.err == nil; n-- {
		a := record.TypeAct{Op: record.Operation(r.byte()), At: r.millis(), CommandID: r.string(), Reason: r.string(), By: r.string()}
		if a.Op != record.OperatePause && a.Op != record.OperateResume {
			r.fail("neither a pause nor a resume")
		}
		t.Acts = append(t.Acts, a)
	}
	if err := r.end(); err != nil {
		return record.TypeRow{}, fmt.Errorf("row of workflow type %q: %w", k.Type, err)
	}
	return t, nil
}

// DecodeListing decodes the value of a listing entry: the workflow ID.
func DecodeListing(value []byte) (workflowID string, err error) {
	r := newReader(value)
	id := r.string()
	if err := r.end(); err != nil {
		return "", fmt.Errorf("listing entry: %w", err)
	}
	return id, nil
}

// DecodeAttributes decodes the search attributes of a run.
func DecodeAttributes(k Key, value []byte) ([]record.Attribute, error) {
	r := newReader(value)
	return decoded(&r, k, "attributes", r.attributes())
}
