package topology

import "github.com/cespare/xxhash/v2"

// Slots is the number of hash buckets of workflow IDs. It never changes: a slot is
// the first part of every row's key.
const Slots = 16384

// Slot is the bucket of a workflow ID: xxh64(ID) mod Slots.
func Slot(workflowID string) uint16 { return uint16(xxhash.Sum64String(workflowID) % Slots) }

// TaskPartition is where lane p writes the tasks of a service with m task
// partitions (W2): few lanes share one, so that a frozen lane stalls few. Tasks with a
// key of limits go by its hash instead, so that one worker has all of a key.
func TaskPartition(p, m int32, limitKey string) int32 {
	if limitKey != "" {
		return KeyPartition([]byte(limitKey), m)
	}
	return p % m
}
