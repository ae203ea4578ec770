package codec

import (
	"encoding/json"

	"github.com/odradek/odradek/record"
)

// EncodeCompleted makes the record of a task's success. The caller sets the
// partition.
func EncodeCompleted(workflowID string, e *record.TaskCompleted) record.Output {
	return event(workflowID, EventCompleted, e.Task, e.Attempt, e.Result)
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
	return event(workflowID, EventFailed, e.Task, e.Attempt, value)
}

func event(workflowID, event string, task record.TaskID, attempt uint32, value []byte) record.Output {
	w := newHeaders(3, len(workflowID)+len(event)+taskIDLen+10)
	key := w.key(workflowID)
	w.text(HeaderEvent, event)
	w.task(HeaderTask, task)
	if attempt > 0 {
		w.number(HeaderAttempt, uint64(attempt))
	}
	return record.Output{Topic: record.TopicEvents, Key: key, Value: value, Headers: w.hs, Run: task.Run, WorkflowID: workflowID}
}
