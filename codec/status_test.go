package codec

import (
	"reflect"
	"testing"

	"github.com/odradek/odradek/record"
)

func TestStatusRows(t *testing.T) {
	t.Parallel()
	w := &record.WorkerRow{Instance: "pod-1/a", Build: "v1", At: 7, Services: []record.WorkerService{{
		Service: "payment", Partitions: []int32{0, 3}, Permits: 4, Running: 1, Queued: 2, Open: 3, Rate: 1.5, RateLimited: true,
		Keys: 5, KeyLimited: 6, Breaker: "open", RetryAt: 8, LastFailure: "no answer", Paused: true,
	}}}
	key, value := EncodeWorkerRow(w)
	if instance, got, ok, err := DecodeWorkerRow(key, value); err != nil || !ok || instance != w.Instance || !reflect.DeepEqual(got, w) {
		t.Errorf("%s, %+v, %v, %v", instance, got, ok, err)
	}
	if instance, got, ok, err := DecodeWorkerRow(WorkerRowKey("pod-1/a"), nil); err != nil || !ok || instance != "pod-1/a" || got != nil {
		t.Errorf("%s, %+v, %v, %v", instance, got, ok, err)
	}
	s := &record.ServiceRow{Paused: true, Acts: []record.ServiceAct{{Paused: true, At: 9, By: "ada", Reason: "a deploy"}}}
	key, value = EncodeServiceRow("payment", s)
	if service, got, ok, err := DecodeServiceRow(key, value); err != nil || !ok || service != "payment" || !reflect.DeepEqual(got, s) {
		t.Errorf("%s, %+v, %v, %v", service, got, ok, err)
	}
	if _, _, ok, _ := DecodeWorkerRow(key, value); ok {
		t.Error("a service's row is a worker's")
	}
	for _, bad := range []string{"{", "1", `{"paused":1}`} {
		if _, row, ok, err := DecodeServiceRow(key, []byte(bad)); !ok || err == nil || row != nil {
			t.Errorf("%s: %+v, %v", bad, row, err)
		}
	}
}
