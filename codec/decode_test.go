package codec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/odradek/odradek/record"
)

func hs(pairs ...string) []record.Header {
	var out []record.Header
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, record.Header{Key: pairs[i], Value: []byte(pairs[i+1])})
	}
	return out
}

const taskText = "0000000000040g2081040g2081.7"

// TestWhatAProducerMaySend: the shortest records of docs/protocol.md.
func TestWhatAProducerMaySend(t *testing.T) {
	t.Parallel()
	task, err := record.ParseTaskID(taskText)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		topic   record.Topic
		headers []record.Header
		value   string
		want    record.Body
		hops    int
	}{
		"start":              {record.TopicCommands, hs("od-type", "billing"), `{"a":1}`, &record.Start{Type: "billing", Input: []byte(`{"a":1}`)}, 0},
		"start in full":      {record.TopicCommands, hs("od-cmd", "start", "od-type", "billing", "od-id", "c1", "od-reply", "1", "od-v", "1"), `1`, &record.Start{Type: "billing", Input: []byte("1"), CommandID: "c1", Reply: true}, 0},
		"signal":             {record.TopicCommands, hs("od-signal", "stop it"), ``, &record.Signal{Name: "stop it", Payload: []byte{}}, 0},
		"signal with type":   {record.TopicCommands, hs("od-cmd", "signal", "od-type", "x", "od-signal", "s"), `1`, &record.Signal{Name: "s", Payload: []byte("1")}, 0},
		"the last one wins":  {record.TopicCommands, hs("od-type", "a", "od-type", "b"), `1`, &record.Start{Type: "b", Input: []byte("1")}, 0},
		"others are ignored": {record.TopicCommands, hs("traceparent", "00-", "od-future", "1", "od-type", "b"), `1`, &record.Start{Type: "b", Input: []byte("1")}, 0},
		"not JSON":           {record.TopicCommands, hs("od-type", "a"), "\xff\x00", &record.Start{Type: "a", Input: []byte("\xff\x00")}, 0},
		"completed":          {record.TopicEvents, hs("od-event", "completed", "od-task", taskText), `1`, &record.TaskCompleted{Task: task, Result: []byte("1")}, 0},
		"completed, attempt": {record.TopicEvents, hs("od-event", "completed", "od-task", taskText, "od-attempt", "3"), `1`, &record.TaskCompleted{Task: task, Attempt: 3, Result: []byte("1")}, 0},
		"failed": {record.TopicEvents, hs("od-event", "failed", "od-task", taskText), `{"message":"no","retryable":true,"retry_after_ms":1500}`,
			&record.TaskFailed{Task: task, Failure: record.Failure{Kind: "application", Message: "no", Retryable: true, RetryAfter: 1500 * time.Millisecond}}, 0},
		"forwarded start": {record.TopicInternal, hs("od-type", "a", "od-fwd", "commands/3/17/1/2"), `1`, &record.Start{Type: "a", Input: []byte("1")}, 2},
		"pause a type": {record.TopicCommands, hs("od-cmd", "pause-type", "od-type", "billing", "od-id", "c1", "od-reason", "why", "od-by", "me"), ``,
			&record.OperateType{Op: record.OperatePause, Type: "billing", CommandID: "c1", Reason: "why", By: "me"}, 0},
		"resume a type":       {record.TopicCommands, hs("od-cmd", "resume-type", "od-type", "billing"), ``, &record.OperateType{Op: record.OperateResume, Type: "billing"}, 0},
		"pending":             {record.TopicEvents, hs("od-event", "pending", "od-task", taskText, "od-attempt", "2"), `{}`, &record.TaskBeat{Task: task, Attempt: 2, Pending: true}, 0},
		"pending for a while": {record.TopicEvents, hs("od-event", "pending", "od-task", taskText, "od-attempt", "2", "od-sending", "3", "od-after-ms", "1500"), `{"n":1}`, &record.TaskBeat{Task: task, Attempt: 2, Sending: 3, Pending: true, After: 1500 * time.Millisecond, Details: []byte(`{"n":1}`)}, 0},
		"failed, sending":     {record.TopicEvents, hs("od-event", "failed", "od-task", taskText, "od-sending", "3"), `{"message":"no"}`, &record.TaskFailed{Task: task, Sending: 3, Failure: record.Failure{Kind: "application", Message: "no"}}, 0},
		"forwarded event":     {record.TopicInternal, hs("od-event", "completed", "od-task", taskText, "od-fwd", "events/3/17/1/1"), `1`, &record.TaskCompleted{Task: task, Result: []byte("1")}, 1},
		"od-fwd elsewhere":    {record.TopicCommands, hs("od-type", "a", "od-fwd", "events/3/17/1/7"), `1`, &record.Start{Type: "a", Input: []byte("1")}, 0},
		"a null as the value": {record.TopicCommands, hs("od-type", "a"), "null-value", &record.Start{Type: "a"}, 0},
	} {
		k := KafkaRecord{Topic: c.topic, Partition: 2, Offset: 5, LeaderEpoch: 1, Timestamp: 9, Key: []byte("order-1"), Value: []byte(c.value), Headers: c.headers}
		if c.value == "null-value" {
			k.Value = nil
		}
		r := Decode(k)
		want := record.Record{
			Origin: record.Origin{Topic: c.topic, Partition: 2, Offset: 5, LeaderEpoch: 1, Timestamp: 9}, WorkflowID: "order-1",
			Body: c.want, Raw: record.Raw{Key: k.Key, Value: k.Value, Headers: c.headers}, Hops: c.hops,
		}
		if d := cmp.Diff(want, r); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// TestBadRecordsSayWhatAndHow: K5, F8, S5.
func TestBadRecordsSayWhatAndHow(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 201)
	start := hs("od-type", "a")
	event := func(more ...string) []record.Header { return append(hs("od-event", "completed"), hs(more...)...) }
	failed := hs("od-event", "failed", "od-task", taskText)
	for name, c := range map[string]struct {
		topic   record.Topic
		key     string
		value   string
		headers []record.Header
		code    string
		says    string
	}{
		"no key":                {record.TopicCommands, "", "1", start, CodeKeyMissing, "must be the workflow ID"},
		"long key":              {record.TopicCommands, long, "1", start, CodeWorkflowIDInvalid, "201 bytes, at most 200"},
		"huge key":              {record.TopicCommands, strings.Repeat("x", 1<<20), "1", start, CodeWorkflowIDInvalid, "1048576 bytes"},
		"control in key":        {record.TopicCommands, "a\x00b", "1", start, CodeWorkflowIDInvalid, "U+0000; remove it"},
		"key not UTF-8":         {record.TopicCommands, "a\xff", "1", start, CodeWorkflowIDInvalid, "is not UTF-8"},
		"large value":           {record.TopicCommands, "w", strings.Repeat("x", PayloadBytesMax+1), start, CodePayloadTooLarge, "524289 bytes, at most 524288 are allowed: store the document elsewhere"},
		"large headers":         {record.TopicCommands, "w", "1", append(hs("x", strings.Repeat("x", HeaderBytesMax)), start...), CodeHeadersTooLarge, "at most 65536"},
		"newer format":          {record.TopicCommands, "w", "1", append(hs("od-v", "2"), start...), CodeFormatNewer, "reads formats up to 1: upgrade"},
		"format not a number":   {record.TopicCommands, "w", "1", append(hs("od-v", "1.0"), start...), CodeFormatInvalid, `is "1.0"`},
		"format 0":              {record.TopicEvents, "w", "1", append(hs("od-v", "0"), start...), CodeFormatInvalid, "leave it out"},
		"nothing":               {record.TopicCommands, "w", "1", nil, CodeCommandMissing, "neither od-type"},
		"unknown command":       {record.TopicCommands, "w", "1", hs("od-cmd", "stop", "od-type", "a"), CodeCommandUnknown, `"stop"; known are start, signal, update, start-with, cancel, terminate, retry, reset, pause, resume, pause-type and resume-type`},
		"empty command":         {record.TopicCommands, "w", "1", hs("od-cmd", ""), CodeCommandUnknown, `is ""`},
		"start without type":    {record.TopicCommands, "w", "1", hs("od-cmd", "start"), CodeTypeMissing, "in header od-type"},
		"empty type":            {record.TopicCommands, "w", "1", hs("od-type", ""), CodeTypeMissing, "missing or empty"},
		"type with a slash":     {record.TopicCommands, "w", "1", hs("od-type", "a/b"), CodeTypeInvalid, "character 2"},
		"type with a dot first": {record.TopicCommands, "w", "1", hs("od-type", ".a"), CodeTypeInvalid, "character 1"},
		"long type":             {record.TopicCommands, "w", "1", hs("od-type", long), CodeTypeInvalid, "at most 100"},
		"signal without name":   {record.TopicCommands, "w", "1", hs("od-cmd", "signal"), CodeSignalMissing, "in header od-signal"},
		"signal with newline":   {record.TopicCommands, "w", "1", hs("od-signal", "a\nb"), CodeSignalInvalid, "without control characters"},
		"long signal":           {record.TopicCommands, "w", "1", hs("od-signal", long), CodeSignalInvalid, "at most 200"},
		"long command ID":       {record.TopicCommands, "w", "1", append(hs("od-id", long), start...), CodeCommandIDInvalid, "send a hash"},
		"empty command ID":      {record.TopicCommands, "w", "1", append(hs("od-id", ""), start...), CodeCommandIDInvalid, "leave it out"},
		"binary command ID":     {record.TopicCommands, "w", "1", append(hs("od-id", "\xff"), start...), CodeCommandIDInvalid, "UTF-8"},
		"no event":              {record.TopicEvents, "w", "1", start, CodeEventMissing, "set it to completed or failed"},
		"unknown event":         {record.TopicEvents, "w", "1", hs("od-event", "done"), CodeEventUnknown, `"done"; known`},
		"large heartbeat":       {record.TopicEvents, "w", strings.Repeat("x", 17<<10), hs("od-event", "heartbeat", "od-task", taskText), CodePayloadTooLarge, "17408 bytes"},
		"answer without event":  {record.TopicCommands, "w", "1", hs("od-cmd", "answer", "od-task", taskText), CodeEventMissing, "od-event"},
		"update without ID":     {record.TopicCommands, "w", "1", hs("od-update", "u"), CodeCommandIDInvalid, "its answer is found by it"},
		"start with nothing":    {record.TopicCommands, "w", "{}", hs("od-cmd", "start-with", "od-type", "t"), CodeStartWithInvalid, "od-signal and od-update"},
		"start with no JSON":    {record.TopicCommands, "w", "1", hs("od-cmd", "start-with", "od-type", "t", "od-signal", "s"), CodeStartWithInvalid, "{\"input\":...,\"payload\":...}"},
		"unknown reuse":         {record.TopicCommands, "w", "1", append(hs("od-reuse", "often"), start...), CodeReuseInvalid, "never, failed, closed and terminate"},
		"no task":               {record.TopicEvents, "w", "1", event(), CodeTaskMissing, "copy it from the task's record"},
		"bad task":              {record.TopicEvents, "w", "1", event("od-task", "7"), CodeTaskInvalid, "<run ID>.<number>"},
		"long task":             {record.TopicEvents, "w", "1", event("od-task", long), CodeTaskInvalid, "longer than any"},
		"bad attempt":           {record.TopicEvents, "w", "1", event("od-task", taskText, "od-attempt", "first"), CodeAttemptInvalid, `"first"`},
		"negative attempt":      {record.TopicEvents, "w", "1", event("od-task", taskText, "od-attempt", "-1"), CodeAttemptInvalid, "leave it out"},
		"bad sending":           {record.TopicEvents, "w", "1", event("od-task", taskText, "od-sending", "last"), CodeAttemptInvalid, "od-sending"},
		"bad pause":             {record.TopicEvents, "w", "1", hs("od-event", "pending", "od-task", taskText, "od-after-ms", "5s"), CodeAfterInvalid, `"5s"`},
		"no pause":              {record.TopicEvents, "w", "1", hs("od-event", "pending", "od-task", taskText, "od-after-ms", "0"), CodeAfterInvalid, "leave it out"},
		"long details":          {record.TopicEvents, "w", strings.Repeat("x", 17<<10), hs("od-event", "pending", "od-task", taskText, "od-after-ms", "1"), CodePayloadTooLarge, "16384"},
		"failure not JSON":      {record.TopicEvents, "w", "it broke", failed, CodeFailureInvalid, "a failure as JSON, such as {"},
		"failure null":          {record.TopicEvents, "w", "null", failed, CodeFailureInvalid, "say what happened"},
		"failure empty":         {record.TopicEvents, "w", "", failed, CodeFailureInvalid, "such as {"},
		"failure of numbers":    {record.TopicEvents, "w", `{"message":7}`, failed, CodeFailureInvalid, "message"},
		"internal by anyone":    {record.TopicInternal, "w", "1", start, CodeInternalInvalid, "only they write that topic"},
		"forward cut":           {record.TopicInternal, "w", "1", append(hs("od-fwd", "commands/1/2/3"), start...), CodeForwardInvalid, "commands/1/2/3"},
		"forward of internal":   {record.TopicInternal, "w", "1", append(hs("od-fwd", "tasks/1/2/3/4"), start...), CodeForwardInvalid, "only engines"},
		"start on internal":     {record.TopicInternal, "w", "1", append(hs("od-fwd", "internal/1/2/3/4"), start...), CodeInternalInvalid, "only they write"},
		"child of nobody":       {record.TopicInternal, "w", "1", hs("od-cmd", "child-start", "od-type", "t"), CodeInternalInvalid, "od-parent"},
		"child without run":     {record.TopicInternal, "w", "1", hs("od-cmd", "child-start", "od-type", "t", "od-parent", taskText, "od-parent-id", "p"), CodeInternalInvalid, "od-run"},
		"report of the open":    {record.TopicInternal, "w", "1", hs("od-cmd", "child-report", "od-parent", taskText, "od-run", taskText[:26], "od-status", "running"), CodeInternalInvalid, "running"},
		"child by a client":     {record.TopicCommands, "w", "1", hs("od-cmd", "child-start", "od-type", "t"), CodeCommandUnknown, "child-start"},
		"forward huge":          {record.TopicInternal, "w", "1", append(hs("od-fwd", strings.Repeat("/", 9999)), start...), CodeForwardInvalid, "///"},
		"another topic":         {record.TopicHistory, "w", "1", start, CodeTopicUnexpected, "topic history"},
	} {
		r := Decode(KafkaRecord{Topic: c.topic, Key: []byte(c.key), Value: []byte(c.value), Headers: c.headers})
		got, ok := r.Body.(*record.Undecodable)
		if !ok {
			t.Errorf("%s: decoded as %+v", name, r.Body)
			continue
		}
		if got.Code != c.code || !strings.Contains(got.Reason, c.says) {
			t.Errorf("%s: %s: %s\nwant %s: ...%s...", name, got.Code, got.Reason, c.code, c.says)
		}
		if len(got.Reason) > 600 {
			t.Errorf("%s: the reason has %d bytes", name, len(got.Reason))
		}
		if string(r.Raw.Key) != c.key || string(r.Raw.Value) != c.value || len(r.Raw.Headers) != len(c.headers) {
			t.Errorf("%s: the record's bytes are lost", name)
		}
	}
}

// TestCommandsAndEventsRoundTrip: what our producers send is what the owner reads.
func TestCommandsAndEventsRoundTrip(t *testing.T) {
	t.Parallel()
	kafka := func(o record.Output) KafkaRecord {
		return KafkaRecord{Topic: o.Topic, Key: o.Key, Value: o.Value, Headers: o.Headers}
	}
	rapid.Check(t, func(t *rapid.T) {
		id := ids.Draw(t, "workflow")
		task := record.TaskID{Run: runs.Draw(t, "run"), No: rapid.Uint64Range(0, 1e18).Draw(t, "no")}
		task.Run[0] &= 0x7f
		maybe := func(name string) string {
			if rapid.Bool().Draw(t, name+"?") {
				return ""
			}
			return commands.Draw(t, name)
		}
		failure := record.Failure{
			Kind: commands.Draw(t, "kind"), Code: maybe("code"), Message: maybe("message"), Retryable: rapid.Bool().Draw(t, "retryable"),
			RetryAfter: time.Duration(rapid.Int64Range(0, 1e6).Draw(t, "after")) * time.Millisecond, HTTPStatus: rapid.IntRange(0, 599).Draw(t, "status"),
		}
		if rapid.Bool().Draw(t, "problem") {
			failure.Problem = []byte(`{"title":"no"}`)
		}
		for _, c := range []struct {
			out  record.Output
			want record.Body
		}{
			func() (c struct {
				out  record.Output
				want record.Body
			}) {
				s := &record.Start{CommandID: maybe("command"), Type: commands.Draw(t, "type"), Input: payloads.Draw(t, "input"), Reply: rapid.Bool().Draw(t, "reply")}
				c.out, c.want = EncodeStart(id, s), s
				return c
			}(),
			func() (c struct {
				out  record.Output
				want record.Body
			}) {
				s := &record.Signal{CommandID: maybe("command"), Name: commands.Draw(t, "name"), Payload: payloads.Draw(t, "payload"), Reply: rapid.Bool().Draw(t, "reply")}
				c.out, c.want = EncodeSignal(id, s), s
				return c
			}(),
			func() (c struct {
				out  record.Output
				want record.Body
			}) {
				e := &record.TaskCompleted{Task: task, Attempt: smalls.Draw(t, "attempt"), Result: payloads.Draw(t, "result")}
				c.out, c.want = EncodeCompleted(id, e), e
				return c
			}(),
			func() (c struct {
				out  record.Output
				want record.Body
			}) {
				e := &record.TaskFailed{Task: task, Attempt: smalls.Draw(t, "attempt"), Failure: failure}
				c.out, c.want = EncodeFailed(id, e), e
				return c
			}(),
		} {
			r := Decode(kafka(c.out))
			if d := cmp.Diff(c.want, r.Body); d != "" || r.WorkflowID != id || c.out.WorkflowID != id {
				t.Fatalf("workflow %q became %q (-want +got):\n%s", id, r.WorkflowID, d)
			}
			// Forwarded twice it is the same, with its first origin kept.
			hop := EncodeForward(&r, 3)
			k := kafka(hop)
			k.Partition, k.Offset = 9, 99
			r1 := Decode(k)
			hop2 := EncodeForward(&r1, 4)
			r2 := Decode(kafka(hop2))
			if d := cmp.Diff(c.want, r2.Body); d != "" || r1.Hops != 1 || r2.Hops != 2 || r2.WorkflowID != id {
				t.Fatalf("hops %d, %d (-want +got):\n%s", r1.Hops, r2.Hops, d)
			}
			want := fmt.Sprintf("%s/0/0/4/2", c.out.Topic)
			if got := string(hop2.Headers[len(hop2.Headers)-1].Value); got != want || len(hop2.Headers) != len(c.out.Headers)+1 {
				t.Fatalf("od-fwd is %s among %d headers, want %s", got, len(hop2.Headers), want)
			}
		}
	})
}

// TestOperateTypeRoundTrip: what the API sends is what each partition reads.
func TestOperateTypeRoundTrip(t *testing.T) {
	t.Parallel()
	for _, c := range []record.OperateType{
		{Op: record.OperatePause, Type: "billing", CommandID: "c", Reason: "why", By: "me", Reply: true},
		{Op: record.OperateResume, Type: "a.b_c-1"},
	} {
		out := EncodeOperateType(&c)
		r := Decode(KafkaRecord{Topic: out.Topic, Key: out.Key, Value: out.Value, Headers: out.Headers})
		if d := cmp.Diff(&c, r.Body); d != "" || r.WorkflowID != c.Type {
			t.Errorf("of %q (-want +got):\n%s", r.WorkflowID, d)
		}
	}
	for name, headers := range map[string][]record.Header{
		CodeTypeMissing:   hs("od-cmd", "pause-type"),
		CodeTypeInvalid:   hs("od-cmd", "pause-type", "od-type", "a b"),
		CodeReasonInvalid: hs("od-cmd", "resume-type", "od-type", "a", "od-by", "\xff"),
	} {
		r := Decode(KafkaRecord{Topic: record.TopicCommands, Key: []byte("any"), Headers: headers})
		if bad, ok := r.Body.(*record.Undecodable); !ok || bad.Code != name {
			t.Errorf("%s: %+v", name, r.Body)
		}
	}
}

func TestAProblemThatIsNotJSONTravelsAsText(t *testing.T) {
	t.Parallel()
	out := EncodeFailed("w", &record.TaskFailed{Failure: record.Failure{Kind: "http", Problem: []byte("<html>\xff")}})
	r := Decode(KafkaRecord{Topic: record.TopicEvents, Key: out.Key, Value: out.Value, Headers: out.Headers})
	e, ok := r.Body.(*record.TaskFailed)
	if !ok {
		t.Fatalf("%+v", r.Body)
	}
	var text string
	if err := json.Unmarshal(e.Failure.Problem, &text); err != nil || text != "<html>\ufffd" {
		t.Errorf("%s: %q, %v", e.Failure.Problem, text, err)
	}
}

func TestTasksRoundTrip(t *testing.T) {
	t.Parallel()
	row := &record.RunRow{WorkflowID: "order-1", Run: record.RunID{1}, Type: "billing"}
	out := EncodeTask(row, &record.TaskRow{No: 7, Service: "payment", Operation: "request"}, &record.AttemptRow{Open: 3}, []byte(`{"n":1}`))
	if out.Topic != record.TopicTasks || out.Service != "payment" || out.Run != row.Run || out.WorkflowID != "order-1" {
		t.Errorf("%+v", out)
	}
	got, err := DecodeTask(out.Key, out.Value, out.Headers)
	id := record.TaskID{Run: row.Run, No: 7}
	want := Task{WorkflowID: "order-1", Type: "billing", Operation: "request", Key: id.String(), ID: id, Attempt: 3, Sending: 1, Input: []byte(`{"n":1}`)}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	// The idempotency key is the same on every attempt.
	next := EncodeTask(row, &record.TaskRow{No: 7, Service: "payment", Operation: "request"}, &record.AttemptRow{Open: 4}, nil)
	again, err := DecodeTask(next.Key, next.Value, next.Headers)
	if err != nil || again.Key != got.Key || again.Attempt != 4 {
		t.Errorf("attempt 4 has key %q, attempt 3 %q (%v)", again.Key, got.Key, err)
	}
	polled := EncodeTask(row, &record.TaskRow{No: 7, Operation: "request"}, &record.AttemptRow{Open: 4, Sending: 2, Details: []byte(`{"n":1}`)}, nil)
	if again, err = DecodeTask(polled.Key, polled.Value, polled.Headers); err != nil || again.Sending != 2 || string(again.Details) != `{"n":1}` {
		t.Errorf("a second sending is read as %+v, %v", again, err)
	}
	other, err := DecodeTask(out.Key, out.Value, append(out.Headers, hs("od-key", "K")...))
	if err != nil || other.Key != "K" {
		t.Errorf("od-key: %+v, %v", other, err)
	}
}

// TestPollsRoundTrip: what a worker says of a sending is what the engine reads.
func TestPollsRoundTrip(t *testing.T) {
	t.Parallel()
	task := record.TaskID{Run: record.RunID{1}, No: 7}
	for _, want := range []record.Body{
		&record.TaskBeat{Task: task, Attempt: 2, Sending: 3, Pending: true, After: time.Second, Details: []byte(`{"n":1}`)},
		&record.TaskFailed{Task: task, Attempt: 2, Sending: 1, Forget: true, Failure: record.Failure{Kind: "http", Message: "no"}},
	} {
		var out record.Output
		switch b := want.(type) {
		case *record.TaskBeat:
			out = EncodeBeat("w", b)
		case *record.TaskFailed:
			out = EncodeFailed("w", b)
		}
		got := Decode(KafkaRecord{Topic: record.TopicEvents, Key: out.Key, Value: out.Value, Headers: out.Headers})
		if d := cmp.Diff(want, got.Body); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	}
}

func TestTasksThatAreNone(t *testing.T) {
	t.Parallel()
	good := []string{"od-op", "a", "od-task", taskText, "od-attempt", "1"}
	for name, c := range map[string]struct {
		key     string
		headers []record.Header
		says    string
	}{
		"no key":       {"", hs(good...), "it is empty"},
		"no operation": {"w", hs("od-task", taskText, "od-attempt", "1"), "od-op is missing"},
		"no task":      {"w", hs("od-op", "a", "od-attempt", "1"), "od-task"},
		"no attempt":   {"w", hs("od-op", "a", "od-task", taskText), "not a number from 1"},
		"attempt 0":    {"w", hs("od-op", "a", "od-task", taskText, "od-attempt", "0"), "not a number from 1"},
		"no sending":   {"w", hs(append(good, "od-sending", "x")...), "od-sending"},
		"newer":        {"w", append(hs("od-v", "9"), hs(good...)...), "upgrade"},
	} {
		if _, err := DecodeTask([]byte(c.key), nil, c.headers); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want ...%s...", name, err, c.says)
		}
	}
}

func TestDeadLettersKeepTheRecord(t *testing.T) {
	t.Parallel()
	d := &record.DeadLetterRow{
		Origin: record.Origin{Topic: record.TopicEvents, Partition: 3, Offset: 17}, Code: "event_unknown", Reason: "why", At: 99,
		Raw: record.Raw{Key: []byte("k"), Value: []byte("v"), Headers: hs("od-event", "x")},
	}
	out := EncodeDeadLetter(d)
	want := record.Output{
		Topic: record.TopicDeadLetters, Key: []byte("k"), Value: []byte("v"),
		Headers: hs("od-event", "x", "od-dl-code", "event_unknown", "od-dl-reason", "why", "od-dl-origin", "events/3/17", "od-dl-at", "99"),
	}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestDeadLettersFitTheirTopics: a record that was compressed may be larger than
// any of ours can be (F5).
func TestDeadLettersFitTheirTopics(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte("x"), 3<<20)
	for name, raw := range map[string]record.Raw{
		"value":   {Key: []byte("k"), Value: big},
		"key":     {Key: big, Value: []byte("v")},
		"headers": {Key: []byte("k"), Value: []byte("v"), Headers: []record.Header{{Key: "h", Value: big}}},
		"all":     {Key: big, Value: big, Headers: []record.Header{{Key: "h", Value: big}}},
	} {
		d := &record.DeadLetterRow{Code: "c", Reason: string(big), At: 1, Raw: raw}
		out := EncodeDeadLetter(d)
		sent := record.Raw{Key: out.Key, Value: out.Value, Headers: out.Headers}
		var e RowEncoder
		e.PutDeadLetter(d)
		if n, m := rawLen(&sent), len(e.Rows[0].Value); n > DeadLetterBytesMax+16<<10 || m > DeadLetterBytesMax+16<<10 {
			t.Errorf("%s: %d bytes in the record, %d in the row", name, n, m)
		}
		found := false
		for _, h := range out.Headers {
			found = found || h.Key == HeaderDeadLetterCut && string(h.Value) == fmt.Sprint(rawLen(&raw))
		}
		if !found || len(out.Value) == 0 {
			t.Errorf("%s: no od-dl-cut, or nothing is left", name)
		}
	}
	small := &record.DeadLetterRow{Raw: record.Raw{Value: big[:DeadLetterBytesMax]}}
	if fitDeadLetter(small) != small {
		t.Error("what fits was cut")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(byte(record.TopicCommands), []byte("w"), []byte("{}"), "od-type", []byte("a"), "od-id", []byte("1"), "od-reply", []byte("1"))
	f.Add(byte(record.TopicEvents), []byte("w"), []byte(`{"kind":"http"}`), "od-event", []byte("failed"), "od-task", []byte(taskText), "od-attempt", []byte("1"))
	f.Add(byte(record.TopicInternal), []byte("w"), []byte("{}"), "od-type", []byte("a"), "od-fwd", []byte("commands/1/2/3/4"), "od-v", []byte("1"))
	f.Fuzz(func(t *testing.T, topic byte, key, value []byte, h1 string, v1 []byte, h2 string, v2 []byte, h3 string, v3 []byte) {
		k := KafkaRecord{Topic: record.Topic(topic), Key: key, Value: value, Headers: []record.Header{{Key: h1, Value: v1}, {Key: h2, Value: v2}, {Key: h3, Value: v3}}}
		r := Decode(k)
		if bad, ok := r.Body.(*record.Undecodable); ok {
			if bad.Code == "" || bad.Reason == "" || len(bad.Reason) > 2000 {
				t.Fatalf("%+v", bad)
			}
			EncodeDeadLetter(&record.DeadLetterRow{Origin: r.Origin, Code: bad.Code, Reason: bad.Reason, Raw: r.Raw})
			return
		}
		if record.CheckWorkflowID(r.WorkflowID) != nil || len(r.Raw.Value) > PayloadBytesMax {
			t.Fatalf("%+v went through", r)
		}
		out := EncodeForward(&r, 1)
		again := Decode(KafkaRecord{Topic: record.TopicInternal, Key: out.Key, Value: out.Value, Headers: out.Headers})
		if r.Origin.Topic != record.TopicInternal && !cmp.Equal(r.Body, again.Body) {
			t.Fatalf("%+v was forwarded as %+v", r.Body, again.Body)
		}
		_, _ = DecodeTask(key, value, k.Headers)
	})
}
