// Package system runs a deployment as an operator would, from the built binaries:
// engines, service workers, topics, and beside them the billing APIs with their
// ledgers. Tests and drills kill, pause and restart its processes.
package system
