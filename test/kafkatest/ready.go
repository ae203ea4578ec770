package kafkatest

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// readyTimeout is far above what 3 brokers need on a busy machine (15 s alone).
const readyTimeout = 3 * time.Minute

// ready waits until n brokers know each other and transactions work (K3).
func (c *Cluster) ready(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Seeds()...), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	for {
		err = c.look(ctx, adm, n)
		if err == nil {
			break
		}
		for _, b := range c.brokers {
			if !b.proc.Running() && b.proc.State() != nil && b.proc.State().ExitCode() > 0 {
				return fmt.Errorf("broker %d ended with %v:\n%s", b.id, b.proc.State(), b.logTail())
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("kafka in %s is not ready: %w (%w)\n%s", c.dir, err, context.Cause(ctx), c.brokers[0].logTail())
		case <-time.After(50 * time.Millisecond):
		}
	}
	tx, err := kgo.NewClient(kgo.SeedBrokers(c.Seeds()...), kgo.TransactionalID("kafkatest-ready"), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		return err
	}
	defer tx.Close()
	for {
		_, _, err := tx.ProducerID(ctx)
		if err == nil {
			return nil
		}
		select { // a broker is listed a moment before it listens
		case <-ctx.Done():
			return fmt.Errorf("kafka in %s: initialise a transactional producer: %w", c.dir, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// look asks with a short timeout of its own: a broker that starts may not answer.
func (c *Cluster) look(ctx context.Context, adm *kadm.Client, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	brokers, err := adm.ListBrokers(ctx)
	if err != nil {
		return err
	}
	if len(brokers) < n {
		return fmt.Errorf("%d of %d brokers are there", len(brokers), n)
	}
	return nil
}
