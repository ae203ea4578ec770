package codec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/odradek/odradek/record"
)

// KafkaRecord is a record as a Kafka client reads it.
type KafkaRecord struct {
	Topic       record.Topic
	Partition   int32
	Offset      int64
	LeaderEpoch int32 // -1: unknown
	Timestamp   record.Millis
	Key, Value  []byte
	Headers     []record.Header
}

// Codes of an Undecodable. They are labels of metrics and part of dead letters.
const (
	CodeKeyMissing        = "key_missing"
	CodeWorkflowIDInvalid = "workflow_id_invalid"
	CodePayloadTooLarge   = "payload_too_large"
	CodeHeadersTooLarge   = "headers_too_large"
	CodeFormatNewer       = "format_newer"
	CodeFormatInvalid     = "format_invalid"
	CodeCommandMissing    = "command_missing"
	CodeCommandUnknown    = "command_unknown"
	CodeCommandIDInvalid  = "command_id_invalid"
	CodeTypeMissing       = "type_missing"
	CodeTypeInvalid       = "type_invalid"
	CodeSignalMissing     = "signal_missing"
	CodeSignalInvalid     = "signal_invalid"
	CodeUpdateMissing     = "update_missing"
	CodeUpdateInvalid     = "update_invalid"
	CodeReuseInvalid      = "reuse_invalid"
	CodeStartWithInvalid  = "start_with_invalid"
	CodeEventMissing      = "event_missing"
	CodeEventUnknown      = "event_unknown"
	CodeTaskMissing       = "task_missing"
	CodeTaskInvalid       = "task_invalid"
	CodeAttemptInvalid    = "attempt_invalid"
	CodeAfterInvalid      = "after_invalid"
	CodeFailureInvalid    = "failure_invalid"
	CodeReasonInvalid     = "reason_invalid"
	CodeRunInvalid        = "run_invalid"
	CodeNumberInvalid     = "number_invalid"
	CodeProtoInvalid      = "proto_invalid"
	CodeOriginInvalid     = "origin_invalid"
	CodeInternalInvalid   = "internal_invalid"
	CodeForwardInvalid    = "forward_invalid"
	CodeTopicUnexpected   = "topic_unexpected"
)

// Decode reads a record of commands, events or internal. It never fails: what it
// cannot read has an Undecodable body (K5). Raw and the payload alias k.
func Decode(k KafkaRecord) record.Record {
	r := record.Record{
		Origin: record.Origin{Topic: k.Topic, Partition: k.Partition, Offset: k.Offset, LeaderEpoch: k.LeaderEpoch, Timestamp: k.Timestamp},
		Raw:    record.Raw{Key: k.Key, Value: k.Value, Headers: k.Headers},
	}
	w := readHeaders(k.Headers)
	topic := k.Topic
	if topic == record.TopicInternal && w.forward != nil {
		from, hops, bad := parseForward(w.forward)
		if bad != nil {
			r.Body = bad
			return r
		}
		topic, r.Hops = from, hops
	}
	if topic == record.TopicEvents && string(w.event) == EventUnreadable {
		decodeUnreadable(&r, &w) // its key, value and headers are whatever they are
		return r
	}
	if bad := checkRecord(k, &w); bad != nil {
		r.Body = bad
		return r
	}
	r.WorkflowID = string(k.Key)
	value, why := payloadOf(&w, k.Value)
	if why != nil {
		r.Body = why
		return r
	}
	switch topic {
	case record.TopicCommands:
		r.Body = decodeCommand(&w, value)
	case record.TopicEvents:
		r.Body = decodeEvent(&w, value)
	case record.TopicInternal:
		r.Body = decodeInternal(&w, k.Key, k.Value)
	default:
		r.Body = bad(CodeTopicUnexpected, "no command or event comes from topic %s", topic)
	}
	return r
}

// payloadOf is the value as a payload.
func payloadOf(w *wire, value []byte) ([]byte, *record.Undecodable) {
	if w.proto == nil {
		return value, nil
	}
	if len(w.proto) == 0 || len(w.proto) > SignalNameBytesMax || !printable(w.proto) {
		return nil, bad(CodeProtoInvalid, "header %s is no full name of a Protobuf message, such as billing.v1.Invoice: 1 to %d bytes", HeaderProto, SignalNameBytesMax)
	}
	return joinProto(w.proto, value), nil
}

func bad(code, format string, args ...any) *record.Undecodable {
	return &record.Undecodable{Code: code, Reason: fmt.Sprintf(format, args...)}
}

// clip keeps what a reason quotes short: it may be megabytes of anything.
func clip(v []byte) string {
	const most = 64
	if len(v) > most {
		return strings.ToValidUTF8(string(v[:most]), "?") + "..."
	}
	return strings.ToValidUTF8(string(v), "?")
}

// checkRecord looks at what all records have in common.
func checkRecord(k KafkaRecord, w *wire) *record.Undecodable {
	if why := checkVersion(w.version); why != nil {
		return why
	}
	if len(k.Key) == 0 {
		return bad(CodeKeyMissing, "the record has no key: its key must be the workflow ID (kcat: -k ID)")
	}
	if len(k.Key) > record.WorkflowIDBytesMax { // not quoted: it may be large
		return bad(CodeWorkflowIDInvalid, "the record's key is the workflow ID; it has %d bytes, at most %d are allowed: choose a shorter one", len(k.Key), record.WorkflowIDBytesMax)
	}
	if err := record.CheckWorkflowID(string(k.Key)); err != nil {
		return bad(CodeWorkflowIDInvalid, "the record's key: %v", err)
	}
	if len(k.Value) > PayloadBytesMax {
		return bad(CodePayloadTooLarge, "the record's value has %d bytes, at most %d are allowed: store the document elsewhere and send a reference", len(k.Value), PayloadBytesMax)
	}
	if w.bytes > HeaderBytesMax {
		return bad(CodeHeadersTooLarge, "the record's headers have %d bytes together, at most %d are allowed: send large values in the payload", w.bytes, HeaderBytesMax)
	}
	return nil
}

func checkVersion(v []byte) *record.Undecodable {
	if v == nil {
		return nil
	}
	n, err := strconv.ParseUint(string(v), 10, 32)
	switch {
	case err != nil || n == 0:
		return bad(CodeFormatInvalid, "header %s is %q, not a number from 1: leave it out, or send the version of docs/protocol.md that you follow", HeaderVersion, clip(v))
	case n > FormatVersion:
		return bad(CodeFormatNewer, "header %s is %d, this engine reads formats up to %d: upgrade the engine, then send the record again", HeaderVersion, n, FormatVersion)
	}
	return nil
}

func decodeCommand(w *wire, value []byte) record.Body {
	if why := checkCommandID(w.commandID); why != nil {
		return why
	}
	reply := string(w.reply) == "1"
	switch cmd := string(w.command); {
	case cmd == CommandStart || w.command == nil && w.typ != nil:
		return decodeStart(w, value, reply)
	case cmd == CommandStartWith:
		return decodeStartWith(w, value, reply)
	case cmd == CommandAnswer:
		return decodeAnswer(w, value, reply)
	case cmd == CommandUpdate || w.command == nil && w.update != nil:
		if why := checkUpdate(w); why != nil {
			return why
		}
		return &record.Update{CommandID: string(w.commandID), Name: string(w.update), Payload: value, Reply: reply}
	case cmd == CommandSignal || w.command == nil && w.signal != nil:
		if why := checkSignal(w.signal); why != nil {
			return why
		}
		return &record.Signal{CommandID: string(w.commandID), Name: string(w.signal), Payload: value, Reply: reply}
	case cmd == CommandCancel || cmd == CommandTerminate:
		return decodeEnding(w, cmd, reply)
	case cmd == CommandPauseType || cmd == CommandResumeType:
		return decodeOperateType(w, cmd, reply)
	case cmd == CommandRedrive:
		return decodeRedrive(w, value, reply)
	case operates(cmd):
		return decodeOperate(w, cmd, reply)
	case w.command == nil:
		return bad(CodeCommandMissing, "the record says neither %s (the workflow type that it starts) nor %s (the signal that it gives): set one of these headers", HeaderType, HeaderSignal)
	}
	return bad(CodeCommandUnknown, "header %s is %q; known are %s, %s, %s, %s, %s, %s, retry, reset, pause, resume, %s and %s", HeaderCommand, clip(w.command), CommandStart, CommandSignal, CommandUpdate, CommandStartWith, CommandCancel, CommandTerminate, CommandPauseType, CommandResumeType)
}

func decodeStart(w *wire, value []byte, reply bool) record.Body {
	if why := checkType(w.typ); why != nil {
		return why
	}
	s := &record.Start{CommandID: string(w.commandID), Type: string(w.typ), Input: value, Reply: reply}
	if w.reuse != nil {
		var ok bool
		if s.Reuse, ok = record.ParseReusePolicy(string(w.reuse)); !ok {
			return bad(CodeReuseInvalid, "header %s is %q; known are never, failed, closed and terminate", HeaderReuse, clip(w.reuse))
		}
	}
	return s
}

// startWith is the value of a start-with.
type startWith struct {
	Input   json.RawMessage `json:"input,omitempty"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// decodeStartWith reads a start that gives the run something in the same step.
func decodeStartWith(w *wire, value []byte, reply bool) record.Body {
	var both startWith
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&both); err != nil || dec.More() {
		return bad(CodeStartWithInvalid, "the value of a %s is JSON such as {\"input\":...,\"payload\":...}, with the input of the workflow and the payload of what it is given, but: %v", CommandStartWith, err)
	}
	body := decodeStart(w, both.Input, reply)
	s, ok := body.(*record.Start)
	if !ok {
		return body
	}
	switch {
	case w.signal != nil && w.update != nil || w.signal == nil && w.update == nil:
		return bad(CodeStartWithInvalid, "a %s names what the workflow is given in one of the headers %s and %s", CommandStartWith, HeaderSignal, HeaderUpdate)
	case w.signal != nil:
		if why := checkSignal(w.signal); why != nil {
			return why
		}
		s.Signal = &record.Signal{Name: string(w.signal), Payload: both.Payload}
	default:
		if why := checkUpdate(w); why != nil {
			return why
		}
		s.Update = &record.Update{Name: string(w.update), Payload: both.Payload}
	}
	return s
}

func checkUpdate(w *wire) *record.Undecodable {
	switch {
	case len(w.update) == 0:
		return bad(CodeUpdateMissing, "an update is named in header %s, which is missing or empty", HeaderUpdate)
	case len(w.update) > SignalNameBytesMax || !printable(w.update):
		return bad(CodeUpdateInvalid, "header %s is no name of an update: 1 to %d bytes of UTF-8 without control characters", HeaderUpdate, SignalNameBytesMax)
	case len(w.commandID) == 0:
		return bad(CodeCommandIDInvalid, "an update has header %s: its answer is found by it", HeaderCommandID)
	}
	return nil
}

// whyBytesMax bounds what a sender says for people.
const whyBytesMax = 1 << 10

// decodeEnding reads a cancel or a terminate.
func decodeEnding(w *wire, cmd string, reply bool) record.Body {
	run, why := decodeWhy(w)
	if why != nil {
		return why
	}
	id, reason, by := string(w.commandID), string(w.reason), string(w.by)
	if cmd == CommandTerminate {
		return &record.Terminate{CommandID: id, Run: run, Reason: reason, By: by, Reply: reply}
	}
	return &record.Cancel{CommandID: id, Run: run, Reason: reason, By: by, Reply: reply}
}

func operates(cmd string) bool {
	_, ok := record.ParseOperation(cmd)
	return ok
}

// decodeOperate reads an operator's command.
func decodeOperate(w *wire, cmd string, reply bool) record.Body {
	run, why := decodeWhy(w)
	if why != nil {
		return why
	}
	op, _ := record.ParseOperation(cmd)
	c := &record.Operate{Op: op, CommandID: string(w.commandID), Run: run, NewKey: string(w.newKey) == "1", Reason: string(w.reason), By: string(w.by), Reply: reply}
	for _, n := range [...]struct {
		name string
		v    []byte
		to   *uint64
	}{{HeaderTo, w.to, &c.To}, {HeaderNo, w.no, &c.Task}} {
		if n.v == nil {
			continue
		}
		if *n.to = parseNumber(n.v); *n.to == 0 {
			return bad(CodeNumberInvalid, "header %s is %q, not the number of a history event, from 1", n.name, clip(n.v))
		}
	}
	if op == record.OperateReset && c.To == 0 {
		return bad(CodeNumberInvalid, "a reset names the event that the run goes back to in header %s", HeaderTo)
	}
	return c
}

// decodeOperateType reads a command about a workflow type.
func decodeOperateType(w *wire, cmd string, reply bool) record.Body {
	if why := checkType(w.typ); why != nil {
		return why
	}
	if _, why := decodeWhy(w); why != nil {
		return why
	}
	c := &record.OperateType{Op: record.OperatePause, Type: string(w.typ), CommandID: string(w.commandID), Reason: string(w.reason), By: string(w.by), Reply: reply}
	if cmd == CommandResumeType {
		c.Op = record.OperateResume
	}
	return c
}

// decodeRedrive reads a command about a dead letter.
func decodeRedrive(w *wire, value []byte, reply bool) record.Body {
	if _, why := decodeWhy(w); why != nil {
		return why
	}
	c := &record.Redrive{Discard: string(w.discard) == "1", CommandID: string(w.commandID), Reason: string(w.reason), By: string(w.by), Reply: reply}
	var err error
	if c.Origin, err = record.ParseDeadLetterID(string(w.origin[:min(len(w.origin), 64)])); err != nil {
		return bad(CodeOriginInvalid, "header %s: %v", HeaderDeadLetterOrigin, err)
	}
	if len(value) == 0 {
		return c
	}
	var e edited
	if err := json.Unmarshal(value, &e); err != nil {
		return bad(CodeOriginInvalid, "the value is the record in place of the dead letter's, as JSON, but: %v", err)
	}
	c.Edited = &record.Raw{Key: []byte(e.Key), Value: e.Value}
	for _, h := range e.Headers {
		c.Edited.Headers = append(c.Edited.Headers, record.Header(h))
	}
	return c
}

// decodeWhy reads what commands that end or operate a run have in common.
func decodeWhy(w *wire) (record.RunID, *record.Undecodable) {
	for _, h := range [...]struct {
		name string
		v    []byte
	}{{HeaderReason, w.reason}, {HeaderBy, w.by}} {
		if len(h.v) > whyBytesMax || !utf8.Valid(h.v) {
			return record.RunID{}, bad(CodeReasonInvalid, "header %s is not UTF-8 or has more than %d bytes: shorten it", h.name, whyBytesMax)
		}
	}
	var run record.RunID
	if len(w.run) > 0 {
		var err error
		if run, err = record.ParseRunID(string(w.run[:min(len(w.run), 64)])); err != nil {
			return run, bad(CodeRunInvalid, "header %s: %v: leave it out, or copy the run ID as it is shown", HeaderRun, err)
		}
	}
	return run, nil
}

func checkCommandID(v []byte) *record.Undecodable {
	switch {
	case v == nil:
		return nil
	case len(v) == 0:
		return bad(CodeCommandIDInvalid, "header %s is empty: leave it out, or give 1 to %d bytes", HeaderCommandID, CommandIDBytesMax)
	case len(v) > CommandIDBytesMax:
		return bad(CodeCommandIDInvalid, "header %s has %d bytes, at most %d are allowed: send a hash of it", HeaderCommandID, len(v), CommandIDBytesMax)
	case !printable(v):
		return bad(CodeCommandIDInvalid, "header %s is %q: it must be UTF-8 without control characters", HeaderCommandID, clip(v))
	}
	return nil
}

func checkType(v []byte) *record.Undecodable {
	if len(v) == 0 {
		return bad(CodeTypeMissing, "the workflow type stands in header %s, which is missing or empty", HeaderType)
	}
	if len(v) > NameBytesMax {
		return bad(CodeTypeInvalid, "header %s has %d bytes, at most %d are allowed", HeaderType, len(v), NameBytesMax)
	}
	for i, c := range v {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' && i > 0) {
			return bad(CodeTypeInvalid, "header %s is %q, whose character %d no workflow type has: allowed are letters, digits, '_', '-' and, but not first, '.'", HeaderType, clip(v), i+1)
		}
	}
	return nil
}

func checkSignal(v []byte) *record.Undecodable {
	switch {
	case len(v) == 0:
		return bad(CodeSignalMissing, "a signal is named in header %s, which is missing or empty", HeaderSignal)
	case len(v) > SignalNameBytesMax:
		return bad(CodeSignalInvalid, "header %s has %d bytes, at most %d are allowed", HeaderSignal, len(v), SignalNameBytesMax)
	case !printable(v):
		return bad(CodeSignalInvalid, "header %s is %q: it must be UTF-8 without control characters", HeaderSignal, clip(v))
	}
	return nil
}

func printable(v []byte) bool {
	for len(v) > 0 {
		c, n := utf8.DecodeRune(v)
		if c == utf8.RuneError && n == 1 || c < 0x20 || c >= 0x7f && c < 0xa0 {
			return false
		}
		v = v[n:]
	}
	return true
}

func decodeEvent(w *wire, value []byte) record.Body {
	switch string(w.event) {
	case EventCompleted, EventFailed, EventStarted, EventHeartbeat, EventPending:
	case "":
		return bad(CodeEventMissing, "header %s is missing: set it to %s or %s", HeaderEvent, EventCompleted, EventFailed)
	default:
		return bad(CodeEventUnknown, "header %s is %q; known are %s, %s, %s, %s and %s", HeaderEvent, clip(w.event), EventCompleted, EventFailed, EventStarted, EventHeartbeat, EventPending)
	}
	if len(w.task) == 0 {
		return bad(CodeTaskMissing, "header %s is missing: copy it from the task's record", HeaderTask)
	}
	if len(w.task) > taskIDLen {
		return bad(CodeTaskInvalid, "header %s is %q, longer than any: copy it from the task's record", HeaderTask, clip(w.task))
	}
	task, err := record.ParseTaskID(string(w.task))
	if err != nil {
		return bad(CodeTaskInvalid, "header %s: %v; copy it from the task's record", HeaderTask, err)
	}
	attempt, err := parseAttempt(w.attempt)
	if err != nil {
		return bad(CodeAttemptInvalid, "header %s is %q, not a number from 1: copy it from the task's record, or leave it out", HeaderAttempt, clip(w.attempt))
	}
	sending, err := parseAttempt(w.sending)
	if err != nil {
		return bad(CodeAttemptInvalid, "header %s is %q, not a number from 1: copy it from the task's record, or leave it out", HeaderSending, clip(w.sending))
	}
	switch string(w.event) {
	case EventCompleted:
		return &record.TaskCompleted{Task: task, Attempt: attempt, Result: value}
	case EventStarted:
		return &record.TaskBeat{Task: task, Attempt: attempt, Sending: sending, Started: true}
	case EventPending:
		if w.after == nil {
			return &record.TaskBeat{Task: task, Attempt: attempt, Sending: sending, Pending: true}
		}
		after := parseMillis(w.after)
		if after == 0 {
			return bad(CodeAfterInvalid, "header %s is %q, not a number of milliseconds from 1: leave it out if somebody else answers the task", HeaderAfter, clip(w.after))
		}
		if why := checkDetails(value); why != nil {
			return why
		}
		return &record.TaskBeat{Task: task, Attempt: attempt, Sending: sending, Pending: true, After: after, Details: value}
	case EventHeartbeat:
		if why := checkDetails(value); why != nil {
			return why
		}
		return &record.TaskBeat{Task: task, Attempt: attempt, Sending: sending, Details: value}
	}
	e := &record.TaskFailed{Task: task, Attempt: attempt, Sending: sending, Forget: string(w.forget) == "1"}
	if why := decodeFailure(value, &e.Failure); why != nil {
		return why
	}
	return e
}

// detailsBytesMax bounds the details of a sign of life (machine.DetailsBytesMax).
const detailsBytesMax = 16 << 10

func checkDetails(value []byte) *record.Undecodable {
	if len(value) > detailsBytesMax {
		return bad(CodePayloadTooLarge, "the details have %d bytes, at most %d are allowed: store them elsewhere and send a reference", len(value), detailsBytesMax)
	}
	return nil
}

// decodeAnswer reads an event that somebody with a task's token has sent as a command.
func decodeAnswer(w *wire, value []byte, reply bool) record.Body {
	switch b := decodeEvent(w, value).(type) {
	case *record.TaskCompleted:
		b.CommandID, b.Reply = string(w.commandID), reply
		return b
	case *record.TaskFailed:
		b.CommandID, b.Reply = string(w.commandID), reply
		return b
	case *record.TaskBeat:
		b.CommandID, b.Reply = string(w.commandID), reply
		return b
	case *record.Undecodable:
		return b
	}
	panic("codec: no event")
}

// decodeFailure reads the JSON of a failure. Only its message is asked of someone
// who writes it by hand.
func decodeFailure(value []byte, f *record.Failure) *record.Undecodable {
	const example = `{"kind":"application","code":"card_declined","message":"...","retryable":false}`
	if err := json.Unmarshal(value, f); err != nil {
		return bad(CodeFailureInvalid, "the value of a %s event is a failure as JSON, such as %s, but: %v", EventFailed, example, err)
	}
	if f.Kind == "" && f.Code == "" && f.Message == "" {
		return bad(CodeFailureInvalid, "the failure has neither kind nor code nor message: say what happened, such as %s", example)
	}
	if f.Kind == "" {
		f.Kind = record.FailureApplication
	}
	f.RetryAfter = max(f.RetryAfter, 0)
	return nil
}
