package processor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// mischief is what happens to an EndTxn.
type mischief int

const (
	applyAndCut   mischief = iota // applied, the connection cut
	applyAndForge                 // applied, the answer says UNKNOWN_SERVER_ERROR
	forge                         // not applied, the answer says UNKNOWN_SERVER_ERROR
	cut                           // not applied, the connection cut
	repeat                        // applied twice
	mischiefs
)

// tamper interferes with some of the EndTxn requests of the owners. The broker's
// own work is done by a request of the test's, so that the answer can be kept back.
func (e *env) tamper(seed uint64, share float64) (count func() map[mischief]int) {
	rng := rand.New(rand.NewPCG(seed, 99))
	var mu sync.Mutex
	counts, ours := map[mischief]int{}, map[string]bool{}
	e.fake.ControlKey(int16(kmsg.EndTxn), func(kr kmsg.Request) (kmsg.Response, error, bool) {
		e.fake.KeepControl()
		req := kr.(*kmsg.EndTxnRequest)
		key := fmt.Sprint(req.ProducerID, "/", req.ProducerEpoch)
		mu.Lock()
		hit, own := rng.Float64() < share, ours[key]
		what := mischief(rng.IntN(int(mischiefs)))
		if hit && !own {
			ours[key] = true
			counts[what]++
		}
		mu.Unlock()
		if !hit || own {
			return nil, nil, false
		}
		if what == applyAndCut || what == applyAndForge || what == repeat {
			done := make(chan struct{})
			go func() {
				defer close(done)
				again := *req
				_, _ = again.RequestWith(context.Background(), e.cl)
			}()
			e.fake.SleepControl(func() { <-done })
		}
		switch what {
		case applyAndCut, cut:
			return nil, errTest, true
		case repeat:
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.EndTxnResponse)
		resp.ErrorCode = kerr.UnknownServerError.Code
		return resp, nil, true
	})
	return func() map[mischief]int {
		mu.Lock()
		defer mu.Unlock()
		out := map[mischief]int{}
		for k, v := range counts {
			out[k] = v
		}
		return out
	}
}

func needFake(t *testing.T, e *env) {
	if e.fake == nil {
		t.Skip("plays with the fake broker")
	}
}

func TestLostAndForgedAnswers(t *testing.T) {
	t.Parallel()
	for _, owners := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d owners", owners), func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			needFake(t, e)
			count := e.tamper(uint64(owners), .15)
			c := &counts{}
			v := e.contest(contest{owners: owners, total: 1200, counts: c, idle: 20 * time.Second})
			if v.wrong() || v.outputs != 1200 {
				t.Fatal(v)
			}
			if n := len(count()); n < int(mischiefs) || c.unknown == 0 {
				t.Errorf("%d kinds of mischief, %d outcomes unknown: too few to mean anything", n, c.unknown)
			}
			t.Logf("%v; mischief %v, %d takeovers, %d unknown, %d fenced", v, count(), c.takeovers, c.unknown, c.fenced)
		})
	}
}

// TestUnknownOutcomeIsFoundInTheChangelog: a commit whose answer is lost for good
// has happened, and the next tenure goes on behind it.
func TestUnknownOutcomeIsFoundInTheChangelog(t *testing.T) {
	t.Parallel()
	for _, applied := range []bool{true, false} {
		t.Run(fmt.Sprintf("applied %v", applied), func(t *testing.T) {
			t.Parallel()
			e := newEnv(t)
			needFake(t, e)
			var hit atomic.Bool
			e.fake.ControlKey(int16(kmsg.EndTxn), func(kr kmsg.Request) (kmsg.Response, error, bool) {
				e.fake.KeepControl()
				if !hit.CompareAndSwap(false, true) {
					return nil, nil, false
				}
				req := kr.(*kmsg.EndTxnRequest)
				if applied {
					done := make(chan struct{})
					go func() {
						defer close(done)
						again := *req
						_, _ = again.RequestWith(context.Background(), e.cl)
					}()
					e.fake.SleepControl(func() { <-done })
				}
				forged := req.ResponseKind().(*kmsg.EndTxnResponse)
				forged.ErrorCode = kerr.UnknownServerError.Code
				return forged, nil, true
			})
			c := &counts{}
			cfg := e.ownerConfig(newDisk(1), nil)
			cfg.Listener = c.listener()
			var mu sync.Mutex
			steps := 0
			cfg.ports.observe = func(_ int32, op string, _ *batch) {
				if op == opProduce {
					mu.Lock()
					steps++
					mu.Unlock()
				}
			}
			l := e.start(cfg, newLone())
			e.produce(t, "k0")
			await(t, "settled positions after a second takeover", func() bool {
				return l.progress.positions().Commands.Offset == 1 && c.get(func() int { return c.takeovers }) == 2
			})
			mu.Lock()
			defer mu.Unlock()
			if c.get(func() int { return c.unknown }) != 1 {
				t.Error("the outcome was not unknown once")
			}
			if want := map[bool]int{true: 1, false: 2}[applied]; steps != want {
				t.Errorf("the input was produced %d times, want %d", steps, want)
			}
			if rows, _ := e.changelog(); rows[rowKey("k0")] != 1 {
				t.Errorf("counter is %d", rows[rowKey("k0")])
			}
		})
	}
}

// produce writes commands with these keys.
func (e *env) produce(t testing.TB, keys ...string) {
	t.Helper()
	for _, k := range keys {
		r := &kgo.Record{Topic: e.names.Namespace + ".commands", Key: []byte(k)}
		if err := e.cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPartialBatchIsNotCommitted: franz-go commits what was acked of a batch of
// which a record was refused (P2). The lane must not, and the input that leads to
// it becomes a dead letter after three times alone, while others go on (P5).
func TestPartialBatchIsNotCommitted(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	c := &counts{}
	cfg := e.ownerConfig(newDisk(1), nil)
	cfg.Listener, cfg.ports.pauseMin = c.listener(), time.Millisecond
	dead := map[string]int{}
	plain := cfg.ports.stepper
	cfg.ports.stepper = stepperWith(plain, func(s *counter) { s.poisonKey, s.dead = "k1", dead })
	e.produce(t, "k0", "k1", "k2", "k0")
	l := e.start(cfg, newLone())
	await(t, "settled positions", func() bool { return l.progress.positions().Commands.Offset == 4 })
	l.halt()
	<-l.done
	rows, _ := e.changelog()
	if rows[rowKey("k0")] != 2 || rows[rowKey("k2")] != 1 || rows[rowKey("k1")] != 0 {
		t.Errorf("rows %v", rows)
	}
	if dead["k1"] != 1 || len(c.refused) != 1 {
		t.Errorf("dead letters %v, refused %v", dead, c.refused)
	}
	if got := c.refused[0]; got.Origin.Offset != 1 || !errors.Is(got.Err, kerr.MessageTooLarge) {
		t.Errorf("refused %v", got)
	}
	seen, _ := e.outputs(3, 5*time.Second)
	for key, n := range map[string]int{"k0": 2, "k1": 0, "k2": 1} {
		if len(seen[key]) != n {
			t.Errorf("%s: outputs %v", key, seen[key])
		}
	}
}

// TestBatchesGrowAfterAnError: the first batch after an error takeover is one
// input, and each commit doubles it (P5).
func TestBatchesGrowAfterAnError(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	needFake(t, e)
	e.fake.ControlKey(int16(kmsg.EndTxn), func(kr kmsg.Request) (kmsg.Response, error, bool) {
		resp := kr.ResponseKind().(*kmsg.EndTxnResponse) // the first one only
		resp.ErrorCode = kerr.UnknownServerError.Code
		return resp, nil, true
	})
	for range 40 {
		e.cl.Produce(t.Context(), &kgo.Record{Topic: e.names.Namespace + ".commands", Key: []byte("k0")}, nil)
	}
	if err := e.cl.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := &counts{}
	cfg := e.ownerConfig(newDisk(1), nil)
	cfg.Listener = c.listener()
	l := e.start(cfg, newLone())
	await(t, "settled positions", func() bool { return l.progress.positions().Commands.Offset == 40 })
	c.mu.Lock()
	defer c.mu.Unlock()
	bound := 1
	for i, info := range c.infos {
		if info.Counts.Inputs > bound {
			t.Errorf("commit %d has %d inputs, at most %d are allowed", i, info.Counts.Inputs, bound)
		}
		bound *= 2
	}
	if c.infos[0].Counts.Inputs != 1 || len(c.infos) < 3 {
		t.Errorf("commits of %v", c.infos)
	}
}
