package main

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// volume is what the broker holds of a side, by topic without the namespace: offsets
// that were given, markers of transactions included, and bytes of the logs (B1).
type volume map[string]amount

type amount struct {
	Records float64 `json:"records"`
	Bytes   float64 `json:"bytes"`
}

func volumeOf(ctx context.Context, cl *kgo.Client, namespace string) (volume, error) {
	adm := kadm.NewClient(cl)
	v := volume{}
	topics, err := adm.ListTopics(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, t := range topics.Names() {
		if strings.HasPrefix(t, namespace+".") {
			names = append(names, t)
		}
	}
	ends, err := adm.ListEndOffsets(ctx, names...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, err
	}
	ends.Each(func(o kadm.ListedOffset) {
		a := v[strings.TrimPrefix(o.Topic, namespace+".")]
		a.Records += float64(o.Offset)
		v[strings.TrimPrefix(o.Topic, namespace+".")] = a
	})
	dirs, err := adm.DescribeAllLogDirs(ctx, topics.TopicsSet())
	if err != nil {
		return nil, err
	}
	for _, broker := range dirs {
		if err := broker.Error(); err != nil {
			return nil, err
		}
		broker.EachPartition(func(p kadm.DescribedLogDirPartition) {
			if name, ok := strings.CutPrefix(p.Topic, namespace+"."); ok {
				a := v[name]
				a.Bytes += float64(p.Size)
				v[name] = a
			}
		})
	}
	return v, nil
}

// since is what was written after before, per workflow.
func (v volume) since(before volume, workflows int) volume {
	d := volume{}
	for name, a := range v {
		n := float64(workflows)
		if a := (amount{(a.Records - before[name].Records) / n, (a.Bytes - before[name].Bytes) / n}); a.Records > 0.01 {
			d[name] = a
		}
	}
	return d
}

func (v volume) sum() (total amount) {
	for _, a := range v {
		total.Records += a.Records
		total.Bytes += a.Bytes
	}
	return total
}
