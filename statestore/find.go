package statestore

import (
	"bytes"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/internal/filter"
	"github.com/odradek/odradek/record"
)

// found is a run that an index has, not looked at yet.
type found struct {
	place []byte
	id    string
	run   record.RunID
}

// bounds of a range in the index. A text's end is a zero byte in the key (see codec); a
// mark right behind a value is one behind it here too.
func bounds(r *filter.Range) (lower, upper []byte) {
	prefix := codec.AppendIndexPrefix(nil, r.Name, r.Type)
	at := func(v []byte) []byte {
		size := 8
		switch r.Type {
		case record.AttributeText:
			if n := len(v); n > 0 && v[n-1] == 0 {
				return append(append(slices.Clip(prefix), v[:n-1]...), 1)
			}
			return append(append(slices.Clip(prefix), v...), 0)
		case record.AttributeBool:
			size = 1
		}
		if len(v) == size+1 {
			return after(append(slices.Clip(prefix), v[:size]...))
		}
		return append(slices.Clip(prefix), v...)
	}
	lower, upper = prefix, after(prefix)
	if r.From != nil {
		lower = at(r.From)
	}
	if r.To != nil {
		upper = at(r.To)
	}
	return lower, upper
}

// finder walks the runs that a filter's plan leaves, in the order of a list, and looks at
// those of which the plan does not say enough. touched counts the entries and rows that
// it reads.
type finder struct {
	snap    *pebble.Snapshot
	filter  filter.Filter
	exact   bool
	touched int
}

// look reads a run's row and reports whether it fits.
func (f *finder) look(id string, run record.RunID) (record.RunRow, bool, error) {
	f.touched++
	row, err := runRow(f.snap, id, run)
	if err != nil || f.exact || f.filter.IsZero() {
		return row, err == nil, err
	}
	as, err := attributesOf(f.snap, &row)
	return row, err == nil && f.filter.Fits(&row, as), err
}

// indexed gives the runs of an attribute's ranges behind a place, in order.
func (f *finder) indexed(ranges []filter.Range, place []byte, yield func(found) (more bool, err error)) error {
	if len(ranges) == 1 && ranges[0].One() { // in order as it is
		return f.scanRange(&ranges[0], place, yield)
	}
	var all []found
	for i := range ranges {
		err := f.scanRange(&ranges[i], nil, func(x found) (bool, error) {
			if bytes.Compare(x.place, place) > 0 || place == nil {
				all = append(all, x)
			}
			return true, nil
		})
		if err != nil {
			return err
		}
	}
	slices.SortFunc(all, func(a, b found) int { return bytes.Compare(a.place, b.place) })
	all = slices.CompactFunc(all, func(a, b found) bool { return bytes.Equal(a.place, b.place) })
	for _, x := range all {
		if more, err := yield(x); !more || err != nil {
			return err
		}
	}
	return nil
}

func (f *finder) scanRange(r *filter.Range, place []byte, yield func(found) (more bool, err error)) error {
	lower, upper := bounds(r)
	if place != nil { // of one value
		lower = append(append(slices.Clip(lower), place...), 0)
	}
	if bytes.Compare(lower, upper) >= 0 {
		return nil
	}
	return scan(f.snap, lower, upper, func(key, value []byte) (bool, error) {
		f.touched++
		k, err := codec.DecodeKey(key)
		if err != nil {
			return false, err
		}
		id, err := codec.DecodeListing(value)
		if err != nil {
			return false, err
		}
		return yield(found{clone(key[len(key)-codec.ListingPlaceLen:]), id, k.Run})
	})
}

// attributesOf reads the search attributes of a run, or those in its summary.
func attributesOf(r pebble.Reader, row *record.RunRow) ([]record.Attribute, error) {
	k := codec.Key{WorkflowID: row.WorkflowID, Run: row.Run}
	for _, kind := range []codec.RowKind{codec.RowAttributes, codec.RowSummary} {
		value, closer, err := r.Get(codec.AppendRowKey(nil, kind, row.WorkflowID, row.Run, 0))
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var as []record.Attribute
		if kind == codec.RowAttributes {
			as, err = codec.DecodeAttributes(k, value)
		} else {
			var sum record.SummaryRow
			sum, err = codec.DecodeSummaryRow(k, value)
			as = sum.Attributes
		}
		return as, errors.Join(err, closer.Close())
	}
	return nil, nil
}

// Count gives the number of runs that fit. It touches the entries of the narrowest index,
// and the runs' rows only where that does not say enough.
func (s *Store) Count(q ListQuery) (n int64, err error) {
	if err := s.acquire(); err != nil {
		return 0, err
	}
	defer s.release()
	snap := s.db.NewSnapshot()
	defer snap.Close()
	n, _, err = count(snap, q)
	if err != nil {
		return 0, s.wrap(err, "count runs")
	}
	return n, nil
}

func count(snap *pebble.Snapshot, q ListQuery) (n int64, touched int, err error) {
	plan := q.Filter.Plan()
	f := &finder{snap: snap, filter: q.Filter, exact: plan.Exact}
	restricted := q.Type != "" || q.Status != record.StatusNone // beside the filter
	one := func(x found) (bool, error) {
		fits := f.exact && (plan.Ranges == nil || !restricted)
		if !fits {
			row, ok, err := f.look(x.id, x.run)
			if err != nil {
				return false, err
			}
			fits = ok && q.takes(&row)
		}
		if fits {
			n++
		}
		return true, nil
	}
	if plan.Ranges != nil {
		err = f.indexed(plan.Ranges, nil, one)
	} else {
		err = f.listed(q, plan, nil, one)
	}
	return n, f.touched, err
}

// takes reports whether the query's type and status let a run in.
func (q *ListQuery) takes(row *record.RunRow) bool {
	return (q.Type == "" || q.Type == row.Type) && (q.Status == record.StatusNone || q.Status == row.Status)
}

// listed gives the runs of the listing's streams that the plan leaves, behind a place.
func (f *finder) listed(q ListQuery, plan filter.Plan, place []byte, yield func(found) (more bool, err error)) (err error) {
	prefix := codec.AppendPartitionKey(nil, codec.RowListing)
	it, err := f.snap.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	l := lister{it: it}
	if err := l.start(q, plan, place); err != nil {
		return err
	}
	for len(l.streams) > 0 {
		x, err := l.next()
		if err != nil {
			return err
		}
		f.touched++
		if more, err := yield(x); !more || err != nil {
			return err
		}
	}
	return it.Error()
}
