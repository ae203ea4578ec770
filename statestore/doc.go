// Package statestore keeps the rows of one partition in one Pebble database: the
// settle of a lane, its restore, and what the API reads. Everything in it can be
// made again from Kafka.
//
// Invariants, cited by number in code and tests:
//
//	D1  The Checkpoint is written in the same Pebble batch as the rows that it
//	    covers: whatever a crash leaves is a prefix of the batches, with the
//	    Checkpoint of exactly that prefix. Batches wait a moment and are written
//	    several at once (writebehind.go).
//	D2  Nothing is synced. Lost batches are read from the changelog again.
//	D3  A store that was filled by Apply and one that a Folder filled from the rows
//	    that travel alone have the same Dump, byte for byte.
//	D4  A store whose files were cut, flipped, deleted or swapped is ErrCorrupt or
//	    ErrForeign when it is opened or read, never a state that was not a prefix.
//	    Once seen, the damage is noted in the directory, so that the next Open says
//	    so at once: a damaged store is rebuilt, it never makes a crash loop.
//	D5  A reader sees whole batches.
//
// Witnesses serve D4. Pebble takes a cut manifest for its end, and does not miss a
// log that was deleted: later batches could then stand without earlier ones. So
// each batch carries a row with its number in a ring, and Open wants the last ones
// without a gap.
//
// Apply and a Folder are for one goroutine at a time; readers may be many, at any
// time. It never talks to Kafka and never decides to throw a store away: its
// caller does, with Quarantine.
package statestore
