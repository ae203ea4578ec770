package worker

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

// reportRetry is the pause before a result is produced again that Kafka refused for
// good, such as a missing right: it needs an operator, not haste.
const reportRetry = 2 * time.Second

// report produces the attempt's result to the partition of the workflow's slot. The
// job is finished when it is acknowledged, not before.
func (s *service) report(j *job, call *Call, result []byte, failure *record.Failure) {
	var out record.Output
	switch {
	case failure == pending: // the engine must know, or it would take the attempt for lost (W4)
		e := &record.TaskBeat{Task: call.Task, Attempt: call.Attempt, Sending: call.Sending, Pending: true}
		if call.poll != nil {
			e.After, e.Details = call.poll.after, call.poll.details
		}
		out = codec.EncodeBeat(call.WorkflowID, e)
	case failure != nil:
		out = codec.EncodeFailed(call.WorkflowID, &record.TaskFailed{Task: call.Task, Attempt: call.Attempt, Sending: call.Sending, Forget: call.forget, Failure: *failure})
	default:
		out = codec.EncodeCompleted(call.WorkflowID, &record.TaskCompleted{Task: call.Task, Attempt: call.Attempt, Result: result})
	}
	rec := &kgo.Record{
		Topic:     s.worker.names.Topic(record.TopicEvents),
		Partition: s.worker.route(call.WorkflowID),
		Key:       out.Key,
		Value:     out.Value,
		Headers:   make([]kgo.RecordHeader, 0, len(out.Headers)+len(call.Trace)),
	}
	for _, h := range out.Headers {
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	for _, h := range call.Trace {
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	s.produce(j, call, rec)
}

func (s *service) produce(j *job, call *Call, rec *kgo.Record) {
	s.worker.producer.Produce(context.Background(), rec, func(_ *kgo.Record, err error) {
		switch {
		case err == nil:
			s.finished(j)
		case errors.Is(err, kgo.ErrClientClosed):
			s.givenUp(j)
		case errors.Is(err, kerr.MessageTooLarge) && len(rec.Value) > 1<<10 && !call.Task.Run.IsZero():
			// The topic allows less than F5 says: the result cannot be reported, but that can.
			go s.report(j, call, nil, tooLarge(call, len(rec.Value)))
		default:
			s.sayRefused(call, rec, err)
			s.worker.later(reportRetry, func() {
				rec.Partition = s.worker.route(call.WorkflowID)
				s.produce(j, call, rec)
			}, func() { s.givenUp(j) })
		}
	})
}

// sayRefused logs a result that Kafka refused, at most once in reportRetry: without
// the right to write, it is all of them, again and again.
func (s *service) sayRefused(call *Call, rec *kgo.Record, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused++
	if now := time.Now(); now.Sub(s.refusedSaid) >= reportRetry {
		s.log.Error("Kafka does not take results, trying again", "results", s.refused, "topic", rec.Topic, "partition", rec.Partition,
			"workflow_id", call.WorkflowID, "task", call.Task.String(), "err", err)
		s.refused, s.refusedSaid = 0, now
	}
}

// undecodable handles a task record that cannot be read: the engine is told. If the record
// says which task it is, that has failed; otherwise it becomes a dead letter, whole.
func (s *service) undecodable(j *job, headers []record.Header, reason error) {
	rec := j.rec
	var task record.TaskID
	named := false
	for _, h := range headers {
		if h.Key == codec.HeaderTask {
			id, err := record.ParseTaskID(string(h.Value))
			task, named = id, err == nil
		}
	}
	s.log.Error("task record cannot be read", "topic", rec.Topic, "partition", rec.Partition, "offset", rec.Offset, "reported", named, "err", reason)
	if id := string(rec.Key); !named || record.CheckWorkflowID(id) != nil {
		s.worker.cfg.Listener.recordSkipped(RecordSkipped{Service: s.name, Partition: rec.Partition, Offset: rec.Offset, Reason: SkipUndecodable})
		s.reportUnreadable(j, headers, reason)
		return
	}
	failure := bound(&record.Failure{Kind: record.FailureWorker, Code: CodeTaskUndecodable, Retryable: true, Message: reason.Error()})
	s.worker.cfg.Listener.callEnded(CallEnded{Service: s.name, Outcome: OutcomeRetry, Kind: failure.Kind, Code: failure.Code})
	s.report(j, &Call{Service: s.name, WorkflowID: string(rec.Key), Task: task, Trace: traceOf(headers)}, nil, failure)
}

// reportUnreadable sends a record that names no task to the dead letters, by way of the
// engine.
func (s *service) reportUnreadable(j *job, headers []record.Header, reason error) {
	at := codec.TaskPlace{Service: s.name, Partition: j.rec.Partition, Offset: j.rec.Offset}
	out := codec.EncodeUnreadable(at, record.Raw{Key: j.rec.Key, Value: j.rec.Value, Headers: headers}, reason.Error())
	rec := &kgo.Record{Topic: s.worker.names.Topic(record.TopicEvents), Partition: s.worker.route(string(out.Key)), Key: out.Key, Value: out.Value}
	for _, h := range out.Headers {
		rec.Headers = append(rec.Headers, kgo.RecordHeader(h))
	}
	s.produce(j, &Call{Service: s.name, WorkflowID: string(out.Key)}, rec)
}

func recordHeaders(rec *kgo.Record) []record.Header {
	out := make([]record.Header, len(rec.Headers))
	for i, h := range rec.Headers {
		out[i] = record.Header{Key: h.Key, Value: h.Value}
	}
	return out
}

// limitKey is a task record's key of limits; empty: it has none.
func limitKey(rec *kgo.Record) string {
	for _, h := range rec.Headers {
		if h.Key == codec.HeaderLimitKey {
			return string(h.Value)
		}
	}
	return ""
}

// traceOf picks the W3C trace context out of a record's headers.
func traceOf(headers []record.Header) []record.Header {
	var out []record.Header
	for _, h := range headers {
		switch h.Key {
		case "traceparent", "tracestate", "baggage":
			out = append(out, h)
		}
	}
	return out
}
