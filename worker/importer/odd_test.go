package importer_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/odradek/odradek/worker/binding"
	"github.com/odradek/odradek/worker/httpbinding"
	"github.com/odradek/odradek/worker/importer"
)

// made is all that an import of a document makes, as one text: reasons, notes, files.
func made(t *testing.T, doc string, opts importer.Options) string {
	t.Helper()
	m, err := importer.Parse([]byte(doc), opts)
	if err != nil {
		t.Fatal(err)
	}
	yaml, _, err := m.Bindings(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := httpbinding.Parse("bindings.yaml", yaml, binding.Options{WithoutSecrets: true}); err != nil && len(m.Operations) > 0 {
		t.Errorf("the bindings are not valid: %v\n%s", err, yaml)
	}
	src, err := m.GoFile()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, s := range m.Skipped {
		fmt.Fprintf(&b, "not mapped: %s: %s\n", s.Name, s.Reason)
	}
	for _, n := range m.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	return b.String() + string(yaml) + string(src)
}

// TestOddDocuments: what is odd in a document costs one operation at most, and says so.
func TestOddDocuments(t *testing.T) {
	t.Parallel()
	const fine = "\n  /fine: {get: {operationId: fine, responses: {'204': {description: x}}}}\n"
	const schema = "responses: {'200': {description: x, content: {application/json: {schema: {$ref: '#/components/schemas/A'}}}}}"
	const none = "responses: {'204': {description: x}}"
	for name, c := range map[string]struct {
		rest string   // of a document, from its first path on
		want []string // what stands in what is made of it
	}{
		"a header and no components": {
			"  /a: {get: {operationId: a, parameters: [{name: X-A, in: header, schema: {type: string}}], " + none + "}}" + fine,
			[]string{"X-A: '{X-A?}'"},
		},
		"a schema that is all of itself": {
			"  /a: {get: {operationId: a, " + schema + "}}" + fine + "components: {schemas: {A: {allOf: [{$ref: '#/components/schemas/B'}]}, B: {allOf: [{$ref: '#/components/schemas/A'}]}}}",
			[]string{"NewTask[struct{}, json.RawMessage]"},
		},
		"a schema that is itself or null": {
			"  /a: {get: {operationId: a, " + schema + "}}" + fine + "components: {schemas: {A: {oneOf: [{$ref: '#/components/schemas/A'}, {type: 'null'}]}}}",
			[]string{"NewTask[struct{}, json.RawMessage]"},
		},
		"a list of itself": {
			"  /a: {get: {operationId: a, " + schema + "}}" + fine + "components: {schemas: {A: {type: array, items: {$ref: '#/components/schemas/A'}}}}",
			[]string{"NewTask[struct{}, []json.RawMessage]"},
		},
		"a path that is not encoded": {
			"  '/größe/a b/{名}': {get: {operationId: a, " + none + "}}" + fine,
			[]string{"path: /gr%C3%B6%C3%9Fe/a%20b/{p}"},
		},
		"styles of path parameters": {
			"  '/a/{l}/{m}/{n}': {get: {operationId: a, parameters: [{name: l, in: path, required: true, style: label, schema: {type: string}}, {name: m, in: path, required: true, style: matrix, schema: {type: integer}}, {name: n, in: path, required: true, schema: {type: string}}], " + none + "}}" + fine,
			[]string{"path: /a/.{l}/;m={m}/{n}"},
		},
		"a list of an exploded style in the path": {
			"  '/a/{m}': {get: {operationId: a, parameters: [{name: m, in: path, required: true, style: matrix, explode: true, schema: {type: array, items: {type: integer}}}], " + none + "}}" + fine,
			[]string{`not mapped: a: the path's parameter "m" is a list of style matrix`, "fine:"},
		},
		"two parameters of one name": {
			"  /a: {get: {operationId: a, parameters: [{name: x, in: query, schema: {type: string}}, {name: o, in: query, schema: {type: object, properties: {x: {type: string}}}}], " + none + "}}" + fine,
			[]string{`not mapped: a: two parameters are called "x" in the query`, "fine:"},
		},
		"a name that is no cookie's": {
			"  /a: {get: {operationId: a, parameters: [{name: a b, in: cookie, schema: {type: string}}], " + none + "}}" + fine,
			[]string{`not mapped: a: cookies.a b: "a b" is not a cookie's name`, "fine:"},
		},
		"a method that no task has": {
			"  /a: {trace: {operationId: a, " + none + "}}" + fine,
			[]string{`not mapped: a: method: the method is "TRACE"`},
		},
		"nothing is mapped": {
			"  '/a#b': {get: {operationId: a, " + none + "}}",
			[]string{"a query or a fragment", "import ()"},
		},
		"an operation elsewhere": {
			"  /a: {get: {operationId: a, servers: [{url: 'https://other.example'}], " + none + "}}" + fine,
			[]string{`note: a: its server is "https://other.example", and the binding calls base_url`},
		},
		"an enumeration with null": {
			"  /a: {get: {operationId: a, " + schema + "}}" + fine + "components: {schemas: {A: {type: object, properties: {c: {type: string, nullable: true, enum: [red, null, '', 'dark blue']}}}}}",
			[]string{"// One of red, \"\", \"dark blue\"\n"},
		},
		"a key in a cookie": {
			"  /a: {get: {operationId: a, " + none + "}}" + fine + "security: [{k: []}]\ncomponents: {securitySchemes: {k: {type: apiKey, in: cookie, name: sid}}}",
			[]string{"sid: ${env:ODD_K}"},
		},
		"a key in what is no header": {
			"  /a: {get: {operationId: a, " + none + "}}" + fine + "security: [{k: []}]\ncomponents: {securitySchemes: {k: {type: apiKey, in: header, name: my key}}}",
			[]string{`note: the header "my key"`, "fine:"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := made(t, "openapi: 3.0.3\ninfo: {title: Odd, version: '1'}\nservers: [{url: 'http://odd.example'}]\npaths:\n"+c.rest, importer.Options{})
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("%q is not in\n%s", want, got)
				}
			}
		})
	}
}

// TestServers: what base_url becomes of a document's server, also where none may be called so.
func TestServers(t *testing.T) {
	t.Parallel()
	for server, want := range map[string]string{
		"HTTPS://A.example/":  "base_url: HTTPS://A.example\n",
		"//a.example/x":       "base_url: https://a.example/x\n",
		"/v1":                 "base_url: http://service.invalid/v1\n",
		"http://10.1.2.3/x":   `"http://10.1.2.3/x", which base_url cannot be (address is not allowed: 10.1.2.3 is in the private range`,
		"https://u:p@a.b":     `"https://u:p@a.b", which base_url cannot be (user and password`,
		"https://a.example:x": `"https://a.example:x", which base_url cannot be (this is not a URL`,
	} {
		got := made(t, "openapi: 3.0.3\ninfo: {title: Odd, version: '1'}\nservers: [{url: '"+server+"'}]\npaths: {/a: {get: {responses: {'204': {description: x}}}}}", importer.Options{})
		if !strings.Contains(got, want) {
			t.Errorf("%s: %q is not in\n%s", server, want, got)
		}
	}
}

// TestExternalReferences begin where the document lies, and one name in two files is two types.
func TestExternalReferences(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "a.yaml")
	if err := os.WriteFile(filepath.Join(dir, "b.yaml"), []byte("components: {schemas: {X: {type: object, properties: {q: {type: integer}}}, Y: {type: object, properties: {x: {$ref: '#/components/schemas/X'}}}}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	const doc = `openapi: 3.0.3
info: {title: Odd, version: '1'}
servers: [{url: 'http://odd.example'}]
paths:
  /a: {get: {operationId: a, responses: {'200': {description: x, content: {application/json: {schema: {$ref: '#/components/schemas/X'}}}}}}}
  /b: {get: {operationId: b, responses: {'200': {description: x, content: {application/json: {schema: {$ref: 'b.yaml#/components/schemas/Y'}}}}}}}
components: {schemas: {X: {type: object, properties: {p: {type: string}}}}}
`
	if got := made(t, doc, importer.Options{ExternalRefs: true, File: file}); !strings.Contains(got, "X *X2 ") || !strings.Contains(got, "P *string") || !strings.Contains(got, "Q *int64") {
		t.Errorf("the two X are\n%s", got)
	}
	if _, err := importer.Parse([]byte(doc), importer.Options{File: file}); err == nil || !strings.Contains(err.Error(), "--external-refs") {
		t.Errorf("without the flag: %v", err)
	}
}

func TestBadOptions(t *testing.T) {
	t.Parallel()
	for want, opts := range map[string]importer.Options{
		`"func" is not the name of a Go package`: {Package: "func"},
		`"../x" is not the name of a Go package`: {Package: "../x"},
		`--include "[" is no pattern`:            {Include: []string{"["}},
	} {
		if _, err := importer.Parse([]byte("openapi: 3.0.3\ninfo: {title: a, version: '1'}\npaths: {}"), opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", opts, err)
		}
	}
}
