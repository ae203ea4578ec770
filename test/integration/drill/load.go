package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/test/system"
	"github.com/odradek/odradek/workflows/billing"
)

// load starts subscriptions of one short month at a steady rate, by turns over the
// HTTP API of each engine and with a Kafka client that knows the protocol page only.
// It remembers what was accepted, and sees from outside what closes.
type load struct {
	sys    *system.System
	month  time.Duration
	api    []*client.HTTP
	kafka  *kgo.Client
	log    *journal
	wg     sync.WaitGroup
	asked  atomic.Int64
	gaveUp atomic.Int64

	mu       sync.Mutex
	accepted map[string]bool
	closed   map[string]bool
}

// inFlightMax bounds how many starts wait for their answer.
const inFlightMax = 400

// startPatience is how long a start is repeated: any outage of a partition is shorter.
const startPatience = 2 * time.Minute

func newLoad(sys *system.System, month time.Duration, log *journal) (*load, error) {
	l := &load{sys: sys, month: month, log: log, accepted: map[string]bool{}, closed: map[string]bool{}}
	for _, e := range sys.Engines {
		// One try: the other engine is the next.
		c, err := client.NewHTTP(client.HTTPConfig{URL: "http://" + e.API, Patience: -1})
		if err != nil {
			return nil, err
		}
		l.api = append(l.api, c)
	}
	opts, err := sys.Options()
	if err != nil {
		return nil, err
	}
	l.kafka, err = kgo.NewClient(append(opts, kgo.ProducerLinger(0), kgo.ConsumeTopics(sys.Topic(record.TopicHistory)),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	return l, err
}

// run starts rate subscriptions a second until ctx ends, then waits for answers.
func (l *load) run(ctx context.Context, rate int) {
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	inFlight := make(chan struct{}, inFlightMax)
	// Answers are waited for beyond the end: what was asked for may have been accepted.
	answers := context.WithoutCancel(ctx)
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			l.wg.Wait()
			return
		case <-tick.C:
		}
		select {
		case <-ctx.Done():
			l.wg.Wait()
			return
		case inFlight <- struct{}{}:
		}
		l.asked.Add(1)
		l.wg.Go(func() {
			defer func() { <-inFlight }()
			l.start(answers, n)
		})
	}
}

func (l *load) start(ctx context.Context, n int) {
	id := fmt.Sprintf("customer-%06d", n)
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	input, err := json.Marshal(billing.Subscription{Customer: id, Calendar: billing.Calendar{Every: billing.Length(l.month)}, Months: 1})
	for try := 0; err == nil; try++ {
		if n%2 == 0 {
			err = l.kafka.ProduceSync(ctx, &kgo.Record{
				Topic: l.sys.Topic(record.TopicCommands), Key: []byte(id), Value: input,
				Headers: []kgo.RecordHeader{{Key: "od-type", Value: []byte(billing.Definition.Type())}},
			}).FirstErr()
		} else {
			_, err = l.api[(n/2+try)%len(l.api)].Start(ctx, client.StartRequest{WorkflowID: id, Type: billing.Definition.Type(), Input: input})
			if e, ok := errors.AsType[*client.Error](err); ok && ctx.Err() == nil && (e.Retryable || e.Code == client.CodeUnreachable) {
				select {
				case <-time.After(100 * time.Millisecond):
				case <-ctx.Done():
				}
				err = nil
				continue
			}
		}
		if err == nil {
			l.mu.Lock()
			l.accepted[id] = true
			l.mu.Unlock()
			return
		}
	}
	l.gaveUp.Add(1)
	l.log.say("start of %s was not accepted: %v", id, err)
}

// watch sees what closes until ctx ends.
func (l *load) watch(ctx context.Context) error {
	for ctx.Err() == nil {
		fs := l.kafka.PollFetches(ctx)
		for _, e := range fs.Errors() {
			if ctx.Err() == nil {
				return fmt.Errorf("read %s: %w", e.Topic, e.Err)
			}
		}
		l.mu.Lock()
		fs.EachRecord(func(r *kgo.Record) {
			for _, h := range r.Headers {
				if h.Key == "ce_type" && string(h.Value) == "io.odradek.run_completed.v1" {
					l.closed[string(r.Key)] = true
				}
			}
		})
		l.mu.Unlock()
	}
	return nil
}

// counts gives how many were accepted, and how many of them have not closed.
func (l *load) counts() (accepted, open int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.accepted {
		if !l.closed[id] {
			open++
		}
	}
	return len(l.accepted), open
}

// stuckAsked bounds how many runs are asked about: an engine may not answer.
const stuckAsked = 20

// stuck asks the first engine why runs have not closed: how many are stuck, by code,
// of the first that are open.
func (l *load) stuck(ctx context.Context) map[string]int {
	l.mu.Lock()
	var open []string
	for id := range l.accepted {
		if !l.closed[id] {
			open = append(open, id)
		}
	}
	l.mu.Unlock()
	codes := map[string]int{}
	for _, id := range open[:min(len(open), stuckAsked)] {
		bounded, cancel := context.WithTimeout(ctx, time.Second)
		if w, err := l.api[0].Get(bounded, id); err == nil && w.Stuck != nil {
			codes[w.Stuck.Code]++
		}
		cancel()
	}
	return codes
}

// months is what the oracle is asked: one month of each who was accepted.
func (l *load) months() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := map[string]int{}
	for id := range l.accepted {
		m[id] = 1
	}
	return m
}

func (l *load) close() {
	l.kafka.Close()
	for _, c := range l.api {
		c.Close()
	}
}
