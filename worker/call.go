package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/internal/fault"
	"github.com/odradek/odradek/record"
)

// work does one job on a goroutine of the pool: one attempt, and its report. called is
// false if no handler was called.
func (s *service) work(j *job) (called bool) {
	if !s.begin(j) {
		return false
	}
	if fault.Off(fault.WorkerAck) {
		s.finished(j)
	}
	headers := recordHeaders(j.rec)
	task, err := codec.DecodeTask(j.rec.Key, j.rec.Value, headers)
	if err != nil {
		s.undecodable(j, headers, err)
		return false
	}
	call := &Call{
		Service: s.name, Operation: task.Operation, WorkflowID: task.WorkflowID, WorkflowType: task.Type,
		Task: task.ID, Key: task.Key, Attempt: task.Attempt, Sending: task.Sending, Input: task.Input, Trace: traceOf(headers),
		Details: task.Details, tokenKey: s.worker.cfg.TokenKey,
	}
	call.beats = newBeater(s, call, task.Heartbeat)
	ctx, end, wanted := s.worker.cancels.begin(j.part.ctx, call.Task, task.Again)
	if !wanted {
		s.worker.cfg.Listener.callEnded(CallEnded{Service: s.name, Operation: call.Operation, Outcome: OutcomeCancelled})
		s.finished(j)
		return false
	}
	if time.Since(j.rec.Timestamp) > taskOld {
		end()
		s.askWhetherWanted(j, call)
		return false
	}
	if j.back {
		end()
		s.goBack(j, call)
		return false
	}
	called = s.handlers[call.Operation] != nil && !j.died
	begun := time.Now()
	if task.Started {
		call.beats.start()
	}
	if h := s.handlers[call.Operation]; h != nil && h.Beats && task.Heartbeat > 0 {
		go call.beats.keep(ctx)
	}
	result, failure, cut := s.call(ctx, j, call, task.Timeout)
	aborted := failure != nil && cancelled(ctx)
	end()
	ended := CallEnded{Service: s.name, Operation: call.Operation, Outcome: OutcomeCompleted}
	switch {
	case cut:
		ended.Outcome = OutcomeCutOff
	case aborted:
		ended.Outcome = OutcomeCancelled
	case failure == pending:
		ended.Outcome = OutcomePending
	case failure != nil:
		ended.Kind, ended.Code, ended.Outcome = failure.Kind, failure.Code, OutcomeFailed
		if failure.Retryable {
			ended.Outcome = OutcomeRetry
		}
	}
	if !cut && !aborted && !call.joined {
		if failure == pending {
			s.judge(j, nil)
		} else {
			s.judge(j, failure)
		}
	}
	ended.Duration = time.Since(begun)
	s.worker.cfg.Listener.callEnded(ended)
	if cut {
		s.givenUp(j)
		return called
	}
	if aborted { // nobody waits for its failure
		s.finished(j)
		return called
	}
	fault.At(fault.WorkerResult)
	s.report(j, call, result, failure)
	return called
}

// taskOld is the age from which on a task may have been cancelled without our knowing: an hour
// less than what Kafka keeps of cancelled tasks (topology), for clocks that differ.
const taskOld = 7*24*time.Hour - time.Hour

// askWhetherWanted gives a task back to the engine, which knows: it drops the answer if nobody
// waits for the task, and else sends it again with the time of today (W6).
func (s *service) askWhetherWanted(j *job, call *Call) {
	s.worker.cfg.Listener.callEnded(CallEnded{Service: s.name, Operation: call.Operation, Outcome: OutcomeRetry, Kind: record.FailureWorker, Code: CodeTaskOld})
	s.report(j, call, nil, &record.Failure{
		Kind: record.FailureWorker, Code: CodeTaskOld, Retryable: true, RetryAfter: backAfter(call.Attempt),
		Message: fmt.Sprintf("the record of the task is from %s, longer ago than cancelled tasks are known: it comes again if it is still wanted", j.rec.Timestamp.UTC().Format(time.RFC3339)),
	})
}

// goBack gives a task whose key has no turn back to the engine, which waits instead: not an
// attempt by its policy.
func (s *service) goBack(j *job, call *Call) {
	if j.draining {
		s.worker.cfg.Listener.callEnded(CallEnded{Service: s.name, Operation: call.Operation, Outcome: OutcomeRetry, Kind: record.FailureWorker, Code: CodePartitionDraining})
		s.report(j, call, nil, &record.Failure{
			Kind: record.FailureWorker, Code: CodePartitionDraining, Retryable: true,
			Message: fmt.Sprintf("task partition %d of service %s gets no new tasks any more; this one goes to another", j.part.id, s.name),
		})
		return
	}
	pause := backAfter(call.Attempt)
	s.worker.cfg.Listener.callEnded(CallEnded{Service: s.name, Operation: call.Operation, Outcome: OutcomeRetry, Kind: record.FailureWorker, Code: CodeKeyLimited})
	s.report(j, call, nil, &record.Failure{
		Kind: record.FailureWorker, Code: CodeKeyLimited, Retryable: true, RetryAfter: pause,
		Message: fmt.Sprintf("so many tasks wait in this worker for the turns of their keys that this one, of key %q of service %s, comes again in %s", j.key, s.name, pause.Round(time.Millisecond)),
	})
}

// pending stands for a task that is completed later: call.poll says how.
var pending = &record.Failure{}

// call makes the attempt, within the limit that its task has. cut is true if it was cut off and did not succeed: then
// the next holder makes it again.
func (s *service) call(ctx context.Context, j *job, call *Call, limit time.Duration) (result []byte, failure *record.Failure, cut bool) {
	h := s.handlers[call.Operation]
	switch {
	case h == nil:
		return nil, &record.Failure{
			Kind: record.FailureBinding, Code: CodeUnboundOperation, Retryable: true,
			Message: fmt.Sprintf("no handler for operation %q of service %q in this worker; it has %s. Add it, or start a worker that has it: all members of the group must have all operations",
				call.Operation, s.name, strings.Join(s.operations, ", ")),
		}, false
	case j.died:
		return nil, &record.Failure{
			Kind: record.FailureQuarantined, Code: CodeWorkerDied, Retryable: true,
			Message: fmt.Sprintf("%d starts of this record ended without a result because the worker died; it looks as if %s.%s takes its worker down. It is not started again until an operator retries it. Look at the workers' last logs", j.starts, s.name, call.Operation),
		}, false
	}
	timeout := cmp.Or(limit, h.Timeout)
	if timeout == 0 {
		timeout = timeoutDefault
	}
	cancel := context.CancelFunc(func() {})
	if timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, timeout)
	}
	defer cancel()
	fault.At(fault.WorkerCalled)
	result, err := s.guarded(context.WithValue(ctx, callKey{}, call), h, call)
	switch {
	case err == nil && len(result) > payloadBytesMax:
		return nil, tooLarge(call, len(result)), false
	case err == nil:
		return result, nil, false
	case cutOff(ctx):
		return nil, nil, true
	case errors.Is(err, ErrPending):
		call.poll, _ = errors.AsType[*poll](err)
		return nil, pending, false
	}
	call.forget = Forgets(err)
	return nil, failureOf(ctx, err, timeout), false
}

// guarded calls the handler; a panic becomes a retryable failure that names where.
func (s *service) guarded(ctx context.Context, h *Handler, call *Call) (result []byte, err error) {
	done := false
	defer func() {
		if done {
			return
		}
		// Goexit ends here too: the pool's goroutine would be gone, so it counts as a panic.
		reason := recover()
		at := panicSite()
		s.log.Error("handler panicked", "operation", call.Operation, "workflow_id", call.WorkflowID, "task", call.Task.String(), "panic", fmt.Sprint(reason), "at", at)
		err = &record.Failure{
			Kind: record.FailureApplication, Code: CodePanic, Retryable: true,
			Message: fmt.Sprintf("the handler of %s.%s panicked at %s: %v", call.Service, call.Operation, at, reason),
		}
	}()
	result, err = h.Call(ctx, call)
	done = true
	return result, err
}

// panicSite is file:line of the panic: the first frame below the runtime's. Called
// from a deferred function.
func panicSite() string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "runtime.") {
			return fmt.Sprintf("%s:%d", f.File, f.Line)
		}
		if !more {
			return "an unknown place"
		}
	}
}

func tooLarge(call *Call, size int) *record.Failure {
	return &record.Failure{
		Kind: record.FailureEngine, Code: CodePayloadTooLarge,
		Message: fmt.Sprintf("the result of %s.%s has %d bytes, at most %d are allowed; store it elsewhere and return its address", call.Service, call.Operation, size, payloadBytesMax),
	}
}
