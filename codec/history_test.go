package codec

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	cloudevents "github.com/cloudevents/sdk-go/v2/event"
	"pgregory.net/rapid"

	"github.com/odradek/odradek/record"
)

func TestHistoryJSONGolden(t *testing.T) {
	t.Parallel()
	const at = record.Millis(1_700_000_000_123)
	for _, c := range []struct {
		body record.HistoryBody
		want string
	}{
		{&record.RunStarted{Type: "billing", Version: 2, Input: []byte(`{"a": 1}`), CommandID: `c"1`},
			`{"event":7,"kind":"run_started","at":"2023-11-14T22:13:20.123Z","type":"billing","version":2,"command_id":"c\"1","input":{"a": 1}}`},
		{&record.SignalReceived{Name: "stop", Payload: []byte("not JSON")},
			`{"event":7,"kind":"signal_received","at":"2023-11-14T22:13:20.123Z","name":"stop","payload":"bm90IEpTT04=","encoding":"base64"}`},
		{&record.HistoryTaskCompleted{Task: 3, Result: nil},
			`{"event":7,"kind":"task_completed","at":"2023-11-14T22:13:20.123Z","task":3,"result":null}`},
		{&record.HistoryTaskFailed{Task: 3, Failure: record.Failure{Kind: "http", HTTPStatus: 422, Problem: []byte(`{"t":1}`)}, Attempts: []record.Attempt{{No: 1, At: at, Failure: record.Failure{Kind: "http", Retryable: true, RetryAfter: time.Second}}}},
			`{"event":7,"kind":"task_failed","at":"2023-11-14T22:13:20.123Z","task":3,"attempts":[{"attempt":1,"at":"2023-11-14T22:13:20.123Z","failure":{"kind":"http","retryable":true,"retry_after_ms":1000}}],"failure":{"kind":"http","retryable":false,"http_status":422,"problem":{"t":1}}}`},
		{&record.VersionPinned{Version: 3}, `{"event":7,"kind":"version_pinned","at":"2023-11-14T22:13:20.123Z","version":3}`},
		{&record.TimerFired{Timer: 4}, `{"event":7,"kind":"timer_fired","at":"2023-11-14T22:13:20.123Z","timer":4}`},
		{&record.TaskScheduled{Service: "payment", Operation: "request", Input: []byte(`1`), InputHash: 0xab, Policy: record.RetryPolicy{MaxAttempts: 3, Initial: time.Second, Multiplier: 1.5}},
			`{"event":7,"kind":"task_scheduled","at":"2023-11-14T22:13:20.123Z","service":"payment","operation":"request","input_hash":"00000000000000ab","retry":{"max_attempts":3,"initial_ms":1000,"max_ms":0,"multiplier":1.5},"input":1}`},
		{&record.TimerStarted{Due: at + 1}, `{"event":7,"kind":"timer_started","at":"2023-11-14T22:13:20.123Z","due":"2023-11-14T22:13:20.124Z"}`},
		{&record.TimerCancelled{Timer: 4}, `{"event":7,"kind":"timer_cancelled","at":"2023-11-14T22:13:20.123Z","timer":4}`},
		{&record.SignalConsumed{Signal: 5}, `{"event":7,"kind":"signal_consumed","at":"2023-11-14T22:13:20.123Z","signal":5}`},
		{&record.RunCompleted{Result: []byte(`"ok"`), Retain: time.Hour}, `{"event":7,"kind":"run_completed","at":"2023-11-14T22:13:20.123Z","retain_ms":3600000,"result":"ok"}`},
		{&record.RunRewound{To: 5, Reset: true, CommandID: "c", Reason: "why", By: "me", Open: record.Opened{Tasks: []record.TaskRow{{No: 2}, {No: 3, Again: 7}}}},
			`{"event":7,"kind":"run_rewound","at":"2023-11-14T22:13:20.123Z","to":5,"operation":"reset","tasks_sent_again":[3],"command_id":"c","reason":"why","by":"me"}`},
		{&record.OperatorActed{Verb: record.VerbRetry, Task: 3, NewKey: true, By: "me"},
			`{"event":7,"kind":"operator_acted","at":"2023-11-14T22:13:20.123Z","operation":"retry","task":3,"new_key":true,"by":"me"}`},
		{&record.RunFailed{Failure: record.Failure{Kind: "application", Message: "no"}}, `{"event":7,"kind":"run_failed","at":"2023-11-14T22:13:20.123Z","retain_ms":0,"failure":{"kind":"application","message":"no","retryable":false}}`},
	} {
		got, err := HistoryJSON(record.HistoryEvent{No: 7, At: at, Body: c.body})
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %v\n got %s\nwant %s", c.body.HistoryKind(), err, got, c.want)
		}
	}
	if _, err := HistoryJSON(record.HistoryEvent{No: 1}); err == nil {
		t.Error("an event without body has JSON")
	}
}

// TestHistoryJSONIsJSON whatever the values are, and a failure has the shape that
// record gives it.
func TestHistoryJSONIsJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := record.HistoryEvent{No: 1, At: 5, Body: bodies.Draw(t, "body")}
		got, err := HistoryJSON(e)
		if err != nil || !json.Valid(got) || !utf8.Valid(got) {
			t.Fatalf("%v: %s", err, got)
		}
		f := failures.Draw(t, "failure")
		f.Problem = rapid.SampledFrom([][]byte{nil, []byte(`{"a":[1]}`)}).Draw(t, "problem")
		f.RetryAfter = f.RetryAfter.Truncate(time.Millisecond)
		var back record.Failure
		if err := json.Unmarshal(appendFailureJSON(nil, &f), &back); err != nil {
			t.Fatal(err)
		}
		ours, _ := json.Marshal(f)
		theirs, _ := json.Marshal(back)
		if string(ours) != string(theirs) {
			t.Fatalf("%s became %s", ours, theirs)
		}
	})
}

// TestHistoryRecordsAreCloudEvents: the SDK takes the headers as attributes.
func TestHistoryRecordsAreCloudEvents(t *testing.T) {
	t.Parallel()
	run := &record.RunRow{WorkflowID: "order/1 é", Run: record.RunID{1}, Type: "billing.v2"}
	out := EncodeHistory("prod", run, record.HistoryEvent{No: 3, At: 1_700_000_000_000, Body: &record.RunCompleted{Result: []byte(`{"ok":true}`)}})
	if string(out.Key) != run.WorkflowID || out.Topic != record.TopicHistory || out.Run != run.Run {
		t.Errorf("%+v", out)
	}
	e := cloudevents.New()
	for _, h := range out.Headers {
		v := string(h.Value)
		switch name := strings.TrimPrefix(h.Key, "ce_"); name {
		case "specversion":
			e.SetSpecVersion(v)
		case "id":
			e.SetID(v)
		case "source":
			e.SetSource(v)
		case "subject":
			e.SetSubject(v)
		case "type":
			e.SetType(v)
		case "time":
			at, err := time.Parse(time.RFC3339, v)
			if err != nil {
				t.Fatal(err)
			}
			e.SetTime(at)
		case HeaderContentType:
			e.SetDataContentType(v)
		default:
			e.SetExtension(name, v)
		}
	}
	e.DataEncoded = out.Value
	if err := e.Validate(); err != nil {
		t.Fatal(err)
	}
	var data struct {
		Event  uint64
		Kind   string
		Result struct{ OK bool }
	}
	if err := e.DataAs(&data); err != nil || data.Event != 3 || data.Kind != "run_completed" || !data.Result.OK {
		t.Errorf("%+v, %v", data, err)
	}
	if e.ID() != run.Run.String()+"/3" || e.Source() != "/odradek/prod/billing.v2" || e.Type() != "io.odradek.run_completed.v1" ||
		e.Subject() != run.WorkflowID || e.Extensions()["odrun"] != run.Run.String() {
		t.Errorf("%s", e)
	}
}
