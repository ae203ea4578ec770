package topology

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/odradek/odradek/record"
)

// Table maps slots to partitions. It is a row of <ns>.control and a hint for
// senders: a partition's own rows say what it owns (S1).
type Table struct {
	Version    uint64
	Partitions int32
	owner      [Slots]int32
}

// TableZero is the first table of n partitions: each has one range of slots.
func TableZero(n int32) *Table {
	t := &Table{Partitions: n}
	for s := range t.owner {
		t.owner[s] = int32(int64(s) * int64(n) / Slots)
	}
	return t
}

// Partition is where the records of a workflow ID go.
func (t *Table) Partition(workflowID string) int32 { return t.owner[Slot(workflowID)] }

// Owner is the partition of a slot.
func (t *Table) Owner(slot uint16) int32 { return t.owner[slot] }

// Ownership is the row with which partition p starts.
func (t *Table) Ownership(p int32) record.OwnershipRow {
	row := record.OwnershipRow{Version: t.Version}
	for _, r := range t.ranges() {
		if r.Partition == p {
			row.Owned = append(row.Owned, record.SlotRange{First: r.First, Last: r.Last})
		}
	}
	return row
}

type tableRange struct {
	First     uint16 `json:"first"`
	Last      uint16 `json:"last"`
	Partition int32  `json:"partition"`
}

func (t *Table) ranges() (rs []tableRange) {
	for s := range t.owner {
		if n := len(rs); n > 0 && rs[n-1].Partition == t.owner[s] {
			rs[n-1].Last = uint16(s)
			continue
		}
		rs = append(rs, tableRange{uint16(s), uint16(s), t.owner[s]})
	}
	return rs
}

type tableJSON struct {
	Version    uint64       `json:"version"`
	Partitions int32        `json:"partitions"`
	Slots      []tableRange `json:"slots"`
}

// MarshalJSON writes the table as ranges of slots.
func (t *Table) MarshalJSON() ([]byte, error) {
	return json.Marshal(tableJSON{t.Version, t.Partitions, t.ranges()})
}

// UnmarshalJSON reads what MarshalJSON wrote; a table that does not give each slot
// to exactly one of its partitions is refused.
func (t *Table) UnmarshalJSON(b []byte) error {
	var j tableJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return fmt.Errorf("slot table: %w", err)
	}
	slices.SortFunc(j.Slots, func(a, b tableRange) int { return int(a.First) - int(b.First) })
	next := 0
	for _, r := range j.Slots {
		if int(r.First) != next || r.Last < r.First || int(r.Last) >= Slots || r.Partition < 0 || r.Partition >= j.Partitions {
			return fmt.Errorf("slot table of version %d: slots %d to %d of partition %d do not follow slot %d, or the partition is not one of %d", j.Version, r.First, r.Last, r.Partition, next-1, j.Partitions)
		}
		for s := int(r.First); s <= int(r.Last); s++ {
			t.owner[s] = r.Partition
		}
		next = int(r.Last) + 1
	}
	if next != Slots {
		return fmt.Errorf("slot table of version %d ends at slot %d of %d", j.Version, next-1, Slots-1)
	}
	t.Version, t.Partitions = j.Version, j.Partitions
	return nil
}
