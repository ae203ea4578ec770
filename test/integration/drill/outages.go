package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/odradek/odradek/workflow"
	"github.com/odradek/odradek/workflow/workflowtest"
)

// What is played, in virtual time.
const (
	outageServices  = 10
	outageProcesses = 10_000
	outageSpan      = 30 * 24 * time.Hour
	outageDown      = 21*time.Minute + 36*time.Second // of each service, in the span
	outagesEach     = 3                               // outages of a service
)

// outagesLine is the last line of the drill.
type outagesLine struct {
	Drill      string  `json:"drill"`
	Seed       uint64  `json:"seed"`
	Processes  int     `json:"processes"`
	Completed  int     `json:"completed"`
	Share      float64 `json:"share"`
	Controller float64 `json:"controller_share"` // of a controller that calls the ten one after the other
	Refused    int     `json:"refused"`          // calls that met a service that was down
	Doubled    int     `json:"doubled"`          // steps that were done twice
	LongestS   float64 `json:"longest_seconds"`  // of a process, in virtual time
	Valid      bool    `json:"valid"`
	OK         bool    `json:"ok"`
	Seconds    float64 `json:"seconds"`
}

func (l *outagesLine) good() bool { return l.OK && l.Valid }

// plain is what workflowtest needs of a test, outside of one.
type plain struct {
	testing.TB
	mu      sync.Mutex
	cleanup []func()
}

// gaveUp ends a process whose environment has failed.
type gaveUp struct{ why string }

func (p *plain) Helper()                           {}
func (p *plain) Logf(string, ...any)               {}
func (p *plain) Fatalf(format string, args ...any) { panic(gaveUp{fmt.Sprintf(format, args...)}) }
func (p *plain) Fatal(args ...any)                 { panic(gaveUp{fmt.Sprint(args...)}) }
func (p *plain) Errorf(format string, args ...any) { panic(gaveUp{fmt.Sprintf(format, args...)}) }
func (p *plain) Error(args ...any)                 { panic(gaveUp{fmt.Sprint(args...)}) }
func (p *plain) Context() context.Context          { return context.Background() }

func (p *plain) Cleanup(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cleanup = append(p.cleanup, f)
}

func (p *plain) done() {
	for i := len(p.cleanup) - 1; i >= 0; i-- {
		p.cleanup[i]()
	}
}

// outages plays processes of ten steps, each with another service, started over 30 days in
// which each service is down 21.6 of 43,200 minutes at times of its own; and says how many
// complete, beside how many a synchronous controller would have completed.
func outages(ctx context.Context, seed uint64, log *journal) (*outagesLine, error) {
	line := &outagesLine{Drill: "outages", Seed: seed}
	defer func() { line.Seconds = log.seconds() }()
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rng := rand.New(rand.NewPCG(seed, 4))
	var downAt [outageServices][outagesEach]time.Time
	for s := range downAt {
		for n := range outagesEach { // one in each part of the span, so that none overlaps another
			part := outageSpan / outagesEach
			downAt[s][n] = begin.Add(time.Duration(n)*part + time.Duration(rng.Int64N(int64(part-outageDown))))
		}
	}
	isDown := func(s int, at time.Time) bool {
		for _, from := range downAt[s] {
			if !at.Before(from) && at.Before(from.Add(outageDown/outagesEach)) {
				return true
			}
		}
		return false
	}
	var tasks [outageServices]workflow.Task[string, string]
	uses := make([]workflow.Use, 0, outageServices)
	for s := range tasks {
		tasks[s] = workflow.NewTask[string, string](fmt.Sprintf("service-%d", s), "step")
		uses = append(uses, tasks[s])
	}
	process := workflow.Define("ten-steps", func(ctx workflow.Context, in string) (string, error) {
		for s := range tasks {
			var err error
			if in, err = tasks[s].Run(ctx, in); err != nil {
				return "", err
			}
		}
		return in, nil
	}, uses...)
	starts := make([]time.Time, outageProcesses)
	controller := 0
	for i := range starts {
		starts[i] = begin.Add(time.Duration(rng.Int64N(int64(outageSpan))))
		whole := true
		for s := range outageServices {
			whole = whole && !isDown(s, starts[i])
		}
		if whole {
			controller++
		}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				refused, doubled, took, err := one(process, tasks[:], starts[i], isDown, i)
				mu.Lock()
				line.Processes++
				line.Refused += refused
				line.Doubled += doubled
				line.LongestS = max(line.LongestS, took.Seconds())
				if err == nil {
					line.Completed++
				} else {
					log.say("process %d: %v", i, err)
				}
				mu.Unlock()
			}
		})
	}
	for i := range starts {
		select {
		case next <- i:
		case <-ctx.Done():
			close(next)
			wg.Wait()
			return line, context.Cause(ctx)
		}
	}
	close(next)
	wg.Wait()
	line.Share = float64(line.Completed) / outageProcesses
	line.Controller = float64(controller) / outageProcesses
	line.Valid = line.Processes == outageProcesses && line.Refused > 0 && line.Controller < 0.999
	line.OK = line.Completed == outageProcesses && line.Doubled == 0
	return line, nil
}

// one plays a process.
func one(process workflow.Definition, tasks []workflow.Task[string, string], start time.Time, isDown func(int, time.Time) bool, i int) (refused, doubled int, took time.Duration, err error) {
	t := &plain{}
	defer t.done()
	defer func() {
		if p, ok := recover().(gaveUp); ok {
			err = errors.New(p.why)
		}
	}()
	env := workflowtest.New(t, process, workflowtest.At(start), workflowtest.WorkflowID(fmt.Sprintf("process-%d", i)))
	steps := make([]int, len(tasks))
	for s, task := range tasks {
		workflowtest.Handle(env, task, func(in string) (string, error) {
			if isDown(s, env.Now()) {
				refused++
				return "", fmt.Errorf("service %d is down", s)
			}
			if steps[s]++; steps[s] > 1 {
				doubled++
			}
			return in + ".", nil
		})
	}
	out, err := workflowtest.Run[string](env, "")
	if err == nil && len(out) != len(tasks) {
		err = fmt.Errorf("its result is %q", out)
	}
	return refused, doubled, env.Now().Sub(start), err
}
