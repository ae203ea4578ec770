package engine

import (
	"math"
	"os"
	"runtime/debug"
)

// heapReserveBytes is how much garbage may gather beyond what the collector allows
// by itself, which is as much as there is in use. An engine uses some 30 MB and makes
// a few hundred MB of garbage a second under load: it was collected several times a
// second, and a third of the throughput went with it (measured).
const heapReserveBytes = 128 << 20

// reserveHeap gives memory that is never touched, and so costs address space only:
// the collector takes it for something in use. It must be kept alive. Whoever sets
// GOGC or GOMEMLIMIT decides himself: then it is nil.
func reserveHeap() []byte {
	if os.Getenv("GOGC") != "" || debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return nil
	}
	return make([]byte, heapReserveBytes)
}
