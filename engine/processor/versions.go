package processor

import (
	"slices"
	"time"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/statestore"
)

// versionsEvery is how often a lane looks which versions of code its open runs
// need. It is a preference of the balancer (S3), and changes with deploys.
const versionsEvery = time.Minute

// versionsSample is how many of the newest runs are looked at.
const versionsSample = 100

// lister is the part of a store that openVersions needs.
type lister interface {
	List(statestore.ListQuery) ([]record.RunRow, statestore.Cursor, error)
}

// openVersions says, by workflow type, which versions the open runs of a partition
// need, about: those of the newest runs, and from each type's oldest to its
// newest, because new runs take the highest version there is. Version 0 is a run
// whose type the binary did not have. It costs some fifty seeks a type, however
// many runs there are.
func openVersions(s lister, types []string, now record.Millis) (map[string][]uint32, error) {
	open := map[string][]uint32{}
	add := func(r *record.RunRow) {
		if !slices.Contains(open[r.Type], r.Version) {
			open[r.Type] = append(open[r.Type], r.Version)
		}
	}
	rows, _, err := s.List(statestore.ListQuery{Status: record.StatusRunning, Limit: versionsSample})
	if err != nil {
		return nil, err
	}
	for i := range rows {
		add(&rows[i])
	}
	for _, typ := range types {
		first, found, err := oldest(s, typ, now)
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		add(&first)
		for v := first.Version + 1; v < slices.Max(open[typ]); v++ {
			add(&record.RunRow{Type: typ, Version: v})
		}
	}
	for _, vs := range open {
		slices.Sort(vs)
	}
	return open, nil
}

// oldest finds a type's open run that started first. The list has the newest
// first, so it asks, by halves of time, whether there is anything before.
func oldest(s lister, typ string, now record.Millis) (row record.RunRow, found bool, err error) {
	lo, hi := record.Millis(0), now.Add(time.Hour)
	for lo < hi {
		mid := lo + (hi-lo)/2
		q := statestore.ListQuery{Type: typ, Status: record.StatusRunning, Limit: 1, After: statestore.CursorOf(&record.RunRow{StartedAt: mid + 1})}
		rows, _, err := s.List(q)
		if err != nil {
			return row, false, err
		}
		if len(rows) == 0 {
			lo = mid + 1
			continue
		}
		row, found = rows[0], true
		hi = min(mid, row.StartedAt)
	}
	return row, found, nil
}

// lookAtVersions refreshes what the balancer is told of the open runs here.
func (i *Instance) lookAtVersions(ps []int32) {
	var types []string
	for _, d := range i.cfg.Partition.Definitions {
		if !slices.Contains(types, d.Type()) {
			types = append(types, d.Type())
		}
	}
	for _, p := range ps {
		s, ok := i.Store(p)
		if !ok {
			continue
		}
		open, err := openVersions(s, types, record.MillisOf(i.cfg.Clock()))
		if err != nil {
			continue // the store is closing, or damaged, which its lane will see
		}
		i.mu.Lock()
		i.open[p] = open
		i.mu.Unlock()
	}
}
