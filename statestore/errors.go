package statestore

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/odradek/odradek/codec"
)

var (
	// ErrForeign is returned by Open for a store of another cluster, changelog or
	// partition. Quarantine it and open again.
	ErrForeign = errors.New("statestore: store of another cluster or partition")
	// ErrLocked is returned by Open for a store that another process, or this one,
	// has open. The error names the holder.
	ErrLocked = errors.New("statestore: store is in use")
	// ErrCorrupt is returned by Open and by readers for a damaged store. Quarantine it
	// and open again: it is rebuilt from Kafka.
	ErrCorrupt = errors.New("statestore: store is damaged")
	// ErrTooOld is returned by Open for a store in a format, or folded by rules, that
	// this binary has left behind. Quarantine it and open again.
	ErrTooOld = errors.New("statestore: store is of an older format")
	// ErrClosed is returned by every method of a store that was closed.
	ErrClosed = errors.New("statestore: store is closed")
	// ErrNoHistory is returned by History for a run whose chunks are not there: it is
	// unknown, or its history was dropped after its retention (F4).
	ErrNoHistory = errors.New("statestore: no history of this run is kept here")
	// ErrCursor is returned by List for a cursor that it did not give out.
	ErrCursor = errors.New("statestore: cursor is not valid")
	// ErrChangelog is returned by Folder.Fold for a changelog that has a gap, or another
	// version of a chunk, though the fold began with an empty store: Kafka lost data,
	// or two owners wrote. The partition stops; an operator decides.
	ErrChangelog = errors.New("statestore: the changelog contradicts itself")
	// ErrFormatNewer is returned for rows, or a store, of a newer release. Nothing must
	// be dropped because of it: run the newer release.
	ErrFormatNewer = codec.ErrFormatNewer
)

// wrap says on what a read failed, and notes damage in the directory (D4).
func (s *Store) wrap(err error, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	if isDamage(err) {
		s.suspect(fmt.Sprintf("%s: %v", what, err))
		return fmt.Errorf("%w: %s in %s: %w", ErrCorrupt, what, s.dir, err)
	}
	return fmt.Errorf("%s in %s: %w", what, s.dir, err)
}

func isDamage(err error) bool {
	return pebble.IsCorruptionError(err) || errors.Is(err, codec.ErrMalformed) || errors.Is(err, ErrCorrupt)
}
