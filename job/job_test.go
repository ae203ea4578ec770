package job_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/job"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
	"github.com/odradek/odradek/workflow/workflowtest"
)

// TestBadSpecsAreRefused: with everything that is wrong, and how to fix it.
func TestBadSpecsAreRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{}`: `operation is "": use retry, pause, resume, cancel, terminate, retry_dead_letters, discard_dead_letters`,
		`{"operation":"reset","filter":"status = failed"}`:                                  `operation is "reset"`,
		`{"operation":"retry"}`:                                                             "filter is missing",
		`{"operation":"retry","filter":" "}`:                                                "filter is missing",
		`{"operation":"retry","filter":"status ="}`:                                         "filter: ",
		`{"operation":"retry","filter":"id = \"` + strings.Repeat("x", 4080) + `\""}`:       "at most 4096 are allowed",
		`{"operation":"retry","filter":"status = failed","code":"x"}`:                       "code is of dead letters",
		`{"operation":"retry_dead_letters","filter":"status = failed"}`:                     "filter is of runs",
		`{"operation":"cancel","filter":"status = running","new_key":true}`:                 "new_key is of retry",
		`{"operation":"cancel","filter":"status = running","rate":-1}`:                      "rate is -1: use 0.01 to 1000 a second",
		`{"operation":"cancel","filter":"status = running","rate":2000}`:                    "rate is 2000",
		`{"operation":"cancel","filter":"status = running","limit":-1}`:                     "limit is -1",
		`{"operation":"cancel","filtre":"status = running"}`:                                `unknown field "filtre"`,
		`{"operation":"cancel","filter":"status = running"} 1`:                              "",
		`{"operation":"discard_dead_letters","reason":"` + strings.Repeat("x", 1100) + `"}`: "shorten it",
	} {
		var s job.Spec
		err := json.Unmarshal([]byte(text), &s)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %q", text, err, want)
		}
	}
	for name, want := range map[string]string{"": "0 bytes", strings.Repeat("x", 101): "101 bytes", "a/b": "byte 0x2f at position 2", "a b": "byte 0x20", "ä": "byte 0xc3"} {
		if err := job.CheckName(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("name %q: %v, want %q", name, err, want)
		}
	}
}

// made is when the jobs of the tests are made.
var made = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// world is an engine of two partitions in memory. A run has got a command if its ID is
// among the commands, which refuse a second one.
type world struct {
	table    *topology.Table
	runs     []record.RunRow
	letters  []record.DeadLetterRow
	commands map[string][]string // by workflow ID: the IDs of the commands that were applied
	applied  func(id string, body record.Body)
	breaks   int            // so many of the next Submits apply the half and fail
	asked    map[string]int // workflow IDs that were tried for pages
}

func newWorld() *world {
	return &world{table: topology.TableZero(2), commands: map[string][]string{}, asked: map[string]int{}, applied: func(string, record.Body) {}}
}

// add adds a run that was started so long before the job.
func (w *world) add(id, typ string, status record.Status, before time.Duration) {
	at := record.MillisOf(made.Add(-before))
	w.runs = append(w.runs, record.RunRow{WorkflowID: id, Type: typ, Status: status, StartedAt: at,
		Run: record.DeriveRunID(id, record.Origin{Offset: int64(len(w.runs))}, at)})
}

func (w *world) Partitions() int32 { return w.table.Partitions }
func (w *world) Partition(id string) int32 {
	w.asked[id]++
	return w.table.Partition(id)
}

func (w *world) find(id string) *record.RunRow {
	return &w.runs[slices.IndexFunc(w.runs, func(r record.RunRow) bool { return r.WorkflowID == id })]
}

func (w *world) Runs(_ context.Context, p int32, q job.Query) ([]record.RunRow, error) {
	order := func(a, b record.RunRow) int {
		if a.StartedAt != b.StartedAt {
			return int(b.StartedAt - a.StartedAt)
		}
		return strings.Compare(string(a.Run[:]), string(b.Run[:]))
	}
	place := record.RunRow{StartedAt: q.Started, Run: q.Run}
	var out []record.RunRow
	for _, r := range slices.SortedFunc(slices.Values(w.runs), order) {
		if w.table.Partition(r.WorkflowID) == p && order(place, r) < 0 && (q.Status == record.StatusNone || q.Status == r.Status) && q.Filter.Fits(&r, nil) && len(out) < q.Limit {
			out = append(out, r)
		}
	}
	return out, nil
}

func (w *world) Count(ctx context.Context, p int32, q job.Query) (int64, error) {
	q.Limit, q.Started = len(w.runs), record.Never
	rows, err := w.Runs(ctx, p, q)
	return int64(len(rows)), err
}

func (w *world) DeadLetters(_ context.Context, p int32, after *record.Origin, code string, n int) ([]record.DeadLetterRow, error) {
	var out []record.DeadLetterRow
	for _, d := range w.letters {
		if d.Origin.Partition == p && (after == nil || d.Origin.Offset > after.Offset) && (code == "" || code == d.Code) && len(out) < n {
			out = append(out, d)
		}
	}
	return out, nil
}

func (w *world) Submit(_ context.Context, commands []job.Command) ([]record.Reply, error) {
	var out []record.Reply
	for i, c := range commands {
		if w.breaks > 0 && i == len(commands)/2 {
			w.breaks--
			return nil, errors.New("the partition moves")
		}
		out = append(out, w.apply(c))
	}
	return out, nil
}

func (w *world) apply(c job.Command) record.Reply {
	if b, ok := c.Body.(*record.Redrive); ok {
		before := len(w.letters)
		w.letters = slices.DeleteFunc(w.letters, func(d record.DeadLetterRow) bool { return d.ID() == record.DeadLetterID(b.Origin) })
		if len(w.letters) == before {
			return record.Reply{Outcome: record.OutcomeNoDeadLetter, Detail: "there is no such dead letter"}
		}
		w.applied(c.WorkflowID, b)
		return record.Reply{Outcome: record.OutcomeApplied}
	}
	r := w.find(c.WorkflowID)
	id, run, status := "", record.RunID{}, record.StatusRunning
	switch b := c.Body.(type) {
	case *record.Operate:
		id, run = b.CommandID, b.Run
	case *record.Cancel:
		id, run, status = b.CommandID, b.Run, record.StatusCancelled
	case *record.Terminate:
		id, run, status = b.CommandID, b.Run, record.StatusTerminated
	}
	switch {
	case slices.Contains(w.commands[c.WorkflowID], id):
		return record.Reply{Outcome: record.OutcomeRepeated}
	case run != r.Run:
		return record.Reply{Outcome: record.OutcomeNotFound, Detail: "another run"}
	case strings.HasPrefix(c.WorkflowID, "no-"):
		return record.Reply{Outcome: record.OutcomeNotOffered, Detail: "something came after the failure"}
	}
	w.commands[c.WorkflowID] = append(w.commands[c.WorkflowID], id)
	r.Status = status
	w.applied(c.WorkflowID, c.Body)
	return record.Reply{Outcome: record.OutcomeApplied}
}

// got are the workflows that got exactly one command; the test fails where one got more.
func (w *world) got(t *testing.T, prefix string) (n int) {
	t.Helper()
	for id, ids := range w.commands {
		if len(ids) != 1 {
			t.Errorf("%s got the commands %v", id, ids)
		}
		if !strings.HasPrefix(id, prefix) {
			t.Errorf("%s got a command", id)
		}
		n++
	}
	return n
}

// run runs a job in virtual time, with and without a crash after each step.
func run(t *testing.T, w *world, crash bool, spec job.Spec, act func(env *workflowtest.Env)) (job.Report, *workflowtest.Env) {
	t.Helper()
	defs := job.Definitions(w)
	opts := []workflowtest.Option{workflowtest.WorkflowID(job.WorkflowID("mend")), workflowtest.At(made), workflowtest.With(defs[1])}
	if crash {
		opts = append(opts, workflowtest.CrashEachStep())
	}
	env := workflowtest.New(t, defs[0], opts...)
	if act != nil {
		act(env)
	}
	report, err := workflowtest.Run[job.Report](env, spec)
	if err != nil {
		t.Fatalf("%+v: %v", spec, err)
	}
	return report, env
}

// each runs a test with and without crashes.
func each(t *testing.T, test func(t *testing.T, crash bool)) {
	t.Parallel()
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprintf("crash=%v", crash), func(t *testing.T) { t.Parallel(); test(t, crash) })
	}
}

func counts(r job.Report) string {
	return fmt.Sprintf("%d fit, %d matched, %d done, %d refused, %d of %d partitions", r.Fit, r.Matched, r.Done, r.Refused, r.Through, r.Partitions)
}

// TestAJobComesToEachRunOnce (J1, J2, J5): to those that fit and were started before it was
// made, also where runs leave the filter because of it, and commands are sent again because
// their answers were lost.
func TestAJobComesToEachRunOnce(t *testing.T) {
	each(t, func(t *testing.T, crash bool) {
		w := newWorld()
		w.breaks = 5
		for i := range 300 {
			w.add(fmt.Sprintf("failed-%d", i), "order", record.StatusFailed, time.Duration(i/7)*time.Second)
		}
		for i := range 5 {
			w.add(fmt.Sprintf("no-%d", i), "order", record.StatusFailed, time.Hour)
			w.add(fmt.Sprintf("fine-%d", i), "order", record.StatusRunning, time.Hour)
			w.add(fmt.Sprintf("other-%d", i), "bill", record.StatusFailed, time.Hour)
			w.add(fmt.Sprintf("late-%d", i), "order", record.StatusFailed, -time.Millisecond)
			w.add(fmt.Sprintf("job/%d", i), job.Type, record.StatusFailed, time.Hour)
			w.add(fmt.Sprintf("job/%d/1", i), job.PageType, record.StatusFailed, time.Hour)
		}
		w.applied = func(id string, body record.Body) {
			b := body.(*record.Operate)
			if b.Op != record.OperateRetry || !b.NewKey || b.Reason != "mended" || b.By != "ann" || b.CommandID != "job/mend/"+w.find(id).Run.String() {
				t.Errorf("%s got %+v", id, b)
			}
		}
		r, _ := run(t, w, crash, job.Spec{Operation: job.Retry, Filter: `type starts "odradek." and status = failed or type = "order" and status = failed`, NewKey: true, Reason: "mended", By: "ann"}, nil)
		if got := counts(r); got != "310 fit, 305 matched, 300 done, 5 refused, 2 of 2 partitions" || len(r.Refusals) != 5 || r.Refusals[0].Code != "operation_not_offered" {
			t.Errorf("%s: %+v", got, r)
		}
		if n := w.got(t, "failed-"); n != 300 || w.breaks != 0 {
			t.Errorf("%d runs got a command, %d breaks are left", n, w.breaks)
		}
	})
}

// TestTheRateHolds over pages, partitions and what is refused (J3).
func TestTheRateHolds(t *testing.T) {
	each(t, func(t *testing.T, crash bool) {
		for _, rate := range []float64{0.5, 7, 50, 400} {
			w := newWorld()
			for i := range 60 {
				w.add(fmt.Sprintf("no-%d", i), "order", record.StatusRunning, time.Minute)
				w.add(fmt.Sprintf("run-%d", i), "order", record.StatusRunning, time.Minute)
			}
			r, env := run(t, w, crash, job.Spec{Operation: job.Pause, Filter: "started <= now", Rate: rate}, nil)
			// The last page of all is not waited for, and no page has more than a second's worth.
			least := time.Duration(float64(120-max(rate, 1)) / rate * float64(time.Second))
			if took := env.Now().Sub(made); took < least || r.Matched != 120 || r.Done != 60 || len(r.Refusals) != 20 {
				t.Errorf("rate %g: %v, at least %v was to be; %s", rate, took, least, counts(r))
			}
		}
	})
}

// TestACancelledJobKeepsWhatItHasDone: the page that it is at is ended, and no more begun (J4).
func TestACancelledJobKeepsWhatItHasDone(t *testing.T) {
	each(t, func(t *testing.T, crash bool) {
		w := newWorld()
		for i := range 100 {
			w.add(fmt.Sprintf("run-%d", i), "order", record.StatusRunning, time.Minute)
		}
		r, _ := run(t, w, crash, job.Spec{Operation: job.Terminate, Filter: "started <= now", Rate: 10}, func(env *workflowtest.Env) {
			env.CancelAfter(2500*time.Millisecond, "enough")
			env.After(2200*time.Millisecond, func() {
				if d, err := workflowtest.Ask(env, job.Describe, struct{}{}); err != nil || d.Done != 30 || d.Cancelled || !d.Made.Equal(made) {
					t.Errorf("in the middle: %+v, %v", d, err)
				}
			})
		})
		if !r.Cancelled || r.Done != 30 || w.got(t, "run-") != 30 {
			t.Errorf("%s, cancelled %v; %d got a command", counts(r), r.Cancelled, w.got(t, "run-"))
		}
	})
}

// TestACancelledJobEndsItsPage: the request comes while commands are under way (J4).
func TestACancelledJobEndsItsPage(t *testing.T) {
	each(t, func(t *testing.T, crash bool) {
		w := newWorld()
		for i := range 100 {
			w.add(fmt.Sprintf("run-%d", i), "order", record.StatusRunning, time.Minute)
		}
		r, _ := run(t, w, crash, job.Spec{Operation: job.Terminate, Filter: "started <= now", Rate: 10}, func(env *workflowtest.Env) {
			w.applied = func(string, record.Body) {
				if len(w.commands) == 25 {
					env.CancelAfter(env.Now().Sub(made), "enough")
				}
			}
			w.breaks = 1
		})
		if !r.Cancelled || r.Done != 30 || w.got(t, "run-") != 30 {
			t.Errorf("%s, cancelled %v; %d got a command", counts(r), r.Cancelled, w.got(t, "run-"))
		}
	})
}

// TestALimitEndsAJob in the middle of a page.
func TestALimitEndsAJob(t *testing.T) {
	each(t, func(t *testing.T, crash bool) {
		w := newWorld()
		for i := range 100 {
			w.add(fmt.Sprintf("run-%d", i), "order", record.StatusRunning, time.Minute)
			w.add(fmt.Sprintf("over-%d", i), "order", record.StatusCompleted, time.Second)
		}
		r, _ := run(t, w, crash, job.Spec{Operation: job.Cancel, Filter: `type = "order"`, Rate: 10, Limit: 25}, nil)
		if r.Matched != 25 || r.Done != 25 || w.got(t, "run-") != 25 {
			t.Errorf("%s; %d got a command", counts(r), w.got(t, "run-"))
		}
	})
}

// TestDeadLettersByCode: what comes again while the job runs is left alone.
func TestDeadLettersByCode(t *testing.T) {
	each(t, func(t *testing.T, crash bool) {
		w := newWorld()
		letter := func(p int32, offset int64, code string, at time.Time) {
			w.letters = append(w.letters, record.DeadLetterRow{Origin: record.Origin{Topic: record.TopicCommands, Partition: p, Offset: offset}, Code: code, At: record.MillisOf(at)})
		}
		for i := range int64(240) {
			letter(int32(i%2), i, "payload_invalid", made)
			letter(int32(i%2), 1000+i, "workflow_not_found", made)
		}
		n := 0
		w.applied = func(id string, body record.Body) {
			b := body.(*record.Redrive)
			if b.Discard || b.Reason != "mended" || b.CommandID != "job/mend/"+id {
				t.Errorf("%s got %+v", id, b)
			}
			n++
			letter(b.Origin.Partition, 2000+b.Origin.Offset, "payload_invalid", made.Add(time.Second)) // it cannot be processed again
		}
		r, _ := run(t, w, crash, job.Spec{Operation: job.RetryDeadLetters, Code: "payload_invalid", Rate: 45, Reason: "mended"}, nil)
		if r.Fit != 240 || r.Done != 240 || r.Refused != 0 || n != 240 || len(w.letters) != 480 {
			t.Errorf("%s; %d were taken in, %d are there", counts(r), n, len(w.letters))
		}
	})
}

// TestALongJobContinues: more pages than a history is to have.
func TestALongJobContinues(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for i := range 680 {
		w.add(fmt.Sprintf("run-%d", i), "order", record.StatusRunning, time.Minute)
	}
	r, env := run(t, w, false, job.Spec{Operation: job.Cancel, Filter: "started <= now", Rate: 1}, nil)
	if r.Done != 680 || w.got(t, "run-") != 680 {
		t.Errorf("%s", counts(r))
	}
	for id, n := range w.asked {
		if n > 1 {
			t.Errorf("the ID %s was tried for %d pages", id, n)
		}
	}
	if first := env.History()[0].Body.(*record.RunStarted); len(first.Carry) == 0 {
		t.Error("the job did not continue as new: the test is too small")
	}
}

// TestOnlyAJobsIDNamesAJob: it is a part of command IDs.
func TestOnlyAJobsIDNamesAJob(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"mend", "job/a/b"} {
		env := workflowtest.New(t, job.Definitions(newWorld())[0], workflowtest.WorkflowID(id))
		if _, err := workflowtest.Run[job.Report](env, job.Spec{Operation: job.RetryDeadLetters}); err == nil || !strings.Contains(err.Error(), "cannot be a job") {
			t.Errorf("%s: %v", id, err)
		}
	}
}
