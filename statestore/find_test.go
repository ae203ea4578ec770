package statestore

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/internal/filter"
	"github.com/odradek/odradek/record"
)

// found runs of a test: n runs, each with attributes that its number gives.
func fill(t testing.TB, s *Store, n int, attributes func(i int) []record.Attribute) []*machine.State {
	t.Helper()
	var e codec.RowEncoder
	var states []*machine.State
	for i := range n {
		run := record.DeriveRunID(fmt.Sprint("w", i), record.Origin{Offset: int64(i)}, record.Millis(1000+i/3))
		st := machine.NewState(fmt.Sprint("w", i), run)
		at := record.Millis(1000 + i/3)
		bodies := []record.HistoryBody{&record.RunStarted{Type: []string{"order", "billing"}[i%2], Version: uint32(1 + i%3)}}
		if as := attributes(i); len(as) > 0 {
			slices.SortFunc(as, func(a, b record.Attribute) int { return cmp.Compare(a.Name, b.Name) })
			bodies = append(bodies, &record.AttributesSet{Attributes: as})
		}
		if i%4 == 0 {
			bodies = append(bodies, &record.RunCompleted{Retain: time.Hour})
		}
		for j, b := range bodies {
			machine.Apply(st, record.HistoryEvent{No: uint64(j + 1), At: at, Body: b}, 1)
		}
		if i%8 == 0 { // only its summary is left
			st.Flush(&e)
			st.SetSummary(&record.SummaryRow{RunRow: st.Run, ExpireAt: 1 << 40, Attributes: st.Attributes})
			e.PutSummary(st.Summary)
			st.Drop(nil)
		}
		st.Flush(&e)
		states = append(states, st)
	}
	if err := s.Apply(e.Rows, record.Checkpoint{}); err != nil {
		t.Fatal(err)
	}
	return states
}

func text(name, v string) record.Attribute {
	return record.Attribute{Name: name, Type: record.AttributeText, Value: codec.AttributeString(v)}
}

func whole(name string, v int64) record.Attribute {
	return record.Attribute{Name: name, Type: record.AttributeInt, Value: codec.AttributeNumber(v)}
}

// TestFiltersFindWhatFits: whatever the plan, lists and counts give the runs that fit, in
// order, each once, page by page.
func TestFiltersFindWhatFits(t *testing.T) {
	t.Parallel()
	s := open(t, memConfig())
	defer s.Close()
	customers := []string{"", "a", "a\x01", "ab", "b", "ünder"}
	states := fill(t, s, 120, func(i int) []record.Attribute {
		var as []record.Attribute
		if i%5 > 0 {
			as = append(as, text("customer", customers[i%len(customers)]))
		}
		switch i % 7 {
		case 0, 1:
			as = append(as, whole("total", int64(i%11-5)))
		case 2:
			as = append(as, record.Attribute{Name: "total", Type: record.AttributeFloat, Value: codec.AttributeDecimal(float64(i%11)/2 - 2)})
		case 3:
			as = append(as, record.Attribute{Name: "vip", Type: record.AttributeBool, Value: codec.AttributeFlag(i%2 == 0)})
		case 4:
			as = append(as, record.Attribute{Name: "due", Type: record.AttributeTime, Value: codec.AttributeMoment(time.UnixMilli(int64(1000 + i)))})
		}
		return as
	})
	terms := []string{
		`type = "order"`, `type in ("order", "billing")`, `status = running`, `status != completed`, `status in (completed, failed)`,
		`customer = "a"`, `customer = ""`, `customer in ("b", "ab", "b")`, `customer > "a"`, `customer <= "a"`, `customer >= "ab"`, `customer < "ab"`,
		`customer starts "a"`, `customer starts ""`, `customer starts "ü"`, `customer != "a"`, `customer = 1`,
		`total = 2`, `total = 0.5`, `total > -1`, `total <= 0`, `total < 1.5`, `total in (1, -2)`, `vip = true`, `vip != true`, `vip < true`,
		`due < 1970-01-01T00:00:01.050Z`, `due >= 1970-01-01T00:00:01.050Z`, `id starts "w1"`, `id = "w7"`, `version >= 2`, `started > 1970-01-01T00:00:01.020Z`, `closed > 1970-01-01T00:00:01Z`, `unknown = 1`,
	}
	rapid.Check(t, func(t *rapid.T) {
		src := rapid.SampledFrom(terms).Draw(t, "term")
		for range rapid.IntRange(0, 3).Draw(t, "more") {
			next := rapid.SampledFrom(terms).Draw(t, "term")
			if rapid.Bool().Draw(t, "not") {
				next = "not " + next
			}
			src = fmt.Sprintf("(%s) %s %s", src, rapid.SampledFrom([]string{"and", "and", "or"}).Draw(t, "join"), next)
		}
		f, err := filter.Parse(src, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		q := ListQuery{Filter: f, Limit: rapid.IntRange(1, 50).Draw(t, "limit")}
		if rapid.IntRange(0, 3).Draw(t, "typed") == 0 {
			q.Type, q.Status = "order", record.StatusRunning
		}
		var want []string
		for _, st := range states {
			if f.Fits(&st.Run, st.Attributes) && (q.Type == "" || st.Run.Type == q.Type && st.Run.Status == q.Status) {
				want = append(want, st.Run.WorkflowID)
			}
		}
		slices.SortFunc(want, func(a, b string) int {
			x, y := states[number(a)], states[number(b)]
			return cmp.Or(cmp.Compare(y.Run.StartedAt, x.Run.StartedAt), slices.Compare(x.Run.Run[:], y.Run.Run[:]))
		})
		var got []string
		for {
			rows, next, err := s.List(q)
			if err != nil {
				t.Fatalf("%s: %v", src, err)
			}
			for i := range rows {
				got = append(got, rows[i].WorkflowID)
			}
			if next == "" {
				break
			}
			q.After = next
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s gives\n%v, want\n%v", src, got, want)
		}
		if n, err := s.Count(q); err != nil || n != int64(len(want)) {
			t.Fatalf("%s counts %d, %v, want %d", src, n, err, len(want))
		}
	})
}

func number(id string) (n int) {
	_, err := fmt.Sscanf(id, "w%d", &n)
	if err != nil {
		panic(err)
	}
	return n
}

// TestFiltersTouchWhatTheyMust: an attribute's index bounds what a list and a count read,
// however many runs there are.
func TestFiltersTouchWhatTheyMust(t *testing.T) {
	t.Parallel()
	s := open(t, memConfig())
	defer s.Close()
	fill(t, s, 5000, func(i int) []record.Attribute {
		return []record.Attribute{text("customer", fmt.Sprint("c", i%100)), whole("total", int64(i))}
	})
	for src, most := range map[string]struct{ list, count int }{
		`customer = "c7"`:                        {21, 50},  // ten entries and rows, and one more that tells of a next page
		`customer = "c7" and status = running`:   {60, 100}, // of its 50 runs
		`total >= 4990`:                          {30, 10},
		`total in (5, 6) and customer = "c6"`:    {120, 100},
		`type = "order" and status = completed`:  {21, 2500},
		`customer starts "c99"`:                  {70, 50},
		`type = "nobody's" and customer != "c7"`: {0, 0},
	} {
		f, err := filter.Parse(src, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		snap := s.db.NewSnapshot()
		_, _, list, err1 := choose(snap, ListQuery{Filter: f, Limit: 10}, nil)
		_, counted, err2 := count(snap, ListQuery{Filter: f})
		if err := snap.Close(); err != nil || err1 != nil || err2 != nil {
			t.Fatal(err, err1, err2)
		}
		if list > most.list || counted > most.count {
			t.Errorf("%s: a page touches %d entries and rows, want at most %d; a count %d, want at most %d", src, list, most.list, counted, most.count)
		}
	}
	if f, err := filter.Parse(strings.Repeat("(", 30), time.Now()); err == nil {
		t.Errorf("nested without end: %v", f)
	}
}
