//go:build odradek_test

package processor

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/odradek/odradek/internal/fault"
)

// TestOwnersThatFightAndCrash is what the controls run on a real Kafka with a rule
// off (ODRADEK_TEST_KAFKA, ODRADEK_RULES_OFF): with early or lso it fails.
//
// A takeover that is slow before it fences lets the last owner commit meanwhile, so
// that an end that was listed before the fence is too early. An owner that is slow
// before EndTransaction, or crashes there, leaves a transaction that the next owner
// aborts.
func TestOwnersThatFightAndCrash(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	c := &counts{}
	crashes := 0
	var mu sync.Mutex
	v := e.contest(contest{owners: 2, total: 1500, counts: c, idle: 20 * time.Second, inject: func(owner int) *fault.Injector {
		rng := rand.New(rand.NewPCG(uint64(owner), 3))
		return &fault.Injector{Fail: func(p fault.Point) error {
			switch p {
			case fault.BeforeInit:
				time.Sleep(20 * time.Millisecond) // what is tried is slowness itself
			case fault.BeforeEnd:
				mu.Lock()
				draw := rng.IntN(20)
				if draw == 0 {
					crashes++
				}
				mu.Unlock()
				switch {
				case draw == 0:
					return errTest
				case draw < 5:
					time.Sleep(20 * time.Millisecond)
				}
			}
			return nil
		}}
	}})
	if v.wrong() {
		t.Fatal(v)
	}
	mu.Lock()
	defer mu.Unlock()
	if c.takeovers < 5 || crashes == 0 {
		t.Errorf("%d takeovers, %d crashes: too few to mean anything", c.takeovers, crashes)
	}
	t.Logf("%v in %d commits, %d takeovers, %d fenced, %d crashes", v, c.commits, c.takeovers, c.fenced, crashes)
}
