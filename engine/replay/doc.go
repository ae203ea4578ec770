// Package replay runs author code against a history, in a coroutine.
//
// A Live is a run whose code is parked where it waits. Turn gives it one input
// event: the code runs until it waits again or ends, and what it asked for are the
// turn's decisions. Rebuild makes a Live of a history: the same code, given the same
// inputs in the same order, must ask for the same decisions, which are then answered
// from the history instead of being carried out.
//
//	Turn     input event ---> code runs ---> decisions
//	Rebuild  input event ---> code runs ---> decisions == the history's, else stuck
//
// Invariants, cited by number in code and tests:
//
//	R1  Live turn by turn and Rebuild of any prefix leave the code in the same place:
//	    they give the same decisions for whatever follows.
//	R2  Number, time, randomness and IDs come from the history's events, never from a
//	    counter that outlives a turn (T1, T3).
//	R3  Author code that panics, ends its goroutine, asks for too much, differs from
//	    its history or uses its Context from elsewhere gives a *StuckError and nothing
//	    else: the caller's goroutine goes on (C1, C3).
//	R4  After Drop nothing that the code still does is seen: it leaves by Goexit, its
//	    Context records nothing, its logger is silent (C1).
//
// The package does no I/O and knows no clock. It never changes a run's state:
// decisions become history elsewhere.
package replay
