package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/worker/binding"
	"github.com/odradek/odradek/worker/httpbinding"
	"github.com/odradek/odradek/worker/importer"
)

// documentBytesMax bounds a document or a set of descriptors.
const documentBytesMax = 64 << 20

// importLine is what `import openapi -o json` prints.
type importLine struct {
	Service    string             `json:"service"`
	Operations int                `json:"operations"`
	Mapped     int                `json:"mapped"`
	Skipped    []importer.Skipped `json:"skipped"`
	Notes      []string           `json:"notes"`
	Changes    []importer.Change  `json:"changes"`
	Files      []string           `json:"files"` // written, or, with --check, different
	OK         bool               `json:"ok"`
}

func (a *app) importCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "import", Short: "Make bindings and a typed Go package of a description of an API"}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return exitError{exitUsage, fmt.Errorf("svcworker import has no kind %q: use openapi or grpc", args[0])}
		}
		return cmd.Help()
	}
	cmd.AddCommand(a.importOpenAPI(), a.importGRPC())
	return cmd
}

func (a *app) importOpenAPI() *cobra.Command {
	var opts importer.Options
	var out, output string
	var check bool
	cmd := &cobra.Command{
		Use:   "openapi FILE",
		Short: "Import an OpenAPI document, 3.0 or 3.1",
		Long: `Import an OpenAPI document, 3.0 or 3.1. Into the directory --out go

  bindings.yaml      how svcworker calls each operation; put it into its configuration
  <package>/tasks.go a Go package for workflow code: request and result structs, and a task
                     for each operation, with the document's comments

and the operations that could not be mapped are named with the reason. Run again, it
updates both: tasks that were changed by hand in bindings.yaml stay as they are, and so
does all beside the tasks. Secrets are references, such as ${env:SHOP_APIKEY}.

Nothing is fetched: references to other files and addresses are followed only with
--external-refs.

Exit codes: 0 ok, 1 with --check: the files are not current, 2 the document or a flag is wrong.`,
		Example: `  svcworker import openapi shop.yaml --out internal/shop
  svcworker import openapi shop.yaml --include 'payments.*' --service payment --out internal/payment
  svcworker import openapi shop.yaml --out internal/shop --check`,
		Args: cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.StringVar(&out, "out", "", "directory to write to; required")
	f.StringArrayVar(&opts.Include, "include", nil, "only operations whose name, or tag.name, fits this pattern; may be given again")
	f.StringVar(&opts.Service, "service", "", "name of the service; default: made of the document's title")
	f.StringVar(&opts.Package, "package", "", "name of the Go package; default: made of the service's")
	f.BoolVar(&opts.ExternalRefs, "external-refs", false, "follow references to other files and addresses")
	f.BoolVar(&check, "check", false, "write nothing, say what differs")
	f.StringVarP(&output, "output", "o", "text", "text or json")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		switch {
		case out == "":
			return exitError{exitUsage, errors.New("--out is missing: it names the directory to write to")}
		case output != "text" && output != "json":
			return exitError{exitUsage, fmt.Errorf("--output is %q: use text or json", output)}
		}
		line, err := a.openAPI(args[0], out, opts, check)
		if err != nil {
			return exitError{exitUsage, fmt.Errorf("%s: %w", args[0], err)}
		}
		return a.importReport(line, output, check)
	}
	return cmd
}

func (a *app) openAPI(file, out string, opts importer.Options, check bool) (line importLine, err error) {
	b, err := readDocument(file)
	if err != nil {
		return line, err
	}
	opts.File = file
	m, err := importer.Parse(b, opts)
	if err != nil {
		return line, err
	}
	line = importLine{Service: m.Service, Operations: len(m.Operations) + len(m.Skipped), Mapped: len(m.Operations), Skipped: m.Skipped, OK: true}
	if line.Operations == 0 {
		return line, errors.New("no operation was chosen: look at --include and the document's paths")
	}
	bindings, files, err := line.generate(m, out, m.Package)
	line.Notes = m.Notes // of what was generated, too
	if err != nil {
		return line, err
	}
	if _, err := httpbinding.Parse(bindings, files[bindings], binding.Options{WithoutSecrets: true}); err != nil {
		return line, fmt.Errorf("what would be written to it is not valid: %w", err)
	}
	return line, line.write(files, check)
}

func readDocument(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > documentBytesMax {
		return nil, fmt.Errorf("it has %d bytes, at most %d are read", info.Size(), documentBytesMax)
	}
	return os.ReadFile(file)
}

// generator is an import, of either kind.
type generator interface {
	Bindings(old []byte) ([]byte, []importer.Change, error)
	GoFile() ([]byte, error)
}

// generate makes the files that go to out, by their names, and says which has the bindings.
func (line *importLine) generate(m generator, out, pkg string) (bindings string, files map[string][]byte, err error) {
	bindings, files = filepath.Join(out, "bindings.yaml"), map[string][]byte{}
	old, err := os.ReadFile(bindings)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return bindings, nil, err
	}
	if files[bindings], line.Changes, err = m.Bindings(old); err != nil {
		return bindings, nil, err
	}
	files[filepath.Join(out, pkg, "tasks.go")], err = m.GoFile()
	return bindings, files, err
}

// write brings files up to date; check only says which are not.
func (line *importLine) write(files map[string][]byte, check bool) error {
	for _, name := range binding.SortedKeys(files) {
		if was, err := os.ReadFile(name); err == nil && bytes.Equal(was, files[name]) {
			continue
		}
		line.Files = append(line.Files, name)
		if check {
			line.OK = false
			continue
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, files[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}

// importReport prints what an import made; the error is the exit code.
func (a *app) importReport(line importLine, output string, check bool) (err error) {
	if output == "json" {
		err = json.NewEncoder(a.stdout).Encode(line)
	} else {
		a.importText(line, check)
	}
	if err == nil && !line.OK {
		err = exitError{exitProblems, nil}
	}
	return err
}

func (a *app) importText(line importLine, check bool) {
	fmt.Fprintf(a.stdout, "service %s: %d of %d operations are mapped\n", line.Service, line.Mapped, line.Operations)
	for _, s := range line.Skipped {
		fmt.Fprintf(a.stdout, "not mapped: %s (%s): %s\n", s.Name, strings.TrimSpace(s.Method+" "+s.Path), s.Reason)
	}
	for _, n := range line.Notes {
		fmt.Fprintf(a.stdout, "note: %s\n", n)
	}
	for _, c := range line.Changes {
		if c.What != "added" || check {
			fmt.Fprintf(a.stdout, "task %s: %s\n", c.Task, c.What)
		}
	}
	verb := "written"
	if check {
		verb = "not current"
	}
	for _, f := range line.Files {
		fmt.Fprintf(a.stdout, "%s: %s\n", verb, f)
	}
	if len(line.Files) == 0 {
		fmt.Fprintln(a.stdout, "the files are current")
	}
}
