package topology

import "time"

// Active is how many of a service's task partitions get new tasks and carry its limits: the
// first ones. The others drain. Without it, all do (W2).
type Active struct {
	Partitions int32     `json:"partitions"`
	Before     int32     `json:"before"` // how many there were
	At         time.Time `json:"at"`     // of the change
	By         string    `json:"by,omitempty"`
	Reason     string    `json:"reason,omitempty"`
}

// ActiveSettles is how long after a change everybody surely knows it: who follows it looks
// every minute. Until then nobody uses more of a limit than before the change either.
const ActiveSettles = 2 * time.Minute

// Of gives the number for a topic of m partitions.
func (a Active) Of(m int32) int32 {
	if a.Partitions < 1 || a.Partitions > m {
		return m
	}
	return a.Partitions
}
