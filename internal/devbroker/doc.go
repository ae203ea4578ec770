// Package devbroker is the broker of `engine dev` and of the demo: franz-go's kfake,
// in this process, with a directory in which its topics outlive it.
//
// It speaks Kafka's protocol with transactions and transaction.version 2, and is
// right for development: no Docker, no Java, no configuration, up in a moment. It
// is no oracle of durability. Its files are whole only after Close, so the process
// that holds it is stopped, never killed, and a directory that was not closed is
// recognised at the next Open and refused: what kfake would make of it is unknown.
//
//	DIR/in-use   locked while a broker has the directory; empty after Close
//	DIR/kafka/   kfake's files
//
// Invariants, cited by number in code and tests:
//
//	D1  One process at a time has a directory.
//	D2  A directory is opened only if it is new, was closed, or is to be reset.
//	D3  It counts as closed only when everything was written.
package devbroker
