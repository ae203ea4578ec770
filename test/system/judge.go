package system

import (
	"context"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/test/oracle"
	"github.com/odradek/odradek/workflows/billing/apis"
)

// Judgement is what an oracle says of a deployment whose engines have stopped.
type Judgement struct {
	oracle.Verdict
	Runs       int // that closed
	Requests   int // to the APIs
	Repeats    int // that the APIs had seen before
	Tasks      int // attempts that were sent
	Stores     int // that were compared
	StoreEqual bool
}

// Judge asks the oracle: months are to be billed by customer, who is a workflow too.
func (s *System) Judge(ctx context.Context, months map[string]int) (*Judgement, error) {
	j := &Judgement{}
	v := &j.Verdict
	ledgers, err := oracle.ReadLedgers(s.Ledgers())
	if err != nil {
		return j, err
	}
	j.Requests, j.Repeats = ledgers.Requests, ledgers.Repeats
	ledgers.Judge(v, months)

	opts, err := s.Options()
	if err != nil {
		return j, err
	}
	log, err := oracle.ReadChangelog(ctx, opts, s.Topic(record.TopicChangelog), s.Partitions())
	if err != nil {
		return j, err
	}
	histories := oracle.NewHistories()
	for _, records := range log {
		for _, r := range records {
			if err := histories.Add(v, r); err != nil {
				return j, err
			}
		}
	}
	j.Runs = histories.Runs()
	tasks := map[string]int{}
	for id, n := range months {
		tasks[id] = n * len(apis.Services())
	}
	histories.Judge(v, tasks)

	for _, service := range apis.Services() {
		n, err := oracle.Unique(ctx, opts, v, s.Names.Tasks(service), oracle.Attempt)
		if err != nil {
			return j, err
		}
		j.Tasks += n
	}
	if _, err := oracle.Unique(ctx, opts, v, s.Topic(record.TopicHistory), oracle.Event); err != nil {
		return j, err
	}

	cluster, err := s.Cluster(ctx)
	if err != nil {
		return j, err
	}
	stores := oracle.Stores{Dirs: s.StoreDirs(), Cluster: cluster, Scratch: s.cfg.Dir}
	broken := v.Broken
	for p, records := range log {
		n, err := stores.Judge(v, int32(p), records)
		if err != nil {
			return j, err
		}
		j.Stores += n
	}
	j.StoreEqual = v.Broken == broken && j.Stores >= len(log)
	return j, nil
}
