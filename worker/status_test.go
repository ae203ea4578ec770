package worker

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

// follow keeps the rows of workers on the topic status as a reader has them.
func (e *env) follow() func(instance string) (row *record.WorkerRow, gone bool) {
	cl := e.newClient("status", kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"t.status": {0: kgo.NewOffset().AtStart()}}))
	var mu sync.Mutex
	rows := map[string]*record.WorkerRow{}
	go func() {
		for {
			fs := cl.PollFetches(context.Background())
			if fs.IsClientClosed() {
				return
			}
			fs.EachRecord(func(k *kgo.Record) {
				mu.Lock()
				defer mu.Unlock()
				if id, row, ok, err := codec.DecodeWorkerRow(k.Key, k.Value); ok && err == nil {
					rows[id] = row
				}
			})
		}
	}()
	return func(instance string) (*record.WorkerRow, bool) {
		mu.Lock()
		defer mu.Unlock()
		row, known := rows[instance]
		return row, known && row == nil
	}
}

// pause writes what an operator does to the tests' service.
func (e *env) pause(paused bool) {
	e.t.Helper()
	key, value := codec.EncodeServiceRow(testService, &record.ServiceRow{Paused: paused, Acts: []record.ServiceAct{{Paused: paused, By: "ada", Reason: "a deploy"}}})
	e.produce(&kgo.Record{Topic: "t.status", Key: key, Value: value})
}

// TestStatusRow: a worker says what it does, and takes it back when it stops.
func TestStatusRow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 2)
		row := e.follow()
		e.put(4, "charge", 2)
		var down atomic.Bool
		release := make(chan struct{})
		w := e.start("a", Config{
			Instance: "pod-1", Build: "v1", Services: map[string]Service{testService: {Concurrency: 2}},
			Handlers: []Handler{HandleRaw(testService, "charge", func(_ context.Context, c *Call) ([]byte, error) {
				if down.Load() {
					return nil, &record.Failure{Kind: record.FailureNetwork, Code: "no_answer", Message: "nobody is there", Retryable: true}
				}
				<-release
				return c.Input, nil
			})},
		})
		var s record.WorkerService
		is := func(ok func() bool) func() bool {
			return func() bool {
				r, _ := row("pod-1")
				if r == nil || len(r.Services) != 1 {
					return false
				}
				s = r.Services[0]
				return r.Build == "v1" && r.At > 0 && s.Service == testService && ok()
			}
		}
		waitFor(t, is(func() bool {
			return len(s.Partitions) == 2 && s.Permits == 2 && s.Running == 2 && s.Queued == 2 && s.Open == 4 && s.Breaker == "closed" && s.RetryAt == 0
		}))
		down.Store(true)
		close(release)
		e.put(breakerFailures+8, "charge", 2)
		waitFor(t, is(func() bool {
			return s.Breaker == "open" && s.RetryAt > 0 && s.LastFailure != ""
		}))
		if err := w.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { _, gone := row("pod-1"); return gone })
	})
}

// TestPausedService: nothing is called while a service is paused, by a worker that begins
// meanwhile too; calls under way end, and nothing is lost.
func TestPausedService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 2)
		var calls atomic.Int32
		release := make(chan struct{})
		cfg := Config{
			Services: map[string]Service{testService: {Concurrency: 2, Rate: Rate{Calls: 1000, Per: time.Second}}},
			Handlers: []Handler{HandleRaw(testService, "charge", func(_ context.Context, c *Call) ([]byte, error) {
				calls.Add(1)
				<-release
				return c.Input, nil
			})},
		}
		e.pause(true)
		e.put(6, "charge", 2)
		w := e.start("a", cfg)
		waitFor(t, func() bool { return w.Status()[0].Queued == 6 })
		time.Sleep(time.Hour)
		synctest.Wait()
		if st := w.Status()[0]; calls.Load() != 0 || !st.OperatorPaused {
			t.Fatalf("%d calls of a paused service, %+v", calls.Load(), st)
		}
		e.pause(false)
		waitFor(t, func() bool { return calls.Load() == 2 })
		e.pause(true)
		waitFor(t, func() bool { return w.Status()[0].OperatorPaused })
		close(release)
		e.events(2) // those under way
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := calls.Load(); n != 2 {
			t.Fatalf("%d calls, two of them before the pause", n)
		}
		if err := w.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		w = e.start("b", cfg)
		waitFor(t, func() bool { return w.Status()[0].Joined })
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := calls.Load(); n != 2 {
			t.Fatalf("%d calls: a new worker does not know of the pause", n)
		}
		e.pause(false)
		e.events(4)
		if n := calls.Load(); n != 6 {
			t.Errorf("%d calls of 6 tasks", n)
		}
	})
}

// TestAPauseIsReadBeforeTheFirstCall: also where the topic status is read slowly and the
// tasks are there at once.
func TestAPauseIsReadBeforeTheFirstCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 1)
		e.pause(true)
		e.put(3, "charge", 1)
		id := e.cluster.TopicInfo("t.status").TopicID
		var held atomic.Int32
		e.cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			e.cluster.KeepControl()
			if topics := req.(*kmsg.FetchRequest).Topics; len(topics) == 1 && topics[0].TopicID == id && held.Add(1) == 1 {
				e.cluster.SleepControl(func() { time.Sleep(8 * time.Second) }) // in virtual time; far longer than it takes to join
			}
			return nil, nil, false
		})
		var calls atomic.Int32
		w := e.start("a", Config{Handlers: []Handler{HandleRaw(testService, "charge", func(_ context.Context, c *Call) ([]byte, error) {
			calls.Add(1)
			return c.Input, nil
		})}})
		waitFor(t, func() bool { return w.Status()[0].Queued == 3 || calls.Load() > 0 })
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := calls.Load(); n != 0 || held.Load() == 0 {
			t.Fatalf("%d calls of a paused service; %d reads", n, held.Load())
		}
		e.pause(false)
		e.events(3)
	})
}

// TestStopWithoutKafka: a row that cannot be written or taken back holds nothing up.
func TestStopWithoutKafka(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 2)
		row := e.follow()
		w := e.start("a", Config{Instance: "pod-1", Handlers: []Handler{HandleRaw(testService, "charge", func(context.Context, *Call) ([]byte, error) { return nil, nil })}})
		waitFor(t, func() bool { r, _ := row("pod-1"); return r != nil })
		e.net.sever("a")
		time.Sleep(time.Minute)
		begun := time.Now()
		_ = w.Stop(context.Background())
		if took := time.Since(begun); took > 10*time.Second { // in virtual time
			t.Errorf("the stop took %v", took)
		}
	})
}
