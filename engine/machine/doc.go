// Package machine is the pure state machine of a run: what a record means for it
// (Receive), what its code's decisions mean (Decide), and how history events
// change it (Apply). It does no I/O and knows no clock, randomness, goroutine or
// channel: the time is an argument, and the same arguments give the same bytes.
//
// Invariants, cited by number in code and tests:
//
//	M1  Apply, the Set and Delete methods and Drop are the only code that changes a
//	    State: the step, takeover and standbys all fold with them.
//	M2  History events are dense from 1; the number of a decision's event is the
//	    decision's ID (T3).
//	M3  What is derived depends on the rows that travel and on nothing else: neither
//	    on how many versions of an overwritten row were seen, nor on where batches
//	    began and ended (F1).
//	M4  A bad or late record is data (a rejection, a dead letter, an ignored
//	    result), never an error.
//	M5  Receive and Decide change nothing: a turn that goes wrong leaves no trace.
//
// It never encodes a row, reads Kafka or runs author code.
package machine
