package codec

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/odradek/odradek/record"
)

// Headers of a record of the history topic: a CloudEvent in binary mode. Its type
// is io.odradek.<kind>.v1, its subject the workflow ID.
const (
	HeaderCESpecVersion = "ce_specversion"
	HeaderCEID          = "ce_id"     // <run ID>/<event number>
	HeaderCESource      = "ce_source" // /odradek/<namespace>/<workflow type>
	HeaderCESubject     = "ce_subject"
	HeaderCEType        = "ce_type"
	HeaderCETime        = "ce_time"
	HeaderCERun         = "ce_odrun" // run ID
	HeaderContentType   = "content-type"
)

// timeFormat is RFC 3339 with milliseconds, in UTC.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// EncodeHistory makes the history topic's record of one history event. The caller
// sets the partition.
func EncodeHistory(ns string, run *record.RunRow, e record.HistoryEvent) record.Output {
	kind := e.Body.HistoryKind().String()
	typ := url.PathEscape(run.Type)
	w := newHeaders(8, 3*len(run.WorkflowID)+len(ns)+len(typ)+len(kind)+2*record.RunIDLen+140)
	key := w.key(run.WorkflowID)
	w.text(HeaderCESpecVersion, "1.0")
	from := len(w.buf)
	w.buf = append(append(w.buf, run.Run.String()...), '/')
	w.buf = strconv.AppendUint(w.buf, e.No, 10)
	w.since(HeaderCEID, from)
	from = len(w.buf)
	w.buf = append(append(append(append(w.buf, "/odradek/"...), ns...), '/'), typ...)
	w.since(HeaderCESource, from)
	w.text(HeaderCESubject, run.WorkflowID)
	from = len(w.buf)
	w.buf = append(append(append(w.buf, "io.odradek."...), kind...), ".v1"...)
	w.since(HeaderCEType, from)
	from = len(w.buf)
	w.buf = e.At.Time().AppendFormat(w.buf, timeFormat)
	w.since(HeaderCETime, from)
	w.text(HeaderCERun, run.Run.String())
	w.text(HeaderContentType, "application/json")
	return record.Output{
		Topic: record.TopicHistory, Key: key, Value: appendHistoryJSON(nil, e), Headers: w.hs,
		Run: run.Run, WorkflowID: run.WorkflowID,
	}
}

// HistoryJSON is the public JSON of one history event, as the API and the history
// topic show it: its number ("event"), "kind", "at", and what the kind has. A
// payload that is JSON stands there as it is; another one as base64, with
// "encoding":"base64".
func HistoryJSON(e record.HistoryEvent) ([]byte, error) {
	if e.Body == nil {
		return nil, fmt.Errorf("history event %d has no body", e.No)
	}
	return appendHistoryJSON(nil, e), nil
}

func appendHistoryJSON(dst []byte, e record.HistoryEvent) []byte {
	if dst == nil {
		dst = make([]byte, 0, 160+chunkLen([]record.HistoryEvent{e}))
	}
	dst = append(dst, `{"event":`...)
	dst = strconv.AppendUint(dst, e.No, 10)
	dst = append(dst, `,"kind":"`...)
	dst = append(dst, e.Body.HistoryKind().String()...)
	dst = append(dst, `","at":"`...)
	dst = e.At.Time().AppendFormat(dst, timeFormat)
	dst = append(dst, '"')
	switch b := e.Body.(type) {
	case *record.RunStarted:
		dst = appendText(dst, "type", b.Type)
		dst = appendNumber(dst, "version", uint64(b.Version))
		dst = appendOptional(dst, "build", b.Build)
		dst = appendOptional(dst, "command_id", b.CommandID)
		dst = appendParentJSON(dst, b.Parent)
		if !b.Previous.IsZero() {
			dst = appendText(dst, "previous_run_id", b.Previous.String())
		}
		if b.Carry != nil {
			dst = appendPayload(dst, "carry", b.Carry)
		}
		dst = appendPayload(dst, "input", b.Input)
	case *record.SignalReceived:
		dst = appendText(dst, "name", b.Name)
		dst = appendOptional(dst, "command_id", b.CommandID)
		dst = appendPayload(dst, "payload", b.Payload)
	case *record.HistoryTaskCompleted:
		dst = appendNumber(dst, "task", b.Task)
		dst = appendAttemptsJSON(dst, b.Attempts)
		dst = appendPayload(dst, "result", b.Result)
	case *record.HistoryTaskFailed:
		dst = appendNumber(dst, "task", b.Task)
		dst = appendAttemptsJSON(dst, b.Attempts)
		dst = appendFailureJSON(append(dst, `,"failure":`...), &b.Failure)
	case *record.TimerFired:
		dst = appendNumber(dst, "timer", b.Timer)
	case *record.VersionPinned:
		dst = appendNumber(dst, "version", uint64(b.Version))
	case *record.TaskScheduled:
		dst = appendText(dst, "service", b.Service)
		dst = appendText(dst, "operation", b.Operation)
		dst = appendText(dst, "input_hash", fmt.Sprintf("%016x", b.InputHash))
		dst = appendPolicyJSON(dst, b.Policy)
		dst = appendLimitsJSON(dst, b.Limits)
		dst = appendOptional(dst, "limit_key", b.LimitKey)
		dst = appendPayload(dst, "input", b.Input)
	case *record.TimerStarted:
		dst = append(dst, `,"due":"`...)
		dst = append(b.Due.Time().AppendFormat(dst, timeFormat), '"')
	case *record.TimerCancelled:
		dst = appendNumber(dst, "timer", b.Timer)
	case *record.SignalConsumed:
		dst = appendNumber(dst, "signal", b.Signal)
	case *record.RunCompleted:
		dst = appendMillisJSON(dst, "retain_ms", b.Retain)
		dst = appendPayload(dst, "result", b.Result)
	case *record.RunFailed:
		dst = appendMillisJSON(dst, "retain_ms", b.Retain)
		dst = appendFailureJSON(append(dst, `,"failure":`...), &b.Failure)
	case *record.CancelRequested:
		dst = appendOptional(dst, "command_id", b.CommandID)
		dst = appendOptional(dst, "reason", b.Reason)
		dst = appendOptional(dst, "by", b.By)
	case *record.RunTerminated:
		dst = appendMillisJSON(dst, "retain_ms", b.Retain)
		dst = appendOptional(dst, "command_id", b.CommandID)
		dst = appendOptional(dst, "reason", b.Reason)
		dst = appendOptional(dst, "by", b.By)
	case *record.ChildClosed:
		dst = appendNumber(dst, "child", b.Child)
		if !b.Run.IsZero() {
			dst = appendText(dst, "run_id", b.Run.String())
		}
		if b.Status == record.StatusCompleted {
			dst = appendPayload(dst, "result", b.Result)
		} else {
			dst = appendText(dst, "status", b.Status.String())
			dst = appendFailureJSON(append(dst, `,"failure":`...), &b.Failure)
		}
	case *record.UpdateReceived:
		dst = appendText(dst, "name", b.Name)
		dst = appendText(dst, "command_id", b.CommandID)
		dst = appendPayload(dst, "payload", b.Payload)
	case *record.TaskCancelled:
		dst = appendNumber(dst, "task", b.Task)
	case *record.LocalScheduled:
		dst = appendText(dst, "name", b.Name)
		dst = appendText(dst, "input_hash", fmt.Sprintf("%016x", b.InputHash))
		dst = appendPolicyJSON(dst, b.Policy)
		dst = appendLimitsJSON(dst, b.Limits)
		dst = appendPayload(dst, "input", b.Input)
	case *record.ChildScheduled:
		dst = appendText(dst, "workflow_id", b.WorkflowID)
		dst = appendText(dst, "type", b.Type)
		dst = appendText(dst, "close_policy", b.Close.String())
		dst = appendText(dst, "input_hash", fmt.Sprintf("%016x", b.InputHash))
		dst = appendPayload(dst, "input", b.Input)
	case *record.ChildCancelRequested:
		dst = appendNumber(dst, "child", b.Child)
		dst = appendOptional(dst, "reason", b.Reason)
	case *record.WorkflowAwaited:
		dst = appendText(dst, "workflow_id", b.WorkflowID)
	case *record.SignalSent:
		dst = appendText(dst, "workflow_id", b.WorkflowID)
		dst = appendText(dst, "name", b.Name)
		dst = appendText(dst, "payload_hash", fmt.Sprintf("%016x", b.PayloadHash))
		dst = appendPayload(dst, "payload", b.Payload)
	case *record.UpdateCompleted:
		dst = appendNumber(dst, "update", b.Update)
		if b.Failure != nil {
			dst = appendFailureJSON(append(dst, `,"failure":`...), b.Failure)
		} else {
			dst = appendPayload(dst, "result", b.Result)
		}
	case *record.SignalCarried:
		dst = appendText(dst, "name", b.Name)
		dst = appendOptional(dst, "command_id", b.CommandID)
		dst = appendPayload(dst, "payload", b.Payload)
	case *record.ChildCarried:
		dst = appendText(dst, "workflow_id", b.WorkflowID)
		dst = appendText(dst, "type", b.Type)
		dst = appendText(dst, "close_policy", b.Close.String())
		dst = appendText(dst, "run_id", b.Run.String())
		dst = appendText(dst, "from", b.From.String())
	case *record.AwaitReceived:
		dst = appendParentJSON(dst, b.Parent)
	case *record.PatchMarked:
		dst = appendText(dst, "id", b.ID)
	case *record.AttributesSet:
		dst = appendAttributesJSON(dst, b.Attributes)
	case *record.Published:
		dst = appendText(dst, "topic", b.Topic)
		dst = appendText(dst, "key", string(b.Key))
		dst = appendText(dst, "payload_hash", fmt.Sprintf("%016x", b.PayloadHash))
		dst = appendPayload(dst, "payload", b.Payload)
	case *record.RunRewound:
		dst = appendNumber(dst, "to", b.To)
		dst = appendText(dst, "operation", operationOf(b).String())
		again := []uint64{}
		for i := range b.Open.Tasks {
			if t := &b.Open.Tasks[i]; t.Again == e.No {
				again = append(again, t.No)
			}
		}
		if len(again) > 0 {
			text, _ := json.Marshal(again) // numbers: cannot fail
			dst = append(appendName(dst, "tasks_sent_again"), text...)
		}
		dst = appendOptional(dst, "command_id", b.CommandID)
		dst = appendOptional(dst, "reason", b.Reason)
		dst = appendOptional(dst, "by", b.By)
	case *record.OperatorActed:
		dst = appendText(dst, "operation", b.Verb.String())
		if b.Task > 0 {
			dst = appendNumber(dst, "task", b.Task)
		}
		if b.NewKey {
			dst = append(appendName(dst, "new_key"), "true"...)
		}
		dst = appendOptional(dst, "command_id", b.CommandID)
		dst = appendOptional(dst, "reason", b.Reason)
		dst = appendOptional(dst, "by", b.By)
	case *record.RunCancelled:
		dst = appendMillisJSON(dst, "retain_ms", b.Retain)
		dst = appendFailureJSON(append(dst, `,"failure":`...), &b.Failure)
	case *record.RunContinued:
		dst = appendMillisJSON(dst, "retain_ms", b.Retain)
		dst = appendText(dst, "input_hash", fmt.Sprintf("%016x", b.InputHash))
		if b.Carry != nil {
			dst = appendPayload(dst, "carry", b.Carry)
		}
		dst = appendPayload(dst, "input", b.Input)
	default:
		panic(fmt.Sprintf("codec: no JSON for a history event of type %T", e.Body))
	}
	return append(dst, '}')
}

func operationOf(b *record.RunRewound) record.Operation {
	if b.Reset {
		return record.OperateReset
	}
	return record.OperateRetry
}

func appendName(dst []byte, name string) []byte {
	dst = append(append(append(dst, ',', '"'), name...), '"', ':')
	return dst
}

func appendText(dst []byte, name, v string) []byte {
	return appendJSONString(appendName(dst, name), v)
}

func appendOptional(dst []byte, name, v string) []byte {
	if v == "" {
		return dst
	}
	return appendText(dst, name, v)
}

func appendNumber(dst []byte, name string, v uint64) []byte {
	return strconv.AppendUint(appendName(dst, name), v, 10)
}

func appendMillisJSON(dst []byte, name string, d time.Duration) []byte {
	return strconv.AppendInt(appendName(dst, name), d.Milliseconds(), 10)
}

func appendPayload(dst []byte, name string, v []byte) []byte {
	dst = appendName(dst, name)
	if text, ok := PayloadJSON(v); ok {
		return append(dst, text...)
	}
	dst = base64.StdEncoding.AppendEncode(append(dst, '"'), v)
	return append(dst, `","encoding":"base64"`...)
}

// appendPolicyJSON leaves the built-in policy out.
func appendPolicyJSON(dst []byte, p record.RetryPolicy) []byte {
	if p.IsZero() {
		return dst
	}
	dst = append(dst, `,"retry":{"max_attempts":`...)
	dst = strconv.AppendUint(dst, uint64(p.MaxAttempts), 10)
	dst = appendMillisJSON(dst, "initial_ms", p.Initial)
	dst = appendMillisJSON(dst, "max_ms", p.Max)
	dst = appendName(dst, "multiplier")
	if m, err := json.Marshal(p.Multiplier); err == nil {
		dst = append(dst, m...)
	} else { // not a number, or infinite
		dst = append(dst, "null"...)
	}
	if p.Jitter != 0 {
		dst = appendName(dst, "jitter")
		dst = strconv.AppendFloat(dst, p.Jitter, 'g', -1, 64)
	}
	dst = appendOptional(dst, "non_retryable", p.NonRetryable)
	return append(dst, '}')
}

// appendLimitsJSON leaves out what is not limited.
func appendLimitsJSON(dst []byte, l record.TaskLimits) []byte {
	if l.IsZero() {
		return dst
	}
	dst = append(dst, `,"limits":{`...)
	from := len(dst)
	for _, x := range [...]struct {
		name string
		d    time.Duration
	}{{"queued_ms", l.Queued}, {"attempt_ms", l.Attempt}, {"total_ms", l.Total}, {"heartbeat_ms", l.Heartbeat}} {
		if x.d != 0 {
			dst = appendMillisJSON(dst, x.name, x.d)
		}
	}
	return append(slices.Delete(dst, from, from+1), '}') // the first comma
}

func appendParentJSON(dst []byte, p record.Parent) []byte {
	if p.IsZero() {
		return dst
	}
	dst = append(dst, `,"parent":{"workflow_id":`...)
	dst = appendJSONString(dst, p.WorkflowID)
	dst = appendText(dst, "run_id", p.Run.String())
	dst = appendNumber(dst, "event", p.Event)
	return append(dst, '}')
}

// appendAttributesJSON shows the values as JSON of their types; null is removed.
func appendAttributesJSON(dst []byte, as []record.Attribute) []byte {
	dst = append(dst, `,"attributes":{`...)
	for i := range as {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendJSONString(dst, as[i].Name), ':')
		dst = AppendAttributeJSON(dst, as[i])
	}
	return append(dst, '}')
}

func appendAttemptsJSON(dst []byte, as []record.Attempt) []byte {
	if len(as) == 0 {
		return dst
	}
	dst = append(dst, `,"attempts":[`...)
	for i := range as {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"attempt":`...)
		dst = strconv.AppendUint(dst, uint64(as[i].No), 10)
		dst = append(dst, `,"at":"`...)
		dst = as[i].At.Time().AppendFormat(dst, timeFormat)
		dst = appendFailureJSON(append(dst, `","failure":`...), &as[i].Failure)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// appendFailureJSON writes the shape that record.Failure's MarshalJSON has, also
// where the problem is not JSON.
func appendFailureJSON(dst []byte, f *record.Failure) []byte {
	dst = appendJSONString(append(dst, `{"kind":`...), f.Kind)
	dst = appendOptional(dst, "code", f.Code)
	dst = appendOptional(dst, "message", f.Message)
	dst = strconv.AppendBool(appendName(dst, "retryable"), f.Retryable)
	if f.HTTPStatus != 0 {
		dst = strconv.AppendInt(appendName(dst, "http_status"), int64(f.HTTPStatus), 10)
	}
	if len(f.Problem) > 0 {
		dst = appendPayload(dst, "problem", f.Problem)
	}
	if f.RetryAfter != 0 {
		dst = appendMillisJSON(dst, "retry_after_ms", f.RetryAfter)
	}
	return append(dst, '}')
}

const hexDigits = "0123456789abcdef"

// appendJSONString writes a text as RFC 8785 has it. What is not UTF-8 becomes
// U+FFFD.
func appendJSONString[T ~string | ~[]byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	for _, c := range string(s) {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', byte(c))
		case c >= 0x20:
			dst = utf8.AppendRune(dst, c)
		case c == '\b':
			dst = append(dst, '\\', 'b')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\f':
			dst = append(dst, '\\', 'f')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(dst, '"')
}
