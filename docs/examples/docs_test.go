// Package examples holds the pages of docs to code that is compiled and tested.
package examples

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// blocks gives the blocks of a page in a language.
func blocks(page, language string) (out []string) {
	for _, part := range strings.Split(page, "```"+language+"\n")[1:] {
		block, _, _ := strings.Cut(part, "\n```")
		out = append(out, block)
	}
	return out
}

// normal is code without indentation, empty lines and comments behind it.
func normal(code string) string {
	var out strings.Builder
	for line := range strings.Lines(code) {
		code, _, _ := strings.Cut(line, " // ")
		if line = strings.TrimSpace(code); line != "" {
			out.WriteString(line + "\n")
		}
	}
	return out.String()
}

// shows reports whether a file has a block: its lines in order, where a line "..." stands
// for any.
func shows(file, block string) bool {
	for _, part := range strings.Split(normal(block), "...\n") {
		_, rest, ok := strings.Cut(file, part)
		if !ok {
			return false
		}
		file = rest
	}
	return true
}

// TestPagesShowCompiledCode: each Go block of a page stands in a Go file of the repository.
func TestPagesShowCompiledCode(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.Contains(path, "testdata") {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = "\n" + normal(string(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, page := range append(pages, "../../README.md") {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range blocks(string(b), "go") {
			n++
			found := false
			for _, file := range files {
				found = found || shows(file, block)
			}
			if !found {
				t.Errorf("%s shows code that no Go file has:\n%s", page, block)
			}
		}
	}
	if n < 10 {
		t.Errorf("the pages have %d blocks of Go", n)
	}
}

// TestFromAControllerShowsTheDiff of the two files. ODRADEK_UPDATE=1 writes it anew.
func TestFromAControllerShowsTheDiff(t *testing.T) {
	t.Parallel()
	const page = "../from-a-controller.md"
	out, err := exec.Command("diff", "-U", "100", "--label", "before/sell.go", "--label", "after/sell.go", "controller/before/sell.go", "controller/after/sell.go").Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 {
		t.Fatalf("diff: %v", err)
	}
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	shown := blocks(string(b), "diff")
	if len(shown) != 1 {
		t.Fatalf("the page has %d diffs", len(shown))
	}
	want := strings.TrimSuffix(string(out), "\n")
	if os.Getenv("ODRADEK_UPDATE") != "" {
		if err := os.WriteFile(page, []byte(strings.Replace(string(b), "```diff\n"+shown[0], "```diff\n"+want, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if shown[0] != want {
		t.Errorf("the page shows another diff than that of the files: run ODRADEK_UPDATE=1 go test ./docs/examples")
	}
	yaml, err := os.ReadFile("controller/after/bindings.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := blocks(string(b), "yaml"); len(got) != 1 || got[0]+"\n" != string(yaml) {
		t.Error("the page shows other bindings than the file")
	}
}

// TestPagesNameWhatIsThere: each exported name of a package that a page has is declared.
func TestPagesNameWhatIsThere(t *testing.T) {
	t.Parallel()
	declared := map[string]bool{}
	for _, dir := range []string{"workflow", "client", "worker", "engine", "workflow/workflowtest"} {
		files, err := filepath.Glob("../../" + dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				for _, name := range names(d) {
					declared[f.Name.Name+"."+name] = true
				}
			}
		}
	}
	named := regexp.MustCompile(`\b(workflow|client|worker|engine|workflowtest)\.[A-Z]\w*`)
	pages, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, page := range pages {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range named.FindAllString(string(b), -1) {
			n++
			if !declared[name] {
				t.Errorf("%s names %s, which is not there", page, name)
			}
		}
	}
	if n < 50 {
		t.Errorf("the pages name %d things", n)
	}
}

// names are what a declaration declares, methods left out.
func names(d ast.Decl) (out []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			out = append(out, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				out = append(out, s.Name.Name)
			case *ast.ValueSpec:
				for _, n := range s.Names {
					out = append(out, n.Name)
				}
			}
		}
	}
	return out
}
