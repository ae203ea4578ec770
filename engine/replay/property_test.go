package replay_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/odradek/odradek/engine/replay"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

// op is one line of a random workflow.
type op struct {
	Do string `json:"do"`
	N  int    `json:"n"`
}

var opNames = []string{"run", "start", "get", "get again", "timer", "get timer", "sleep", "sleep past", "receive", "receive until", "try", "stop until", "draw", "recover", "defer", "fail",
	"go", "async", "all", "any", "race", "select", "until", "cancel scope", "timeout scope", "detached"}

// scripted runs a script, and tells all that it sees by what it asks for: another
// answer in replay is another input of a task.
func scripted(ctx workflow.Context, script []op) (string, error) {
	var tasks []workflow.Future[int]
	var timers []workflow.Future[time.Time]
	shared := 0
	tell := func(v ...any) { note.Start(ctx, fmt.Sprint(v...)) }
	for i, o := range script {
		switch o.Do {
		case "run":
			n, err := add.Run(ctx, o.N)
			tell(n, err)
		case "start":
			tasks = append(tasks, add.Start(ctx, o.N))
		case "get", "get again":
			for range len(o.Do) / 3 {
				if len(tasks) > 0 {
					n, err := tasks[o.N%len(tasks)].Get(ctx)
					tell(n, err)
				}
			}
		case "timer":
			timers = append(timers, workflow.NewTimer(ctx, time.Duration(o.N)*time.Second))
		case "get timer":
			if len(timers) > 0 {
				at, _ := timers[o.N%len(timers)].Get(ctx)
				tell(at, timers[0].Ready(ctx))
			}
		case "sleep":
			_ = workflow.Sleep(ctx, time.Duration(o.N)*time.Second)
		case "sleep past":
			_ = workflow.SleepUntil(ctx, workflow.Now(ctx).Add(-time.Duration(o.N)*time.Hour))
		case "receive":
			tell(number.Receive(ctx))
		case "receive until":
			n, ok := number.ReceiveUntil(ctx, workflow.Now(ctx).Add(time.Duration(o.N-2)*time.Second))
			tell(n, ok)
		case "try":
			n, ok := number.TryReceive(ctx)
			tell(n, ok)
		case "stop until":
			if _, ok := stop.ReceiveUntil(ctx, workflow.Now(ctx).Add(time.Minute)); ok {
				return "stopped", nil
			}
		case "draw":
			tell(workflow.NewID(ctx), workflow.Rand(ctx).IntN(1000), workflow.Now(ctx), workflow.Info(ctx))
		case "recover":
			func() {
				defer func() { tell(recover()) }()
				_ = workflow.Sleep(ctx, time.Second)
				panic(o.N)
			}()
		case "defer":
			defer add.Run(ctx, 100+i)
		case "go":
			workflow.Go(ctx, func(ctx workflow.Context) {
				_ = workflow.Sleep(ctx, time.Duration(o.N)*time.Second)
				n, err := add.Run(ctx, o.N)
				shared += n
				tell("thread", i, shared, err, workflow.NewID(ctx))
			})
		case "async":
			tasks = append(tasks, workflow.Async(ctx, func(ctx workflow.Context) (int, error) {
				_, err := number.Receive(ctx)
				return o.N, err
			}))
		case "all", "any", "race":
			if len(tasks) == 0 {
				continue
			}
			switch o.Do {
			case "all":
				tell(workflow.All(ctx, tasks...))
			case "any":
				tell(workflow.Any(ctx, tasks...))
			case "race":
				tell(workflow.Race(ctx, tasks[o.N%len(tasks):]...))
			}
		case "select":
			cases := []workflow.Case{
				workflow.OnSignal(number, func(n int) { tell("selected signal", n) }),
				workflow.After(time.Duration(o.N)*time.Second, func() { tell("selected time") }),
			}
			if len(tasks) > 0 {
				cases = append(cases, workflow.On(tasks[o.N%len(tasks)], func(n int, err error) { tell("selected task", n, err) }))
			}
			if o.N == 5 {
				cases = append(cases, workflow.Default(func() { tell("selected nothing") }))
			}
			tell(workflow.Select(ctx, cases...))
		case "until":
			workflow.Go(ctx, func(ctx workflow.Context) {
				tell("until", workflow.Until(ctx, func() bool { return shared > o.N }), shared)
			})
		case "cancel scope", "timeout scope", "detached":
			scoped, cancel := workflow.WithCancel(ctx)
			if o.Do == "timeout scope" {
				scoped, cancel = workflow.WithTimeout(ctx, time.Duration(o.N)*time.Second)
			}
			if o.Do == "detached" {
				scoped = workflow.Detached(ctx)
			}
			f := add.Start(scoped, o.N)
			workflow.Go(scoped, func(ctx workflow.Context) {
				tell("in scope", workflow.Sleep(ctx, 2*time.Second), workflow.Err(ctx))
			})
			if o.N > 2 {
				cancel()
			}
			n, err := f.Get(ctx)
			tell(o.Do, n, err)
			cancel()
		case "fail":
			if o.N == 0 {
				return "", fmt.Errorf("line %d", i)
			}
		}
	}
	return "done", nil
}

// TestLiveAndRebuildAgree: R1, R2, T1, T3. For random scripts and worlds, at every turn, the run
// rebuilt from the history so far decides what the live one does, and leaves the
// same for the next turn (R1); so does the open turn.
func TestLiveAndRebuildAgree(t *testing.T) {
	t.Parallel()
	def := workflow.Define("test", scripted, add, note, number, stop, workflow.Strict())
	var turns, closes int
	rapid.Check(t, func(t *rapid.T) {
		script := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) op {
			return op{rapid.SampledFrom(opNames).Draw(t, "do"), rapid.IntRange(0, 5).Draw(t, "n")}
		}), 1, 12).Draw(t, "script")
		input, err := json.Marshal(script)
		if err != nil {
			t.Fatal(err)
		}
		live := replay.New(def, identity, nil)
		defer func() { live.Drop() }() // the last one, after evictions
		var history []record.HistoryEvent
		var in record.HistoryBody = &record.RunStarted{Input: input}
		now := epoch
		for range 30 {
			now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
			e := record.HistoryEvent{No: uint64(len(history) + 1), At: now, Body: in}
			want, err := live.Turn(e, e.No+1)
			if err != nil {
				t.Fatalf("live turn of event %d: %v", e.No, err)
			}
			turns++
			if len(history) > 0 {
				agree(t, def, history, e, want)
			}
			history = append(history, e)
			open, got, err := replay.Rebuild(def, identity, all(history), e.No+1, nil)
			if err != nil {
				t.Fatalf("open turn of event %d: %v", e.No, err)
			}
			open.Drop()
			same(t, "the open turn", e, got, want)
			for i, d := range want {
				history = append(history, record.HistoryEvent{No: e.No + 1 + uint64(i), At: now, Body: d})
			}
			if rapid.IntRange(0, 3).Draw(t, "evict") == 0 { // go on with a rebuilt one
				live.Drop()
				rebuilt, _, err := replay.Rebuild(def, identity, all(history), 0, nil)
				if err != nil {
					t.Fatalf("rebuild after event %d: %v", e.No, err)
				}
				live = rebuilt
			}
			if live.Closed() {
				closes++
				return
			}
			in = nextInput(t, history)
		}
	})
	if turns < 300 || closes < 10 {
		t.Errorf("%d turns and %d closes are too little to show anything", turns, closes)
	}
}

func agree(t *rapid.T, def workflow.Definition, history []record.HistoryEvent, in record.HistoryEvent, want []record.HistoryBody) {
	l, _, err := replay.Rebuild(def, identity, all(history), 0, nil)
	if err != nil {
		t.Fatalf("rebuild before event %d: %v", in.No, err)
	}
	defer l.Drop()
	got, err := l.Turn(in, in.No+1)
	if err != nil {
		t.Fatalf("event %d after a rebuild: %v", in.No, err)
	}
	same(t, "the rebuilt run", in, got, want)
}

func same(t *rapid.T, who string, in record.HistoryEvent, got, want []record.HistoryBody) {
	if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Fatalf("event %d (%s): %s decides\n  %s\nthe live run\n  %s", in.No, in.Body.HistoryKind(), who,
			strings.Join(texts(got), "\n  "), strings.Join(texts(want), "\n  "))
	}
}

// nextInput draws what the world answers: anything that is open, or a signal.
func nextInput(t *rapid.T, history []record.HistoryEvent) record.HistoryBody {
	var open []uint64
	closed := map[uint64]bool{}
	for _, e := range history {
		switch b := e.Body.(type) {
		case *record.HistoryTaskCompleted:
			closed[b.Task] = true
		case *record.HistoryTaskFailed:
			closed[b.Task] = true
		case *record.TimerFired:
			closed[b.Timer] = true
		case *record.TimerCancelled:
			closed[b.Timer] = true
		case *record.TaskCancelled:
			closed[b.Task] = true
		}
	}
	for _, e := range history {
		k := e.Body.HistoryKind()
		if (k == record.KindTaskScheduled || k == record.KindTimerStarted) && !closed[e.No] {
			open = append(open, e.No)
		}
	}
	n := rapid.IntRange(0, 9).Draw(t, "input")
	switch {
	case n == 0 && len(history)%4 == 0:
		return &record.CancelRequested{Reason: "enough"}
	case n == 0:
		return &record.SignalReceived{Name: "stop"}
	case n < 3 || len(open) == 0:
		return signalled("number", fmt.Sprint(n))
	}
	no := rapid.SampledFrom(open).Draw(t, "open")
	switch d := history[no-1].Body.(type) {
	case *record.TimerStarted:
		return &record.TimerFired{Timer: no}
	case *record.TaskScheduled:
		switch {
		case n == 3:
			return &record.HistoryTaskFailed{Task: no, Failure: record.Failure{Kind: record.FailureHTTP, Code: "no"}}
		case n == 4:
			return completed(no, `"does not fit"`)
		case d.Service == "log":
			return completed(no, "")
		}
	}
	return completed(no, fmt.Sprint(n))
}
