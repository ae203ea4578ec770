// Package integration runs the built binaries against a real Kafka, as the gate
// does: `make integration`. Without Java or Maven its tests are left out, unless
// ODRADEK_REQUIRE_KAFKA=1. The long drills are in its folder drill.
package integration
