package codec

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/odradek/odradek/record"
)

// TestUnreadableTasks: the record that a worker reports is a dead letter with its bytes, and
// goes back as it was, whatever it had; what is too large says that it was cut.
func TestUnreadableTasks(t *testing.T) {
	t.Parallel()
	at := TaskPlace{"payment", 3, 17}
	for name, raw := range map[string]record.Raw{
		"nothing":       {},
		"a key alone":   {Key: []byte("\xff\x00")},
		"headers":       {Key: []byte("k"), Value: []byte("v"), Headers: hs("x", "1", "x", "2", "od-op", "")},
		"like an event": {Key: []byte("order-1"), Value: []byte("1"), Headers: hs("od-event", "completed", "od-dl-reason", "theirs", "od-v", "99")},
	} {
		out := EncodeUnreadable(at, raw, "header od-op is missing")
		r := Decode(KafkaRecord{Topic: record.TopicEvents, Offset: 5, Key: out.Key, Value: out.Value, Headers: out.Headers})
		bad, ok := r.Body.(*record.Undecodable)
		if !ok || bad.Code != CodeTaskUnreadable || !strings.Contains(bad.Reason, "payment") || !strings.Contains(bad.Reason, "partition 3") || !strings.Contains(bad.Reason, "offset 17") || !strings.Contains(bad.Reason, "od-op is missing") {
			t.Errorf("%s: %+v", name, r.Body)
		}
		place, err := TaskPlaceOf(r.Raw.Headers)
		if err != nil || place != at {
			t.Errorf("%s: it lay at %v, %v", name, place, err)
		}
		again := EncodeTaskAgain(place, &r.Raw)
		got := record.Raw{Key: again.Key, Value: again.Value, Headers: again.Headers}
		if len(got.Headers) == 0 {
			got.Headers = nil
		}
		if d := cmp.Diff(raw, got); d != "" || again.Service != "payment" || again.Partition != 3 || again.Topic != record.TopicTasks {
			t.Errorf("%s: %+v goes back (-want +got):\n%s", name, again, d)
		}
	}
	big := EncodeUnreadable(at, record.Raw{Value: make([]byte, 2<<20)}, "why")
	if n := rawLen(&record.Raw{Key: big.Key, Value: big.Value, Headers: big.Headers}); n > DeadLetterBytesMax+1<<10 || string(readHeaders(big.Headers).taskPlace) != "payment/3/17" {
		t.Errorf("a large one has %d bytes", n)
	}
	for _, place := range []string{"", "payment", "payment/3", "payment/3/17/1", "/3/17", "payment/-1/17", "payment/3/-1", "payment/x/17", "payment/3/x", "payment/9999999999/1"} {
		r := Decode(KafkaRecord{Topic: record.TopicEvents, Headers: hs("od-event", "unreadable", "od-dl-task", place)})
		if bad, ok := r.Body.(*record.Undecodable); !ok || bad.Code != CodeOriginInvalid {
			t.Errorf("place %q: %+v", place, r.Body)
		}
	}
}
