package codec

import (
	"strconv"

	"github.com/odradek/odradek/record"
)

// DeadLetterBytesMax bounds what a dead letter keeps of a record, so that it fits
// into max.message.bytes of our topics (F5) with its reason. Only a record that
// its sender compressed, or that fills the limit to the brim, exceeds it.
const DeadLetterBytesMax = 1 << 20

// reasonBytesMax bounds a reason; ours are far below.
const reasonBytesMax = 8 << 10

// EncodeDeadLetter makes the record that exports a dead letter: the original
// key, value and headers, and why. The caller sets the partition.
func EncodeDeadLetter(d *record.DeadLetterRow) record.Output {
	d = fitDeadLetter(d)
	w := newHeaders(len(d.Raw.Headers)+4, len(d.Code)+len(d.Reason)+80)
	w.hs = append(w.hs, d.Raw.Headers...)
	w.text(HeaderDeadLetterCode, d.Code)
	w.text(HeaderDeadLetterReason, d.Reason)
	from := len(w.buf)
	w.buf = append(w.buf, d.Origin.Topic.String()...)
	w.buf = strconv.AppendInt(append(w.buf, '/'), int64(d.Origin.Partition), 10)
	w.buf = strconv.AppendInt(append(w.buf, '/'), d.Origin.Offset, 10)
	w.since(HeaderDeadLetterOrigin, from)
	w.number(HeaderDeadLetterAt, uint64(d.At))
	return record.Output{Topic: record.TopicDeadLetters, Key: d.Raw.Key, Value: d.Raw.Value, Headers: w.hs}
}

func rawLen(r *record.Raw) int {
	n := len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += 8 + len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return n
}

func deadLetterLen(d *record.DeadLetterRow) int {
	return 64 + len(d.Code) + len(d.Reason) + rawLen(&d.Raw)
}

// fitDeadLetter cuts a dead letter that no topic of ours could take: first its
// value, then its headers, then its key. What is cut says so in od-dl-cut.
func fitDeadLetter(d *record.DeadLetterRow) *record.DeadLetterRow {
	total := rawLen(&d.Raw)
	if total <= DeadLetterBytesMax && len(d.Reason) <= reasonBytesMax {
		return d
	}
	cut := *d
	cut.Reason = cut.Reason[:min(len(cut.Reason), reasonBytesMax)]
	if total <= DeadLetterBytesMax {
		return &cut
	}
	const note = 64 // for od-dl-cut itself
	others := total - len(d.Raw.Value)
	if others > DeadLetterBytesMax-note {
		cut.Raw.Headers = nil
		cut.Raw.Key = d.Raw.Key[:min(len(d.Raw.Key), DeadLetterBytesMax/2)]
		others = len(cut.Raw.Key)
	}
	cut.Raw.Value = d.Raw.Value[:min(len(d.Raw.Value), DeadLetterBytesMax-note-others)]
	cut.Raw.Headers = append(cut.Raw.Headers[:len(cut.Raw.Headers):len(cut.Raw.Headers)],
		record.Header{Key: HeaderDeadLetterCut, Value: strconv.AppendInt(nil, int64(total), 10)})
	return &cut
}
