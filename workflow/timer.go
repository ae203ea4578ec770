package workflow

import (
	"time"

	"github.com/odradek/odradek/record"
)

// timeMax is the latest moment that a timer can wait for: the last that RFC 3339
// can write.
var timeMax = record.MillisOf(time.Date(9999, 12, 31, 23, 59, 59, int(999*time.Millisecond), time.UTC))

// Sleep waits for d of durable time: the engine may stop and start meanwhile. A d
// of zero or less waits for the next turn, which is at once. The error is a
// *CancelledError: the scope was cancelled before the time was over.
func Sleep(ctx Context, d time.Duration) error {
	_, err := NewTimer(ctx, d).Get(ctx)
	return err
}

// SleepUntil waits until t. A moment in the past waits for the next turn, which is
// at once. The error is as Sleep's.
func SleepUntil(ctx Context, t time.Time) error {
	_, err := newTimer(ctx, ctx.enter(), t).Get(ctx)
	return err
}

// NewTimer starts a durable timer and does not wait for it. Get gives the time of
// the turn in which it fired.
func NewTimer(ctx Context, d time.Duration) Future[time.Time] {
	h := ctx.enter()
	return newTimer(ctx, h, h.Now().Time().Add(d))
}

func newTimer(ctx Context, h Host, t time.Time) Future[time.Time] {
	if err := ctx.cancelled(); err != nil {
		return Future[time.Time]{host: h, err: err}
	}
	return Future[time.Time]{host: h, open: startTimer(h, ctx.scope, t), decode: decodeTimer}
}

func startTimer(h Host, s *Scope, t time.Time) *Open {
	return h.Open(&record.TimerStarted{Due: dueOf(h.Now(), t)}, s)
}

func decodeTimer(_ Host, o *Open) (time.Time, error) { return o.ClosedAt.Time(), nil }

// dueOf is t to the millisecond, rounded up because timers never fire early, within
// what can be stored: not before now, not after the year 9999.
func dueOf(now record.Millis, t time.Time) record.Millis {
	if t.Year() > 9999 {
		return timeMax
	}
	due := record.MillisOf(t)
	if due.Time().Before(t) {
		due++
	}
	return min(max(due, now), timeMax)
}
