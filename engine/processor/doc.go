// Package processor runs the lanes of an instance: one per partition that the
// group gives it. A lane takes over, steps what comes, commits it with Kafka
// exactly once, and settles it in the store.
//
// A lane's states. Everything that can go wrong leads to the one recovery there
// is, the takeover:
//
//	        assigned
//	           |
//	           v
//	+----> Opening ----> Fencing ----> Restoring ----> Running ---+
//	|       store      a, then b,     changelog to      step,     |
//	|                  then c (P1)    its end           commit    |
//	|                                                             |
//	|    +-------------------- any doubt -------------------------+
//	|    |                                                        |
//	|    +--> Waiting   pause 50 ms to 5 s ------------+          |
//	|    +--> Fenced    the group must confirm (P3) ---+          |
//	+--------------------------------------------------+          |
//	     +--> Incident  Kafka lost data: an operator decides      |
//	                                                              v
//	     revoked, in any state: batches on their way end ----> Released
//
// The goroutines of a lane:
//
//	lane     takes over, then watches the step (C2); judges how a tenure ended
//	step     owns the step and the queues; it can be abandoned (C3)
//	commit   one per batch on its way, at most three: Begin, Add, Produce, Flush,
//	         EndTransaction, store, each stage behind the same stage of the batch before
//	readers  two: events and internal, commands; they decode ahead
//
// Invariants, cited by number in code and tests beside those of ARCHITECTURE.md:
//
//	L1  The store never leads the changelog: a batch is applied after nil from its
//	    EndTransaction, in batch order, with the Checkpoint in the same write.
//	L2  What is committed is a prefix of the batches that were stepped, and the
//	    changelog has them in that order.
//	L3  Nobody hears of what is not in the store: replies follow the store.
//	L4  A client that is in doubt is closed and never used again (P2).
//	L5  An input is stepped again after a takeover unless the positions row that
//	    covers it was committed; then never.
//
// It never decides what a record means, and trusts neither the group nor the slot
// table: the one thing that makes a write count is the fence of the transactional
// IDs.
package processor
