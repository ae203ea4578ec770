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
	}
	panic(fmt.Sprintf("codec: no format for a history event of type %T", body))
}

func (r *reader) historyBody(kind record.HistoryKind) record.HistoryBody {
	switch kind {
	case record.KindRunStarted:
		return &record.RunStarted{Type: r.string(), Version: r.uint32(), CommandID: r.string(), Input: r.bytes()}
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
		return &record.TaskScheduled{Service: r.string(), Operation: r.string(), InputHash: r.uint64(), Policy: r.policy(), Input: r.bytes()}
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
			n += len(b.Type) + len(b.CommandID) + len(b.Input)
		case *record.SignalReceived:
			n += len(b.Name) + len(b.CommandID) + len(b.Payload)
		case *record.HistoryTaskCompleted:
			n += attemptsLen(b.Attempts) + len(b.Result)
		case *record.HistoryTaskFailed:
			n += attemptsLen(b.Attempts) + failureLen(&b.Failure)
		case *record.TaskScheduled:
			n += 32 + len(b.Service) + len(b.Operation) + len(b.Input)
		case *record.RunCompleted:
			n += len(b.Result)
		case *record.RunFailed:
			n += failureLen(&b.Failure)
		}
	}
	return n
}
