package coro

import (
	"runtime"
	"strings"
)

// callersMax bounds a kept stack: deeper frames are of no help to anyone.
const callersMax = 64

// callers are the caller's frames below the deferred call that it stands in.
func callers() []uintptr {
	pcs := make([]uintptr, callersMax)
	return pcs[:runtime.Callers(3, pcs)]
}

// Callers are the frames of whoever calls the caller, innermost first.
func Callers() []uintptr { return callers() }

// Within reports whether the caller runs inside some coroutine of this package. It
// walks the whole stack: for error paths.
func Within() bool {
	pcs := make([]uintptr, 512)
	for n := runtime.Callers(2, pcs); ; n = runtime.Callers(2, pcs) {
		if n < len(pcs) {
			pcs = pcs[:n]
			break
		}
		pcs = make([]uintptr, 4*len(pcs))
	}
	frames := runtime.CallersFrames(pcs)
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, "internal/coro.(*Coro).seq") {
			return true
		}
		if !more {
			return false
		}
	}
}
