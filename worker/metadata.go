package worker

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// The metadata of a commit (W3) is ASCII, because Kafka keeps it as a string and
// tools print it:
//
//	od1.<base64url without padding of>
//	  uvarint  announced - watermark
//	  uvarint  number of spans
//	  { uvarint unfinished, uvarint finished }   lengths in offsets, from the watermark on
//	  { uvarint offset - previous, uvarint starts }   until the end, from the watermark on
//
// Metadata of anybody else (an operator's reset, another client) reads as none.
const (
	metadataPrefix = "od1."

	// metadataBytesMax is offset.metadata.max.bytes, 4096 unless a broker says
	// otherwise; what is longer fails the commit.
	metadataBytesMax = 4096

	// metadataRawMax is what fits of it before base64: 3 bytes in 4 characters.
	metadataRawMax = (metadataBytesMax - len(metadataPrefix)) / 4 * 3

	// metadataPerOpen is what one more open record usually adds: it ends a finished
	// span and begins another.
	metadataPerOpen = 2
)

// span is the offsets from From up to and without To.
type span struct{ From, To int64 }

// startCount says how often a redelivered record was started.
type startCount struct {
	Offset int64
	Starts uint32
}

// progress is what a commit says beside its offset, the watermark, below which
// everything is finished.
type progress struct {
	// Finished offsets beyond the watermark: ascending, disjoint, not adjacent.
	Finished []span
	// Announced: records below it may have been started, those from it on have not.
	Announced int64
	// Starts of redelivered records that are not finished; ascending by offset.
	Starts []startCount
}

// encodeProgress gives the metadata of a commit at watermark and the number of
// bytes before base64. What does not fit is left out: first spans from the far end
// (their records run once more, with the same key), then counts.
func encodeProgress(watermark int64, p progress) (metadata string, size int) {
	starts := binary.AppendUvarint(nil, uint64(max(0, p.Announced-watermark)))
	var counts []byte
	at := watermark
	for _, c := range p.Starts {
		counts = binary.AppendUvarint(counts, uint64(c.Offset-at))
		counts = binary.AppendUvarint(counts, uint64(c.Starts))
		at = c.Offset
	}
	var spans []byte
	n, end := 0, 0 // spans that fit and where they end
	at = watermark
	room := metadataRawMax - len(starts) - binary.MaxVarintLen32 - len(counts)
	for _, s := range p.Finished {
		spans = binary.AppendUvarint(spans, uint64(s.From-at))
		spans = binary.AppendUvarint(spans, uint64(s.To-s.From))
		at = s.To
		if len(spans) <= room {
			n, end = n+1, len(spans)
		}
	}
	size = len(starts) + binary.MaxVarintLen32 + len(spans) + len(counts)
	raw := append(starts, binary.AppendUvarint(nil, uint64(n))...)
	raw = append(raw, spans[:end]...)
	if len(raw)+len(counts) <= metadataRawMax {
		raw = append(raw, counts...)
	}
	return metadataPrefix + base64.RawURLEncoding.EncodeToString(raw), size
}

var errMetadata = errors.New("commit metadata is damaged")

// decodeProgress is the inverse. Metadata that is not ours reads as no progress
// beyond the watermark, without an error.
func decodeProgress(watermark int64, metadata string) (progress, error) {
	none := progress{Announced: watermark}
	if len(metadata) < len(metadataPrefix) || metadata[:len(metadataPrefix)] != metadataPrefix {
		return none, nil
	}
	if len(metadata) > metadataBytesMax {
		return none, fmt.Errorf("%w: %d bytes, at most %d", errMetadata, len(metadata), metadataBytesMax)
	}
	raw, err := base64.RawURLEncoding.DecodeString(metadata[len(metadataPrefix):])
	if err != nil {
		return none, fmt.Errorf("%w: %w", errMetadata, err)
	}
	r := varints{b: raw}
	p := progress{Announced: r.add(watermark)}
	n := r.next()
	if n > uint64(len(raw)) {
		return none, fmt.Errorf("%w: %d spans in %d bytes", errMetadata, n, len(raw))
	}
	at := watermark
	for range n {
		from := r.add(at)
		at = r.add(from)
		if r.bad || at <= from || len(p.Finished) > 0 && from == p.Finished[len(p.Finished)-1].To {
			return none, fmt.Errorf("%w: span %d", errMetadata, len(p.Finished)+1)
		}
		p.Finished = append(p.Finished, span{from, at})
	}
	at = watermark
	for len(r.b) > 0 && !r.bad {
		at = r.add(at)
		starts := r.next()
		if starts == 0 || starts > math.MaxUint32 || len(p.Starts) > 0 && at <= p.Starts[len(p.Starts)-1].Offset {
			r.bad = true
			break
		}
		p.Starts = append(p.Starts, startCount{at, uint32(starts)})
	}
	if r.bad {
		return none, fmt.Errorf("%w: it ends in the middle or counts beyond the last offset", errMetadata)
	}
	return p, nil
}

// varints reads unsigned varints; bad stays set after the first that is not one.
type varints struct {
	b   []byte
	bad bool
}

func (r *varints) next() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// add reads a distance from the offset at.
func (r *varints) add(at int64) int64 {
	v := r.next()
	if v > uint64(math.MaxInt64-max(at, 0)) {
		r.bad = true
		return at
	}
	return at + int64(v)
}

// contains reports whether one of the ascending spans holds the offset.
func contains(spans []span, offset int64) bool {
	_, found := slices.BinarySearchFunc(spans, offset, func(s span, o int64) int {
		switch {
		case s.To <= o:
			return -1
		case s.From > o:
			return 1
		}
		return 0
	})
	return found
}
