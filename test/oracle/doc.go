// Package oracle judges a deployment from outside: by the ledgers of the services
// that it called, by what is committed in its topics, and by its stores once its
// engines have stopped. It shares with the engine only codecs and the fold.
//
//	O1 Ledgers: each customer's month has, at each service, one idempotency key and
//	   one effect.
//	O2 Changelog: each accepted start has one run; the history of each run is dense
//	   from 1, closes each task, timer and run at most once, and opens no number twice.
//	O3 Outputs: no attempt of a task and no history event was committed twice.
//	O4 Stores: each store equals, byte for byte, one that is folded from the
//	   changelog up to its Checkpoint; the newest store of a partition has it all.
//
// Readers are read_committed and drop what they are given a second time.
package oracle
