package processor

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/engine/partition"
	"github.com/odradek/odradek/internal/fault"
	"github.com/odradek/odradek/topology"
)

// Config of an Instance.
type Config struct {
	// InstanceID names this instance in the group, in <ns>.status and in logs. It is
	// unique among the running instances of a namespace.
	InstanceID string
	// AdvertisedAddr is the host:port at which other instances reach this one's API.
	AdvertisedAddr string
	// DataDir holds one store per partition, in DataDir/<namespace>/<partition>.
	DataDir string
	// Cluster is the cluster ID. Together with TopicIDs it tells whose rows a store has.
	Cluster string
	// TopicIDs are the IDs of the topics as <ns>.control has them, by topic name. A
	// store that was made from another changelog is foreign.
	TopicIDs map[string]string
	// Names of the topics, the group and the transactional IDs.
	Names topology.Names
	// Client makes a Kafka client with the deployment's addresses and security, and
	// the options given.
	Client func(opts ...kgo.Opt) (*kgo.Client, error)
	// Partition is the template of each partition's step.
	Partition partition.Config
	// Limits bound a lane. Zero values are defaults.
	Limits Limits
	// Listener hears what happens. Its functions may be called from several
	// goroutines and must not block.
	Listener Listener
	// Clock is the owner's clock. Default time.Now, which a test build can shift.
	Clock func() time.Time
	// Logger gets what the Kafka clients and the store log. Default: nothing.
	Logger *slog.Logger
	// Fault is the faults of this instance in a test build.
	Fault *fault.Injector

	ports  ports                                       // what tests replace
	active *atomic.Pointer[map[string]topology.Active] // the latest of Instance.SetActive
}

// Limits bound a lane. A zero field means its default.
type Limits struct {
	// BatchInputsMax is how many inputs a batch has at most. Default 1000: beyond
	// about 500 a transaction costs no less per input (measured).
	BatchInputsMax int
	// BatchBytesMax bounds what a batch writes. Default 1 MB: about one Produce
	// request per broker.
	BatchBytesMax int
	// BatchTimeMax is how long one batch is stepped. Default 10ms, a few transactions.
	BatchTimeMax time.Duration
	// FetchBytesMax is how much one fetch brings per input topic. Default 1 MB.
	FetchBytesMax int32
	// FetchWait is how long a broker holds a fetch that finds nothing. Default 1s.
	FetchWait time.Duration
	// TransactionTimeout is how long a transaction may stay open. It does not enter a
	// takeover, and has to outlive a broker's death (9 s and an election). Default 30s.
	TransactionTimeout time.Duration
	// RetryTimeout bounds the retries of one request. Default 10s.
	RetryTimeout time.Duration
	// IdleCheck is after how long without a commit an owner commits its positions, to
	// learn whether it was fenced (P3). Default 10s; negative: never.
	IdleCheck time.Duration
	// StopTimeout is how long a lane that is to stop waits for its batches. Default 2s.
	StopTimeout time.Duration
	// HangTick is a tick of the watchdog; a turn that lasts ten is hung (C2). Default
	// 200ms.
	HangTick time.Duration
	// AbandonedMax is how many goroutines may hang in author code before the instance
	// asks to be restarted. Default 8: each holds the live runs of its partition.
	AbandonedMax int
	// TakeoversMax is how many lanes of an instance restore at the same time. Default 4.
	TakeoversMax int
	// StoreAgeMax is the age from which on a store that is not at the end of its
	// changelog is rebuilt: tombstones may be gone. Default 12h, half of the
	// changelog's delete.retention.ms.
	StoreAgeMax time.Duration
	// ClockSkewMax is how far the owner's clock may be behind the last position row,
	// or ahead of the brokers' (T2). Default 1m.
	ClockSkewMax time.Duration
	// PurgeEvery is how often consumed input is deleted. Default 1m; negative: never.
	PurgeEvery time.Duration
	// PurgeBehind is how long consumed input is kept (W7). Default 10m.
	PurgeBehind time.Duration
	// WatchEvery is how often the inputs are looked at: whether an open transaction
	// stalls one (P9), and how old what waits is (W7). Default 10s; negative: never.
	WatchEvery time.Duration
	// LostEvery is how often it is looked for attempts that are lost: those whose records
	// their service's group has left behind, unanswered, in two looks one after the other (W4). Default 5s;
	// negative: never.
	LostEvery time.Duration
	// InputRetention is how long Kafka keeps input that is not processed; what is older
	// than half of it is warned of (W7). 0: for ever.
	InputRetention time.Duration
	// StatusEvery is how often an instance writes its row to <ns>.status. Default 5s.
	StatusEvery time.Duration
	// SessionTimeout of the group. Default 10s.
	SessionTimeout time.Duration
	// Heartbeat of the group. Default 1s.
	Heartbeat time.Duration
	// GiveBack is how long a partition that failed here goes to others. Default 1m.
	GiveBack time.Duration
	// Compression of what lanes produce. Default none: on one machine the cycles cost
	// more than the bytes.
	Compression kgo.CompressionCodec
	// StoreCacheBytes is the block cache of all stores together. Default 64 MiB.
	StoreCacheBytes int64
	// StoreMemTableBytes is memtables of all stores together: each gets its share by the
	// number of partitions, from 1 MiB to 32 MiB. Default 96 MiB.
	StoreMemTableBytes int64
	// StoreDisableWAL leaves the store's log out. Right either way: what is lost is
	// read from Kafka again.
	StoreDisableWAL bool
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// WithDefaults fills what is zero.
func (l Limits) WithDefaults() Limits {
	def(&l.BatchInputsMax, 1000)
	def(&l.BatchBytesMax, 1<<20)
	def(&l.BatchTimeMax, 10*time.Millisecond)
	def(&l.FetchBytesMax, 1<<20)
	def(&l.FetchWait, time.Second)
	def(&l.TransactionTimeout, 30*time.Second)
	def(&l.RetryTimeout, 10*time.Second)
	def(&l.IdleCheck, 10*time.Second)
	def(&l.StopTimeout, 2*time.Second)
	def(&l.HangTick, 200*time.Millisecond)
	def(&l.AbandonedMax, 8)
	def(&l.TakeoversMax, 4)
	def(&l.StoreAgeMax, 12*time.Hour)
	def(&l.ClockSkewMax, time.Minute)
	def(&l.PurgeEvery, time.Minute)
	def(&l.PurgeBehind, 10*time.Minute)
	def(&l.WatchEvery, 10*time.Second)
	def(&l.LostEvery, 5*time.Second)
	def(&l.StatusEvery, 5*time.Second)
	def(&l.SessionTimeout, 10*time.Second)
	def(&l.Heartbeat, time.Second)
	def(&l.GiveBack, time.Minute)
	def(&l.Compression, kgo.NoCompression())
	def(&l.StoreMemTableBytes, 96<<20)
	return l
}

// memTableBytes is the memtable of one of so many stores. A larger one is flushed
// and compacted less often, which in a chain of tasks on one partition took a quarter
// of the CPU time with 4 MiB (measured); beyond the bound nothing is gained.
func (l Limits) memTableBytes(stores int32) uint64 {
	return uint64(min(max(l.StoreMemTableBytes/int64(max(stores, 1)), 1<<20), 32<<20))
}

// WithDefaults fills what is zero.
func (c Config) WithDefaults() Config {
	c.Limits = c.Limits.WithDefaults()
	if c.active == nil {
		c.active = &atomic.Pointer[map[string]topology.Active]{}
	}
	if c.Clock == nil {
		c.Clock = func() time.Time { return time.Now().Add(fault.ClockOffset()) }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.Partition.Namespace = c.Names.Namespace
	c.ports = c.ports.withDefaults(&c)
	return c
}

// Validate says what is missing or out of range.
func (c Config) Validate() error {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New(what))
		}
	}
	need(c.InstanceID != "", "InstanceID is empty: give each instance a name of its own")
	need(c.DataDir != "", "DataDir is empty: name a folder for the stores")
	need(c.Client != nil, "Client is nil: give a function that makes Kafka clients")
	need(c.Names.Namespace != "", "Names.Namespace is empty")
	need(c.Partition.Table != nil, "Partition.Table is nil: read it from the control topic")
	l := c.Limits.WithDefaults()
	need(l.TransactionTimeout >= l.RetryTimeout, fmt.Sprintf("TransactionTimeout %v is less than RetryTimeout %v: a retried commit would find its transaction gone", l.TransactionTimeout, l.RetryTimeout))
	need(l.BatchInputsMax > 0 && l.BatchBytesMax > 0 && l.BatchTimeMax > 0, "a batch needs bounds above zero")
	need(l.Heartbeat < l.SessionTimeout, fmt.Sprintf("Heartbeat %v is not below SessionTimeout %v", l.Heartbeat, l.SessionTimeout))
	return errors.Join(errs...)
}
