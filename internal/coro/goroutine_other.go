//go:build !amd64 && !arm64

package coro

import "runtime"

// goroutine identifies the caller's goroutine: the number in "goroutine 18
// [running]:", which starts at 1. Reading it takes some microseconds.
func goroutine() (id uintptr) {
	var buf [32]byte
	n := runtime.Stack(buf[:], false)
	for _, c := range buf[min(len("goroutine "), n):n] {
		if c < '0' || c > '9' {
			break
		}
		id = id*10 + uintptr(c-'0')
	}
	return id
}
