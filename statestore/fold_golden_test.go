package statestore

import (
	"bufio"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

var updateGolden = flag.Bool("update", false, "write golden files anew: only before the first release")

// goldenHistories are runs whose histories have every kind of event, in two chunks
// each: one is left open, the others close in each way.
func goldenHistories() map[string][]record.HistoryBody {
	failure := record.Failure{Kind: record.FailureHTTP, Code: "declined", Message: "no", HTTPStatus: 402}
	start := func() *record.RunStarted {
		return &record.RunStarted{Type: "golden", Version: 1, Input: []byte("1"), CommandID: "start"}
	}
	child := start()
	child.Parent = record.Parent{WorkflowID: "open", Run: record.RunID{1}, Event: 7}
	next := start()
	next.Previous, next.Carry = record.RunID{9}, []byte("2")
	return map[string][]record.HistoryBody{
		"open": {
			start(),
			&record.TaskScheduled{Service: "a", Operation: "b", Input: []byte("in"), Policy: record.RetryPolicy{MaxAttempts: 3}, Limits: record.TaskLimits{Total: time.Hour}},
			&record.TaskScheduled{Service: "a", Operation: "c"},
			&record.TimerStarted{Due: 5000}, &record.TimerStarted{Due: 6000},
			&record.LocalScheduled{Name: "hash"},
			&record.ChildScheduled{WorkflowID: "child", Type: "golden", Close: record.ChildCancel},
			&record.WorkflowAwaited{WorkflowID: "other"},
			&record.SignalSent{WorkflowID: "other", Name: "go", Payload: []byte("1")},
			&record.Published{Topic: "orders", Key: []byte("k"), Payload: []byte("v")},
			&record.PatchMarked{ID: "patch"},
			&record.AttributesSet{Attributes: []record.Attribute{{Name: "customer", Type: record.AttributeText, Value: []byte("c1")}}},
			&record.SignalReceived{Name: "s", Payload: []byte("1"), CommandID: "signal-1"},
			&record.SignalReceived{Name: "s", Payload: []byte("2"), CommandID: "signal-2"},
			&record.SignalConsumed{Signal: 13},
			&record.UpdateReceived{Name: "u", Payload: []byte("1"), CommandID: "update-1"},
			&record.UpdateReceived{Name: "u", Payload: []byte("2"), CommandID: "update-2"},
			&record.UpdateCompleted{Update: 16, Result: []byte("1")},
			&record.HistoryTaskCompleted{Task: 2, Result: []byte("out")},
			&record.TimerFired{Timer: 4},
			&record.CancelRequested{CommandID: "cancel", Reason: "why", By: "me"},
			&record.ChildCancelRequested{Child: 7},
			&record.VersionPinned{Version: 2},
			&record.SignalCarried{Name: "s", Payload: []byte("3"), CommandID: "signal-3"},
			&record.ChildCarried{WorkflowID: "old", Type: "golden", Close: record.ChildAbandon, Run: record.RunID{4}, From: record.TaskID{Run: record.RunID{5}, No: 2}},
			&record.AwaitReceived{Parent: record.Parent{WorkflowID: "who", Run: record.RunID{6}, Event: 2}},
		},
		"child": {
			child,
			&record.TaskScheduled{Service: "a", Operation: "b"},
			&record.TimerStarted{Due: 7000},
			&record.HistoryTaskFailed{Task: 2, Failure: failure, Attempts: []record.Attempt{{No: 1, At: 3, Failure: failure}}},
			&record.TimerCancelled{Timer: 3},
			&record.RunFailed{Failure: failure, Retain: time.Hour},
		},
		"next": {
			next,
			&record.ChildScheduled{WorkflowID: "child", Type: "golden"},
			&record.ChildClosed{Child: 2, Run: record.RunID{3}, Status: record.StatusCompleted, Result: []byte("3")},
			&record.TaskScheduled{Service: "a", Operation: "b"},
			&record.TaskCancelled{Task: 4},
			&record.RunCompleted{Result: []byte("done"), Retain: time.Hour},
		},
		"rewound": {
			start(),
			&record.TaskScheduled{Service: "a", Operation: "b"},
			&record.OperatorActed{Verb: record.VerbPause, By: "me"},
			&record.OperatorActed{Verb: record.VerbResume, CommandID: "resume"},
			&record.OperatorActed{Verb: record.VerbRetry, Task: 2, NewKey: true},
			&record.HistoryTaskFailed{Task: 2, Failure: failure},
			&record.RunFailed{Failure: failure, Retain: time.Hour},
			&record.RunRewound{To: 5, CommandID: "retry", Open: record.Opened{
				Tasks:      []record.TaskRow{{No: 2, Chunk: 1, Service: "a", Operation: "b", ScheduledAt: 1007, Again: 8}},
				Timers:     []record.TimerRow{{No: 3, Due: 9000}},
				Attributes: []record.Attribute{{Name: "customer", Type: record.AttributeText, Value: []byte("c1")}},
			}},
			&record.OperatorActed{Verb: record.VerbPause},
		},
		"cancelled":  {start(), &record.CancelRequested{}, &record.RunCancelled{Failure: failure, Retain: time.Hour}},
		"terminated": {start(), &record.RunTerminated{CommandID: "end", Reason: "why", Retain: time.Hour}},
		"continued":  {start(), &record.RunContinued{Input: []byte("2"), Carry: []byte("3"), Retain: time.Hour}},
	}
}

// goldenChunks are the rows of the changelog that hold them.
func goldenChunks() []record.Row {
	var e codec.RowEncoder
	for i, id := range []string{"open", "child", "next", "cancelled", "terminated", "continued", "rewound"} {
		r := &record.RunRow{WorkflowID: id, Run: record.RunID{0, 0, 0, 0, 0, byte(i + 1)}}
		var events []record.HistoryEvent
		for n, b := range goldenHistories()[id] {
			events = append(events, record.HistoryEvent{No: uint64(n + 1), At: record.Millis(1000 + n), Body: b})
		}
		half := (len(events) + 1) / 2
		e.PutChunk(r, 1, events[:half])
		e.PutChunk(r, 2, events[half:])
	}
	return e.Rows
}

// TestGoldenChunksFoldToGoldenRows: F3. What a release has written folds to the rows
// that this release made of it, for ever. The file is written anew only before the
// first release; then one file a release is added.
func TestGoldenChunksFoldToGoldenRows(t *testing.T) {
	t.Parallel()
	const path = "testdata/fold_v1.txt"
	fold := func(chunks []record.Row) string {
		s := open(t, memConfig())
		defer s.Close()
		f := s.Folder()
		for _, r := range chunks {
			if err := f.Fold(r.Key, r.Value); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Commit(record.Checkpoint{}); err != nil {
			t.Fatal(err)
		}
		return dump(t, s)
	}
	if *updateGolden {
		var out strings.Builder
		chunks := goldenChunks()
		for _, r := range chunks {
			fmt.Fprintf(&out, "changelog %x %x\n", r.Key, r.Value)
		}
		for line := range strings.Lines(fold(chunks)) {
			out.WriteString("store " + line)
		}
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var chunks []record.Row
	var want strings.Builder
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		what, rest, _ := strings.Cut(lines.Text(), " ")
		if what == "store" {
			want.WriteString(rest + "\n")
			continue
		}
		key, value, _ := strings.Cut(rest, " ")
		k, err1 := hex.DecodeString(key)
		v, err2 := hex.DecodeString(value)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		chunks = append(chunks, record.Row{Key: k, Value: v})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(chunks) != len(goldenChunks()) {
		t.Errorf("the golden file has %d chunks, the histories of this test %d", len(chunks), len(goldenChunks()))
	}
	if got := fold(chunks); got != want.String() {
		t.Errorf("the golden chunks fold to other rows (-golden +ours):\n%s", explain(want.String(), got))
	}
}

// TestGoldenHistoriesHaveEveryKind: a new kind of event is added to the golden ones.
func TestGoldenHistoriesHaveEveryKind(t *testing.T) {
	t.Parallel()
	seen := map[record.HistoryKind]bool{}
	for _, h := range goldenHistories() {
		for _, b := range h {
			seen[b.HistoryKind()] = true
		}
	}
	for k := range record.HistoryKind(255) {
		if k.String() != "unknown" && !seen[k] {
			t.Errorf("no golden history has an event of kind %s", k)
		}
	}
}
