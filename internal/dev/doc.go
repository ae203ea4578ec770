// Package dev keeps the two processes of `engine dev`.
//
//	parent   holds the embedded broker; starts the child, and starts it again
//	child    engine and service worker: may be killed at any moment
//
// Between them is a pipe: the child's standard input. When it ends, because the
// parent wants the child to stop or is gone, the child stops by itself. So no child
// outlives its parent, however that ends.
//
// Invariants, cited by number in code and tests:
//
//	V1  The broker ends by Close, after the child has ended, on every way out of Run.
//	V2  The child keeps its addresses when it is started again.
//	V3  A child that never became ready several times in a row is not started again:
//	    Run ends with what it said last.
package dev
