package schedule

import (
	"slices"
	"time"
)

// fields are the times of a clock that fire, as sets of bits.
type fields struct {
	second, minute, hour, day, month, weekday uint64

	years     []int // empty: all
	everyHour bool  // a time that exists twice fires both times
	either    bool  // day or weekday must match, not both
}

// yearsMax is how far a firing is looked for: a 29th of February on a given weekday comes
// every 28 years, and 40 where a century lies between.
const yearsMax = 41

// Next is the first firing after t, without jitter; the zero time: there is none.
func (s *Spec) Next(t time.Time) time.Time {
	t = s.from(t)
	var next time.Time
	take := func(at time.Time) {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	loc := s.location()
	for _, c := range s.Cron {
		if f, err := parseCron(c); err == nil {
			take(f.next(t, loc))
		}
	}
	for i := range s.Calendar {
		f := s.Calendar[i].fields()
		take(f.next(t, loc))
	}
	if every := time.Duration(s.Every); every > 0 {
		since := t.Sub(time.Unix(0, 0)) - time.Duration(s.Offset)
		n := since / every
		if since < 0 && since%every != 0 {
			n--
		}
		take(time.Unix(0, 0).Add((n + 1) * every).Add(time.Duration(s.Offset)))
	}
	if s.Until != nil && next.After(*s.Until) {
		return time.Time{}
	}
	return next.UTC()
}

// next looks day by day, and in a day time by time.
func (f *fields) next(t time.Time, loc *time.Location) time.Time {
	y, m, d := t.In(loc).Date()
	if len(f.years) > 0 {
		if slices.Max(f.years) < y-1 {
			return time.Time{}
		}
		if low := slices.Min(f.years); low > y+1 {
			y, m, d = low, 1, 1
		}
	}
	last := y + yearsMax
	if len(f.years) > 0 {
		last = slices.Max(f.years)
	}
	for day := time.Date(y, m, d-1, 12, 0, 0, 0, time.UTC); day.Year() <= last; day = day.AddDate(0, 0, 1) {
		if !f.onDay(day) {
			if f.month&(1<<day.Month()) == 0 { // to the end of the month
				day = time.Date(day.Year(), day.Month()+1, 0, 12, 0, 0, 0, time.UTC)
			}
			continue
		}
		if at := f.inDay(day, t, loc); !at.IsZero() {
			return at
		}
	}
	return time.Time{}
}

func (f *fields) onDay(day time.Time) bool {
	if len(f.years) > 0 && !slices.Contains(f.years, day.Year()) || f.month&(1<<day.Month()) == 0 {
		return false
	}
	ofMonth, ofWeek := f.day&(1<<day.Day()) != 0, f.weekday&(1<<day.Weekday()) != 0
	if f.either {
		return ofMonth || ofWeek
	}
	return ofMonth && ofWeek
}

// inDay is the first time of that day on the clock that comes after t.
func (f *fields) inDay(day, t time.Time, loc *time.Location) (first time.Time) {
	y, mo, d := day.Date()
	take := func(at time.Time) {
		if at.After(t) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	for h := range 24 {
		if f.hour&(1<<h) == 0 {
			continue
		}
		// No zone has moved its clock by more than a day: what is so far behind is over.
		if time.Date(y, mo, d, h, 59, 59, 0, loc).Add(25 * time.Hour).Before(t) {
			continue
		}
		if !first.IsZero() && time.Date(y, mo, d, h, 0, 0, 0, loc).Add(-25*time.Hour).After(first) {
			break
		}
		for mi := range 60 {
			if f.minute&(1<<mi) == 0 {
				continue
			}
			if end := time.Date(y, mo, d, h, mi, 59, 0, loc); end.Add(3*time.Hour).Before(t) || !first.IsZero() && end.Add(-3*time.Hour).After(first) {
				continue
			}
			for s := range 60 {
				if f.second&(1<<s) == 0 {
					continue
				}
				for _, at := range moments(y, mo, d, h, mi, s, loc, f.everyHour) {
					take(at)
				}
			}
		}
	}
	return first
}

// moments are when the clock of a zone shows that time: once; twice where it was set back,
// of which the second counts only if twice is set; and where it was set forward over it,
// the end of the gap.
func moments(y int, mo time.Month, d, h, mi, s int, loc *time.Location, twice bool) []time.Time {
	wall := time.Date(y, mo, d, h, mi, s, 0, time.UTC)
	_, before := wall.Add(-36 * time.Hour).In(loc).Zone()
	_, behind := wall.Add(36 * time.Hour).In(loc).Zone()
	var out []time.Time
	for _, offset := range []int{max(before, behind), min(before, behind)} { // the earlier moment first
		at := wall.Add(-time.Duration(offset) * time.Second)
		if shows(at.In(loc), wall) && (len(out) == 0 || twice && !out[0].Equal(at)) {
			out = append(out, at)
		}
	}
	if len(out) > 0 {
		return out
	}
	if at := time.Date(y, mo, d, h, mi, s, 0, loc); shows(at, wall) { // the zone changed oftener
		return []time.Time{at}
	}
	end, _ := wall.Add(-time.Duration(before) * time.Second).In(loc).ZoneBounds()
	return []time.Time{end.UTC()}
}

func shows(local, wall time.Time) bool {
	return local.Year() == wall.Year() && local.YearDay() == wall.YearDay() && local.Hour() == wall.Hour() && local.Minute() == wall.Minute() && local.Second() == wall.Second()
}
