package codec

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"reflect"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// A payload is JSON, or a Protobuf message:
//
//	0x00 | 'p' | length of the name | full name of the message | its bytes
//
// No JSON text begins with a zero byte, so that a payload says itself what it is,
// wherever it stands: in a chunk, a row, an inbox. On Kafka, in records of commands, tasks
// and events, the value is the message's bytes alone and the name is in HeaderProto.

const protoMark = "\x00p"

// EncodePayload makes a payload of a value: a Protobuf message as such, anything else as
// JSON. asJSON makes JSON of a message too, as Protobuf maps it.
func EncodePayload(v any, asJSON bool) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return EncodeJSON(v)
	}
	if m == nil || !m.ProtoReflect().IsValid() {
		return []byte("null"), nil
	}
	if asJSON {
		return messageJSON(m)
	}
	dst := appendProtoName(make([]byte, 0, 64+proto.Size(m)), string(m.ProtoReflect().Descriptor().FullName()))
	return proto.MarshalOptions{Deterministic: true}.MarshalAppend(dst, m) // the same bytes in replay (C4)
}

// DecodePayload fills what out points to, a Protobuf message or anything that JSON fills.
// null and nothing leave a message nil. What a payload has beyond the type is left out.
func DecodePayload(payload []byte, out any) error {
	v := reflect.ValueOf(out).Elem()
	t := v.Type()
	if t.Kind() == reflect.Pointer && t.Implements(messageType) {
		if len(payload) == 0 || string(payload) == "null" {
			return nil
		}
		m := reflect.New(t.Elem())
		if err := DecodeMessage(payload, m.Interface().(proto.Message), false); err != nil {
			return err
		}
		v.Set(m)
		return nil
	}
	if name, _, ok := SplitProto(payload); ok {
		return fmt.Errorf("the payload is a Protobuf message %s, want JSON of %s", name, t)
	}
	return DecodeJSON(payload, out, false)
}

var messageType = reflect.TypeFor[proto.Message]()

// DecodeMessage fills a Protobuf message from a payload: of that message, or JSON as
// Protobuf maps it. With strict a field of the JSON that the message does not have is an
// error.
func DecodeMessage(payload []byte, m proto.Message, strict bool) error {
	name, raw, ok := SplitProto(payload)
	if !ok {
		return protojson.UnmarshalOptions{DiscardUnknown: !strict}.Unmarshal(payload, m)
	}
	if want := string(m.ProtoReflect().Descriptor().FullName()); name != want {
		return fmt.Errorf("the payload is a Protobuf message %s, want %s", name, want)
	}
	return proto.Unmarshal(raw, m)
}

// SplitProto takes a payload apart that is a Protobuf message; false: it is none.
func SplitProto(payload []byte) (name string, message []byte, ok bool) {
	if !bytes.HasPrefix(payload, []byte(protoMark)) {
		return "", nil, false
	}
	rest := payload[len(protoMark):]
	n, size := binary.Uvarint(rest)
	if size <= 0 || n > uint64(len(rest)-size) {
		return "", nil, false
	}
	return string(rest[size : size+int(n)]), rest[size+int(n):], true
}

func appendProtoName(dst []byte, name string) []byte {
	return appendBytes(append(dst, protoMark...), name)
}

// joinProto is the inverse of SplitProto.
func joinProto(name, message []byte) []byte {
	dst := appendProtoName(make([]byte, 0, len(message)+len(name)+8), string(name))
	return append(dst, message...)
}

// PayloadJSON shows a payload as JSON: a Protobuf message as Protobuf maps it, where the
// binary has its type, else {"@type":NAME,"@base64":BYTES}. false: it is neither.
func PayloadJSON(payload []byte) (json.RawMessage, bool) {
	if len(payload) == 0 {
		return json.RawMessage("null"), true
	}
	name, raw, ok := SplitProto(payload)
	if !ok {
		return payload, validJSON(payload)
	}
	if t, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name)); err == nil {
		m := t.New().Interface()
		if proto.Unmarshal(raw, m) == nil {
			if b, err := messageJSON(m); err == nil {
				return b, true
			}
		}
	}
	dst := appendJSONString([]byte(`{"@type":`), name)
	dst = base64.StdEncoding.AppendEncode(append(dst, `,"@base64":"`...), raw)
	return append(dst, `"}`...), true
}

// messageJSON is compact: protojson varies its spaces between builds on purpose.
func messageJSON(m proto.Message) ([]byte, error) {
	b, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// protoValue is a payload as the value of a Kafka record, with its header.
func (w *headerWriter) protoValue(payload []byte) []byte {
	name, raw, ok := SplitProto(payload)
	if !ok {
		return payload
	}
	w.text(HeaderProto, name)
	if len(raw) == 0 {
		return nil
	}
	return raw
}
