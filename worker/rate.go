package worker

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Bounds of a rate. Above the first no single API is called; beyond the second a limit is a
// quota, which needs a memory of what was spent.
const (
	rateCallsMax = 1_000_000
	ratePerMax   = time.Hour
)

// Rate is how many calls may begin in a time, over all workers of a service. In any span of
// time t no more begin than Calls * t / Per + Burst. The zero value is no limit.
//
// Each of the M task partitions carries its share, and a worker may spend the shares of
// those that it holds, together. A partition that moves comes without tokens: what the
// former holder spent is not spent twice.
type Rate struct {
	// Calls in Per; 0: no limit. At most a million.
	Calls int
	// Per is at most an hour. Default 1 s.
	Per time.Duration
	// Burst is how many calls may begin at the same moment after a pause. Each of the M
	// partitions needs one token of it, so M may not exceed it; a rate itself may be lower
	// than M. Default: what comes in a tenth of a second, at least M.
	Burst int
}

// ParseRate reads a rate as people write it: 50/s, 600/m, 1000/h.
func ParseRate(text string) (Rate, error) {
	calls, unit, _ := strings.Cut(text, "/")
	per, known := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[strings.TrimSpace(unit)]
	n, err := strconv.Atoi(strings.TrimSpace(calls))
	if !known || err != nil {
		return Rate{}, fmt.Errorf("%q is not a rate; write calls per second, minute or hour: 50/s, 600/m, 1000/h", text)
	}
	if n < 1 || n > rateCallsMax {
		return Rate{}, fmt.Errorf("a rate of %d calls is out of range; allowed are 1 to %d", n, rateCallsMax)
	}
	return Rate{Calls: n, Per: per}, nil
}

// String is what ParseRate reads, where it could.
func (r Rate) String() string {
	switch r = r.withDefaults(0); {
	case r.Calls == 0:
		return "none"
	case r.Per == time.Second:
		return fmt.Sprintf("%d/s", r.Calls)
	case r.Per == time.Minute:
		return fmt.Sprintf("%d/m", r.Calls)
	case r.Per == time.Hour:
		return fmt.Sprintf("%d/h", r.Calls)
	}
	return fmt.Sprintf("%d/%s", r.Calls, r.Per)
}

// withDefaults fills what is zero, for a topic of so many partitions.
func (r Rate) withDefaults(partitions int) Rate {
	if r.Per == 0 {
		r.Per = time.Second
	}
	if r.Burst == 0 {
		r.Burst = max(partitions, int(r.perSecond()/10))
	}
	return r
}

func (r Rate) perSecond() float64 { return float64(r.Calls) / r.Per.Seconds() }

// problem says what is wrong with a rate, or nothing.
func (r Rate) problem() string {
	switch {
	case r.Calls < 0 || r.Calls > rateCallsMax:
		return fmt.Sprintf("%d calls are out of range; allowed are 0, no limit, to %d", r.Calls, rateCallsMax)
	case r.Per < 0 || r.Per > ratePerMax:
		return fmt.Sprintf("its time is %s; allowed is up to %s", r.Per, ratePerMax)
	case r.Burst < 0 || r.Burst > rateCallsMax:
		return fmt.Sprintf("its burst is %d; allowed are 0, the default, to %d", r.Burst, rateCallsMax)
	case r.Calls == 0 && (r.Per != 0 || r.Burst != 0):
		return "it has a burst or a time, and no number of calls"
	}
	return ""
}

// share is what a partition carries of a limit that m of them share: the first m, of which
// the first have the rest of the division, so that all together have exactly the limit.
func share(limit, m int, partition int32) int {
	if int(partition) >= m {
		return 0
	}
	n := limit / m
	if int(partition) < limit%m {
		n++
	}
	return n
}

// bucket holds tokens, one for each call that may begin. It fills at a rate up to a burst
// and begins empty. (golang.org/x/time/rate has whole bursts, a mutex each, begins full and
// cannot be paused.) It is not safe for concurrent use.
type bucket struct {
	perSecond float64
	burst     float64
	tokens    float64
	at        time.Time // up to which it is filled; ahead of now: paused until then
}

// tokenMargin is what may be missing of a token, for the rounding of time to nanoseconds.
const tokenMargin = 1e-6

// set changes rate and burst. What is above the new burst is lost.
func (b *bucket) set(now time.Time, perSecond, burst float64) {
	b.fill(now)
	b.perSecond, b.burst = perSecond, burst
	b.tokens = min(b.tokens, burst)
}

func (b *bucket) fill(now time.Time) {
	if d := now.Sub(b.at); d > 0 {
		b.tokens, b.at = min(b.burst, b.tokens+d.Seconds()*b.perSecond), now
	}
}

// take takes a token, or tells how long it is until there is one; never is what it says
// where none comes.
func (b *bucket) take(now time.Time) (wait time.Duration) {
	b.fill(now)
	if wait = b.wait(now); wait == 0 {
		b.tokens--
	}
	return wait
}

// never is longer than any wait for a token.
const never = 365 * 24 * time.Hour

// wait is how long it is until there is a token; it expects a filled bucket.
func (b *bucket) wait(now time.Time) time.Duration {
	paused := max(0, b.at.Sub(now))
	missing := 1 - b.tokens
	switch {
	case missing <= tokenMargin:
		return paused
	case b.perSecond <= 0 || b.burst < 1:
		return never
	}
	return paused + max(1, time.Duration(missing/b.perSecond*float64(time.Second)))
}

// full is when the bucket is full; it expects a filled one.
func (b *bucket) full() time.Time {
	if b.tokens >= b.burst-tokenMargin {
		return b.at
	}
	return b.at.Add(time.Duration((b.burst-b.tokens)/b.perSecond*float64(time.Second)) + 1)
}

// giveBack returns a token that was not spent.
func (b *bucket) giveBack() { b.tokens = min(b.burst, b.tokens+1) }

// pause lets no token be taken or come before until, and forgets those that are there.
func (b *bucket) pause(now, until time.Time) {
	b.fill(now)
	b.tokens = min(b.tokens, 0)
	if until.After(b.at) {
		b.at = until
	}
}
