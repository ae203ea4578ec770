package main

import (
	"strings"
	"testing"
)

// TestVet: our own workflow code is clean, and what is not is told with its line.
func TestVet(t *testing.T) {
	t.Parallel()
	a := newApp()
	line, err := a.vetPackages([]string{"../../workflows/...", "../../schedule", "../../job"})
	if err != nil || !line.OK || line.Packages < 7 {
		t.Errorf("ours: %+v, %v", line, err)
	}
	line, err = a.vetPackages([]string{"./testdata/bad"})
	if err != nil || line.OK || line.Findings != 2 || line.First[0].Line != 12 || line.First[0].File != "testdata/bad/bad.go" || !strings.Contains(line.First[1].Text, "a range over a map") {
		t.Errorf("bad: %+v, %v", line, err)
	}
	if _, err := a.vetPackages([]string{"./nowhere"}); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("a package that is not there: %v", err)
	}
}
