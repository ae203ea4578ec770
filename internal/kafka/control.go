package kafka

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
)

// Keys of the rows of <ns>.control.
const (
	tableKey  = "slots"  // the slot table
	topicsKey = "topics" // the IDs of the topics
	activeKey = "tasks." // and a service: its active task partitions
)

// ErrNoControl is returned when the control topic has no slot table: the
// deployment's topics were never created, or not by `engine topics create`.
var ErrNoControl = errors.New("the deployment has no slot table")

// Control is what <ns>.control says.
type Control struct {
	Table    *topology.Table
	TopicIDs map[string]string // by topic name, as written at creation
	// Active task partitions by service, where not all are.
	Active map[string]topology.Active
}

// controlWait bounds the read of a topic that has two small rows.
const controlWait = 30 * time.Second

// ReadControl reads <ns>.control from its start to its end. ErrNoControl says that
// there is no table in it. cl is any client of the cluster; a client of its own
// does the reading.
func ReadControl(ctx context.Context, cl *kgo.Client, names topology.Names) (Control, error) {
	topic := names.Topic(record.TopicControl)
	ctx, cancel := context.WithTimeout(ctx, controlWait)
	defer cancel()
	rows, err := readCompacted(ctx, cl, topic)
	if err != nil {
		return Control{}, fmt.Errorf("read %s: %w", topic, err)
	}
	c := Control{TopicIDs: map[string]string{}}
	if b := rows[tableKey]; b != nil {
		c.Table = new(topology.Table)
		if err := json.Unmarshal(b, c.Table); err != nil {
			return Control{}, fmt.Errorf("read %s: %w", topic, err)
		}
	}
	if b := rows[topicsKey]; b != nil {
		if err := json.Unmarshal(b, &c.TopicIDs); err != nil {
			return Control{}, fmt.Errorf("read %s: topic IDs: %w", topic, err)
		}
	}
	for key, b := range rows {
		service, ok := strings.CutPrefix(key, activeKey)
		if !ok {
			continue
		}
		var a topology.Active
		if err := json.Unmarshal(b, &a); err != nil {
			return Control{}, fmt.Errorf("read %s: active task partitions of service %s: %w", topic, service, err)
		}
		if c.Active == nil {
			c.Active = map[string]topology.Active{}
		}
		c.Active[service] = a
	}
	if c.Table == nil {
		return c, fmt.Errorf("%w in %s: create the topics with `engine topics create`", ErrNoControl, topic)
	}
	return c, nil
}

// ReadTable reads the slot table alone: what a sender needs.
func ReadTable(ctx context.Context, cl *kgo.Client, names topology.Names) (*topology.Table, error) {
	c, err := ReadControl(ctx, cl, names)
	return c.Table, err
}

// WriteControl writes both rows. Only `engine topics create` does (S5).
func WriteControl(ctx context.Context, cl *kgo.Client, names topology.Names, c Control) error {
	if err := writeControlRow(ctx, cl, names, tableKey, c.Table); err != nil {
		return err
	}
	return writeControlRow(ctx, cl, names, topicsKey, c.TopicIDs)
}

// WriteActive sets how many task partitions of a service are active. Only
// `engine topics tasks` does.
func WriteActive(ctx context.Context, cl *kgo.Client, names topology.Names, service string, a topology.Active) error {
	return writeControlRow(ctx, cl, names, activeKey+service, a)
}

func writeControlRow(ctx context.Context, cl *kgo.Client, names topology.Names, key string, value any) error {
	topic := names.Topic(record.TopicControl)
	b, err := json.Marshal(value)
	if err == nil {
		err = cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Key: []byte(key), Value: b}).FirstErr()
	}
	if err != nil {
		return fmt.Errorf("write row %q of %s: %w", key, topic, err)
	}
	return nil
}

// readCompacted gives the last value of each key of a topic of one partition.
func readCompacted(ctx context.Context, cl *kgo.Client, topic string) (map[string][]byte, error) {
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	if none, ok := ends.Lookup(topic, -1); ok && none.Err != nil { // no partition at all
		return nil, none.Err
	}
	end, ok := ends.Lookup(topic, 0)
	if !ok {
		return nil, fmt.Errorf("it has no partition 0")
	}
	if end.Err != nil {
		return nil, end.Err
	}
	rows := map[string][]byte{}
	if end.Offset == 0 {
		return rows, nil
	}
	reader, err := kgo.NewClient(append(connection(cl),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(time.Second))...)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	for next := int64(0); next < end.Offset; {
		fs := reader.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("at offset %d of %d: %w", next, end.Offset, err)
		}
		if errs := fs.Errors(); len(errs) > 0 {
			return nil, errs[0].Err
		}
		fs.EachRecord(func(r *kgo.Record) {
			next = r.Offset + 1
			switch {
			case r.Attrs.IsControl():
			case r.Value == nil:
				delete(rows, string(r.Key))
			default:
				rows[string(r.Key)] = r.Value
			}
		})
	}
	return rows, nil
}

// connection gives the options with which cl reaches the cluster, for a client
// beside it.
func connection(cl *kgo.Client) []kgo.Opt {
	opts := []kgo.Opt{kgo.SeedBrokers(cl.OptValue(kgo.SeedBrokers).([]string)...)}
	// One of both: a client with a TLS configuration has made itself a dialer of it.
	if c, ok := cl.OptValue(kgo.DialTLSConfig).(*tls.Config); ok && c != nil {
		opts = append(opts, kgo.DialTLSConfig(c))
	} else if dial, ok := cl.OptValue(kgo.Dialer).(func(context.Context, string, string) (net.Conn, error)); ok && dial != nil {
		opts = append(opts, kgo.Dialer(dial))
	}
	if m, ok := cl.OptValue(kgo.SASL).([]sasl.Mechanism); ok && len(m) > 0 {
		opts = append(opts, kgo.SASL(m...))
	}
	return opts
}

func controlTopic(names topology.Names) string { return names.Topic(record.TopicControl) }

// pauseFor is between two looks at what a cluster is still about.
const pauseFor = 50 * time.Millisecond

func pause(ctx context.Context) error {
	t := time.NewTimer(pauseFor)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
