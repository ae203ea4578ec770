package codec

import (
	"strconv"
	"strings"

	"github.com/odradek/odradek/record"
)

// forwardLenMax bounds od-fwd: a topic's name and four numbers.
const forwardLenMax = 16 + 4*21

// EncodeForward makes the record that sends r on to the owner of its slot: as it
// came, plus where from and by which version of the table (S1). The caller sets
// the partition. A record that was forwarded before keeps its first origin.
func EncodeForward(r *record.Record, version uint64) record.Output {
	w := newHeaders(len(r.Raw.Headers)+1, forwardLenMax)
	from := ""
	for _, h := range r.Raw.Headers {
		if h.Key == HeaderForward {
			if r.Origin.Topic == record.TopicInternal {
				from = string(h.Value)
			}
			continue
		}
		w.hs = append(w.hs, h)
	}
	topic, partition, offset := r.Origin.Topic.String(), int64(r.Origin.Partition), r.Origin.Offset
	if f, ok := splitForward(from); ok {
		topic, partition, offset = f.topic.String(), int64(f.partition), f.offset
	}
	w.buf = append(w.buf, topic...)
	for _, n := range [...]int64{partition, offset} {
		w.buf = strconv.AppendInt(append(w.buf, '/'), n, 10)
	}
	w.buf = strconv.AppendUint(append(w.buf, '/'), version, 10)
	w.buf = strconv.AppendInt(append(w.buf, '/'), int64(r.Hops)+1, 10)
	w.since(HeaderForward, 0)
	return record.Output{
		Topic: record.TopicInternal, Key: r.Raw.Key, Value: r.Raw.Value, Headers: w.hs, WorkflowID: r.WorkflowID,
	}
}

type forward struct {
	topic     record.Topic
	partition int32
	offset    int64
	version   uint64
	hops      int
}

func splitForward(s string) (f forward, ok bool) {
	if len(s) > forwardLenMax {
		return f, false
	}
	parts := strings.Split(s, "/")
	if len(parts) != 5 {
		return f, false
	}
	switch parts[0] {
	case record.TopicCommands.String():
		f.topic = record.TopicCommands
	case record.TopicEvents.String():
		f.topic = record.TopicEvents
	case record.TopicInternal.String():
		f.topic = record.TopicInternal
	default:
		return f, false
	}
	partition, err1 := strconv.ParseUint(parts[1], 10, 31)
	offset, err2 := strconv.ParseUint(parts[2], 10, 63)
	version, err3 := strconv.ParseUint(parts[3], 10, 64)
	hops, err4 := strconv.ParseUint(parts[4], 10, 16)
	f.partition, f.offset, f.version, f.hops = int32(partition), int64(offset), version, int(hops)
	return f, err1 == nil && err2 == nil && err3 == nil && err4 == nil
}

// parseForward gives the topic that a record on internal came from first.
func parseForward(v []byte) (record.Topic, int, *record.Undecodable) {
	f, ok := splitForward(string(v[:min(len(v), forwardLenMax+1)]))
	if !ok {
		return 0, 0, bad(CodeForwardInvalid, "header %s is %q, not <topic>/<partition>/<offset>/<table version>/<hops>: only engines write internal", HeaderForward, clip(v))
	}
	return f.topic, f.hops, nil
}
