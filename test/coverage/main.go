// Command coverage says whether each promise of docs/coverage.yaml has a test that shows
// it, and runs those tests. The last line on standard output is one JSON object.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// promise is a line of the file.
type promise struct {
	Line  string   `yaml:"line"`
	Tests []string `yaml:"tests"` // <package below the module>:<Test>[/<subtest>]
}

type section struct {
	About string    `yaml:"about"`
	Lines []promise `yaml:"lines"`
}

// verdict is the last line.
type verdict struct {
	Check    string   `json:"check"`
	Lines    int      `json:"lines"`
	WithTest int      `json:"with_test"`
	Missing  []string `json:"missing"`
	OK       bool     `json:"ok"`
}

func main() {
	file := "docs/coverage.yaml"
	if len(os.Args) > 1 {
		file = os.Args[1]
	}
	v, err := check(file, os.Stderr, run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(2)
	}
	if err := json.NewEncoder(os.Stdout).Encode(v); err != nil || !v.OK {
		os.Exit(1)
	}
}

// runner runs tests of a package by their names, and gives those that passed.
type runner func(pkg string, tests []string) (passed map[string]bool, err error)

func check(file string, log io.Writer, run runner) (verdict, error) {
	v := verdict{Check: "coverage", Missing: []string{}}
	b, err := os.ReadFile(file)
	if err != nil {
		return v, err
	}
	var sections []section
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&sections); err != nil {
		return v, fmt.Errorf("%s: %w", file, err)
	}
	tests := map[string][]string{} // by package
	for _, s := range sections {
		for _, p := range s.Lines {
			for _, t := range p.Tests {
				pkg, name, ok := strings.Cut(t, ":")
				if !ok || !strings.HasPrefix(name, "Test") {
					return v, fmt.Errorf("%s: %q is no test: write package:TestName", file, t)
				}
				tests[pkg] = append(tests[pkg], name)
			}
		}
	}
	passed := map[string]bool{}
	for _, pkg := range slices.Sorted(maps.Keys(tests)) {
		fmt.Fprintf(log, "%s: %d tests\n", pkg, len(tests[pkg]))
		of, err := run(pkg, tests[pkg])
		if err != nil {
			return v, fmt.Errorf("%s: %w", pkg, err)
		}
		for name := range of {
			passed[pkg+":"+name] = true
		}
	}
	for _, s := range sections {
		for _, p := range s.Lines {
			v.Lines++
			ok := len(p.Tests) > 0
			for _, t := range p.Tests {
				if !passed[t] {
					ok = false
					fmt.Fprintf(log, "%s: %s did not pass\n", p.Line, t)
				}
			}
			if ok {
				v.WithTest++
			} else {
				v.Missing = append(v.Missing, s.About+": "+p.Line)
			}
		}
	}
	v.OK = v.Lines > 0 && v.WithTest == v.Lines
	return v, nil
}

// run is go test. A test that was skipped has not passed.
func run(pkg string, tests []string) (map[string]bool, error) {
	var tops []string
	for _, t := range tests {
		top, _, _ := strings.Cut(t, "/")
		if top = regexp.QuoteMeta(top); !slices.Contains(tops, top) {
			tops = append(tops, top)
		}
	}
	cmd := exec.Command("go", "test", "-count=1", "-json", "-run", "^("+strings.Join(tops, "|")+")$", "./"+pkg)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		return nil, err
	}
	passed := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct{ Action, Test string }
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Action == "pass" && e.Test != "" {
			passed[e.Test] = true
		}
	}
	return passed, lines.Err()
}
