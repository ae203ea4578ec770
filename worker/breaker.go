package worker

import (
	"time"

	"github.com/odradek/odradek/record"
)

// When a service counts as down, and how it is asked again. The pause is below the built-in
// retry policy's longest (100 s), so that a task whose time has come seldom waits for it.
const (
	breakerFailures = 10 // in a row, of the service itself
	breakerPauseMin = time.Second
	breakerPauseMax = 30 * time.Second
)

// breaker keeps calls from a service that is down: they wait in the queue, and then in
// Kafka, instead of being made in vain, each of which would be an attempt of its task. It is
// the instance's, and knows three states: closed, all permits; open, none until a pause is
// over; half-open, one call, whose outcome decides.
//
// The service's mu protects it.
type breaker struct {
	failures int // in a row
	pause    time.Duration
	state    breakerState
	timer    *time.Timer
	retryAt  time.Time // when the pause is over
	last     string    // the failure that opened it
}

type breakerState string

const (
	breakerClosed   breakerState = "closed"
	breakerOpen     breakerState = "open"
	breakerHalfOpen breakerState = "half-open"
)

// limit is how many of so many permits may be used.
func (b *breaker) limit(permits int) int {
	switch b.state {
	case breakerOpen:
		return 0
	case breakerHalfOpen:
		return min(1, permits)
	}
	return permits
}

// weak reports whether a failure says that the service is down or overloaded, whatever was
// asked of it.
func weak(f *record.Failure) bool {
	if f == nil || !f.Retryable {
		return false
	}
	switch f.Kind {
	case record.FailureNetwork, record.FailureTimeout:
		return true
	case record.FailureHTTP, record.FailureGRPC:
		return f.HTTPStatus == 429 || f.HTTPStatus >= 500
	}
	return false
}

// judge counts the outcome of a call and opens or closes the breaker.
func (s *service) judge(j *job, f *record.Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &s.breaker
	if !weak(f) {
		b.failures = 0
		if b.state != breakerClosed {
			s.log.Info("the service answers again", "paused_for", b.pause)
			b.state, b.pause = breakerClosed, 0
			b.stop()
			s.setPermits()
		}
		return
	}
	if f.RetryAfter > 0 { // it says itself that the rate is too high for it
		s.pool.pause(j, min(f.RetryAfter, breakerPauseMax))
	}
	b.failures++
	switch {
	case b.state == breakerOpen, b.state == breakerClosed && b.failures < breakerFailures:
		return
	case b.pause == 0:
		b.pause = breakerPauseMin
		s.log.Warn("the service is down: its tasks wait", "failures_in_a_row", b.failures, "last", f.Error())
	default:
		b.pause = min(2*b.pause, breakerPauseMax)
	}
	b.state = breakerOpen
	b.stop()
	wait := max(b.pause, min(f.RetryAfter, breakerPauseMax))
	b.retryAt, b.last = time.Now().Add(wait), f.Error()
	b.timer = time.AfterFunc(wait, s.halfOpen)
	s.setPermits()
}

// halfOpen lets one call see whether the service is up.
func (s *service) halfOpen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.breaker.state == breakerOpen {
		s.breaker.state = breakerHalfOpen
		s.setPermits()
	}
}

func (b *breaker) stop() {
	if b.timer != nil {
		b.timer.Stop()
	}
}

// setPermits gives the pool the permits of the held partitions, as far as the breaker lets
// them be used, and their part of the rate. s.mu is held.
func (s *service) setPermits() {
	if s.rate.Calls > 0 {
		s.pool.setRate(s.heldRate())
	}
	limit, draining := s.held(), 0
	for id := range s.parts {
		if s.draining(id) {
			draining++
		}
	}
	all := draining > 0 && draining == len(s.parts)
	if all {
		limit = 1 // it calls nothing: what is left goes back
	}
	s.pool.setDraining(s.active, all)
	if s.paused && !all {
		s.pool.setLimit(0)
		return
	}
	s.pool.setLimit(s.breaker.limit(limit))
}
