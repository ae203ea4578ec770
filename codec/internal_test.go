package codec

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/odradek/odradek/record"
)

// TestInternalRecordsComeBack: what an engine sends another is what that one reads, also
// after it was forwarded (S1).
func TestInternalRecordsComeBack(t *testing.T) {
	t.Parallel()
	run := record.RunID{1, 2, 3, 4, 5, 6, 7, 8, 9}
	parent := record.Parent{WorkflowID: "päre nt", Run: record.RunID{9}, Event: 12}
	own := record.Parent{WorkflowID: "kid", Run: record.RunID{9}, Event: 12}
	failure := record.Failure{Kind: "http", Code: "x", Message: "y", HTTPStatus: 503, Problem: []byte(`{"a":1}`)}
	for _, want := range []record.Body{
		&record.ChildStart{Parent: parent, Run: run, Type: "ship", Input: []byte("7")},
		&record.ChildStop{Parent: parent, Reason: "why"},
		&record.ChildStop{Parent: parent, Terminate: true},
		&record.Await{Parent: parent},
		&record.ChildReport{Parent: own, Run: run, Status: record.StatusCompleted, Result: []byte(`"ok"`)},
		&record.ChildReport{Parent: own, Run: run, Status: record.StatusFailed, Failure: failure},
		&record.ChildReport{Parent: own, Failure: failure},
		&record.Signal{CommandID: record.TaskID{Run: run, No: 4}.String(), Name: "go", Payload: []byte("1")},
	} {
		var out record.Output
		switch b := want.(type) {
		case *record.ChildStart:
			out = EncodeChildStart("kid", b)
		case *record.ChildStop:
			out = EncodeChildStop("kid", b)
		case *record.Await:
			out = EncodeAwait("kid", b)
		case *record.ChildReport:
			out = EncodeChildReport(b)
		case *record.Signal:
			out = EncodeSent("kid", record.TaskID{Run: run, No: 4}, b.Name, b.Payload)
		}
		r := Decode(KafkaRecord{Topic: out.Topic, Partition: 3, Offset: 5, Key: out.Key, Value: out.Value, Headers: out.Headers})
		if d := cmp.Diff(want, r.Body); d != "" || r.WorkflowID != "kid" {
			t.Errorf("%T for %q (-want +got):\n%s", want, r.WorkflowID, d)
		}
		f := EncodeForward(&r, 2)
		again := Decode(KafkaRecord{Topic: f.Topic, Key: f.Key, Value: f.Value, Headers: f.Headers})
		if d := cmp.Diff(want, again.Body); d != "" || again.Hops != 1 {
			t.Errorf("%T after %d hops (-want +got):\n%s", want, again.Hops, d)
		}
	}
}
