package worker

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// refuseProduce answers each Produce for which refuse gives a code with it.
func (e *env) refuseProduce(refuse func(*kmsg.ProduceRequest) int16) {
	e.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		e.cluster.KeepControl()
		pr := req.(*kmsg.ProduceRequest)
		code := refuse(pr)
		if code == 0 {
			return nil, nil, false
		}
		resp := pr.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range pr.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, code
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
}

// TestAResultThatKafkaRefusesIsProducedAgain: a missing right is an operator's
// matter; the call is not made again meanwhile.
func TestAResultThatKafkaRefusesIsProducedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 1)
		e.put(3, "charge", 1)
		var calls, refused atomic.Int32
		e.refuseProduce(func(*kmsg.ProduceRequest) int16 {
			if refused.Add(1) <= 3 {
				return kerr.TopicAuthorizationFailed.Code
			}
			return 0
		})
		w := e.start("a", Config{Handlers: []Handler{HandleRaw(testService, "charge", func(_ context.Context, c *Call) ([]byte, error) {
			calls.Add(1)
			return c.Input, nil
		})}})
		e.events(3)
		waitFor(t, func() bool { return w.services[0].committedAt(0) == 3 })
		if calls.Load() != 3 || refused.Load() < 4 {
			t.Fatalf("%d calls, %d produce requests", calls.Load(), refused.Load())
		}
	})
}

// TestAResultAboveTheTopicsLimitIsReported: an operator lowered max.message.bytes; the
// task fails visibly instead of hanging.
func TestAResultAboveTheTopicsLimitIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 1)
		e.produce(taskRecord(1, "charge", 0, "{}"))
		e.refuseProduce(func(pr *kmsg.ProduceRequest) int16 {
			if len(pr.Topics[0].Partitions[0].Records) > 10_000 {
				return kerr.MessageTooLarge.Code
			}
			return 0
		})
		e.start("a", Config{Handlers: []Handler{HandleRaw(testService, "charge", func(context.Context, *Call) ([]byte, error) {
			b := make([]byte, 200_000) // not compressible
			for i := range b {
				b[i] = byte(i * i * (i >> 3) >> 5)
			}
			return b, nil
		})}})
		f := e.events(1)[0].failure(t)
		if f.Kind != "engine" || f.Code != CodePayloadTooLarge || f.Retryable {
			t.Fatalf("failure %+v", f)
		}
	})
}

// TestALostPartitionIsLeftAlone: the group gave it away, so its calls are cut off at
// once, report nothing, and are made again by the holder to come.
func TestALostPartitionIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 1)
		e.put(1, "charge", 1)
		var forget atomic.Bool
		e.cluster.ControlKey(int16(kmsg.Heartbeat), func(req kmsg.Request) (kmsg.Response, error, bool) {
			e.cluster.KeepControl()
			if !forget.Swap(false) {
				return nil, nil, false
			}
			resp := req.ResponseKind().(*kmsg.HeartbeatResponse)
			resp.ErrorCode = kerr.UnknownMemberID.Code
			return resp, nil, true
		})
		causes := make(chan error, 1)
		var calls atomic.Int32
		w := e.start("a", Config{Handlers: []Handler{HandleRaw(testService, "charge", func(ctx context.Context, c *Call) ([]byte, error) {
			if calls.Add(1) == 1 {
				<-ctx.Done()
				causes <- context.Cause(ctx)
				return nil, ctx.Err()
			}
			return c.Input, nil
		}, WithTimeout(-1))}})
		waitFor(t, func() bool { return calls.Load() == 1 })
		forget.Store(true)
		if err := <-causes; !errors.Is(err, errLost) {
			t.Errorf("the call was ended by %v", err)
		}
		if ev := e.events(1)[0]; ev.Kind != "completed" {
			t.Errorf("event %+v", ev)
		}
		waitFor(t, func() bool { return w.services[0].committedAt(0) == 1 })
	})
}

// TestARevocationWaitsForTheRegistration: what a poll returned before a revocation is
// registered, or dropped, before the partition may come back (gate).
func TestARevocationWaitsForTheRegistration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, err := New(Config{Namespace: "t", Kafka: (&env{net: &pipeNet{}}).dial("a"), Handlers: []Handler{echo("charge")}})
		if err != nil {
			t.Fatal(err)
		}
		s := w.services[0]
		close(s.made)
		for name, revoke := range map[string]func(){
			"revoked": func() { s.onRevoked(t.Context(), nil, map[string][]int32{s.topic: {0}}) },
			"lost":    func() { s.onLost(t.Context(), nil, map[string][]int32{s.topic: {0}}) },
		} {
			polling := s.gate.enter(t.Context())
			var back atomic.Bool
			done := make(chan struct{})
			go func() {
				defer close(done)
				revoke()
				back.Store(true)
			}()
			synctest.Wait()
			if polling.Err() == nil {
				t.Errorf("%s: the poll is not asked to return", name)
			}
			if back.Load() {
				t.Errorf("%s: the callback returned while polled records are not registered", name)
			}
			s.gate.leave()
			<-done
		}
	})
}

// TestStartRefuses: what is missing is named with its fix, and nothing is left running.
func TestStartRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"topic":   {Config{Handlers: []Handler{HandleRaw("email", "send", echo("").Call)}}, "topic is missing: t.tasks.email of service email; run `engine topics create`"},
		"permits": {Config{Handlers: []Handler{echo("charge")}, Services: map[string]Service{testService: {Concurrency: 3}}}, "concurrency of service payment is 3, but t.tasks.payment has 4 active partitions, which each need a permit (W2); raise it to at least 4, or run `engine topics tasks payment 3`"},
		"burst":   {Config{Handlers: []Handler{echo("charge")}, Services: map[string]Service{testService: {Rate: Rate{Calls: 50, Burst: 3}}}}, "the burst of service payment is 3, but t.tasks.payment has 4 active partitions, which each need a token (W2); raise it to at least 4, or run `engine topics tasks payment 3`"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := newEnv(t, 4)
				c.cfg.Namespace, c.cfg.Kafka = "t", e.dial("a")
				w, err := New(c.cfg)
				if err != nil {
					t.Fatal(err)
				}
				err = w.Start(t.Context())
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("got %v, want %s", err, c.want)
				}
				if err := w.Stop(t.Context()); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// TestConfigIsChecked: each mistake is told, all at once.
func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	_, err := New(Config{
		Namespace:         "a b",
		Handlers:          []Handler{echo("charge"), echo("charge"), {Service: "engine", Operation: "x"}},
		Services:          map[string]Service{"email": {}, testService: {Concurrency: 5000, Rate: Rate{Burst: 2}, PerKey: KeyLimit{Concurrency: -1}}},
		HeartbeatInterval: 20 * time.Second,
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		`namespace "a b" is not a name`, "Kafka is missing", "payment.charge has two handlers", `service "engine" would share the engine's consumer group`,
		"the handler of engine.x has no function", `service "email" has settings and no handler`, `concurrency of service "payment" is 5000; allowed are 1 to 1024`,
		`rate of service "payment": it has a burst or a time, and no number of calls`,
		`limit by key of service "payment": its concurrency is out of range`,
		"HeartbeatInterval 20s must be shorter than SessionTimeout 10s",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in\n%v", want, err)
		}
	}
}
