// Package telemetry turns what the engine and the service worker tell their listeners
// into metrics and log lines, and serves both processes' admin pages. It is the only
// package that knows Prometheus' client.
//
// Metrics are named odradek_<component>_<noun>_<unit>. Labels hold words of this
// program and of its configuration (partition, topic, service, task, reason, code,
// cause), never an ID and never an error's text: those are in the log only. Histograms
// carry no partition. Payloads are in neither.
package telemetry
