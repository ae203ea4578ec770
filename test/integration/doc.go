// Package integration runs the built binaries against a real Kafka, as the gate
// does: `make integration`. Without Java or Maven its tests are left out, unless
// ODRADEK_REQUIRE_KAFKA=1. The long drills are in its folder drill.
//
// The tests drive other processes, so that neither the race detector nor a test build
// of this package would see anything: they are not in such builds.
package integration
