package worker

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
)

// TestKeysKeepTheirLimits: whatever comes and ends, each key has at most its calls open and
// stays within its rate, its records start in their order, none is left, and a key of which
// nothing is left to know is forgotten.
func TestKeysKeepTheirLimits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := KeyLimit{Concurrency: rapid.IntRange(0, 3).Draw(t, "concurrency")}
		if l.Concurrency == 0 || rapid.Bool().Draw(t, "rated") {
			l.Rate = Rate{Calls: rapid.IntRange(1, 20).Draw(t, "calls"), Per: time.Second, Burst: rapid.IntRange(0, 3).Draw(t, "burst")}
		}
		now := time.Unix(1_800_000_000, 0)
		ks := newKeys(l)
		parts := []*partition{{id: 0, since: now}, {id: 1, since: now}}
		began := map[string][]time.Time{}
		last := map[string]int64{}
		running := map[string]int{}
		var open []*job
		var offset int64
		start := func(j *job) {
			if j.back {
				t.Fatalf("given back with %d waiting", ks.parked)
			}
			if j.rec.Offset <= last[j.key] {
				t.Fatalf("key %s: record %d after %d", j.key, j.rec.Offset, last[j.key])
			}
			last[j.key] = j.rec.Offset
			began[j.key] = append(began[j.key], now)
			if running[j.key]++; l.Concurrency > 0 && running[j.key] > l.Concurrency {
				t.Fatalf("key %s has %d calls", j.key, running[j.key])
			}
			open = append(open, j)
		}
		drain := func() {
			ks.look(now)
			for j := ks.next(now); j != nil; j = ks.next(now) {
				start(j)
			}
		}
		end := func(i int, called bool) {
			j := open[i]
			open = append(open[:i], open[i+1:]...)
			running[j.key]--
			if !called { // it spent no token
				b := began[j.key]
				began[j.key] = b[:len(b)-1]
			}
			ks.end(j, called, now)
		}
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"come", "come", "come", "end", "pass", "drop", "pause"}).Draw(t, "what") {
			case "come":
				offset++
				k := rapid.IntRange(0, 3).Draw(t, "key")
				j := &job{part: parts[k%2], key: strconv.Itoa(k), rec: &kgo.Record{Offset: offset, Value: []byte("x")}}
				if ok, full := ks.admit(j, now); ok {
					start(j)
				} else if full {
					t.Fatal("full")
				}
			case "end":
				if len(open) > 0 {
					end(rapid.IntRange(0, len(open)-1).Draw(t, "call"), true)
				}
			case "pass":
				now = now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond)
			case "drop": // and taken again
				i := rapid.IntRange(0, 1).Draw(t, "partition")
				ks.drop(parts[i], now)
				parts[i] = &partition{id: int32(i), since: now}
			case "pause":
				if len(open) > 0 && l.Rate.Calls > 0 {
					ks.pause(open[0].limit, now, now.Add(time.Second))
				}
			}
			drain()
		}
		for ks.parked > 0 || len(open) > 0 {
			for len(open) > 0 {
				end(0, true)
			}
			if now = now.Add(time.Second); len(ks.due) > 0 && ks.due[0].due.After(now) {
				now = ks.due[0].due
			}
			drain()
		}
		for _, at := range began {
			if l.Rate.Calls > 0 {
				checkRate(t, at, l.Rate.perSecond(), ks.limit.Rate.Burst)
			}
		}
		ks.look(now.Add(time.Hour))
		if len(ks.known) != 0 || len(ks.due) != 0 || ks.parked != 0 || ks.bytes != 0 {
			t.Fatalf("%d keys are remembered, %d due, %d records of %d bytes", len(ks.known), len(ks.due), ks.parked, ks.bytes)
		}
	})
}

// TestKeysAreBounded: so many keys and no more; who comes then waits until one is forgotten.
func TestKeysAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	ks := newKeys(KeyLimit{Rate: Rate{Calls: 1, Burst: 1}})
	p := &partition{since: now.Add(-time.Hour)}
	come := func(key string) (started, full bool) {
		j := &job{part: p, key: key, rec: &kgo.Record{}}
		if started, full = ks.admit(j, now); started {
			ks.end(j, true, now)
		}
		return started, full
	}
	for i := range keysMax {
		if started, _ := come(strconv.Itoa(i)); !started {
			t.Fatalf("key %d does not start", i)
		}
	}
	if _, full := come("more"); !full || len(ks.known) != keysMax {
		t.Fatalf("one more: full %v, %d are known", full, len(ks.known))
	}
	now = now.Add(time.Second + time.Millisecond) // the buckets are full again
	ks.look(now)
	if len(ks.known) != 0 {
		t.Fatalf("%d keys with a full bucket are remembered", len(ks.known))
	}
	if started, _ := come("more"); !started {
		t.Fatal("it waits for nothing")
	}
}

// keyedRecord is a task with a key of limits, where the engine writes it.
func keyedRecord(n int, key string, partitions int32) *kgo.Record {
	r := taskRecord(n, "charge", topology.TaskPartition(0, partitions, key), key)
	r.Headers = append(r.Headers, kgo.RecordHeader{Key: "od-limit-key", Value: []byte(key)})
	return r
}

// TestLimitsByKey: the API never sees more of a key than its limit, over two workers of
// which one joins and one leaves, and other keys do not wait for it.
func TestLimitsByKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const partitions, keys, perKey = 4, 12, 40
		e := newEnv(t, partitions)
		var mu sync.Mutex
		open := map[string]int{}
		begun := map[string][]time.Time{}
		by := map[string]int{}
		cfg := func(host string) Config {
			return Config{
				CommitInterval: time.Hour, // kgo holds a mutex while it joins, behind which a commit would stop the clock
				Services: map[string]Service{testService: {
					Concurrency: 8, PerKey: KeyLimit{Concurrency: 1, Rate: Rate{Calls: 5, Burst: 2}},
				}},
				Handlers: []Handler{HandleRaw(testService, "charge", func(_ context.Context, c *Call) ([]byte, error) {
					key := string(c.Input)
					mu.Lock()
					begun[key] = append(begun[key], time.Now())
					by[host]++
					if open[key]++; open[key] > 1 {
						t.Errorf("key %s has %d calls", key, open[key])
					}
					mu.Unlock()
					time.Sleep(50 * time.Millisecond)
					mu.Lock()
					open[key]--
					mu.Unlock()
					return c.Input, nil
				})},
			}
		}
		n := 0
		for range perKey {
			for k := range keys {
				e.produce(keyedRecord(n, fmt.Sprintf("customer-%d", k), partitions))
				n++
			}
		}
		a := e.start("a", cfg("a"))
		seen := len(e.events(n / 4))
		b := e.start("b", cfg("b"))
		waitFor(t, func() bool { return len(b.Status()[0].Partitions) == partitions/2 })
		seen += len(e.events(n / 4))
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		for seen < n {
			for _, ev := range e.events(1) {
				if seen++; ev.Kind != "completed" {
					t.Errorf("%+v", ev)
				}
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if len(begun) != keys || by["a"] < n/5 || by["b"] < n/5 {
			t.Fatalf("%d keys, calls %v", len(begun), by)
		}
		for _, at := range begun {
			checkRate(t, at, 5, 2)
		}
	})
}

// TestAKeyThatWaitsBlocksNobody: three thousand tasks of one slow key stand before those of
// others in the same partition. The others are done while nearly all of the key wait: a
// bounded number in the worker, the rest with the engine.
func TestAKeyThatWaitsBlocksNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const hot, others = 3000, 200
		e := newEnv(t, 1)
		var recs []*kgo.Record
		for n := range hot {
			recs = append(recs, keyedRecord(n, "hot", 1))
		}
		for n := range others {
			recs = append(recs, keyedRecord(hot+n, fmt.Sprintf("other-%d", n%20), 1))
		}
		e.produce(recs...)
		begun := time.Now()
		w := e.start("a", Config{
			Services: map[string]Service{testService: {Concurrency: 4, PerKey: KeyLimit{Concurrency: 1}}},
			Handlers: []Handler{HandleRaw(testService, "charge", func(ctx context.Context, c *Call) ([]byte, error) {
				if string(c.Input) == "hot" {
					select {
					case <-time.After(50 * time.Second):
					case <-ctx.Done():
					}
				}
				return c.Input, nil
			})},
		})
		back, done, hotDone := 0, 0, 0
		for done < others {
			for _, ev := range e.events(1) {
				switch {
				case ev.Kind == "failed":
					f := ev.failure(t)
					if f.Code != CodeKeyLimited || f.Kind != record.FailureWorker || !f.Retryable || f.RetryAfter < keyBackMin/2 || f.RetryAfter > keyBackMin*3/2 || !strings.Contains(f.Message, `key "hot" of service payment`) {
						t.Fatalf("%+v", f)
					}
					back++
				case ev.Value == "hot":
					hotDone++
				default:
					done++
				}
			}
			if st := w.Status()[0]; st.Queued > 2*openMax || st.KeyLimited > keysWaitMax || st.Keys > 21 {
				t.Fatalf("%+v", st)
			}
		}
		if d := time.Since(begun); hotDone > 1 || d > 2*time.Minute {
			t.Errorf("%d of the key are done, after %s", hotDone, d)
		}
		if left := hot - back - hotDone; left < keysCrowd || left > keysCrowd+1 {
			t.Errorf("%d of the key wait in the worker, want %d and one that runs", left, keysCrowd)
		}
	})
}

// TestRetryAfterOfAKey pauses that key alone.
func TestRetryAfterOfAKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 1)
		for n := range 20 {
			e.produce(keyedRecord(n, fmt.Sprint("customer-", n%2), 1))
		}
		var mu sync.Mutex
		begun := map[string][]time.Time{}
		e.start("a", Config{
			Services: map[string]Service{testService: {Concurrency: 2, PerKey: KeyLimit{Rate: Rate{Calls: 10}}}},
			Handlers: []Handler{HandleRaw(testService, "charge", func(_ context.Context, c *Call) ([]byte, error) {
				key := string(c.Input)
				mu.Lock()
				defer mu.Unlock()
				if begun[key] = append(begun[key], time.Now()); key == "customer-1" && len(begun[key]) == 5 {
					return nil, &record.Failure{Kind: record.FailureHTTP, HTTPStatus: 429, Retryable: true, RetryAfter: 20 * time.Second}
				}
				return c.Input, nil
			})},
		})
		e.events(20)
		mu.Lock()
		defer mu.Unlock()
		paused, other := begun["customer-1"], begun["customer-0"]
		if d := paused[5].Sub(paused[4]); d < 20*time.Second {
			t.Errorf("the key's next call came after %s", d)
		}
		if d := other[9].Sub(other[0]); d > 2*time.Second {
			t.Errorf("the other key took %s", d)
		}
	})
}

// TestANewKeyHasWhatItSavedUp since its partition came, and no more: the holder before may
// have spent it.
func TestANewKeyHasWhatItSavedUp(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	for held, want := range map[time.Duration]int{0: 0, 500 * time.Millisecond: 0, time.Second: 1, 2500 * time.Millisecond: 2, time.Hour: 3} {
		ks := newKeys(KeyLimit{Rate: Rate{Calls: 1, Burst: 3}})
		p, n := &partition{since: now.Add(-held)}, 0
		for range 10 {
			if ok, _ := ks.admit(&job{part: p, key: "k", rec: &kgo.Record{}}, now); ok {
				n++
			}
		}
		if n != want {
			t.Errorf("held for %s: %d calls at once, want %d", held, n, want)
		}
	}
	// In another partition, as after a change of their number, what is spent stays spent.
	ks := newKeys(KeyLimit{Rate: Rate{Calls: 1, Burst: 3}})
	p, other := &partition{since: now.Add(-time.Hour)}, &partition{id: 1, since: now.Add(-time.Hour)}
	for i, part := range []*partition{p, other, p, other} {
		j := &job{part: part, key: "k", rec: &kgo.Record{}}
		if ok, _ := ks.admit(j, now); ok != (i < 3) {
			t.Errorf("call %d: %v", i, ok)
		}
	}
}

// TestWhoGoesBack: where many wait, records of keys that have many; where the most wait, all.
// The pauses double up to a bound, and are spread.
func TestWhoGoesBack(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	ks := newKeys(KeyLimit{Concurrency: 1})
	p := &partition{since: now}
	come := func(key string) (back bool) {
		j := &job{part: p, key: key, rec: &kgo.Record{Value: []byte("x")}}
		ks.admit(j, now)
		return j.back
	}
	for i := range keysCrowd + 1 { // one of them runs
		if come("hot") {
			t.Fatalf("record %d goes back", i)
		}
	}
	if !come("hot") {
		t.Error("one more of a key with many waits")
	}
	for i := range (keysWaitMax - keysCrowd) / keyFew {
		for n := range keyFew + 1 {
			if come(fmt.Sprint("few-", i)) {
				t.Fatalf("record %d of a key with few goes back, with %d waiting", n, ks.parked)
			}
		}
	}
	if come("last") || !come("last") || ks.parked != keysWaitMax {
		t.Errorf("with the most waiting, %d, a key's first call runs and its next record goes back", ks.parked)
	}
	for attempt, want := range map[uint32]time.Duration{1: keyBackMin, 2: 2 * keyBackMin, 6: keyBackMax, 1 << 31: keyBackMax} {
		if got := backAfter(attempt); got < want/2 || got > want*3/2 {
			t.Errorf("attempt %d comes again after %s, want about %s", attempt, got, want)
		}
	}
}
