package processor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/record"
)

const (
	// stallMax is how long a last stable offset may stand below the end (P9).
	stallMax = 20 * time.Second
	// watchTellEvery is the least time between two warnings about one partition of a topic.
	watchTellEvery = 10 * time.Minute
	// watchTimeout bounds one look: a broker that is away must not hold the next.
	watchTimeout = 10 * time.Second
	// probeBytes is how much a look at the oldest record asks for, per partition.
	probeBytes = 64 << 10
)

// watched are the topics that a lane reads: its inputs, and what a takeover reads.
var watched = [...]record.Topic{record.TopicCommands, record.TopicEvents, record.TopicInternal, record.TopicChangelog}

// inputWatch looks at what the lanes read from outside of them. A fetch that finds
// nothing committed tells a lane nothing, and a lane that stands does not fetch.
type inputWatch struct {
	cfg   *Config
	names *topicNames
	adm   *kadm.Client
	seen  map[watchKey]*watchedInput
}

type watchKey struct {
	topic record.Topic
	n     int32
}

// watchedInput is what is known of one partition of a topic.
type watchedInput struct {
	end, stable int64     // as of the last look
	stands      time.Time // since when stable is what it is, below the end; zero: it is not
	toldStall   time.Time
	toldAge     time.Time

	probed, upTo int64 // the last probe: from this position, to this stable offset
	oldest       time.Time
}

// watchInputs runs until the instance stops.
func (i *Instance) watchInputs() {
	w := newInputWatch(&i.cfg, i.names, i.plain)
	i.every(i.cfg.Limits.WatchEvery, func(lanes map[int32]*lane) {
		i.look("look at the inputs", func(ctx context.Context) error { return w.look(ctx, lanes) })
	})
}

func newInputWatch(cfg *Config, names *topicNames, plain *kgo.Client) *inputWatch {
	return &inputWatch{cfg: cfg, names: names, adm: kadm.NewClient(plain), seen: map[watchKey]*watchedInput{}}
}

// look is one round: what stands below the end, and how old is the first record that
// is not processed.
func (w *inputWatch) look(ctx context.Context, lanes map[int32]*lane) error {
	for k := range w.seen {
		if lanes[k.n] == nil {
			delete(w.seen, k)
		}
	}
	if len(lanes) == 0 {
		return nil
	}
	topics := make([]string, len(watched))
	for i, t := range watched {
		topics[i] = w.names.topics[t]
	}
	ends, err := w.adm.ListEndOffsets(ctx, topics...)
	if err != nil {
		return fmt.Errorf("list the ends: %w", err)
	}
	stable, err := w.adm.ListCommittedOffsets(ctx, topics...) // after the ends: no lag is made up
	if err != nil {
		return fmt.Errorf("list the last stable offsets: %w", err)
	}
	now := w.cfg.Clock()
	probes := map[watchKey]int64{}
	for n, l := range lanes {
		for _, t := range watched {
			end, ok := ends.Lookup(w.names.topics[t], n)
			lso, ok2 := stable.Lookup(w.names.topics[t], n)
			if !ok || !ok2 || end.Err != nil || lso.Err != nil {
				continue
			}
			k := watchKey{t, n}
			in := w.seen[k]
			if in == nil {
				in = &watchedInput{probed: -1}
				w.seen[k] = in
			}
			before := in.stable
			w.stalled(ctx, k, in, end.Offset, lso.Offset, now)
			l.progress.stall(t, in.stands)
			at, ok := l.progress.at(t)
			switch {
			case !ok || at >= before: // all that was there at the last look is processed
				in.oldest = time.Time{}
			case at != in.probed || in.upTo != in.stable && in.oldest.IsZero():
				probes[k] = at
			}
		}
	}
	err = w.probe(ctx, probes)
	for k, in := range w.seen {
		lanes[k.n].progress.age(k.topic, in.oldest)
		w.aged(k, in, now)
	}
	return err
}

// stalled notes what the last stable offset does; one that stands too long is told,
// with the producer whose transaction is open (P9).
func (w *inputWatch) stalled(ctx context.Context, k watchKey, in *watchedInput, end, stable int64, now time.Time) {
	switch {
	case stable >= end:
		in.stands = time.Time{}
	case in.stands.IsZero() || in.stable != stable:
		in.stands = now
	}
	in.end, in.stable = end, stable
	if in.stands.IsZero() || now.Sub(in.stands) <= stallMax || now.Sub(in.toldStall) < watchTellEvery {
		return
	}
	in.toldStall = now
	topic := w.names.topics[k.topic]
	who, err := w.producers(ctx, topic, k.n, stable)
	if err != nil {
		who = fmt.Sprintf("of a producer that is not known (%v)", err)
	}
	tell(w.cfg.Listener.Warning, WarningInfo{fmt.Sprintf("read %s/%d", topic, k.n), fmt.Errorf(
		"its last stable offset stands at %d for %v, and %d offsets wait behind it: a transaction %s is open; stop that producer, or end it with `kafka-transactions.sh --bootstrap-server HOST:PORT abort --topic %s --partition %d --start-offset %d`",
		stable, now.Sub(in.stands).Round(time.Second), end-stable, who, topic, k.n, stable)})
}

// producers names those whose transaction begins at the last stable offset.
func (w *inputWatch) producers(ctx context.Context, topic string, n int32, stable int64) (string, error) {
	set := kadm.TopicsSet{}
	set.Add(topic, n)
	described, err := w.adm.DescribeProducers(ctx, set)
	if err != nil {
		return "", fmt.Errorf("describe the producers: %w", err)
	}
	var open []kadm.DescribedProducer
	for _, p := range described.SortedProducers() {
		if p.CurrentTxnStartOffset >= 0 && p.CurrentTxnStartOffset <= stable {
			open = append(open, p)
		}
	}
	if len(open) == 0 {
		return "", errors.New("none has a transaction open there")
	}
	var ids []int64
	for _, p := range open {
		ids = append(ids, p.ProducerID)
	}
	names := map[int64]string{}
	// Without the right to describe a transactional ID it is left out, without an error.
	if txns, err := w.adm.ListTransactions(ctx, ids, nil); err == nil {
		for _, t := range txns {
			names[t.ProducerID] = t.TxnID
		}
	}
	who := make([]string, len(open))
	for i, p := range open {
		who[i] = fmt.Sprintf("of producer %d, epoch %d, that wrote last at %s", p.ProducerID, p.ProducerEpoch, time.UnixMilli(p.LastTimestamp).UTC().Format(time.RFC3339))
		if name := names[p.ProducerID]; name != "" {
			who[i] = fmt.Sprintf("of transactional ID %q (producer %d, epoch %d), that wrote last at %s", name, p.ProducerID, p.ProducerEpoch, time.UnixMilli(p.LastTimestamp).UTC().Format(time.RFC3339))
		}
	}
	return strings.Join(who, ", and "), nil
}

// probe reads the first committed record from each position, for its time.
func (w *inputWatch) probe(ctx context.Context, at map[watchKey]int64) error {
	if len(at) == 0 {
		return nil
	}
	parts, keys := map[string]map[int32]kgo.Offset{}, map[string]record.Topic{}
	for k, offset := range at {
		name := w.names.topics[k.topic]
		if parts[name] == nil {
			parts[name], keys[name] = map[int32]kgo.Offset{}, k.topic
		}
		parts[name][k.n] = kgo.NewOffset().At(offset)
	}
	cl, err := w.cfg.Client(
		kgo.ConsumePartitions(parts), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), // markers alone are not input
		kgo.FetchMaxPartitionBytes(probeBytes), kgo.FetchMaxWait(time.Second),
	)
	if err != nil {
		return fmt.Errorf("make a reader: %w", err)
	}
	defer cl.CloseAllowingRebalance()
	for left := at; len(left) > 0; {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil || fs.IsClientClosed() {
			return fmt.Errorf("read the oldest records: %d of %d partitions did not answer: %w", len(left), len(at), context.Cause(ctx))
		}
		fs.EachPartition(func(p kgo.FetchTopicPartition) {
			k := watchKey{keys[p.Topic], p.Partition}
			from, ok := left[k]
			if !ok {
				return
			}
			in := w.seen[k]
			i := slices.IndexFunc(p.Records, func(r *kgo.Record) bool { return r.Offset >= from && !r.Attrs.IsControl() })
			switch {
			case i >= 0:
				in.oldest = p.Records[i].Timestamp
			case p.Err != nil: // the lane that reads there says why
			case len(p.Records) > 0 && p.Records[len(p.Records)-1].Offset+1 >= in.stable:
				in.oldest = time.Time{} // nothing but markers
			default:
				return
			}
			in.probed, in.upTo = from, in.stable
			delete(left, k)
			cl.PauseFetchPartitions(map[string][]int32{p.Topic: {p.Partition}})
		})
	}
	return nil
}

// aged tells of input that time retention will delete before it is processed (W7).
func (w *inputWatch) aged(k watchKey, in *watchedInput, now time.Time) {
	kept := w.cfg.Limits.InputRetention
	if kept <= 0 || in.oldest.IsZero() || now.Sub(in.oldest) <= kept/2 || now.Sub(in.toldAge) < watchTellEvery {
		return
	}
	in.toldAge = now
	topic := w.names.topics[k.topic]
	tell(w.cfg.Listener.Warning, WarningInfo{fmt.Sprintf("read %s/%d", topic, k.n), fmt.Errorf(
		"its oldest record that is not processed is %v old, and Kafka keeps records for %v: raise retention.ms of %s, or find out why partition %d does not go on",
		now.Sub(in.oldest).Round(time.Second), kept, topic, k.n)})
}
