// Bench measures what an engine makes of its machine and its broker:
//
//	bin/bench -row chain-external [-reps 7] [-quick] [-profile DIR]
//	bin/bench -row all
//
// A row starts a real broker (package kafkatest) and warms it up. Most run two sides
// against it in turn, each of three processes: engine, worker and client of this
// product, and the raw loop, which writes the same records with no engine.
// README.md says what a row measures and what it does not, goals.json what it is to
// reach.
//
//	B1 Both sides write the same number of records with the same headers and sizes.
//	   What they wrote is counted from outside, by the broker's offsets and log sizes,
//	   and a difference above a few percent makes the result invalid.
//	B2 The sides take turns within one run on one broker, and who begins alternates;
//	   the ratio is the median of the pairs' ratios.
//	B3 A result counts if every accepted start closed exactly once, as the history
//	   topic tells it afterwards.
//	B4 The processes of this package's binary are roles of it (see main): what is
//	   measured is built from the same source in the same way.
package main
