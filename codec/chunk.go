package codec

import (
	"encoding/binary"
	"fmt"

	"github.com/odradek/odradek/record"
)

// A chunk:
//
//	version | first number | count | count x (kind u8 | time, as delta | body)
//
// Numbers are dense, so only the first is written. A payload is its length and
// its bytes. A kind that we do not know comes from a newer binary (K4, F3).

// AppendChunk appends the history events of one chunk, at least one, numbered
// densely. It panics if they are not: nobody could apply such a chunk.
func AppendChunk(dst []byte, events []record.HistoryEvent) []byte {
	dst = append(dst, rowFormat)
	dst = binary.AppendUvarint(dst, events[0].No)
	dst = binary.AppendUvarint(dst, uint64(len(events)))
	var at record.Millis
	for i := range events {
		e := &events[i]
		if e.No != events[0].No+uint64(i) {
			panic(fmt.Sprintf("codec: event %d follows event %d in a chunk", e.No, events[i-1].No))
		}
		dst = append(dst, byte(e.Body.HistoryKind()))
		dst = appendMillis(dst, e.At-at)
		dst = appendHistoryBody(dst, e.Body)
		at = e.At
	}
	return dst
}

// ChunkFirst is the number of the first event in an encoded chunk, without
// decoding the rest.
func ChunkFirst(b []byte) (uint64, error) {
	r := newReader(b)
	no := r.uvarint()
	return no, r.err
}

// DecodeChunk is the inverse of AppendChunk; payloads alias b.
func DecodeChunk(b []byte) ([]record.HistoryEvent, error) {
	r := newReader(b)
	no := r.uvarint()
	n := r.count(2)
	if r.err == nil && n == 0 {
		r.fail("a chunk without events")
	}
	// An event in memory is many times its shortest form: grow instead (K1).
	events := make([]record.HistoryEvent, 0, min(n, 64))
	var at record.Millis
	for i := 0; i < n && r.err == nil; i++ {
		kind := record.HistoryKind(r.byte())
		at += r.millis()
		body := r.historyBody(kind)
		events = append(events, record.HistoryEvent{No: no + uint64(i), At: at, Body: body})
	}
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("chunk: %w", err)
	}
	return events, nil
}

func appendHistoryBody(dst []byte, body record.HistoryBody) []byte {
	switch b := body.(type) {
	case *record.RunStarted:
		dst = appendBytes(dst, b.Type)
		dst = binary.AppendUvarint(dst, uint64(b.Version))
		dst = appendBytes(dst, b.CommandID)
		dst = appendBytes(dst, b.Build)
		dst = appendOrigin(dst, b)
		return appendBytes(dst, b.Input)
	case *record.SignalReceived:
		dst = appendBytes(dst, b.Name)
		dst = appendBytes(dst, b.CommandID)
		return appendBytes(dst, b.Payload)
	case *record.HistoryTaskCompleted:
		dst = binary.AppendUvarint(dst, b.Task)
		dst = appendAttempts(dst, b.Attempts)
		return appendBytes(dst, b.Result)
	case *record.HistoryTaskFailed:
		dst = binary.AppendUvarint(dst, b.Task)
		dst = appendAttempts(dst, b.Attempts)
		return appendFailure(dst, &b.Failure)
	case *record.TimerFired:
		return binary.AppendUvarint(dst, b.Timer)
	case *record.VersionPinned:
		return binary.AppendUvarint(dst, uint64(b.Version))
	case *record.TaskScheduled:
		dst = appendBytes(dst, b.Service)
		dst = appendBytes(dst, b.Operation)
		dst = binary.BigEndian.AppendUint64(dst, b.InputHash)
		dst = appendPolicy(dst, b.Policy)
		dst = appendLimits(dst, b.Limits, b.LimitKey)
		return appendBytes(dst, b.Input)
	case *record.TimerStarted:
		return appendMillis(dst, b.Due)
	case *record.TimerCancelled:
		return binary.AppendUvarint(dst, b.Timer)
	case *record.SignalConsumed:
		return binary.AppendUvarint(dst, b.Signal)
	case *record.RunCompleted:
		dst = binary.AppendVarint(dst, int64(b.Retain))
		return appendBytes(dst, b.Result)
	case *record.RunFailed:
		dst = binary.AppendVarint(dst, int64(b.Retain))
		return appendFailure(dst, &b.Failure)
	case *record.CancelRequested:
		dst = appendBytes(dst, b.CommandID)
		dst = appendBytes(dst, b.Reason)
		return appendBytes(dst, b.By)
	case *record.RunTerminated:
		dst = appendBytes(dst, b.CommandID)
		dst = appendBytes(dst, b.Reason)
		dst = appendBytes(dst, b.By)
		return binary.AppendVarint(dst, int64(b.Retain))
	case *record.ChildClosed:
		dst = binary.AppendUvarint(dst, b.Child)
		dst = append(dst, b.Run[:]...)
		dst = append(dst, byte(b.Status))
		dst = appendFailure(dst, &b.Failure)
		return appendBytes(dst, b.Result)
	case *record.UpdateReceived:
		dst = appendBytes(dst, b.Name)
		dst = appendBytes(dst, b.CommandID)
		return appendBytes(dst, b.Payload)
	case *record.TaskCancelled:
		return binary.AppendUvarint(dst, b.Task)
	case *record.LocalScheduled:
		dst = appendBytes(dst, b.Name)
		dst = binary.BigEndian.AppendUint64(dst, b.InputHash)
		dst = appendPolicy(dst, b.Policy)
		dst = appendLimits(dst, b.Limits, "")
		return appendBytes(dst, b.Input)
	case *record.ChildScheduled:
		dst = appendBytes(dst, b.WorkflowID)
		dst = appendBytes(dst, b.Type)
		dst = binary.BigEndian.AppendUint64(dst, b.InputHash)
		dst = append(dst, byte(b.Close))
		return appendBytes(dst, b.Input)
	case *record.ChildCancelRequested:
		dst = binary.AppendUvarint(dst, b.Child)
		return appendBytes(dst, b.Reason)
	case *record.WorkflowAwaited:
		return appendBytes(dst, b.WorkflowID)
	case *record.SignalSent:
		dst = appendBytes(dst, b.WorkflowID)
		dst = appendBytes(dst, b.Name)
		dst = binary.BigEndian.AppendUint64(dst, b.PayloadHash)
		return appendBytes(dst, b.Payload)
	case *record.UpdateCompleted:
		dst = binary.AppendUvarint(dst, b.Update)
		dst = appendBool(dst, b.Failure != nil)
		if b.Failure != nil {
			return appendFailure(dst, b.Failure)
		}
		return appendBytes(dst, b.Result)
	case *record.SignalCarried:
		dst = appendBytes(dst, b.Name)
		dst = appendBytes(dst, b.CommandID)
		return appendBytes(dst, b.Payload)
	case *record.ChildCarried:
		dst = appendBytes(dst, b.WorkflowID)
		dst = appendBytes(dst, b.Type)
		dst = append(dst, byte(b.Close))
		dst = append(dst, b.Run[:]...)
		return appendTaskOf(dst, b.From)
	case *record.AwaitReceived:
		return appendParent(dst, b.Parent)
	case *record.PatchMarked:
		return appendBytes(dst, b.ID)
	case *record.AttributesSet:
		return appendAttributes(dst, b.Attributes)
	case *record.Published:
		dst = appendBytes(dst, b.Topic)
		dst = appendBytes(dst, b.Key)
		dst = binary.BigEndian.AppendUint64(dst, b.PayloadHash)
		return appendBytes(dst, b.Payload)
	case *record.RunRewound:
		dst = binary.AppendUvarint(dst, b.To)
		dst = appendBool(dst, b.Reset)
		dst = appendBytes(dst, b.CommandID)
		dst = appendBytes(dst, b.Reason)
		dst = appendBytes(dst, b.By)
		return appendOpened(dst, &b.Open)
	case *record.OperatorActed:
		dst = append(dst, byte(b.Verb))
		dst = binary.AppendUvarint(dst, b.Task)
		dst = appendBool(dst, b.NewKey)
		dst = appendBytes(dst, b.CommandID)
		dst = appendBytes(dst, b.Reason)
		return appendBytes(dst, b.By)
	case *record.RunCancelled:
		dst = binary.AppendVarint(dst, int64(b.Retain))
		return appendFailure(dst, &b.Failure)
	case *record.RunContinued:
		dst = binary.AppendVarint(dst, int64(b.Retain))
		dst = binary.BigEndian.AppendUint64(dst, b.InputHash)
		dst = appendBytes(dst, b.Input)
		dst = appendBool(dst, b.Carry != nil)
		return appendBytes(dst, b.Carry)
	}
	panic(fmt.Sprintf("codec: no format for a history event of type %T", body))
}

func (r *reader) historyBody(kind record.HistoryKind) record.HistoryBody {
	switch kind {
	case record.KindRunStarted:
		b := &record.RunStarted{Type: r.string(), Version: r.uint32(), CommandID: r.string(), Build: r.string()}
		r.origin(b)
		b.Input = r.bytes()
		return b
	case record.KindSignalReceived:
		return &record.SignalReceived{Name: r.string(), CommandID: r.string(), Payload: r.bytes()}
	case record.KindTaskCompleted:
		return &record.HistoryTaskCompleted{Task: r.uvarint(), Attempts: r.attempts(), Result: r.bytes()}
	case record.KindTaskFailed:
		return &record.HistoryTaskFailed{Task: r.uvarint(), Attempts: r.attempts(), Failure: r.failure()}
	case record.KindTimerFired:
		return &record.TimerFired{Timer: r.uvarint()}
	case record.KindVersionPinned:
		return &record.VersionPinned{Version: r.uint32()}
	case record.KindTaskScheduled:
		b := &record.TaskScheduled{Service: r.string(), Operation: r.string(), InputHash: r.uint64(), Policy: r.policy()}
		b.Limits, b.LimitKey = r.limits()
		b.Input = r.bytes()
		return b
	case record.KindTimerStarted:
		return &record.TimerStarted{Due: r.millis()}
	case record.KindTimerCancelled:
		return &record.TimerCancelled{Timer: r.uvarint()}
	case record.KindSignalConsumed:
		return &record.SignalConsumed{Signal: r.uvarint()}
	case record.KindRunCompleted:
		return &record.RunCompleted{Retain: r.duration(), Result: r.bytes()}
	case record.KindRunFailed:
		return &record.RunFailed{Retain: r.duration(), Failure: r.failure()}
	case record.KindCancelRequested:
		return &record.CancelRequested{CommandID: r.string(), Reason: r.string(), By: r.string()}
	case record.KindRunTerminated:
		return &record.RunTerminated{CommandID: r.string(), Reason: r.string(), By: r.string(), Retain: r.duration()}
	case record.KindChildClosed:
		return &record.ChildClosed{Child: r.uvarint(), Run: r.runID(), Status: record.Status(r.byte()), Failure: r.failure(), Result: r.bytes()}
	case record.KindUpdateReceived:
		return &record.UpdateReceived{Name: r.string(), CommandID: r.string(), Payload: r.bytes()}
	case record.KindTaskCancelled:
		return &record.TaskCancelled{Task: r.uvarint()}
	case record.KindLocalScheduled:
		b := &record.LocalScheduled{Name: r.string(), InputHash: r.uint64(), Policy: r.policy()}
		b.Limits, _ = r.limits()
		b.Input = r.bytes()
		return b
	case record.KindChildScheduled:
		return &record.ChildScheduled{WorkflowID: r.string(), Type: r.string(), InputHash: r.uint64(), Close: record.ClosePolicy(r.byte()), Input: r.bytes()}
	case record.KindChildCancelRequested:
		return &record.ChildCancelRequested{Child: r.uvarint(), Reason: r.string()}
	case record.KindWorkflowAwaited:
		return &record.WorkflowAwaited{WorkflowID: r.string()}
	case record.KindSignalSent:
		return &record.SignalSent{WorkflowID: r.string(), Name: r.string(), PayloadHash: r.uint64(), Payload: r.bytes()}
	case record.KindUpdateCompleted:
		b := &record.UpdateCompleted{Update: r.uvarint()}
		if r.bool() {
			f := r.failure()
			b.Failure = &f
		} else {
			b.Result = r.bytes()
		}
		return b
	case record.KindSignalCarried:
		return &record.SignalCarried{Name: r.string(), CommandID: r.string(), Payload: r.bytes()}
	case record.KindChildCarried:
		return &record.ChildCarried{WorkflowID: r.string(), Type: r.string(), Close: record.ClosePolicy(r.byte()), Run: r.runID(), From: r.task()}
	case record.KindAwaitReceived:
		return &record.AwaitReceived{Parent: r.parent()}
	case record.KindPatchMarked:
		return &record.PatchMarked{ID: r.string()}
	case record.KindAttributesSet:
		return &record.AttributesSet{Attributes: r.attributes()}
	case record.KindPublished:
		return &record.Published{Topic: r.string(), Key: r.bytes(), PayloadHash: r.uint64(), Payload: r.bytes()}
	case record.KindRunRewound:
		return &record.RunRewound{To: r.uvarint(), Reset: r.bool(), CommandID: r.string(), Reason: r.string(), By: r.string(), Open: r.opened()}
	case record.KindOperatorActed:
		return &record.OperatorActed{Verb: record.Verb(r.byte()), Task: r.uvarint(), NewKey: r.bool(), CommandID: r.string(), Reason: r.string(), By: r.string()}
	case record.KindRunCancelled:
		return &record.RunCancelled{Retain: r.duration(), Failure: r.failure()}
	case record.KindRunContinued:
		b := &record.RunContinued{Retain: r.duration(), InputHash: r.uint64(), Input: r.bytes()}
		if carry := r.bool(); carry {
			b.Carry = append([]byte{}, r.bytes()...)
		} else {
			r.bytes()
		}
		return b
	}
	if r.err == nil {
		r.err = fmt.Errorf("history event of kind %d: %w", kind, ErrFormatNewer)
	}
	return nil
}

// chunkLen is an upper bound of a chunk's bytes.
func chunkLen(events []record.HistoryEvent) int {
	n := 24
	for i := range events {
		n += 64
		switch b := events[i].Body.(type) {
		case *record.RunStarted:
			n += len(b.Type) + len(b.CommandID) + len(b.Build) + len(b.Input) + len(b.Parent.WorkflowID) + len(b.Carry)
		case *record.SignalReceived:
			n += len(b.Name) + len(b.CommandID) + len(b.Payload)
		case *record.HistoryTaskCompleted:
			n += attemptsLen(b.Attempts) + len(b.Result)
		case *record.HistoryTaskFailed:
			n += attemptsLen(b.Attempts) + failureLen(&b.Failure)
		case *record.TaskScheduled:
			n += 32 + len(b.Service) + len(b.Operation) + len(b.LimitKey) + len(b.Input)
		case *record.RunCompleted:
			n += len(b.Result)
		case *record.RunFailed:
			n += failureLen(&b.Failure)
		default:
			n += languageLen(b)
		}
	}
	return n
}

// languageLen bounds the bytes of what is rare.
func languageLen(b record.HistoryBody) int {
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
		return failureLen(&b.Failure) + len(b.Result)
	case *record.UpdateReceived:
		return len(b.Name) + len(b.CommandID) + len(b.Payload)
	case *record.LocalScheduled:
		return 32 + len(b.Name) + len(b.Input)
	case *record.ChildScheduled:
		return len(b.WorkflowID) + len(b.Type) + len(b.Input)
	case *record.ChildCancelRequested:
		return len(b.Reason)
	case *record.ChildCarried:
		return 32 + len(b.WorkflowID) + len(b.Type)
	case *record.AwaitReceived:
		return len(b.Parent.WorkflowID)
	case *record.WorkflowAwaited:
		return len(b.WorkflowID)
	case *record.SignalSent:
		return len(b.WorkflowID) + len(b.Name) + len(b.Payload)
	case *record.UpdateCompleted:
		if b.Failure != nil {
			return failureLen(b.Failure)
		}
		return len(b.Result)
	case *record.SignalCarried:
		return len(b.Name) + len(b.CommandID) + len(b.Payload)
	case *record.PatchMarked:
		return len(b.ID)
	case *record.AttributesSet:
		n := 0
		for i := range b.Attributes {
			n += 24 + len(b.Attributes[i].Name) + len(b.Attributes[i].Value)
		}
		return n
	case *record.Published:
		return len(b.Topic) + len(b.Key) + len(b.Payload)
	case *record.RunCancelled:
		return failureLen(&b.Failure)
	case *record.RunContinued:
		return len(b.Input) + len(b.Carry)
	}
	return 0
}

// Where a run comes from, if not from a client.
const (
	originNone     = 0
	originParent   = 1
	originPrevious = 2
)

func appendOrigin(dst []byte, b *record.RunStarted) []byte {
	from := byte(originNone)
	if !b.Parent.IsZero() {
		from |= originParent
	}
	if !b.Previous.IsZero() {
		from |= originPrevious
	}
	dst = append(dst, from)
	if from&originParent != 0 {
		dst = appendParent(dst, b.Parent)
	}
	if from&originPrevious != 0 {
		dst = append(dst, b.Previous[:]...)
		dst = binary.BigEndian.AppendUint64(dst, b.FirstInput)
		dst = appendBool(dst, b.Carry != nil)
		dst = appendBytes(dst, b.Carry)
	}
	return dst
}

func (r *reader) origin(b *record.RunStarted) {
	from := r.byte()
	if from > originParent|originPrevious {
		r.fail("a run's origin is of a kind that does not exist")
		return
	}
	if from&originParent != 0 {
		b.Parent = r.parent()
	}
	if from&originPrevious != 0 {
		b.Previous, b.FirstInput = r.runID(), r.uint64()
		if carry := r.bool(); carry {
			b.Carry = append([]byte{}, r.bytes()...)
		} else {
			r.bytes()
		}
	}
}

func appendParent(dst []byte, p record.Parent) []byte {
	dst = appendBytes(dst, p.WorkflowID)
	dst = append(dst, p.Run[:]...)
	return binary.AppendUvarint(dst, p.Event)
}

func (r *reader) parent() record.Parent {
	return record.Parent{WorkflowID: r.string(), Run: r.runID(), Event: r.uvarint()}
}

func appendAttributes(dst []byte, as []record.Attribute) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(as)))
	for i := range as {
		dst = appendBytes(dst, as[i].Name)
		dst = append(dst, byte(as[i].Type))
		dst = appendBool(dst, as[i].Value != nil)
		dst = appendBytes(dst, as[i].Value)
	}
	return dst
}

func (r *reader) attributes() []record.Attribute {
	n := r.count(4)
	if n == 0 {
		return nil
	}
	as := make([]record.Attribute, 0, min(n, 64))
	for range n {
		a := record.Attribute{Name: r.string(), Type: record.AttributeType(r.byte())}
		if there := r.bool(); there {
			a.Value = append([]byte{}, r.bytes()...)
		} else {
			r.bytes()
		}
		as = append(as, a)
	}
	return as
}
