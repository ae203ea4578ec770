package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// OwnTopics gives the partitions of topics of the user's, which the engine writes to in
// its transactions. It refuses those that are not there, and those that are less safe than
// the changelog: one of their partitions that is offline would hold the engine's markers
// (P5). The error names everything that is wrong.
func OwnTopics(ctx context.Context, cl *kgo.Client, changelog string, topics []string) (map[string]int32, error) {
	if len(topics) == 0 {
		return nil, nil
	}
	adm := kadm.NewClient(cl)
	all := append([]string{changelog}, topics...)
	details, err := adm.ListTopics(ctx, all...)
	if err != nil {
		return nil, fmt.Errorf("describe the topics that workflows publish to: %w", err)
	}
	insync := map[string]int{}
	configs, err := adm.DescribeTopicConfigs(ctx, all...)
	if err != nil {
		return nil, fmt.Errorf("describe the topics that workflows publish to: %w", err)
	}
	for _, c := range configs {
		for _, x := range c.Configs {
			if x.Key == "min.insync.replicas" {
				insync[c.Name], _ = strconv.Atoi(x.MaybeValue())
			}
		}
	}
	safe := details[changelog].Partitions.NumReplicas()
	out := map[string]int32{}
	var errs []error
	for _, t := range topics {
		d, ok := details[t]
		switch {
		case !ok || d.Err != nil || len(d.Partitions) == 0:
			errs = append(errs, fmt.Errorf("topic %q, which engine.Config.Publish names, is not there or may not be seen: create it, or take it out", t))
		case d.Partitions.NumReplicas() < safe:
			errs = append(errs, fmt.Errorf("topic %q has %d replicas, the changelog has %d: give it as many", t, d.Partitions.NumReplicas(), safe))
		case insync[t] < insync[changelog]:
			errs = append(errs, fmt.Errorf("topic %q has min.insync.replicas=%d, the changelog has %d: give it as many", t, insync[t], insync[changelog]))
		default:
			out[t] = int32(len(d.Partitions))
		}
	}
	return out, errors.Join(errs...)
}
