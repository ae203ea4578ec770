package dev

import "time"

// Kind of an Event.
type Kind string

// Kinds, in the order in which they come first.
const (
	Broker   Kind = "broker"   // the broker listens
	Started  Kind = "started"  // a child was started
	Ready    Kind = "ready"    // it serves its partitions
	Ended    Kind = "ended"    // it has ended and will be started again
	Stopping Kind = "stopping" // Run ends
	Stopped  Kind = "stopped"  // child and broker are closed
)

// Event tells what happened to the processes.
type Event struct {
	Kind   Kind      `json:"event"`
	At     time.Time `json:"at"`
	Kafka  string    `json:"kafka"` // bootstrap address
	HTTP   string    `json:"http"`  // address of the API
	PID    int       `json:"pid,omitempty"`
	Starts int       `json:"starts,omitempty"` // of children, so far
	Reason string    `json:"reason,omitempty"` // why the child has ended
}
