package billing_test

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/replay"
	"github.com/odradek/odradek/workflows/billing"
)

// TestRecordedHistoryReplays: the code still does what it did for a customer whose
// run was recorded: two months and an unsubscription. A change that fails here
// makes running processes stuck, or gives them other inputs: give it a new version.
//
// The file has the chunk that an engine keeps; the JSON lines say the same for people.
// ODRADEK_UPDATE=1 records anew.
func TestRecordedHistoryReplays(t *testing.T) {
	t.Parallel()
	const chunkFile, textFile = "testdata/monthly.history", "testdata/monthly.jsonl"
	if os.Getenv("ODRADEK_UPDATE") != "" {
		w := begin(t, time.Date(2026, 2, 14, 10, 0, 0, 0, time.UTC), billing.Subscription{Customer: "c-7", Calendar: billing.Calendar{Zone: "Europe/Berlin"}})
		w.slow = 1500 * time.Millisecond
		w.signal(time.Date(2026, 4, 20, 16, 45, 0, 0, time.UTC), "unsubscribe", `{"reason":"moved"}`)
		w.runUntilClosed()
		file, err := codec.EncodeHistoryFile(codec.HistoryFile{WorkflowID: "c-7", Run: [16]byte{7}, Type: billing.Definition.Type(), Version: 1, Events: w.history})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(chunkFile, file, 0o600); err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		for _, e := range w.history {
			line, err := codec.HistoryJSON(e)
			if err != nil {
				t.Fatal(err)
			}
			text.Write(append(line, '\n'))
		}
		if err := os.WriteFile(textFile, text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	chunk, err := os.ReadFile(chunkFile)
	if err != nil {
		t.Fatal(err)
	}
	file, err := codec.DecodeHistoryFile(chunk)
	if err != nil {
		t.Fatal(err)
	}
	history := file.Events
	if len(history) < 20 {
		t.Fatalf("the history has only %d events", len(history))
	}
	if err := replay.Check(billing.Definition, file); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(textFile)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		got, err := codec.HistoryJSON(history[i])
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("event %d: got\n%s\nwant\n%s", i+1, got, want)
		}
	}
}
