package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"

	"github.com/odradek/odradek/workflow/vet"
)

// vetFinding is one line of what is wrong.
type vetFinding struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Text string `json:"text"`
}

// vetLine is the last line with -o json.
type vetLine struct {
	Packages int          `json:"packages"`
	Findings int          `json:"findings"`
	First    []vetFinding `json:"list"`
	OK       bool         `json:"ok"`
}

func (a *app) vet() *cobra.Command {
	return &cobra.Command{
		Use:   "vet [PACKAGES]",
		Short: "Find what workflow code must not do",
		Long: `Find what makes workflow code do something else in replay than it did before: clocks,
chance, goroutines, channels, the order of maps, I/O, shared variables. Packages are as for
the go command, which it needs; without any it is ./... .

A line that is right nevertheless says so: //odradek:allow REASON. Exit code 1: something
was found.`,
		Example: `  odradek vet ./...
  odradek vet ./workflows/order -o json`,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"./..."}
			}
			line, err := a.vetPackages(args)
			if err != nil {
				return usageError{err}
			}
			if a.output != "table" {
				if err := a.line(line); err != nil {
					return err
				}
			} else {
				for _, f := range line.First {
					fmt.Fprintf(a.stdout, "%s:%d: %s\n", f.File, f.Line, f.Text)
				}
				a.say("%d packages, %d findings", line.Packages, line.Findings)
			}
			if !line.OK {
				return exitError(exitFailed)
			}
			return nil
		},
	}
}

// vetPackages checks packages, and what they are built of.
func (a *app) vetPackages(patterns []string) (vetLine, error) {
	pkgs, err := packages.Load(&packages.Config{Mode: packages.LoadAllSyntax}, patterns...)
	if err != nil {
		return vetLine{}, fmt.Errorf("load %s: %w", strings.Join(patterns, " "), err)
	}
	var errs []error
	for _, p := range pkgs {
		for _, e := range p.Errors {
			errs = append(errs, e)
		}
	}
	if len(errs) > 0 {
		return vetLine{}, fmt.Errorf("the packages do not compile: %w", errors.Join(errs...))
	}
	graph, err := checker.Analyze([]*analysis.Analyzer{vet.Analyzer}, pkgs, nil)
	if err != nil {
		return vetLine{}, err
	}
	line := vetLine{Packages: len(pkgs), First: []vetFinding{}}
	for _, act := range graph.Roots {
		if act.Err != nil {
			return vetLine{}, act.Err
		}
		for _, d := range act.Diagnostics {
			at := act.Package.Fset.Position(d.Pos)
			if rel, err := filepath.Rel(".", at.Filename); err == nil && !strings.HasPrefix(rel, "..") {
				at.Filename = rel
			} else if abs, err := filepath.Abs("."); err == nil {
				at.Filename = strings.TrimPrefix(at.Filename, abs+string(filepath.Separator))
			}
			line.First = append(line.First, vetFinding{at.Filename, at.Line, d.Message})
		}
	}
	slices.SortFunc(line.First, func(x, y vetFinding) int {
		if x.File != y.File {
			return strings.Compare(x.File, y.File)
		}
		return x.Line - y.Line
	})
	line.Findings = len(line.First)
	line.OK = line.Findings == 0 && line.Packages > 0
	return line, nil
}
