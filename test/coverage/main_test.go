package main

import (
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestCheck: a line counts if all its tests passed, and it has some.
func TestCheck(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "coverage.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`
- about: a
  lines:
    - {line: shown, tests: [p:TestOne, "q:TestTwo/sub"]}
    - {line: half, tests: [p:TestOne, p:TestNone]}
    - {line: nothing}
`)
	var ran []string
	v, err := check(file, io.Discard, func(pkg string, tests []string) (map[string]bool, error) {
		ran = append(ran, pkg+" "+strings.Join(tests, ","))
		return map[string]map[string]bool{"p": {"TestOne": true}, "q": {"TestTwo/sub": true}}[pkg], nil
	})
	want := verdict{Check: "coverage", Lines: 3, WithTest: 1, Missing: []string{"a: half", "a: nothing"}}
	if err != nil || !reflect.DeepEqual(v, want) || !reflect.DeepEqual(ran, []string{"p TestOne,TestOne,TestNone", "q TestTwo/sub"}) {
		t.Errorf("%+v, %v, ran %q", v, err, ran)
	}
	write("- {about: a, lines: [{line: x, tests: [nonsense]}]}")
	if _, err := check(file, io.Discard, nil); err == nil || !strings.Contains(err.Error(), `"nonsense" is no test`) {
		t.Error(err)
	}
	write("- {about: a, lins: []}")
	if _, err := check(file, io.Discard, nil); err == nil || !strings.Contains(err.Error(), "lins") {
		t.Error(err)
	}
}

// TestRun sees which tests pass.
func TestRun(t *testing.T) {
	t.Parallel()
	passed, err := run("testdata/one", []string{"TestPasses", "TestFails", "TestSkips"})
	if err != nil || !reflect.DeepEqual(passed, map[string]bool{"TestPasses": true, "TestPasses/sub": true}) {
		t.Errorf("%v, %v", passed, err)
	}
}
