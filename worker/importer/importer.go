// Package importer makes bindings and a typed Go package of an OpenAPI document, 3.0 or
// 3.1: each operation becomes a task that workflow code can ask for, and the binding with
// which svcworker calls it. What cannot be mapped is reported with the reason. It does the
// same for the unary methods of Protobuf descriptors.
package importer

import (
	"cmp"
	"fmt"
	"go/token"
	"net/http"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/odradek/odradek/topology"
)

// Options of an import. The zero value imports all of a document.
type Options struct {
	// Service is the service's name. Default: of the document's title.
	Service string
	// Package is the Go package's name. Default: of Service.
	Package string
	// Include takes only operations whose name fits one of these patterns, as path.Match
	// has them: "payments.*". Names are operation IDs, or tag.operationID. Default: all.
	Include []string
	// ExternalRefs lets the document refer to other files and addresses.
	ExternalRefs bool
	// File is the document's name, from which it refers to others.
	File string
}

// Import is what an import makes.
type Import struct {
	Service    string
	Package    string
	BaseURL    string
	Operations []*Operation // mapped, by name
	Skipped    []Skipped    // not mapped
	Notes      []string     // what has to be looked at by hand
	doc        *openapi3.T
	types      *types
}

// Skipped is an operation that was not mapped.
type Skipped struct {
	Name   string `json:"name"`
	Method string `json:"method"`
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// Operation is an operation that was mapped.
type Operation struct {
	Name   string // of the task
	Method string
	Path   string // as the document has it
	In     string // Go type
	Out    string // Go type

	GoName   string
	comment  string
	binding  binding
	Document *openapi3.Operation // for who checks it
	Item     *openapi3.PathItem
	Fields   []Field
	// Body is the schema of the request's body, and Answer of the first success's; nil:
	// there is none, or it is text.
	Body, Answer *openapi3.SchemaRef
	BodyExample  any
	Optional     bool // the body may be left out
	Status       int  // of the first success
	Text         bool // the answer is text
}

// Field is a parameter, a field of the task's input.
type Field struct {
	JSON      string // name in the input
	Parameter *openapi3.Parameter
	Property  string // of a parameter that is an object and stands in the query by its properties
}

// Parse reads a document. The error says what is wrong with it as a whole.
func Parse(data []byte, opts Options) (*Import, error) {
	loader := openapi3.NewLoader()
	loader.IsExternalRefsAllowed = opts.ExternalRefs
	doc, err := loader.LoadFromDataWithPath(data, &url.URL{Path: filepath.ToSlash(opts.File)})
	switch {
	case err != nil && strings.Contains(err.Error(), "disallowed external reference"):
		return nil, fmt.Errorf("the document cannot be read: %w; --external-refs follows such references", err)
	case err != nil:
		return nil, fmt.Errorf("the document cannot be read: %w", err)
	}
	if doc.OpenAPI == "" || !strings.HasPrefix(doc.OpenAPI, "3.") {
		return nil, fmt.Errorf("the document is of OpenAPI version %q: 3.0 and 3.1 are read", doc.OpenAPI)
	}
	if doc.Components == nil {
		doc.Components = &openapi3.Components{}
	}
	m := &Import{Service: opts.Service, doc: doc}
	if m.Service == "" {
		title := "api"
		if doc.Info != nil && doc.Info.Title != "" {
			title = doc.Info.Title
		}
		m.Service = strings.Trim(strings.ToLower(words(title, "-")), "-")
		m.Service = strings.Trim(m.Service[:min(len(m.Service), 40)], "-")
	}
	if m.Service == "" {
		m.Service = "api"
	}
	if err := topology.CheckName("service", m.Service); err != nil {
		return nil, err
	}
	if m.Package = opts.Package; m.Package == "" {
		m.Package = packageName(m.Service)
	}
	if !token.IsIdentifier(m.Package) || m.Package == "_" {
		return nil, fmt.Errorf("%q is not the name of a Go package: use lower-case letters and digits, and no word of Go's own", m.Package)
	}
	for _, p := range opts.Include {
		if _, err := path.Match(p, ""); err != nil {
			return nil, fmt.Errorf("--include %q is no pattern: * stands for anything, ? for a character, [a-z] for one of a range", p)
		}
	}
	m.types = newTypes(doc)
	m.BaseURL = m.base(doc.Servers)
	m.operations(opts)
	return m, nil
}

// base is the address of the first server, with its variables' defaults.
func (m *Import) base(servers openapi3.Servers) string {
	const unknown = "http://" + "service.invalid"
	if len(servers) == 0 {
		m.note("the document names no server: set base_url")
		return unknown
	}
	u := address(servers[0])
	if strings.HasPrefix(u, "//") {
		u = "https:" + u
	}
	base := unknown
	if scheme, _, ok := strings.Cut(u, "://"); ok && !strings.Contains(u, "{") && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")) {
		err := m.check(u, "", nil)
		if err == nil {
			return u
		}
		m.note("the document's server is %q, which base_url cannot be (%s): set base_url", servers[0].URL, strings.TrimPrefix(err.Error(), "base_url: "))
		return unknown
	}
	if strings.HasPrefix(u, "/") && !strings.ContainsAny(u, "{}") {
		base += u
	}
	m.note("the document's server is %q, which is no whole address: set base_url", servers[0].URL)
	return base
}

// address is a server's, with its variables' defaults.
func address(s *openapi3.Server) string {
	u := s.URL
	for name, v := range s.Variables {
		u = strings.ReplaceAll(u, "{"+name+"}", v.Default)
	}
	return strings.TrimSuffix(u, "/")
}

func (m *Import) note(format string, args ...any) {
	n := fmt.Sprintf(format, args...)
	if !slices.Contains(m.Notes, n) {
		m.Notes = append(m.Notes, n)
	}
}

var httpMethods = []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete, http.MethodPatch, http.MethodHead, http.MethodOptions, http.MethodTrace}

func (m *Import) operations(opts Options) {
	taken := map[string]bool{}
	for _, p := range m.doc.Paths.InMatchingOrder() {
		item := m.doc.Paths.Value(p)
		for _, method := range httpMethods {
			op := item.GetOperation(method)
			if op == nil {
				continue
			}
			name := operationName(method, p, op)
			if !included(name, op, opts.Include) {
				continue
			}
			for n, base := 2, name; taken[name]; n++ {
				name = fmt.Sprintf("%s_%d", base[:min(len(base), 95)], n)
			}
			taken[name] = true
			o := &Operation{Name: name, Method: method, Path: p, Document: op, Item: item}
			err := m.operation(o)
			if err == nil {
				err = m.check("http://service.invalid", o.Name, o.binding.node())
			}
			if err != nil {
				m.Skipped = append(m.Skipped, Skipped{name, method, p, err.Error()})
				continue
			}
			m.Operations = append(m.Operations, o)
		}
	}
	slices.SortFunc(m.Operations, func(a, b *Operation) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(m.Skipped, func(a, b Skipped) int { return cmp.Compare(a.Name, b.Name) })
	m.names()
}

func included(name string, op *openapi3.Operation, patterns []string) bool {
	if len(patterns) == 0 {
		return true
	}
	names := []string{name, op.OperationID}
	for _, tag := range op.Tags {
		names = append(names, strings.ToLower(tag)+"."+name, tag+"."+op.OperationID)
	}
	for _, p := range patterns {
		for _, n := range names {
			if ok, err := path.Match(p, n); err == nil && ok {
				return true
			}
		}
	}
	return false
}

var parameterInPath = regexp.MustCompile(`\{([^{}]*)\}`)

// operationName is the operation's ID, or method and path, as a task may be called.
func operationName(method, p string, op *openapi3.Operation) string {
	name := op.OperationID
	if name == "" {
		name = strings.ToLower(method) + "_" + parameterInPath.ReplaceAllString(p, "by_$1")
	}
	var b strings.Builder
	for _, r := range name {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' || r == '.' {
			b.WriteRune(r)
		} else {
			b.WriteByte('_')
		}
	}
	name = strings.Trim(b.String(), "._")
	for strings.Contains(name, "..") {
		name = strings.ReplaceAll(name, "..", ".")
	}
	if name == "" {
		name = strings.ToLower(method)
	}
	return name[:min(len(name), 100)]
}
