package codec

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/odradek/odradek/record"
)

// Keys, of rows in the store and of records on the changelog:
//
//	rows of a run      <slot u16> 'r' <workflow ID> 0 <run 16> <rank u8> <number u64>
//	chunks             <slot u16> 'c' <workflow ID> 0 <run 16> <number u32>
//	command IDs        <slot u16> 'k' <workflow ID> 0 <run 16> <command ID>
//	rows of a partition    FFFF <kind>
//	dead letters           FFFF 'D' <topic u8> <partition u32> <offset u64>
//	workflow types         FFFF 'Y' <type>
//	due index              FFFF 'T' <time u64> <kind u8> <workflow ID> 0 <run 16> <number u64>
//	listing                FFFF 'L' <type> 0 <status u8> <^start u64> <run 16>
//	index of attributes    FFFF 'A' <name> 0 <type u8> <value> <^start u64> <run 16>
//	witnesses              FFFF 'W' <number u32>
//
// Numbers are big-endian, times with the sign bit turned over, so that bytes
// compare as the values do (K3). A workflow ID has no zero byte (F8).

// RowKind says what a row is.
type RowKind uint8

// Kinds of rows.
const (
	RowNone RowKind = iota
	// Rows of a run.
	RowRun
	RowStuck
	RowTask
	RowTimer
	RowSignal
	RowAttempt
	RowInbox
	RowSummary
	RowChild
	RowUpdate
	RowAttributes
	RowChunk
	RowCommand
	// Rows of a partition.
	RowDue
	RowListing
	RowIndex
	RowDeadLetter
	RowOwnership
	RowType
	RowPositions
	RowCheckpoint // stands in the store only
	RowMeta       // stands in the store only
	RowWitness    // stands in the store only
)

// Bytes of keys: never change one.
const (
	slots         = 16384
	slotPartition = 0xFFFF

	groupRun     = 'r'
	groupChunk   = 'c'
	groupCommand = 'k'

	rankRun        = 1
	rankStuck      = 2
	rankTask       = 3
	rankTimer      = 4
	rankSignal     = 5
	rankAttempt    = 6
	rankInbox      = 7
	rankSummary    = 8
	rankChild      = 9
	rankUpdate     = 10
	rankAttributes = 11

	kindDue        = 'T'
	kindListing    = 'L'
	kindIndex      = 'A'
	kindDeadLetter = 'D'
	kindOwnership  = 'O'
	kindType       = 'Y'
	kindPositions  = 'P'
	kindCheckpoint = 'C'
	kindMeta       = 'M'
	kindWitness    = 'W'
)

// Travels reports whether rows of the kind go to the changelog: they are what a
// takeover folds; the others it derives.
func (k RowKind) Travels() bool {
	switch k {
	case RowChunk, RowStuck, RowAttempt, RowInbox, RowSummary, RowDeadLetter, RowOwnership, RowType, RowPositions:
		return true
	}
	return false
}

func rankOf(kind RowKind) byte { return byte(kind-RowRun) + rankRun }

// Key is a decoded key. Fields that the kind lacks are zero.
type Key struct {
	Kind       RowKind
	Slot       uint16 // 0xFFFF: a row of the partition
	WorkflowID string
	Run        record.RunID
	No         uint64 // of a chunk, task, timer, signal, attempt's task, waiting input
	CommandID  string
	Due        record.Due
	Origin     record.Origin // topic, partition and offset of a dead letter
	Type       string        // of a listing entry, or of a workflow type's row
	Status     record.Status
	StartedAt  record.Millis
	Attribute  record.Attribute // of an index entry
}

func slotOf(workflowID string) uint16 { return uint16(xxhash.Sum64String(workflowID) % slots) }

func appendGroup(dst []byte, group byte, workflowID string) []byte {
	dst = binary.BigEndian.AppendUint16(dst, slotOf(workflowID))
	dst = append(dst, group)
	dst = append(dst, workflowID...)
	return append(dst, 0)
}

// AppendRunPrefix appends what the keys of all rows of all runs of a workflow
// begin with, apart from chunks and command IDs.
func AppendRunPrefix(dst []byte, workflowID string) []byte {
	return appendGroup(dst, groupRun, workflowID)
}

// GroupLen is the length of what the key of a row of a run has in common with the
// others of its workflow and sort: rows, chunks or command IDs. Of any other key it is
// the whole length.
func GroupLen(key []byte) int {
	const from = 3 // slot and sort
	if len(key) <= from || binary.BigEndian.Uint16(key) == slotPartition {
		return len(key)
	}
	if i := bytes.IndexByte(key[from:], 0); i >= 0 {
		return from + i + 1
	}
	return len(key)
}

// GroupWorkflow is the workflow ID in the key of a row of a run; nil for any other key. It
// is part of the key.
func GroupWorkflow(key []byte) []byte {
	const from = 3
	if n := GroupLen(key); n < len(key) {
		return key[from : n-1]
	}
	return nil
}

// RunOfKey is the run in the key of a row of a run, or of an entry of the due index, the
// listing or the index of attributes; false for any other key.
func RunOfKey(key []byte) (run record.RunID, ok bool) {
	from := GroupLen(key)
	if from == len(key) && len(key) > 3 {
		switch key[2] {
		case kindDue:
			from = len(key) - 8 - len(run)
		case kindListing, kindIndex:
			from = len(key) - len(run)
		}
	}
	if from < 3 || len(key)-from < len(run) {
		return run, false
	}
	return record.RunID(key[from:]), true
}

// FirstChunk reports whether the key is that of a run's first chunk, and of which run.
func FirstChunk(key []byte) (run record.RunID, ok bool) {
	if len(key) < 3 || key[2] != groupChunk || binary.BigEndian.Uint16(key) == slotPartition {
		return run, false
	}
	n := GroupLen(key)
	if len(key) != n+len(run)+4 || binary.BigEndian.Uint32(key[n+len(run):]) != 1 {
		return run, false
	}
	return record.RunID(key[n:]), true
}

// AppendRowKey appends the key of a row of a run. no is zero for rows of which a
// run has one.
func AppendRowKey(dst []byte, kind RowKind, workflowID string, run record.RunID, no uint64) []byte {
	dst = appendGroup(dst, groupRun, workflowID)
	dst = append(dst, run[:]...)
	dst = append(dst, rankOf(kind))
	return binary.BigEndian.AppendUint64(dst, no)
}

// AppendChunkKey appends the key of a chunk.
func AppendChunkKey(dst []byte, workflowID string, run record.RunID, no uint32) []byte {
	dst = appendGroup(dst, groupChunk, workflowID)
	dst = append(dst, run[:]...)
	return binary.BigEndian.AppendUint32(dst, no)
}

// AppendCommandKey appends the key of a command ID; without a command ID it is
// what the keys of all of the run's command IDs begin with.
func AppendCommandKey(dst []byte, workflowID string, run record.RunID, commandID string) []byte {
	dst = appendGroup(dst, groupCommand, workflowID)
	dst = append(dst, run[:]...)
	return append(dst, commandID...)
}

func appendPartition(dst []byte, kind byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, slotPartition)
	return append(dst, kind)
}

// AppendPartitionKey appends the key of a row that a partition has once, or, for
// RowDue, RowListing, RowDeadLetter, RowType and RowWitness, what the keys of that kind begin with.
func AppendPartitionKey(dst []byte, kind RowKind) []byte {
	switch kind {
	case RowDue:
		return appendPartition(dst, kindDue)
	case RowListing:
		return appendPartition(dst, kindListing)
	case RowIndex:
		return appendPartition(dst, kindIndex)
	case RowDeadLetter:
		return appendPartition(dst, kindDeadLetter)
	case RowOwnership:
		return appendPartition(dst, kindOwnership)
	case RowType:
		return appendPartition(dst, kindType)
	case RowPositions:
		return appendPartition(dst, kindPositions)
	case RowCheckpoint:
		return appendPartition(dst, kindCheckpoint)
	case RowMeta:
		return appendPartition(dst, kindMeta)
	case RowWitness:
		return appendPartition(dst, kindWitness)
	}
	panic(fmt.Sprintf("codec: row kind %d is not a partition's", kind))
}

const signBit = 1 << 63

func appendTime(dst []byte, at record.Millis) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(at)^signBit)
}

// AppendDueKey appends the key of an entry of the due index: in the order of
// machine.CompareDue.
func AppendDueKey(dst []byte, d record.Due) []byte {
	dst = appendPartition(dst, kindDue)
	dst = appendTime(dst, d.At)
	dst = append(dst, byte(d.Kind))
	dst = append(dst, d.WorkflowID...)
	dst = append(dst, 0)
	dst = append(dst, d.Run[:]...)
	return binary.BigEndian.AppendUint64(dst, d.No)
}

// AppendListingPrefix appends what the listing's keys of one type and status
// begin with; with StatusNone, of one type.
func AppendListingPrefix(dst []byte, typ string, status record.Status) []byte {
	dst = appendPartition(dst, kindListing)
	dst = append(dst, typ...)
	dst = append(dst, 0)
	if status == record.StatusNone {
		return dst
	}
	return append(dst, byte(status))
}

// AppendListingPlace appends where a run stands among those of its type and
// status: the newest start first.
func AppendListingPlace(dst []byte, started record.Millis, run record.RunID) []byte {
	dst = binary.BigEndian.AppendUint64(dst, ^(uint64(started) ^ signBit))
	return append(dst, run[:]...)
}

func appendListingKey(dst []byte, r *record.RunRow) []byte {
	dst = AppendListingPrefix(dst, r.Type, r.Status)
	return AppendListingPlace(dst, r.StartedAt, r.Run)
}

// ListingPlaceLen is the length of what AppendListingPlace appends.
const ListingPlaceLen = 8 + len(record.RunID{})

// AppendIndexPrefix appends what the index's keys of one attribute and type begin with.
func AppendIndexPrefix(dst []byte, name string, typ record.AttributeType) []byte {
	dst = appendPartition(dst, kindIndex)
	dst = append(dst, name...)
	return append(dst, 0, byte(typ))
}

// appendIndexKey: a text, which has no zero byte, ends with one.
func appendIndexKey(dst []byte, r *record.RunRow, a *record.Attribute) []byte {
	dst = AppendIndexPrefix(dst, a.Name, a.Type)
	dst = append(dst, a.Value...)
	if a.Type == record.AttributeText {
		dst = append(dst, 0)
	}
	return AppendListingPlace(dst, r.StartedAt, r.Run)
}

// AppendDeadLetterKey appends the key of a dead letter's row.
func AppendDeadLetterKey(dst []byte, o record.Origin) []byte { return appendDeadLetterKey(dst, o) }

func appendDeadLetterKey(dst []byte, o record.Origin) []byte {
	dst = appendPartition(dst, kindDeadLetter)
	dst = append(dst, byte(o.Topic))
	dst = binary.BigEndian.AppendUint32(dst, uint32(o.Partition))
	return binary.BigEndian.AppendUint64(dst, uint64(o.Offset))
}

// AppendTypeKey appends the key of a workflow type's row.
func AppendTypeKey(dst []byte, typ string) []byte {
	return append(appendPartition(dst, kindType), typ...)
}

// DecodeKey is the inverse of all the above. A key of a kind that we do not know
// is ErrFormatNewer (K4).
func DecodeKey(key []byte) (Key, error) {
	k, err := decodeKey(key)
	if err != nil {
		return Key{}, fmt.Errorf("key %x: %w", key[:min(len(key), 64)], err)
	}
	return k, nil
}

func decodeKey(key []byte) (Key, error) {
	if len(key) < 3 {
		return Key{}, fmt.Errorf("%w: shorter than slot and kind", ErrMalformed)
	}
	k := Key{Slot: binary.BigEndian.Uint16(key)}
	kind, r := key[2], reader{b: key[3:]}
	if k.Slot == slotPartition {
		return partitionKey(k, kind, r)
	}
	if k.Slot >= slots {
		return Key{}, fmt.Errorf("%w: slot %d of %d", ErrMalformed, k.Slot, slots)
	}
	switch kind {
	case groupRun, groupChunk, groupCommand:
	default:
		return Key{}, fmt.Errorf("rows of group %q: %w", kind, ErrFormatNewer)
	}
	k.WorkflowID, k.Run = r.terminated(), r.runID()
	if r.err == nil && k.Slot != slotOf(k.WorkflowID) {
		r.fail("the slot is not the workflow ID's")
	}
	switch kind {
	case groupChunk:
		k.Kind, k.No = RowChunk, uint64(r.fixed32())
	case groupCommand:
		k.Kind, k.CommandID = RowCommand, string(r.b)
		if r.b = nil; r.err == nil && k.CommandID == "" {
			r.fail("a command ID is missing")
		}
	default:
		k.Kind, k.No = r.rowOfRun()
	}
	return k, r.end()
}

// rowOfRun reads rank and number.
func (r *reader) rowOfRun() (RowKind, uint64) {
	rank := r.byte()
	switch {
	case r.err != nil:
	case rank > rankAttributes:
		r.err = fmt.Errorf("rows of rank %d: %w", rank, ErrFormatNewer)
	case rank < rankRun:
		r.fail("rank")
	}
	return RowKind(rank-rankRun) + RowRun, r.uint64()
}

// DecodeRowKey reads what follows AppendRunPrefix in the key of a run's row.
func DecodeRowKey(rest []byte) (kind RowKind, run record.RunID, no uint64, err error) {
	r := reader{b: rest}
	run = r.runID()
	kind, no = r.rowOfRun()
	if err := r.end(); err != nil {
		return RowNone, record.RunID{}, 0, fmt.Errorf("key of a run's row %x: %w", rest[:min(len(rest), 64)], err)
	}
	return kind, run, no, nil
}

// AppendWitnessKey appends the key of a witness: what they are for, the store says.
func AppendWitnessKey(dst []byte, no uint32) []byte {
	return binary.BigEndian.AppendUint32(appendPartition(dst, kindWitness), no)
}

func partitionKey(k Key, kind byte, r reader) (Key, error) {
	switch kind {
	case kindDue:
		k.Kind = RowDue
		k.Due.At = record.Millis(r.uint64() ^ signBit)
		k.Due.Kind = record.DueKind(r.byte())
		k.Due.WorkflowID, k.Due.Run, k.Due.No = r.terminated(), r.runID(), r.uint64()
		k.WorkflowID, k.Run, k.No = k.Due.WorkflowID, k.Due.Run, k.Due.No
	case kindListing:
		k.Kind = RowListing
		k.Type, k.Status = r.terminated(), record.Status(r.byte())
		if r.err == nil && k.Status == record.StatusNone {
			r.fail("a listed run without status")
		}
		k.StartedAt = record.Millis(^r.uint64() ^ signBit)
		k.Run = r.runID()
	case kindIndex:
		k.Kind = RowIndex
		k.Attribute.Name, k.Attribute.Type = r.terminated(), record.AttributeType(r.byte())
		if n := len(r.b) - ListingPlaceLen; n >= 0 {
			k.Attribute.Value = append([]byte{}, r.b[:n]...)
			r.b = r.b[n:]
		}
		if v := k.Attribute.Value; k.Attribute.Type == record.AttributeText && len(v) > 0 {
			k.Attribute.Value = v[:len(v)-1]
		}
		k.StartedAt = record.Millis(^r.uint64() ^ signBit)
		k.Run = r.runID()
	case kindType:
		k.Kind, k.Type = RowType, string(r.b)
		if r.b = nil; k.Type == "" {
			r.fail("a workflow type is missing")
		}
	case kindDeadLetter:
		k.Kind = RowDeadLetter
		k.Origin = record.Origin{Topic: record.Topic(r.byte()), Partition: int32(r.fixed32()), Offset: int64(r.uint64())}
	case kindOwnership:
		k.Kind = RowOwnership
	case kindPositions:
		k.Kind = RowPositions
	case kindCheckpoint:
		k.Kind = RowCheckpoint
	case kindMeta:
		k.Kind = RowMeta
	case kindWitness:
		k.Kind, k.No = RowWitness, uint64(r.fixed32())
	default:
		return Key{}, fmt.Errorf("rows of kind %q: %w", kind, ErrFormatNewer)
	}
	return k, r.end()
}

func (r *reader) fixed32() uint32 {
	if len(r.b) < 4 {
		r.fail("4 bytes are missing")
		return 0
	}
	v := binary.BigEndian.Uint32(r.b)
	r.b = r.b[4:]
	return v
}

// terminated reads a text that ends with a zero byte.
func (r *reader) terminated() string {
	n := bytes.IndexByte(r.b, 0)
	if n < 0 {
		r.fail("a text has no end")
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n+1:]
	return s
}
