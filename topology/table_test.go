package topology

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"github.com/odradek/odradek/record"
)

// TestTableZero: each slot has one owner, each partition has slots of about the same
// number, and what the partitions' rows say together is the table (S1).
func TestTableZero(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int32Range(1, 100).Draw(t, "n")
		table := TableZero(n)
		seen := map[uint16]int32{}
		for p := range n {
			row := table.Ownership(p)
			size := 0
			for _, r := range row.Owned {
				for s := int(r.First); s <= int(r.Last); s++ {
					seen[uint16(s)] = p
					size++
				}
			}
			if size < Slots/int(n) || size > Slots/int(n)+1 {
				t.Fatalf("partition %d of %d has %d slots", p, n, size)
			}
		}
		for s := range Slots {
			if p, ok := seen[uint16(s)]; !ok || p != table.Owner(uint16(s)) {
				t.Fatalf("slot %d is of partition %d by the table, of %d (%v) by the rows", s, table.Owner(uint16(s)), p, ok)
			}
		}
		b, err := json.Marshal(table)
		if err != nil {
			t.Fatal(err)
		}
		again := new(Table)
		if err := json.Unmarshal(b, again); err != nil {
			t.Fatal(err)
		}
		if *again != *table {
			t.Fatal("the table is another one after JSON")
		}
	})
}

// TestTableIsRefused: a table that does not give each slot to one partition is no hint.
func TestTableIsRefused(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]string{
		"no JSON":           `{`,
		"empty":             `{}`,
		"gap":               `{"partitions":2,"slots":[{"first":0,"last":100,"partition":0},{"first":102,"last":16383,"partition":1}]}`,
		"overlap":           `{"partitions":2,"slots":[{"first":0,"last":100,"partition":0},{"first":100,"last":16383,"partition":1}]}`,
		"short":             `{"partitions":1,"slots":[{"first":0,"last":16382,"partition":0}]}`,
		"beyond":            `{"partitions":1,"slots":[{"first":0,"last":16384,"partition":0}]}`,
		"backwards":         `{"partitions":1,"slots":[{"first":0,"last":16383,"partition":0},{"first":5,"last":4,"partition":0}]}`,
		"unknown partition": `{"partitions":1,"slots":[{"first":0,"last":16383,"partition":1}]}`,
		"negative":          `{"partitions":1,"slots":[{"first":0,"last":16383,"partition":-1}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := new(Table).UnmarshalJSON([]byte(b)); err == nil || !strings.Contains(err.Error(), "slot table") {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestSlot: the hash is part of every key on every disk and in every sender. It was
// computed with another implementation of XXH64.
func TestSlot(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]uint16{"": 0xef46db3751d8e999 % Slots, "a": 0xd24ec4f1a98c6e5b % Slots, "abc": 0x44bc2cf5ad770999 % Slots} {
		if got := Slot(id); got != want {
			t.Errorf("Slot(%q) is %d, want %d", id, got, want)
		}
	}
}

// TestTaskPartitionByKey: by the key of limits and nothing else, as Kafka's clients do it.
func TestTaskPartitionByKey(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"a", "customer-7", "\u00e9"} {
		want := KeyPartition([]byte(key), 5)
		for p := range int32(24) {
			if got := TaskPartition(p, 5, key); got != want {
				t.Errorf("lane %d writes %q to %d, want %d", p, key, got, want)
			}
		}
	}
}

func TestTaskPartition(t *testing.T) {
	t.Parallel()
	for p, want := range []int32{0, 1, 2, 0, 1, 2} {
		if got := TaskPartition(int32(p), 3, ""); got != want {
			t.Errorf("lane %d writes to task partition %d, want %d (W2)", p, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	n := Names{"ns"}
	for got, want := range map[string]string{
		n.Topic(record.TopicCommands): "ns.commands", n.Topic(record.TopicDeadLetters): "ns.dead-letters", n.Tasks("pay"): "ns.tasks.pay",
		n.Group(): "ns.engine", n.ServiceGroup("pay"): "ns.pay", n.TransactionalID(7, 0): "ns.7.a", n.TransactionalID(7, 2): "ns.7.c",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestCheckName: what passes is the name of a topic, a file and a label.
func TestCheckName(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.StringN(0, 5, 300), rapid.StringMatching(`[a-zA-Z0-9._/\\ -]{0,110}`)).Draw(t, "name")
		bad := name == "" || len(name) > 100 || name[0] == '.' || strings.Contains(name, "..") ||
			strings.ContainsFunc(name, func(r rune) bool {
				return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-", r)
			})
		if err := CheckName("service", name); (err != nil) != bad {
			t.Fatalf("CheckName(%q) is %v", name, err)
		}
	})
}
