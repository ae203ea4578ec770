package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ReadPartition gives the committed records of a partition, from its beginning to what is
// its end now. The client is the caller's own: it reads nothing else.
func ReadPartition(ctx context.Context, cl *kgo.Client, topic string, partition int32, yield func(r *kgo.Record) error) error {
	adm := kadm.NewClient(cl)
	ends, err := adm.ListCommittedOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("find the end of topic %s: %w", topic, err)
	}
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fmt.Errorf("find the beginning of topic %s: %w", topic, err)
	}
	end, ok := ends.Lookup(topic, partition)
	start, _ := starts.Lookup(topic, partition)
	if !ok {
		return fmt.Errorf("topic %s has no partition %d", topic, partition)
	}
	if start.Offset >= end.Offset {
		return nil
	}
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(start.Offset)}})
	defer cl.RemoveConsumePartitions(map[string][]int32{topic: {partition}})
	for {
		fetched := cl.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			return fmt.Errorf("read %s/%d: %w", topic, partition, err)
		}
		for it := fetched.RecordIter(); !it.Done(); {
			r := it.Next()
			if r.Offset >= end.Offset {
				return nil
			}
			if !r.Attrs.IsControl() {
				if err := yield(r); err != nil {
					return err
				}
			}
			if r.Offset >= end.Offset-1 { // a marker may be the last
				return nil
			}
		}
	}
}

// ReadOptions are those of a client for ReadPartition.
func ReadOptions() []Opt {
	return []Opt{kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords()}
}

// Record is franz-go's.
type Record = kgo.Record
