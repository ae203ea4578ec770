package worker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

// statusLoop is the loop's name for people.
const statusLoop = "status"

// goodbyeMax bounds how long Stop waits until the worker's row is taken back. Without it the
// row is shown until it is old.
const goodbyeMax = time.Second

// status is the worker's side of the topic status: it writes a row of its own, which people
// are shown, and reads what operators did to its services, which it obeys.
type status struct {
	w      *Worker
	topic  string
	client *kgo.Client

	mu      sync.Mutex
	out     bool // a row is on its way
	shown   bool // a row was written
	warned  bool // that rows cannot be written
	reading sync.WaitGroup
}

// start reads the topic to its end, so that no service is called that is paused.
func (s *status) start(ctx context.Context, w *Worker) (err error) {
	s.w, s.topic = w, w.names.Topic(record.TopicStatus)
	s.client, err = w.cfg.client(
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.topic: {0: kgo.NewOffset().AtStart()}}),
		kgo.FetchMaxWait(time.Second),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		// A row that is lost is written again. Without idempotence a write gives up with its
		// context, also where the brokers are away.
		kgo.DisableIdempotentWrite(),
		kgo.RequiredAcks(kgo.LeaderAck()),
	)
	if err != nil {
		return fmt.Errorf("make the reader of topic %s: %w", s.topic, err)
	}
	adm := kadm.NewClient(s.client)
	ends, err := adm.ListCommittedOffsets(ctx, s.topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("find the end of topic %s, which tells of paused services (engine topics create makes it): %w", s.topic, err)
	}
	starts, err := adm.ListStartOffsets(ctx, s.topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fmt.Errorf("find the start of topic %s: %w", s.topic, err)
	}
	end, _ := ends.Lookup(s.topic, 0)
	begin, _ := starts.Lookup(s.topic, 0)
	for at := begin.Offset; at < end.Offset; {
		fetched := s.client.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			return fmt.Errorf("read topic %s: %w", s.topic, err)
		}
		fetched.EachRecord(func(k *kgo.Record) {
			s.take(k)
			at = k.Offset + 1
		})
	}
	return nil
}

// take obeys a row of a service.
func (s *status) take(k *kgo.Record) {
	name, row, ok, err := codec.DecodeServiceRow(k.Key, k.Value)
	if !ok {
		return
	}
	if err != nil {
		s.w.cfg.Logger.Warn("a row of the topic status is passed over", "offset", k.Offset, "err", err)
		return
	}
	for _, service := range s.w.services {
		if service.name == name {
			service.setPaused(row)
		}
	}
}

// read follows the topic until ctx ends.
func (s *status) read(ctx context.Context) {
	for {
		fetched := s.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		fetched.EachError(func(topic string, _ int32, err error) {
			s.w.cfg.Logger.Warn("whether services are paused is not read", "topic", topic, "err", err)
		})
		fetched.EachRecord(s.take)
	}
}

// loop writes the worker's row until ctx ends.
func (s *status) loop(ctx context.Context) {
	cfg := &s.w.cfg
	defer cfg.Listener.end(statusLoop)
	s.reading.Go(func() { s.read(ctx) })
	tick := time.NewTicker(cfg.StatusEvery)
	defer tick.Stop()
	for {
		s.write(ctx)
		cfg.Listener.beat(statusLoop)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// write sends the row, and does not wait: while one is out there is no other.
func (s *status) write(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out {
		return
	}
	s.out = true
	key, value := codec.EncodeWorkerRow(s.w.row())
	s.client.Produce(ctx, &kgo.Record{Topic: s.topic, Key: key, Value: value}, func(_ *kgo.Record, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.out, s.shown = false, s.shown || err == nil
		if err != nil && ctx.Err() == nil && !s.warned {
			s.w.cfg.Logger.Warn("the worker's status is not written; it needs the right to write there, and the rest of it works without", "topic", s.topic, "err", err)
		}
		s.warned = err != nil
	})
}

// stop takes the row back. The loops have ended.
func (s *status) stop(ctx context.Context) {
	if s.client == nil {
		return
	}
	s.reading.Wait()
	defer s.client.Close()
	s.mu.Lock()
	shown := s.shown
	s.mu.Unlock()
	if !shown {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, goodbyeMax)
	defer cancel()
	gone := make(chan struct{})
	s.client.Produce(ctx, &kgo.Record{Topic: s.topic, Key: codec.WorkerRowKey(s.w.cfg.Instance)}, func(*kgo.Record, error) { close(gone) })
	select {
	case <-gone:
	case <-ctx.Done():
	}
}

// row is what the worker says of itself.
func (w *Worker) row() *record.WorkerRow {
	r := &record.WorkerRow{Instance: w.cfg.Instance, Build: w.cfg.Build, At: record.MillisOf(time.Now()), Services: []record.WorkerService{}}
	for _, st := range w.Status() {
		var retryAt record.Millis
		if !st.RetryAt.IsZero() {
			retryAt = record.MillisOf(st.RetryAt)
		}
		r.Services = append(r.Services, record.WorkerService{
			Service: st.Service, Partitions: st.Partitions, Permits: st.Permits, Running: st.Running, Queued: st.Queued, Open: st.Open,
			Rate: st.Rate, RateLimited: st.RateLimited, Keys: st.Keys, KeyLimited: st.KeyLimited,
			Breaker: st.Breaker, RetryAt: retryAt, LastFailure: st.LastFailure, Paused: st.OperatorPaused,
		})
	}
	return r
}

// setPaused lets the service's tasks wait, or go on. Calls under way end.
func (s *service) setPaused(row *record.ServiceRow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	paused := row != nil && row.Paused
	if paused == s.paused {
		return
	}
	s.paused = paused
	act := row.Last()
	if act == nil {
		act = &record.ServiceAct{}
	}
	if paused {
		s.log.Warn("the service is paused: its tasks wait", "by", act.By, "reason", act.Reason)
	} else {
		s.log.Info("the service is resumed", "by", act.By, "reason", act.Reason)
	}
	if s.partitions > 0 { // it has started
		s.setPermits()
	}
}
