package filter

import "github.com/odradek/odradek/record"

// Plan says where the runs that a filter chooses can be found without looking at all.
type Plan struct {
	// Ranges of an attribute's index, at least one of which each chosen run is in; nil:
	// no attribute narrows the filter.
	Ranges []Range
	// Types and Statuses that chosen runs have; nil: any.
	Types    []string
	Statuses []record.Status
	// Exact: what is in Ranges, or of Types and Statuses, is chosen, without a look.
	Exact bool
}

// Range is a part of an attribute's index: values of one type from From on and before To.
// Both are in order-keeping form, and with a zero byte behind it, right behind that value;
// nil is the beginning or the end of the type.
type Range struct {
	Name     string
	Type     record.AttributeType
	From, To []byte
}

// One reports whether the range has one value only, and its runs are in the order of a
// list.
func (r *Range) One() bool {
	return r.To != nil && string(r.To) == string(append(r.From[:len(r.From):len(r.From)], 0))
}

// Plan finds the narrowest way.
func (f Filter) Plan() Plan {
	var p Plan
	if f.root == nil {
		return Plan{Exact: true}
	}
	best := 0
	var all []*comparison
	exact := conjuncts(f.root, &all)
	var chosen *comparison
	for _, c := range all {
		switch {
		case c.field == fieldType && (c.op == "=" || c.op == "in"):
			for _, v := range c.values {
				p.Types = append(p.Types, v.text)
			}
		case c.field == fieldStatus && (c.op == "=" || c.op == "in"):
			for _, v := range c.values {
				p.Statuses = append(p.Statuses, record.ParseStatus(v.text))
			}
		case fieldKind(c.field) == kindNone && c.op != "!=":
			rank := 1
			if c.op == "=" || c.op == "in" {
				rank = 2
			}
			if rank > best && !fraction(c) {
				best, chosen = rank, c
			}
		}
	}
	if chosen != nil {
		p.Ranges = ranges(chosen)
	}
	switch {
	case !exact:
	case len(all) == 1 && (chosen != nil || p.Types != nil || p.Statuses != nil):
		p.Exact = true
	case len(all) == 2 && chosen == nil && p.Types != nil && p.Statuses != nil && all[0].field != all[1].field:
		p.Exact = true
	}
	return p
}

// fraction reports whether integers must be looked at one by one.
func fraction(c *comparison) bool {
	for i := range c.values {
		if c.values[i].kind == kindNumber && !c.values[i].whole {
			return true
		}
	}
	return false
}

// conjuncts gives the comparisons that all must hold; false where there is more to it.
func conjuncts(n node, out *[]*comparison) bool {
	switch n := n.(type) {
	case *and:
		a := conjuncts(n.a, out)
		return conjuncts(n.b, out) && a
	case *comparison:
		*out = append(*out, n)
		return true
	}
	return false
}

func ranges(c *comparison) (out []Range) {
	for i := range c.values {
		for _, a := range c.values[i].bytes() {
			r := Range{Name: c.field, Type: a.Type}
			next := append(a.Value[:len(a.Value):len(a.Value)], 0) // the least value behind it
			switch c.op {
			case "=", "in":
				r.From, r.To = a.Value, next
			case "<":
				r.To = a.Value
			case "<=":
				r.To = next
			case ">":
				r.From = next
			case ">=":
				r.From = a.Value
			case "starts":
				r.From, r.To = a.Value, prefixEnd(a.Value)
			}
			out = append(out, r)
		}
	}
	return out
}

// prefixEnd is the least text behind all that begin with v; nil: there is none.
func prefixEnd(v []byte) []byte {
	if len(v) == 0 {
		return nil
	}
	end := append([]byte{}, v...)
	end[len(end)-1]++ // no byte of UTF-8 is 0xFF
	return end
}
