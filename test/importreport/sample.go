package main

import (
	"encoding/json"
	"slices"
	"sort"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/odradek/odradek/worker/importer"
)

// sampler makes a value that fits a schema: the document's example where it fits itself,
// else one of the schema's own. request leaves out what only answers have.
type sampler struct {
	request bool
	depth   int
}

func (s *sampler) of(ref *openapi3.SchemaRef, example any) any {
	if ref == nil || ref.Value == nil {
		if example != nil {
			return plainJSON(example)
		}
		return "x"
	}
	sc := ref.Value
	for _, x := range append(append([]any{example, sc.Example}, sc.Examples...), sc.Default) {
		if x == nil {
			continue
		}
		if v := plainJSON(x); s.fits(sc, v) {
			return v
		}
	}
	s.depth++
	defer func() { s.depth-- }()
	if s.depth > 12 {
		return nil
	}
	switch {
	case sc.Const != nil:
		return plainJSON(sc.Const)
	case len(sc.Enum) > 0:
		return plainJSON(sc.Enum[0])
	}
	for _, variants := range []openapi3.SchemaRefs{sc.OneOf, sc.AnyOf} {
		for _, v := range variants {
			if v.Value == nil || v.Value.Type.Is("null") {
				continue
			}
			x := s.of(v, nil)
			if m, ok := x.(map[string]any); ok {
				s.properties(m, sc)
				if d := sc.Discriminator; d != nil {
					s.discriminate(m, d, v.Ref)
				}
			}
			if s.fits(sc, x) {
				return x
			}
		}
	}
	if len(sc.OneOf)+len(sc.AnyOf) > 0 && len(sc.Properties) == 0 && len(sc.AllOf) == 0 {
		for _, v := range append(append(openapi3.SchemaRefs{}, sc.OneOf...), sc.AnyOf...) {
			return s.of(v, nil)
		}
	}
	if len(sc.AllOf) > 0 {
		m := map[string]any{}
		for _, part := range sc.AllOf {
			x := s.of(part, nil)
			pm, ok := x.(map[string]any)
			if !ok {
				if x != nil && part.Value != nil && !part.Value.Type.IsEmpty() {
					return x
				}
				continue
			}
			for k, v := range pm {
				m[k] = v
			}
		}
		s.properties(m, sc)
		return m
	}
	return s.typed(sc)
}

func (s *sampler) discriminate(m map[string]any, d *openapi3.Discriminator, ref string) {
	value := ref[strings.LastIndexByte(ref, '/')+1:]
	for name, to := range d.Mapping {
		if to.Ref == ref {
			value = name
		}
	}
	if value != "" {
		m[d.PropertyName] = value
	}
}

func (s *sampler) fits(sc *openapi3.Schema, v any) bool {
	opts := []openapi3.SchemaValidationOption{openapi3.MultiErrors()}
	if s.request {
		opts = append(opts, openapi3.VisitAsRequest())
	} else {
		opts = append(opts, openapi3.VisitAsResponse())
	}
	return sc.VisitJSON(v, opts...) == nil
}

func (s *sampler) properties(m map[string]any, sc *openapi3.Schema) {
	var names []string
	for name := range sc.Properties {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		p := sc.Properties[name]
		required := slices.Contains(sc.Required, name)
		if p.Value == nil || s.request && p.Value.ReadOnly || !s.request && p.Value.WriteOnly {
			continue
		}
		if _, there := m[name]; there || !required && s.depth > 4 {
			continue
		}
		x := s.of(p, nil)
		if !required && (x == nil || !s.fits(p.Value, x)) {
			continue
		}
		m[name] = x
	}
	for _, name := range sc.Required { // of no declared property
		if _, there := m[name]; !there && sc.Properties[name] == nil {
			m[name] = "x"
		}
	}
}

func (s *sampler) typed(sc *openapi3.Schema) any {
	var typ string
	for _, t := range sc.Type.Slice() {
		if t != "null" {
			typ = t
			break
		}
	}
	switch typ {
	case "object", "":
		if typ == "" && len(sc.Properties) == 0 && sc.Items == nil {
			return map[string]any{}
		}
		if typ == "" && sc.Items != nil {
			break
		}
		m := map[string]any{}
		s.properties(m, sc)
		if len(m) == 0 && sc.AdditionalProperties.Schema != nil && sc.MinProps > 0 {
			m["x"] = s.of(sc.AdditionalProperties.Schema, nil)
		}
		return m
	case "string":
		return text(sc)
	case "integer", "number":
		return number(sc)
	case "boolean":
		return true
	case "null":
		return nil
	}
	var list []any
	for n := max(sc.MinItems, 1); uint64(len(list)) < n && len(list) < 20; {
		list = append(list, s.of(sc.Items, nil))
	}
	if sc.MaxItems != nil && *sc.MaxItems == 0 {
		return []any{}
	}
	if list == nil {
		return []any{}
	}
	return list
}

func text(sc *openapi3.Schema) string {
	out := map[string]string{
		"date-time": "2026-01-02T03:04:05Z", "date": "2026-01-02", "uuid": "3fa85f64-5717-4562-b3fc-2c963f66afa6", "email": "a@example.com",
		"uri": "https://example.com/x", "url": "https://example.com/x", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1", "byte": "eA==", "hostname": "example.com",
	}[sc.Format]
	candidates := []string{out, "x", "abc", "1", "12", "123", "A", "AB", "ABC", "123456", "2026-01-02", "12:00", "#aabbcc", "en", "en-US", "https://example.com/x", "a@example.com", "+15551234567", "1.0.0", "example.com", "us-east-1", "abcdef12", "3fa85f64-5717-4562-b3fc-2c963f66afa6", "3fa85f6457174562b3fc2c963f66afa6", "5f0a1b2c3d4e5f6a7b8c9d0e"}
	for _, c := range candidates {
		if c == "" {
			continue
		}
		for uint64(len(c)) < sc.MinLength {
			c += "x"
		}
		if sc.MaxLength != nil && uint64(len(c)) > *sc.MaxLength {
			c = c[:*sc.MaxLength]
		}
		if sc.VisitJSON(c) == nil {
			return c
		}
	}
	if out == "" {
		out = "x"
	}
	return out
}

func number(sc *openapi3.Schema) any {
	for _, n := range []float64{1, 0, 2, 5, 10, 100, 1000, 10000, 50000, -1, 0.5} {
		if sc.VisitJSON(n) == nil {
			return n
		}
	}
	if sc.Min != nil {
		for _, n := range []float64{*sc.Min, *sc.Min + 1} {
			if sc.VisitJSON(n) == nil {
				return n
			}
		}
	}
	if sc.Max != nil {
		return *sc.Max
	}
	return float64(1)
}

// plainJSON is a value as JSON has it.
func plainJSON(v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		return v
	}
	var out any
	if json.Unmarshal(b, &out) != nil {
		return v
	}
	return out
}

// input is an example of a task's input.
func input(o *importer.Operation) map[string]any {
	s := &sampler{request: true}
	in := map[string]any{}
	for _, f := range o.Fields {
		if f.Parameter == nil {
			if b := s.of(o.Body, o.BodyExample); b != nil {
				in[f.JSON] = b
			}
			continue
		}
		p := f.Parameter
		schema := p.Schema
		if schema == nil {
			for _, c := range p.Content {
				schema = c.Schema
			}
		}
		example := p.Example
		for _, e := range p.Examples {
			if example == nil && e.Value != nil {
				example = e.Value.Value
			}
		}
		v := s.of(schema, example)
		if p.In == "path" {
			if schema == nil || schema.Value == nil || !scalarValue(v) {
				v = flat(v)
			}
			if text, ok := v.(string); ok && (text == "" || strings.ContainsAny(text, `/\%`) || strings.Contains(text, "..") || text == ".") {
				v = "x"
			}
		}
		if v == nil {
			continue
		}
		in[f.JSON] = v
	}
	return in
}

func scalarValue(v any) bool {
	switch v.(type) {
	case string, float64, bool:
		return true
	}
	return false
}

// flat is a list as a path has it.
func flat(v any) any {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return "x"
	}
	if s, ok := list[0].(string); ok {
		return s
	}
	b, _ := json.Marshal(list[0])
	return string(b)
}
