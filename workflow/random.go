package workflow

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"

	"github.com/odradek/odradek/record"
)

// Rand is a generator of random numbers that are the same in replay (A1). It is
// seeded by the run, the turn and the number of calls of Rand and NewID before this
// one in the turn, so each call gives another sequence. It is not for secrets:
// whoever knows the run ID can compute it.
func Rand(ctx Context) *rand.Rand {
	sum := sha256.Sum256(seed(ctx.enter()))
	return rand.New(rand.NewPCG(binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])))
}

// NewID is a UUID of version 5 (RFC 9562) that is the same in replay (A1) and
// differs between runs, turns and calls. Like Rand, it can be computed by whoever
// knows the run ID.
func NewID(ctx Context) string {
	sum := sha1.Sum(seed(ctx.enter()))
	b := sum[:16]
	b[6] = b[6]&0x0f | 0x50
	b[8] = b[8]&0x3f | 0x80
	var s [36]byte
	at := 0
	for i, n := range []int{4, 2, 2, 2, 6} {
		if i > 0 {
			s[at] = '-'
			at++
		}
		hex.Encode(s[at:], b[:n])
		at, b = at+2*n, b[n:]
	}
	return string(s[:])
}

// seed is the run ID, as the namespace of the UUID, and the moment in the run.
func seed(h Host) []byte {
	run, event, count := h.Seed()
	b := make([]byte, 0, len(record.RunID{})+16)
	b = append(b, run[:]...)
	b = binary.BigEndian.AppendUint64(b, event)
	return binary.BigEndian.AppendUint64(b, count)
}
