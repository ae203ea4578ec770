package importer

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
)

const raw = "json.RawMessage"

// types makes Go types of schemas. A schema of the document's components is a type of its
// own; others are named after where they stand.
type types struct {
	doc   *openapi3.T
	taken map[string]bool
	byRef map[*openapi3.Schema]string // Go name of what a $ref means; two files may use one $ref
	open  map[*openapi3.Schema]bool   // lists and maps whose type is being made
	decls map[string]string           // source by Go name
	depth int
}

func newTypes(doc *openapi3.T) *types {
	return &types{doc: doc, taken: map[string]bool{}, byRef: map[*openapi3.Schema]string{}, open: map[*openapi3.Schema]bool{}, decls: map[string]string{}}
}

// of gives the Go type of a schema that stands at a place called hint.
func (t *types) of(ref *openapi3.SchemaRef, hint string) string {
	if ref == nil || ref.Value == nil {
		return raw
	}
	t.depth++
	defer func() { t.depth-- }()
	if t.depth > 40 { // deeper than anybody means
		return raw
	}
	s := ref.Value
	if ref.Ref != "" {
		if name, ok := t.byRef[s]; ok {
			return pointerTo(name)
		}
		if kindOf(s) == "struct" {
			at := ref.Ref[strings.LastIndexByte(ref.Ref, '/')+1:]
			name := unique(t.taken, exported(at))
			t.byRef[s] = name // before its fields: they may refer to it
			t.decls[name] = t.structure(s, name)
			return pointerTo(name)
		}
		if t.open[s] { // a list of itself has no end as a Go type without a name
			return raw
		}
		t.open[s] = true
		defer delete(t.open, s)
	}
	return t.inline(s, hint)
}

func pointerTo(name string) string { return "*" + name }

// kindOf says what a schema becomes: struct, map, list, text, time, whole, number, flag, raw.
func kindOf(s *openapi3.Schema) string { return kindWithin(s, nil) }

// kindWithin is kindOf a schema that stands in others, which may be itself.
func kindWithin(s *openapi3.Schema, within []*openapi3.Schema) string {
	if slices.Contains(within, s) {
		return "raw"
	}
	within = append(within, s)
	if variant, ok := onlyVariant(s); ok {
		return kindWithin(variant, within)
	}
	if len(s.OneOf) > 0 || len(s.AnyOf) > 0 || s.Not != nil || s.If != nil || s.Const != nil || s.Always != nil {
		return "raw"
	}
	if len(s.AllOf) > 0 {
		for _, part := range s.AllOf {
			kind := "raw"
			if part.Value != nil {
				kind = kindWithin(part.Value, within)
			}
			switch {
			case kind == "struct" || part.Value != nil && isBare(part.Value):
			case len(s.AllOf) == 1 && len(s.Properties) == 0:
				return kind
			default:
				return "raw"
			}
		}
		return "struct"
	}
	var is []string
	for _, typ := range s.Type.Slice() {
		if typ != "null" {
			is = append(is, typ)
		}
	}
	switch {
	case len(is) > 1:
		return "raw"
	case len(is) == 0 && len(s.Properties) > 0, len(is) == 1 && is[0] == "object" && len(s.Properties) > 0:
		return "struct"
	case len(is) == 0:
		return "raw"
	}
	switch is[0] {
	case "object":
		return "map"
	case "array":
		return "list"
	case "string":
		if s.Format == "date-time" && allTimes(s) {
			return "time"
		}
		return "text"
	case "integer":
		return "whole"
	case "number":
		return "number"
	case "boolean":
		return "flag"
	}
	return "raw"
}

// onlyVariant: a oneOf or anyOf of one schema and null is that schema, nullable.
func onlyVariant(s *openapi3.Schema) (*openapi3.Schema, bool) {
	all := s.OneOf
	if len(all) == 0 {
		all = s.AnyOf
	}
	if len(all) == 0 || len(s.OneOf) > 0 && len(s.AnyOf) > 0 || len(s.Properties) > 0 || len(s.AllOf) > 0 {
		return nil, false
	}
	var only *openapi3.Schema
	for _, v := range all {
		switch {
		case v.Value == nil:
			return nil, false
		case v.Value.Type.Is("null"):
		case only != nil:
			return nil, false
		default:
			only = v.Value
		}
	}
	return only, only != nil
}

// isBare: a schema that only describes, or only says what is required.
func isBare(s *openapi3.Schema) bool {
	return s.Type.IsEmpty() && len(s.Properties) == 0 && len(s.OneOf)+len(s.AnyOf)+len(s.AllOf) == 0 && s.Items == nil && s.Not == nil && len(s.Enum) == 0
}

// allTimes: what the document shows as examples is what RFC 3339 says.
func allTimes(s *openapi3.Schema) bool {
	for _, x := range append(append([]any{s.Example, s.Default}, s.Examples...), s.Enum...) {
		if x == nil {
			continue
		}
		text, ok := x.(string)
		if _, err := time.Parse(time.RFC3339, text); !ok || err != nil {
			return false
		}
	}
	return true
}

func (t *types) inline(s *openapi3.Schema, hint string) string {
	if variant, ok := onlyVariant(s); ok {
		for _, v := range append(append(openapi3.SchemaRefs{}, s.OneOf...), s.AnyOf...) {
			if v.Value == variant {
				return t.of(v, hint)
			}
		}
	}
	switch kindOf(s) {
	case "struct":
		name := unique(t.taken, exported(hint))
		t.decls[name] = t.structure(s, name)
		return pointerTo(name)
	case "map":
		if s.AdditionalProperties.Schema != nil {
			return "map[string]" + t.of(s.AdditionalProperties.Schema, hint+" Value")
		}
		return "map[string]" + raw
	case "list":
		if len(s.PrefixItems) > 0 || s.Items == nil && len(s.AllOf) > 0 {
			return raw
		}
		if s.Items == nil && len(s.AllOf) == 1 {
			return t.of(s.AllOf[0], hint)
		}
		return "[]" + t.of(s.Items, hint+" Item")
	case "text":
		return "string"
	case "time":
		return "time.Time"
	case "whole":
		if len(s.AllOf) == 1 {
			return t.of(s.AllOf[0], hint)
		}
		return "int64"
	case "number":
		return "float64"
	case "flag":
		return "bool"
	}
	return raw
}

// property is a field of a struct.
type property struct {
	name     string
	schema   *openapi3.SchemaRef
	required bool
}

// properties gathers the fields of a schema and of the schemas that it is all of.
func properties(s *openapi3.Schema, seen map[*openapi3.Schema]bool) (out []property) {
	if seen[s] {
		return nil
	}
	seen[s] = true
	if v, ok := onlyVariant(s); ok {
		s = v
	}
	at := map[string]int{}
	add := func(p property) {
		if i, ok := at[p.name]; ok {
			out[i].required = out[i].required || p.required
			if out[i].schema == nil {
				out[i].schema = p.schema
			}
			return
		}
		at[p.name] = len(out)
		out = append(out, p)
	}
	for _, part := range s.AllOf {
		if part.Value != nil {
			for _, p := range properties(part.Value, seen) {
				add(p)
			}
		}
	}
	names := make([]string, 0, len(s.Properties))
	for name := range s.Properties {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		add(property{name, s.Properties[name], false})
	}
	for _, name := range s.Required {
		if i, ok := at[name]; ok {
			out[i].required = true
		}
	}
	return out
}

func nullable(ref *openapi3.SchemaRef) bool {
	s := ref.Value
	if s == nil {
		return true
	}
	if _, ok := onlyVariant(s); ok && len(s.OneOf)+len(s.AnyOf) > 1 {
		return true
	}
	return s.Nullable || s.Type.IncludesNull()
}

// structure is the declaration of a struct.
func (t *types) structure(s *openapi3.Schema, name string) string {
	var b strings.Builder
	b.WriteString(comment("", cmpText(name, s)))
	fmt.Fprintf(&b, "type %s struct {\n", name)
	taken := map[string]bool{}
	for _, p := range properties(s, map[*openapi3.Schema]bool{}) {
		if !taggable(p.name) {
			continue // no tag can name it
		}
		typ := t.of(p.schema, name+" "+p.name)
		b.WriteString(t.field(unique(taken, exported(p.name)), p.name, typ, p.required, p.schema != nil && nullable(p.schema), p.schema))
	}
	b.WriteString("}\n")
	return b.String()
}

// taggable: encoding/json takes such a name from a tag.
func taggable(name string) bool {
	return name != "" && name != "-" && !strings.ContainsAny(name, "\"`\\,") && !strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

// field is the line of a struct's field.
func (t *types) field(goName, json, typ string, required, null bool, schema *openapi3.SchemaRef) string {
	tag := json
	scalar := !strings.HasPrefix(typ, "*") && !strings.HasPrefix(typ, "[]") && !strings.HasPrefix(typ, "map[") && typ != raw
	if scalar && (!required || null) {
		typ = "*" + typ
	}
	if !required {
		tag += ",omitempty"
	}
	text := ""
	if schema != nil && schema.Value != nil {
		text = schema.Value.Description
		if len(schema.Value.Enum) > 0 && len(schema.Value.Enum) <= 20 {
			var values []string
			for _, v := range schema.Value.Enum {
				value := fmt.Sprint(v)
				switch {
				case v == nil: // the field may be null, as its type says
					continue
				case value == "" || strings.ContainsAny(value, ", "):
					value = strconv.Quote(value)
				}
				values = append(values, value)
			}
			text = strings.TrimSpace(text + "\nOne of " + strings.Join(values, ", "))
		}
	}
	return comment("\t", text) + fmt.Sprintf("\t%s %s `json:%q`\n", goName, typ, tag)
}

func cmpText(name string, s *openapi3.Schema) string {
	text := strings.TrimSpace(s.Description)
	if text == "" {
		text = strings.TrimSpace(s.Title)
	}
	if text == "" {
		return ""
	}
	return name + ": " + text
}

// source is all declarations.
func (t *types) source() string { return sourceOf(t.decls) }

// sourceOf is declarations, by name.
func sourceOf(decls map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(decls)) {
		b.WriteString(decls[name] + "\n")
	}
	return b.String()
}
