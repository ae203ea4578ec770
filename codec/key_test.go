package codec

import (
	"bytes"
	"cmp"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
)

func TestKeysBeginWithTheSlotOfTopology(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.String().Draw(t, "workflow")
		if slotOf(id) != topology.Slot(id) {
			t.Fatalf("%q: slot %d here, %d in topology", id, slotOf(id), topology.Slot(id))
		}
	})
}

// TestDueKeysAscendAsDues: K3, over every time, also those before 1970.
func TestDueKeysAscendAsDues(t *testing.T) {
	t.Parallel()
	near := rapid.Custom(func(t *rapid.T) record.Due { // often equal in part
		d := dues.Draw(t, "due")
		if rapid.Bool().Draw(t, "near") {
			d.At = record.Millis(rapid.Int64Range(-1, 1).Draw(t, "at"))
			d.Kind = record.DueTimer
			d.WorkflowID = rapid.SampledFrom([]string{"a", "ab", "a b", "b"}).Draw(t, "id")
		}
		return d
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := near.Draw(t, "a"), near.Draw(t, "b")
		if got, want := bytes.Compare(AppendDueKey(nil, a), AppendDueKey(nil, b)), machine.CompareDue(a, b); got != want {
			t.Fatalf("keys compare %d, entries %d:\n%+v\n%+v", got, want, a, b)
		}
	})
}

// TestListingDescendsByStart: K3.
func TestListingDescendsByStart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := runRows.Draw(t, "a"), runRows.Draw(t, "b")
		b.Type, b.Status = a.Type, a.Status
		want := cmp.Or(cmp.Compare(b.StartedAt, a.StartedAt), bytes.Compare(a.Run[:], b.Run[:]))
		if got := bytes.Compare(appendListingKey(nil, &a), appendListingKey(nil, &b)); got != want {
			t.Fatalf("keys compare %d, want %d", got, want)
		}
	})
}

// TestKeysOfARunAreContiguous: K3. Sorted among those of similar workflows, the
// rows of a run stand together, and a run's older sister before it.
func TestKeysOfARunAreContiguous(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		type owner struct {
			id  string
			run record.RunID
		}
		var keys [][]byte
		owners := map[string]owner{}
		add := func(key []byte, o owner) {
			keys = append(keys, key)
			owners[string(key)] = o
		}
		names := rapid.SampledFrom([]string{"a", "ab", "a ", "b", "a/1", "é"})
		for range rapid.IntRange(2, 6).Draw(t, "runs") {
			o := owner{names.Draw(t, "workflow"), runs.Draw(t, "run")}
			for kind := RowRun; kind <= RowSummary; kind++ {
				add(AppendRowKey(nil, kind, o.id, o.run, numbers.Draw(t, "no")), o)
				add(AppendRowKey(nil, kind, o.id, o.run, numbers.Draw(t, "no")), o)
			}
		}
		slices.SortFunc(keys, bytes.Compare)
		seen := map[owner]bool{}
		var last owner
		for _, key := range keys {
			o := owners[string(key)]
			if o == last {
				continue
			}
			if seen[o] {
				t.Fatalf("rows of %v stand apart", o)
			}
			if o.id == last.id && bytes.Compare(o.run[:], last.run[:]) < 0 {
				t.Fatalf("run %v stands behind a newer one", o)
			}
			seen[o], last = true, o
			kind, run, _, err := DecodeRowKey(key[len(AppendRunPrefix(nil, o.id)):])
			if err != nil || run != o.run || kind != RowRun {
				t.Fatalf("a run's first row is of kind %d (%v)", kind, err)
			}
		}
	})
}

func TestChunkKeysAscendByNumber(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := smalls.Draw(t, "a"), smalls.Draw(t, "b")
		if bytes.Compare(AppendChunkKey(nil, "w", record.RunID{}, a), AppendChunkKey(nil, "w", record.RunID{}, b)) != cmp.Compare(a, b) {
			t.Fatal(a, b)
		}
	})
}

func FuzzDecodeKey(f *testing.F) {
	run := record.RunID{1}
	for _, key := range [][]byte{
		AppendRowKey(nil, RowTask, "w", run, 7), AppendChunkKey(nil, "w", run, 7), AppendCommandKey(nil, "w", run, "c"),
		AppendDueKey(nil, record.Due{At: 5, Kind: 1, WorkflowID: "w", Run: run, No: 3}), appendDeadLetterKey(nil, record.Origin{Topic: 1, Partition: 2, Offset: 3}),
		appendListingKey(nil, &record.RunRow{Type: "t", Status: 1, StartedAt: 9, Run: run}), AppendPartitionKey(nil, RowOwnership), AppendPartitionKey(nil, RowPositions), AppendTypeKey(nil, "t"),
		AppendPartitionKey(nil, RowCheckpoint), AppendPartitionKey(nil, RowMeta), AppendWitnessKey(nil, 3),
	} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key []byte) {
		k, err := DecodeKey(key)
		if err != nil {
			return
		}
		var again []byte
		switch k.Kind {
		case RowChunk:
			again = AppendChunkKey(nil, k.WorkflowID, k.Run, uint32(k.No))
		case RowCommand:
			again = AppendCommandKey(nil, k.WorkflowID, k.Run, k.CommandID)
		case RowDue:
			again = AppendDueKey(nil, k.Due)
		case RowListing:
			again = appendListingKey(nil, &record.RunRow{Type: k.Type, Status: k.Status, StartedAt: k.StartedAt, Run: k.Run})
		case RowDeadLetter:
			again = appendDeadLetterKey(nil, k.Origin)
		case RowType:
			again = AppendTypeKey(nil, k.Type)
		case RowOwnership, RowPositions, RowCheckpoint, RowMeta:
			again = AppendPartitionKey(nil, k.Kind)
		case RowWitness:
			again = AppendWitnessKey(nil, uint32(k.No))
		default:
			again = AppendRowKey(nil, k.Kind, k.WorkflowID, k.Run, k.No)
		}
		if !bytes.Equal(again, key) {
			t.Fatalf("%x became %x (%+v)", key, again, k)
		}
		if run, ok := RunOfKey(key); ok != !k.Run.IsZero() || run != k.Run {
			t.Fatalf("%x is of run %x, %v, not %x", key, run, ok, k.Run)
		}
		id := string(GroupWorkflow(key))
		if k.Slot == slotPartition && id != "" || k.Slot != slotPartition && id != k.WorkflowID {
			t.Fatalf("%x is of workflow %q, not %q", key, id, k.WorkflowID)
		}
		if run, ok := FirstChunk(key); ok != (k.Kind == RowChunk && k.No == 1) || ok && run != k.Run {
			t.Fatalf("%+v: the first chunk is %v of %x", k, ok, run)
		}
	})
}

// TestGroupOfKeys: the rows of a workflow make one group, its chunks another, its
// command IDs a third, and nobody else's key is in them.
func TestGroupOfKeys(t *testing.T) {
	t.Parallel()
	names := rapid.SampledFrom([]string{"a", "ab", "a ", "b", "a/1", "é"})
	group := func(key []byte) string { return string(key[:GroupLen(key)]) }
	rapid.Check(t, func(t *rapid.T) {
		id, other := names.Draw(t, "workflow"), names.Draw(t, "other")
		run, no := runs.Draw(t, "run"), numbers.Draw(t, "no")
		rows := string(AppendRunPrefix(nil, id))
		seen := map[string]bool{}
		for _, key := range [][]byte{
			AppendRowKey(nil, RowRun, id, run, 0), AppendRowKey(nil, RowInbox, id, run, no), []byte(rows), append([]byte(rows), run[:]...),
		} {
			if group(key) != rows {
				t.Fatalf("%x is of group %x, not %x", key, group(key), rows)
			}
		}
		seen[rows] = true
		for _, key := range [][]byte{AppendChunkKey(nil, id, run, uint32(no)), AppendCommandKey(nil, id, run, "c")} {
			if seen[group(key)] || len(group(key)) == len(key) {
				t.Fatalf("%x is of group %x, which others have", key, group(key))
			}
			seen[group(key)] = true
		}
		if key := AppendRowKey(nil, RowRun, other, run, 0); seen[group(key)] != (id == other) {
			t.Fatalf("%q and %q: groups %x and %x", id, other, group(key), rows)
		}
		due := AppendDueKey(nil, record.Due{WorkflowID: id, Run: run, No: no})
		if GroupLen(due) != len(due) || GroupLen(due[:3]) != 3 || GroupLen(nil) != 0 {
			t.Fatalf("the group of a partition's row %x has %d bytes", due, GroupLen(due))
		}
	})
}
