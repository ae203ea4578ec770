package machine

import (
	"fmt"
	"time"

	"github.com/odradek/odradek/record"
)

// Limits of one turn (T5) and of what leaves it.
const (
	TurnDecisionsMax = 10_000
	TurnBytesMax     = 8 << 20
	// PayloadBytesMax bounds a payload (F5): two of them and their envelope fit
	// into a chunk, and a chunk into max.message.bytes of our topics.
	PayloadBytesMax = 512 << 10
	// ChunkBytesMax is where a chunk is split (F5).
	ChunkBytesMax = 768 << 10
)

// Refusal says why a turn cannot become history: its run is stuck, with the
// code and the detail, and nothing of the turn is applied (M5).
type Refusal struct {
	Code   string
	Detail string
}

// Error makes a Refusal an error.
func (r *Refusal) Error() string { return r.Code + ": " + r.Detail }

// DecideConfig is what Decide must know of the world.
type DecideConfig struct {
	// Deliverable refuses a task for a service whose records cannot be written (P5).
	Deliverable func(service string) *Refusal
	// Publishable refuses a record for a topic of the user's (P5).
	Publishable func(topic string) *Refusal
	// RetainCompleted and RetainFailed are how long chunks are kept after the close (F4).
	RetainCompleted, RetainFailed time.Duration
}

// Decide makes history events of a turn's decisions. next is the number of the
// first. Decision i becomes event next+i and nothing else does (M2).
func Decide(cfg DecideConfig, next uint64, now record.Millis, decisions []record.HistoryBody) ([]record.HistoryEvent, *Refusal) {
	if len(decisions) > TurnDecisionsMax {
		return nil, &Refusal{"turn_limit", fmt.Sprintf("the turn asks for %d decisions, at most %d are allowed: await some of them before you ask for more", len(decisions), TurnDecisionsMax)}
	}
	bytes := 0
	events := make([]record.HistoryEvent, 0, len(decisions))
	for i, d := range decisions {
		n := payloadLen(d)
		if n > PayloadBytesMax {
			return nil, &Refusal{"payload_too_large", fmt.Sprintf("decision %d (%s) has a payload of %d bytes, at most %d are allowed: pass a reference instead", i+1, d.HistoryKind(), n, PayloadBytesMax)}
		}
		if bytes += n; bytes > TurnBytesMax {
			return nil, &Refusal{"turn_limit", fmt.Sprintf("the turn's payloads exceed %d bytes: await some of its tasks before you start more", TurnBytesMax)}
		}
		switch b := d.(type) {
		case *record.TaskScheduled:
			if r := cfg.Deliverable(b.Service); r != nil {
				return nil, r
			}
		case *record.Published:
			if r := cfg.Publishable(b.Topic); r != nil {
				return nil, r
			}
		case *record.RunCompleted:
			b.Retain = cfg.RetainCompleted
		case *record.RunFailed:
			b.Retain = cfg.RetainFailed
		case *record.RunCancelled:
			b.Retain = cfg.RetainFailed
		case *record.RunContinued:
			b.Retain = cfg.RetainCompleted
		}
		events = append(events, record.HistoryEvent{No: next + uint64(i), At: now, Body: d})
	}
	return events, nil
}

// PayloadBytes is how many bytes of payloads an event has.
func PayloadBytes(b record.HistoryBody) int { return payloadLen(b) }

func payloadLen(b record.HistoryBody) int {
	switch b := b.(type) {
	case *record.RunStarted:
		return len(b.Input)
	case *record.SignalReceived:
		return len(b.Payload)
	case *record.SignalCarried:
		return len(b.Payload)
	case *record.TaskScheduled:
		return len(b.Input)
	case *record.HistoryTaskCompleted:
		return len(b.Result)
	case *record.RunCompleted:
		return len(b.Result)
	case *record.RunFailed:
		return len(b.Failure.Problem) + len(b.Failure.Message)
	case *record.LocalScheduled:
		return len(b.Input)
	case *record.ChildScheduled:
		return len(b.Input)
	case *record.ChildClosed:
		return len(b.Result) + len(b.Failure.Problem) + len(b.Failure.Message)
	case *record.SignalSent:
		return len(b.Payload)
	case *record.UpdateReceived:
		return len(b.Payload)
	case *record.UpdateCompleted:
		return len(b.Result)
	case *record.Published:
		return len(b.Key) + len(b.Payload)
	case *record.RunContinued:
		return len(b.Input) + len(b.Carry)
	case *record.AttributesSet:
		n := 0
		for i := range b.Attributes {
			n += len(b.Attributes[i].Value)
		}
		return n
	}
	return 0
}

// EventBytes estimates a history event's bytes in a chunk, from above: payloads
// and texts plus an allowance for numbers.
func EventBytes(e record.HistoryEvent) int {
	n := 64 + payloadLen(e.Body)
	switch b := e.Body.(type) {
	case *record.RunStarted:
		n += len(b.Type) + len(b.CommandID) + len(b.Build) + len(b.Parent.WorkflowID) + len(b.Carry)
	case *record.SignalReceived:
		n += len(b.Name) + len(b.CommandID)
	case *record.TaskScheduled:
		n += len(b.Service) + len(b.Operation) + len(b.LimitKey)
	case *record.HistoryTaskCompleted:
		n += attemptsLen(b.Attempts)
	case *record.HistoryTaskFailed:
		n += attemptsLen(b.Attempts) + failureLen(&b.Failure)
	case *record.RunFailed:
		n += failureLen(&b.Failure)
	default:
		n += textLen(b)
	}
	return n
}

// textLen bounds the texts of what is rare.
func textLen(b record.HistoryBody) int {
	switch b := b.(type) {
	case *record.RunRewound:
		return len(b.CommandID) + len(b.Reason) + len(b.By) + openedLen(&b.Open)
	case *record.OperatorActed:
		return len(b.CommandID) + len(b.Reason) + len(b.By)
	case *record.CancelRequested:
		return len(b.CommandID) + len(b.Reason) + len(b.By)
	case *record.RunTerminated:
		return len(b.CommandID) + len(b.Reason) + len(b.By)
	case *record.ChildClosed:
		return failureLen(&b.Failure)
	case *record.UpdateReceived:
		return len(b.Name) + len(b.CommandID)
	case *record.LocalScheduled:
		return 32 + len(b.Name)
	case *record.ChildScheduled:
		return len(b.WorkflowID) + len(b.Type)
	case *record.ChildCarried:
		return 32 + len(b.WorkflowID) + len(b.Type)
	case *record.AwaitReceived:
		return len(b.Parent.WorkflowID)
	case *record.ChildCancelRequested:
		return len(b.Reason)
	case *record.WorkflowAwaited:
		return len(b.WorkflowID)
	case *record.SignalSent:
		return len(b.WorkflowID) + len(b.Name)
	case *record.UpdateCompleted:
		if b.Failure != nil {
			return failureLen(b.Failure)
		}
	case *record.SignalCarried:
		return len(b.Name) + len(b.CommandID)
	case *record.PatchMarked:
		return len(b.ID)
	case *record.AttributesSet:
		n := 0
		for i := range b.Attributes {
			n += 24 + len(b.Attributes[i].Name)
		}
		return n
	case *record.Published:
		return len(b.Topic)
	case *record.RunCancelled:
		return failureLen(&b.Failure)
	}
	return 0
}

// openedLen bounds what is open in a run that was taken back.
func openedLen(o *record.Opened) (n int) {
	for i := range o.Tasks {
		n += 210 + len(o.Tasks[i].Service) + len(o.Tasks[i].Operation) + len(o.Tasks[i].Policy.NonRetryable) + len(o.Tasks[i].LimitKey)
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

func attemptsLen(as []record.Attempt) (n int) {
	for i := range as {
		n += 32 + failureLen(&as[i].Failure)
	}
	return n
}

func failureLen(f *record.Failure) int {
	return 32 + len(f.Kind) + len(f.Code) + len(f.Message) + len(f.Problem)
}
