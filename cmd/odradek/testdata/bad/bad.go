// Package bad does what workflow code must not.
package bad

import (
	"time"

	"github.com/odradek/odradek/workflow"
)

// Run waits by the machine's clock.
func Run(ctx workflow.Context, m map[string]int) (sum int) {
	time.Sleep(1)
	for _, n := range m {
		sum += n
	}
	for _, n := range m { //odradek:allow the order of a sum does not matter
		sum += n
	}
	_ = workflow.Now(ctx)
	return sum
}
