package worker

import (
	"errors"
	"time"
)

// PollAfter gives what a handler returns whose work goes on elsewhere and has to be asked
// for: the engine makes the same call again when d is over, and LastDetails gives it the
// details, JSON of at most 16 KB. Between the calls nothing is held here: a worker that ends
// loses nothing. The attempt stays the same, so the retry policy does not count the calls;
// limits of the task's whole time hold (workflow.WithLimits). d is from a millisecond to a
// day, and whoever has the task's Token may still answer it.
//
// A call may come more than once, as any: until the answer of the first call has been
// committed, its work is begun again, with the same key.
func PollAfter(d time.Duration, details any) error {
	b, err := encodeDetails("a poll", details)
	if err != nil {
		return err
	}
	return &poll{after: max(d, time.Millisecond), details: b}
}

// poll is the error of a call that is to be made again; it is an ErrPending.
type poll struct {
	after   time.Duration
	details []byte
}

func (p *poll) Error() string { return "the task is asked for again in " + p.after.String() }

func (*poll) Is(target error) bool { return target == ErrPending }

// PollOf tells what PollAfter was given; false: err is not one.
func PollOf(err error) (after time.Duration, details []byte, ok bool) {
	p, ok := errors.AsType[*poll](err)
	if !ok {
		return 0, nil, false
	}
	return p.after, p.details, true
}

// errForget marks a failure after which the details are dropped.
var errForget = errors.New("the details are forgotten")

// Forget marks err: the next attempt gets no details, because what they tell of is gone. It
// begins anew.
func Forget(err error) error {
	if err == nil {
		return nil
	}
	return &forgetting{err}
}

// Forgets reports whether err is marked by Forget.
func Forgets(err error) bool { return errors.Is(err, errForget) }

type forgetting struct{ error }

func (f *forgetting) Unwrap() error { return f.error }

func (*forgetting) Is(target error) bool { return target == errForget }
