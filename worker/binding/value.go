package binding

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/odradek/odradek/internal/spell"

	"github.com/odradek/odradek/codec"
)

// Scope is what a template or expression may look at.
type Scope struct {
	What string                // "input", "answer" or "batch", for messages
	JSON []byte                // what {field} refers to: the input, or the answer's body
	Attr map[string]string     // what {$name} refers to
	More func() map[string]any // what expressions see beside the payload

	root    any // decoded json; it and vars are made on first use
	decoded bool
	vars    map[string]any
}

// Set gives the payload decoded, instead of JSON: of a batch, an object with items.
func (s *Scope) Set(root any) { s.root, s.decoded = root, true }

// Value decodes the payload; nothing at all reads as null.
func (s *Scope) Value() (any, error) {
	if s.decoded || len(bytes.TrimSpace(s.JSON)) == 0 {
		return s.root, nil
	}
	if err := NoMessage(s.What, s.JSON); err != nil {
		return nil, err
	}
	v, err := DecodeJSON(s.JSON)
	if err != nil {
		return nil, fmt.Errorf("the %s has no fields: %w", s.What, err)
	}
	s.root, s.decoded = v, true
	return v, nil
}

// NoMessage refuses a Protobuf payload: a binding does not have its type.
func NoMessage(what string, payload []byte) error {
	if name, _, ok := codec.SplitProto(payload); ok {
		return fmt.Errorf("the %s is a Protobuf message %s: give its task workflow.AsJSON()", what, name)
	}
	return nil
}

// variables gives what expressions see: the payload under its name, and more.
func (s *Scope) variables() (map[string]any, error) {
	if s.vars != nil {
		return s.vars, nil
	}
	root, err := s.Value()
	if err != nil {
		return nil, err
	}
	s.vars = s.More()
	switch s.What {
	case "input":
		s.vars["input"] = Plain(root)
	case "answer":
		s.vars["body"] = Plain(root)
	case "batch":
		s.vars["items"] = Plain(root.(map[string]any)["items"])
	}
	return s.vars, nil
}

// Value is a compiled template. Eval gives a JSON value (nil, bool, string,
// json.Number, float64, int, []any, map[string]any or encoded json.RawMessage);
// present is false if an optional field is not there.
type Value interface {
	Eval(s *Scope) (v any, present bool, err error)
}

// Literal is a value from the file.
type Literal struct{ V any }

func (l Literal) Eval(*Scope) (any, bool, error) { return l.V, true, nil }

// Ref is {a.b.c}: a field of the root by its path; {a?} may be missing or null.
type Ref struct {
	path     []string
	optional bool
	attr     bool // {$name}
}

func (r Ref) String() string {
	name := strings.Join(r.path, ".")
	if r.attr {
		name = "$" + name
	}
	if r.optional {
		name += "?"
	}
	return "{" + name + "}"
}

func (r Ref) Eval(s *Scope) (any, bool, error) {
	if r.attr {
		return s.Attr[r.path[0]], true, nil
	}
	v, err := s.Value()
	if err != nil {
		return nil, false, err
	}
	for i, name := range r.path {
		var next any
		found := false
		switch at := v.(type) {
		case map[string]any:
			next, found = at[name]
		case []any:
			if n, err := strconv.Atoi(name); err == nil && n >= 0 && n < len(at) {
				next, found = at[n], true
			}
		}
		if !found {
			if r.optional {
				return nil, false, nil
			}
			return nil, false, r.missing(s, v, i)
		}
		v = next
	}
	if v == nil && r.optional {
		return nil, false, nil
	}
	return v, true, nil
}

// missing says what is there instead of the i-th name of the path.
func (r Ref) missing(s *Scope, at any, i int) error {
	where := "the " + s.What
	if i > 0 {
		where += "'s " + strings.Join(r.path[:i], ".")
	}
	switch v := at.(type) {
	case map[string]any:
		if len(v) == 0 {
			return fmt.Errorf("%s needs %q, but %s is an empty object", r, r.path[i], where)
		}
		names := make([]string, 0, len(v))
		for k := range v {
			names = append(names, k)
		}
		if near := spell.Nearest(r.path[i], names); near != "" {
			return fmt.Errorf("%s needs %q, but %s has only %q; rename one", r, r.path[i], where, near)
		}
		return fmt.Errorf("%s needs %q, which %s does not have", r, r.path[i], where)
	case []any:
		return fmt.Errorf("%s needs element %q, but %s is a list of %d", r, r.path[i], where, len(v))
	}
	return fmt.Errorf("%s needs %q, but %s is %s", r, r.path[i], where, KindOf(at))
}

// Text is parts that make one string; absent if one of its optional parts is.
type Text struct{ Parts []Value }

func (t Text) Eval(s *Scope) (any, bool, error) {
	var b strings.Builder
	for _, p := range t.Parts {
		v, present, err := p.Eval(s)
		if err != nil || !present {
			return nil, present, err
		}
		str, err := Scalar(v)
		if err != nil {
			return nil, false, fmt.Errorf("%v: %w", p, err)
		}
		b.WriteString(str)
	}
	return b.String(), true, nil
}

// Object is a mapping of the file; fields that are absent are left out.
type Object struct {
	names  []string
	values []Value
}

func (o Object) Eval(s *Scope) (any, bool, error) {
	out := make(map[string]any, len(o.names))
	for i, name := range o.names {
		v, present, err := o.values[i].Eval(s)
		if err != nil {
			return nil, false, fmt.Errorf("%s: %w", name, err)
		}
		if present {
			out[name] = v
		}
	}
	return out, true, nil
}

// List is a sequence of the file; elements that are absent are left out.
type List struct{ values []Value }

func (l List) Eval(s *Scope) (any, bool, error) {
	out := make([]any, 0, len(l.values))
	for i, e := range l.values {
		v, present, err := e.Eval(s)
		if err != nil {
			return nil, false, fmt.Errorf("element %d: %w", i, err)
		}
		if present {
			out = append(out, v)
		}
	}
	return out, true, nil
}

// Scalar is a value as text in a path, a query, a header or inside a string.
func Scalar(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		return strconv.FormatBool(v), nil
	case int:
		return strconv.Itoa(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return "", errors.New("is not a number that JSON has")
		}
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	}
	return "", fmt.Errorf("is %s; text, a number, true or false fits here", KindOf(v))
}

// KindOf names a JSON value's kind for people.
func KindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "text"
	case bool:
		return "true or false"
	case json.Number, int, int64, float64:
		return "a number"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("a %T", v)
}

// jsonDepthMax bounds the nesting of payloads and answers that a binding looks
// into: deeper ones cost stack and are nobody's API.
const jsonDepthMax = 64

var errDepth = fmt.Errorf("it is nested deeper than %d", jsonDepthMax)

// CheckJSON reports why b is not one JSON value of bearable depth; nil if it is.
func CheckJSON(b []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > jsonDepthMax {
				return errDepth
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	if !json.Valid(b) {
		return errors.New("it is not JSON")
	}
	return nil
}

// DecodeJSON decodes one JSON value and keeps numbers as they are written.
func DecodeJSON(b []byte) (any, error) {
	if err := CheckJSON(b); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	return v, err
}
