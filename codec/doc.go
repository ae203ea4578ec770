// Package codec turns values into bytes and back: Kafka records with their text
// headers, rows with their keys, chunks of history, and the public JSON of a
// history event.
//
// Invariants, cited by number in code and tests:
//
//	K1  Decoding never panics and never allocates more than a small multiple of what
//	    it is given, whatever the bytes are.
//	K2  Equal values have equal bytes, so that a row that was decoded and encoded
//	    again is the same row.
//	K3  The order of keys is an order of meaning: what belongs to one run is
//	    contiguous, the due index ascends by time, the listing descends by start.
//	K4  Every row begins with the version of its format. A newer one than ours is
//	    ErrFormatNewer and stops the partition: what we cannot read we must not lose.
//	K5  A record from Kafka always decodes, if need be to an Undecodable that says
//	    what, where, why and how to fix it.
//
// Decoded payloads alias the bytes that they were decoded from, which must not
// change afterwards; texts that live longer than a batch (IDs, names) are copies,
// so that a parked run does not hold a fetch buffer in memory. Payloads are copied
// once when a row is encoded.
//
// It never does I/O and knows no clock.
package codec
