package client_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/internal/kafka"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
)

// started and completed are history events of a run of workflow id.
func started(id string, run byte, command string) record.Output {
	return event(id, run, 1, &record.RunStarted{Type: "echo", Version: 1, CommandID: command})
}

func completed(id string, run byte, result string) record.Output {
	return event(id, run, 2, &record.RunCompleted{Result: []byte(result)})
}

func event(id string, run byte, no uint64, b record.HistoryBody) record.Output {
	o := codec.EncodeHistory(names.Namespace, &record.RunRow{WorkflowID: id, Run: record.RunID{15: run}, Type: "echo"}, record.HistoryEvent{No: no, At: 1, Body: b})
	o.Partition = topology.TableZero(partitions).Partition(id)
	return o
}

func result(t *testing.T, ctx context.Context, r client.Run) string {
	t.Helper()
	got, err := r.Result(ctx)
	if err != nil {
		t.Fatalf("result of %q: %v", r.WorkflowID(), err)
	}
	return string(got.Value)
}

// TestOnlyTheOwnRunCounts: the history names the command that began a run, and a
// close of the run before it is not this one's.
func TestOnlyTheOwnRunCounts(t *testing.T) {
	t.Parallel()
	b := newBrokers(t)
	k, ctx := b.client(t), guard(t)
	r, err := k.Start(ctx, client.StartRequest{WorkflowID: "w", Type: "echo", CommandID: "mine"})
	if err != nil {
		t.Fatal(err)
	}
	b.write(t, started("w", 2, "mine"))
	b.write(t, completed("w", 1, `"of another run"`))
	b.write(t, completed("w", 2, `"mine"`))
	if got := result(t, ctx, r); got != `"mine"` {
		t.Errorf("result %s", got)
	}
}

func TestWhatClosedBeforeIsNotSeen(t *testing.T) {
	t.Parallel()
	b := newBrokers(t)
	b.write(t, completed("w", 1, `"old"`))
	k, ctx := b.client(t), guard(t)
	r, err := k.Attach(ctx, "w")
	if err != nil {
		t.Fatal(err)
	}
	b.write(t, completed("other", 3, `"of another workflow"`))
	b.write(t, completed("w", 2, `"new"`))
	if got := result(t, ctx, r); got != `"new"` {
		t.Errorf("result %s", got)
	}
}

// TestAbortedCloseIsNotSeen: closing events count when their transaction does.
func TestAbortedCloseIsNotSeen(t *testing.T) {
	t.Parallel()
	b := newBrokers(t)
	k, ctx := b.client(t), guard(t)
	r, err := k.Attach(ctx, "w")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := kgo.NewClient(append(b.opts, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("t.0.a"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Close()
	for _, tt := range []struct {
		result string
		end    kgo.TransactionEndTry
	}{{`"aborted"`, kgo.TryAbort}, {`"committed"`, kgo.TryCommit}} {
		if err := tx.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		o := completed("w", 1, tt.result)
		rec := &kgo.Record{Topic: names.Topic(o.Topic), Partition: o.Partition, Key: o.Key, Value: o.Value}
		for _, h := range o.Headers {
			rec.Headers = append(rec.Headers, kgo.RecordHeader(h))
		}
		if err := tx.ProduceSync(ctx, rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := tx.EndTransaction(ctx, tt.end); err != nil {
			t.Fatal(err)
		}
	}
	if got := result(t, ctx, r); got != `"committed"` {
		t.Errorf("result %s", got)
	}
}

func TestResultThatIsNoJSON(t *testing.T) {
	t.Parallel()
	b := newBrokers(t)
	k, ctx := b.client(t), guard(t)
	r, err := k.Attach(ctx, "w")
	if err != nil {
		t.Fatal(err)
	}
	b.write(t, completed("w", 1, "\xff\x00"))
	if got := result(t, ctx, r); got != "\xff\x00" {
		t.Errorf("result %q", got)
	}
}

func TestClosingEventThatIsGarbageIsAnError(t *testing.T) {
	t.Parallel()
	b := newBrokers(t)
	k, ctx := b.client(t), guard(t)
	for _, garbage := range []string{"not JSON", `{}`} {
		r, err := k.Attach(ctx, "w")
		if err != nil {
			t.Fatal(err)
		}
		o := event("w", 1, 2, &record.RunFailed{})
		o.Value = []byte(garbage)
		b.write(t, o)
		if _, err := r.Result(ctx); client.Code(err) != client.CodeHistoryLost || !strings.Contains(err.Error(), "t.history") {
			t.Errorf("%s: %v", garbage, err)
		}
	}
}

// TestDroppedHandlesAreForgotten guards K3.
func TestDroppedHandlesAreForgotten(t *testing.T) {
	t.Parallel()
	b := newBrokers(t)
	k, ctx := b.client(t), guard(t)
	kept, err := k.Attach(ctx, "kept")
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := k.Attach(ctx, "dropped"); err != nil {
			t.Fatal(err)
		}
	}
	for k.Waiting() > 1 && ctx.Err() == nil { // until the collector has run its cleanups
		runtime.GC()
		runtime.Gosched()
	}
	if n := k.Waiting(); n != 1 {
		t.Errorf("%d handles are kept, want 1", n)
	}
	b.write(t, completed("kept", 1, `1`))
	if got := result(t, ctx, kept); got != `1` {
		t.Errorf("result %s", got)
	}
	if n := k.Waiting(); n != 0 {
		t.Errorf("%d handles are kept after the close, want 0", n)
	}
}

func TestCloseEndsWaiting(t *testing.T) {
	t.Parallel()
	b := newBrokers(t)
	k, ctx := b.client(t), guard(t)
	r, err := k.Attach(ctx, "w")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := r.Result(ctx)
		done <- err
	}()
	k.Close()
	if err := <-done; client.Code(err) != client.CodeClosed {
		t.Errorf("waiting ended with %v", err)
	}
	after, err := k.Attach(ctx, "w")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := after.Result(ctx); client.Code(err) != client.CodeClosed {
		t.Errorf("a result after Close: %v", err)
	}
	if err := k.Signal(ctx, client.SignalRequest{WorkflowID: "w", Name: "x"}); client.Code(err) != client.CodeClosed {
		t.Errorf("a signal after Close: %v", err)
	}
	k.Close()
}

// TestHistoryThatIsLostIsAnError: the reader tells those who wait, and reads on.
func TestHistoryThatIsLostIsAnError(t *testing.T) {
	t.Parallel()
	b := newBrokers(t)
	k, ctx := b.client(t), guard(t)
	r, err := k.Attach(ctx, "w")
	if err != nil {
		t.Fatal(err)
	}
	b.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		part := kmsg.NewFetchResponseTopicPartition()
		part.ErrorCode = kerr.OffsetOutOfRange.Code
		for _, rt := range req.(*kmsg.FetchRequest).Topics {
			topic := kmsg.NewFetchResponseTopic()
			topic.Topic, topic.TopicID = rt.Topic, rt.TopicID
			for _, rp := range rt.Partitions {
				part.Partition = rp.Partition
				topic.Partitions = append(topic.Partitions, part)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		if len(resp.Topics) == 0 {
			b.KeepControl()
			return nil, nil, false
		}
		return resp, nil, true
	})
	b.write(t, completed("other", 1, `1`)) // wakes a fetch that is held
	if _, err := r.Result(ctx); client.Code(err) != client.CodeHistoryLost {
		t.Errorf("%v, want the code %s", err, client.CodeHistoryLost)
	}
	for ctx.Err() == nil { // the reader begins again at the end, which may be after this
		r, err := k.Attach(ctx, "w2")
		if err != nil {
			t.Fatal(err)
		}
		b.write(t, completed("w2", 1, `2`))
		once, cancel := context.WithTimeout(ctx, 100_000_000)
		got, err := r.Result(once)
		cancel()
		if err == nil {
			if string(got.Value) != `2` {
				t.Errorf("result %s", got.Value)
			}
			return
		}
	}
	t.Error("the reader did not go on")
}

func TestSlotTableIsReadFromControl(t *testing.T) {
	t.Parallel()
	b := newBrokers(t)
	ctx := guard(t)
	if _, err := client.NewKafka(ctx, client.KafkaConfig{Namespace: "t", Options: b.opts}); !errors.Is(err, kafka.ErrNoControl) {
		t.Errorf("without a table: %v, want ErrNoControl", err)
	}
	table := topology.TableZero(2) // not what the number of partitions says
	if err := kafka.WriteControl(ctx, b.cl, names, kafka.Control{Table: table}); err != nil {
		t.Fatal(err)
	}
	k := b.client(t, func(c *client.KafkaConfig) { c.Table = nil })
	seen := make(chan int32, 20)
	b.commands(t, func(r *kgo.Record) {
		if want := table.Partition(string(r.Key)); want != r.Partition {
			t.Errorf("%q is on partition %d, the table says %d", r.Key, r.Partition, want)
		}
		seen <- r.Partition
	})
	used := map[int32]bool{}
	for i := range 20 {
		if err := k.Signal(ctx, client.SignalRequest{WorkflowID: strings.Repeat("w", i+1), Name: "x"}); err != nil {
			t.Fatal(err)
		}
		used[<-seen] = true
	}
	if len(used) != 2 {
		t.Errorf("partitions %v are used, want two", used)
	}
}

func TestNamespaceThatIsNotThere(t *testing.T) {
	t.Parallel()
	b := newBrokers(t)
	ctx := guard(t)
	_, err := client.NewKafka(ctx, client.KafkaConfig{Namespace: "nowhere", Options: b.opts, Table: topology.TableZero(1)})
	if client.Code(err) != client.CodeUnreachable || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("%v", err)
	}
	if _, err := client.NewKafka(ctx, client.KafkaConfig{Namespace: "a/b", Options: b.opts}); client.Code(err) != api.CodeRequestInvalid {
		t.Errorf("%v", err)
	}
}

func TestClientThatNeverAwaits(t *testing.T) {
	t.Parallel()
	b := newBrokers(t)
	var log strings.Builder
	k := b.client(t, func(c *client.KafkaConfig) {
		c.NoResults, c.Logger = true, slog.New(slog.NewTextHandler(&log, nil))
	})
	ctx := guard(t)
	r, err := k.Start(ctx, client.StartRequest{WorkflowID: "w", Type: "echo"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Result(ctx); client.Code(err) != api.CodeRequestInvalid || !strings.Contains(err.Error(), "NoResults") {
		t.Errorf("%v", err)
	}
}
