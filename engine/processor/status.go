package processor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/record"
)

// Keys of our rows on <ns>.status.
const (
	ownerKey    = "owner/"    // + partition
	instanceKey = "instance/" // + instance ID
)

// OwnerRow says who processes a partition (S6). It is a hint: the last to have
// taken over wrote it, and whoever asks an instance that does not own is told.
type OwnerRow struct {
	Partition int32         `json:"partition"`
	Instance  string        `json:"instance"`
	Addr      string        `json:"addr"`
	Since     record.Millis `json:"since"`
}

// InstanceRow describes a running instance; a tombstone follows when it stops.
type InstanceRow struct {
	Instance   string        `json:"instance"`
	Addr       string        `json:"addr"`
	Build      string        `json:"build,omitempty"`
	At         record.Millis `json:"at"` // by its clock, when the row was written
	Partitions []int32       `json:"partitions"`
}

// owners reads <ns>.status from its start and keeps the rows, and writes ours.
type owners struct {
	cfg   *Config
	topic string
	plain *kgo.Client

	mu        sync.Mutex
	rows      map[int32]OwnerRow
	instances map[string]InstanceRow
	workers   map[string]workerSeen
	services  map[string]record.ServiceRow
	newest    time.Time     // time of the newest record of the topic
	seen      chan struct{} // closed when our own row has been read
	skew      time.Duration // of our clock ahead of the broker's append time
}

func newOwners(cfg *Config, names *topicNames) *owners {
	return &owners{
		cfg: cfg, topic: names.topics[record.TopicStatus],
		rows: map[int32]OwnerRow{}, instances: map[string]InstanceRow{}, seen: make(chan struct{}),
		workers: map[string]workerSeen{}, services: map[string]record.ServiceRow{},
	}
}

// start writes the instance's row and waits until it is read again: from then on
// the owners are known, and so is how far the clock is ahead of the brokers' (T2).
func (o *owners) start(ctx, life context.Context, plain *kgo.Client, routine *sync.WaitGroup) error {
	o.plain = plain
	cl, err := o.cfg.reader(0, map[record.Topic]record.Position{record.TopicStatus: {LeaderEpoch: -1}},
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())) // rows are overwritten: nothing is lost by starting anew
	if err != nil {
		return fmt.Errorf("make a reader of %s: %w", o.topic, err)
	}
	routine.Go(func() {
		defer cl.Close()
		o.read(life, cl)
	})
	if err := o.write(ctx, nil); err != nil {
		return fmt.Errorf("write to %s: %w", o.topic, err)
	}
	select {
	case <-o.seen:
	case <-ctx.Done():
		return fmt.Errorf("read %s: %w", o.topic, context.Cause(ctx))
	}
	return o.checkClock()
}

// checkClock refuses a clock that is ahead of the brokers': it would stamp rows
// with a time that the next owner has not reached (T2). It needs
// message.timestamp.type=LogAppendTime on <ns>.status.
func (o *owners) checkClock() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.skew > o.cfg.Limits.ClockSkewMax {
		return fmt.Errorf("%w: it is %v ahead of the broker that leads %s; set this machine's clock", ErrClock, o.skew.Round(time.Second), o.topic)
	}
	return nil
}

func (o *owners) read(life context.Context, cl *kgo.Client) {
	for {
		fs := cl.PollFetches(life)
		if life.Err() != nil || fs.IsClientClosed() {
			return
		}
		fs.EachError(func(_ string, _ int32, err error) {
			tell(o.cfg.Listener.Warning, WarningInfo{"read " + o.topic, err})
		})
		fs.EachRecord(o.row)
	}
}

// row takes one record in. Rows of others on the topic are not ours to judge.
func (o *owners) row(r *kgo.Record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.Timestamp.After(o.newest) {
		o.newest = r.Timestamp
	}
	o.takeWorker(r)
	o.takeService(r)
	key := string(r.Key)
	switch {
	case strings.HasPrefix(key, ownerKey):
		var row OwnerRow
		if json.Unmarshal(r.Value, &row) == nil {
			o.rows[row.Partition] = row
		}
	case strings.HasPrefix(key, instanceKey):
		id := key[len(instanceKey):]
		var row InstanceRow
		if r.Value == nil || json.Unmarshal(r.Value, &row) != nil {
			delete(o.instances, id)
			return
		}
		o.instances[id] = row
		if id != o.cfg.InstanceID {
			return
		}
		if r.Attrs.TimestampType() == 1 { // LogAppendTime
			o.skew = row.At.Time().Sub(r.Timestamp)
		}
		select {
		case <-o.seen:
		default:
			close(o.seen)
		}
	}
}

func (o *owners) owner(p int32) (OwnerRow, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	row, ok := o.rows[p]
	return row, ok
}

func (o *owners) list() []InstanceRow {
	o.mu.Lock()
	defer o.mu.Unlock()
	rows := make([]InstanceRow, 0, len(o.instances))
	for _, row := range o.instances {
		rows = append(rows, row)
	}
	return rows
}

// claim writes that this instance processes a partition. It does not wait: the row
// is a hint.
func (o *owners) claim(p int32) {
	row, _ := json.Marshal(OwnerRow{Partition: p, Instance: o.cfg.InstanceID, Addr: o.cfg.AdvertisedAddr, Since: record.MillisOf(o.cfg.Clock())})
	o.plain.Produce(context.Background(), &kgo.Record{Topic: o.topic, Key: fmt.Append(nil, ownerKey, p), Value: row}, func(_ *kgo.Record, err error) {
		if err != nil {
			tell(o.cfg.Listener.Warning, WarningInfo{"write to " + o.topic, err})
		}
	})
}

// write writes the instance's row and waits for its ack.
func (o *owners) write(ctx context.Context, partitions []int32) error {
	row, _ := json.Marshal(InstanceRow{
		Instance: o.cfg.InstanceID, Addr: o.cfg.AdvertisedAddr, Build: o.cfg.Partition.Build,
		At: record.MillisOf(o.cfg.Clock()), Partitions: partitions,
	})
	return o.plain.ProduceSync(ctx, &kgo.Record{Topic: o.topic, Key: []byte(instanceKey + o.cfg.InstanceID), Value: row}).FirstErr()
}

// bye deletes the instance's row.
func (o *owners) bye(ctx context.Context) {
	err := o.plain.ProduceSync(ctx, &kgo.Record{Topic: o.topic, Key: []byte(instanceKey + o.cfg.InstanceID)}).FirstErr()
	if err != nil {
		tell(o.cfg.Listener.Warning, WarningInfo{"write to " + o.topic, err})
	}
}

// Instances lists the running instances as <ns>.status has them.
func (i *Instance) Instances() []InstanceRow { return i.owners.list() }

// report writes the instance's row now and then, commits positions to the group for
// dashboards, and looks at the clock.
func (i *Instance) report() {
	tick := time.NewTicker(i.cfg.Limits.StatusEvery)
	defer tick.Stop()
	var looked time.Time
	const loop = "report"
	defer func() { tell(i.cfg.Listener.End, loop) }()
	for {
		tell(i.cfg.Listener.Beat, loop)
		select {
		case <-i.ctx.Done():
			return
		case <-tick.C:
		}
		positions := map[int32]record.Positions{}
		var ps []int32
		for p, l := range stepping(i.held()) {
			positions[p] = l.progress.positions()
			ps = append(ps, p)
		}
		slices.Sort(ps)
		if time.Since(looked) > versionsEvery {
			looked = time.Now()
			i.lookAtVersions(ps)
		}
		ctx, cancel := context.WithTimeout(i.ctx, i.cfg.Limits.RetryTimeout)
		err := i.owners.write(ctx, ps)
		if err == nil {
			err = i.group.commit(ctx, i.names, positions)
		}
		cancel()
		if err != nil && i.ctx.Err() == nil {
			tell(i.cfg.Listener.Warning, WarningInfo{"report", err})
		}
		if err := i.owners.checkClock(); err != nil { // before it stamps another row
			i.release(i.partitions(), false)
			i.fail(err)
			return
		}
	}
}
