package vet_test

import (
	"testing"

	"golang.org/x/tools/go/analysis/analysistest"

	"github.com/odradek/odradek/workflow/vet"
)

// TestFindings: each rule finds what it is for, and nothing that is right.
func TestFindings(t *testing.T) {
	t.Parallel()
	analysistest.Run(t, analysistest.TestData(), vet.Analyzer, "example.com/a")
}
