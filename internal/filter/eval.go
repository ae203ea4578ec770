package filter

import (
	"bytes"
	"cmp"
	"strings"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

// Fields that every run has.
const (
	fieldType    = "type"
	fieldStatus  = "status"
	fieldID      = "id"
	fieldRun     = "run"
	fieldVersion = "version"
	fieldStarted = "started"
	fieldClosed  = "closed"
	fieldUpdated = "updated"
)

type kind uint8

const (
	kindNone kind = iota // whatever the attribute has
	kindText
	kindNumber
	kindBool
	kindTime
)

// String names the kind for people.
func (k kind) String() string {
	return [...]string{"value", "text", "number", "true or false", "time"}[k]
}

func (k kind) example() string {
	return [...]string{"1", `"a text"`, "42", "true", "2026-01-02T03:04:05Z"}[k]
}

// fieldKind is what a field is compared with; kindNone for an attribute.
func fieldKind(field string) kind {
	switch field {
	case fieldType, fieldStatus, fieldID, fieldRun:
		return kindText
	case fieldVersion:
		return kindNumber
	case fieldStarted, fieldClosed, fieldUpdated:
		return kindTime
	}
	return kindNone
}

// Reserved reports whether a search attribute may not have that name: it is a field, or a
// word of the grammar.
func Reserved(name string) bool {
	switch name {
	case "and", "or", "not", "in", "starts", "true", "false", "now":
		return true
	}
	return fieldKind(name) != kindNone
}

type value struct {
	kind  kind
	text  string
	whole bool // the number is n
	n     int64
	f     float64
	flag  bool
	at    record.Millis
}

type node interface {
	fits(r *record.RunRow, as []record.Attribute) bool
}

type (
	and struct{ a, b node }
	or  struct{ a, b node }
	not struct{ a node }
)

func (n *and) fits(r *record.RunRow, as []record.Attribute) bool {
	return n.a.fits(r, as) && n.b.fits(r, as)
}

func (n *or) fits(r *record.RunRow, as []record.Attribute) bool {
	return n.a.fits(r, as) || n.b.fits(r, as)
}

func (n *not) fits(r *record.RunRow, as []record.Attribute) bool { return !n.a.fits(r, as) }

// Fits reports whether a run with these attributes is chosen.
func (f Filter) Fits(r *record.RunRow, as []record.Attribute) bool {
	return f.root == nil || f.root.fits(r, as)
}

type comparison struct {
	field  string
	op     string
	values []value
}

func (c *comparison) fits(r *record.RunRow, as []record.Attribute) bool {
	if c.op == "!=" {
		return !c.any("=", r, as)
	}
	if c.op == "in" {
		return c.any("=", r, as)
	}
	return c.any(c.op, r, as)
}

func (c *comparison) any(op string, r *record.RunRow, as []record.Attribute) bool {
	for i := range c.values {
		if compare(c.field, op, &c.values[i], r, as) {
			return true
		}
	}
	return false
}

func compare(field, op string, v *value, r *record.RunRow, as []record.Attribute) bool {
	switch field {
	case fieldType:
		return texts(op, r.Type, v.text)
	case fieldStatus:
		return texts(op, r.Status.String(), v.text)
	case fieldID:
		return texts(op, r.WorkflowID, v.text)
	case fieldRun:
		return texts(op, r.Run.String(), v.text)
	case fieldVersion:
		return ordered(op, cmp.Compare(float64(r.Version), v.f))
	case fieldStarted:
		return ordered(op, cmp.Compare(r.StartedAt, v.at))
	case fieldClosed:
		return r.ClosedAt != 0 && ordered(op, cmp.Compare(r.ClosedAt, v.at))
	case fieldUpdated:
		return ordered(op, cmp.Compare(r.UpdatedAt, v.at))
	}
	for i := range as {
		if as[i].Name != field {
			continue
		}
		if op == "starts" {
			return as[i].Type == record.AttributeText && bytes.HasPrefix(as[i].Value, []byte(v.text))
		}
		if c, ok := attribute(&as[i], v); ok {
			return ordered(op, c)
		}
	}
	return false
}

func texts(op, a, b string) bool {
	if op == "starts" {
		return strings.HasPrefix(a, b)
	}
	return ordered(op, strings.Compare(a, b))
}

func ordered(op string, c int) bool {
	switch op {
	case "=":
		return c == 0
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	case ">=":
		return c >= 0
	}
	return false
}

// attribute orders an attribute and a value; false where their types have no order.
func attribute(a *record.Attribute, v *value) (int, bool) {
	for _, b := range v.bytes() {
		if a.Type == b.Type {
			return bytes.Compare(a.Value, b.Value), true
		}
	}
	return 0, false
}

// bytes are the forms that the value has as an attribute: a number may be kept as either
// type. A fraction is compared with integers by the one below it.
func (v *value) bytes() []record.Attribute {
	switch v.kind {
	case kindText:
		return []record.Attribute{{Type: record.AttributeText, Value: codec.AttributeString(v.text)}}
	case kindBool:
		return []record.Attribute{{Type: record.AttributeBool, Value: codec.AttributeFlag(v.flag)}}
	case kindTime:
		return []record.Attribute{{Type: record.AttributeTime, Value: codec.AttributeMoment(v.at.Time())}}
	case kindNumber:
		out := []record.Attribute{{Type: record.AttributeFloat, Value: codec.AttributeDecimal(v.f)}}
		if v.whole {
			out = append(out, record.Attribute{Type: record.AttributeInt, Value: codec.AttributeNumber(v.n)})
		}
		return out
	}
	return nil
}
