package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/odradek/odradek/record"
)

// rowFormat is the version of all row formats, the first byte of every row (K4).
const rowFormat = 1

var (
	// ErrFormatNewer is returned for rows in a format that this binary does not know
	// yet (K4). The fix is a newer binary; nothing must be dropped because of it.
	ErrFormatNewer = errors.New("codec: written in a newer format than this binary reads; run the newer release")
	// ErrMalformed is returned for keys and rows that no version has written so:
	// damage, or another writer.
	ErrMalformed = errors.New("codec: malformed")
)

func appendBytes[T ~string | ~[]byte](dst []byte, v T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(v)))
	return append(dst, v...)
}

func appendMillis(dst []byte, m record.Millis) []byte { return binary.AppendVarint(dst, int64(m)) }

// reader reads what the append functions wrote. The first fault stays in err, and
// everything after it reads as zero.
type reader struct {
	b   []byte
	err error
}

// newReader checks and skips the format version.
func newReader(b []byte) reader {
	r := reader{b: b}
	switch v := r.byte(); {
	case r.err != nil:
	case v > rowFormat:
		r.err = fmt.Errorf("format %d, this binary reads up to %d: %w", v, rowFormat, ErrFormatNewer)
	case v == 0:
		r.fail("format version")
	}
	return r
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s, with %d bytes left", ErrMalformed, what, len(r.b))
	}
	r.b = nil
}

// end reports the first fault, or bytes that nobody asked for.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("bytes after the end")
	}
	return r.err
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail("a byte is missing")
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) bool() bool {
	switch r.byte() {
	case 0:
		return false
	case 1:
		return true
	}
	r.fail("a flag is neither 0 nor 1")
	return false
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail("a number is cut or too large")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint32() uint32 {
	v := r.uvarint()
	if v > math.MaxUint32 {
		r.fail("a number exceeds 32 bits")
		return 0
	}
	return uint32(v)
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail("a number is cut or too large")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int32() int32 {
	v := r.varint()
	if v < math.MinInt32 || v > math.MaxInt32 {
		r.fail("a number exceeds 32 bits")
		return 0
	}
	return int32(v)
}

func (r *reader) millis() record.Millis { return record.Millis(r.varint()) }

func (r *reader) duration() time.Duration { return time.Duration(r.varint()) }

func (r *reader) uint64() uint64 {
	if len(r.b) < 8 {
		r.fail("8 bytes are missing")
		return 0
	}
	v := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *reader) runID() (id record.RunID) {
	if len(r.b) < len(id) {
		r.fail("a run ID is cut")
		return id
	}
	copy(id[:], r.b)
	r.b = r.b[len(id):]
	return id
}

// bytes aliases the input; nothing is nil.
func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail("a text or payload is cut")
		return nil
	}
	if n == 0 {
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// string is a copy.
func (r *reader) string() string { return string(r.bytes()) }

// count reads how many items follow, each of at least itemMin bytes: more than
// fit are not allocated for (K1).
func (r *reader) count(itemMin int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/itemMin) {
		r.fail("a count exceeds what follows")
		return 0
	}
	return int(n)
}

func appendFailure(dst []byte, f *record.Failure) []byte {
	dst = appendBytes(dst, f.Kind)
	dst = appendBytes(dst, f.Code)
	dst = appendBytes(dst, f.Message)
	dst = appendBool(dst, f.Retryable)
	dst = binary.AppendVarint(dst, int64(f.RetryAfter))
	dst = binary.AppendVarint(dst, int64(f.HTTPStatus))
	return appendBytes(dst, f.Problem)
}

func (r *reader) failure() record.Failure {
	return record.Failure{
		Kind: r.string(), Code: r.string(), Message: r.string(), Retryable: r.bool(),
		RetryAfter: r.duration(), HTTPStatus: int(r.varint()), Problem: r.bytes(),
	}
}

func failureLen(f *record.Failure) int {
	return 40 + len(f.Kind) + len(f.Code) + len(f.Message) + len(f.Problem)
}

func appendBool(dst []byte, v bool) []byte {
	if v {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendAttempts(dst []byte, as []record.Attempt) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(as)))
	for i := range as {
		dst = binary.AppendUvarint(dst, uint64(as[i].No))
		dst = appendMillis(dst, as[i].At)
		dst = appendFailure(dst, &as[i].Failure)
	}
	return dst
}

func (r *reader) attempts() []record.Attempt {
	n := r.count(9)
	if n == 0 {
		return nil
	}
	as := make([]record.Attempt, 0, n)
	for range n {
		as = append(as, record.Attempt{No: r.uint32(), At: r.millis(), Failure: r.failure()})
	}
	return as
}

func attemptsLen(as []record.Attempt) (n int) {
	for i := range as {
		n += 20 + failureLen(&as[i].Failure)
	}
	return n + 10
}

func appendPolicy(dst []byte, p record.RetryPolicy) []byte {
	if p.IsZero() {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	dst = binary.AppendVarint(dst, int64(p.Initial))
	dst = binary.AppendVarint(dst, int64(p.Max))
	dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(p.Multiplier))
	dst = binary.AppendUvarint(dst, uint64(p.MaxAttempts))
	dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(p.Jitter))
	return appendBytes(dst, p.NonRetryable)
}

func (r *reader) policy() (p record.RetryPolicy) {
	if !r.bool() {
		return p
	}
	return record.RetryPolicy{
		Initial: r.duration(), Max: r.duration(),
		Multiplier: math.Float64frombits(r.uint64()), MaxAttempts: r.uint32(),
		Jitter: math.Float64frombits(r.uint64()), NonRetryable: r.string(),
	}
}

// What a task has of limits, in the byte before them.
const (
	limitsOfTime = 1 << iota
	limitsByKey
)

// appendLimits appends the limits of a task's time and its key of limits.
func appendLimits(dst []byte, l record.TaskLimits, key string) []byte {
	has := byte(0)
	if !l.IsZero() {
		has |= limitsOfTime
	}
	if key != "" {
		has |= limitsByKey
	}
	dst = append(dst, has)
	if has&limitsOfTime != 0 {
		for _, d := range [...]time.Duration{l.Queued, l.Attempt, l.Total, l.Heartbeat} {
			dst = binary.AppendVarint(dst, int64(d))
		}
	}
	if has&limitsByKey != 0 {
		dst = appendBytes(dst, key)
	}
	return dst
}

func (r *reader) limits() (l record.TaskLimits, key string) {
	has := r.byte()
	if has&^(limitsOfTime|limitsByKey) != 0 {
		r.fail("a byte of limits")
		return l, ""
	}
	if has&limitsOfTime != 0 {
		l = record.TaskLimits{Queued: r.duration(), Attempt: r.duration(), Total: r.duration(), Heartbeat: r.duration()}
	}
	if has&limitsByKey != 0 {
		key = r.string()
	}
	return l, key
}

func appendPosition(dst []byte, p record.Position) []byte {
	dst = binary.AppendVarint(dst, p.Offset)
	return binary.AppendVarint(dst, int64(p.LeaderEpoch))
}

func (r *reader) position() record.Position {
	return record.Position{Offset: r.varint(), LeaderEpoch: r.int32()}
}

func appendHeaders(dst []byte, hs []record.Header) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(hs)))
	for i := range hs {
		dst = appendBytes(dst, hs[i].Key)
		dst = appendBytes(dst, hs[i].Value)
	}
	return dst
}

func (r *reader) headers() []record.Header {
	n := r.count(2)
	if n == 0 {
		return nil
	}
	// A header in memory is twenty times its shortest form: grow instead (K1).
	hs := make([]record.Header, 0, min(n, 16))
	for range n {
		hs = append(hs, record.Header{Key: r.string(), Value: r.bytes()})
	}
	return hs
}

// appendOptionalBytes keeps nil apart from empty.
func appendOptionalBytes(dst, v []byte) []byte {
	return appendBytes(appendBool(dst, v != nil), v)
}

func (r *reader) optional() []byte {
	there := r.bool()
	v := r.bytes()
	if !there {
		return nil
	}
	return append([]byte{}, v...)
}

// rest is everything that is left.
func (r *reader) rest() []byte {
	v := r.b
	r.b = nil
	return v
}
