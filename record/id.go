package record

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Millis is a moment: milliseconds since the Unix epoch, UTC. Zero means none.
type Millis int64

// Never is later than every moment: the due time of what waits for something
// else than time.
const Never Millis = 1 << 62

// MillisOf cuts t to milliseconds.
func MillisOf(t time.Time) Millis { return Millis(t.UnixMilli()) }

// Time is the moment in UTC.
func (m Millis) Time() time.Time { return time.UnixMilli(int64(m)).UTC() }

// Add moves the moment by d, cut to milliseconds.
func (m Millis) Add(d time.Duration) Millis { return m + Millis(d.Milliseconds()) }

// WorkflowIDBytesMax bounds a workflow ID (F8): it is a key of Kafka records and
// of rows, and stands in every log line of its run.
const WorkflowIDBytesMax = 200

// ErrWorkflowID is wrapped by CheckWorkflowID.
var ErrWorkflowID = errors.New("workflow ID is not valid")

// CheckWorkflowID refuses what F8 refuses: an ID is 1 to 200 bytes of UTF-8
// without control characters.
func CheckWorkflowID(id string) error {
	switch {
	case id == "":
		return fmt.Errorf("%w: it is empty; give 1 to %d bytes of UTF-8", ErrWorkflowID, WorkflowIDBytesMax)
	case len(id) > WorkflowIDBytesMax:
		return fmt.Errorf("%w: it has %d bytes, at most %d are allowed", ErrWorkflowID, len(id), WorkflowIDBytesMax)
	case !utf8.ValidString(id):
		return fmt.Errorf("%w: %q is not UTF-8", ErrWorkflowID, id)
	}
	for _, r := range id {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return fmt.Errorf("%w: %q has the control character %U; remove it", ErrWorkflowID, id, r)
		}
	}
	return nil
}

// RunID names one run. Its first 6 bytes are the time of the run's start in
// milliseconds, so that run IDs sort by age; the rest is a hash of what started
// it. The zero RunID is no run.
type RunID [16]byte

// DeriveRunID is the run ID of the run that the record at origin starts. It is a
// function of its arguments alone, so that a step that is repeated after a
// discarded batch at the same time gives the same bytes.
func DeriveRunID(workflowID string, origin Origin, at Millis) RunID {
	var b [24]byte
	binary.BigEndian.PutUint32(b[0:], uint32(origin.Partition))
	binary.BigEndian.PutUint64(b[4:], uint64(origin.Offset))
	binary.BigEndian.PutUint64(b[12:], uint64(origin.Timestamp))
	b[20] = byte(origin.Topic)
	sum := sha256.Sum256(append(b[:], workflowID...))
	var id RunID
	binary.BigEndian.PutUint64(id[:8], uint64(at)<<16)
	copy(id[6:], sum[:10])
	return id
}

// NextRunID is the run ID of the run that follows another of the same workflow, because
// of that one's history event. It sorts behind it.
func NextRunID(previous RunID, event uint64, at Millis) RunID {
	var b [24]byte
	copy(b[:], previous[:])
	binary.BigEndian.PutUint64(b[16:], event)
	sum := sha256.Sum256(b[:])
	var id RunID
	at = max(at, previous.StartedAt()+1)
	binary.BigEndian.PutUint64(id[:8], uint64(at)<<16)
	copy(id[6:], sum[:10])
	return id
}

// ChildRunID is the run ID of a child, known to its parent before it exists (S4): a
// function of the parent's run, the history event that asks, and that event's time.
func ChildRunID(parent RunID, event uint64, at Millis) RunID { return NextRunID(parent, event, at) }

// StartedAt is the time that is in the run ID.
func (id RunID) StartedAt() Millis { return Millis(binary.BigEndian.Uint64(id[:8]) >> 16) }

// crockford is the alphabet of ULIDs (github.com/ulid/spec), in lower case.
const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// RunIDLen is the length of a run ID as text.
const RunIDLen = 26

// String is the run ID in 26 characters of Crockford's base 32.
func (id RunID) String() string {
	var out [RunIDLen]byte
	hi, lo := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	for i := RunIDLen - 1; i >= 0; i-- {
		out[i] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return string(out[:])
}

// IsZero reports whether id names no run.
func (id RunID) IsZero() bool { return id == RunID{} }

// ParseRunID is the inverse of String.
func ParseRunID(s string) (RunID, error) {
	var hi, lo uint64
	if len(s) != RunIDLen {
		return RunID{}, fmt.Errorf("run ID %q has %d characters, not %d", s, len(s), RunIDLen)
	}
	for i := range len(s) {
		v := strings.IndexByte(crockford, s[i])
		if v < 0 || i == 0 && v > 7 {
			return RunID{}, fmt.Errorf("run ID %q has %q at position %d, which no run ID has there", s, s[i], i+1)
		}
		hi = hi<<5 | lo>>59
		lo = lo<<5 | uint64(v)
	}
	var id RunID
	binary.BigEndian.PutUint64(id[:8], hi)
	binary.BigEndian.PutUint64(id[8:], lo)
	return id, nil
}

// TaskID names one task across attempts: the run and the number of the history
// event that scheduled it. As text ("<run>.<number>") it is the task's
// idempotency key.
type TaskID struct {
	Run RunID
	No  uint64
}

// String is "<run ID>.<number>".
func (t TaskID) String() string { return fmt.Sprintf("%s.%d", t.Run, t.No) }

// ParseTaskID is the inverse of String.
func ParseTaskID(s string) (TaskID, error) {
	run, no, ok := strings.Cut(s, ".")
	if !ok {
		return TaskID{}, fmt.Errorf("task %q is not <run ID>.<number>", s)
	}
	id, err := ParseRunID(run)
	if err != nil {
		return TaskID{}, fmt.Errorf("task %q: %w", s, err)
	}
	var n uint64
	if no == "" || len(no) > 19 {
		return TaskID{}, fmt.Errorf("task %q is not <run ID>.<number>", s)
	}
	for i := range len(no) {
		if no[i] < '0' || no[i] > '9' {
			return TaskID{}, fmt.Errorf("task %q is not <run ID>.<number>", s)
		}
		n = n*10 + uint64(no[i]-'0')
	}
	return TaskID{Run: id, No: n}, nil
}
