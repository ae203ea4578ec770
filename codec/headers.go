package codec

import (
	"strconv"

	"github.com/odradek/odradek/record"
)

// Headers of records. All values are text. A header that occurs twice counts with
// its last value; headers that we do not know are left alone.
const (
	// Of commands.
	HeaderCommand   = "od-cmd"    // start or signal; may be absent
	HeaderType      = "od-type"   // workflow type
	HeaderSignal    = "od-signal" // name of a signal
	HeaderUpdate    = "od-update" // name of an update
	HeaderReuse     = "od-reuse"  // of a start: never, failed, closed or terminate
	HeaderCommandID = "od-id"     // makes repeats of a command one (I2)
	HeaderReply     = "od-reply"  // 1: a rejection is answered, not a dead letter

	// Of tasks.
	HeaderOperation      = "od-op"
	HeaderTask           = "od-task"         // <run ID>.<number>: the idempotency key
	HeaderAttempt        = "od-attempt"      // from 1
	HeaderIdempotencyKey = "od-key"          // only where it is not od-task
	HeaderStarted        = "od-started"      // 1: the engine wants to know when the attempt begins
	HeaderTimeout        = "od-timeout-ms"   // of the attempt, where the workflow's code limits it
	HeaderHeartbeat      = "od-heartbeat-ms" // between two signs of life, where the code asks for it
	HeaderSending        = "od-sending"      // how often the attempt was sent out, from 1; absent: once
	HeaderDetails        = "od-details"      // of the last heartbeat of an attempt before, or of the sending before
	HeaderLimitKey       = "od-limit-key"    // what limits by key are counted by; the partition is its hash
	HeaderAgain          = "od-again"        // an operator took the run back: cancels with a lower one are void

	// Of commands that end or operate a run.
	HeaderReason = "od-reason"  // why, for people
	HeaderBy     = "od-by"      // who, for people
	HeaderRun    = "od-run"     // only this run
	HeaderTo     = "od-to"      // of reset: the event
	HeaderNo     = "od-no"      // of retry: the task's number
	HeaderNewKey = "od-new-key" // 1: of retry: another idempotency key

	// Of events, with od-task, od-attempt and od-sending of the task.
	HeaderEvent  = "od-event"    // completed, failed, started, heartbeat or pending
	HeaderAfter  = "od-after-ms" // of pending: send the attempt again then
	HeaderForget = "od-forget"   // 1: of failed: the next attempt gets no details

	// Of records on internal.
	HeaderForward = "od-fwd" // <topic>/<partition>/<offset>/<table version>/<hops>

	// Of commands about dead letters, with od-dl-origin.
	HeaderDiscard = "od-dl-discard" // 1: forget it; else it is taken in once more

	// Of dead letters.
	HeaderDeadLetterCode   = "od-dl-code"
	HeaderDeadLetterReason = "od-dl-reason"
	HeaderDeadLetterOrigin = "od-dl-origin" // <topic>/<partition>/<offset>
	HeaderDeadLetterAt     = "od-dl-at"     // milliseconds since the epoch
	HeaderTaskPlace        = "od-dl-task"   // <service>/<partition>/<offset>: of a task record that a worker cannot read
	HeaderDeadLetterCut    = "od-dl-cut"    // bytes of the original record, where some were cut

	// Of all records.
	HeaderVersion = "od-v"     // format version; absent: 1
	HeaderProto   = "od-proto" // the value is a Protobuf message of that full name

	// Reserved.
	HeaderToken       = "od-token"
	HeaderTraceParent = "traceparent"
	HeaderTraceState  = "tracestate"
	HeaderBaggage     = "baggage"
)

// Values of headers.
const (
	CommandStart      = "start"
	CommandSignal     = "signal"
	CommandUpdate     = "update"
	CommandStartWith  = "start-with" // a start, and a signal or an update
	CommandAnswer     = "answer"     // an event of a task by whoever has its token
	CommandCancel     = "cancel"
	CommandTerminate  = "terminate"
	CommandRedrive    = "redrive"    // of a dead letter, whatever the record's key is
	CommandPauseType  = "pause-type" // in od-type, for a partition, whatever the record's key is
	CommandResumeType = "resume-type"
	EventCompleted    = "completed"
	EventFailed       = "failed"
	EventStarted      = "started"
	EventPending      = "pending"
	EventHeartbeat    = "heartbeat"
	EventUnreadable   = "unreadable" // a task record that names no task
)

// FormatVersion is the highest od-v that this binary reads.
const FormatVersion = 1

// Limits of what comes from outside.
const (
	// PayloadBytesMax bounds a payload (F5).
	PayloadBytesMax = 512 << 10
	// CommandIDBytesMax bounds a command ID: it becomes a row's key.
	CommandIDBytesMax = 200
	// NameBytesMax bounds a workflow type: it becomes a label of metrics.
	NameBytesMax = 100
	// SignalNameBytesMax bounds the name of a signal.
	SignalNameBytesMax = 200
	// HeaderBytesMax bounds all headers of a record together, so that a record with
	// the largest payload can be forwarded and kept as a dead letter.
	HeaderBytesMax = 64 << 10
)

// wire is our headers of one record. A nil value is absent; present ones are not
// nil, though they may be empty.
type wire struct {
	command, typ, signal, commandID, reply []byte
	update, reuse                          []byte
	started, timeout, heartbeat, details   []byte
	task, attempt, event, operation, key   []byte
	sending, after, forget                 []byte
	taskPlace, letterReason                []byte
	forward, version, proto                []byte
	reason, by, run, to, no, newKey, again []byte
	origin, discard, limitKey              []byte
	parent, parentID, status, now          []byte // between engines
	bytes                                  int
}

var empty = []byte{} // a header that is there and has no value

func readHeaders(hs []record.Header) (w wire) {
	for i := range hs {
		h := &hs[i]
		w.bytes += len(h.Key) + len(h.Value)
		v := h.Value
		if v == nil {
			v = empty
		}
		switch h.Key {
		case HeaderCommand:
			w.command = v
		case HeaderType:
			w.typ = v
		case HeaderSignal:
			w.signal = v
		case HeaderCommandID:
			w.commandID = v
		case HeaderUpdate:
			w.update = v
		case HeaderReuse:
			w.reuse = v
		case HeaderStarted:
			w.started = v
		case HeaderTimeout:
			w.timeout = v
		case HeaderHeartbeat:
			w.heartbeat = v
		case HeaderDetails:
			w.details = v
		case HeaderReply:
			w.reply = v
		case HeaderTask:
			w.task = v
		case HeaderAttempt:
			w.attempt = v
		case HeaderSending:
			w.sending = v
		case HeaderAfter:
			w.after = v
		case HeaderForget:
			w.forget = v
		case HeaderTaskPlace:
			w.taskPlace = v
		case HeaderDeadLetterReason:
			w.letterReason = v
		case HeaderEvent:
			w.event = v
		case HeaderOperation:
			w.operation = v
		case HeaderIdempotencyKey:
			w.key = v
		case HeaderForward:
			w.forward = v
		case HeaderProto:
			w.proto = v
		case HeaderVersion:
			w.version = v
		case HeaderReason:
			w.reason = v
		case HeaderBy:
			w.by = v
		case HeaderRun:
			w.run = v
		case HeaderTo:
			w.to = v
		case HeaderDeadLetterOrigin:
			w.origin = v
		case HeaderDiscard:
			w.discard = v
		case HeaderNo:
			w.no = v
		case HeaderNewKey:
			w.newKey = v
		case HeaderLimitKey:
			w.limitKey = v
		case HeaderAgain:
			w.again = v
		case headerParent:
			w.parent = v
		case headerParentID:
			w.parentID = v
		case headerStatus:
			w.status = v
		case headerNow:
			w.now = v
		}
	}
	return w
}

// headerWriter makes headers whose values share one allocation.
type headerWriter struct {
	hs  []record.Header
	buf []byte
}

// newHeaders makes room for n headers with valueBytes of values together.
func newHeaders(n, valueBytes int) headerWriter {
	return headerWriter{hs: make([]record.Header, 0, n), buf: make([]byte, 0, valueBytes)}
}

func (w *headerWriter) since(key string, from int) {
	w.hs = append(w.hs, record.Header{Key: key, Value: w.buf[from:len(w.buf):len(w.buf)]})
}

func (w *headerWriter) text(key, value string) {
	from := len(w.buf)
	w.buf = append(w.buf, value...)
	w.since(key, from)
}

func (w *headerWriter) number(key string, value uint64) {
	from := len(w.buf)
	w.buf = strconv.AppendUint(w.buf, value, 10)
	w.since(key, from)
}

func (w *headerWriter) task(key string, t record.TaskID) {
	from := len(w.buf)
	w.buf = appendTaskID(w.buf, t)
	w.since(key, from)
}

// key takes the record's key out of the same allocation.
func (w *headerWriter) key(workflowID string) []byte {
	from := len(w.buf)
	w.buf = append(w.buf, workflowID...)
	return w.buf[from:len(w.buf):len(w.buf)]
}

const taskIDLen = record.RunIDLen + 1 + 20

func appendTaskID(dst []byte, t record.TaskID) []byte {
	dst = append(dst, t.Run.String()...)
	dst = append(dst, '.')
	return strconv.AppendUint(dst, t.No, 10)
}
