package billing

import (
	"fmt"
	"time"
	_ "time/tzdata" // zones also where the host has none
)

// Calendar says when months end. The zero value is months of UTC.
type Calendar struct {
	// Zone is where the customer lives.
	Zone Zone `json:"zone,omitempty"`
	// Every, if it is set, is the length of a month: for customers who are billed by
	// the day, the hour or, where somebody watches, the second. Zone does not matter
	// then.
	Every Length `json:"every,omitzero"`
}

// NextMonth is the end of the month that t lies in: the first instant of the next
// month, which is always after t. In a zone that is the first moment at which its
// clocks show the next month, usually midnight; where the clocks skip midnight on
// the first it is the end of the gap, and where they show it twice the first time.
func (c Calendar) NextMonth(t time.Time) time.Time {
	if c.Every > 0 {
		return t.Add(time.Duration(c.Every))
	}
	loc := c.Zone.location()
	year, month, _ := t.In(loc).Date()
	next := monthBegin(year, month+1, loc)
	if !next.After(t) { // the clocks went back over the first: they show the old month again
		next = monthBegin(year, month+2, loc)
	}
	return next
}

// monthBegin is the first instant at which clocks in loc show the month, or a later
// one if they never show it. It goes through the spans of constant offset around the
// month's first midnight: time.Date does not say what it gives in a gap.
func monthBegin(year int, month time.Month, loc *time.Location) time.Time {
	midnight := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
	t := midnight.AddDate(0, 0, -2).In(loc) // before the month in every zone
	for {
		_, offset := t.Zone()
		first := midnight.Add(-time.Duration(offset) * time.Second)
		if first.Before(t) {
			first = t
		}
		end := offsetEnd(t)
		if end.IsZero() || first.Before(end) {
			return first.UTC()
		}
		t = end
	}
}

// offsetEnd is a later instant up to which the offset at t holds; zero: for ever.
// In leap years beyond a zone's table, ZoneBounds takes the year to end on 31
// December at 0:00 UTC (Go 1.26), also when it is asked at that instant or after it;
// no zone changes on that day.
func offsetEnd(t time.Time) time.Time {
	_, end := t.ZoneBounds()
	if !end.IsZero() && !end.After(t) {
		return t.AddDate(0, 0, 1)
	}
	return end
}

// Zone is the name of a time zone in the IANA database, such as Europe/Berlin. The
// zero value is UTC.
type Zone string

// UnmarshalText accepts a name that is in the database.
func (z *Zone) UnmarshalText(text []byte) error {
	name := string(text)
	if name == "Local" {
		return fmt.Errorf("time zone %q differs from host to host: name one, such as Europe/Berlin", name)
	}
	if _, err := time.LoadLocation(name); err != nil {
		return fmt.Errorf("time zone %q is not in the IANA database: write one such as Europe/Berlin", name)
	}
	*z = Zone(name)
	return nil
}

// location loads the zone. Inputs are checked where they enter, so a zone that is
// missing is missing on this host: the panic makes the run stuck until it is there.
func (z Zone) location() *time.Location {
	loc, err := time.LoadLocation(string(z))
	if err != nil {
		panic(fmt.Sprintf("billing: time zone %q: %v", z, err))
	}
	return loc
}

// Length is a time span that JSON writes as Go does: 5s, 24h.
type Length time.Duration

// lengthMin keeps a mistyped unit from billing a customer without pause.
const lengthMin = Length(100 * time.Millisecond)

// UnmarshalText accepts a time of at least 100 ms.
func (l *Length) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a length of time: write a number with its unit, such as 5s or 24h", text)
	}
	if Length(d) < lengthMin {
		return fmt.Errorf("%s is too short for a month: at least %s", d, time.Duration(lengthMin))
	}
	*l = Length(d)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (l Length) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// String is the length as time.Duration writes it.
func (l Length) String() string { return time.Duration(l).String() }
