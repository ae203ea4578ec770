package workflow

import (
	"bytes"
	"fmt"
	"reflect"

	"google.golang.org/protobuf/proto"

	"github.com/odradek/odradek/codec"
)

// PayloadBytesMax bounds a payload (F5): 512 KB.
const PayloadBytesMax = 512 << 10

// strictness of decoding: what enters is checked strictly, so that a misspelt field
// is told to its sender; what is history, or an API's answer, may have more fields
// than its type names.
type strictness bool

const (
	lenient strictness = false
	strict  strictness = true
)

// decode makes a T of a payload. No payload at all counts as null. The error names
// the field that does not fit by its path, and what it wants.
func decode[T any](payload []byte, s strictness) (v T, err error) {
	t := reflect.TypeFor[T]()
	if len(bytes.TrimSpace(payload)) == 0 {
		payload = []byte("null")
	}
	if string(bytes.TrimSpace(payload)) == "null" && !takesNull(t) {
		return v, fmt.Errorf("the payload is empty or null, want %s", wants(t))
	}
	if m, ok := message[T](); ok {
		if string(bytes.TrimSpace(payload)) == "null" {
			return v, nil
		}
		if err := codec.DecodeMessage(payload, m, bool(s)); err != nil {
			return v, err
		}
		return m.(T), nil
	}
	if name, _, ok := codec.SplitProto(payload); ok {
		return v, fmt.Errorf("the payload is a Protobuf message %s, want JSON of %s", name, wants(t))
	}
	if err = codec.DecodeJSON(payload, &v, bool(s)); err == nil {
		return v, nil
	}
	var zero T
	if at := locate("", payload, t, s); at != nil {
		return zero, at
	}
	return zero, err
}

// encode makes a payload: of a Protobuf message as such, of anything else as JSON.
func encode(v any) ([]byte, error) { return codec.EncodePayload(v, false) }

// message makes an empty T where T is a Protobuf message, a pointer to a generated struct.
func message[T any]() (proto.Message, bool) {
	t := reflect.TypeFor[T]()
	if t.Kind() != reflect.Pointer || !t.Implements(reflect.TypeFor[proto.Message]()) {
		return nil, false
	}
	return reflect.New(t.Elem()).Interface().(proto.Message), true
}

// takesNull reports whether a payload may be left out: for a type that has a value
// for nothing. For any other, null would pass as a zero value that nobody wrote.
func takesNull(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		return true
	case reflect.Struct:
		return t.NumField() == 0
	}
	return reflect.PointerTo(t).Implements(unmarshaler)
}

// encodeResult is a run's result as a payload. A result that is too large fails the
// run (A3); one that cannot be encoded is a mistake in the code, like a panic.
func encodeResult(out any) ([]byte, error) {
	result, err := encode(out)
	if err != nil {
		panic(fmt.Sprintf("the workflow's result cannot be encoded: %v", err))
	}
	if len(result) > PayloadBytesMax {
		f := tooLarge("the workflow's result", len(result))
		return nil, &f
	}
	return result, nil
}
