package client_test

import (
	"context"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/httpapi"
	"github.com/odradek/odradek/httpapi/httpapitest"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
)

const partitions = 4

var names = topology.Names{Namespace: "t"}

// guard ends a test that hangs; nothing is measured with it.
func guard(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func newHTTP(t *testing.T, c *httpapitest.Cluster) *client.HTTP {
	t.Helper()
	s, err := httpapi.New(httpapi.Config{Engine: c.Instance(0), InstanceID: "one"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	h, err := client.NewHTTP(client.HTTPConfig{URL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// brokers are topics on a broker in this process.
type brokers struct {
	*kfake.Cluster
	opts []kgo.Opt
	cl   *kgo.Client // writes
}

func newBrokers(t *testing.T) *brokers {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1),
		kfake.SeedTopics(partitions, names.Topic(record.TopicCommands), names.Topic(record.TopicHistory), names.Topic(record.TopicDeadLetters)),
		kfake.SeedTopics(1, names.Topic(record.TopicControl)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	b := &brokers{Cluster: c, opts: []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...)}}
	b.cl, err = kgo.NewClient(append(b.opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.cl.Close)
	return b
}

func (b *brokers) client(t *testing.T, change ...func(*client.KafkaConfig)) *client.Kafka {
	t.Helper()
	cfg := client.KafkaConfig{Namespace: names.Namespace, Options: b.opts, Table: topology.TableZero(partitions)}
	for _, f := range change {
		f(&cfg)
	}
	k, err := client.NewKafka(guard(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// write writes an output of an engine.
func (b *brokers) write(t *testing.T, o record.Output) {
	r := &kgo.Record{Topic: names.Topic(o.Topic), Partition: o.Partition, Key: o.Key, Value: o.Value}
	for _, h := range o.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader(h))
	}
	if err := b.cl.ProduceSync(context.Background(), r).FirstErr(); err != nil {
		t.Errorf("write to %s: %v", r.Topic, err)
	}
}

// commands gives the records on the commands topic to f, in order, until the test
// ends.
func (b *brokers) commands(t *testing.T, f func(*kgo.Record)) {
	t.Helper()
	cl, err := kgo.NewClient(append(b.opts, kgo.ConsumeTopics(names.Topic(record.TopicCommands)), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			cl.PollFetches(ctx).EachRecord(f)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait(); cl.Close() })
}

// serve lets c's workflows run behind the topics: commands in, history and dead
// letters out.
func (b *brokers) serve(t *testing.T, c *httpapitest.Cluster) {
	t.Helper()
	table := topology.TableZero(partitions)
	c.Listen(func(run record.RunRow, e record.HistoryEvent) {
		o := codec.EncodeHistory(names.Namespace, &run, e)
		o.Partition = table.Partition(run.WorkflowID)
		b.write(t, o)
	})
	engine := c.Instance(0)
	b.commands(t, func(k *kgo.Record) {
		in := codec.KafkaRecord{Topic: record.TopicCommands, Partition: k.Partition, Offset: k.Offset, Key: k.Key, Value: k.Value}
		for _, h := range k.Headers {
			in.Headers = append(in.Headers, record.Header(h))
		}
		r := codec.Decode(in)
		if want := table.Partition(r.WorkflowID); want != k.Partition {
			t.Errorf("a command for %q is on partition %d, not %d", r.WorkflowID, k.Partition, want)
		}
		if bad, ok := r.Body.(*record.Undecodable); ok {
			t.Errorf("a command cannot be read: %s", bad.Reason)
			return
		}
		reply, err := engine.Submit(context.Background(), r.WorkflowID, r.Body)
		if err != nil {
			t.Errorf("submit: %v", err)
		}
		if reply.Outcome.Rejected() {
			o := codec.EncodeDeadLetter(&record.DeadLetterRow{Origin: r.Origin, Code: reply.Outcome.String(), Reason: reply.Detail, Raw: r.Raw})
			o.Partition = k.Partition
			b.write(t, o)
		}
	})
}
