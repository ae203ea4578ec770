package worker

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/odradek/odradek/record"
)

// TestParseRate: what people write, and what it becomes.
func TestParseRate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want Rate
	}{
		{"50/s", Rate{Calls: 50, Per: time.Second}},
		{"600/m", Rate{Calls: 600, Per: time.Minute}},
		{"1000 / h", Rate{Calls: 1000, Per: time.Hour}},
		{"1000000/s", Rate{Calls: 1_000_000, Per: time.Second}},
		{"0/s", Rate{}}, {"1000001/s", Rate{}}, {"-1/s", Rate{}}, {"1.5/s", Rate{}}, {"50", Rate{}}, {"50/d", Rate{}}, {"/s", Rate{}}, {"", Rate{}},
	} {
		got, err := ParseRate(c.text)
		if got != c.want || (err == nil) != (c.want != Rate{}) {
			t.Errorf("%q is %+v, %v; want %+v", c.text, got, err, c.want)
		}
		if back, err := ParseRate(got.String()); got.Calls > 0 && (err != nil || back != got) {
			t.Errorf("%q is written %q, which reads %+v, %v", c.text, got, back, err)
		}
	}
}

// TestDefaultBurst is a tenth of a second's calls, and a token for each partition.
func TestDefaultBurst(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rate Rate
		m    int
		want int
	}{
		{Rate{Calls: 50}, 4, 5}, {Rate{Calls: 50}, 24, 24}, {Rate{Calls: 1, Per: time.Minute}, 4, 4},
		{Rate{Calls: 10_000}, 4, 1000}, {Rate{Calls: 10, Burst: 7}, 24, 7},
	} {
		if got := c.rate.withDefaults(c.m).Burst; got != c.want {
			t.Errorf("burst of %s with %d partitions is %d, want %d", c.rate, c.m, got, c.want)
		}
	}
}

// TestSharesAddUp: the shares of all partitions are the limit, and none is more than one
// above another; each has at least one where there are enough.
func TestSharesAddUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.IntRange(1, 200).Draw(t, "m")
		limit := rapid.IntRange(0, 5000).Draw(t, "limit")
		sum, least, most := 0, limit, 0
		for id := range int32(m) {
			n := share(limit, m, id)
			sum, least, most = sum+n, min(least, n), max(most, n)
		}
		if sum != limit || most-least > 1 || limit >= m && least < 1 {
			t.Fatalf("%d over %d: sum %d, from %d to %d", limit, m, sum, least, most)
		}
	})
}

// checkRate fails if in any span of time more calls began than the rate allows.
func checkRate(t interface {
	Helper()
	Fatalf(string, ...any)
}, begun []time.Time, perSecond float64, burst int) {
	t.Helper()
	slices.SortFunc(begun, time.Time.Compare)
	for i := range begun {
		for k := i; k < len(begun); k++ {
			span := begun[k].Sub(begun[i])
			if n := k - i + 1; float64(n) > span.Seconds()*perSecond+float64(burst)+0.001 {
				t.Fatalf("%d calls within %s, at %g/s and a burst of %d", n, span, perSecond, burst)
			}
		}
	}
}

// TestPartitionsThatMoveKeepTheRate: whatever moves between workers, together they stay
// within rate and burst in every span of time; and a worker that waits as long as it is
// told gets a token.
func TestPartitionsThatMoveKeepTheRate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.IntRange(1, 8).Draw(t, "m")
		r := Rate{
			Calls: rapid.IntRange(1, 100).Draw(t, "calls"),
			Per:   rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 7 * time.Second}).Draw(t, "per"),
			Burst: m + rapid.IntRange(0, 10).Draw(t, "more"),
		}
		const workers = 3
		services := [workers]*service{}
		var buckets [workers]bucket
		now := time.Unix(1_800_000_000, 0)
		for i := range services {
			services[i] = &service{rate: r, partitions: int32(m), active: int32(m), parts: map[int32]*partition{}}
		}
		set := func(i int) {
			perSecond, burst := services[i].heldRate()
			buckets[i].set(now, perSecond, float64(burst))
		}
		for id := range int32(m) {
			services[0].parts[id] = &partition{}
		}
		for i := range services {
			set(i)
		}
		var begun []time.Time
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			i := rapid.IntRange(0, workers-1).Draw(t, "worker")
			switch rapid.SampledFrom([]string{"take", "take", "take", "wait", "pass", "move", "pause", "back"}).Draw(t, "what") {
			case "take":
				if buckets[i].take(now) == 0 {
					begun = append(begun, now)
				}
			case "wait":
				wait := buckets[i].take(now)
				if len(services[i].parts) == 0 {
					if wait != never {
						t.Fatalf("a worker without partitions is told to wait %s", wait)
					}
					continue
				}
				if now = now.Add(wait); wait > 0 && buckets[i].take(now) != 0 {
					t.Fatalf("after %s there is no token: %+v", wait, buckets[i])
				}
				begun = append(begun, now)
			case "pass":
				now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
			case "pause":
				d := time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond
				buckets[i].pause(now, now.Add(d))
				if buckets[i].take(now) == 0 {
					t.Fatalf("a token in a pause of %s", d)
				}
			case "back":
				if buckets[i].take(now) == 0 { // not spent
					buckets[i].giveBack()
				}
			case "move":
				id := int32(rapid.IntRange(0, m-1).Draw(t, "partition"))
				for from, s := range services {
					if s.parts[id] != nil {
						delete(s.parts, id)
						set(from)
					}
				}
				services[i].parts[id] = &partition{}
				set(i)
			}
		}
		checkRate(t, begun, r.perSecond(), r.Burst)
	})
}

// TestRate: two workers keep the rate together, while the second joins and the first leaves,
// and they spend nearly all of it.
func TestRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const partitions, tasks, burst = 4, 1200, 6
		e := newEnv(t, partitions)
		var mu sync.Mutex
		var begun []time.Time
		by := map[string]int{}
		cfg := func(host string) Config {
			return Config{
				CommitInterval: time.Hour, // kgo holds a mutex while it joins, behind which a commit would stop the clock
				Services:       map[string]Service{testService: {Rate: Rate{Calls: 20, Burst: burst}}},
				Handlers: []Handler{HandleRaw(testService, "charge", func(_ context.Context, c *Call) ([]byte, error) {
					mu.Lock()
					defer mu.Unlock()
					begun = append(begun, time.Now())
					by[host]++
					return c.Input, nil
				})},
			}
		}
		e.put(tasks, "charge", partitions)
		a := e.start("a", cfg("a"))
		seen := len(e.events(tasks / 3))
		if st := a.Status()[0]; st.Rate != 20 || !st.RateLimited {
			t.Errorf("alone: %+v", st)
		}
		b := e.start("b", cfg("b"))
		seen += len(e.events(tasks / 3))
		if st := b.Status()[0]; st.Rate != 10 {
			t.Errorf("one of two: %+v", st)
		}
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		for seen < tasks {
			seen += len(e.events(1))
		}
		mu.Lock()
		defer mu.Unlock()
		if len(begun) != tasks || by["b"] < tasks/3 {
			t.Fatalf("%d calls, %v", len(begun), by)
		}
		checkRate(t, begun, 20, burst)
		if span := begun[tasks-1].Sub(begun[0]); span > 3*tasks/20*time.Second/2 {
			t.Errorf("%d calls at 20/s took %s", tasks, span)
		}
	})
}

// TestRateObeysRetryAfter: a service that asks for a pause gets it from the whole worker,
// not from one task alone, and is not flooded after it.
func TestRateObeysRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const tasks = 100
		e := newEnv(t, 2)
		e.put(tasks, "charge", 2)
		var mu sync.Mutex
		var begun []time.Time
		var asked time.Time
		e.start("a", Config{
			Services: map[string]Service{testService: {Rate: Rate{Calls: 10, Burst: 5}, Concurrency: 2}},
			Handlers: []Handler{HandleRaw(testService, "charge", func(_ context.Context, c *Call) ([]byte, error) {
				mu.Lock()
				defer mu.Unlock()
				begun = append(begun, time.Now())
				if len(begun) == tasks/2 {
					asked = time.Now()
					return nil, &record.Failure{Kind: record.FailureHTTP, HTTPStatus: 429, Retryable: true, RetryAfter: 20 * time.Second}
				}
				return c.Input, nil
			})},
		})
		e.events(tasks)
		mu.Lock()
		defer mu.Unlock()
		after := begun[tasks/2:]
		if pause := after[0].Sub(asked); pause < 20*time.Second {
			t.Errorf("the next call came %s after the answer", pause)
		}
		if span := after[1].Sub(after[0]); span < 90*time.Millisecond {
			t.Errorf("two calls within %s after the pause", span)
		}
	})
}

// TestCallsThatAreNotMadeSpendNothing: tasks that were cancelled meanwhile, or that nobody
// binds, leave the rate to the others.
func TestCallsThatAreNotMadeSpendNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 1)
		e.put(500, "unbound", 1)
		e.put(1, "charge", 1)
		begun := time.Now()
		e.start("a", Config{
			Services: map[string]Service{testService: {Rate: Rate{Calls: 1, Per: time.Minute, Burst: 1}}},
			Handlers: []Handler{echo("charge")},
		})
		e.events(501)
		if d := time.Since(begun); d > 2*time.Minute {
			t.Errorf("one call at 1/m took %s", d)
		}
	})
}

// TestBadRates are refused with what is wrong and what would do.
func TestBadRates(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]Rate{
		"-1 calls are out of range":            {Calls: -1},
		"its time is 2h0m0s":                   {Calls: 1, Per: 2 * time.Hour},
		"its burst is -1":                      {Calls: 1, Burst: -1},
		"it has a burst or a time, and no":     {Burst: 3},
		"1000001 calls are out of range; allo": {Calls: 1_000_001},
	} {
		if got := r.problem(); len(got) < len(want) || got[:len(want)] != want {
			t.Errorf("%+v: %q, want %q", r, got, want)
		}
	}
	if got := fmt.Sprint(Rate{}, Rate{Calls: 3, Per: 5 * time.Second}); got != "none 3/5s" {
		t.Error(got)
	}
}
