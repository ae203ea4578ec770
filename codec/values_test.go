package codec

import (
	"math"
	"time"

	"pgregory.net/rapid"

	"github.com/odradek/odradek/record"
)

// Generators of values. Empty payloads are nil: that is what decoding gives.

var (
	texts    = rapid.StringN(0, 20, 60)
	ids      = rapid.StringMatching(`[a-zA-Z0-9/ é漢-]{1,12}`)
	commands = rapid.StringMatching(`[a-z0-9-]{1,12}`)
	millis   = rapid.Custom(func(t *rapid.T) record.Millis {
		return record.Millis(rapid.OneOf(rapid.Int64Range(-5, 5), rapid.Int64Range(1.7e12, 1.9e12), rapid.Int64()).Draw(t, "ms"))
	})
	payloads = rapid.Custom(func(t *rapid.T) []byte {
		b := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "payload")
		if len(b) == 0 {
			return nil
		}
		return b
	})
	runs = rapid.Custom(func(t *rapid.T) (id record.RunID) {
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "run"))
		return id
	})
	numbers     = rapid.OneOf(rapid.Uint64Range(0, 300), rapid.Uint64())
	smallOrNone = rapid.SampledFrom([]uint64{0, 0, 0, 1, 300})
	smalls      = rapid.OneOf(rapid.Uint32Range(0, 300), rapid.Uint32())
	failures    = rapid.Custom(func(t *rapid.T) record.Failure {
		return record.Failure{
			Kind: texts.Draw(t, "kind"), Code: texts.Draw(t, "code"), Message: texts.Draw(t, "message"), Retryable: rapid.Bool().Draw(t, "retryable"),
			RetryAfter: time.Duration(rapid.Int64().Draw(t, "after")), HTTPStatus: rapid.Int().Draw(t, "status"), Problem: payloads.Draw(t, "problem"),
		}
	})
	attempts = rapid.Custom(func(t *rapid.T) []record.Attempt {
		var as []record.Attempt
		for range rapid.IntRange(0, 3).Draw(t, "attempts") {
			as = append(as, record.Attempt{No: smalls.Draw(t, "no"), At: millis.Draw(t, "at"), Failure: failures.Draw(t, "failure")})
		}
		return as
	})
	policies = rapid.Custom(func(t *rapid.T) record.RetryPolicy {
		if rapid.Bool().Draw(t, "built-in") {
			return record.RetryPolicy{}
		}
		return record.RetryPolicy{
			Initial: time.Duration(rapid.Int64().Draw(t, "initial")), Max: time.Duration(rapid.Int64().Draw(t, "max")),
			Multiplier: rapid.Float64Range(0, math.MaxFloat64).Draw(t, "multiplier"), MaxAttempts: smalls.Draw(t, "attempts"),
		}
	})
	bodies = rapid.Custom(func(t *rapid.T) record.HistoryBody {
		switch rapid.IntRange(0, 13).Draw(t, "kind") {
		case 12:
			return &record.RunRewound{
				To: numbers.Draw(t, "to"), Reset: rapid.Bool().Draw(t, "reset"), CommandID: texts.Draw(t, "command"), Reason: texts.Draw(t, "reason"), By: texts.Draw(t, "by"),
				Open: record.Opened{
					Tasks: []record.TaskRow{{No: numbers.Draw(t, "no"), Chunk: smalls.Draw(t, "chunk"), Service: texts.Draw(t, "service"), Policy: policies.Draw(t, "policy"),
						ScheduledAt: millis.Draw(t, "at"), Again: numbers.Draw(t, "again"), Key: numbers.Draw(t, "key")}},
					Timers:   []record.TimerRow{{No: numbers.Draw(t, "timer"), Due: millis.Draw(t, "due")}},
					Signals:  []record.SignalRow{{No: numbers.Draw(t, "signal"), Name: texts.Draw(t, "name")}},
					Children: []record.ChildRow{{No: numbers.Draw(t, "child"), WorkflowID: texts.Draw(t, "id"), Run: runs.Draw(t, "run"), Asked: rapid.Bool().Draw(t, "asked")}},
					Updates:  []record.UpdateRow{{No: numbers.Draw(t, "update"), Name: texts.Draw(t, "name"), CommandID: texts.Draw(t, "command")}},
				},
			}
		case 13:
			return &record.OperatorActed{Verb: record.VerbPause, Task: numbers.Draw(t, "task"), NewKey: rapid.Bool().Draw(t, "new key"), CommandID: texts.Draw(t, "command"), Reason: texts.Draw(t, "reason"), By: texts.Draw(t, "by")}
		case 0:
			return &record.RunStarted{Type: texts.Draw(t, "type"), Version: smalls.Draw(t, "version"), Input: payloads.Draw(t, "input"), CommandID: texts.Draw(t, "command")}
		case 1:
			return &record.SignalReceived{Name: texts.Draw(t, "name"), Payload: payloads.Draw(t, "payload"), CommandID: texts.Draw(t, "command")}
		case 2:
			return &record.HistoryTaskCompleted{Task: numbers.Draw(t, "task"), Result: payloads.Draw(t, "result"), Attempts: attempts.Draw(t, "attempts")}
		case 3:
			return &record.HistoryTaskFailed{Task: numbers.Draw(t, "task"), Failure: failures.Draw(t, "failure"), Attempts: attempts.Draw(t, "attempts")}
		case 4:
			return &record.TimerFired{Timer: numbers.Draw(t, "timer")}
		case 11:
			return &record.VersionPinned{Version: smalls.Draw(t, "version")}
		case 5:
			return &record.TaskScheduled{
				Service: texts.Draw(t, "service"), Operation: texts.Draw(t, "operation"), Input: payloads.Draw(t, "input"),
				InputHash: numbers.Draw(t, "hash"), Policy: policies.Draw(t, "policy"), LimitKey: texts.Draw(t, "limit key"),
			}
		case 6:
			return &record.TimerStarted{Due: millis.Draw(t, "due")}
		case 7:
			return &record.TimerCancelled{Timer: numbers.Draw(t, "timer")}
		case 8:
			return &record.SignalConsumed{Signal: numbers.Draw(t, "signal")}
		case 9:
			return &record.RunCompleted{Result: payloads.Draw(t, "result"), Retain: time.Duration(rapid.Int64().Draw(t, "retain"))}
		}
		return &record.RunFailed{Failure: failures.Draw(t, "failure"), Retain: time.Duration(rapid.Int64().Draw(t, "retain"))}
	})
	chunks = rapid.Custom(func(t *rapid.T) []record.HistoryEvent {
		no := rapid.Uint64Range(1, 1<<40).Draw(t, "first")
		var events []record.HistoryEvent
		for i := range rapid.IntRange(1, 6).Draw(t, "events") {
			events = append(events, record.HistoryEvent{No: no + uint64(i), At: millis.Draw(t, "at"), Body: bodies.Draw(t, "body")})
		}
		return events
	})
	runRows = rapid.Custom(func(t *rapid.T) record.RunRow {
		return record.RunRow{
			WorkflowID: ids.Draw(t, "workflow"), Run: runs.Draw(t, "run"), Type: commands.Draw(t, "type"), Version: smalls.Draw(t, "version"),
			Status:    record.Status(rapid.IntRange(1, 3).Draw(t, "status")),
			StartedAt: millis.Draw(t, "started"), ClosedAt: millis.Draw(t, "closed"), UpdatedAt: millis.Draw(t, "updated"),
			Events: numbers.Draw(t, "events"), Chunks: smalls.Draw(t, "chunks"), CloseEvent: numbers.Draw(t, "close"), CloseChunk: smalls.Draw(t, "chunk"),
			DropAt: millis.Draw(t, "drop"), OpenTasks: smalls.Draw(t, "tasks"), OpenTimers: smalls.Draw(t, "timers"), OpenSignals: smalls.Draw(t, "signals"),
		}
	})
	headers = rapid.Custom(func(t *rapid.T) []record.Header {
		var hs []record.Header
		for range rapid.IntRange(0, 20).Draw(t, "headers") {
			hs = append(hs, record.Header{Key: texts.Draw(t, "key"), Value: payloads.Draw(t, "value")})
		}
		return hs
	})
	deadLetters = rapid.Custom(func(t *rapid.T) record.DeadLetterRow {
		return record.DeadLetterRow{
			Origin: record.Origin{
				Topic: record.Topic(rapid.IntRange(1, 3).Draw(t, "topic")), Partition: rapid.Int32Range(0, math.MaxInt32).Draw(t, "partition"),
				Offset: rapid.Int64Range(0, math.MaxInt64).Draw(t, "offset"), LeaderEpoch: rapid.Int32().Draw(t, "epoch"), Timestamp: millis.Draw(t, "timestamp"),
			},
			Code: texts.Draw(t, "code"), Reason: texts.Draw(t, "reason"), At: millis.Draw(t, "at"),
			Raw: record.Raw{Key: payloads.Draw(t, "key"), Value: payloads.Draw(t, "value"), Headers: headers.Draw(t, "headers")},
		}
	})
	positionsRows = rapid.Custom(func(t *rapid.T) record.Positions {
		p := func() record.Position {
			return record.Position{Offset: rapid.Int64().Draw(t, "offset"), LeaderEpoch: rapid.Int32().Draw(t, "epoch")}
		}
		return record.Positions{Commands: p(), Events: p(), Internal: p(), Now: millis.Draw(t, "now")}
	})
	ownerships = rapid.Custom(func(t *rapid.T) record.OwnershipRow {
		o := record.OwnershipRow{Version: numbers.Draw(t, "version")}
		for range rapid.IntRange(0, 3).Draw(t, "owned") {
			o.Owned = append(o.Owned, record.SlotRange{First: rapid.Uint16().Draw(t, "first"), Last: rapid.Uint16().Draw(t, "last")})
		}
		for range rapid.IntRange(0, 3).Draw(t, "moved") {
			o.Moved = append(o.Moved, record.SlotMove{Slot: rapid.Uint16().Draw(t, "slot"), To: rapid.Int32().Draw(t, "to"), Version: numbers.Draw(t, "version")})
		}
		return o
	})
	typeRows = rapid.Custom(func(t *rapid.T) record.TypeRow {
		row := record.TypeRow{Type: "t" + texts.Draw(t, "type")}
		for range rapid.IntRange(1, 3).Draw(t, "acts") {
			row.Acts = append(row.Acts, record.TypeAct{
				Op: rapid.SampledFrom([]record.Operation{record.OperatePause, record.OperateResume}).Draw(t, "op"), At: millis.Draw(t, "at"),
				CommandID: texts.Draw(t, "command"), Reason: texts.Draw(t, "reason"), By: texts.Draw(t, "by"),
			})
		}
		return row
	})
	summaries = rapid.Custom(func(t *rapid.T) record.SummaryRow {
		s := record.SummaryRow{RunRow: runRows.Draw(t, "run"), Input: numbers.Draw(t, "input"), ExpireAt: millis.Draw(t, "expire"), Result: payloads.Draw(t, "result")}
		if rapid.Bool().Draw(t, "failed") {
			f := failures.Draw(t, "failure")
			s.Failure = &f
		}
		for range rapid.IntRange(0, 3).Draw(t, "commands") {
			s.CommandIDs = append(s.CommandIDs, commands.Draw(t, "command"))
		}
		return s
	})
	inboxes = rapid.Custom(func(t *rapid.T) record.InboxRow {
		row := record.InboxRow{No: numbers.Draw(t, "no")}
		task := record.TaskID{Run: runs.Draw(t, "run"), No: numbers.Draw(t, "task")}
		switch rapid.IntRange(0, 3).Draw(t, "what") {
		case 0:
			row.Signal = &record.Signal{CommandID: texts.Draw(t, "command"), Name: texts.Draw(t, "name"), Payload: payloads.Draw(t, "payload"), Reply: rapid.Bool().Draw(t, "reply")}
		case 1:
			row.Completed = &record.TaskCompleted{Task: task, Attempt: smalls.Draw(t, "attempt"), Result: payloads.Draw(t, "result")}
		case 2:
			row.Failed = &record.TaskFailed{Task: task, Attempt: smalls.Draw(t, "attempt"), Failure: failures.Draw(t, "failure")}
		default:
			row.Timer = numbers.Draw(t, "timer")
		}
		return row
	})
	dues = rapid.Custom(func(t *rapid.T) record.Due {
		return record.Due{
			At: millis.Draw(t, "at"), Kind: record.DueKind(rapid.IntRange(1, 5).Draw(t, "kind")),
			WorkflowID: ids.Draw(t, "workflow"), Run: runs.Draw(t, "run"), No: numbers.Draw(t, "no"),
		}
	})
)
