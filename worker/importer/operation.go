package importer

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v3"

	bindings "github.com/odradek/odradek/worker/binding"
	"github.com/odradek/odradek/worker/httpbinding"
)

// binding is what svcworker's file says of a task.
type binding struct {
	method   string
	path     string
	query    []entry
	headers  []entry
	cookies  []entry
	body     string // empty: none
	encoding string // empty: JSON
	result   string // empty: the JSON body
}

type entry struct{ name, value string }

// operation maps one operation; the error says why it cannot be.
func (m *Import) operation(o *Operation) error {
	b := &o.binding
	b.method = o.Method
	taken := map[string]bool{}
	if err := m.parameters(o, taken); err != nil {
		return err
	}
	if err := m.body(o, taken); err != nil {
		return err
	}
	m.answer(o)
	if o.Document.Security != nil {
		m.secure(*o.Document.Security, b)
	} else { // headers are the service's; a service has no cookies
		var all binding
		m.secure(m.doc.Security, &all)
		b.cookies = append(b.cookies, all.cookies...)
	}
	m.otherServer(o)
	o.comment = strings.TrimSpace(o.Document.Summary + "\n" + o.Document.Description)
	return nil
}

// otherServer notes an operation whose servers are others than the document's.
func (m *Import) otherServer(o *Operation) {
	servers := o.Item.Servers
	if o.Document.Servers != nil {
		servers = *o.Document.Servers
	}
	if len(servers) == 0 || len(m.doc.Servers) > 0 && slices.ContainsFunc(servers, func(s *openapi3.Server) bool { return address(s) == address(m.doc.Servers[0]) }) {
		return
	}
	m.note("%s: its server is %q, and the binding calls base_url: import it alone, with --include and --service, and set base_url there", o.Name, servers[0].URL)
}

// check is what svcworker says of a service at base, and of one task of it.
func (m *Import) check(base, task string, is *yaml.Node) error {
	service := mapping([]entry{{"base_url", base}})
	tasks := child(service, "tasks")
	if task == "" { // the service alone
		task, is = "t", mapping([]entry{{"path", "/"}})
	}
	put(tasks, task, is)
	file := &yaml.Node{Kind: yaml.MappingNode}
	put(child(file, "services"), m.Service, service)
	b, err := yaml.Marshal(file)
	if err != nil {
		return err
	}
	_, err = httpbinding.Parse("", b, bindings.Options{WithoutSecrets: true})
	if problems, ok := errors.AsType[bindings.Problems](err); ok {
		p := problems[0]
		return fmt.Errorf("%s: %s", strings.TrimPrefix(strings.TrimPrefix(p.Key, m.Service+"."), task+"."), p.Text)
	}
	return err
}

// parametersOf are those of the path and of the operation, which win.
func parametersOf(o *Operation) []*openapi3.Parameter {
	var out []*openapi3.Parameter
	for _, refs := range []openapi3.Parameters{o.Document.Parameters, o.Item.Parameters} {
		for _, ref := range refs {
			if ref == nil || ref.Value == nil || ref.Value.Name == "" {
				continue
			}
			p := ref.Value
			if !slices.ContainsFunc(out, func(q *openapi3.Parameter) bool { return q.Name == p.Name && q.In == p.In }) {
				out = append(out, p)
			}
		}
	}
	return out
}

// schemaOf is a parameter's schema; asJSON: its value is a JSON text.
func schemaOf(p *openapi3.Parameter) (s *openapi3.SchemaRef, asJSON bool) {
	if p.Schema != nil {
		return p.Schema, false
	}
	for typ, c := range p.Content {
		if c != nil && isJSON(typ) {
			return c.Schema, true
		}
	}
	return nil, false
}

func (m *Import) parameters(o *Operation, taken map[string]bool) error {
	b := &o.binding
	inPath := map[string]string{} // reference by name in the document's path
	before := map[string]string{} // what its style puts before it
	for _, p := range parametersOf(o) {
		schema, asJSON := schemaOf(p)
		kind := "raw"
		if schema != nil && schema.Value != nil {
			kind = kindOf(schema.Value)
		}
		if p.In == "header" && m.ownHeader(p.Name) {
			continue
		}
		if p.In == "path" && !strings.Contains(o.Path, "{"+p.Name+"}") {
			continue
		}
		f := Field{JSON: unique(taken, fieldName(p.Name)), Parameter: p}
		ref := "{" + f.JSON + "?}"
		if p.Required || p.In == "path" {
			ref = "{" + f.JSON + "}"
		}
		switch {
		case asJSON:
			ref = fmt.Sprintf("= input[%q] == nil ? nil : toJSON(input[%q])", f.JSON, f.JSON)
		case kind == "list" && p.In != "path" && separator(p) != "":
			ref = fmt.Sprintf(`= input[%q] == nil ? nil : join(map(input[%q], string(#)), %q)`, f.JSON, f.JSON, separator(p))
		}
		switch p.In {
		case "path":
			if before[p.Name] = map[string]string{"label": ".", "matrix": ";" + p.Name + "="}[p.Style]; before[p.Name] != "" && (kind == "struct" || kind == "map" || kind == "list" && separator(p) == "") {
				return fmt.Errorf("the path's parameter %q is a %s of style %s", p.Name, map[bool]string{true: "list", false: "object"}[kind == "list"], p.Style)
			}
			inPath[p.Name] = ref
		case "query":
			if (kind == "struct" || kind == "map") && !asJSON {
				if err := m.objectInQuery(o, f, kind, schema.Value); err != nil {
					if p.Required {
						return err
					}
					m.note("%s: the parameter %q is left out: %v", o.Name, p.Name, err)
					delete(taken, f.JSON)
					continue
				}
				break
			}
			b.query = append(b.query, entry{p.Name, ref})
		case "header":
			b.headers = append(b.headers, entry{p.Name, ref})
		case "cookie":
			b.cookies = append(b.cookies, entry{p.Name, ref})
		default:
			return fmt.Errorf("parameter %q is in %q, which is nowhere", p.Name, p.In)
		}
		o.Fields = append(o.Fields, f)
	}
	var bad error
	b.path = parameterInPath.ReplaceAllStringFunc(o.Path, func(in string) string {
		name := in[1 : len(in)-1]
		ref, ok := inPath[name]
		if !ok { // used, and not declared: a text
			f := Field{JSON: unique(taken, fieldName(name)), Parameter: &openapi3.Parameter{Name: name, In: "path", Required: true, Schema: openapi3.NewStringSchema().NewRef()}}
			ref = "{" + f.JSON + "}"
			inPath[name] = ref
			o.Fields = append(o.Fields, f)
		}
		return before[name] + "\x00" + ref[1:len(ref)-1] + "\x01"
	})
	if strings.ContainsAny(b.path, "{}") {
		bad = fmt.Errorf("the path %q has a brace that begins or ends no parameter", o.Path)
	}
	b.path = strings.NewReplacer("\x00", "{", "\x01", "}").Replace(percentEncoded(b.path))
	if at := strings.IndexAny(b.path, "?#"); at >= 0 {
		bad = cmp.Or(bad, fmt.Errorf("the path %q has a query or a fragment", o.Path))
	}
	for i, e := range b.query {
		if slices.ContainsFunc(b.query[:i], func(f entry) bool { return f.name == e.name }) {
			bad = cmp.Or(bad, fmt.Errorf("two parameters are called %q in the query", e.name))
		}
	}
	return bad
}

// percentEncoded is a path of a document as it stands in an address; what is encoded stays.
// The bytes 0 and 1 stand for the braces of its references.
func percentEncoded(p string) string {
	var b strings.Builder
	for i := range len(p) {
		switch c := p[i]; {
		case c > 1 && c <= 0x20, c >= 0x7f, strings.IndexByte("\"<>\\^`|", c) >= 0:
			fmt.Fprintf(&b, "%%%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// ownHeader: a header that is not a parameter of the task: the standard says so, or it is
// the worker's, or it carries a secret.
func (m *Import) ownHeader(name string) bool {
	switch strings.ToLower(name) {
	case "accept", "content-type", "authorization", "idempotency-key", "host", "content-length", "connection", "accept-encoding",
		"transfer-encoding", "traceparent", "tracestate", "baggage", "user-agent", "expect", "te", "trailer", "upgrade", "keep-alive":
		return true
	case "cookie", "x-api-key", "api-key", "x-auth-token", "x-forwarded-for", "x-forwarded-host", "forwarded":
		m.note("the header %s is not filled by a payload: set it in the bindings, as ${env:NAME}, where it is needed", name)
		return true
	}
	for _, ref := range m.doc.Components.SecuritySchemes {
		if s := ref.Value; s != nil && s.Type == "apiKey" && s.In == "header" && strings.EqualFold(s.Name, name) {
			return true
		}
	}
	return false
}

// separator joins a list into one value; empty: each element stands for itself.
func separator(p *openapi3.Parameter) string {
	explode := p.Explode == nil && (p.Style == "" || p.Style == "form") && (p.In == "query" || p.In == "cookie") || p.Explode != nil && *p.Explode
	switch {
	case p.In == "header" || p.In == "cookie":
		return ","
	case p.Style == "spaceDelimited" && !explode:
		return " "
	case p.Style == "pipeDelimited" && !explode:
		return "|"
	case explode:
		return ""
	}
	return ","
}

// objectInQuery gives each property of an object a line of the query.
func (m *Import) objectInQuery(o *Operation, f Field, kind string, s *openapi3.Schema) error {
	p := f.Parameter
	explode := p.Explode == nil || *p.Explode
	if kind == "map" || p.Style != "deepObject" && !explode {
		return fmt.Errorf("an object in the query whose properties are not known")
	}
	for _, prop := range properties(s, map[*openapi3.Schema]bool{}) {
		name := prop.name
		if p.Style == "deepObject" {
			name = p.Name + "[" + prop.name + "]"
		}
		if prop.schema != nil && prop.schema.Value != nil {
			switch kindOf(prop.schema.Value) {
			case "struct", "map", "raw":
				if prop.required {
					return fmt.Errorf("an object in the query with the nested property %q", prop.name)
				}
				continue
			}
		}
		ref := fmt.Sprintf(`= input[%q] == nil ? nil : input[%q][%q]`, f.JSON, f.JSON, prop.name)
		o.binding.query = append(o.binding.query, entry{name, ref})
	}
	return nil
}

func isJSON(contentType string) bool {
	typ, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	typ = strings.TrimSpace(typ)
	return typ == "application/json" || strings.HasSuffix(typ, "+json") || typ == "*/*" || typ == "application/*" || typ == "text/json"
}

// pick chooses a content: JSON itself first, and then what fits, by name.
func pick(c openapi3.Content, fits func(string) bool) (string, *openapi3.MediaType) {
	if mt := c["application/json"]; mt != nil && fits("application/json") {
		return "application/json", mt
	}
	var names []string
	for name := range c {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if fits(name) && c[name] != nil {
			return name, c[name]
		}
	}
	return "", nil
}

func (m *Import) body(o *Operation, taken map[string]bool) error {
	ref := o.Document.RequestBody
	if ref == nil || ref.Value == nil || len(ref.Value.Content) == 0 {
		return nil
	}
	body := ref.Value
	if o.Method == http.MethodGet || o.Method == http.MethodHead || o.Method == http.MethodOptions {
		if body.Required {
			return fmt.Errorf("%s with a body", o.Method)
		}
		m.note("%s: the body of a %s is left out", o.Name, o.Method)
		return nil
	}
	typ, mt := pick(body.Content, isJSON)
	switch {
	case mt != nil && typ != "application/json" && !strings.Contains(typ, "*"):
		o.binding.headers = append(o.binding.headers, entry{"Content-Type", typ})
	case mt == nil:
		if _, mt = pick(body.Content, func(s string) bool { return strings.HasPrefix(s, "application/x-www-form-urlencoded") }); mt != nil {
			o.binding.encoding = "form"
			break
		}
		if typ, mt = pick(body.Content, func(s string) bool { return strings.HasPrefix(s, "text/") }); mt != nil {
			o.binding.encoding = "text"
			o.binding.headers = append(o.binding.headers, entry{"Content-Type", typ})
			break
		}
		names := strings.Join(contents(body.Content), ", ")
		if body.Required {
			return fmt.Errorf("the body is %s: write a handler in Go", names)
		}
		m.note("%s: the body, %s, is left out", o.Name, names)
		return nil
	}
	o.Body, o.BodyExample, o.Optional = mt.Schema, exampleOf(mt), !body.Required
	name := unique(taken, "body")
	o.binding.body = "{" + name + "}"
	if o.Optional {
		o.binding.body = "{" + name + "?}"
	}
	o.Fields = append(o.Fields, Field{JSON: name})
	return nil
}

func contents(c openapi3.Content) (out []string) {
	for name := range c {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func exampleOf(mt *openapi3.MediaType) any {
	if mt.Example != nil {
		return mt.Example
	}
	var names []string
	for name := range mt.Examples {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if e := mt.Examples[name]; e != nil && e.Value != nil && e.Value.Value != nil {
			return e.Value.Value
		}
	}
	return nil
}

// answer finds the first success and what it has.
func (m *Import) answer(o *Operation) {
	var codes []string
	if o.Document.Responses != nil {
		for code := range o.Document.Responses.Map() {
			if strings.HasPrefix(code, "2") {
				codes = append(codes, code)
			}
		}
	}
	slices.Sort(codes)
	o.Status = http.StatusOK
	var resp *openapi3.Response
	switch {
	case len(codes) > 0:
		resp = o.Document.Responses.Value(codes[0]).Value
		if n, err := strconv.Atoi(codes[0]); err == nil {
			o.Status = n
		}
	case o.Document.Responses != nil && o.Document.Responses.Default() != nil:
		resp = o.Document.Responses.Default().Value
	}
	o.binding.result = "none"
	if resp == nil || o.Method == http.MethodHead || len(resp.Content) == 0 {
		return
	}
	if _, mt := pick(resp.Content, isJSON); mt != nil {
		o.Answer = mt.Schema
		if o.Answer == nil {
			o.Answer = openapi3.NewSchemaRef("", openapi3.NewSchema())
		}
		o.binding.result = ""
		return
	}
	if _, mt := pick(resp.Content, func(s string) bool { return strings.HasPrefix(s, "text/") }); mt != nil {
		o.Text, o.binding.result = true, "text"
		return
	}
	m.note("%s: the answer, %s, is not kept", o.Name, strings.Join(contents(resp.Content), ", "))
}

// secure adds what the first way to authenticate needs, as references to secrets.
func (m *Import) secure(reqs openapi3.SecurityRequirements, b *binding) {
	if len(reqs) == 0 {
		return
	}
	var names []string
	for name := range reqs[0] {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		m.scheme(name, b)
	}
}

func (m *Import) scheme(name string, b *binding) {
	ref := m.doc.Components.SecuritySchemes[name]
	if ref == nil || ref.Value == nil {
		return
	}
	s := ref.Value
	env := "${env:" + strings.ToUpper(words(m.Service+"_"+name, "_")) + "}"
	header := func(n, v string) {
		if bindings.HeaderName(n) != nil {
			m.note("the header %q, which has %s, is no name that a header may have: it is not sent", n, v)
			return
		}
		if !slices.ContainsFunc(b.headers, func(e entry) bool { return strings.EqualFold(e.name, n) }) {
			b.headers = append(b.headers, entry{n, v})
		}
	}
	switch {
	case s.Type == "http" && strings.EqualFold(s.Scheme, "basic"):
		header("Authorization", "Basic "+env)
		m.note("%s is base64 of user:password", env)
	case s.Type == "http", s.Type == "oauth2", s.Type == "openIdConnect":
		header("Authorization", "Bearer "+env)
		m.note("%s is an access token", env)
	case s.Type == "apiKey" && s.In == "header":
		header(s.Name, env)
		m.note("%s is the API key", env)
	case s.Type == "apiKey" && s.In == "cookie":
		b.cookies = append(b.cookies, entry{s.Name, env})
		m.note("%s is the API key", env)
	case s.Type == "apiKey":
		m.note("the API key %q would stand in the query, where no secret belongs: it is not sent; ask for a header", s.Name)
	}
}

// names gives the operations their Go names and types.
func (m *Import) names() {
	t := m.types
	for _, o := range m.Operations {
		o.GoName = unique(t.taken, exported(o.Name))
	}
	for _, o := range m.Operations {
		o.In, o.Out = "struct{}", "struct{}"
		if len(o.Fields) > 0 {
			o.In = unique(t.taken, o.GoName+"Request")
			t.decls[o.In] = m.request(o)
		}
		switch {
		case o.Text:
			o.Out = "string"
		case o.Answer != nil:
			o.Out = t.of(o.Answer, o.GoName+" Result")
		}
	}
}

// request is the declaration of a task's input.
func (m *Import) request(o *Operation) string {
	var b strings.Builder
	fmt.Fprintf(&b, "// %s is the input of %s.\ntype %s struct {\n", o.In, o.GoName, o.In)
	taken := map[string]bool{}
	for _, f := range o.Fields {
		if f.Parameter == nil {
			typ := "string"
			if o.binding.encoding != "text" {
				typ = m.types.of(o.Body, o.GoName+" Body")
			}
			b.WriteString(m.types.field(unique(taken, "Body"), f.JSON, typ, !o.Optional, false, nil))
			continue
		}
		schema, _ := schemaOf(f.Parameter)
		typ := m.types.of(schema, o.GoName+" "+f.Parameter.Name)
		if f.Parameter.In == "path" && !isScalar(typ) {
			typ = "string"
		}
		line := m.types.field(unique(taken, exported(f.Parameter.Name)), f.JSON, typ, f.Parameter.Required || f.Parameter.In == "path", false, schema)
		if schema == nil || schema.Value == nil || schema.Value.Description == "" {
			line = comment("\t", f.Parameter.Description) + line
		}
		b.WriteString(line)
	}
	b.WriteString("}\n")
	return b.String()
}

func isScalar(typ string) bool {
	switch typ {
	case "string", "int64", "float64", "bool", "time.Time":
		return true
	}
	return false
}
