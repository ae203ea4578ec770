package schedule_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/odradek/odradek/schedule"
	"github.com/odradek/odradek/workflow"
	"github.com/odradek/odradek/workflow/workflowtest"
)

func spec(t testing.TB, text string) schedule.Spec {
	t.Helper()
	var s schedule.Spec
	if !strings.Contains(text, `"workflow"`) {
		text = strings.Replace(text, "{", `{"workflow":{"type":"report","id":"report"},`, 1)
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

// TestBadSpecsAreRefused: with everything that is wrong, and how to fix it.
func TestBadSpecsAreRefused(t *testing.T) {
	t.Parallel()
	const target = `"workflow":{"type":"report","id":"report"}`
	for text, want := range map[string]string{
		`{}`:                              "workflow.type is missing",
		`{` + target + `}`:                "it says no time: give cron, every or calendar",
		`{` + target + `,"cron":["TZ="]}`: "it names a zone: write that into zone",
		`{` + target + `,"cron":["TZ=Europe/Berlin 0 9 * * *"]}`:                                     "it names a zone",
		`{` + target + `,"cron":["0 9 * *"]}`:                                                        "write minute hour day month weekday",
		`{` + target + `,"cron":["99 9 * * *"]}`:                                                     "99",
		`{` + target + `,"cron":["@every 1h"]}`:                                                      "write that into every",
		`{` + target + `,"cron":["0 0 30 2 *"]}`:                                                     "it never fires",
		`{` + target + `,"cron":["` + strings.Repeat("1,", 300) + `"]}`:                              "at most 200 are allowed",
		`{` + target + `,"zone":"Mars","every":"1h"}`:                                                `zone "Mars" is not known`,
		`{` + target + `,"zone":"Local","every":"1h"}`:                                               `zone "Local" is not known`,
		`{` + target + `,"every":"1ms"}`:                                                             "use 1s or more",
		`{` + target + `,"every":"1h","offset":"2h"}`:                                                "use less than every",
		`{` + target + `,"every":3600}`:                                                              `3600 is no duration: write a text`,
		`{` + target + `,"calendar":[{"hour":[24]}]}`:                                                "hour 24: use 0 to 23",
		`{` + target + `,"every":"1h","overlap":"maybe"}`:                                            "use skip, buffer_one, buffer_all, cancel or allow",
		`{` + target + `,"every":"1h","evry":"1h"}`:                                                  `unknown field "evry"`,
		`{` + target + `,"every":"1h","until":"2000-01-01T00:00:00Z","from":"2001-01-01T00:00:00Z"}`: "it never fires",
		`{"workflow":{"type":"report","id":"` + strings.Repeat("x", 190) + `"},"every":"1h"}`:        "1 to 179 bytes",
	} {
		if err := schedule.Definition.CheckInput([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %q", text, err, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) { // never a panic
		text, err := json.Marshal(map[string]any{"workflow": map[string]string{"type": "t", "id": "i"}, "cron": []string{rapid.StringMatching(`[@0-9*/,A-Z=? -]{0,20}`).Draw(t, "cron")}})
		if err == nil {
			_ = schedule.Definition.CheckInput(text)
		}
	})
}

// TestFirings: of expressions, intervals and calendars, and where clocks change.
func TestFirings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ spec, after, want string }{
		{`{"cron":["0 9 * * MON-FRI"]}`, "2026-01-02T09:00:00Z", "2026-01-05T09:00:00Z 2026-01-06T09:00:00Z"},
		{`{"cron":["*/20 * * * * *"]}`, "2026-01-02T09:00:01Z", "2026-01-02T09:00:20Z 2026-01-02T09:00:40Z 2026-01-02T09:01:00Z"},
		{`{"cron":["0 0 13 * FRI"]}`, "2026-02-01T00:00:00Z", "2026-02-06T00:00:00Z 2026-02-13T00:00:00Z"}, // either, as cron has it
		{`{"cron":["0 0 29 2 *"]}`, "2025-01-01T00:00:00Z", "2028-02-29T00:00:00Z 2032-02-29T00:00:00Z"},
		{`{"cron":["@daily","0 12 * * *"]}`, "2026-01-01T00:00:00Z", "2026-01-01T12:00:00Z 2026-01-02T00:00:00Z"},
		{`{"every":"90m","offset":"10m"}`, "1970-01-01T00:00:00Z", "1970-01-01T00:10:00Z 1970-01-01T01:40:00Z"},
		{`{"calendar":[{"month":[2],"day":[13],"weekday":[5],"hour":[8],"minute":[30]}]}`, "2026-01-01T00:00:00Z", "2026-02-13T08:30:00Z 2032-02-13T08:30:00Z"},
		{`{"calendar":[{"year":[2027],"month":[1],"day":[1],"hour":[0]}]}`, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z -"},
		{`{"every":"1h","from":"2026-01-01T05:00:00Z","until":"2026-01-01T06:00:00Z"}`, "2026-01-01T00:00:00Z", "2026-01-01T05:00:00Z 2026-01-01T06:00:00Z -"},
		// Berlin sets its clock forward over 2:00 to 3:00 on 29 March 2026, at 1:00 UTC ...
		{`{"cron":["30 2 * * *"],"zone":"Europe/Berlin"}`, "2026-03-28T00:00:00Z", "2026-03-28T01:30:00Z 2026-03-29T01:00:00Z 2026-03-30T00:30:00Z"},
		{`{"cron":["15,45 2 * * *"],"zone":"Europe/Berlin"}`, "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z 2026-03-30T00:15:00Z"},
		{`{"cron":["0 * * * *"],"zone":"Europe/Berlin"}`, "2026-03-28T23:30:00Z", "2026-03-29T00:00:00Z 2026-03-29T01:00:00Z 2026-03-29T02:00:00Z"},
		// ... and back from 3:00 to 2:00 on 25 October 2026, at 1:00 UTC.
		{`{"cron":["30 2 * * *"],"zone":"Europe/Berlin"}`, "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z 2026-10-26T01:30:00Z"},
		{`{"cron":["30 * * * *"],"zone":"Europe/Berlin"}`, "2026-10-24T23:45:00Z", "2026-10-25T00:30:00Z 2026-10-25T01:30:00Z 2026-10-25T02:30:00Z"},
		{`{"calendar":[{"minute":[30]}],"zone":"Europe/Berlin"}`, "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z 2026-10-25T02:30:00Z"},
		{`{"cron":["0 0 * * *"],"zone":"America/New_York"}`, "2026-03-07T12:00:00Z", "2026-03-08T05:00:00Z 2026-03-09T04:00:00Z"},
		{`{"cron":["15 2 * * *"],"zone":"Australia/Lord_Howe"}`, "2026-10-03T00:00:00Z", "2026-10-03T15:30:00Z 2026-10-04T15:15:00Z"}, // by half an hour
		{`{"cron":["0 12 30 12 *"],"zone":"Pacific/Apia"}`, "2011-12-01T00:00:00Z", "2011-12-30T10:00:00Z 2012-12-29T22:00:00Z"},      // a day that was not
	} {
		s := spec(t, c.spec)
		at, err := time.Parse(time.RFC3339, c.after)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for range strings.Fields(c.want) {
			if at = s.Next(at); at.IsZero() {
				got = append(got, "-")
				break
			}
			got = append(got, at.Format(time.RFC3339))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s after %s:\n%v, want\n%s", c.spec, c.after, got, c.want)
		}
	}
}

// TestFiringsAreThoseOfTheClock: on days when no clock changes, a firing is each moment
// that fits, none is left out, and they ascend.
func TestFiringsAreThoseOfTheClock(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		some := func(name string, low, high int) []int {
			return rapid.SliceOfNDistinct(rapid.IntRange(low, high), 0, 4, func(v int) int { return v }).Draw(t, name)
		}
		c := schedule.Calendar{Hour: some("hour", 0, 23), Minute: some("minute", 0, 59), Weekday: some("weekday", 0, 6), Day: some("day", 1, 31)}
		s := schedule.Spec{Workflow: schedule.Target{Type: "t", ID: "i"}, Calendar: []schedule.Calendar{c}, Zone: rapid.SampledFrom([]string{"", "Asia/Kolkata", "America/New_York"}).Draw(t, "zone")}
		loc, err := time.LoadLocation(s.Zone)
		if err != nil {
			t.Fatal(err)
		}
		fits := func(set []int, v int) bool { return len(set) == 0 || slices.Contains(set, v) }
		at := time.Date(2026, 6, rapid.IntRange(1, 20).Draw(t, "from"), rapid.IntRange(0, 23).Draw(t, "at"), 17, 0, 0, time.UTC)
		next, end := s.Next(at), at.AddDate(0, 0, 9)
		for m := at.Add(time.Minute).Truncate(time.Minute); m.Before(end); m = m.Add(time.Minute) {
			l := m.In(loc)
			minute := len(c.Minute) == 0 && l.Minute() == 0 || slices.Contains(c.Minute, l.Minute())
			if minute && fits(c.Hour, l.Hour()) && fits(c.Weekday, int(l.Weekday())) && fits(c.Day, l.Day()) {
				if !next.Equal(m) {
					t.Fatalf("after %v the firing %v is left out for %v", at, m, next)
				}
				at, next = m, s.Next(m)
			}
		}
		if next.Before(at) && !next.IsZero() {
			t.Fatalf("%v follows %v", next, at)
		}
	})
}

// reports counts what the schedule has started, and when.
func reports(env *workflowtest.Env, takes time.Duration) workflowtest.Option {
	_ = env
	return workflowtest.With(workflow.Define("report", func(ctx workflow.Context, in json.RawMessage) (string, error) {
		if string(in) == `"fail"` {
			return "", &workflow.Failure{Kind: workflow.FailureApplication, Code: "no_data"}
		}
		return string(in), workflow.Sleep(ctx, takes)
	}))
}

// TestSchedules runs schedules in virtual time: what they start, skip, buffer, cancel and
// make up for, and how they are paused, triggered, backfilled and changed.
func TestSchedules(t *testing.T) {
	t.Parallel()
	for _, crash := range []bool{false, true} {
		run := func(text string, takes time.Duration, act func(env *workflowtest.Env)) schedule.Description {
			opts := []workflowtest.Option{reports(nil, takes), workflowtest.WorkflowID("schedule/report")}
			if crash {
				opts = append(opts, workflowtest.CrashEachStep())
			}
			env := workflowtest.New(t, schedule.Definition, opts...)
			if act != nil {
				act(env)
			}
			d, err := workflowtest.Run[schedule.Description](env, spec(t, text))
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			return d
		}
		expect := func(what string, d schedule.Description, want string) {
			t.Helper()
			if got := fmt.Sprintf("%d started, %d skipped, %d missed, %d failed, last %s", d.Started, d.Skipped, d.Missed, d.Failed, d.Last); got != want {
				t.Errorf("%s (crash %v): %s, want %s", what, crash, got, want)
			}
		}
		const until = `,"until":"2026-01-01T06:00:00Z"}`
		expect("each hour", run(`{"every":"1h"`+until, time.Minute, nil), "6 started, 0 skipped, 0 missed, 0 failed, last report-2026-01-01T06:00:00Z")
		expect("skip", run(`{"every":"1h"`+until, 100*time.Minute, nil), "3 started, 3 skipped, 0 missed, 0 failed, last report-2026-01-01T05:00:00Z")
		expect("buffer", run(`{"every":"1h","overlap":"buffer_one"`+until, 150*time.Minute, nil), "4 started, 2 skipped, 0 missed, 0 failed, last report-2026-01-01T06:00:00Z")
		expect("buffer all", run(`{"every":"1h","overlap":"buffer_all"`+until, 150*time.Minute, nil), "6 started, 0 skipped, 0 missed, 0 failed, last report-2026-01-01T06:00:00Z")
		expect("cancel", run(`{"every":"1h","overlap":"cancel"`+until, 150*time.Minute, nil), "6 started, 0 skipped, 0 missed, 0 failed, last report-2026-01-01T06:00:00Z")
		expect("allow", run(`{"every":"1h","overlap":"allow"`+until, 150*time.Minute, nil), "6 started, 0 skipped, 0 missed, 0 failed, last report-2026-01-01T06:00:00Z")
		expect("fail", run(`{"workflow":{"type":"report","id":"report","input":"fail"},"every":"1h"`+until, time.Minute, nil), "6 started, 0 skipped, 0 missed, 6 failed, last report-2026-01-01T06:00:00Z")
		expect("paused", run(`{"every":"1h","catch_up":"90m"`+until, time.Minute, func(env *workflowtest.Env) {
			workflowtest.UpdateAfter(env, 90*time.Minute, schedule.Pause, schedule.Note{Reason: "holiday"}, func(d schedule.Description, err error) {
				if err != nil || !d.Paused || d.Note != "holiday" || len(d.Next) != 5 || d.Next[0].Hour() != 2 {
					t.Errorf("paused: %+v, %v", d, err)
				}
			})
			workflowtest.UpdateAfter(env, 250*time.Minute, schedule.Resume, schedule.Note{}, nil)
		}), "4 started, 1 skipped, 1 missed, 0 failed, last report-2026-01-01T06:00:00Z") // two at once: 3:00 and 4:00
		expect("by hand", run(`{"every":"1h"`+until, time.Minute, func(env *workflowtest.Env) {
			workflowtest.UpdateAfter(env, 30*time.Minute, schedule.Trigger, schedule.Note{}, func(id string, err error) {
				if err != nil || id != "report-2026-01-01T00:30:00Z" {
					t.Errorf("triggered: %q, %v", id, err)
				}
			})
			day := time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC)
			workflowtest.UpdateAfter(env, 40*time.Minute, schedule.Backfill, schedule.Period{From: day, Until: day.Add(3 * time.Hour)}, func(ids []string, err error) {
				if err != nil || len(ids) != 4 || ids[3] != "report-2025-12-31T03:00:00Z" {
					t.Errorf("backfilled: %q, %v", ids, err)
				}
			})
			workflowtest.UpdateAfter(env, 50*time.Minute, schedule.Backfill, schedule.Period{From: day, Until: day.AddDate(-1, 0, 0)}, func(_ []string, err error) {
				if err == nil || !strings.Contains(err.Error(), "until is before from") {
					t.Errorf("a period that is none: %v", err)
				}
			})
			workflowtest.UpdateAfter(env, 60*time.Minute+time.Second, schedule.Change, spec(t, `{"every":"2h","until":"2026-01-01T05:00:00Z"}`), nil)
		}), "8 started, 0 skipped, 0 missed, 0 failed, last report-2026-01-01T04:00:00Z")
	}
}

// TestFiringsThatWaitAreBounded: of 1,011 firings during the first workflow 1,000 wait, and
// start in their order, one after the other.
func TestFiringsThatWaitAreBounded(t *testing.T) {
	t.Parallel()
	env := workflowtest.New(t, schedule.Definition, reports(nil, 17*time.Hour), workflowtest.WorkflowID("schedule/report"))
	workflowtest.UpdateAfter(env, 16*time.Hour+time.Second, schedule.Resume, schedule.Note{}, func(d schedule.Description, err error) {
		if err != nil || d.Buffered != 959 || d.Skipped != 0 {
			t.Errorf("after 16 hours %d wait, %d are left out, %v", d.Buffered, d.Skipped, err)
		}
	})
	d, err := workflowtest.Run[schedule.Description](env, spec(t, `{"every":"1m","overlap":"buffer_all","until":"2026-01-01T16:52:00Z"}`))
	if err != nil || d.Started != 1001 || d.Skipped != 11 || d.Failed != 0 || d.Buffered != 0 || d.Last != "report-2026-01-01T16:41:00Z" {
		t.Errorf("%d started, %d left out, %d failed, %d wait, the last is %s, %v", d.Started, d.Skipped, d.Failed, d.Buffered, d.Last, err)
	}
	if n := len(env.History()); n > 5000 {
		t.Errorf("the last run has %d history events", n)
	}
}

// TestASchedulesHistoryStaysShort: it continues as new by itself, with what runs.
func TestASchedulesHistoryStaysShort(t *testing.T) {
	t.Parallel()
	env := workflowtest.New(t, schedule.Definition, reports(nil, 90*time.Second), workflowtest.WorkflowID("schedule/report"))
	d, err := workflowtest.Run[schedule.Description](env, spec(t, `{"every":"1m","overlap":"allow","until":"2026-01-03T00:00:00Z"}`))
	if err != nil || d.Started != 2*24*60 || d.Failed != 0 {
		t.Errorf("%+v, %v", d, err)
	}
	if n := len(env.History()); n > 5000 {
		t.Errorf("the last run has %d history events", n)
	}
}
