package worker

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/odradek/odradek/internal/kafka"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
)

// TestActivePartitionsShareTheLimit: whichever workers know of a change already, and
// whoever holds what, together they never have more than the limit; and when all know, they
// have all of it.
func TestActivePartitionsShareTheLimit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := int32(rapid.IntRange(1, 24).Draw(t, "m"))
		was := rapid.Int32Range(1, m).Draw(t, "was")
		is := rapid.Int32Range(1, m).Draw(t, "is")
		limit := rapid.IntRange(int(max(was, is)), 200).Draw(t, "limit")
		rate := Rate{Calls: rapid.IntRange(1, 100).Draw(t, "calls"), Per: time.Second, Burst: limit}
		at := time.Unix(1_800_000_000, 0)
		change := topology.Active{Partitions: is, Before: was, At: at}
		old := topology.Active{Partitions: was}
		services := map[string]*service{}
		worker := func(name string, a topology.Active, now time.Time) *service {
			s := &service{permits: limit, rate: rate, partitions: m, parts: map[int32]*partition{}}
			s.setActive(a, now)
			services[name] = s
			return s
		}
		sum := func() (permits, burst int, perSecond float64) {
			for _, s := range services {
				r, b := s.heldRate()
				permits, burst, perSecond = permits+s.held(), burst+b, perSecond+r
			}
			return permits, burst, perSecond
		}
		check := func(when string, all bool) {
			permits, burst, perSecond := sum()
			if permits > limit || burst > limit || perSecond > rate.perSecond()+1e-9 {
				t.Fatalf("%s: %d permits and a burst of %d of %d, %g of %g per second", when, permits, burst, limit, perSecond, rate.perSecond())
			}
			if all && (permits != limit || burst != limit || perSecond < rate.perSecond()-1e-9) {
				t.Fatalf("%s: only %d permits and a burst of %d of %d, %g of %g per second", when, permits, burst, limit, perSecond, rate.perSecond())
			}
		}
		ignorant := worker("ignorant", old, at)
		knowing := worker("knowing", change, at.Add(time.Second))
		for id := range m {
			rapid.SampledFrom([]*service{ignorant, knowing}).Draw(t, "holder").parts[id] = &partition{}
		}
		check("while it gets about", false)
		ignorant.setActive(change, at.Add(topology.ActiveSettles-time.Second)) // the last to hear of it
		check("when all know", false)
		knowing.setActive(change, at.Add(topology.ActiveSettles))
		check("when some use it", false)
		ignorant.setActive(change, at.Add(topology.ActiveSettles))
		check("at the end", true)
	})
}

// setActive writes the number of active partitions of the service.
func (e *env) setActive(a topology.Active) {
	e.t.Helper()
	if err := kafka.WriteActive(e.t.Context(), e.newClient("control"), topology.Names{Namespace: "t"}, testService, a); err != nil {
		e.t.Fatal(err)
	}
}

// TestALimitBelowThePartitions is refused with the command that lowers their number; after
// it, the worker starts, calls for the active partitions within the limit, and gives back
// what is left in the others.
func TestALimitBelowThePartitions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const tasks = 400
		e := newEnv(t, 4)
		var mu sync.Mutex
		running, most := 0, 0
		cfg := Config{
			Namespace: "t", Kafka: e.dial("a"), Logger: slog.New(slog.DiscardHandler),
			Services: map[string]Service{testService: {Concurrency: 2, Rate: Rate{Calls: 100, Burst: 2}, PerKey: KeyLimit{Concurrency: 2}}},
			Handlers: []Handler{HandleRaw(testService, "charge", func(_ context.Context, c *Call) ([]byte, error) {
				mu.Lock()
				running++
				most = max(most, running)
				mu.Unlock()
				time.Sleep(50 * time.Millisecond)
				mu.Lock()
				running--
				mu.Unlock()
				return c.Input, nil
			})},
		}
		w, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "run `engine topics tasks payment 2`") {
			t.Fatalf("it starts: %v", err)
		}
		e.setActive(topology.Active{Partitions: 2, Before: 4, At: time.Now().Add(-time.Hour)})
		e.put(tasks, "charge", 4)
		w = e.start("a", cfg)
		completed := 0
		for _, ev := range e.events(tasks) {
			if ev.Kind == "completed" {
				completed++
				continue
			}
			if f := ev.failure(t); f.Code != CodePartitionDraining || f.Kind != record.FailureWorker || !f.Retryable {
				t.Fatalf("%+v", f)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if completed != tasks/2 || most != 2 {
			t.Errorf("%d of %d are completed, %d at a time", completed, tasks, most)
		}
		if st := w.Status()[0]; st.Permits != 2 || st.Rate != 100 {
			t.Errorf("%+v", st)
		}
	})
}

// TestActivePartitionsAreFollowed while the worker runs: one that holds draining partitions
// alone gives back what they have, with a limit and without any share of it.
func TestActivePartitionsAreFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 2)
		cfg := func() Config {
			return Config{
				CommitInterval: time.Hour, // kgo holds a mutex while it joins, behind which a commit would stop the clock
				Services:       map[string]Service{testService: {Concurrency: 6, Rate: Rate{Calls: 10}}},
				Handlers:       []Handler{echo("charge")},
			}
		}
		a := e.start("a", cfg())
		waitFor(t, func() bool { return len(a.Status()[0].Partitions) == 2 })
		b := e.start("b", cfg())
		waitFor(t, func() bool { return len(a.Status()[0].Partitions) == 1 && len(b.Status()[0].Partitions) == 1 })
		first, last := a, b
		if a.Status()[0].Partitions[0] == 1 {
			first, last = b, a
		}
		permits := func() [2]int { return [2]int{first.Status()[0].Permits, last.Status()[0].Permits} }
		if got := permits(); got != [2]int{3, 3} {
			t.Fatalf("before: %v", got)
		}
		e.setActive(topology.Active{Partitions: 1, Before: 2, At: time.Now()})
		waitFor(t, func() bool { return last.Status()[0].Permits == 0 })
		if got := permits(); got[0] != 3 {
			t.Errorf("it gets about, and the first has %d permits already", got[0])
		}
		time.Sleep(topology.ActiveSettles)
		waitFor(t, func() bool { return first.Status()[0].Permits == 6 })
		e.produce(taskRecord(1, "charge", 1, "1"), taskRecord(2, "charge", 0, "2"))
		for _, ev := range e.events(2) {
			switch {
			case ev.Task == taskID(1).String():
				if f := ev.failure(t); f.Code != CodePartitionDraining {
					t.Errorf("%+v", f)
				}
			case ev.Kind != "completed":
				t.Errorf("%+v", ev)
			}
		}
		e.setActive(topology.Active{Partitions: 2, Before: 1, At: time.Now()})
		time.Sleep(topology.ActiveSettles)
		waitFor(t, func() bool { return permits() == [2]int{3, 3} })
		e.produce(taskRecord(3, "charge", 1, "3"))
		if ev := e.events(1)[0]; ev.Kind != "completed" {
			t.Errorf("%+v", ev)
		}
	})
}
