package workflow

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

// Attributed are the types that a search attribute may have.
type Attributed interface {
	string | int64 | float64 | bool | time.Time
}

// Attribute is something by which runs are found and counted: the code sets it, lists and
// counts use it. It is a constant value; name it in Define. A run that continues as new
// begins without attributes.
type Attribute[T Attributed] struct{ name string }

// NewAttribute names a search attribute. Names are as those of signals, and not a word
// that filters have for themselves (type, status, id, run, version, started, closed,
// updated, and, or, not, in, starts, true, false, now).
func NewAttribute[T Attributed](name string) Attribute[T] { return Attribute[T]{name: name} }

// Name is the attribute's name.
func (a Attribute[T]) Name() string { return a.name }

// AttributeBytesMax bounds a text: it is part of a key.
const AttributeBytesMax = 200

// Set sets the attribute of the run. A text has at most 200 bytes of UTF-8 without zero
// bytes; a time counts to the millisecond. The error says what is wrong with the value.
func (a Attribute[T]) Set(ctx Context, v T) error {
	c, err := a.To(v)
	if err != nil {
		return err
	}
	SetAttributes(ctx, c)
	return nil
}

// Clear removes the attribute.
func (a Attribute[T]) Clear(ctx Context) { SetAttributes(ctx, a.Cleared()) }

// AttributeChange is one change of SetAttributes.
type AttributeChange struct{ a record.Attribute }

// To is the change to a value, for SetAttributes.
func (a Attribute[T]) To(v T) (AttributeChange, error) {
	out := record.Attribute{Name: a.name, Type: a.typ()}
	switch v := any(v).(type) {
	case string:
		if len(v) > AttributeBytesMax || !utf8.ValidString(v) || strings.Contains(v, "\x00") {
			return AttributeChange{}, &Failure{Kind: FailureEngine, Code: CodeInputInvalid,
				Message: fmt.Sprintf("attribute %s: a text has at most %d bytes of UTF-8 without zero bytes, this one has %d", a.name, AttributeBytesMax, len(v))}
		}
		out.Value = codec.AttributeString(v)
	case int64:
		out.Value = codec.AttributeNumber(v)
	case float64:
		if v != v { //nolint:gocritic // not a number
			return AttributeChange{}, &Failure{Kind: FailureEngine, Code: CodeInputInvalid, Message: "attribute " + a.name + ": NaN is no value"}
		}
		out.Value = codec.AttributeDecimal(v)
	case bool:
		out.Value = codec.AttributeFlag(v)
	case time.Time:
		out.Value = codec.AttributeMoment(v)
	}
	if out.Value == nil {
		out.Value = []byte{}
	}
	return AttributeChange{out}, nil
}

// Cleared is the change that removes the attribute, for SetAttributes.
func (a Attribute[T]) Cleared() AttributeChange {
	return AttributeChange{record.Attribute{Name: a.name, Type: a.typ()}}
}

func (a Attribute[T]) typ() record.AttributeType {
	var zero T
	switch any(zero).(type) {
	case string:
		return record.AttributeText
	case int64:
		return record.AttributeInt
	case float64:
		return record.AttributeFloat
	case bool:
		return record.AttributeBool
	}
	return record.AttributeTime
}

// SetAttributes changes several attributes at once: one history event. The last change of
// an attribute counts.
func SetAttributes(ctx Context, changes ...AttributeChange) {
	h := ctx.enter()
	d := &record.AttributesSet{}
	for _, c := range changes {
		if !slices.ContainsFunc(ctx.def.attributes, func(u attributeUse) bool { return u.name == c.a.Name && u.typ == c.a.Type }) {
			h.Stick("attribute " + c.a.Name + " is not among what Define was given for workflow type " + ctx.def.typ + ": add it there")
		}
		d.Attributes = slices.DeleteFunc(d.Attributes, func(a record.Attribute) bool { return a.Name == c.a.Name })
		d.Attributes = append(d.Attributes, record.Attribute{Name: c.a.Name, Type: c.a.Type, Value: bytes.Clone(c.a.Value)})
	}
	if len(d.Attributes) == 0 {
		return
	}
	slices.SortFunc(d.Attributes, func(a, b record.Attribute) int { return cmp.Compare(a.Name, b.Name) })
	h.Decide(d)
}

type attributeUse struct {
	name string
	typ  record.AttributeType
}

// use declares the attribute (see Use).
func (a Attribute[T]) use(d *definition) {
	d.attributes = append(d.attributes, attributeUse{a.name, a.typ()})
}

// Attributes gives the search attributes that the type sets, sorted.
func (d Definition) Attributes() []string {
	var names []string
	for _, u := range d.d.attributes {
		names = append(names, u.name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// SetDetails says what the run's view shows beside its state: a line for people of at
// most 1 KB, of which the last counts. It is no history event; it costs nothing until
// somebody looks.
func SetDetails(ctx Context, format string, args ...any) {
	h := ctx.enter()
	h.SetDetails(func() string { return fmt.Sprintf(format, args...) })
}
