package schedule

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	_ "time/tzdata" // zones are the binary's, not the machine's: replay sees the same

	"github.com/robfig/cron/v3"

	"github.com/odradek/odradek/record"
)

// Spec says what is started, and when. As JSON it is checked when it is read: a schedule
// that could never work is refused where it enters.
type Spec struct {
	// Workflow is what is started.
	Workflow Target `json:"workflow"`
	// Cron are expressions with five fields (minute hour day month weekday) or six, with
	// seconds in front; or @hourly, @daily, @weekly, @monthly, @yearly.
	Cron []string `json:"cron,omitempty"`
	// Every fires at multiples of a duration since the Unix epoch, moved by Offset.
	Every  Duration `json:"every,omitempty"`
	Offset Duration `json:"offset,omitempty"`
	// Calendar fires at times whose fields are among those given.
	Calendar []Calendar `json:"calendar,omitempty"`
	// Zone of Cron and Calendar, as Europe/Berlin. Default: UTC.
	Zone string `json:"zone,omitempty"`
	// From and Until bound the firings. Default: none.
	From  *time.Time `json:"from,omitempty"`
	Until *time.Time `json:"until,omitempty"`
	// Jitter delays each firing by up to so much, by chance. Default: none.
	Jitter Duration `json:"jitter,omitempty"`
	// Overlap says what happens while a workflow of an earlier firing is running.
	// Default: skip.
	Overlap Overlap `json:"overlap,omitempty"`
	// CatchUp is how late a firing may be: what was missed for longer, because nothing
	// ran or the schedule was paused, is not made up for. Default: one minute.
	CatchUp Duration `json:"catch_up,omitempty"`
}

// Target is what a firing starts. The workflow ID is ID and the time of the firing, as
// report-2026-01-02T09:00:00Z.
type Target struct {
	Type  string          `json:"type"`
	ID    string          `json:"id"`
	Input json.RawMessage `json:"input,omitempty"`
}

// Overlap is what happens while an earlier workflow is running.
type Overlap string

// Rules.
const (
	Skip      Overlap = "skip"       // the firing is left out
	BufferOne Overlap = "buffer_one" // one firing waits; further ones are left out
	BufferAll Overlap = "buffer_all" // firings wait, and start one after the other
	Cancel    Overlap = "cancel"     // the earlier workflow is asked to end, and awaited
	Allow     Overlap = "allow"      // both run
)

// Calendar fires where all fields match; an empty field matches everything, but for
// minute and second, which are then 0.
type Calendar struct {
	Year    []int `json:"year,omitempty"`
	Month   []int `json:"month,omitempty"`   // 1 to 12
	Day     []int `json:"day,omitempty"`     // 1 to 31
	Weekday []int `json:"weekday,omitempty"` // 0, Sunday, to 6
	Hour    []int `json:"hour,omitempty"`    // 0 to 23
	Minute  []int `json:"minute,omitempty"`
	Second  []int `json:"second,omitempty"`
}

// Duration is a time.Duration that is a text such as 1h30m in JSON.
type Duration time.Duration

// MarshalJSON writes the text.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads the text.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("%s is no duration: write a text such as \"1h30m\"", b)
	}
	v, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is no duration: write a number with its unit, such as 1h30m", text)
	}
	*d = Duration(v)
	return nil
}

// ErrSpec is wrapped by every error of a Spec.
var ErrSpec = errors.New("the schedule is not valid")

// plain has no methods, so that reading it does not check it again.
type plain Spec

// UnmarshalJSON reads and checks.
func (s *Spec) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var p plain
	if err := d.Decode(&p); err != nil {
		return fmt.Errorf("%w: %w", ErrSpec, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: more follows the JSON value", ErrSpec)
	}
	*s = Spec(p)
	return s.Validate()
}

// Bounds of what comes from outside.
const (
	expressionsMax = 100
	cronBytesMax   = 200
	stampLen       = len("-2006-01-02T15:04:05Z")
	everyMin       = time.Second
)

// Validate says what is wrong with a schedule: everything, each with how to fix it.
func (s *Spec) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrSpec}, args...)...))
	}
	if s.Workflow.Type == "" {
		bad("workflow.type is missing: name the workflow type that is started")
	}
	if err := record.CheckWorkflowID(s.Workflow.ID + strings.Repeat("x", stampLen)); err != nil || s.Workflow.ID == "" {
		bad("workflow.id %q: it is a part of the workflows' IDs, with the time of the firing behind it: 1 to %d bytes of UTF-8 without control characters", s.Workflow.ID, record.WorkflowIDBytesMax-stampLen)
	}
	if s.location() == nil {
		bad("zone %q is not known: use a name of the IANA database, such as Europe/Berlin, or leave it out for UTC", s.Zone)
	}
	if len(s.Cron)+len(s.Calendar) > expressionsMax {
		bad("there are %d expressions, at most %d are allowed", len(s.Cron)+len(s.Calendar), expressionsMax)
	}
	for _, c := range s.Cron {
		if _, err := parseCron(c); err != nil {
			bad("cron %.60q: %v", c, err)
		}
	}
	for i := range s.Calendar {
		if err := s.Calendar[i].check(); err != nil {
			bad("calendar %d: %v", i+1, err)
		}
	}
	switch every := time.Duration(s.Every); {
	case every < 0 || every > 0 && every < everyMin:
		bad("every is %v: use %v or more", every, everyMin)
	case every == 0 && s.Offset != 0:
		bad("offset is of every, which is missing")
	case s.Offset < 0 || every > 0 && time.Duration(s.Offset) >= every:
		bad("offset is %v: use less than every, %v", time.Duration(s.Offset), every)
	}
	if s.Jitter < 0 || s.CatchUp < 0 {
		bad("jitter and catch_up are not negative")
	}
	switch s.Overlap {
	case "", Skip, BufferOne, BufferAll, Cancel, Allow:
	default:
		bad("overlap is %q: use skip, buffer_one, buffer_all, cancel or allow", s.Overlap)
	}
	if len(errs) == 0 {
		if len(s.Cron)+len(s.Calendar) == 0 && s.Every == 0 {
			bad("it says no time: give cron, every or calendar")
		} else if s.Next(s.from(time.Unix(0, 0))).IsZero() {
			bad("it never fires: look at day, month and until")
		}
	}
	return errors.Join(errs...)
}

// location is nil for an unknown zone.
func (s *Spec) location() *time.Location {
	loc, err := time.LoadLocation(s.Zone)
	if err != nil || s.Zone == "Local" {
		return nil
	}
	return loc
}

// from is the moment after which firings count.
func (s *Spec) from(t time.Time) time.Time {
	if s.From != nil && s.From.After(t) {
		return s.From.Add(-time.Second) // a firing at From counts
	}
	return t
}

var cronParser = cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// parseCron makes fields of an expression. The parser of the module panics on some texts
// with TZ=, so that these are refused before: the zone is a field of its own.
func parseCron(text string) (f fields, err error) {
	switch {
	case len(text) > cronBytesMax:
		return f, fmt.Errorf("it has %d bytes, at most %d are allowed", len(text), cronBytesMax)
	case strings.Contains(text, "="):
		return f, errors.New("it names a zone: write that into zone")
	case strings.HasPrefix(strings.TrimSpace(text), "@every"):
		return f, errors.New("write that into every")
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it cannot be read (%v)", p)
		}
	}()
	s, err := cronParser.Parse(text)
	if err != nil {
		return f, fmt.Errorf("%w: write minute hour day month weekday, as 0 9 * * MON-FRI", err)
	}
	spec, ok := s.(*cron.SpecSchedule)
	if !ok {
		return f, errors.New("it is no time of the clock")
	}
	const star = 1 << 63
	f = fields{second: spec.Second, minute: spec.Minute, hour: spec.Hour, day: spec.Dom, month: spec.Month, weekday: spec.Dow}
	f.everyHour = spec.Hour&star != 0
	f.either = spec.Dom&star == 0 && spec.Dow&star == 0 // both are given: one of them must match, as cron has it
	return f, nil
}

func (c *Calendar) check() error {
	for _, x := range []struct {
		name      string
		values    []int
		low, high int
	}{{"year", c.Year, 1970, 2200}, {"month", c.Month, 1, 12}, {"day", c.Day, 1, 31}, {"weekday", c.Weekday, 0, 6}, {"hour", c.Hour, 0, 23}, {"minute", c.Minute, 0, 59}, {"second", c.Second, 0, 59}} {
		for _, v := range x.values {
			if v < x.low || v > x.high {
				return fmt.Errorf("%s %d: use %d to %d", x.name, v, x.low, x.high)
			}
		}
	}
	return nil
}

func (c *Calendar) fields() fields {
	bits := func(values []int, all, low, high int) (b uint64) {
		for _, v := range values {
			b |= 1 << v
		}
		for v := low; len(values) == 0 && v <= high; v++ {
			if all >= 0 {
				return 1 << all
			}
			b |= 1 << v
		}
		return b
	}
	f := fields{
		second: bits(c.Second, 0, 0, 59), minute: bits(c.Minute, 0, 0, 59), hour: bits(c.Hour, -1, 0, 23),
		day: bits(c.Day, -1, 1, 31), month: bits(c.Month, -1, 1, 12), weekday: bits(c.Weekday, -1, 0, 6),
		everyHour: len(c.Hour) == 0, years: c.Year,
	}
	return f
}
