package codec

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/odradek/odradek/internal/fault"
	"github.com/odradek/odradek/record"
)

// Task is a task as a service worker reads it.
type Task struct {
	WorkflowID string
	Type       string // workflow type; may be empty
	Operation  string
	Key        string // idempotency key, the same on every attempt
	ID         record.TaskID
	Attempt    uint32        // from 1
	Sending    uint32        // of the attempt, from 1
	Input      []byte        // aliases the record's value
	Started    bool          // the engine wants to know when the attempt begins
	Timeout    time.Duration // of the attempt; 0: the worker's own
	Heartbeat  time.Duration // between two signs of life; 0: none are asked for
	Details    []byte        // of the last heartbeat of an attempt, or of its last sending; nil: none
	Again      uint64        // cancels with a lower one do not concern it
}

// EncodeTask makes the record of the open attempt of a task. The caller sets the partition.
func EncodeTask(row *record.RunRow, t *record.TaskRow, a *record.AttemptRow, input []byte) record.Output {
	id := record.TaskID{Run: row.Run, No: t.No}
	w := newHeaders(5, len(row.WorkflowID)+len(t.Operation)+len(row.Type)+2*taskIDLen+30)
	key := w.key(row.WorkflowID)
	w.text(HeaderOperation, t.Operation)
	w.task(HeaderTask, id)
	w.number(HeaderAttempt, uint64(a.Open))
	w.text(HeaderType, row.Type)
	if !t.Limits.IsZero() {
		if t.Limits.Queued > 0 || t.Limits.Heartbeat > 0 {
			w.text(HeaderStarted, "1")
		}
		if t.Limits.Attempt > 0 {
			w.number(HeaderTimeout, uint64(t.Limits.Attempt.Milliseconds()))
		}
		if t.Limits.Heartbeat > 0 {
			w.number(HeaderHeartbeat, uint64(t.Limits.Heartbeat.Milliseconds()))
		}
	}
	if t.LimitKey != "" {
		w.text(HeaderLimitKey, t.LimitKey)
	}
	if a.Sending > 1 {
		w.number(HeaderSending, uint64(a.Sending))
	}
	if a.Details != nil {
		w.text(HeaderDetails, string(a.Details))
	}
	if t.Again > 0 {
		w.number(HeaderAgain, t.Again)
	}
	if t.Key > 0 {
		w.text(HeaderIdempotencyKey, fmt.Sprintf("%s-%d", id, t.Key))
	}
	if fault.Off(fault.FreshKey) {
		w.text(HeaderIdempotencyKey, fmt.Sprintf("%s.%d", id, a.Open))
	}
	input = w.protoValue(input)
	if len(input) == 0 { // the same bytes from a live run and from a chunk
		input = nil
	}
	return record.Output{
		Topic: record.TopicTasks, Service: t.Service, Key: key, Value: input, Headers: w.hs,
		Run: row.Run, WorkflowID: row.WorkflowID,
	}
}

// EncodeTaskCancel makes the record that tells workers that nobody waits for a task any
// more (W6). The caller sets the partition.
func EncodeTaskCancel(row *record.RunRow, t *record.TaskRow) record.Output {
	w := newHeaders(2, len(row.WorkflowID)+taskIDLen+20)
	key := w.key(row.WorkflowID)
	w.task(HeaderTask, record.TaskID{Run: row.Run, No: t.No})
	if t.Again > 0 {
		w.number(HeaderAgain, t.Again)
	}
	return record.Output{Topic: record.TopicCancels, Key: key, Headers: w.hs, Run: row.Run, WorkflowID: row.WorkflowID}
}

// DecodeTaskCancel reads which task is cancelled: records of it with an Again up to that.
func DecodeTaskCancel(headers []record.Header) (id record.TaskID, again uint64, err error) {
	w := readHeaders(headers)
	if len(w.task) == 0 || len(w.task) > taskIDLen {
		return id, 0, fmt.Errorf("%w: header %s of a cancel is missing or too long", ErrTask, HeaderTask)
	}
	if id, err = record.ParseTaskID(string(w.task)); err != nil {
		return id, 0, fmt.Errorf("%w: %w", ErrTask, err)
	}
	return id, parseNumber(w.again), nil
}

// parseNumber is 0 for what is absent or no number.
func parseNumber(v []byte) uint64 {
	n, err := strconv.ParseUint(string(v[:min(len(v), 20)]), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// ErrTask is wrapped by DecodeTask.
var ErrTask = errors.New("record is not a task")

// DecodeTask reads the record of a task. The error says what is wrong with it.
func DecodeTask(key, value []byte, headers []record.Header) (Task, error) {
	w := readHeaders(headers)
	t := Task{WorkflowID: string(key), Type: string(w.typ), Operation: string(w.operation), Key: string(w.key)}
	if why := checkVersion(w.version); why != nil {
		return Task{}, fmt.Errorf("%w: %s", ErrTask, why.Reason)
	}
	var why *record.Undecodable
	if t.Input, why = payloadOf(&w, value); why != nil {
		return Task{}, fmt.Errorf("%w: %s", ErrTask, why.Reason)
	}
	if err := record.CheckWorkflowID(t.WorkflowID); err != nil {
		return Task{}, fmt.Errorf("%w: its key: %w", ErrTask, err)
	}
	if t.Operation == "" {
		return Task{}, fmt.Errorf("%w: header %s is missing: it names the operation", ErrTask, HeaderOperation)
	}
	var err error
	if t.ID, err = record.ParseTaskID(string(w.task)); err != nil {
		return Task{}, fmt.Errorf("%w: header %s: %w", ErrTask, HeaderTask, err)
	}
	if t.Attempt, err = parseAttempt(w.attempt); err != nil || t.Attempt == 0 {
		return Task{}, fmt.Errorf("%w: header %s is %q, not a number from 1", ErrTask, HeaderAttempt, clip(w.attempt))
	}
	if t.Sending, err = parseAttempt(w.sending); err != nil {
		return Task{}, fmt.Errorf("%w: header %s is %q, not a number from 1", ErrTask, HeaderSending, clip(w.sending))
	}
	t.Sending = max(t.Sending, 1)
	t.Started, t.Details, t.Again = string(w.started) == "1", w.details, parseNumber(w.again)
	t.Timeout, t.Heartbeat = parseMillis(w.timeout), parseMillis(w.heartbeat)
	if t.Key == "" {
		t.Key = t.ID.String()
	}
	return t, nil
}

// parseMillis is 0 for what is absent or no number: a hint of the engine's.
func parseMillis(v []byte) time.Duration {
	n, err := strconv.ParseUint(string(v), 10, 40)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

// parseAttempt: absent is 0.
func parseAttempt(v []byte) (uint32, error) {
	if v == nil {
		return 0, nil
	}
	n, err := strconv.ParseUint(string(v), 10, 32)
	return uint32(n), err
}
