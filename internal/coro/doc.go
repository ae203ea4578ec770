// Package coro runs a function as a coroutine that whoever holds it can leave at
// any moment, whatever the function does: park, return, panic, call
// runtime.Goexit, or recover from everything.
//
//	        Resume            Await
//	parked --------> running -------> parked
//	   |                |  returns, panics, Goexit
//	   | Stop           +---------------------------> ended
//	   v                | Stop (the holder gave up on it)
//	stopped <-----------+
//
// A switch is one iter.Pull switch: no channel, no scheduler, no allocation.
//
// What must hold:
//
//	K1  Resume never panics and never leaves its goroutine because of the body: how
//	    the body ended is a value.
//	K2  A stopped body sees nothing but runtime.Goexit: Await never returns to it. It
//	    is unwound on a goroutine of its own, because leaving by Goexit ends the
//	    goroutine that asked for it, and because its defers may block for ever.
//	K3  Nobody stops a body that runs: its iterator is not touched until it has
//	    switched back (a body that hangs keeps its goroutine).
//
// It knows nothing of workflows.
package coro
