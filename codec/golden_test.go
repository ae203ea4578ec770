package codec

import (
	"bufio"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/odradek/odradek/record"
)

var update = flag.Bool("update", false, "write golden files anew: only before the first release")

// goldenRows has one row of each kind, with each kind of history event.
func goldenRows() []record.Row {
	run := record.RunID{0x01, 0x8b, 0xcf, 0xe5, 0x68, 0x00, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	const at = record.Millis(1_700_000_000_000)
	r := &record.RunRow{
		WorkflowID: "order-1", Run: run, Type: "billing", Version: 2, Status: record.StatusCompleted, StartedAt: at, ClosedAt: at + 5, UpdatedAt: at + 5,
		Events: 11, Chunks: 2, CloseEvent: 11, CloseChunk: 2, DropAt: at + 1000, OpenTasks: 1, OpenTimers: 2, OpenSignals: 3,
		OpenChildren: 4, OpenUpdates: 5, Parent: record.Parent{WorkflowID: "p", Run: run, Event: 3}, CancelAsked: true, Previous: run, Rewound: true, Paused: true,
	}
	f := record.Failure{Kind: "http", Code: "card_declined", Message: "no", Retryable: true, RetryAfter: time.Second, HTTPStatus: 402, Problem: []byte(`{"t":1}`)}
	as := []record.Attempt{{No: 1, At: at + 1, Failure: f}}
	policy := record.RetryPolicy{Initial: time.Second, Max: time.Minute, Multiplier: 1.5, MaxAttempts: 3}
	limits := record.TaskLimits{Queued: time.Second, Attempt: 2 * time.Second, Total: time.Hour, Heartbeat: time.Minute}
	task := record.TaskID{Run: run, No: 6}
	var e RowEncoder
	var events []record.HistoryEvent
	for i, b := range []record.HistoryBody{
		&record.RunStarted{Type: "billing", Version: 2, Input: []byte(`{"a":1}`), CommandID: "c1"},
		&record.SignalReceived{Name: "stop", Payload: []byte("now"), CommandID: "c2"},
		&record.HistoryTaskCompleted{Task: 6, Result: []byte("ok"), Attempts: as},
		&record.HistoryTaskFailed{Task: 6, Failure: f, Attempts: as},
		&record.TimerFired{Timer: 7},
		&record.TaskScheduled{Service: "payment", Operation: "request", Input: []byte("in"), InputHash: 0xfeed, Policy: policy},
		&record.TimerStarted{Due: at + 77},
		&record.TimerCancelled{Timer: 7},
		&record.SignalConsumed{Signal: 2},
		&record.RunCompleted{Result: []byte("done"), Retain: time.Hour},
		&record.RunFailed{Failure: f, Retain: time.Hour},
		&record.RunStarted{Type: "billing", Version: 2, Input: []byte(`{}`), Parent: record.Parent{WorkflowID: "p", Run: run, Event: 3}, Previous: run, Carry: []byte(`[]`), FirstInput: 7},
		&record.VersionPinned{Version: 3},
		&record.TaskScheduled{Service: "payment", Operation: "request", Limits: limits, Policy: record.RetryPolicy{Jitter: 0.5, NonRetryable: "http timeout"}},
		&record.CancelRequested{CommandID: "c3", Reason: "why", By: "me"},
		&record.RunTerminated{CommandID: "c4", Reason: "why", By: "me", Retain: time.Hour},
		&record.ChildClosed{Child: 16, Run: run, Status: record.StatusFailed, Failure: f},
		&record.ChildClosed{Child: 17, Run: run, Status: record.StatusCompleted, Result: []byte("ok")},
		&record.UpdateReceived{Name: "address", Payload: []byte(`"x"`), CommandID: "c5"},
		&record.TaskCancelled{Task: 6},
		&record.LocalScheduled{Name: "hash", Input: []byte("in"), InputHash: 1, Policy: policy, Limits: limits},
		&record.ChildScheduled{WorkflowID: "child", Type: "ship", Input: []byte("in"), InputHash: 2, Close: record.ChildAbandon},
		&record.ChildCancelRequested{Child: 16, Reason: "why"},
		&record.WorkflowAwaited{WorkflowID: "other"},
		&record.SignalSent{WorkflowID: "other", Name: "go", Payload: []byte("1"), PayloadHash: 3},
		&record.UpdateCompleted{Update: 19, Result: []byte("1")},
		&record.UpdateCompleted{Update: 19, Failure: &f},
		&record.PatchMarked{ID: "new-tax"},
		&record.ChildCarried{WorkflowID: "c", Type: "child", Close: record.ChildAbandon, Run: run, From: record.TaskID{Run: run, No: 3}},
		&record.AwaitReceived{Parent: record.Parent{WorkflowID: "p", Run: run, Event: 4}},
		&record.SignalCarried{Name: "stop", Payload: []byte("now"), CommandID: "c6"},
		&record.AttributesSet{Attributes: []record.Attribute{{Name: "customer", Type: record.AttributeText, Value: []byte("c")}, {Name: "due", Type: record.AttributeTime}}},
		&record.Published{Topic: "orders", Key: []byte("k"), Payload: []byte("p"), PayloadHash: 4},
		&record.RunCancelled{Failure: f, Retain: time.Hour},
		&record.RunContinued{Input: []byte("in"), InputHash: 5, Carry: []byte("c"), Retain: time.Hour},
		&record.RunRewound{To: 5, Reset: true, CommandID: "c7", Reason: "why", By: "me", Open: record.Opened{
			Tasks:      []record.TaskRow{{No: 3, Chunk: 1, Service: "payment", Operation: "request", Policy: policy, Limits: limits, ScheduledAt: at, Again: 36, Key: 36}},
			Timers:     []record.TimerRow{{No: 4, Due: at + 7}},
			Signals:    []record.SignalRow{{No: 2, Chunk: 1, Name: "stop"}},
			Children:   []record.ChildRow{{No: 5, WorkflowID: "child", Type: "ship", Close: record.ChildCancel, Run: run, From: task, Asked: true}},
			Updates:    []record.UpdateRow{{No: 1, Chunk: 1, Name: "address", CommandID: "c5"}},
			Attributes: []record.Attribute{{Name: "customer", Type: record.AttributeText, Value: []byte("c")}}, CancelAsked: true,
		}},
		&record.OperatorActed{Verb: record.VerbRetry, Task: 3, NewKey: true, CommandID: "c8", Reason: "why", By: "me"},
		&record.TaskScheduled{Service: "payment", Operation: "request", LimitKey: "customer-7"},
		&record.TaskScheduled{Service: "payment", Operation: "request", LimitKey: "customer-7", Limits: limits},
	} {
		events = append(events, record.HistoryEvent{No: uint64(i + 1), At: at + record.Millis(i), Body: b})
	}
	e.PutChunk(r, 2, events)
	e.PutRun(r)
	e.PutTask(r, &record.TaskRow{No: 6, Chunk: 2, Service: "payment", Operation: "request", Policy: policy, ScheduledAt: at})
	e.PutTask(r, &record.TaskRow{No: 8, Chunk: 2, Service: "payment", Operation: "request", ScheduledAt: at, Again: 36, Key: 36})
	e.PutTimer(r, &record.TimerRow{No: 7, Due: at + 77})
	e.PutSignal(r, &record.SignalRow{No: 2, Chunk: 2, Name: "stop"})
	e.PutChild(r, &record.ChildRow{No: 16, WorkflowID: "child", Type: "ship", Close: record.ChildCancel, Run: run, From: record.TaskID{Run: run, No: 16}})
	e.PutUpdate(r, &record.UpdateRow{No: 19, Chunk: 2, Name: "address", CommandID: "c5"})
	e.PutCommand(r, &record.CommandRow{CommandID: "c1", Event: 1})
	e.PutDue(record.Due{At: at + 77, Kind: record.DueTimer, WorkflowID: "order-1", Run: run, No: 7})
	e.PutListing(r)
	e.PutAttempt(r, &record.AttemptRow{Task: 6, Open: 2, NextAt: at + 9, Last: as, OutAt: at + 2, BeatAt: at + 3, Pending: true, Sending: 4, Details: []byte("40")})
	e.PutStuck(r, &record.StuckRow{Code: "panic", Detail: "why", Since: at, Build: "b1", Tries: 2, RetryAt: record.Never, TurnOpen: true, EventNext: 12})
	e.PutInbox(r, &record.InboxRow{No: 1, Signal: &record.Signal{CommandID: "c", Name: "s", Payload: []byte("p"), Reply: true}})
	e.PutInbox(r, &record.InboxRow{No: 2, Completed: &record.TaskCompleted{Task: task, Attempt: 2, Result: []byte("r")}})
	e.PutInbox(r, &record.InboxRow{No: 3, Failed: &record.TaskFailed{Task: task, Attempt: 2, Failure: f}})
	e.PutInbox(r, &record.InboxRow{No: 4, Timer: 7})
	e.PutInbox(r, &record.InboxRow{No: 7, Update: &record.Update{CommandID: "c", Name: "u", Payload: []byte("1")}})
	e.PutInbox(r, &record.InboxRow{No: 6, Report: &record.ChildReport{Parent: record.Parent{WorkflowID: "w", Run: run, Event: 4}, Run: run, Status: record.StatusCompleted, Result: []byte("1")}})
	e.PutInbox(r, &record.InboxRow{No: 5, Cancel: &record.Cancel{CommandID: "c", Run: run, Reason: "why", By: "me", Reply: true}})
	e.PutSummary(&record.SummaryRow{RunRow: *r, Input: 0xbeef, ExpireAt: at + 3000, Result: []byte("done"), Failure: &f, CommandIDs: []string{"c1", "c2"}})
	e.PutDeadLetter(&record.DeadLetterRow{
		Origin: record.Origin{Topic: record.TopicCommands, Partition: 3, Offset: 17, LeaderEpoch: 4, Timestamp: at}, Code: "key_missing", Reason: "why", At: at,
		Raw: record.Raw{Key: []byte("k"), Value: []byte("v"), Headers: []record.Header{{Key: "h", Value: []byte("1")}}},
	})
	e.PutOwnership(&record.OwnershipRow{Version: 3, Owned: []record.SlotRange{{First: 0, Last: 99}}, Moved: []record.SlotMove{{Slot: 100, To: 2, Version: 3}}})
	e.PutPositions(record.Positions{Commands: record.Position{Offset: 5, LeaderEpoch: 1}, Events: record.Position{Offset: 6, LeaderEpoch: -1}, Internal: record.Position{Offset: 7, LeaderEpoch: 2}, Now: at})
	e.PutType(&record.TypeRow{Type: "billing", Acts: []record.TypeAct{{Op: record.OperatePause, At: at, CommandID: "c", Reason: "why", By: "me"}, {Op: record.OperateResume, At: at + 5}}})
	return e.Rows
}

// TestBytesOfRowsDoNotChange: rows of a release are read and written for ever.
// Lines of the golden file are never edited once released; new formats are added.
func TestBytesOfRowsDoNotChange(t *testing.T) {
	t.Parallel()
	const path = "testdata/rows_v1.txt"
	rows := goldenRows()
	if *update {
		var out strings.Builder
		for _, r := range rows {
			fmt.Fprintf(&out, "%s %s\n", hex.EncodeToString(r.Key), hex.EncodeToString(r.Value))
		}
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for i := 0; lines.Scan(); i++ {
		key, value, _ := strings.Cut(lines.Text(), " ")
		if got := hex.EncodeToString(rows[i].Key); got != key {
			t.Errorf("row %d: key\n got %s\nwant %s", i+1, got, key)
		}
		if got := hex.EncodeToString(rows[i].Value); got != value {
			t.Errorf("row %d: value\n got %s\nwant %s", i+1, got, value)
		}
		k, err := DecodeKey(rows[i].Key)
		if err != nil {
			t.Fatal(err)
		}
		old, err := hex.DecodeString(value)
		if err != nil {
			t.Fatal(err)
		}
		was, err1 := decodeRow(k, old)
		is, err2 := decodeRow(k, rows[i].Value)
		if d := cmp.Diff(is, was); err1 != nil || err2 != nil || d != "" {
			t.Errorf("row %d: %v, %v (-ours +golden):\n%s", i+1, err1, err2, d)
		}
		if i == len(rows)-1 {
			return
		}
	}
	t.Errorf("the golden file has fewer rows than there are kinds: %v", lines.Err())
}
