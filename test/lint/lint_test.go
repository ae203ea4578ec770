// Package lint shows that the linter's rules on imports refuse what they are for,
// and that the pure packages stay pure.
package lint

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

// bad has, for each rule of depguard, a file that the rule must refuse. They make
// no cycle, which the linter would report instead.
var bad = map[string]struct{ file, imports string }{
	"leaves":       {"record/bad.go", "github.com/odradek/odradek/client"},
	"codec":        {"codec/bad.go", "github.com/odradek/odradek/client"},
	"topology":     {"topology/bad.go", "github.com/odradek/odradek/client"},
	"machine":      {"engine/machine/bad.go", "github.com/odradek/odradek/client"},
	"workflow":     {"workflow/bad.go", "github.com/odradek/odradek/client"},
	"replay":       {"engine/replay/bad.go", "github.com/odradek/odradek/client"},
	"partition":    {"engine/partition/bad.go", "github.com/odradek/odradek/client"},
	"pure":         {"engine/partition/badrand.go", "math/rand/v2"},
	"job":          {"job/bad.go", "github.com/odradek/odradek/engine"},
	"statestore":   {"statestore/bad.go", "github.com/odradek/odradek/client"},
	"workflows":    {"workflows/billing/bad.go", "github.com/odradek/odradek/engine"},
	"grpc":         {"httpapi/badgrpc.go", "google.golang.org/grpc"},
	"protocompile": {"httpapi/badproto.go", "github.com/bufbuild/protocompile"},
	"pebble":       {"httpapi/badpebble.go", "github.com/cockroachdb/pebble/v2"},
	"viper":        {"httpapi/badviper.go", "github.com/spf13/viper"},
	"prometheus":   {"httpapi/badprom.go", "github.com/prometheus/client_golang/prometheus"},
	"kafka":        {"httpapi/badkgo.go", "github.com/twmb/franz-go/pkg/kgo"},
	"kfake":        {"httpapi/badkfake.go", "github.com/twmb/franz-go/pkg/kfake"},
	"nobody":       {"httpapi/badcmd.go", "github.com/odradek/odradek/cmd/engine"},
}

// TestEveryImportRuleRefusesItsFixture lints a module of nothing but fixtures.
func TestEveryImportRuleRefusesItsFixture(t *testing.T) {
	t.Parallel()
	linter, err := exec.LookPath("golangci-lint")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("golangci-lint is not installed: make tools installs it")
		}
		t.Skip("golangci-lint is not installed: make tools installs it")
	}
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum", ".golangci.yml"} {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), string(b))
	}
	packages := map[string]bool{"cmd/engine": true, "engine": true, "client": true}
	for _, f := range bad {
		packages[filepath.Dir(f.file)] = true
	}
	for p := range packages {
		write(t, filepath.Join(dir, p, "doc.go"), "package "+filepath.Base(p)+"\n")
	}
	for _, f := range bad {
		write(t, filepath.Join(dir, f.file), "package "+filepath.Base(filepath.Dir(f.file))+"\n\nimport _ \""+f.imports+"\"\n")
	}
	cmd := exec.Command(linter, "run", "--enable-only", "depguard", "--max-same-issues", "0", "--max-issues-per-linter", "0", "--output.json.path", "stdout", "--show-stats=false", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOLANGCI_LINT_CACHE="+filepath.Join(dir, ".cache"))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, _ := cmd.Output() // exits 1: there are findings
	var report struct {
		Issues []struct {
			Text string
			Pos  struct{ Filename string }
		}
	}
	line, _, _ := strings.Cut(string(out), "\n")
	if err := json.Unmarshal([]byte(line), &report); err != nil {
		t.Fatalf("the linter's report: %v\n%s%s", err, out, stderr.String())
	}
	for rule, f := range bad {
		found := false
		for _, i := range report.Issues {
			found = found || filepath.ToSlash(i.Pos.Filename) == f.file && strings.Contains(i.Text, "'"+rule+"'")
		}
		if !found {
			t.Errorf("rule %q lets %s import %s", rule, f.file, f.imports)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// pure are the packages that the step is made of: no goroutine, no channel, and no
// order that differs from run to run.
var pure = []string{"record", "topology", "engine/machine", "engine/replay", "engine/partition"}

// TestPurePackagesHaveNoGoroutineChannelOrMapRange looks at their syntax. A range
// over slices.Sorted(maps.Keys(m)) is fine; a range over an identifier that was
// made a map in the same file is not.
func TestPurePackagesHaveNoGoroutineChannelOrMapRange(t *testing.T) {
	t.Parallel()
	for _, dir := range pure {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files (%v)", dir, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, why := range impure(fset, f) {
				t.Error(why)
			}
		}
	}
}

func impure(fset *token.FileSet, f *ast.File) (found []string) {
	maps := mapNames(f)
	ast.Inspect(f, func(n ast.Node) bool {
		what := ""
		switch n := n.(type) {
		case *ast.GoStmt:
			what = "a go statement"
		case *ast.ChanType:
			what = "a channel"
		case *ast.SelectStmt:
			what = "a select"
		case *ast.SendStmt:
			what = "a send"
		case *ast.RangeStmt:
			if maps[lastName(n.X)] {
				what = "a range over a map"
			}
		}
		if what != "" {
			found = append(found, fset.Position(n.Pos()).String()+": "+what+" in a pure package")
		}
		return true
	})
	return found
}

// mapNames are the fields and variables that the file declares as maps.
func mapNames(f *ast.File) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			if _, ok := n.Type.(*ast.MapType); ok {
				for _, id := range n.Names {
					names[id.Name] = true
				}
			}
		case *ast.ValueSpec:
			if _, ok := n.Type.(*ast.MapType); ok {
				for _, id := range n.Names {
					names[id.Name] = true
				}
			}
		case *ast.AssignStmt:
			for i, rhs := range n.Rhs {
				lit, ok := rhs.(*ast.CompositeLit)
				if ok && i < len(n.Lhs) {
					if _, ok := lit.Type.(*ast.MapType); ok {
						names[lastName(n.Lhs[i])] = true
					}
				}
			}
		}
		return true
	})
	return names
}

func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

func TestImpureCodeIsFound(t *testing.T) {
	t.Parallel()
	const src = `package p
type s struct{ m map[string]int }
func f(x s, c chan int) {
	go f(x, c)
	for range x.m {
	}
	c <- 1
	select {}
}`
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "p.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := impure(fset, f); len(got) != 5 {
		t.Errorf("found %d of 5: %q", len(got), got)
	}
}
