// Package partition is the step: it receives one input, advances its run's code,
// and collects what both mean. It is driven by one goroutine, a batch at a time:
// Begin, then Step and StepDue as often as the bounds allow, then Finish, which
// gives the Batch that the lane commits. It does no I/O but reads through a
// machine.View.
//
// Invariants, cited by number in code and tests:
//
//	S-1  A batch sees the state of all batches in flight (P8): the States that they
//	     changed stay in the cache, pinned, until the batch has settled.
//	S-2  A Partition of a discarded batch is closed, and a new one sees the store
//	     only (P7).
//	S-3  A turn is applied as a whole or not at all: author code that panics,
//	     diverges or asks for what cannot be makes its run stuck, and the input waits
//	     in the inbox (T4).
//	S-4  The same inputs at the same times give the same bytes, whatever the cache
//	     holds: a cold run is rebuilt by replay.
//
// It never starts a goroutine, never reads a clock and never talks to Kafka.
package partition
