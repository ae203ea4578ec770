package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/odradek/odradek/topology"
)

// Replication chooses for a cluster of that many brokers: three replicas where
// there are three brokers, and then two in sync.
func Replication(brokers int) (factor int16, minInsync int) {
	factor = int16(min(3, brokers))
	if factor >= 3 {
		return factor, 2
	}
	return factor, 1
}

// Brokers gives the IDs of the cluster's brokers, and the cluster's.
func Brokers(ctx context.Context, cl *kgo.Client) (ids []int32, cluster string, err error) {
	md, err := kadm.NewClient(cl).BrokerMetadata(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("list the brokers: %w", err)
	}
	for _, b := range md.Brokers {
		ids = append(ids, b.NodeID)
	}
	slices.Sort(ids)
	return ids, md.Cluster, nil
}

// CreateTopics creates what is missing of the plan and gives the names. Partition
// p of aligned topics gets the same replicas: fewer leaders in a transaction. The
// slot table and the topics' IDs are written to control unless they are there;
// topics that are added later, of new services, get their IDs then.
func CreateTopics(ctx context.Context, cl *kgo.Client, d topology.Deployment) ([]string, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	brokers, _, err := Brokers(ctx, cl)
	if err != nil {
		return nil, err
	}
	if int(d.ReplicationFactor) > len(brokers) {
		return nil, fmt.Errorf("replication factor %d is more than the %d brokers of the cluster: choose at most %d", d.ReplicationFactor, len(brokers), len(brokers))
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 30_000
	for i, s := range d.Plan() {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = s.Name, -1, -1
		shift := 0
		if !s.Aligned {
			shift = i
		}
		for p := range s.Partitions {
			a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
			a.Partition = p
			for r := range int(d.ReplicationFactor) {
				a.Replicas = append(a.Replicas, brokers[(int(p)+shift+r)%len(brokers)])
			}
			t.ReplicaAssignment = append(t.ReplicaAssignment, a)
		}
		for k, v := range s.Configs {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = k, kmsg.StringPtr(v)
			t.Configs = append(t.Configs, c)
		}
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, fmt.Errorf("create topics: %w", err)
	}
	var created []string
	for _, t := range resp.Topics {
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case err == nil:
			created = append(created, t.Topic)
		case errors.Is(err, kerr.TopicAlreadyExists):
		case errors.Is(err, kerr.TopicAuthorizationFailed):
			return created, fmt.Errorf("create topic %s: %w: allow this principal CREATE on topics with the prefix %q", t.Topic, err, d.Namespace+".")
		default:
			why := ""
			if t.ErrorMessage != nil {
				why = ": " + *t.ErrorMessage
			}
			return created, fmt.Errorf("create topic %s: %w%s", t.Topic, err, why)
		}
	}
	if err := waitForTopics(ctx, cl, d); err != nil {
		return created, err
	}
	return created, initControl(ctx, cl, d)
}

// waitForTopics returns when every partition of the plan has a leader.
func waitForTopics(ctx context.Context, cl *kgo.Client, d topology.Deployment) error {
	var names []string
	for _, s := range d.Plan() {
		names = append(names, s.Name)
	}
	for {
		md, err := kadm.NewClient(cl).Metadata(ctx, names...)
		if err != nil {
			return fmt.Errorf("wait for the topics: %w", err)
		}
		ready := true
		for _, s := range d.Plan() {
			t := md.Topics[s.Name]
			ready = ready && t.Err == nil && len(t.Partitions) > 0
			for _, p := range t.Partitions {
				ready = ready && p.Err == nil && p.Leader >= 0
			}
		}
		if ready {
			return nil
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("wait for the topics' leaders: %w", err)
		}
	}
}

func initControl(ctx context.Context, cl *kgo.Client, d topology.Deployment) error {
	c, err := ReadControl(ctx, cl, d.Names)
	switch {
	case errors.Is(err, ErrNoControl):
		c = Control{Table: topology.TableZero(d.Partitions), TopicIDs: map[string]string{}}
	case err != nil:
		return err
	}
	actual, err := describe(ctx, cl, d)
	if err != nil {
		return err
	}
	changed := len(c.TopicIDs) == 0
	for name, a := range actual {
		if c.TopicIDs[name] == "" {
			c.TopicIDs[name], changed = a.ID, true
		}
	}
	if !changed {
		return nil
	}
	return WriteControl(ctx, cl, d.Names, c)
}

// describe gives the topics of the plan that the cluster has.
func describe(ctx context.Context, cl *kgo.Client, d topology.Deployment) (map[string]topology.Actual, error) {
	var names []string
	for _, s := range d.Plan() {
		names = append(names, s.Name)
	}
	adm := kadm.NewClient(cl)
	md, err := adm.Metadata(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("describe the topics: %w", err)
	}
	actual := map[string]topology.Actual{}
	var there []string
	for _, name := range names {
		t, ok := md.Topics[name]
		switch {
		case !ok || errors.Is(t.Err, kerr.UnknownTopicOrPartition):
			continue
		case errors.Is(t.Err, kerr.TopicAuthorizationFailed):
			return nil, fmt.Errorf("describe topic %s: %w: allow this principal DESCRIBE on it", name, t.Err)
		case t.Err != nil:
			return nil, fmt.Errorf("describe topic %s: %w", name, t.Err)
		}
		a := topology.Actual{Partitions: int32(len(t.Partitions)), Configs: map[string]string{}, ID: t.ID.String()}
		for _, p := range t.Partitions {
			if n := int16(len(p.Replicas)); a.ReplicationFactor == 0 || n < a.ReplicationFactor {
				a.ReplicationFactor = n
			}
		}
		actual[name] = a
		there = append(there, name)
	}
	if len(there) == 0 {
		return actual, nil
	}
	configs, err := adm.DescribeTopicConfigs(ctx, there...)
	if err != nil {
		if errors.Is(err, kerr.TopicAuthorizationFailed) {
			return nil, fmt.Errorf("describe the topics' settings: %w: allow this principal DESCRIBE_CONFIGS on topics with the prefix %q", err, d.Namespace+".")
		}
		return nil, fmt.Errorf("describe the topics' settings: %w", err)
	}
	for _, rc := range configs {
		switch {
		case errors.Is(rc.Err, kerr.UnknownTopicOrPartition): // deleted since we looked
			delete(actual, rc.Name)
			continue
		case errors.Is(rc.Err, kerr.TopicAuthorizationFailed):
			return nil, fmt.Errorf("describe the settings of topic %s: %w: allow this principal DESCRIBE_CONFIGS on it", rc.Name, rc.Err)
		case rc.Err != nil:
			return nil, fmt.Errorf("describe the settings of topic %s: %w", rc.Name, rc.Err)
		}
		for _, c := range rc.Configs {
			if c.Value != nil {
				actual[rc.Name].Configs[c.Key] = *c.Value
			}
		}
	}
	return actual, nil
}

// Checked is what a check of the topics found.
type Checked struct {
	Control  Control
	Findings []topology.Finding
	// Services are the task partitions M that each declared service has; without an
	// entry its topic is missing.
	Services map[string]int32
	// InputRetention is how long the cluster keeps input that is not processed; 0: for
	// ever.
	InputRetention time.Duration
}

// Fatal gives the findings that refuse a start.
func (c Checked) Fatal() []topology.Finding {
	return slices.DeleteFunc(slices.Clone(c.Findings), func(f topology.Finding) bool { return f.Severity != topology.Fatal })
}

// CheckTopics compares the cluster's topics with the plan. N is what the slot table
// says, whatever d has: it is part of the deployment's state. Task topics keep the
// M that they have. ErrNoControl says that the deployment was never created.
func CheckTopics(ctx context.Context, cl *kgo.Client, d topology.Deployment) (Checked, error) {
	c := Checked{Services: map[string]int32{}}
	actual, err := describe(ctx, cl, d)
	if err != nil {
		return c, err
	}
	if _, ok := actual[controlTopic(d.Names)]; ok {
		if c.Control, err = ReadControl(ctx, cl, d.Names); err != nil && !errors.Is(err, ErrNoControl) {
			return c, err
		}
	}
	if c.Control.Table != nil {
		d.Partitions = c.Control.Table.Partitions
	}
	services := map[string]int32{}
	for s, m := range d.Services {
		if a, ok := actual[d.Tasks(s)]; ok {
			m = min(a.Partitions, d.Partitions)
			c.Services[s] = m
		}
		services[s] = m
	}
	d.Services = services
	c.InputRetention = d.InputRetention(actual)
	c.Findings = d.Diff(actual, c.Control.TopicIDs)
	if c.Control.Table == nil {
		return c, fmt.Errorf("%w in namespace %q: create the topics with `engine topics create`", ErrNoControl, d.Namespace)
	}
	return c, nil
}

// IsMissing reports whether the error says that a topic is not there.
func IsMissing(err error) bool { return errors.Is(err, kerr.UnknownTopicOrPartition) }
