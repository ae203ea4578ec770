package kafkatest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// WarmUp runs transactions through the cluster for d. A JVM that has just started
// is 3 to 4 times slower than one that is warm, for about half a minute (measured):
// whoever measures warms it up first.
func (c *Cluster) WarmUp(ctx context.Context, d time.Duration) (err error) {
	const topic = "kafkatest-warm-up"
	ctx, cancel := context.WithTimeout(ctx, d+readyTimeout)
	defer cancel()
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(c.Seeds()...), kgo.TransactionalID("kafkatest-warm-up"), kgo.DefaultProduceTopic(topic),
		kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.MetadataMinAge(20*time.Millisecond), kgo.ProducerLinger(0),
	)
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	if _, err = adm.CreateTopic(ctx, 1, -1, nil, topic); err != nil {
		return fmt.Errorf("create %s: %w", topic, err)
	}
	defer func() {
		_, e := adm.DeleteTopics(ctx, topic)
		err = errors.Join(err, e)
	}()
	value := make([]byte, 256)
	for end := time.Now().Add(d); time.Now().Before(end); {
		if err := cl.BeginTransaction(); err != nil {
			return err
		}
		const records = 64
		for range records {
			cl.Produce(ctx, &kgo.Record{Value: value}, nil)
		}
		if err := cl.Flush(ctx); err != nil {
			return err
		}
		if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
			return fmt.Errorf("warm up: %w", err)
		}
		for got := 0; got < records; {
			fetched := cl.PollFetches(ctx)
			if err := fetched.Err(); err != nil {
				return fmt.Errorf("warm up: %w", err)
			}
			got += fetched.NumRecords()
		}
	}
	return nil
}
