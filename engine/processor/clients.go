package processor

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/odradek/odradek/record"
)

// Settings that are part of the protocol. Each was measured on Kafka 4.4.
const (
	// metadataMinAge is the shortest time between metadata requests of a
	// transactional producer. A retriable answer stalls it that long; with
	// franz-go's default of 5s a moved coordinator cost up to 2.3s.
	metadataMinAge = 20 * time.Millisecond
	// concurrentBackoff is how long InitProducerID and EndTxn wait after
	// CONCURRENT_TRANSACTIONS (P4): with 2ms a takeover took 19ms, with the default
	// of 20ms it took 53.
	concurrentBackoff = 2 * time.Millisecond
	// messageBytesMax is max.message.bytes of our topics (F5).
	messageBytesMax = 1<<20 + 64<<10
	// bufferedMax bounds the records that a producer holds: above what a batch can
	// have, because a producer that flushes by hand refuses what does not fit.
	bufferedMax = 1 << 20
)

// retryBackoff is 5ms, doubling to 200ms: a lane that waits does nothing else.
func retryBackoff(tries int) time.Duration {
	return min(5*time.Millisecond<<min(tries, 6), 200*time.Millisecond)
}

// versions pins AddPartitionsToTxn to 3: later ones are between brokers and need
// CLUSTER_ACTION.
func versions() *kversion.Versions {
	v := kversion.Stable()
	v.SetMaxKeyVersion(int16(kmsg.AddPartitionsToTxn), 3)
	return v
}

// transactional makes the client of one transactional ID.
func (c *Config) transactional(id string) (*kgo.Client, error) {
	return c.Client(
		kgo.TransactionalID(id),
		kgo.TransactionTimeout(c.Limits.TransactionTimeout),
		kgo.ConcurrentTransactionsBackoff(concurrentBackoff),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ManualFlushing(),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchMaxBytes(messageBytesMax),
		kgo.ProducerBatchCompression(c.Limits.Compression),
		kgo.MaxBufferedRecords(bufferedMax),
		kgo.MetadataMinAge(metadataMinAge),
		kgo.RetryBackoffFn(retryBackoff),
		kgo.RetryTimeout(c.Limits.RetryTimeout),
		kgo.MaxVersions(versions()),
	)
}

// plain makes a client for requests, and for records outside transactions.
func (c *Config) plain(opts ...kgo.Opt) (*kgo.Client, error) {
	return c.Client(append([]kgo.Opt{
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchMaxBytes(messageBytesMax),
		kgo.ProducerBatchCompression(c.Limits.Compression),
		kgo.MetadataMinAge(5 * metadataMinAge),
		kgo.RetryBackoffFn(retryBackoff),
		kgo.RetryTimeout(c.Limits.RetryTimeout),
	}, opts...)...)
}

// reader makes a direct reader of one partition of some topics, from a position
// each. It reads what is committed and never resets an offset: the client's
// default would silently rewind or skip.
func (c *Config) reader(p int32, from map[record.Topic]record.Position, opts ...kgo.Opt) (*kgo.Client, error) {
	parts := make(map[string]map[int32]kgo.Offset, len(from))
	for topic, pos := range from {
		o := kgo.NewOffset().At(pos.Offset)
		if pos.LeaderEpoch >= 0 {
			o = o.WithEpoch(pos.LeaderEpoch) // truncation since then becomes ErrDataLoss (P6)
		}
		parts[c.Names.Topic(topic)] = map[int32]kgo.Offset{p: o}
	}
	return c.Client(append([]kgo.Opt{
		kgo.ConsumePartitions(parts),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxWait(c.Limits.FetchWait),
		kgo.FetchMaxPartitionBytes(c.Limits.FetchBytesMax),
		kgo.MetadataMinAge(5 * metadataMinAge),
		kgo.RetryBackoffFn(retryBackoff),
	}, opts...)...)
}
