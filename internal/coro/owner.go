package coro

import (
	"runtime"
	"strings"
	"sync/atomic"
	"unsafe"
)

// owner tells whether the caller is on a certain goroutine. Go has no cheap
// identity of goroutines: their number can only be read out of a stack trace, 2 to
// 10 µs. So owner remembers in which blocks of memory a caller's frame was found on
// the right stack, and asks for the number only in others.
//
// Stacks are made of whole blocks, so two live stacks never share one. A block of
// the right stack may, after that stack has moved, become part of another: then a
// wrong caller can pass. A right one is never refused. This is a help against
// mistakes, not a lock.
type owner struct {
	id     atomic.Uint64
	blocks [4]atomic.Uintptr // frame address >> blockBits; ring
	at     atomic.Uint32
}

const blockBits = 11 // 2 KB, the smallest stack of package runtime

// set makes the caller's goroutine the right one.
func (o *owner) set() { o.id.Store(goroutineID()) }

func (o *owner) is() bool {
	var frame byte
	block := uintptr(unsafe.Pointer(&frame)) >> blockBits
	for i := range o.blocks {
		if o.blocks[i].Load() == block {
			return true
		}
	}
	if goroutineID() != o.id.Load() {
		return false
	}
	o.blocks[o.at.Add(1)%uint32(len(o.blocks))].Store(block)
	return true
}

// goroutineID reads the number in "goroutine 18 [running]:". Numbers start at 1 and
// are not used twice.
func goroutineID() (id uint64) {
	var buf [32]byte
	n := runtime.Stack(buf[:], false)
	for _, c := range buf[min(len("goroutine "), n):n] {
		if c < '0' || c > '9' {
			break
		}
		id = id*10 + uint64(c-'0')
	}
	return id
}

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
