package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"golang.org/x/sync/errgroup"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
)

// The raw loop is what the engine's protocol costs with nothing behind it: no
// decoding, state, author code or store. Its engine answers each input with the
// records that an engine would write, in transactions of three producers in
// rotation; batches are what came while the ones before were on their way.

// rawBatchMax is the engine's bound of inputs in a transaction.
const rawBatchMax = 1000

func (s side) kafka(opts ...kgo.Opt) (*kgo.Client, error) {
	v := kversion.Stable()
	v.SetMaxKeyVersion(int16(kmsg.AddPartitionsToTxn), 3) // later ones are between brokers
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(strings.Split(s.seeds, ",")...),
		kgo.MaxVersions(v),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0),
		kgo.MetadataMinAge(20 * time.Millisecond),
		kgo.MaxBufferedRecords(1 << 20),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(time.Second),
	}, opts...)...)
}

// consume reads all partitions of topics from their start.
func (s side) consume(topics []string, opts ...kgo.Opt) (*kgo.Client, error) {
	return s.kafka(append(opts, kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
}

func (s side) names() topology.Names { return topology.Names{Namespace: s.namespace} }

// partitions asks how many there are.
func (s side) partitions(ctx context.Context) (int32, error) {
	cl, err := s.kafka()
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	commands := s.names().Topic(record.TopicCommands)
	topics, err := kadm.NewClient(cl).ListTopics(ctx, commands)
	if err == nil {
		err = topics.Error()
	}
	if err != nil {
		return 0, err
	}
	return int32(len(topics[commands].Partitions)), nil
}

// rawEngine runs one lane per partition.
func (s side) rawEngine(ctx context.Context) error {
	n, err := s.partitions(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for p := range n {
		g.Go(func() error { return s.rawLane(ctx, p) })
	}
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// rawTxn is a producer, and the transaction that it has open.
type rawTxn struct {
	id    string
	cl    *kgo.Client
	local []rawInput // what its commit lets go on
}

// rawInput is what a workflow goes on with.
type rawInput struct {
	workflow []byte
	turn     int // from 0: the start
}

// rawInputs are those of a lane: what is fetched, and, of local tasks, the answers, which
// are there once the transaction that asked for them has been committed.
type rawInputs struct {
	cl   *kgo.Client
	more chan []rawInput // nil: there are no local tasks
	rest []rawInput
}

func (in *rawInputs) poll(ctx context.Context) ([]rawInput, error) {
	fetched := in.cl.PollRecords(ctx, rawBatchMax)
	out := make([]rawInput, 0, fetched.NumRecords())
	fetched.EachRecord(func(k *kgo.Record) { out = append(out, rawInput{k.Key, turnOf(k.Headers) + 1}) })
	return out, fetched.Err()
}

// fetch polls beside the batches.
func (in *rawInputs) fetch(ctx context.Context) error {
	for {
		got, err := in.poll(ctx)
		if err == nil {
			err = in.put(ctx, got)
		}
		if err != nil {
			return err
		}
	}
}

func (in *rawInputs) put(ctx context.Context, more []rawInput) error {
	if len(more) == 0 {
		return nil
	}
	select {
	case in.more <- more:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// next is the next batch: what is there, at least one.
func (in *rawInputs) next(ctx context.Context) ([]rawInput, error) {
	if in.more == nil {
		return in.poll(ctx)
	}
	for len(in.rest) == 0 || len(in.more) > 0 && len(in.rest) < rawBatchMax {
		select {
		case more := <-in.more:
			in.rest = append(in.rest, more...)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	n := min(len(in.rest), rawBatchMax)
	got := in.rest[:n:n]
	in.rest = in.rest[n:]
	return got, nil
}

func (s side) rawLane(ctx context.Context, p int32) error {
	at := map[int32]kgo.Offset{p: kgo.NewOffset().AtStart()}
	cl, err := s.kafka(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		s.names().Topic(record.TopicCommands): at, s.names().Topic(record.TopicEvents): at,
	}))
	if err != nil {
		return err
	}
	defer cl.Close()
	const producers = 3
	in := &rawInputs{cl: cl}
	if s.load.local {
		in.more = make(chan []rawInput, producers)
	}
	free, full := make(chan rawTxn, producers), make(chan rawTxn, producers)
	for i := range producers {
		id := s.names().TransactionalID(p, i)
		cl, err := s.kafka(kgo.TransactionalID(id), kgo.ManualFlushing(), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(1<<20))
		if err != nil {
			return err
		}
		defer cl.Close()
		free <- rawTxn{id: id, cl: cl}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { // transactions end in the order of the batches
		for {
			select {
			case t := <-full:
				if err := t.cl.EndTransaction(context.WithoutCancel(ctx), kgo.TryCommit); err != nil {
					return err
				}
				free <- t
				if err := in.put(ctx, t.local); err != nil {
					return err
				}
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	})
	g.Go(func() error {
		templates := newTemplates(s.namespace, s.load)
		for {
			inputs, err := in.next(ctx)
			if err != nil {
				return err
			}
			var t rawTxn
			select {
			case t = <-free:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			if err := t.write(ctx, batch(templates, inputs, p)); err != nil {
				return err
			}
			t.local = s.load.answered(inputs)
			full <- t
		}
	})
	if s.load.local {
		g.Go(func() error { return in.fetch(ctx) })
	}
	return g.Wait()
}

// answered are the inputs that a transaction's local tasks become.
func (w workload) answered(inputs []rawInput) []rawInput {
	if !w.local {
		return nil
	}
	out := make([]rawInput, 0, len(inputs))
	for _, in := range inputs {
		if in.turn < w.steps {
			out = append(out, rawInput{in.workflow, in.turn + 1})
		}
	}
	return out
}

// batch is what an engine writes for these inputs.
func batch(templates *templates, inputs []rawInput, p int32) []*kgo.Record {
	out := make([]*kgo.Record, 0, 3*len(inputs)+1)
	for _, in := range inputs {
		r := templates.any()
		key := codec.AppendChunkKey(nil, string(in.workflow), r.run, uint32(in.turn+1))
		out = append(out, of(&r.chunks[in.turn], key, p))
		if in.turn == 0 {
			out = append(out, of(&r.started, in.workflow, p))
		}
		if in.turn < len(r.tasks) {
			out = append(out, of(&r.tasks[in.turn], in.workflow, p))
		}
		if in.turn == len(r.chunks)-1 {
			out = append(out, of(&r.closed, in.workflow, p))
		}
	}
	at := &templates.any().at
	return append(out, of(at, at.Key, p))
}

// write opens a transaction, puts its partitions in with one request, and gets
// every record acked.
func (t rawTxn) write(ctx context.Context, rs []*kgo.Record) error {
	if err := t.cl.BeginTransaction(); err != nil {
		return err
	}
	if err := t.add(ctx, rs); err != nil {
		return err
	}
	var failed atomic.Pointer[error]
	for _, r := range rs {
		t.cl.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(&err)
			}
		})
	}
	if err := t.cl.Flush(ctx); err != nil {
		return err
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (t rawTxn) add(ctx context.Context, rs []*kgo.Record) error {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	id, epoch, err := t.cl.ProducerID(ctx)
	if err != nil {
		return err
	}
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = t.id, id, epoch
next:
	for _, r := range rs { // all of one partition
		for i := range req.Topics {
			if req.Topics[i].Topic == r.Topic {
				continue next
			}
		}
		topic := kmsg.NewAddPartitionsToTxnRequestTopic()
		topic.Topic, topic.Partitions = r.Topic, []int32{r.Partition}
		req.Topics = append(req.Topics, topic)
	}
	for {
		resp, err := req.RequestWith(ctx, t.cl)
		if err != nil {
			return err
		}
		again := false
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				switch err := kerr.ErrorForCode(p.ErrorCode); {
				case errors.Is(err, kerr.ConcurrentTransactions): // the markers of the last one are on their way
					again = true
				case err != nil:
					return fmt.Errorf("add %s: %w", topic.Topic, err)
				}
			}
		}
		if !again {
			return nil
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// rawWorker answers each task.
func (s side) rawWorker(ctx context.Context) error {
	in, err := s.consume([]string{s.names().Tasks(service)})
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := s.kafka()
	if err != nil {
		return err
	}
	defer out.Close()
	template := kgo.Record{Topic: s.names().Topic(record.TopicEvents)}
	results := newPayloads()
	var failed atomic.Pointer[error]
	for {
		fetched := in.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err := fetched.Err(); err != nil {
			return err
		}
		if err := failed.Load(); err != nil {
			return *err
		}
		fetched.EachRecord(func(k *kgo.Record) {
			r := of(&template, k.Key, k.Partition)
			r.Value, r.Headers = results.bytes(), answer(k.Headers)
			out.Produce(ctx, r, func(_ *kgo.Record, err error) {
				if err != nil {
					failed.Store(&err)
				}
			})
		})
	}
}

// rawStarter starts and awaits workflows of the raw loop.
type rawStarter struct {
	out, in   *kgo.Client
	table     *topology.Table
	templates *templates
	waiting   sync.Map // workflow ID to chan struct{}, closed at the end
	stop      context.CancelFunc
	done      chan struct{}
}

func (s side) newRawStarter(ctx context.Context) (starter, error) {
	n, err := s.partitions(ctx)
	if err != nil {
		return nil, err
	}
	r := &rawStarter{table: topology.TableZero(n), templates: newTemplates(s.namespace, s.load), done: make(chan struct{})}
	if r.out, err = s.kafka(); err != nil {
		return nil, err
	}
	if r.in, err = s.consume([]string{s.names().Topic(record.TopicHistory)}); err != nil {
		r.out.Close()
		return nil, err
	}
	ctx, r.stop = context.WithCancel(context.WithoutCancel(ctx))
	go r.read(ctx)
	return r, nil
}

// read wakes those whose closing event comes.
func (r *rawStarter) read(ctx context.Context) {
	defer close(r.done)
	for ctx.Err() == nil {
		r.in.PollFetches(ctx).EachRecord(func(k *kgo.Record) {
			if !isClosing(k) {
				return
			}
			if ch, ok := r.waiting.LoadAndDelete(string(k.Key)); ok {
				close(ch.(chan struct{}))
			}
		})
	}
}

func (r *rawStarter) do(ctx context.Context, id string, input []byte) error {
	ch := make(chan struct{})
	r.waiting.Store(id, ch)
	k := of(&r.templates.any().command, []byte(id), r.table.Partition(id))
	k.Value = input
	failed := make(chan error, 1)
	r.out.Produce(ctx, k, func(_ *kgo.Record, err error) {
		if err != nil {
			failed <- err
		}
	})
	select {
	case <-ch:
		return nil
	case err := <-failed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("wait for workflow %q: %w", id, ctx.Err())
	}
}

func (r *rawStarter) close() {
	r.stop()
	<-r.done
	r.in.Close()
	r.out.Close()
}
