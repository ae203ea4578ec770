// Package workflow is what authors of workflows import.
//
// A workflow is a Go function that takes a Context and an input and returns a
// result or an error. It may run for minutes or for years: whenever it waits, its
// state is the history of what happened, and after a crash it is run again from the
// start against that history, with every call answered as before. So the function
// must be deterministic. It asks this package for whatever the world may answer
// differently the next time:
//
//	instead of             use
//	time.Now               Now
//	time.Sleep, timers     Sleep, SleepUntil, NewTimer
//	math/rand, uuid.New    Rand, NewID
//	HTTP, SQL, files       a Task, carried out by a service worker
//	a channel from outside a Signal
//	log                    Logger, which is silent while history is replayed
//
// and starts no goroutine, locks no OS thread (the Go runtime ends the process for
// it), uses no channel or mutex to wait, keeps no state in
// package variables, and does not decide by the order of a map.
//
// Tasks and signals are values, declared once as package variables, and named in
// Define. Everything is typed on both sides: a wrong argument or result does not
// compile.
//
//	var (
//		Charge = workflow.NewTask[Order, Receipt]("payment", "charge")
//		Cancel = workflow.NewSignal[Reason]("cancel")
//	)
//
//	func Ship(ctx workflow.Context, o Order) (Receipt, error) {
//		if _, cancelled := Cancel.ReceiveUntil(ctx, workflow.Now(ctx).Add(time.Hour)); cancelled {
//			return Receipt{}, nil
//		}
//		return Charge.Run(ctx, o)
//	}
//
//	var Shipping = workflow.Define("shipping", Ship, Charge, Cancel)
//
// Invariants, cited by number in code and tests:
//
//	A1  What a call gives depends on the history alone, so that it gives the same in
//	    replay.
//	A2  A Context works on its run's own goroutine while its run is under way.
//	    Anything else never reaches the run's history.
//	A3  Payloads are JSON of at most PayloadBytesMax. What is refused for its size
//	    or shape is a typed failure, not a decision.
//
// Host, Open, Awaited and Definition.Execute are the engine's side of a Context:
// authors do not need them.
package workflow
