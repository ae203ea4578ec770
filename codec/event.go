package codec

import (
	"encoding/json"
	"strconv"

	"github.com/odradek/odradek/record"
)

// EncodeCompleted makes the record of a task's success. The caller sets the
// partition.
func EncodeCompleted(workflowID string, e *record.TaskCompleted) record.Output {
	return event(workflowID, EventCompleted, e.Task, e.Attempt, 0, e.Result)
}

// EncodeFailed makes the record of an attempt's failure. The caller sets the
// partition. A problem document that is not JSON goes as a JSON string.
func EncodeFailed(workflowID string, e *record.TaskFailed) record.Output {
	f := e.Failure
	if len(f.Problem) > 0 && !json.Valid(f.Problem) {
		f.Problem = appendJSONString(nil, string(f.Problem))
	}
	value, err := json.Marshal(f)
	if err != nil { // the problem was the only part that could fail
		panic("codec: a failure has no JSON: " + err.Error())
	}
	out := event(workflowID, EventFailed, e.Task, e.Attempt, e.Sending, value)
	if e.Forget {
		out.Headers = append(out.Headers, record.Header{Key: HeaderForget, Value: []byte("1")})
	}
	return out
}

func event(workflowID, event string, task record.TaskID, attempt, sending uint32, value []byte) record.Output {
	w := newHeaders(4, len(workflowID)+len(event)+taskIDLen+20)
	key := w.key(workflowID)
	w.text(HeaderEvent, event)
	w.task(HeaderTask, task)
	if attempt > 0 {
		w.number(HeaderAttempt, uint64(attempt))
	}
	if sending > 0 {
		w.number(HeaderSending, uint64(sending))
	}
	value = w.protoValue(value)
	return record.Output{Topic: record.TopicEvents, Key: key, Value: value, Headers: w.hs, Run: task.Run, WorkflowID: workflowID}
}

// EncodeBeat makes the record of a sign of life. The caller sets the partition.
func EncodeBeat(workflowID string, e *record.TaskBeat) record.Output {
	name := EventHeartbeat
	switch {
	case e.Started:
		name = EventStarted
	case e.Pending:
		name = EventPending
	}
	out := event(workflowID, name, e.Task, e.Attempt, e.Sending, e.Details)
	if e.Pending && e.After > 0 {
		ms := max(1, e.After.Milliseconds())
		out.Headers = append(out.Headers, record.Header{Key: HeaderAfter, Value: strconv.AppendInt(nil, ms, 10)})
	}
	return out
}

// EncodeAnswer makes a command of an event that somebody with a task's token sends. The
// caller sets the partition.
func EncodeAnswer(workflowID string, body record.Body) (out record.Output, commandID string) {
	reply := false
	switch b := body.(type) {
	case *record.TaskCompleted:
		out, commandID, reply = EncodeCompleted(workflowID, b), b.CommandID, b.Reply
	case *record.TaskFailed:
		out, commandID, reply = EncodeFailed(workflowID, b), b.CommandID, b.Reply
	case *record.TaskBeat:
		out, commandID, reply = EncodeBeat(workflowID, b), b.CommandID, b.Reply
	default:
		panic("codec: no answer of a task")
	}
	out.Topic = record.TopicCommands
	more := newHeaders(3, len(CommandAnswer)+len(commandID)+1)
	more.text(HeaderCommand, CommandAnswer)
	out.Headers = append(out.Headers, command(&more, workflowID, out.Key, commandID, reply, nil).Headers...)
	return out, commandID
}
