package importer

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// protoTypes makes Go types of messages and enumerations, whose JSON is what Protobuf makes
// of them.
type protoTypes struct {
	taken  map[string]bool
	byName map[protoreflect.FullName]string // Go name
	decls  map[string]string                // source by Go name
	helper map[string]bool                  // those that the declarations use
}

func newProtoTypes() *protoTypes {
	return &protoTypes{
		taken: map[string]bool{"Int64": true, "Uint64": true}, byName: map[protoreflect.FullName]string{},
		decls: map[string]string{}, helper: map[string]bool{},
	}
}

// wellKnown are the Go types of messages whose JSON is no object of their fields.
var wellKnown = map[protoreflect.FullName]string{
	"google.protobuf.Timestamp":   "time.Time",
	"google.protobuf.Duration":    "string",
	"google.protobuf.FieldMask":   "string",
	"google.protobuf.Empty":       "struct{}",
	"google.protobuf.Any":         raw,
	"google.protobuf.Value":       raw,
	"google.protobuf.Struct":      "map[string]" + raw,
	"google.protobuf.ListValue":   "[]" + raw,
	"google.protobuf.BoolValue":   "bool",
	"google.protobuf.StringValue": "string",
	"google.protobuf.BytesValue":  "[]byte",
	"google.protobuf.DoubleValue": "float64",
	"google.protobuf.FloatValue":  "float32",
	"google.protobuf.Int32Value":  "int32",
	"google.protobuf.UInt32Value": "uint32",
	"google.protobuf.Int64Value":  "Int64",
	"google.protobuf.UInt64Value": "Uint64",
}

// name gives the Go name of a message or enumeration: with its package's where another has
// it already.
func (t *protoTypes) name(d protoreflect.Descriptor) string {
	local := strings.TrimPrefix(string(d.FullName()), string(d.ParentFile().Package())+".")
	name := exported(local)
	if t.taken[name] {
		name = exported(string(d.ParentFile().Package())) + name
	}
	name = unique(t.taken, name)
	t.byName[d.FullName()] = name
	return name
}

// message is the Go type of a message that stands by itself.
func (t *protoTypes) message(m protoreflect.MessageDescriptor) string {
	if known, ok := wellKnown[m.FullName()]; ok {
		t.helper[known] = true
		return known
	}
	if name, ok := t.byName[m.FullName()]; ok {
		return name
	}
	name := t.name(m) // before its fields: they may refer to it
	var b strings.Builder
	b.WriteString(said(name, m))
	fmt.Fprintf(&b, "type %s struct {\n", name)
	taken := map[string]bool{}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		b.WriteString(comment("\t", t.fieldComment(f)))
		fmt.Fprintf(&b, "\t%s %s `json:%q`\n", unique(taken, exported(string(f.Name()))), t.field(f), f.JSONName()+",omitempty")
	}
	b.WriteString("}\n")
	t.decls[name] = b.String()
	return name
}

// fieldComment is what stands above a field, and what its type does not say.
func (t *protoTypes) fieldComment(f protoreflect.FieldDescriptor) string {
	text := commentOf(f)
	if o := f.ContainingOneof(); o != nil && !o.IsSynthetic() {
		var names []string
		for i := range o.Fields().Len() {
			names = append(names, o.Fields().Get(i).JSONName())
		}
		text += "\nAt most one of " + strings.Join(names, ", ") + "."
	}
	if m := f.Message(); m != nil && m.FullName() == "google.protobuf.Duration" {
		text += "\nA duration in seconds, such as 3.5s."
	}
	return strings.TrimSpace(text)
}

// field is the Go type of a field.
func (t *protoTypes) field(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		key := "string"
		switch f.MapKey().Kind() {
		case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
			key = "int32"
		case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
			key = "uint32"
		case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
			key = "int64"
		case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
			key = "uint64"
		}
		return "map[" + key + "]" + t.single(f.MapValue())
	case f.IsList():
		return "[]" + t.single(f)
	}
	typ := t.single(f)
	if f.HasPresence() && typ != raw && !strings.HasPrefix(typ, "map[") && !strings.HasPrefix(typ, "[]") {
		return "*" + typ
	}
	return typ
}

// single is the Go type of one value of a field.
func (t *protoTypes) single(f protoreflect.FieldDescriptor) string {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return "bool"
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return "int32"
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return "uint32"
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		t.helper["Int64"] = true
		return "Int64"
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		t.helper["Uint64"] = true
		return "Uint64"
	case protoreflect.FloatKind:
		return "float32"
	case protoreflect.DoubleKind:
		return "float64"
	case protoreflect.BytesKind:
		return "[]byte"
	case protoreflect.EnumKind:
		return t.enum(f.Enum())
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return t.message(f.Message())
	}
	return "string"
}

// enum declares an enumeration: a text, by its names.
func (t *protoTypes) enum(e protoreflect.EnumDescriptor) string {
	if e.FullName() == "google.protobuf.NullValue" {
		return raw
	}
	if name, ok := t.byName[e.FullName()]; ok {
		return name
	}
	name := t.name(e)
	t.helper["enum"] = true
	var b strings.Builder
	b.WriteString(said(name, e))
	fmt.Fprintf(&b, "type %s string\n\n// The values of %s.\nconst (\n", name, name)
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		b.WriteString(comment("\t", commentOf(v)))
		value := exported(strings.ToLower(string(v.Name())))
		if short := strings.TrimPrefix(value, exported(string(e.Name()))); short != "" {
			value = short // CURRENCY_EUR of Currency
		}
		fmt.Fprintf(&b, "\t%s %s = %q\n", unique(t.taken, name+value), name, v.Name())
	}
	fmt.Fprintf(&b, ")\n\n// UnmarshalJSON reads a name, or the number of a value that is newer than this file.\nfunc (e *%s) UnmarshalJSON(b []byte) error { return unmarshalEnum((*string)(e), b) }\n\n"+
		"// MarshalJSON writes what UnmarshalJSON has read.\nfunc (e %s) MarshalJSON() ([]byte, error) { return marshalEnum(string(e)) }\n", name, name)
	t.decls[name] = b.String()
	return name
}

func said(name string, d protoreflect.Descriptor) string {
	switch text := commentOf(d); {
	case strings.HasPrefix(text, name+" "):
		return comment("", text)
	case text != "":
		return comment("", name+": "+text)
	}
	return comment("", name+" is "+string(d.FullName())+".")
}

// source is all declarations, by name, and the helpers that they use.
func (t *protoTypes) source() string {
	var b strings.Builder
	b.WriteString(sourceOf(t.decls))
	for _, n := range []struct{ name, typ, format, parse string }{
		{"Int64", "int64", "strconv.FormatInt(int64(n), 10)", "strconv.ParseInt"},
		{"Uint64", "uint64", "strconv.FormatUint(uint64(n), 10)", "strconv.ParseUint"},
	} {
		if t.helper[n.name] {
			fmt.Fprintf(&b, `// %[1]s is a number that stands in JSON as a text.
type %[1]s %[2]s

// MarshalJSON writes a text.
func (n %[1]s) MarshalJSON() ([]byte, error) { return json.Marshal(%[3]s) }

// UnmarshalJSON reads a text, or a number.
func (n *%[1]s) UnmarshalJSON(b []byte) error {
	text := string(b)
	if len(b) > 1 && b[0] == '"' {
		text = text[1 : len(text)-1]
	}
	if text == "null" {
		return nil
	}
	v, err := %[4]s(text, 10, 64)
	*n = %[1]s(v)
	return err
}

`, n.name, n.typ, n.format, n.parse)
		}
	}
	if t.helper["enum"] {
		b.WriteString(`func unmarshalEnum(e *string, b []byte) error {
	if len(b) > 0 && b[0] != '"' && string(b) != "null" {
		*e = string(b)
		return nil
	}
	return json.Unmarshal(b, e)
}

func marshalEnum(e string) ([]byte, error) {
	if _, err := strconv.Atoi(e); err == nil {
		return []byte(e), nil
	}
	return json.Marshal(e)
}
`)
	}
	return b.String()
}
