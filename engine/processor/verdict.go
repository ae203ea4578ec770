package processor

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/record"
)

// Errors that callers branch on.
var (
	// ErrNotOwner is returned when the partition is not, or no longer, this
	// instance's: ask its owner, with the same command ID.
	ErrNotOwner = errors.New("this instance does not own the partition")
	// ErrOutcomeUnknown is wrapped by everything that can go wrong between the first
	// Produce of a batch and nil from EndTransaction: the batch may be committed or
	// not (P2). Only a takeover finds out.
	ErrOutcomeUnknown = errors.New("outcome of the transaction is unknown")
	// ErrFenced is wrapped when another owner has taken the transactional IDs (P3).
	ErrFenced = errors.New("fenced by another owner")
	// ErrDataLoss is wrapped by an incident: Kafka lacks records that it had. The
	// partition stands until an operator decides.
	ErrDataLoss = errors.New("data was lost by Kafka")
	// ErrClock is returned by a takeover whose clock is not to be trusted (T2).
	ErrClock = errors.New("clock is off")
	// ErrTooManyHung is why an instance asks to be restarted (C3).
	ErrTooManyHung = errors.New("too many goroutines hang in workflow code")
)

// errStopped ends a lane that was told to stop.
var errStopped = errors.New("lane stopped")

// errDiscarded ends a batch because the one before it failed.
var errDiscarded = errors.New("batch discarded with the one before it")

// errCrashed marks an injected crash: nothing is tidied up after it.
type errCrashed struct{ error }

// undeliverableError says which outputs cannot be written (P5). Nothing was
// added, nothing produced: the transaction does not exist.
type undeliverableError struct {
	outputs []undeliverable
}

type undeliverable struct {
	topic   record.Topic
	service string
	code    string
	detail  string
}

func (e *undeliverableError) Error() string {
	return fmt.Sprintf("%d outputs cannot be written, the first: %s", len(e.outputs), e.outputs[0].detail)
}

// refusedError says that a broker refused one record for what it is: the batch
// cannot be committed as it is, however often (P5).
type refusedError struct {
	output int // index in Batch.Outputs; -1: a row
	err    error
}

func (e *refusedError) Error() string { return fmt.Sprintf("record refused: %v", e.err) }
func (e *refusedError) Unwrap() error { return e.err }

// hungError says whose code did not come back (C2).
type hungError struct {
	query *query // nil: a turn
	run   record.RunID
	input *record.Origin // nil: a due entry
	alone bool           // nothing else was in the batch
}

func (e *hungError) Error() string {
	return fmt.Sprintf("workflow code of run %s does not come back", e.run)
}

// incidentError stops the partition until an operator decides.
type incidentError struct{ err error }

func (e *incidentError) Error() string { return e.err.Error() }
func (e *incidentError) Unwrap() error { return e.err }

func incident(err error) error { return &incidentError{err} }

// fenced reports whether a broker's answer says that the producer's epoch is not
// the latest: another owner, or the transaction's timeout. INVALID_TXN_STATE is
// how the commit of a fenced owner often ends.
func fenced(err error) bool {
	for _, k := range []*kerr.Error{kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping, kerr.InvalidTxnState, kerr.TransactionalIDNotFound} {
		if errors.Is(err, k) {
			return true
		}
	}
	return false
}

// refused reports whether the answer is about the record itself.
func refused(err error) bool {
	for _, k := range []*kerr.Error{kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp} {
		if errors.Is(err, k) {
			return true
		}
	}
	return false
}

// doubt wraps what went wrong with a transaction.
func doubt(what string, err error) error {
	if fenced(err) {
		return fmt.Errorf("%s: %w: %w: %w", what, ErrOutcomeUnknown, ErrFenced, err)
	}
	return fmt.Errorf("%s: %w: %w", what, ErrOutcomeUnknown, err)
}

// readError tells an incident from what passes.
func readError(topic string, partition int32, err error) error {
	where := fmt.Sprintf("read %s/%d", topic, partition)
	if loss, ok := errors.AsType[*kgo.ErrDataLoss](err); ok {
		return incident(fmt.Errorf("%s: %w: %w; decide whether the partition goes on with what is left", where, ErrDataLoss, loss))
	}
	if errors.Is(err, kerr.OffsetOutOfRange) {
		return incident(fmt.Errorf("%s: %w: the records after the last processed one are no longer in the log (%w); raise the topic's retention, and decide whether the partition goes on without them", where, ErrDataLoss, err))
	}
	return fmt.Errorf("%s: %w", where, err)
}
