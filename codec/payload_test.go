package codec

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/apipb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/odradek/odradek/record"
)

func protoPayload(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := EncodePayload(m, false)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestProtobufPayloads keep their type wherever they go, and are the message alone on
// Kafka.
func TestProtobufPayloads(t *testing.T) {
	t.Parallel()
	api := &apipb.Api{Name: "x", Version: "1"}
	p := protoPayload(t, api)
	var back *apipb.Api
	if err := DecodePayload(p, &back); err != nil || !proto.Equal(api, back) {
		t.Errorf("%v, %v", back, err)
	}
	if err := DecodePayload([]byte(`{"name":"y","unknown":1}`), &back); err != nil || back.Name != "y" {
		t.Errorf("from JSON: %v, %v", back, err)
	}
	if err := DecodeMessage([]byte(`{"unknown":1}`), &apipb.Api{}, true); err == nil {
		t.Error("an unknown field passes where it is checked strictly")
	}
	var empty *emptypb.Empty
	if err := DecodePayload(p, &empty); err == nil || !strings.Contains(err.Error(), "google.protobuf.Api, want google.protobuf.Empty") {
		t.Errorf("another message: %v", err)
	}
	var plain map[string]any
	if err := DecodePayload(p, &plain); err == nil || !strings.Contains(err.Error(), "google.protobuf.Api") {
		t.Errorf("a message as JSON: %v", err)
	}
	var none *apipb.Api
	if b, err := EncodePayload(none, false); err != nil || string(b) != "null" {
		t.Errorf("no message is %q, %v", b, err)
	}
	if err := DecodePayload([]byte("null"), &none); err != nil || none != nil {
		t.Errorf("null is %v, %v", none, err)
	}
	if b, err := EncodePayload(api, true); err != nil || string(b) != `{"name":"x","version":"1"}` {
		t.Errorf("as JSON: %s, %v", b, err)
	}

	out := EncodeSignal("w", &record.Signal{Name: "s", Payload: p})
	raw, err := proto.Marshal(api)
	if err != nil || !bytes.Equal(out.Value, raw) {
		t.Errorf("on Kafka the signal is %q", out.Value)
	}
	r := Decode(KafkaRecord{Topic: record.TopicCommands, Key: out.Key, Value: out.Value, Headers: out.Headers})
	if s, ok := r.Body.(*record.Signal); !ok || !bytes.Equal(s.Payload, p) {
		t.Errorf("it comes back as %+v", r.Body)
	}
	row := &record.RunRow{WorkflowID: "w", Type: "t"}
	task := EncodeTask(row, &record.TaskRow{No: 1, Service: "s", Operation: "o"}, &record.AttemptRow{Open: 1}, p)
	got, err := DecodeTask(task.Key, task.Value, task.Headers)
	if err != nil || !bytes.Equal(got.Input, p) || !bytes.Equal(task.Value, raw) {
		t.Errorf("the task is %+v, %v", got, err)
	}
	done := EncodeCompleted("w", &record.TaskCompleted{Task: record.TaskID{Run: record.RunID{1}, No: 1}, Result: protoPayload(t, &emptypb.Empty{})})
	r = Decode(KafkaRecord{Topic: record.TopicEvents, Key: done.Key, Value: done.Value, Headers: done.Headers})
	if c, ok := r.Body.(*record.TaskCompleted); !ok || done.Value != nil || !bytes.Equal(c.Result, protoPayload(t, &emptypb.Empty{})) {
		t.Errorf("the result is %+v", r.Body)
	}
	bad := Decode(KafkaRecord{Topic: record.TopicCommands, Key: []byte("w"), Headers: []record.Header{{Key: HeaderSignal, Value: []byte("s")}, {Key: HeaderProto}}})
	if b, ok := bad.Body.(*record.Undecodable); !ok || b.Code != CodeProtoInvalid {
		t.Errorf("no name: %+v", bad.Body)
	}
}

// TestPayloadsAreShownAsJSON: with the message's type linked in or not.
func TestPayloadsAreShownAsJSON(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		payload []byte
		want    string
		ok      bool
	}{
		"nothing":         {nil, "null", true},
		"JSON":            {[]byte(`{"a":1}`), `{"a":1}`, true},
		"neither":         {[]byte{0xff}, "\xff", false},
		"a message":       {protoPayload(t, &apipb.Api{Name: "x"}), `{"name":"x"}`, true},
		"unknown":         {joinProto([]byte("a.B"), []byte{8, 1}), `{"@type":"a.B","@base64":"CAE="}`, true},
		"broken":          {joinProto([]byte("google.protobuf.Api"), []byte{0xff}), `{"@type":"google.protobuf.Api","@base64":"/w=="}`, true},
		"name is cut":     {[]byte("\x00p\x7fab"), "\x00p\x7fab", false},
		"length is wrong": {append([]byte("\x00p"), bytes.Repeat([]byte{0xff}, 11)...), "", false},
	} {
		got, ok := PayloadJSON(c.payload)
		if ok != c.ok || ok && string(got) != c.want {
			t.Errorf("%s: %s, %v", name, got, ok)
		}
	}
}
