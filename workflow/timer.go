package workflow

import (
	"time"

	"github.com/odradek/odradek/record"
)

// timeMax is the latest moment that a timer can wait for: the last that RFC 3339
// can write.
var timeMax = record.MillisOf(time.Date(9999, 12, 31, 23, 59, 59, int(999*time.Millisecond), time.UTC))

// Sleep waits for d of durable time: the engine may stop and start meanwhile. A d
// of zero or less waits for the next turn, which is at once.
func Sleep(ctx Context, d time.Duration) { NewTimer(ctx, d).wait(ctx) }

// SleepUntil waits until t. A moment in the past waits for the next turn, which is
// at once.
func SleepUntil(ctx Context, t time.Time) {
	h := ctx.enter()
	newTimer(h, t).wait(ctx)
}

// NewTimer starts a durable timer and does not wait for it. Get gives the time of
// the turn in which it fired.
func NewTimer(ctx Context, d time.Duration) Future[time.Time] {
	h := ctx.enter()
	return newTimer(h, h.Now().Time().Add(d))
}

func newTimer(h Host, t time.Time) Future[time.Time] {
	return Future[time.Time]{host: h, open: startTimer(h, t), decode: decodeTimer}
}

func startTimer(h Host, t time.Time) *Open {
	return h.Open(&record.TimerStarted{Due: dueOf(h.Now(), t)})
}

func decodeTimer(_ Host, o *Open) (time.Time, error) { return o.ClosedAt.Time(), nil }

func (f Future[T]) wait(ctx Context) {
	if _, err := f.Get(ctx); err != nil {
		panic(err) // a timer has no error
	}
}

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
