package billing

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// zones where something is odd about the first of some month, and plain ones.
var zones = []Zone{
	"", "UTC", "Europe/Berlin", "Europe/London", "Europe/Dublin", "Europe/Lisbon", "Europe/Moscow", "Europe/Istanbul",
	"America/New_York", "America/Los_Angeles", "America/St_Johns", "America/Havana", "America/Asuncion", "America/Santiago",
	"America/Sao_Paulo", "America/Caracas", "America/Nuuk", "America/Scoresbysund", "America/Anchorage", "America/Bogota",
	"Asia/Amman", "Asia/Beirut", "Asia/Damascus", "Asia/Gaza", "Asia/Jerusalem", "Asia/Tehran", "Asia/Kolkata", "Asia/Kathmandu",
	"Asia/Pyongyang", "Asia/Shanghai", "Asia/Dhaka", "Asia/Karachi", "Asia/Ulaanbaatar",
	"Africa/Cairo", "Africa/Casablanca", "Africa/Monrovia", "Africa/Juba", "Africa/Khartoum", "Africa/Sao_Tome",
	"Australia/Lord_Howe", "Australia/Sydney", "Australia/Eucla", "Antarctica/Troll", "Antarctica/Casey",
	"Pacific/Apia", "Pacific/Kiritimati", "Pacific/Kwajalein", "Pacific/Chatham", "Pacific/Marquesas", "Pacific/Tongatapu", "Pacific/Fiji",
}

// TestMonthsEnd: the first instant of the next month in the customer's zone.
func TestMonthsEnd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ zone, from, want, why string }{
		{"Europe/Berlin", "2026-01-31T09:00:00Z", "2026-01-31T23:00:00Z", "31 days, winter"},
		{"Europe/Berlin", "2026-01-31T23:00:00Z", "2026-02-28T23:00:00Z", "from the very first instant; 28 days"},
		{"Europe/Berlin", "2026-01-31T22:59:59.999Z", "2026-01-31T23:00:00Z", "from the very last"},
		{"Europe/Berlin", "2028-02-03T00:00:00Z", "2028-02-29T23:00:00Z", "29 days"},
		{"Europe/Berlin", "2026-03-01T00:00:00Z", "2026-03-31T22:00:00Z", "over the change to summer time"},
		{"Europe/Berlin", "2026-10-01T00:00:00Z", "2026-10-31T23:00:00Z", "over the change to winter time"},
		{"Europe/Berlin", "2026-12-31T22:00:00Z", "2026-12-31T23:00:00Z", "over New Year"},
		{"Europe/Berlin", "2028-12-15T00:00:00Z", "2028-12-31T23:00:00Z", "over New Year of a leap year"},
		{"Europe/Berlin", "2040-12-15T00:00:00Z", "2040-12-31T23:00:00Z", "the same, beyond the zone's table"},
		{"Pacific/Kiritimati", "2040-12-15T00:00:00Z", "2040-12-31T10:00:00Z", "the same in the east"},
		{"America/Los_Angeles", "2044-12-31T10:00:00Z", "2045-01-01T08:00:00Z", "the same in the west"},
		{"Asia/Kathmandu", "2026-01-01T00:00:00Z", "2026-01-31T18:15:00Z", "offset of 5:45"},
		{"America/Havana", "2012-03-15T00:00:00Z", "2012-04-01T05:00:00Z", "no midnight on the first: clocks go from 0:00 to 1:00"},
		{"America/Asuncion", "2017-09-15T00:00:00Z", "2017-10-01T04:00:00Z", "no midnight on the first"},
		{"Asia/Damascus", "2011-03-15T00:00:00Z", "2011-03-31T22:00:00Z", "no midnight on the first"},
		{"America/St_Johns", "2009-10-15T00:00:00Z", "2009-11-01T02:30:00Z", "midnight twice: clocks go back at 0:01, the first one counts"},
		{"America/St_Johns", "2009-11-01T03:00:00Z", "2009-12-01T03:30:00Z", "clocks show October again, which has ended"},
		{"America/Havana", "2020-10-15T00:00:00Z", "2020-11-01T04:00:00Z", "clocks go back at 1:00 on the first"},
		{"Pacific/Kiritimati", "1994-12-15T00:00:00Z", "1994-12-31T10:00:00Z", "the 31st was left out"},
		{"Pacific/Apia", "2011-12-15T00:00:00Z", "2011-12-31T10:00:00Z", "the 30th was left out"},
	} {
		from, want := instant(t, c.from), instant(t, c.want)
		if got := (Calendar{Zone: Zone(c.zone)}).NextMonth(from); !got.Equal(want) {
			t.Errorf("%s: after %s in %s: got %s, want %s", c.why, c.from, c.zone, got.Format(time.RFC3339Nano), c.want)
		}
	}
}

// TestOtherMonths: a month may be any length, and does not drift.
func TestOtherMonths(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	c := Calendar{Every: Length(5 * time.Second), Zone: "Europe/Berlin"}
	if got := c.NextMonth(c.NextMonth(from)); !got.Equal(from.Add(10 * time.Second)) {
		t.Errorf("two months of 5s after %s end at %s", from, got)
	}
}

// TestMonthsAgreeWithAScan: NextMonth is what somebody would find who looked at the
// customer's clock, minute by minute, for the first time that it shows a month that
// it has not shown before.
func TestMonthsAgreeWithAScan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := Calendar{Zone: rapid.SampledFrom(zones).Draw(t, "zone")}
		loc := c.Zone.location()
		year := rapid.IntRange(1970, 2040).Draw(t, "year")
		month := time.Month(rapid.IntRange(1, 12).Draw(t, "month"))
		// Around the month's end, where something may be odd, or anywhere in it.
		begin := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
		from := begin.AddDate(0, 1, 0).Add(time.Duration(rapid.IntRange(-3*24*60, 3*24*60).Draw(t, "minutes")) * time.Minute)
		if rapid.Bool().Draw(t, "anywhere") {
			from = begin.Add(time.Duration(rapid.IntRange(0, 27*24*60).Draw(t, "minute")) * time.Minute)
		}
		want := scan(loc, from)
		if got := c.NextMonth(from); !got.Equal(want) {
			t.Fatalf("after %s in %q: got %s, a scan finds %s", from, c.Zone, got, want)
		}
	})
}

// TestEachChangeNearAFirst looks at every change of offset in the zones that lies
// within a day of a month's first, which random dates seldom find.
func TestEachChangeNearAFirst(t *testing.T) {
	t.Parallel()
	found := 0
	for _, zone := range zones {
		loc := zone.location()
		for at := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC).In(loc); ; {
			end := offsetEnd(at)
			if end.IsZero() || end.Year() > 2040 {
				break
			}
			at = end
			if day := at.Day(); day != 1 && at.AddDate(0, 0, 1).Day() != 1 {
				continue
			}
			found++
			for _, d := range []time.Duration{-25 * time.Hour, -61 * time.Minute, -time.Minute, 0, time.Minute, 59 * time.Minute, 2 * time.Hour} {
				from := at.Add(d)
				if got, want := (Calendar{Zone: zone}).NextMonth(from), scan(loc, from); !got.Equal(want) {
					t.Errorf("after %s in %q: got %s, a scan finds %s", from, zone, got, want)
				}
			}
		}
	}
	if found < 20 {
		t.Fatalf("only %d changes near a month's first were found: the test shows nothing", found)
	}
}

// scan looks at the clock for the first instant after from at which it shows a month
// that it has not shown before: by the minute when that is near, then by the second.
// It starts two days before from, because the clock may have shown the next month
// already.
func scan(loc *time.Location, from time.Time) time.Time {
	shown := func(t time.Time) int { y, m, _ := t.In(loc).Date(); return y*12 + int(m) }
	at := from.Add(-48 * time.Hour)
	latest := shown(at)
	for {
		step := time.Hour
		if shown(at.Add(27*time.Hour)) > latest {
			step = time.Minute
		}
		next := at.Add(step)
		if shown(next) > latest {
			for shown(next.Add(-time.Second)) > latest {
				next = next.Add(-time.Second)
			}
			latest = shown(next)
			if next.After(from) {
				return next
			}
		}
		at = next
	}
}

// TestCalendarIsChecked: what a calendar cannot be is refused with its reason.
func TestCalendarIsChecked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ json, want string }{
		{`{"zone":"Europe/Berlin"}`, ""},
		{`{"every":"5s"}`, ""},
		{`{}`, ""},
		{`{"zone":"Europe/Berln"}`, `time zone "Europe/Berln" is not in the IANA database`},
		{`{"zone":"Local"}`, `time zone "Local" differs from host to host`},
		{`{"zone":"../../etc/passwd"}`, `is not in the IANA database`},
		{`{"every":"5"}`, `"5" is not a length of time: write a number with its unit`},
		{`{"every":"-5s"}`, `-5s is too short for a month: at least 100ms`},
		{`{"zome":"UTC"}`, `calendar.zome`},
	} {
		err := Definition.CheckInput([]byte(`{"customer":"c","calendar":` + c.json + `}`))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.json, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", c.json, err, c.want)
		}
	}
}

// TestCalendarAsJSON: a calendar comes back as it was written.
func TestCalendarAsJSON(t *testing.T) {
	t.Parallel()
	for _, c := range []Calendar{{}, {Zone: "Asia/Kolkata"}, {Every: Length(90 * time.Second)}} {
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var back Calendar
		if err := json.Unmarshal(b, &back); err != nil || back != c {
			t.Errorf("%+v became %s became %+v (%v)", c, b, back, err)
		}
	}
	if b, _ := json.Marshal(Calendar{Every: Length(5 * time.Second)}); string(b) != `{"every":"5s"}` {
		t.Errorf("got %s", b)
	}
}

func instant(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
