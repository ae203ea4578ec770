// Package fault lets tests crash the process at a named point and switch a rule of
// the protocol off, to show that a test notices. It does so only in builds with
// the tag odradek_test; in every other build its functions are empty or constant,
// so that the compiler removes them and what they guard.
//
// A test build reads three environment variables, once:
//
//	ODRADEK_FAULT_POINT=after-end:3   SIGKILL to itself when the point is passed the 3rd time
//	ODRADEK_RULES_OFF=early,lso       rules that are not kept
//	ODRADEK_FAULT_CLOCK=-1h           added to the process's clock
//
// Tests that run lanes inside their own process use an Injector instead.
package fault

// Point names a place on an arrow of the commit protocol.
type Point string

// The crash points, in the order in which a lane passes them.
const (
	BeforeOpen   Point = "before-open"    // takeover: before the store is opened
	BeforeInit   Point = "before-init"    // takeover: before id a is initialised
	BetweenInits Point = "between-inits"  // takeover: after a, before b and before c
	AfterInit    Point = "after-init"     // takeover: all ids initialised, end not listed
	AfterList    Point = "after-list"     // takeover: end known, nothing restored
	InRestore    Point = "in-restore"     // takeover: after a part of the tail is in the store
	AfterRestore Point = "after-restore"  // takeover: before input is read
	BeforeBegin  Point = "before-begin"   // a batch is stepped, no transaction is open
	BeforeAdd    Point = "before-add"     // transaction open at the client only
	AfterAdd     Point = "after-add"      // the coordinator has the partitions
	AfterProduce Point = "after-produce"  // records buffered, not flushed
	AfterFlush   Point = "after-flush"    // all records acked
	BeforeEnd    Point = "before-end"     // the batch's turn to commit has come
	AfterEnd     Point = "after-end"      // committed, not in the store
	BeforeSettle Point = "before-settle"  // the same, on the settling side
	AfterSettle  Point = "after-settle"   // in the store, nobody has been told
	AfterReply   Point = "after-reply"    // waiters have been answered
	BeforePurge  Point = "before-purge"   // settled input is about to be deleted
	WorkerResult Point = "worker-result"  // service worker: effect done, result not produced
	WorkerCommit Point = "worker-commit"  // service worker: result produced, offset not committed
	WorkerCalled Point = "worker-calling" // service worker: before the call
)

// Points lists all crash points in the order in which a lane, then a service
// worker, passes them.
func Points() []Point {
	return []Point{
		BeforeOpen, BeforeInit, BetweenInits, AfterInit, AfterList, InRestore, AfterRestore,
		BeforeBegin, BeforeAdd, AfterAdd, AfterProduce, AfterFlush, BeforeEnd, AfterEnd,
		BeforeSettle, AfterSettle, AfterReply, BeforePurge,
		WorkerCalled, WorkerResult, WorkerCommit,
	}
}

// Rule names a rule that a test build can break.
type Rule string

// The rules, by what happens without them.
const (
	Early      Rule = "early"      // the store is written before EndTransaction
	LSO        Rule = "lso"        // takeover takes the last stable offset, from before the fence, as the end
	Rewind     Rule = "rewind"     // an unknown outcome is taken as aborted
	NoOrder    Rule = "noorder"    // Produce(n+1) does not wait for the acks of n
	EndOrder   Rule = "endorder"   // EndTransaction(n+1) does not wait for n
	SkipInit   Rule = "skipinit"   // only id a is initialised
	RevInit    Rule = "revinit"    // ids are initialised from last to first (P1)
	NoAck      Rule = "noack"      // record promises are not looked at (P2)
	Checkpoint Rule = "checkpoint" // the Checkpoint is written outside the batch, before it
	NoDedupe   Rule = "nodedupe"   // a second result of a task counts again (W1)
	FreshKey   Rule = "freshkey"   // every attempt of a task has a key of its own
	OffsetDup  Rule = "offsetdup"  // re-delivered offsets are not dropped (P6)
	DeadLetter Rule = "deadletter" // a dead letter is produced outside the transaction
	WorkerAck  Rule = "workerack"  // a service worker commits its offset before the result
)

// Rules lists all rules.
func Rules() []Rule {
	return []Rule{Early, LSO, Rewind, NoOrder, EndOrder, SkipInit, RevInit, NoAck, Checkpoint, NoDedupe, FreshKey, OffsetDup, DeadLetter, WorkerAck}
}
