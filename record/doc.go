// Package record holds the nouns of Odradek as plain values: what travels on
// Kafka, what a history is made of, what a row says. It has no behaviour beyond
// naming and comparing, imports the standard library only, and is imported by
// everything else.
//
// Bytes in these values are owned by whoever made them and are not changed
// afterwards by anybody: a value decoded from a fetched record aliases the fetch
// buffer, which is immutable.
package record
