package apis

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Faults are what goes wrong on purpose. Which request of a key is hit depends on
// the seed, the key and how many requests it had before, so that a run can be
// repeated. The zero value is no faults.
type Faults struct {
	// FailRate is the share of requests that are refused before the effect, half with
	// 503, half with 429: 0 to 1.
	FailRate float64
	// LoseRate is the share of requests whose effect is done and whose answer is lost:
	// the connection breaks. 0 to 1.
	LoseRate float64
	// RetryAfter is told with refusals, in whole seconds, rounded up. 0: not told.
	RetryAfter time.Duration
	// Latency is how long every request takes, at least.
	Latency time.Duration
	// Seed chooses which requests are hit.
	Seed int64
}

func (f Faults) validate() error {
	if !(f.FailRate >= 0 && f.LoseRate >= 0 && f.FailRate+f.LoseRate < 1) {
		return fmt.Errorf("fail rate %v and lose rate %v: neither may be negative, and together they must be below 1, or no request would ever succeed", f.FailRate, f.LoseRate)
	}
	if f.RetryAfter < 0 || f.Latency < 0 {
		return errors.New("retry-after and latency may not be negative")
	}
	return nil
}

// fault is what happens to one request.
type fault struct {
	refuse  int // status; 0: not refused
	lose    bool
	latency time.Duration
}

// of draws the fault of the nth request of a key.
func (f Faults) of(service, key string, nth int) fault {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d/%s/%s/%d", f.Seed, service, key, nth)
	draw := float64(mix(h.Sum64())) / math.MaxUint64
	out := fault{latency: f.Latency}
	switch {
	case draw < f.FailRate/2:
		out.refuse = http.StatusServiceUnavailable
	case draw < f.FailRate:
		out.refuse = http.StatusTooManyRequests
	case draw < f.FailRate+f.LoseRate:
		out.lose = true
	}
	return out
}

// mix spreads what differs in the low bits over all (the finaliser of splitmix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// asked adds what a request asks for by its query: ?fault=503, ?fault=429,
// ?fault=lost, ?latency=200ms.
func (f fault) asked(q url.Values) (fault, error) {
	switch v := q.Get("fault"); v {
	case "":
	case "lost":
		f.refuse, f.lose = 0, true
	case "429", "503":
		f.refuse, _ = strconv.Atoi(v)
	default:
		return f, fmt.Errorf("fault=%s: use 503, 429 or lost", v)
	}
	if v := q.Get("latency"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil || d < 0 || d > time.Minute {
			return f, fmt.Errorf("latency=%s: use a time up to 1m, such as 200ms", v)
		}
		f.latency = d
	}
	return f, nil
}
