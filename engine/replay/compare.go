package replay

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/odradek/odradek/internal/coro"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

// match holds a decision of the code against the history's next one and gives its
// number (C4). Another kind or name: the code is another, the run is stuck. The same
// with another input: counted and logged, and stuck only where the type is Strict.
func (h *host) match(d record.HistoryBody) uint64 {
	i := h.asked - 1
	if i >= len(h.expect) {
		h.leave(stuckf(CodeDivergence, "the code does not match its history: it asks for %s as decision %d of the turn of event %d, of which the history has %d%s",
			describe(d), h.asked, h.event, len(h.expect), stack(coro.Callers())).diverged(h.event, "nothing more in its turn", describe(d), coro.Callers()))
	}
	want := h.expect[i]
	switch same, sameInput := compare(d, want.Body); {
	case !same:
		h.leave(stuckf(CodeDivergence, "the code does not match its history: event %d is %s, the code asks for %s%s",
			want.No, describe(want.Body), describe(d), stack(coro.Callers())).diverged(want.No, describe(want.Body), describe(d), coro.Callers()))
	case !sameInput:
		h.mismatch(d, want)
	}
	return want.No
}

// mismatch notes a decision with another input than the history's.
func (h *host) mismatch(d record.HistoryBody, want record.HistoryEvent) {
	h.live.HashMismatches++
	if h.live.def.Strict() || h.exact {
		why := ", and the workflow type is strict"
		if h.exact {
			why = ""
		}
		h.leave(stuckf(CodeDivergence, "the code does not match its history: event %d, %s, has another input than the code asks for now%s%s",
			want.No, describe(d), why, stack(coro.Callers())).diverged(want.No, describe(want.Body)+" with another input", describe(d), coro.Callers()))
	}
	if h.logger != nil {
		h.logger.Warn("decision has another input than its history", "event", want.No, "decision", describe(d),
			slog.String("workflow_id", h.live.id.WorkflowID), slog.String("run_id", h.live.id.Run.String()), slog.String("workflow_type", h.live.id.Type))
	}
}

// compare says whether two decisions have the same kind and name, and the same
// input. What a decision refers to is part of its name: a timer or a signal taken
// for another one would change the run's state.
func compare(code, history record.HistoryBody) (same, sameInput bool) {
	switch c := code.(type) {
	case *record.TaskScheduled:
		h, ok := history.(*record.TaskScheduled)
		return ok && c.Service == h.Service && c.Operation == h.Operation, ok && c.InputHash == h.InputHash
	case *record.TimerStarted:
		h, ok := history.(*record.TimerStarted)
		return ok, ok && c.Due == h.Due
	case *record.TimerCancelled:
		h, ok := history.(*record.TimerCancelled)
		return ok && c.Timer == h.Timer, true
	case *record.SignalConsumed:
		h, ok := history.(*record.SignalConsumed)
		return ok && c.Signal == h.Signal, true
	case *record.RunCompleted:
		h, ok := history.(*record.RunCompleted)
		return ok, ok && bytes.Equal(c.Result, h.Result)
	case *record.RunFailed:
		h, ok := history.(*record.RunFailed)
		return ok, ok && sameFailure(&c.Failure, &h.Failure)
	case *record.TaskCancelled:
		h, ok := history.(*record.TaskCancelled)
		return ok && c.Task == h.Task, true
	case *record.LocalScheduled:
		h, ok := history.(*record.LocalScheduled)
		return ok && c.Name == h.Name, ok && c.InputHash == h.InputHash
	case *record.ChildScheduled:
		h, ok := history.(*record.ChildScheduled)
		return ok && c.WorkflowID == h.WorkflowID && c.Type == h.Type, ok && c.InputHash == h.InputHash
	case *record.ChildCancelRequested:
		h, ok := history.(*record.ChildCancelRequested)
		return ok && c.Child == h.Child, true
	case *record.WorkflowAwaited:
		h, ok := history.(*record.WorkflowAwaited)
		return ok && c.WorkflowID == h.WorkflowID, true
	case *record.SignalSent:
		h, ok := history.(*record.SignalSent)
		return ok && c.WorkflowID == h.WorkflowID && c.Name == h.Name, ok && c.PayloadHash == h.PayloadHash
	case *record.UpdateCompleted:
		h, ok := history.(*record.UpdateCompleted)
		return ok && c.Update == h.Update && (c.Failure == nil) == (h.Failure == nil),
			ok && bytes.Equal(c.Result, h.Result) && (c.Failure == nil || h.Failure == nil || sameFailure(c.Failure, h.Failure))
	case *record.PatchMarked:
		h, ok := history.(*record.PatchMarked)
		return ok && c.ID == h.ID, true
	case *record.AttributesSet:
		h, ok := history.(*record.AttributesSet)
		return ok, ok && slices.EqualFunc(c.Attributes, h.Attributes, sameAttribute)
	case *record.Published:
		h, ok := history.(*record.Published)
		return ok && c.Topic == h.Topic, ok && c.PayloadHash == h.PayloadHash
	case *record.RunCancelled:
		h, ok := history.(*record.RunCancelled)
		return ok, ok && sameFailure(&c.Failure, &h.Failure)
	case *record.RunContinued:
		h, ok := history.(*record.RunContinued)
		return ok, ok && c.InputHash == h.InputHash
	}
	return false, false
}

func sameFailure(a, b *record.Failure) bool {
	return a.Kind == b.Kind && a.Code == b.Code && a.Message == b.Message
}

func sameAttribute(a, b record.Attribute) bool {
	return a.Name == b.Name && a.Type == b.Type && bytes.Equal(a.Value, b.Value)
}

// describe names a history event for people.
func describe(b record.HistoryBody) string {
	kind := b.HistoryKind().String()
	switch b := b.(type) {
	case *record.TaskScheduled:
		return kind + " " + b.Service + "/" + b.Operation
	case *record.TimerStarted:
		return kind + " until " + b.Due.Time().Format("2006-01-02T15:04:05.000Z")
	case *record.TimerCancelled:
		return fmt.Sprintf("%s of timer %d", kind, b.Timer)
	case *record.SignalConsumed:
		return fmt.Sprintf("%s of signal %d", kind, b.Signal)
	case *record.TaskCancelled:
		return fmt.Sprintf("%s of task %d", kind, b.Task)
	case *record.LocalScheduled:
		return kind + " " + b.Name
	case *record.ChildScheduled:
		return kind + " " + b.Type + " " + b.WorkflowID
	case *record.ChildCancelRequested:
		return fmt.Sprintf("%s of child %d", kind, b.Child)
	case *record.WorkflowAwaited:
		return kind + " " + b.WorkflowID
	case *record.SignalSent:
		return kind + " " + b.Name + " to " + b.WorkflowID
	case *record.ChildCarried:
		return kind + " " + b.Type + " " + b.WorkflowID
	case *record.UpdateCompleted:
		return fmt.Sprintf("%s of update %d", kind, b.Update)
	case *record.PatchMarked:
		return kind + " " + b.ID
	case *record.Published:
		return kind + " to " + b.Topic
	case *record.RunCancelled:
		return kind + " with " + b.Failure.Error()
	case *record.RunFailed:
		return kind + " with " + b.Failure.Error()
	case *record.SignalReceived:
		return kind + " " + b.Name
	}
	return kind
}

// whereabouts says what the code waits for.
func (h *host) whereabouts() string {
	if h.closed {
		return "has ended"
	}
	var out []string
	for _, t := range h.threads {
		out = append(out, "waits for "+awaited(&t.waits))
	}
	return strings.Join(out, "; another thread ")
}

func awaited(w *workflow.Awaited) string {
	var out []string
	open := func(o *workflow.Open) {
		if o.Decision == nil {
			out = append(out, "a thread")
			return
		}
		out = append(out, fmt.Sprintf("%d, %s", o.No, describe(o.Decision)))
	}
	for _, name := range append(w.Signals[:len(w.Signals):len(w.Signals)], w.Signal) {
		if name != "" {
			out = append(out, "signal "+name)
		}
	}
	if w.Open != nil {
		open(w.Open)
	}
	for _, o := range w.Opens {
		open(o)
	}
	if w.Any {
		out = append(out, "a condition")
	}
	return strings.Join(out, " or ")
}
