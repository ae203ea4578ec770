package statestore

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/internal/filter"
	"github.com/odradek/odradek/record"
)

// Cursor says where a list goes on; the zero Cursor is its beginning. It is opaque
// and safe in a URL. It names a place in the order of all runs, so that one
// Cursor serves every partition of a list that is merged from several.
type Cursor string

// ListQuery asks for runs.
type ListQuery struct {
	Type   string        // empty: all
	Status record.Status // StatusNone: all
	Filter filter.Filter // with both of the above
	Limit  int           // at most so many; 0: 100
	After  Cursor
}

const limitDefault = 100

// List gives the runs that fit, the newest start first, and where to go on; an
// empty Cursor: there is no more. Of closed runs whose chunks were dropped it
// gives the summary's row. It touches about as many rows as it returns, plus one
// per workflow type and status (D5).
func (s *Store) List(q ListQuery) ([]record.RunRow, Cursor, error) {
	place, err := q.After.place()
	if err != nil {
		return nil, "", err
	}
	if err := s.acquire(); err != nil {
		return nil, "", err
	}
	defer s.release()
	snap := s.db.NewSnapshot()
	defer snap.Close()
	rows, next, err := list(snap, q, place)
	if err != nil {
		return nil, "", s.wrap(err, "list runs")
	}
	return rows, next, nil
}

func list(snap *pebble.Snapshot, q ListQuery, place []byte) (rows []record.RunRow, next Cursor, err error) {
	rows, next, _, err = choose(snap, q, place)
	return rows, next, err
}

// choose also tells how many entries and rows it has touched.
func choose(snap *pebble.Snapshot, q ListQuery, place []byte) (rows []record.RunRow, next Cursor, touched int, err error) {
	limit := q.Limit
	if limit <= 0 {
		limit = limitDefault
	}
	plan := q.Filter.Plan()
	f := &finder{snap: snap, filter: q.Filter, exact: plan.Exact}
	more := false
	take := func(x found) (bool, error) {
		if len(rows) == limit {
			more = true
			return false, nil
		}
		row, fits, err := f.look(x.id, x.run)
		if err == nil && fits && q.takes(&row) {
			rows, next = append(rows, row), cursorOf(x.place)
		}
		return true, err
	}
	if plan.Ranges != nil {
		err = f.indexed(plan.Ranges, place, take)
	} else {
		err = f.listed(q, plan, place, take)
	}
	if !more {
		next = ""
	}
	return rows, next, f.touched, err
}

// lister merges the listing's streams, one for each type and status, each in the
// order of places, with one iterator that seeks.
type lister struct {
	it      *pebble.Iterator
	streams []stream
}

type stream struct {
	prefix []byte
	key    []byte // of its next entry
	id     string // workflow ID of it
}

func (st *stream) place() []byte { return st.key[len(st.prefix):] }

func (l *lister) start(q ListQuery, plan filter.Plan, place []byte) error {
	wanted := func(st record.Status) bool {
		return (q.Status == record.StatusNone || q.Status == st) && (plan.Statuses == nil || slices.Contains(plan.Statuses, st))
	}
	types := plan.Types
	switch {
	case q.Type != "" && types != nil && !slices.Contains(types, q.Type):
		return nil
	case q.Type != "":
		types = []string{q.Type}
	}
	if types != nil {
		slices.Sort(types)
		for _, typ := range slices.Compact(types) {
			if err := l.addType(typ, wanted, place); err != nil {
				return err
			}
		}
		return nil
	}
	ok := l.it.First()
	for ok {
		k, err := codec.DecodeKey(l.it.Key())
		if err != nil {
			return err
		}
		if err := l.addType(k.Type, wanted, place); err != nil {
			return err
		}
		ok = l.it.SeekGE(after(codec.AppendListingPrefix(nil, k.Type, record.StatusNone)))
	}
	return l.it.Error()
}

func (l *lister) addType(typ string, wanted func(record.Status) bool, place []byte) error {
	for st := record.StatusRunning; st <= record.StatusContinued; st++ {
		if !wanted(st) {
			continue
		}
		s := stream{prefix: codec.AppendListingPrefix(nil, typ, st)}
		s.key = append(append(s.key, s.prefix...), place...)
		if len(place) > 0 {
			s.key = append(s.key, 0) // behind the cursor's run
		}
		if ok, err := l.seek(&s); err != nil {
			return err
		} else if ok {
			l.streams = append(l.streams, s)
		}
	}
	return nil
}

// seek moves the stream to its first entry from key on; false: it has ended.
func (l *lister) seek(s *stream) (bool, error) {
	if !l.it.SeekGE(s.key) || !bytes.HasPrefix(l.it.Key(), s.prefix) {
		return false, l.it.Error()
	}
	s.key = append(s.key[:0], l.it.Key()...)
	if len(s.place()) != codec.ListingPlaceLen {
		return false, fmt.Errorf("%w: listing key %x", codec.ErrMalformed, s.key)
	}
	value, err := l.it.ValueAndErr()
	if err != nil {
		return false, err
	}
	s.id, err = codec.DecodeListing(value)
	return true, err
}

// next gives the run that comes next.
func (l *lister) next() (found, error) {
	least := 0
	for i := range l.streams {
		if bytes.Compare(l.streams[i].place(), l.streams[least].place()) < 0 {
			least = i
		}
	}
	s := &l.streams[least]
	k, err := codec.DecodeKey(s.key)
	if err != nil {
		return found{}, err
	}
	x := found{clone(s.place()), s.id, k.Run}
	s.key = append(s.key, 0)
	ok, err := l.seek(s)
	if !ok {
		l.streams = append(l.streams[:least], l.streams[least+1:]...)
	}
	return x, err
}

// runRow reads a run's row, or that in its summary.
func runRow(r pebble.Reader, workflowID string, run record.RunID) (record.RunRow, error) {
	k := codec.Key{WorkflowID: workflowID, Run: run}
	for _, kind := range []codec.RowKind{codec.RowRun, codec.RowSummary} {
		value, closer, err := r.Get(codec.AppendRowKey(nil, kind, workflowID, run, 0))
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if err != nil {
			return record.RunRow{}, err
		}
		var row record.RunRow
		if kind == codec.RowRun {
			row, err = codec.DecodeRunRow(k, value)
		} else {
			var sum record.SummaryRow
			sum, err = codec.DecodeSummaryRow(k, value)
			row = sum.RunRow
		}
		return row, errors.Join(err, closer.Close())
	}
	return record.RunRow{}, fmt.Errorf("%w: run %s of workflow %q is listed, but has no row", ErrCorrupt, run, workflowID)
}

func cursorOf(place []byte) Cursor { return Cursor(base64.RawURLEncoding.EncodeToString(place)) }

// CursorOf is the Cursor behind a run that a list returned: for lists that are
// merged from several partitions.
func CursorOf(r *record.RunRow) Cursor {
	return cursorOf(codec.AppendListingPlace(nil, r.StartedAt, r.Run))
}

func (c Cursor) place() ([]byte, error) {
	if c == "" {
		return nil, nil
	}
	place, err := base64.RawURLEncoding.Strict().DecodeString(string(c))
	if err != nil || len(place) != codec.ListingPlaceLen {
		return nil, fmt.Errorf("%w: %q: take it from the answer to the page before, or leave it out", ErrCursor, c)
	}
	return place, nil
}
