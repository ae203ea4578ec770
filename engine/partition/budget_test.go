//go:build !race

package partition

import (
	"runtime"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/odradek/odradek/statestore"
)

// stepAllocsMax is what the four inputs of a chain of three tasks may allocate in the step:
// decoding them, the turns of its code, the history events, the rows and the outputs.
const stepAllocsMax = 110

// TestStepBudget is not parallel: it counts the allocations of the process. The race detector
// makes pools forget, so it is left out there.
func TestStepBudget(t *testing.T) {
	c := newChains(t, statestore.Config{Dir: "store", FS: vfs.NewMem()})
	for range 100 { // until chains are in every phase of their lives
		c.settle(c.step())
	}
	const rounds = 200
	var steps float64
	for range rounds {
		var b *Batch
		steps += allocations(func() { b = c.step() })
		c.settle(b)
	}
	perChain := steps / (rounds * chainsBatch / 4)
	if perChain > stepAllocsMax {
		t.Errorf("the step allocates %.1f times a chain, at most %d are allowed", perChain, stepAllocsMax)
	} else {
		t.Logf("the step allocates %.1f times a chain", perChain)
	}
}

// allocations is testing.AllocsPerRun for what cannot be run twice.
func allocations(f func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs - before.Mallocs)
}
