// Engine runs the workflow types of this repository. Copy it, list your own types,
// and build: that is all of an engine of your own.
package main

import (
	"os"

	"github.com/odradek/odradek/engine"
	"github.com/odradek/odradek/workflow"
	"github.com/odradek/odradek/workflows/billing"
)

func main() {
	os.Exit(engine.Main(engine.Config{Workflows: []workflow.Definition{billing.Definition}}))
}
