package workflow

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/odradek/odradek/codec"
)

// fieldError says which field of a payload does not fit.
type fieldError struct {
	path string // order.items[3].price; empty: the payload itself
	why  string
}

func (e *fieldError) Error() string {
	if e.path == "" {
		return "the payload " + e.why
	}
	return fmt.Sprintf("field %q %s", e.path, e.why)
}

var (
	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// locate finds the first value in raw that does not fit t, where encoding/json only
// says that there is one: it names no path inside lists and maps, nor for types that
// decode themselves. Members are visited by name. nil: nothing found.
func locate(path string, raw []byte, t reflect.Type, s strictness) *fieldError {
	if err := syntax(raw); err != nil {
		return &fieldError{path, err.Error()}
	}
	for t.Kind() == reflect.Pointer && !t.Implements(unmarshaler) {
		if string(raw) == "null" {
			return nil
		}
		t = t.Elem()
	}
	p := reflect.PointerTo(t)
	if p.Implements(unmarshaler) || p.Implements(textUnmarshaler) {
		return leaf(path, raw, t, s)
	}
	switch kind(raw) {
	case "an object":
		switch t.Kind() {
		case reflect.Struct:
			return locateFields(path, raw, t, s)
		case reflect.Map:
			return locateMembers(path, raw, t, s)
		}
	case "a list":
		if k := t.Kind(); k == reflect.Slice || k == reflect.Array {
			return locateElements(path, raw, t.Elem(), s)
		}
	}
	return leaf(path, raw, t, s)
}

func locateFields(path string, raw []byte, t reflect.Type, s strictness) *fieldError {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return nil
	}
	fields := fieldsOf(t, embeddingMax)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		f, ok := fields[name]
		if !ok {
			for _, other := range slices.Sorted(maps.Keys(fields)) {
				if strings.EqualFold(name, other) { // as encoding/json does
					f, ok = fields[other], true
					break
				}
			}
		}
		at := join(path, name)
		switch {
		case !ok && s == strict:
			return &fieldError{at, "is unknown; known are " + strings.Join(slices.Sorted(maps.Keys(fields)), ", ")}
		case !ok || f.quoted:
			continue
		}
		if e := locate(at, members[name], f.typ, s); e != nil {
			return e
		}
	}
	return nil
}

func locateMembers(path string, raw []byte, t reflect.Type, s strictness) *fieldError {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		at := join(path, name)
		key, _ := json.Marshal(map[string]any{name: nil})
		if err := json.Unmarshal(key, reflect.New(reflect.MapOf(t.Key(), reflect.TypeFor[any]())).Interface()); err != nil {
			return &fieldError{at, "has a name that is not " + wants(t.Key())}
		}
		if e := locate(at, members[name], t.Elem(), s); e != nil {
			return e
		}
	}
	return nil
}

func locateElements(path string, raw []byte, t reflect.Type, s strictness) *fieldError {
	var elements []json.RawMessage
	if json.Unmarshal(raw, &elements) != nil {
		return nil
	}
	for i, e := range elements {
		if at := locate(fmt.Sprintf("%s[%d]", path, i), e, t, s); at != nil {
			return at
		}
	}
	return nil
}

// leaf tries a value that has no members of its own.
func leaf(path string, raw []byte, t reflect.Type, s strictness) *fieldError {
	err := codec.DecodeJSON(raw, reflect.New(t).Interface(), bool(s))
	if err == nil {
		return nil
	}
	got := kind(raw)
	if got == "a number" || got == "a string" && len(raw) <= 64 {
		got += " (" + string(raw[:min(len(raw), 64)]) + ")"
	}
	why := "is " + got + ", want " + wants(t)
	if _, plain := errors.AsType[*json.UnmarshalTypeError](err); !plain {
		why += ": " + err.Error() // a type that decodes itself says more
	}
	return &fieldError{path, why}
}

type field struct {
	typ    reflect.Type
	quoted bool // `json:",string"`: a number or bool in a string
}

// embeddingMax ends the descent into structs that embed themselves.
const embeddingMax = 16

// fieldsOf are the fields of a struct by their JSON names; those of embedded structs
// count as its own, unless it has them itself.
func fieldsOf(t reflect.Type, depth int) map[string]field {
	fields := map[string]field{}
	if depth == 0 {
		return fields
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		embedded := f.Type
		if embedded.Kind() == reflect.Pointer {
			embedded = embedded.Elem()
		}
		switch {
		case f.Tag.Get("json") == "-":
		case f.Anonymous && name == "" && embedded.Kind() == reflect.Struct:
			for n, inner := range fieldsOf(embedded, depth-1) {
				if _, taken := fields[n]; !taken {
					fields[n] = inner
				}
			}
		case !f.IsExported():
		default:
			if name == "" {
				name = f.Name
			}
			fields[name] = field{f.Type, strings.Contains(options, "string")}
		}
	}
	return fields
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// syntax says where raw stops being JSON.
func syntax(raw []byte) error {
	var v json.RawMessage
	err := codec.DecodeJSON(raw, &v, bool(strict))
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("is not JSON at byte %d: %w", syntax.Offset, err)
	}
	if err != nil {
		return fmt.Errorf("is not JSON: %w", err)
	}
	return nil
}

// kind names what a JSON value is.
func kind(raw []byte) string {
	raw = bytes.TrimSpace(raw)
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}

// wants names what a Go type takes.
func wants(t reflect.Type) string {
	if t == reflect.TypeFor[time.Time]() {
		return "a time as RFC 3339 has it, like \"2026-01-31T09:00:00Z\""
	}
	if reflect.PointerTo(t).Implements(unmarshaler) || reflect.PointerTo(t).Implements(textUnmarshaler) {
		return "a " + t.String()
	}
	switch t.Kind() {
	case reflect.Pointer:
		return wants(t.Elem()) + " or null"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return "an integer (" + t.Kind().String() + ")"
	case reflect.Float32, reflect.Float64:
		return "a number (" + t.Kind().String() + ")"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "a string of base64"
		}
		return "a list"
	case reflect.Array:
		return fmt.Sprintf("a list of %d", t.Len())
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return t.String()
}
