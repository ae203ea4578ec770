package codec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/odradek/odradek/record"
)

// CodeTaskUnreadable is the code of a dead letter that a worker has reported: a record of a
// task topic that names no task.
const CodeTaskUnreadable = "task_unreadable"

// TaskPlace is where a task record lies.
type TaskPlace struct {
	Service   string
	Partition int32
	Offset    int64
}

// String is the place as header od-dl-task has it.
func (p TaskPlace) String() string {
	return fmt.Sprintf("%s/%d/%d", p.Service, p.Partition, p.Offset)
}

// ParseTaskPlace is the inverse of String.
func ParseTaskPlace(s string) (p TaskPlace, err error) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 || parts[0] == "" {
		return p, fmt.Errorf("%q is no task record's place, such as payment/3/17: service, partition and offset", s)
	}
	n, err1 := strconv.ParseInt(parts[1], 10, 32)
	offset, err2 := strconv.ParseInt(parts[2], 10, 64)
	if err1 != nil || err2 != nil || n < 0 || offset < 0 {
		return p, fmt.Errorf("%q is no task record's place, such as payment/3/17: service, partition and offset", s)
	}
	return TaskPlace{parts[0], int32(n), offset}, nil
}

// EncodeUnreadable makes the event with which a worker reports a task record that it cannot
// read, whole as far as it fits. The caller sets the partition.
func EncodeUnreadable(at TaskPlace, raw record.Raw, reason string) record.Output {
	d := fitDeadLetter(&record.DeadLetterRow{Reason: reason, Raw: raw})
	w := newHeaders(len(d.Raw.Headers)+3, len(d.Reason)+len(at.Service)+60)
	w.hs = append(w.hs, d.Raw.Headers...)
	w.text(HeaderTaskPlace, at.String())
	w.text(HeaderDeadLetterReason, d.Reason)
	w.text(HeaderEvent, EventUnreadable)
	return record.Output{Topic: record.TopicEvents, Key: d.Raw.Key, Value: d.Raw.Value, Headers: w.hs}
}

// decodeUnreadable gives the record as it was, with its place, and why it is a dead letter.
func decodeUnreadable(r *record.Record, w *wire) {
	at, err := ParseTaskPlace(string(w.taskPlace))
	if err != nil {
		r.Body = bad(CodeOriginInvalid, "header %s: %v", HeaderTaskPlace, err)
		return
	}
	r.Raw.Headers = withoutLast(withoutLast(r.Raw.Headers, HeaderEvent), HeaderDeadLetterReason)
	r.Body = bad(CodeTaskUnreadable, "a worker of service %s cannot read the record in partition %d of its task topic at offset %d, which names no task: %s", at.Service, at.Partition, at.Offset, strings.ToValidUTF8(string(w.letterReason), "\uFFFD"))
}

// withoutLast drops the last header of a key, which is the one that counts.
func withoutLast(hs []record.Header, key string) []record.Header {
	for i := len(hs) - 1; i >= 0; i-- {
		if hs[i].Key == key {
			return append(slices.Clone(hs[:i]), hs[i+1:]...)
		}
	}
	return hs
}

// EncodeTaskAgain sends a task record to its topic once more that was a dead letter.
func EncodeTaskAgain(at TaskPlace, raw *record.Raw) record.Output {
	return record.Output{Topic: record.TopicTasks, Service: at.Service, Partition: at.Partition, Key: raw.Key, Value: raw.Value, Headers: withoutLast(raw.Headers, HeaderTaskPlace)}
}

// TaskPlaceOf is where the record of a dead letter with CodeTaskUnreadable lay.
func TaskPlaceOf(hs []record.Header) (TaskPlace, error) {
	w := readHeaders(hs)
	return ParseTaskPlace(string(w.taskPlace))
}
