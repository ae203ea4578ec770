package worker

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestLoopsTick: a worker shows that it is alive while it has nothing to do, while the
// broker is away, and while its calls hang and no more may be held; not after its end.
func TestLoopsTick(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t, 2)
		var mu sync.Mutex
		beats := map[string]time.Time{}
		l := Listener{
			Beat: func(loop string) { mu.Lock(); defer mu.Unlock(); beats[loop] = time.Now() },
			End:  func(loop string) { mu.Lock(); defer mu.Unlock(); delete(beats, loop) },
		}
		back := make(chan struct{})
		w := e.start("a", Config{Listener: l, Handlers: []Handler{
			HandleRaw(testService, "charge", func(context.Context, *Call) ([]byte, error) { <-back; return nil, nil }),
		}})
		ticks := func(when string) {
			t.Helper()
			for range 6 {
				time.Sleep(beatEvery) // of the bubble
				synctest.Wait()
				mu.Lock()
				at, ok := beats["poll of service "+testService]
				if d := time.Since(at); !ok || d > beatEvery {
					t.Errorf("%s: %v without a beat, known %v", when, d, ok)
				}
				mu.Unlock()
			}
		}
		ticks("idle")
		e.put(3*openMax, "charge", 2)
		ticks("full")
		e.net.sever("a")
		ticks("without a broker")
		close(back)
		_ = w.Stop(context.Background()) // the broker is away: it says so
		mu.Lock()
		defer mu.Unlock()
		if len(beats) > 0 {
			t.Errorf("after the end: %v", beats)
		}
	})
}
