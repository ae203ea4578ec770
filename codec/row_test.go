package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/odradek/odradek/record"
)

// decodeRow decodes any row, by its key.
func decodeRow(k Key, value []byte) (any, error) {
	switch k.Kind {
	case RowRun:
		return DecodeRunRow(k, value)
	case RowStuck:
		return DecodeStuckRow(k, value)
	case RowTask:
		return DecodeTaskRow(k, value)
	case RowTimer:
		return DecodeTimerRow(k, value)
	case RowSignal:
		return DecodeSignalRow(k, value)
	case RowChild:
		return DecodeChildRow(k, value)
	case RowUpdate:
		return DecodeUpdateRow(k, value)
	case RowAttempt:
		return DecodeAttemptRow(k, value)
	case RowInbox:
		return DecodeInboxRow(k, value)
	case RowSummary:
		return DecodeSummaryRow(k, value)
	case RowChunk:
		return DecodeChunk(value)
	case RowCommand:
		return DecodeCommandRow(k, value)
	case RowDue:
		return k.Due, nil
	case RowListing:
		return DecodeListing(value)
	case RowDeadLetter:
		return DecodeDeadLetterRow(k, value)
	case RowType:
		return DecodeTypeRow(k, value)
	case RowOwnership:
		return DecodeOwnershipRow(value)
	case RowPositions:
		return DecodePositions(value)
	case RowCheckpoint:
		return DecodeCheckpoint(value)
	}
	return nil, nil
}

// putRow encodes what decodeRow gave; false for kinds that are not a RowWriter's.
func putRow(e *RowEncoder, k Key, v any) bool {
	r := &record.RunRow{WorkflowID: k.WorkflowID, Run: k.Run}
	switch v := v.(type) {
	case record.RunRow:
		e.PutRun(&v)
	case record.StuckRow:
		e.PutStuck(r, &v)
	case record.TaskRow:
		e.PutTask(r, &v)
	case record.TimerRow:
		e.PutTimer(r, &v)
	case record.SignalRow:
		e.PutSignal(r, &v)
	case record.AttemptRow:
		e.PutAttempt(r, &v)
	case record.InboxRow:
		e.PutInbox(r, &v)
	case record.SummaryRow:
		e.PutSummary(&v)
	case []record.HistoryEvent:
		e.PutChunk(r, uint32(k.No), v)
	case record.CommandRow:
		e.PutCommand(r, &v)
	case record.Due:
		e.PutDue(v)
	case record.DeadLetterRow:
		e.PutDeadLetter(&v)
	case record.TypeRow:
		e.PutType(&v)
	case record.OwnershipRow:
		e.PutOwnership(&v)
	case record.Positions:
		e.PutPositions(v)
	default:
		return false
	}
	return true
}

// TestRowsRoundTrip: what is put is what is decoded, from the bytes alone, and
// equal values have equal bytes (K2).
func TestRowsRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := runRows.Draw(t, "run")
		no := numbers.Draw(t, "no")
		at := func(kind RowKind, no uint64) Key {
			return Key{Kind: kind, Slot: slotOf(r.WorkflowID), WorkflowID: r.WorkflowID, Run: r.Run, No: no}
		}
		command := commands.Draw(t, "command")
		attempt := record.AttemptRow{Task: no, Open: smalls.Draw(t, "open"), NextAt: millis.Draw(t, "next"), Last: attempts.Draw(t, "last"), Pending: rapid.Bool().Draw(t, "pending"), Sending: smalls.Draw(t, "sending")}
		inbox := inboxes.Draw(t, "inbox")
		sum := summaries.Draw(t, "summary")
		dead := deadLetters.Draw(t, "dead letter")
		due := dues.Draw(t, "due")
		typed := typeRows.Draw(t, "type")
		chunk := smalls.Draw(t, "chunk")
		cases := []struct {
			key   Key
			value any
		}{
			{at(RowRun, 0), r},
			{at(RowTask, no), record.TaskRow{No: no, Chunk: chunk, Service: texts.Draw(t, "service"), Operation: texts.Draw(t, "operation"), Policy: policies.Draw(t, "policy"), ScheduledAt: millis.Draw(t, "at"), Again: smallOrNone.Draw(t, "again"), Key: smallOrNone.Draw(t, "key")}},
			{at(RowTimer, no), record.TimerRow{No: no, Due: millis.Draw(t, "due")}},
			{at(RowSignal, no), record.SignalRow{No: no, Chunk: chunk, Name: texts.Draw(t, "name")}},
			{at(RowAttempt, no), attempt},
			{at(RowStuck, 0), record.StuckRow{
				Code: texts.Draw(t, "code"), Detail: texts.Draw(t, "detail"), Since: millis.Draw(t, "since"), Build: texts.Draw(t, "build"),
				Tries: smalls.Draw(t, "tries"), RetryAt: millis.Draw(t, "retry"), TurnOpen: rapid.Bool().Draw(t, "open"), EventNext: numbers.Draw(t, "next"),
			}},
			{at(RowInbox, inbox.No), inbox},
			{Key{Kind: RowSummary, Slot: slotOf(sum.WorkflowID), WorkflowID: sum.WorkflowID, Run: sum.Run}, sum},
			{at(RowChunk, uint64(chunk)), chunks.Draw(t, "events")},
			{Key{Kind: RowCommand, Slot: slotOf(r.WorkflowID), WorkflowID: r.WorkflowID, Run: r.Run, CommandID: command}, record.CommandRow{CommandID: command, Event: no}},
			{Key{Kind: RowDue, Slot: slotPartition, WorkflowID: due.WorkflowID, Run: due.Run, No: due.No, Due: due}, due},
			{Key{Kind: RowDeadLetter, Slot: slotPartition, Origin: record.Origin{Topic: dead.Origin.Topic, Partition: dead.Origin.Partition, Offset: dead.Origin.Offset}}, dead},
			{Key{Kind: RowOwnership, Slot: slotPartition}, ownerships.Draw(t, "ownership")},
			{Key{Kind: RowType, Slot: slotPartition, Type: typed.Type}, typed},
			{Key{Kind: RowPositions, Slot: slotPartition}, positionsRows.Draw(t, "positions")},
		}
		var e RowEncoder
		for _, c := range cases {
			if !putRow(&e, c.key, c.value) {
				t.Fatalf("no Put for %T", c.value)
			}
		}
		again := RowEncoder{}
		for i, c := range cases {
			row := e.Rows[i]
			k, err := DecodeKey(row.Key)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.key, k); d != "" {
				t.Fatalf("key (-want +got):\n%s", d)
			}
			v, err := decodeRow(k, row.Value)
			if err != nil {
				t.Fatalf("%+v: %v", k, err)
			}
			if d := cmp.Diff(c.value, v); d != "" {
				t.Fatalf("kind %d (-want +got):\n%s", k.Kind, d)
			}
			if row.Travels != k.Kind.Travels() {
				t.Fatalf("kind %d: travels %v", k.Kind, row.Travels)
			}
			putRow(&again, k, v)
			if !bytes.Equal(again.Rows[i].Value, row.Value) || !bytes.Equal(again.Rows[i].Key, row.Key) {
				t.Fatalf("kind %d: other bytes the second time", k.Kind)
			}
		}
	})
}

func TestDeletesHaveTheKeysOfPuts(t *testing.T) {
	t.Parallel()
	r := &record.RunRow{WorkflowID: "w", Run: record.RunID{1}, Type: "t", Status: record.StatusRunning, StartedAt: 7}
	due := record.Due{At: 3, Kind: record.DueTimer, WorkflowID: "w", Run: r.Run, No: 2}
	dead := &record.DeadLetterRow{Origin: record.Origin{Topic: record.TopicEvents, Partition: 3, Offset: 9}}
	var puts, deletes RowEncoder
	puts.PutRun(r)
	puts.PutTask(r, &record.TaskRow{No: 2})
	puts.PutTimer(r, &record.TimerRow{No: 3})
	puts.PutSignal(r, &record.SignalRow{No: 4})
	puts.PutCommand(r, &record.CommandRow{CommandID: "c"})
	puts.PutDue(due)
	puts.PutListing(r)
	puts.PutChunk(r, 5, []record.HistoryEvent{{No: 1, Body: &record.TimerStarted{}}})
	puts.PutAttempt(r, &record.AttemptRow{Task: 6})
	puts.PutStuck(r, &record.StuckRow{})
	puts.PutInbox(r, &record.InboxRow{No: 7, Timer: 1})
	puts.PutSummary(&record.SummaryRow{RunRow: *r})
	puts.PutDeadLetter(dead)
	deletes.DeleteRun(r)
	deletes.DeleteTask(r, 2)
	deletes.DeleteTimer(r, 3)
	deletes.DeleteSignal(r, 4)
	deletes.DeleteCommand(r, "c")
	deletes.DeleteDue(due)
	deletes.DeleteListing(r)
	deletes.DeleteChunk(r, 5)
	deletes.DeleteAttempt(r, 6)
	deletes.DeleteStuck(r)
	deletes.DeleteInbox(r, 7)
	deletes.DeleteSummary(&record.SummaryRow{RunRow: *r})
	deletes.DeleteDeadLetter(dead.Origin)
	for i := range puts.Rows {
		p, d := puts.Rows[i], deletes.Rows[i]
		if !bytes.Equal(p.Key, d.Key) || p.Travels != d.Travels || p.Value == nil || d.Value != nil {
			t.Errorf("row %d: put %x (travels %v), delete %x (travels %v, value %v)", i, p.Key, p.Travels, d.Key, d.Travels, d.Value)
		}
	}
}

// TestRowsOutliveTheEncoder: a batch in flight keeps rows while the next one is
// encoded.
func TestRowsOutliveTheEncoder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var e RowEncoder
		var kept []record.Row
		var copies [][2]string
		for range rapid.IntRange(1, 5).Draw(t, "batches") {
			e.Reset()
			r := runRows.Draw(t, "run")
			for range rapid.IntRange(1, 40).Draw(t, "rows") {
				size := rapid.SampledFrom([]int{0, 10, 5000, blockBytes, 3 * blockBytes}).Draw(t, "size")
				e.PutChunk(&r, 1, []record.HistoryEvent{{No: 1, Body: &record.RunStarted{Input: make([]byte, size)}}})
				e.PutRun(&r)
				e.DeleteRun(&r)
			}
			for _, row := range e.Rows {
				copies = append(copies, [2]string{string(row.Key), string(row.Value)})
			}
			kept = append(kept, e.Rows...)
		}
		for i, row := range kept {
			if string(row.Key) != copies[i][0] || string(row.Value) != copies[i][1] {
				t.Fatalf("row %d has changed", i)
			}
		}
	})
}

// TestRowsFitTheirEstimate: a row that outgrows what begin made room for costs a
// copy of a block.
func TestRowsFitTheirEstimate(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", blockBytes)
	most := func(i int) uint64 { return 1<<63 + uint64(i) }
	f := record.Failure{Kind: long, Code: long, Message: long, RetryAfter: 1 << 62, HTTPStatus: -1 << 62, Problem: []byte(long)}
	as := []record.Attempt{{No: 1 << 31, At: -1 << 62, Failure: f}, {No: 1 << 31, At: -1 << 62, Failure: f}}
	policy := record.RetryPolicy{Initial: 1 << 62, Max: 1 << 62, Multiplier: 2, MaxAttempts: 1 << 31}
	task := record.TaskID{No: 1 << 63}
	r := &record.RunRow{
		WorkflowID: long, Type: long, Version: 1 << 31, StartedAt: -1 << 62, ClosedAt: -1 << 62, UpdatedAt: -1 << 62, Events: 1 << 63, Chunks: 1 << 31,
		CloseEvent: 1 << 63, CloseChunk: 1 << 31, DropAt: -1 << 62, OpenTasks: 1 << 31, OpenTimers: 1 << 31, OpenSignals: 1 << 31,
	}
	puts := map[string]func(e *RowEncoder){
		"run": func(e *RowEncoder) { e.PutRun(r) },
		"task": func(e *RowEncoder) {
			e.PutTask(r, &record.TaskRow{No: 1 << 63, Chunk: 1 << 31, Service: long, Operation: long, Policy: policy, ScheduledAt: -1 << 62})
		},
		"timer":   func(e *RowEncoder) { e.PutTimer(r, &record.TimerRow{Due: -1 << 62}) },
		"signal":  func(e *RowEncoder) { e.PutSignal(r, &record.SignalRow{Chunk: 1 << 31, Name: long}) },
		"command": func(e *RowEncoder) { e.PutCommand(r, &record.CommandRow{CommandID: long, Event: 1 << 63}) },
		"due":     func(e *RowEncoder) { e.PutDue(record.Due{WorkflowID: long}) },
		"listing": func(e *RowEncoder) { e.PutListing(r) },
		"attempt": func(e *RowEncoder) { e.PutAttempt(r, &record.AttemptRow{Open: 1 << 31, NextAt: -1 << 62, Last: as}) },
		"stuck": func(e *RowEncoder) {
			e.PutStuck(r, &record.StuckRow{Code: long, Detail: long, Build: long, Since: -1 << 62, Tries: 1 << 31, RetryAt: -1 << 62, EventNext: 1 << 63})
		},
		"signal in": func(e *RowEncoder) {
			e.PutInbox(r, &record.InboxRow{Signal: &record.Signal{CommandID: long, Name: long, Payload: []byte(long)}})
		},
		"result in": func(e *RowEncoder) {
			e.PutInbox(r, &record.InboxRow{Completed: &record.TaskCompleted{Task: task, Attempt: 1 << 31, Result: []byte(long)}})
		},
		"fail in": func(e *RowEncoder) {
			e.PutInbox(r, &record.InboxRow{Failed: &record.TaskFailed{Task: task, Attempt: 1 << 31, Failure: f}})
		},
		"summary": func(e *RowEncoder) {
			e.PutSummary(&record.SummaryRow{RunRow: *r, ExpireAt: -1 << 62, Result: []byte(long), Failure: &f, CommandIDs: []string{long, long}})
		},
		"dead": func(e *RowEncoder) {
			e.PutDeadLetter(&record.DeadLetterRow{Code: long, At: -1 << 62, Raw: record.Raw{Key: []byte(long), Value: []byte(long), Headers: []record.Header{{Key: long, Value: []byte(long)}}}})
		},
		"owner": func(e *RowEncoder) {
			o := &record.OwnershipRow{Version: 1 << 63}
			for range 5000 {
				o.Owned = append(o.Owned, record.SlotRange{First: 1<<16 - 1, Last: 1<<16 - 1})
				o.Moved = append(o.Moved, record.SlotMove{Slot: 1<<16 - 1, To: -1 << 31, Version: 1 << 63})
			}
			e.PutOwnership(o)
		},
		"type": func(e *RowEncoder) {
			row := &record.TypeRow{Type: long}
			for range record.TypeActsMax {
				row.Acts = append(row.Acts, record.TypeAct{Op: record.OperateResume, At: -1 << 62, CommandID: long, Reason: long, By: long})
			}
			e.PutType(row)
		},
	}
	for name, body := range map[string]record.HistoryBody{
		"started":   &record.RunStarted{Type: long, Version: 1 << 31, Input: []byte(long), CommandID: long},
		"received":  &record.SignalReceived{Name: long, Payload: []byte(long), CommandID: long},
		"completed": &record.HistoryTaskCompleted{Task: most(0), Result: []byte(long), Attempts: as},
		"failed":    &record.HistoryTaskFailed{Task: most(0), Failure: f, Attempts: as},
		"scheduled": &record.TaskScheduled{Service: long, Operation: long, Input: []byte(long), InputHash: 1 << 63, Policy: policy},
		"run over":  &record.RunCompleted{Result: []byte(long), Retain: 1 << 62},
		"run fail":  &record.RunFailed{Failure: f, Retain: 1 << 62},
		"timer":     &record.TimerStarted{Due: -1 << 62},
	} {
		puts["chunk "+name] = func(e *RowEncoder) {
			e.PutChunk(r, 1, []record.HistoryEvent{{No: most(0), At: -1 << 62, Body: body}, {No: most(1), At: 1 << 62, Body: body}})
		}
	}
	for name, put := range puts {
		var e RowEncoder
		put(&e)
		if n := len(e.Rows[0].Key) + len(e.Rows[0].Value); len(e.block) != n {
			t.Errorf("%s: %d bytes outgrew their room", name, n)
		}
	}
}

// TestEncodingDoesNotAllocate: into a reused buffer.
func TestEncodingDoesNotAllocate(t *testing.T) {
	run := record.RunID{1}
	events := []record.HistoryEvent{
		{No: 7, At: 1.7e12, Body: &record.HistoryTaskCompleted{Task: 3, Result: []byte(`{"ok":true}`)}},
		{No: 8, At: 1.7e12, Body: &record.TaskScheduled{Service: "payment", Operation: "request", Input: []byte(`{"n":1}`), InputHash: 9}},
	}
	due := record.Due{At: 1.7e12, Kind: record.DueTimer, WorkflowID: "order-1", Run: run, No: 3}
	buf := make([]byte, 0, 4096)
	for name, f := range map[string]func(){
		"chunk":      func() { buf = AppendChunk(buf[:0], events) },
		"row key":    func() { buf = AppendRowKey(buf[:0], RowTask, "order-1", run, 3) },
		"chunk key":  func() { buf = AppendChunkKey(buf[:0], "order-1", run, 3) },
		"due key":    func() { buf = AppendDueKey(buf[:0], due) },
		"checkpoint": func() { buf = AppendCheckpoint(buf[:0], record.Checkpoint{At: 5}) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	// A RowEncoder allocates blocks, because its rows outlive it.
	var e RowEncoder
	r := &record.RunRow{WorkflowID: "order-1", Run: run, Type: "billing", Status: record.StatusRunning}
	const rows = 4
	n := testing.AllocsPerRun(1000, func() {
		e.Reset()
		e.PutChunk(r, 3, events)
		e.PutRun(r)
		e.PutTask(r, &record.TaskRow{No: 8, Service: "payment", Operation: "request"})
		e.DeleteTask(r, 3)
	})
	if n > 0.1*rows {
		t.Errorf("a row encoder: %v allocations for %d rows", n, rows)
	}
}

func TestDecodingDoesNotCopyPayloads(t *testing.T) {
	t.Parallel()
	b := AppendChunk(nil, []record.HistoryEvent{{No: 1, Body: &record.RunStarted{Type: "t", Input: []byte("payload")}}})
	events, err := DecodeChunk(b)
	if err != nil {
		t.Fatal(err)
	}
	started := events[0].Body.(*record.RunStarted)
	copy(b[bytes.Index(b, []byte("payload")):], "PAYLOAD")
	if string(started.Input) != "PAYLOAD" || started.Type != "t" {
		t.Errorf("input %q, type %q: payloads alias, texts do not", started.Input, started.Type)
	}
}

// TestNewerFormatsAreNotDamage: K4.
func TestNewerFormatsAreNotDamage(t *testing.T) {
	t.Parallel()
	chunk := AppendChunk(nil, []record.HistoryEvent{{No: 1, Body: &record.TimerStarted{Due: 1}}})
	newer := func(b []byte, at int, v byte) []byte {
		b = bytes.Clone(b)
		b[at] = v
		return b
	}
	key := AppendRowKey(nil, RowRun, "w", record.RunID{}, 0)
	_, e1 := DecodeChunk(newer(chunk, 0, rowFormat+1))
	_, e2 := DecodeChunk(newer(chunk, 3, 99)) // kind of the first event
	_, e3 := DecodeKey(newer(key, 2, 'z'))
	_, e4 := DecodeKey(newer(key, len(key)-9, rankAttributes+1))
	_, e5 := DecodeKey([]byte{0xFF, 0xFF, 'Z'})
	_, e6 := DecodeInboxRow(Key{}, []byte{rowFormat, 9})
	_, e7 := DecodePositions([]byte{rowFormat + 1})
	for i, err := range []error{e1, e2, e3, e4, e5, e6, e7} {
		if !errors.Is(err, ErrFormatNewer) || errors.Is(err, ErrMalformed) {
			t.Errorf("case %d: %v", i+1, err)
		}
	}
}

// TestHostileCountsAllocateLittle: K1.
func TestHostileCountsAllocateLittle(t *testing.T) {
	for name, b := range map[string][]byte{
		"chunk of 2^60 events":     binary.AppendUvarint([]byte{rowFormat, 1}, 1<<60),
		"payload of 2^60 bytes":    append([]byte{rowFormat, 1, 1, byte(record.KindRunStarted), 0}, binary.AppendUvarint(nil, 1<<60)...),
		"as many events as fit":    append(binary.AppendUvarint([]byte{rowFormat, 1}, 1<<19), make([]byte, 1<<20)...),
		"as many headers as fit":   append(binary.AppendUvarint([]byte{rowFormat, 0, 0, 0, 0, 0, 0}, 1<<19), make([]byte, 1<<20)...),
		"as many attempts as fit":  append(binary.AppendUvarint([]byte{rowFormat, 1, 1}, 1<<16), make([]byte, 1<<20)...),
		"as many command IDs":      append(binary.AppendUvarint(append([]byte{rowFormat}, make([]byte, 24)...), 1<<20), make([]byte, 1<<20)...),
		"as many slots":            append(binary.AppendUvarint([]byte{rowFormat, 1}, 1<<19), make([]byte, 1<<20)...),
		"uvarint without end":      append([]byte{rowFormat}, bytes.Repeat([]byte{0xff}, 30)...),
		"nothing":                  nil,
		"only the version":         {rowFormat},
		"version 0":                {0, 0, 0, 0},
		"a million bytes of zeros": append([]byte{rowFormat}, make([]byte, 1<<20)...),
	} {
		for kind := RowRun; kind <= RowMeta; kind++ {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _ = decodeRow(Key{Kind: kind}, b)
			runtime.ReadMemStats(&after)
			// 200: the largest value per byte of input is a history event, 9 bytes of input at
			// the least; growing a slice doubles what is allocated.
			if got, most := after.TotalAlloc-before.TotalAlloc, uint64(200*len(b)+64<<10); got > most {
				t.Errorf("%s as kind %d: %d bytes allocated for %d", name, kind, got, len(b))
			}
		}
	}
}

func FuzzDecodeRow(f *testing.F) {
	r := &record.RunRow{WorkflowID: "w", Run: record.RunID{1}, Type: "t", Status: record.StatusRunning}
	var e RowEncoder
	e.PutRun(r)
	e.PutStuck(r, &record.StuckRow{Code: "panic"})
	e.PutTask(r, &record.TaskRow{No: 2, Service: "a", Policy: record.RetryPolicy{Multiplier: 2}})
	e.PutChunk(r, 1, []record.HistoryEvent{{No: 1, At: 5, Body: &record.RunStarted{Type: "t", Input: []byte("{}")}}, {No: 2, At: 6, Body: &record.TimerFired{Timer: 1}}})
	e.PutAttempt(r, &record.AttemptRow{Task: 2, Last: []record.Attempt{{No: 1, Failure: record.Failure{Kind: "http"}}}})
	e.PutInbox(r, &record.InboxRow{No: 1, Signal: &record.Signal{Name: "s"}})
	e.PutSummary(&record.SummaryRow{RunRow: *r, CommandIDs: []string{"c"}, Failure: &record.Failure{Kind: "x"}})
	e.PutDeadLetter(&record.DeadLetterRow{Code: "c", Raw: record.Raw{Key: []byte("k"), Headers: []record.Header{{Key: "h"}}}})
	e.PutOwnership(&record.OwnershipRow{Owned: []record.SlotRange{{First: 1, Last: 2}}, Moved: []record.SlotMove{{Slot: 3}}})
	e.PutType(&record.TypeRow{Type: "t", Acts: []record.TypeAct{{Op: record.OperatePause, At: 3, CommandID: "c", Reason: "r", By: "b"}}})
	e.PutPositions(record.Positions{Now: 3})
	for _, row := range e.Rows {
		k, _ := DecodeKey(row.Key)
		f.Add(byte(k.Kind), row.Value)
	}
	f.Fuzz(func(t *testing.T, kind byte, value []byte) {
		k := Key{Kind: RowKind(kind), WorkflowID: "w", CommandID: "c"}
		v, err := decodeRow(k, value)
		if err != nil {
			return
		}
		var e RowEncoder
		if !putRow(&e, k, v) {
			return
		}
		again, err := decodeRow(k, e.Rows[0].Value)
		if err != nil || !sameValue(v, again) {
			t.Fatalf("%+v became %+v (%v)", v, again, err)
		}
	})
}

// sameValue bears that not-a-number differs from itself.
func sameValue(a, b any) bool {
	return reflect.DeepEqual(a, b) || cmp.Equal(a, b, cmp.Comparer(func(x, y float64) bool { return x == y || x != x && y != y }))
}
