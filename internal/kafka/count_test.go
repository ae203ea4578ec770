package kafka

import (
	"context"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestCount(t *testing.T) {
	t.Parallel()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	var mu sync.Mutex
	got := map[string]Request{}
	cl, err := NewClient(kgo.SeedBrokers(c.ListenAddrs()...), Count(func(r Request) {
		mu.Lock()
		defer mu.Unlock()
		got[r.Name] = r
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	if err := cl.ProduceSync(context.Background(), &kgo.Record{Topic: "orders", Value: make([]byte, 1000)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if r := got["produce"]; r.Written < 100 || r.Read < 10 || r.Failed {
		t.Errorf("%+v of %v", r, got)
	}
	if got["init_producer_id"].Name == "" || got["metadata"].Name == "" {
		t.Errorf("%v", got)
	}
}

func TestRequestNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"Produce": "produce", "AddPartitionsToTxn": "add_partitions_to_txn", "InitProducerID": "init_producer_id", "ConsumerGroupHeartbeat": "consumer_group_heartbeat", "SASLHandshake": "sasl_handshake"} {
		if got := snake(name); got != want {
			t.Errorf("%s is %s", name, got)
		}
	}
}
