package processor

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/odradek/odradek/record"
)

// How Add is retried (P4): the markers of the ID's last transaction are written
// within a millisecond or few.
const (
	addPauseMin = time.Millisecond
	addPauseMax = 50 * time.Millisecond
	// unknownTopicTries is how often a topic may be unknown before it counts: brokers
	// learn of a new topic one after the other.
	unknownTopicTries = 6
)

// target is one partition that a transaction writes.
type target struct {
	topic     record.Topic
	service   string // with TopicTasks
	name      string
	partition int32
}

// targets collects the distinct partitions of a batch: a handful, so that a
// search from the last hit beats a map.
type targets struct {
	list []target
	last int
}

func (ts *targets) add(topic record.Topic, service, name string, partition int32) {
	if ts.last < len(ts.list) {
		if t := &ts.list[ts.last]; t.partition == partition && t.topic == topic && t.service == service {
			return
		}
	}
	for i := range ts.list {
		if t := &ts.list[i]; t.partition == partition && t.topic == topic && t.service == service {
			ts.last = i
			return
		}
	}
	ts.last = len(ts.list)
	ts.list = append(ts.list, target{topic, service, name, partition})
}

func (ts *targets) find(name string, partition int32) *target {
	for i := range ts.list {
		if t := &ts.list[i]; t.partition == partition && t.name == name {
			return t
		}
	}
	return nil
}

// request is the AddPartitionsToTxn of a transaction.
func (ts *targets) request(id string, producer int64, epoch int16) *kmsg.AddPartitionsToTxnRequest {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = id, producer, epoch
next:
	for i := range ts.list {
		t := &ts.list[i]
		for j := range req.Topics {
			if req.Topics[j].Topic == t.name {
				req.Topics[j].Partitions = append(req.Topics[j].Partitions, t.partition)
				continue next
			}
		}
		topic := kmsg.NewAddPartitionsToTxnRequestTopic()
		topic.Topic, topic.Partitions = t.name, []int32{t.partition}
		req.Topics = append(req.Topics, topic)
	}
	return req
}

// addPartitions puts every partition of a transaction in with one request, before
// anything is produced. Without it the leaders ask the coordinator one by one,
// collide, and the broker backs off 20 ms. It returns an undeliverableError if
// outputs are not wanted where they go; then nothing was added.
func addPartitions(ctx context.Context, cl *kgo.Client, id string, producer int64, epoch int16, ts *targets, bound time.Duration) (retries int, err error) {
	req := ts.request(id, producer, epoch)
	start, pause := time.Now(), addPauseMin
	for {
		resp, err := req.RequestWith(ctx, cl)
		if err != nil {
			return retries, doubt("add partitions", err)
		}
		a := judgeAdd(resp, ts)
		switch {
		case a.fatal != nil:
			return retries, doubt("add partitions", a.fatal)
		case len(a.undeliverable) > 0 && (!a.unknown || retries >= unknownTopicTries):
			return retries, &undeliverableError{a.undeliverable}
		case a.again == nil:
			return retries, nil
		case time.Since(start) > bound:
			return retries, doubt("add partitions", a.again)
		}
		retries++
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return retries, doubt("add partitions", context.Cause(ctx))
		}
		if retries > 1 { // 1, 1, 2, 4 ... 50 ms
			pause = min(2*pause, addPauseMax)
		}
	}
}

// addAnswer is what the per-partition answers mean together.
type addAnswer struct {
	fatal         error           // fenced, or what nobody expects
	again         error           // passes
	undeliverable []undeliverable // outputs that hurt only their runs
	unknown       bool            // and all because the topic is unknown, which may pass
}

func judgeAdd(resp *kmsg.AddPartitionsToTxnResponse, ts *targets) addAnswer {
	a := addAnswer{unknown: true}
	notAttempted := false
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			name, p := resp.Topics[i].Topic, &resp.Topics[i].Partitions[j]
			err := kerr.TypedErrorForCode(p.ErrorCode)
			switch err {
			case nil:
			case kerr.OperationNotAttempted: // because of another partition
				notAttempted = true
			case kerr.UnknownTopicOrPartition, kerr.TopicAuthorizationFailed, kerr.InvalidTopicException:
				a.unknown = a.unknown && err == kerr.UnknownTopicOrPartition
				if t := ts.find(name, p.Partition); t != nil && t.topic == record.TopicTasks {
					a.undeliverable = append(a.undeliverable, explain(t, err))
					a.again = err
					continue
				}
				a.fatal = fmt.Errorf("%s/%d: %w: the engine cannot work without this topic; create it or allow WRITE on it", name, p.Partition, err)
				if err == kerr.UnknownTopicOrPartition && a.again == nil {
					// Our own topics were checked at start: a broker that does not know
					// them yet will.
					a.again, a.fatal = a.fatal, nil
				}
			case kerr.ConcurrentTransactions:
				a.again = err
			default:
				if err.Retriable {
					a.again = err
					continue
				}
				a.fatal = fmt.Errorf("%s/%d: %w", name, p.Partition, err)
			}
		}
	}
	if notAttempted && a.again == nil && a.fatal == nil {
		a.again = kerr.OperationNotAttempted
	}
	return a
}

func explain(t *target, err *kerr.Error) undeliverable {
	u := undeliverable{topic: t.topic, service: t.service}
	switch err {
	case kerr.TopicAuthorizationFailed:
		u.code = "output_forbidden"
		u.detail = fmt.Sprintf("the engine may not write to %s: allow its principal WRITE on that topic", t.name)
	case kerr.UnknownTopicOrPartition:
		u.code = "output_topic_missing"
		u.detail = fmt.Sprintf("there is no partition %d of topic %s: create it with `engine topics create`", t.partition, t.name)
	default:
		u.code = "output_refused"
		u.detail = fmt.Sprintf("topic %s refuses records: %s", t.name, err.Message)
	}
	return u
}
