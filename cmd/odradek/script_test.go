package main

import (
	"encoding/json"
	"errors"
	"flag"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/odradek/odradek/httpapi"
	"github.com/odradek/odradek/httpapi/httpapitest"
	"github.com/odradek/odradek/job"
	"github.com/odradek/odradek/record"
)

var update = flag.Bool("update", false, "write the scripts' expected outputs")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"odradek": main})
}

type clusterKey struct{}

// TestScripts runs the command line against a real server of the API whose engine
// is in memory. Each script has its own.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			c := httpapitest.NewCluster(4)
			s, err := httpapi.New(httpapi.Config{
				Engine: c.Instance(0), InstanceID: "one", Timeout: 300 * time.Millisecond, ListPatience: time.Millisecond,
			})
			if err != nil {
				return err
			}
			guarded, err := httpapi.New(httpapi.Config{Engine: c.Instance(0), InstanceID: "one", Tokens: []httpapi.Token{
				{Name: "viewer", SHA256: httpapi.HashToken("see"), Role: httpapi.RoleViewer},
			}})
			if err != nil {
				return err
			}
			open, closed := httptest.NewServer(s), httptest.NewServer(guarded)
			env.Defer(open.Close)
			env.Defer(closed.Close)
			env.Setenv("ODRADEK_SERVER", open.URL)
			env.Setenv("GUARDED", closed.URL)
			env.Values[clusterKey{}] = c
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"engine": engine, "mkbytes": mkbytes, "exit": exit},
	})
}

// exit runs a command that must end with a code: "exit CODE COMMAND ARGS".
func exit(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var e *exec.ExitError
		if !errors.As(err, &e) {
			ts.Fatalf("%v", err)
		}
		got = e.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// engine changes the engine behind the API: partitions lose their owner, an answer
// comes late, a workflow gets what the engine in memory never makes.
func engine(ts *testscript.TestScript, _ bool, args []string) {
	c := ts.Value(clusterKey{}).(*httpapitest.Cluster)
	switch args[0] {
	case "lose-all":
		c.MoveAll(httpapitest.Nobody)
	case "lose":
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		c.Move(int32(n), httpapitest.Nobody)
	case "late":
		c.DelayReplies(1)
	case "gone":
		c.DropHistory(args[1])
	case "hostile":
		c.Edit(args[1], func(r *httpapi.Run) {
			r.Row.Type = "type\x1b[2J\u202e\u009b31m"
			r.Failure = &record.Failure{Kind: "http", Message: "\x1b]0;owned\x07\r\nsecond line"}
			r.Result = []byte("\"\u009b31m\u202ered\x7f\"")
		})
	case "busy":
		c.Edit(args[1], func(r *httpapi.Run) {
			r.Tasks = []record.TaskRow{{No: 5, Service: "payment", Operation: "charge", ScheduledAt: 1000}}
			r.Attempts = []record.AttemptRow{{Task: 5, Open: 3, NextAt: 9000, Last: []record.Attempt{{No: 2, Failure: record.Failure{Kind: "http", Code: "busy", HTTPStatus: 503, Retryable: true}}}}}
			r.Timers = []record.TimerRow{{No: 7, Due: 60000}}
			r.Signals = []record.SignalRow{{No: 8, Name: "finish"}}
			r.Stuck = &record.StuckRow{Code: "panic", Detail: "boom at order.go:17", Since: 2000, Tries: 2, RetryAt: record.Never}
			r.Inbox = 4
		})
	case "job-ends": // having done half of what it was to do
		c.Edit(job.WorkflowID(args[1]), func(r *httpapi.Run) {
			var err error
			r.Result, err = json.Marshal(job.Report{
				Spec: job.Spec{Operation: job.Retry, Filter: "status = failed", Rate: 20, Reason: "mended", By: "ann"}, Partitions: 4, Through: 2,
				Fit: 8, Matched: 3, Done: 2, Refused: 1, Refusals: []job.Refusal{{WorkflowID: "one", Code: "operation_not_offered", Detail: "something came after"}}, Cancelled: true,
			})
			ts.Check(err)
			r.Row.Status, r.Row.ClosedAt = record.StatusCompleted, 1000
		})
	default:
		ts.Fatalf("engine: no verb %q", args[0])
	}
}

// mkbytes writes a file of n bytes.
func mkbytes(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	b := make([]byte, n)
	for i := range b {
		b[i] = '1'
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
}
