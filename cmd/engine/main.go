// Engine runs the workflow types of this repository. Copy it, list your own types,
// and build: that is all of an engine of your own.
package main

import (
	"os"

	"github.com/odradek/odradek/engine"
	"github.com/odradek/odradek/workflow"
	"github.com/odradek/odradek/workflows/billing"
	"github.com/odradek/odradek/workflows/food"
	"github.com/odradek/odradek/workflows/order"
	"github.com/odradek/odradek/workflows/ride"
	"github.com/odradek/odradek/workflows/transfer"
)

func main() {
	os.Exit(engine.Main(engine.Config{Workflows: []workflow.Definition{
		billing.Definition, food.Definition, order.Definition, ride.Definition, transfer.Definition,
	}}))
}
