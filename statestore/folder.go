package statestore

import (
	"bytes"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/record"
)

// statesMax is how many runs a Folder keeps at hand between commits, in each of
// two generations: about 2 KB each.
const statesMax = 4096

// Folder makes the rows of a store from the changelog: takeover and standby. It
// folds with machine.Apply and derives with Flush, as the step does, so that the
// store equals the live one (D3). It is for one goroutine, while nobody calls
// Apply. After an error it is not used any more; what it has not committed is lost.
type Folder struct {
	s     *Store
	batch *pebble.Batch
	rows  foldWriter

	// States of runs by age: a run that is not used for a whole generation is
	// forgotten. Between two commits none is.
	young, old map[runKey]*folded
	dirty      []*folded
	positions  record.Positions
	fresh      bool // the store was empty when the fold began
	statesMax  int
}

type runKey struct {
	workflowID string
	run        record.RunID
}

type folded struct {
	*machine.State
	dirty bool
}

// foldWriter also remembers the command IDs of the batch: the store does not have
// them yet.
type foldWriter struct {
	codec.RowEncoder
	commands map[record.RunID][]record.CommandRow
}

// PutCommand writes the row, and remembers it.
func (w *foldWriter) PutCommand(r *record.RunRow, c *record.CommandRow) {
	w.RowEncoder.PutCommand(r, c)
	w.commands[r.Run] = append(w.commands[r.Run], *c)
}

// Folder starts a fold that goes on where the store's Checkpoint ends.
func (s *Store) Folder() *Folder {
	f := &Folder{s: s, statesMax: statesMax, young: map[runKey]*folded{}, rows: foldWriter{commands: map[record.RunID][]record.CommandRow{}}}
	cp, ok, err := s.Checkpoint()
	f.positions, f.fresh = cp.Inputs, !ok && err == nil // an error shows again with the first row
	return f
}

// Position is the last row of input positions that was folded, in this Folder or
// before: where a lane goes on once it has folded everything.
func (f *Folder) Position() record.Positions { return f.positions }

// Pending is about how many bytes wait for Commit. A caller commits before they
// become more than some megabytes.
func (f *Folder) Pending() int {
	if f.batch == nil {
		return 0
	}
	return f.batch.Len()
}

// Fold takes one record of the changelog, in order; a nil value is a tombstone. It
// keeps none of the bytes. ErrFormatNewer means that a newer release wrote the
// row: the partition has to wait for it (K4).
func (f *Folder) Fold(key, value []byte) error {
	if err := f.s.enter(); err != nil {
		return err
	}
	defer f.s.release()
	if f.batch == nil {
		f.batch = f.s.db.NewBatch()
	}
	k, err := codec.DecodeKey(key)
	if err != nil {
		return fmt.Errorf("fold a row of the changelog: %w", err)
	}
	if err := f.fold(k, key, value); err != nil {
		return fmt.Errorf("fold row %x of the changelog (run %s of workflow %q): %w", key[:min(len(key), 64)], k.Run, k.WorkflowID, err)
	}
	return nil
}

func (f *Folder) fold(k codec.Key, key, value []byte) (err error) {
	switch k.Kind {
	case codec.RowPositions:
		if value != nil {
			f.positions, err = codec.DecodePositions(value)
		}
		return err
	case codec.RowOwnership:
		if value != nil {
			_, err = codec.DecodeOwnershipRow(value)
		}
		return f.keep(err, key, value)
	case codec.RowType:
		if value != nil {
			_, err = codec.DecodeTypeRow(k, value)
		}
		return f.keep(err, key, value)
	case codec.RowDeadLetter:
		if value != nil {
			_, err = codec.DecodeDeadLetterRow(k, value)
		}
		return f.keep(err, key, value)
	}
	if !k.Kind.Travels() {
		return fmt.Errorf("%w: rows of kind %d do not travel", codec.ErrMalformed, k.Kind)
	}
	s, err := f.state(k)
	if err != nil {
		return err
	}
	f.touch(s)
	switch k.Kind {
	case codec.RowChunk:
		return f.chunk(s, k, key, value)
	case codec.RowSummary:
		return f.summary(s, k, key, value)
	}
	// The state writes these rows itself, where they still mean something (F1).
	if value == nil {
		forget(s, k)
		return nil
	}
	return set(s, k, value)
}

// keep writes a row as it came.
func (f *Folder) keep(err error, key, value []byte) error {
	if err != nil {
		return err
	}
	return put(f.batch, key, value)
}

func set(s *folded, k codec.Key, value []byte) error {
	switch k.Kind {
	case codec.RowAttempt:
		row, err := codec.DecodeAttemptRow(k, clone(value))
		if err == nil {
			s.SetAttempt(row)
		}
		return err
	case codec.RowStuck:
		row, err := codec.DecodeStuckRow(k, value)
		if err == nil {
			s.SetStuck(&row)
		}
		return err
	}
	row, err := codec.DecodeInboxRow(k, clone(value))
	if err == nil {
		s.AddInbox(row)
	}
	return err
}

func forget(s *folded, k codec.Key) {
	switch k.Kind {
	case codec.RowAttempt:
		s.DeleteAttempt(k.No)
	case codec.RowStuck:
		s.SetStuck(nil)
	case codec.RowInbox:
		s.DeleteInbox(k.No)
	}
}

// chunk folds the next chunk of a run, or drops the run with the tombstone of its
// first one (F2).
func (f *Folder) chunk(s *folded, k codec.Key, key, value []byte) error {
	no := uint32(k.No)
	if value == nil {
		if err := put(f.batch, key, nil); err != nil {
			return err
		}
		if no == 1 && !s.Gone && s.Run.Events > 0 {
			return f.drop(s)
		}
		return nil
	}
	events, err := codec.DecodeChunk(value)
	if err != nil {
		return err
	}
	if no <= s.Run.Chunks {
		return f.again(s, key, value)
	}
	if no != s.Run.Chunks+1 || events[0].No != s.Run.Events+1 {
		return f.lacking("chunk %d begins with event %d, but what was folded before ends with event %d of chunk %d", no, events[0].No, s.Run.Events, s.Run.Chunks)
	}
	if err := put(f.batch, key, value); err != nil {
		return err
	}
	for _, e := range events {
		machine.Apply(s.State, e, no)
	}
	return nil
}

// again bears a second reading of a chunk. Another chunk with its number is none:
// two owners have written.
func (f *Folder) again(s *folded, key, value []byte) error {
	old, err := f.s.get(f.s.db, key)
	if err != nil {
		return f.s.wrap(err, "read a chunk of run %s", s.Run.Run)
	}
	if !bytes.Equal(old, value) {
		return f.lacking("a chunk is there a second time, with other bytes")
	}
	return nil
}

// lacking is what Fold returns where the changelog does not go on from what was
// folded. In a store that was not empty the store may be at fault, and is rebuilt
// once; then it is the changelog.
func (f *Folder) lacking(format string, args ...any) error {
	why := fmt.Sprintf(format, args...)
	if f.fresh {
		return fmt.Errorf("%w: %s", ErrChangelog, why)
	}
	f.s.suspect("the changelog does not go on from what it has: " + why)
	return fmt.Errorf("%w: %s does not fit the changelog: %s", ErrCorrupt, f.s.dir, why)
}

func (f *Folder) drop(s *folded) error {
	if err := f.flush(s); err != nil {
		return err
	}
	commands, err := f.s.commands(s.Run.WorkflowID, s.Run.Run)
	if err != nil {
		return err
	}
	s.Drop(append(commands, f.rows.commands[s.Run.Run]...))
	f.touch(s)
	return nil
}

func (f *Folder) summary(s *folded, k codec.Key, key, value []byte) error {
	if value == nil {
		s.DropSummary()
		return put(f.batch, key, nil)
	}
	row, err := codec.DecodeSummaryRow(k, clone(value))
	if err != nil {
		return err
	}
	s.SetSummary(&row)
	return put(f.batch, key, value)
}

// state finds the state of a run: at hand, in the store, or new.
func (f *Folder) state(k codec.Key) (*folded, error) {
	at := runKey{k.WorkflowID, k.Run}
	s := f.young[at]
	if s != nil {
		return s, nil
	}
	if s = f.old[at]; s == nil {
		state, err := loadRun(reader{Reader: f.s.db}, k.WorkflowID, k.Run)
		if err != nil {
			return nil, f.s.wrap(err, "load run %s of workflow %q", k.Run, k.WorkflowID)
		}
		if state == nil {
			state = machine.NewState(k.WorkflowID, k.Run)
		}
		s = &folded{State: state}
	}
	f.young[at] = s
	return s, nil
}

func (f *Folder) touch(s *folded) {
	if !s.dirty {
		s.dirty = true
		f.dirty = append(f.dirty, s)
	}
}

// flush writes what changed in a run into the batch.
func (f *Folder) flush(s *folded) error {
	s.Flush(&f.rows)
	for i := range f.rows.Rows {
		if err := put(f.batch, f.rows.Rows[i].Key, f.rows.Rows[i].Value); err != nil {
			return err
		}
	}
	f.rows.Reset()
	return nil
}

// Commit writes what was folded since the last Commit in one Pebble batch, with
// the Checkpoint that covers it (D1).
func (f *Folder) Commit(cp record.Checkpoint) error {
	if err := f.s.enter(); err != nil {
		return err
	}
	defer f.s.release()
	if f.batch == nil {
		f.batch = f.s.db.NewBatch()
	}
	for _, s := range f.dirty {
		if err := f.flush(s); err != nil {
			return f.s.wrap(err, "write the rows of run %s", s.Run.Run)
		}
		s.dirty = false
		f.s.noteWritten(s.Run.WorkflowID)
	}
	if err := f.s.commit(f.batch, cp); err != nil {
		return err
	}
	f.s.hold.settled(f.s.settled.Add(1))
	err := f.batch.Close()
	f.batch = nil
	f.dirty = f.dirty[:0]
	clear(f.rows.commands)
	if len(f.young) > f.statesMax {
		f.old, f.young = f.young, map[runKey]*folded{}
	}
	return err
}
