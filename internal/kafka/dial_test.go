package kafka

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestNewConnectionsAreLimited: after a burst 20 a second, in all clients together (S6);
// who cannot wait is told, and does not connect.
func TestNewConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		var mu sync.Mutex
		var at []time.Duration
		dial := limited(func(context.Context, string, string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Since(begun))
			return nil, nil
		})
		var wg sync.WaitGroup
		for range dialsBurst + 3*dialsPerSecond {
			wg.Go(func() {
				if _, err := dial(t.Context(), "tcp", "b:9092"); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		mu.Lock()
		if len(at) != dialsBurst {
			t.Errorf("%d connections at once, want the burst, %d", len(at), dialsBurst)
		}
		mu.Unlock()
		wg.Wait()
		if last := at[len(at)-1].Round(time.Millisecond); last != 3*time.Second {
			t.Errorf("%d more took %v, want 3s", 3*dialsPerSecond, last)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := dial(ctx, "tcp", "b:9092"); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that has ended: %v", err)
		}
		if n := dialsBurst + 3*dialsPerSecond; len(at) != n {
			t.Errorf("%d connections, want %d", len(at), n)
		}
	})
}

// TestEveryProtocolIsLimited: whatever security.protocol says, the dialer is ours.
func TestEveryProtocolIsLimited(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"", "PLAINTEXT", "SSL"} {
		opts, _, err := Connect(map[string]string{"bootstrap.servers": "127.0.0.1:1", "security.protocol": protocol}, "test")
		if err != nil {
			t.Fatal(err)
		}
		clients := []dialFunc{connectionOf(t, opts), connectionOf(t, opts)}
		limited := 0
		for i := 0; limited < len(clients) && i < 100*dialsBurst; i++ {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond) // too short for a turn
			_, err := clients[limited](ctx, "tcp", "127.0.0.1:0")
			cancel()
			if _, ok := errors.AsType[*net.OpError](err); !ok {
				limited++
			}
		}
		if limited != len(clients) {
			t.Errorf("%q: no end of connections", protocol)
		}
	}
}

func connectionOf(t *testing.T, opts []kgo.Opt) dialFunc {
	t.Helper()
	cl, err := NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl.OptValue(kgo.Dialer).(dialFunc)
}
