package partition

import (
	"fmt"

	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
)

// publishable refuses a topic that engine.Config does not name, or that refused (P5).
func (p *Partition) publishable(topic string) *machine.Refusal {
	if _, ok := p.cfg.Publish[topic]; !ok {
		return &machine.Refusal{Code: "topic_undeclared", Detail: fmt.Sprintf("topic %q is not among what this binary may publish to: name it in engine.Config.Publish", topic)}
	}
	return p.refusing(target{record.TopicOwn, topic})
}

// publishTo writes a record of the author's to a topic of his own, where Java's default
// partitioner would put it.
func (p *Partition) publishTo(e *entry, b *record.Published) {
	r := &e.state.Run
	out := record.Output{Topic: record.TopicOwn, Service: b.Topic, Key: b.Key, Value: b.Payload, Run: r.Run, WorkflowID: r.WorkflowID}
	if len(out.Value) == 0 { // the same bytes from a live run and from a chunk
		out.Value = nil
	}
	out.Partition = topology.KeyPartition(b.Key, p.cfg.Publish[b.Topic])
	p.output(out)
}
