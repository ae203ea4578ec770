package processor

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
)

// topicNames are the names of the topics, made once.
type topicNames struct {
	topics [record.TopicStatus + 1]string
	tasks  map[string]string // by service
	names  topology.Names
}

func newTopicNames(names topology.Names, services map[string]int32) *topicNames {
	n := &topicNames{names: names, tasks: make(map[string]string, len(services))}
	for t := record.TopicCommands; t <= record.TopicStatus; t++ {
		if t != record.TopicTasks {
			n.topics[t] = names.Topic(t)
		}
	}
	for s := range services {
		n.tasks[s] = names.Tasks(s)
	}
	return n
}

func (n *topicNames) of(t record.Topic, service string) string {
	switch t {
	case record.TopicOwn:
		return service
	case record.TopicTasks:
	default:
		return n.topics[t]
	}
	if name, ok := n.tasks[service]; ok {
		return name
	}
	return n.names.Tasks(service)
}

// prepare makes Kafka records of the batch: outputs first, then the rows that
// travel, and last the positions row, behind which the changelog goes on.
func (c *committer) prepare(b *batch) {
	travel, headers := 0, 0
	for i := range b.Rows {
		if b.Rows[i].Travels {
			travel++
		}
	}
	for i := range b.Outputs {
		headers += len(b.Outputs[i].Headers)
	}
	b.records = make([]kgo.Record, 0, len(b.Outputs)+travel+1)
	b.headers = make([]kgo.RecordHeader, 0, headers)
	at := b.Now.Time()
	changelog := c.names.topics[record.TopicChangelog]
	for i := range b.Outputs {
		o := &b.Outputs[i]
		from := len(b.headers)
		for _, h := range o.Headers {
			b.headers = append(b.headers, kgo.RecordHeader(h))
		}
		name := c.names.of(o.Topic, o.Service)
		b.targets.add(o.Topic, o.Service, name, o.Partition)
		b.info.Bytes += len(o.Key) + len(o.Value)
		b.records = append(b.records, kgo.Record{
			Topic: name, Partition: o.Partition, Key: o.Key, Value: o.Value, Timestamp: at,
			Headers: b.headers[from:len(b.headers):len(b.headers)],
		})
	}
	for i := range b.Rows {
		if row := &b.Rows[i]; row.Travels {
			b.info.Bytes += len(row.Key) + len(row.Value)
			b.records = append(b.records, kgo.Record{Topic: changelog, Partition: c.partition, Key: row.Key, Value: row.Value, Timestamp: at})
		}
	}
	var enc codec.RowEncoder
	enc.PutPositions(b.positions)
	row := &enc.Rows[len(enc.Rows)-1]
	b.records = append(b.records, kgo.Record{Topic: changelog, Partition: c.partition, Key: row.Key, Value: row.Value, Timestamp: at})
	b.targets.add(record.TopicChangelog, "", changelog, c.partition)
	b.info.Records = len(b.records)
}
