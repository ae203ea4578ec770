package statestore

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

// Settled batches wait a moment before they are written, so that rows which live
// shortly are written once, or not at all, and the others in the order of their keys,
// which Pebble takes much faster. Nothing is at risk: what waits is on the changelog,
// and the Checkpoint on the disk does not cover it (D1, D2).
//
// Readers see what waits: they have it written first (D5). The one read that is on the
// path of every start, Load, looks first whether the workflow is recent.
const (
	writeAfter = 500 * time.Millisecond
	// What waits is written sooner from writeBytes on; from waitBytes on Apply does it
	// itself, so that the disk is never outrun.
	writeBytes = 8 << 20
	waitBytes  = 32 << 20
	// flushAfter bounds the age of the Checkpoint that a killed process leaves, where no
	// log is written.
	flushAfter = 10 * time.Second
)

// writeBehind is what waits. Lock order: writing, then mu. Pebble calls flushed with
// locks of its own held, so mu is never held around a call of Pebble.
type writeBehind struct {
	writing sync.Mutex // whoever writes holds it

	mu      sync.Mutex
	rows    [][]record.Row // of each batch that waits, in order
	bytes   int
	cp      record.Checkpoint // of the last batch that waits
	batches int               // that wait or are being written
	timer   *time.Timer       // nil: never armed
	due     time.Time         // when tick is called; zero: it is not
	dirty   time.Time         // when the first row was written that no flush covers; zero: none
	stopped bool
	err     error // of a write that nobody waited for

	// Workflows whose rows are not surely in tables, by the hash of their IDs.
	waiting map[uint64]struct{} // rows wait
	leaving map[uint64]struct{} // rows are being written
	// Rows were written since the last flush ended, the one before, and the one before
	// that. A flush takes the memtables that were full when it began, so the second one
	// that begins behind a write has it.
	recent [3]map[uint64]struct{}
}

func newWriteBehind() writeBehind {
	return writeBehind{waiting: map[uint64]struct{}{}, recent: [3]map[uint64]struct{}{{}, nil, nil}}
}

// Apply settles a batch: its rows, and the Checkpoint that covers them. Rows are in
// order; a nil value deletes. They are the store's from now on. The positions row is left
// out: the Checkpoint has it.
func (s *Store) Apply(rows []record.Row, cp record.Checkpoint) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.release()
	w := &s.behind
	w.mu.Lock()
	if err := w.err; err != nil {
		w.mu.Unlock()
		return err
	}
	w.rows = append(w.rows, rows)
	var last []byte
	for i := range rows {
		key := rows[i].Key
		w.bytes += len(key) + len(rows[i].Value)
		if id := codec.GroupWorkflow(key); id != nil && !bytes.Equal(id, last) {
			w.waiting[codec.Hash(id)] = struct{}{}
			last = id
		}
	}
	w.cp = cp
	w.batches++
	bytes := w.bytes
	if bytes >= writeBytes {
		s.arm(0)
	} else {
		s.arm(writeAfter)
	}
	w.mu.Unlock()
	s.hold.settled(s.settled.Add(1))
	if bytes >= waitBytes {
		return s.write()
	}
	return nil
}

// arm has tick called after a while, or sooner if it was to be sooner. mu is held.
func (s *Store) arm(after time.Duration) {
	w, due := &s.behind, time.Now().Add(after)
	if w.stopped || !w.due.IsZero() && !due.Before(w.due) {
		return
	}
	if w.due = due; w.timer == nil {
		w.timer = time.AfterFunc(after, s.tick)
	} else {
		w.timer.Reset(after)
	}
}

// tick writes what waits, and flushes what has stood in memory alone for too long.
func (s *Store) tick() {
	if s.enter() != nil {
		return
	}
	defer s.release()
	w := &s.behind
	w.mu.Lock()
	w.due = time.Time{}
	w.mu.Unlock()
	_ = s.write() // the next Apply or reader returns it
	if s.wal {
		return
	}
	w.mu.Lock()
	age := time.Since(w.dirty)
	flush := !w.dirty.IsZero() && age >= flushAfter
	switch {
	case flush:
		w.dirty = time.Time{}
	case !w.dirty.IsZero():
		s.arm(flushAfter - age)
	}
	w.mu.Unlock()
	if flush {
		if err := s.db.Flush(); err != nil {
			s.log.Error("store: flush failed", "error", err)
		}
	}
}

// write brings what waits into Pebble. On return all that waited when it was called is
// there.
func (s *Store) write() error {
	w := &s.behind
	w.writing.Lock()
	defer w.writing.Unlock()
	w.mu.Lock()
	if w.batches == 0 || w.err != nil {
		defer w.mu.Unlock()
		return w.err
	}
	rows, cp, batches := w.rows, w.cp, w.batches
	w.rows, w.bytes = nil, 0
	w.waiting, w.leaving = map[uint64]struct{}{}, w.waiting
	w.mu.Unlock()

	err := s.writeRows(rows, cp)

	w.mu.Lock()
	defer w.mu.Unlock()
	w.batches -= batches
	w.err = err
	for id := range w.leaving {
		w.recent[0][id] = struct{}{}
	}
	w.leaving = nil
	s.unflushed()
	return err
}

// unflushed notes that rows stand in memory alone. mu is held.
func (s *Store) unflushed() {
	if w := &s.behind; !s.wal && w.dirty.IsZero() {
		w.dirty = time.Now()
		s.arm(flushAfter)
	}
}

// flushed is called when a flush has ended and its tables are read.
func (w *writeBehind) flushed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &w.recent
	r[0], r[1], r[2] = map[uint64]struct{}{}, r[0], r[1]
}

// isRecent reports whether rows of the workflow may be anywhere but in tables.
func (w *writeBehind) isRecent(workflowID string) bool {
	id := codec.Hash([]byte(workflowID))
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, set := range [...]map[uint64]struct{}{w.waiting, w.leaving, w.recent[0], w.recent[1], w.recent[2]} {
		if _, ok := set[id]; ok {
			return true
		}
	}
	return false
}

// noteWritten says of a workflow that rows of it are written past what waits.
func (s *Store) noteWritten(workflowID string) {
	w := &s.behind
	w.mu.Lock()
	defer w.mu.Unlock()
	w.recent[0][codec.Hash([]byte(workflowID))] = struct{}{}
	s.unflushed()
}

// catchUp has written what waits.
func (s *Store) catchUp() error {
	w := &s.behind
	w.mu.Lock()
	idle, err := w.batches == 0, w.err
	w.mu.Unlock()
	if idle || err != nil {
		return err
	}
	return s.write()
}

// stop ends the timer.
func (w *writeBehind) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

// rowRef is a row that is to be sorted: most keys differ in their first eight bytes.
type rowRef struct {
	head  uint64
	batch uint32
	no    uint32 // index in the batch
}

// writeRows writes rows in the order of their keys, the last one of each key. A row that
// is deleted leaves nothing where its run began among these rows: the store never had it.
func (s *Store) writeRows(batches [][]record.Row, cp record.Checkpoint) error {
	rows := 0
	for _, batch := range batches {
		rows += len(batch)
	}
	sorted := make([]rowRef, 0, rows)
	fresh := map[record.RunID]struct{}{}
	size := 128
	positions := codec.AppendPartitionKey(nil, codec.RowPositions)
	for no, batch := range batches {
		for i := range batch {
			key := batch[i].Key
			if bytes.Equal(key, positions) {
				continue
			}
			var head [8]byte
			copy(head[:], key)
			sorted = append(sorted, rowRef{binary.BigEndian.Uint64(head[:]), uint32(no), uint32(i)})
			size += len(key) + len(batch[i].Value) + 16
			if run, ok := codec.FirstChunk(key); ok && batch[i].Value != nil {
				fresh[run] = struct{}{}
			}
		}
	}
	row := func(ref rowRef) *record.Row { return &batches[ref.batch][ref.no] }
	slices.SortFunc(sorted, func(a, b rowRef) int {
		if a.head != b.head {
			return cmp.Compare(a.head, b.head)
		}
		if c := bytes.Compare(row(a).Key, row(b).Key); c != 0 {
			return c
		}
		return cmp.Or(cmp.Compare(a.batch, b.batch), cmp.Compare(a.no, b.no))
	})
	b := s.db.NewBatchWithSize(size)
	defer b.Close()
	for i, ref := range sorted {
		r := row(ref)
		if i+1 < len(sorted) && bytes.Equal(r.Key, row(sorted[i+1]).Key) {
			continue
		}
		if r.Value == nil {
			if run, ok := codec.RunOfKey(r.Key); ok {
				if _, ok := fresh[run]; ok {
					continue
				}
			}
		}
		if err := put(b, r.Key, r.Value); err != nil {
			return s.wrap(err, "write %d rows", rows)
		}
	}
	return s.commit(b, cp)
}
