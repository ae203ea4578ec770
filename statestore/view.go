package statestore

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/record"
)

// Load gives the workflow's current run, the newest, with everything open, or its
// summary; nil if the workflow is unknown. It reads one state of the store (D5).
func (s *Store) Load(workflowID string) (*machine.State, error) {
	r, err := s.acquireOf(workflowID)
	if err != nil {
		return nil, err
	}
	defer s.release()
	state, err := loadRun(r, workflowID, record.RunID{})
	if err != nil {
		return nil, s.wrap(err, "load workflow %q", workflowID)
	}
	return state, nil
}

// LoadRun is Load for one run of the workflow, current or not; nil if it is not there.
func (s *Store) LoadRun(workflowID string, run record.RunID) (*machine.State, error) {
	r, err := s.acquireOf(workflowID)
	if err != nil {
		return nil, err
	}
	defer s.release()
	state, err := loadRun(r, workflowID, run)
	if err != nil {
		return nil, s.wrap(err, "load run %s of workflow %q", run, workflowID)
	}
	return state, nil
}

// Describe is Load for readers outside of the lane.
func (s *Store) Describe(workflowID string) (*machine.State, error) { return s.Load(workflowID) }

// loadRun reads the rows of one run, or, for the zero run ID, of the newest one;
// nil if there are none. The rows of a run stand together, those of newer runs
// behind those of older ones.
func loadRun(r reader, workflowID string, run record.RunID) (*machine.State, error) {
	prefix := codec.AppendRunPrefix(make([]byte, 0, len(workflowID)+32), workflowID)
	lower, newest := prefix, run.IsZero()
	if !newest {
		lower = append(prefix[:len(prefix):len(prefix)], run[:]...)
	}
	var (
		state machine.State
		found bool
		older bool // the first run is not the newest
	)
	err := scanGroup(r, lower, after(lower), func(key, value []byte) (bool, error) {
		kind, of, no, err := codec.DecodeRowKey(key[len(prefix):])
		if err != nil {
			return false, err
		}
		if found && of != run { // the workflow has more runs, perhaps very many
			older = true
			return false, nil
		}
		if !found {
			state, run, found = machine.State{Run: record.RunRow{WorkflowID: workflowID, Run: of}}, of, true
		}
		return true, addRow(&state, codec.Key{Kind: kind, WorkflowID: workflowID, Run: of, No: no}, value)
	})
	if err != nil || !found {
		return nil, err
	}
	if older {
		if run, err = newestRun(r, prefix); err != nil {
			return nil, err
		}
		return loadRun(r, workflowID, run)
	}
	if state.Run.Events == 0 && state.Summary == nil {
		return nil, fmt.Errorf("%w: run %s has rows, but neither a run row nor a summary", ErrCorrupt, run)
	}
	return machine.Restored(state), nil
}

// newestRun is the run of the last row that begins with prefix.
func newestRun(r reader, prefix []byte) (run record.RunID, err error) {
	it, err := r.iter(prefix, after(prefix))
	if err != nil {
		return run, err
	}
	if it.Last() {
		_, run, _, err = codec.DecodeRowKey(it.Key()[len(prefix):])
	}
	return run, errors.Join(err, it.Error(), it.Close())
}

// addRow decodes one row of a run into its state. Payloads are copied: the value
// is gone after the call.
func addRow(s *machine.State, k codec.Key, value []byte) (err error) {
	switch k.Kind {
	case codec.RowRun:
		s.Run, err = codec.DecodeRunRow(k, value)
	case codec.RowStuck:
		var row record.StuckRow
		row, err = codec.DecodeStuckRow(k, value)
		s.Stuck = &row
	case codec.RowTask:
		err = add(&s.Tasks, codec.DecodeTaskRow, k, value)
	case codec.RowTimer:
		err = add(&s.Timers, codec.DecodeTimerRow, k, value)
	case codec.RowSignal:
		err = add(&s.Signals, codec.DecodeSignalRow, k, value)
	case codec.RowChild:
		err = add(&s.Children, codec.DecodeChildRow, k, value)
	case codec.RowUpdate:
		err = add(&s.Updates, codec.DecodeUpdateRow, k, value)
	case codec.RowAttributes:
		s.Attributes, err = codec.DecodeAttributes(k, value)
	case codec.RowAttempt:
		err = add(&s.Attempts, codec.DecodeAttemptRow, k, clone(value))
	case codec.RowInbox:
		err = add(&s.Inbox, codec.DecodeInboxRow, k, clone(value))
	case codec.RowSummary:
		var row record.SummaryRow
		row, err = codec.DecodeSummaryRow(k, clone(value))
		s.Summary = &row
	default:
		err = fmt.Errorf("%w: a row of kind %d among those of a run", codec.ErrMalformed, k.Kind)
	}
	return err
}

func add[T any](rows *[]T, decode func(codec.Key, []byte) (T, error), k codec.Key, value []byte) error {
	row, err := decode(k, value)
	if err == nil {
		*rows = append(*rows, row)
	}
	return err
}

func clone(b []byte) []byte { return append(make([]byte, 0, len(b)), b...) }

// Chunk gives the history events of one chunk; machine.ErrNoChunk if it is not
// there.
func (s *Store) Chunk(workflowID string, run record.RunID, no uint32) ([]record.HistoryEvent, error) {
	if _, err := s.acquireOf(workflowID); err != nil {
		return nil, err
	}
	defer s.release()
	value, err := s.get(s.db, codec.AppendChunkKey(nil, workflowID, run, no))
	if err != nil {
		return nil, s.wrap(err, "read chunk %d of run %s", no, run)
	}
	if value == nil {
		return nil, fmt.Errorf("chunk %d of run %s: %w", no, run, machine.ErrNoChunk)
	}
	events, err := codec.DecodeChunk(value)
	if err != nil {
		return nil, s.wrap(err, "read chunk %d of run %s", no, run)
	}
	return events, nil
}

// Command finds which event a command ID became; false if it is not one of the
// run's.
func (s *Store) Command(workflowID string, run record.RunID, commandID string) (record.CommandRow, bool, error) {
	if _, err := s.acquireOf(workflowID); err != nil {
		return record.CommandRow{}, false, err
	}
	defer s.release()
	value, err := s.get(s.db, codec.AppendCommandKey(nil, workflowID, run, commandID))
	if err != nil {
		return record.CommandRow{}, false, s.wrap(err, "find a command of run %s", run)
	}
	if value == nil || commandID == "" {
		return record.CommandRow{}, false, nil
	}
	row, err := codec.DecodeCommandRow(codec.Key{WorkflowID: workflowID, Run: run, CommandID: commandID}, value)
	if err != nil {
		return record.CommandRow{}, false, s.wrap(err, "find a command of run %s", run)
	}
	return row, true, nil
}

// KnownCommand reports whether a command ID is one of any run's of the workflow. It looks
// at each run's row of that command and at its summary, and passes over what else it has.
func (s *Store) KnownCommand(workflowID, commandID string) (known bool, err error) {
	r, err := s.acquireOf(workflowID)
	if err != nil {
		return false, err
	}
	defer s.release()
	prefix := codec.AppendRunPrefix(nil, workflowID)
	it, err := r.iter(prefix, after(prefix))
	if err != nil {
		return false, s.wrap(err, "find a command of workflow %q", workflowID)
	}
	for ok := it.SeekPrefixGE(prefix); ok && !known && err == nil; {
		var run record.RunID
		if _, run, _, err = codec.DecodeRowKey(it.Key()[len(prefix):]); err == nil {
			known, err = s.knownIn(workflowID, run, commandID)
			next := append(prefix[:len(prefix):len(prefix)], run[:]...)
			next = after(next)
			ok = next != nil && bytes.HasPrefix(next, prefix) && it.SeekPrefixGE(next)
		}
	}
	if err = errors.Join(err, it.Error(), it.Close()); err != nil {
		return false, s.wrap(err, "find a command of workflow %q", workflowID)
	}
	return known, nil
}

func (s *Store) knownIn(workflowID string, run record.RunID, commandID string) (bool, error) {
	row, err := s.get(s.db, codec.AppendCommandKey(nil, workflowID, run, commandID))
	if err != nil || row != nil {
		return row != nil, err
	}
	row, err = s.get(s.db, codec.AppendRowKey(nil, codec.RowSummary, workflowID, run, 0))
	if err != nil || row == nil {
		return false, err
	}
	sum, err := codec.DecodeSummaryRow(codec.Key{WorkflowID: workflowID, Run: run}, row)
	return slices.Contains(sum.CommandIDs, commandID), err
}

// Commands lists the run's command IDs in the order of their bytes.
func (s *Store) Commands(workflowID string, run record.RunID) ([]record.CommandRow, error) {
	if err := s.acquire(); err != nil {
		return nil, err
	}
	defer s.release()
	return s.commands(workflowID, run)
}

func (s *Store) commands(workflowID string, run record.RunID) (rows []record.CommandRow, err error) {
	prefix := codec.AppendCommandKey(nil, workflowID, run, "")
	err = scanGroup(reader{Reader: s.db}, prefix, after(prefix), func(key, value []byte) (bool, error) {
		k := codec.Key{WorkflowID: workflowID, Run: run, CommandID: string(key[len(prefix):])}
		return true, add(&rows, codec.DecodeCommandRow, k, value)
	})
	if err != nil {
		return nil, s.wrap(err, "list the commands of run %s", run)
	}
	return rows, nil
}

// DueAfter gives up to n entries of the due index that come after the entry
// given, in order; the zero Due is before all.
func (s *Store) DueAfter(entry record.Due, n int) ([]record.Due, error) {
	if err := s.acquire(); err != nil {
		return nil, err
	}
	defer s.release()
	prefix := codec.AppendPartitionKey(nil, codec.RowDue)
	lower := prefix
	if entry != (record.Due{}) {
		lower = append(codec.AppendDueKey(nil, entry), 0) // the first key behind it
	}
	var dues []record.Due
	if n <= 0 {
		return nil, nil
	}
	err := scan(s.db, lower, after(prefix), func(key, _ []byte) (bool, error) {
		k, err := codec.DecodeKey(key)
		dues = append(dues, k.Due)
		return len(dues) < n, err
	})
	if err != nil {
		return nil, s.wrap(err, "read the due index")
	}
	return dues, nil
}

// Ownership gives the partition's slots; false if it has never been started.
func (s *Store) Ownership() (record.OwnershipRow, bool, error) {
	if err := s.acquire(); err != nil {
		return record.OwnershipRow{}, false, err
	}
	defer s.release()
	value, err := s.get(s.db, codec.AppendPartitionKey(nil, codec.RowOwnership))
	if err != nil || value == nil {
		if err != nil {
			err = s.wrap(err, "read the partition's slots")
		}
		return record.OwnershipRow{}, false, err
	}
	row, err := codec.DecodeOwnershipRow(value)
	if err != nil {
		return record.OwnershipRow{}, false, s.wrap(err, "read the partition's slots")
	}
	return row, true, nil
}

// TypeRows gives what operators have done to workflow types, in the order of their names.
func (s *Store) TypeRows() (rows []record.TypeRow, err error) {
	if err := s.acquire(); err != nil {
		return nil, err
	}
	defer s.release()
	prefix := codec.AppendPartitionKey(nil, codec.RowType)
	err = scan(s.db, prefix, after(prefix), func(key, value []byte) (bool, error) {
		k, err := codec.DecodeKey(key)
		if err != nil {
			return false, err
		}
		return true, add(&rows, codec.DecodeTypeRow, k, value)
	})
	if err != nil {
		return nil, s.wrap(err, "list what was done to workflow types")
	}
	return rows, nil
}

// TypePaused gives the pause that holds a workflow type's runs; nil: they go on.
func (s *Store) TypePaused(typ string) (*record.TypeAct, error) {
	if err := s.acquire(); err != nil {
		return nil, err
	}
	defer s.release()
	value, err := s.get(s.db, codec.AppendTypeKey(nil, typ))
	if err != nil || value == nil {
		if err != nil {
			err = s.wrap(err, "read what was done to workflow type %q", typ)
		}
		return nil, err
	}
	row, err := codec.DecodeTypeRow(codec.Key{Type: typ}, value)
	if err != nil {
		return nil, s.wrap(err, "read what was done to workflow type %q", typ)
	}
	return row.Paused(), nil
}

// DeadLetter gives the dead letter of a record; false if there is none.
func (s *Store) DeadLetter(o record.Origin) (row record.DeadLetterRow, ok bool, err error) {
	if err := s.acquire(); err != nil {
		return row, false, err
	}
	defer s.release()
	key := codec.AppendDeadLetterKey(nil, o)
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return row, false, nil
	}
	if err != nil {
		return row, false, s.wrap(err, "read a dead letter")
	}
	defer closer.Close()
	k, err := codec.DecodeKey(key)
	if err != nil {
		return row, false, err
	}
	row, err = codec.DecodeDeadLetterRow(k, bytes.Clone(value))
	return row, err == nil, err
}

// ListDeadLetters gives up to n dead letters that come after one, or from the first on, in
// the order of topic, partition and offset; only those of a code, if it is not empty.
func (s *Store) ListDeadLetters(behind *record.Origin, code string, n int) (rows []record.DeadLetterRow, err error) {
	if err := s.acquire(); err != nil {
		return nil, err
	}
	defer s.release()
	prefix := codec.AppendPartitionKey(nil, codec.RowDeadLetter)
	from := prefix
	if behind != nil {
		from = append(codec.AppendDeadLetterKey(nil, *behind), 0)
	}
	err = scan(s.db, from, after(prefix), func(key, value []byte) (bool, error) {
		k, err := codec.DecodeKey(key)
		if err != nil {
			return false, err
		}
		d, err := codec.DecodeDeadLetterRow(k, bytes.Clone(value))
		if err != nil {
			return false, err
		}
		if code == "" || d.Code == code {
			rows = append(rows, d)
		}
		return len(rows) < n, nil
	})
	if err != nil {
		return nil, s.wrap(err, "list the dead letters")
	}
	return rows, nil
}

// DeadLetters gives number and bytes, keys and values of the original records, of
// the dead-letter rows (F7). It reads them all.
func (s *Store) DeadLetters() (rows, bytes int64, err error) {
	if err := s.acquire(); err != nil {
		return 0, 0, err
	}
	defer s.release()
	prefix := codec.AppendPartitionKey(nil, codec.RowDeadLetter)
	err = scan(s.db, prefix, after(prefix), func(key, value []byte) (bool, error) {
		k, err := codec.DecodeKey(key)
		if err != nil {
			return false, err
		}
		d, err := codec.DecodeDeadLetterRow(k, value)
		rows, bytes = rows+1, bytes+int64(len(d.Raw.Key)+len(d.Raw.Value))
		return true, err
	})
	if err != nil {
		return 0, 0, s.wrap(err, "count the dead letters")
	}
	return rows, bytes, nil
}

// History gives up to n history events of a run, numbered from the given one on;
// none beyond the last. The zero run ID is the workflow's newest run. It finds the
// first chunk by halving, so that a page costs the same anywhere.
func (s *Store) History(workflowID string, run record.RunID, from uint64, n int) ([]record.HistoryEvent, error) {
	if err := s.acquire(); err != nil {
		return nil, err
	}
	defer s.release()
	db := s.db.NewSnapshot()
	defer db.Close()
	snap := reader{Reader: db}
	state, err := loadRun(snap, workflowID, run)
	if err != nil {
		return nil, s.wrap(err, "load run %s of workflow %q", run, workflowID)
	}
	if state == nil || state.Gone {
		return nil, fmt.Errorf("workflow %q, run %s: %w", workflowID, run, ErrNoHistory)
	}
	events, err := history(snap, &state.Run, max(from, 1), n)
	if err != nil {
		return nil, s.wrap(err, "read the history of run %s of workflow %q", run, workflowID)
	}
	return events, nil
}

func history(r reader, run *record.RunRow, from uint64, n int) ([]record.HistoryEvent, error) {
	var events []record.HistoryEvent
	if from > run.Events || n <= 0 {
		return nil, nil
	}
	no, err := chunkOf(r, run, from)
	if err != nil {
		return nil, err
	}
	lower := codec.AppendChunkKey(nil, run.WorkflowID, run.Run, no)
	upper := append(codec.AppendChunkKey(nil, run.WorkflowID, run.Run, run.Chunks), 0)
	err = scanGroup(r, lower, upper, func(_, value []byte) (bool, error) {
		chunk, err := codec.DecodeChunk(clone(value))
		if err != nil {
			return false, err
		}
		for _, e := range chunk {
			if e.No >= from && len(events) < n {
				events = append(events, e)
			}
		}
		return len(events) < n, nil
	})
	return events, err
}

// chunkOf finds the chunk that has the event.
func chunkOf(r pebble.Reader, run *record.RunRow, event uint64) (uint32, error) {
	lo, hi := uint32(1), run.Chunks // the chunk is in [lo, hi]
	for lo < hi {
		mid := lo + (hi-lo+1)/2
		value, closer, err := r.Get(codec.AppendChunkKey(nil, run.WorkflowID, run.Run, mid))
		if errors.Is(err, pebble.ErrNotFound) {
			return 0, fmt.Errorf("%w: chunk %d of %d is missing", ErrCorrupt, mid, run.Chunks)
		}
		if err != nil {
			return 0, err
		}
		first, err := codec.ChunkFirst(value)
		if err = errors.Join(err, closer.Close()); err != nil {
			return 0, err
		}
		if first <= event {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	return lo, nil
}
