package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/odradek/odradek/internal/dev"
	"github.com/odradek/odradek/workflows/billing/apis"
)

// verdictLine is the drill's last line.
type verdictLine struct {
	Drill     string         `json:"drill"`
	Customers int            `json:"customers"`
	Months    int            `json:"months"`
	Kills     int            `json:"kills"`
	Completed int            `json:"completed"`
	Effects   map[string]int `json:"effects"`
	Missing   int            `json:"missing"`
	Doubled   int            `json:"doubled"`
	// AfterKill is how many effects came after the last kill: the processes went on.
	AfterKill    int     `json:"effects_after_kill"`
	Requests     int     `json:"requests"`
	Refused      int     `json:"refused"`
	Lost         int     `json:"lost"`
	FirstEffectS float64 `json:"first_effect_s"` // after the start of everything
	ResumedS     float64 `json:"resumed_s"`      // longest from kill to ready
	Seconds      float64 `json:"seconds"`
	// Valid: it killed as often as it was to, in the middle of work.
	Valid bool `json:"valid"`
	OK    bool `json:"ok"`
}

// drill is a bounded run without a terminal: first effect, kill -9, resume, and so
// on to the end of every customer's contract; then the ledgers are judged.
type drill struct {
	opts   options
	sys    *system
	books  *books
	out    io.Writer
	began  time.Time
	told   map[string]string // what was printed last, by customer
	killed time.Time         // zero: the last kill is over
	atKill int               // effects
	sight  sight
	line   verdictLine
}

// runDrill runs a drill and prints what happens; its last line is the verdict.
func runDrill(ctx context.Context, opts options, out io.Writer) (err error) {
	began := time.Now()
	sys, err := start(opts)
	if err != nil {
		return err
	}
	d := &drill{opts: opts, sys: sys, books: newBooks(opts.ledgerDir()), out: out, began: began, told: map[string]string{}}
	ctx, cancel := context.WithTimeoutCause(ctx, opts.timeout, fmt.Errorf("the drill did not end within %s", opts.timeout))
	defer cancel()
	err = d.run(ctx)
	d.say("stopping")
	err = errors.Join(err, sys.stop(), d.books.update())
	problems := d.judge(err == nil)
	for _, p := range problems {
		d.say("wrong: %s", p)
	}
	b, jsonErr := json.Marshal(d.line)
	fmt.Fprintln(out, string(b))
	if err == nil && !d.line.OK {
		err = errors.New("the drill is not ok: see its last line, and " + dev.LogPath(opts.engineDir()))
	}
	return errors.Join(err, jsonErr)
}

func (d *drill) say(format string, args ...any) {
	fmt.Fprintf(d.out, "%7.1f s  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

// run goes on until every customer's contract has ended.
func (d *drill) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	sights := make(chan sight)
	watching := false
	defer func() {
		cancel()
		if watching {
			for range sights { // until watch has ended
			}
		}
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case _, ok := <-d.sys.apis.lines:
			if !ok {
				return d.sys.died(d.sys.apis)
			}
		case line, ok := <-d.sys.engine.lines:
			if !ok {
				return d.sys.died(d.sys.engine)
			}
			e, err := d.sys.told(line)
			if err != nil {
				return err
			}
			d.event(e)
			if e.Kind == dev.Ready && !watching {
				watching = true
				go watch(ctx, d.sys, d.opts.months, sights)
			}
		case s := <-sights:
			if s.err != nil {
				return s.err
			}
			d.progress(s)
			if s.completed == d.opts.customers && d.killed.IsZero() {
				return nil
			}
		case <-tick.C:
			if err := d.effects(); err != nil {
				return err
			}
		}
	}
}

// event tells what happened to the engine's process.
func (d *drill) event(e dev.Event) {
	switch e.Kind {
	case dev.Broker:
		d.say("Kafka (embedded) is at %s, the HTTP API will be at %s", e.Kafka, e.HTTP)
	case dev.Started:
		d.say("the engine starts as process %d", e.PID)
	case dev.Ready:
		if d.killed.IsZero() {
			d.say("the engine is ready")
			return
		}
		took := time.Since(d.killed)
		d.killed = time.Time{}
		d.line.ResumedS = max(d.line.ResumedS, round(took))
		d.say("the engine is ready again, %.1f s after the kill", took.Seconds())
	case dev.Ended:
		d.say("process %d has ended: %s", e.PID, e.Reason)
	case dev.Stopping, dev.Stopped:
	}
}

// progress prints what is new about the customers.
func (d *drill) progress(s sight) {
	d.sight = s
	for _, p := range s.customers {
		text := fmt.Sprintf("%d months billed, now %s", p.billed, strings.TrimSpace(steps(p)))
		if p.failed {
			text = p.waiting
		}
		if p.known && d.told[p.customer] != text {
			d.told[p.customer] = text
			d.say("%-10s %s", p.customer, text)
		}
	}
}

// effects reads the ledgers, and kills when it is time: at the first effect, then
// evenly over what is left to do.
func (d *drill) effects() error {
	if err := d.books.update(); err != nil {
		return err
	}
	done := d.books.total().Effects
	if done > 0 && d.line.FirstEffectS == 0 {
		d.line.FirstEffectS = round(time.Since(d.began))
		d.say("the first effect is in a ledger")
	}
	all := d.opts.customers * d.opts.months * len(apis.Services())
	due := max(1, all*d.line.Kills/d.opts.kills)
	if d.line.Kills == d.opts.kills || done < due || !d.sys.ready {
		return nil
	}
	d.say("kill -9 %d after %d effects of %d", d.sys.pid, done, all)
	d.killed, d.atKill = time.Now(), done
	d.line.Kills++
	d.sys.ready = false // until the next one is
	return d.sys.kill()
}

// judge fills the verdict, and says what is wrong.
func (d *drill) judge(ended bool) (problems []string) {
	l, sum := &d.line, d.books.total()
	l.Drill, l.Customers, l.Months = "demo", d.opts.customers, d.opts.months
	l.Completed, l.Effects = d.sight.completed, map[string]int{}
	for service, t := range d.books.services {
		l.Effects[service] = t.Effects
	}
	l.Missing, l.Doubled, problems = d.books.judge(d.opts.customerIDs(), d.opts.months)
	l.AfterKill = sum.Effects - d.atKill
	l.Requests, l.Refused, l.Lost = sum.Requests, sum.Refused, sum.Lost
	l.Seconds = round(time.Since(d.began))
	l.Valid = ended && l.Kills == d.opts.kills && l.Kills > 0 && l.AfterKill > 0
	if l.Completed != l.Customers {
		problems = append(problems, fmt.Sprintf("%d of %d processes completed", l.Completed, l.Customers))
	}
	if !l.Valid {
		problems = append(problems, fmt.Sprintf("the drill shows nothing: %d kills of %d, %d effects after the last", l.Kills, d.opts.kills, l.AfterKill))
	}
	l.OK = len(problems) == 0
	return problems
}

// round gives seconds with two decimals.
func round(d time.Duration) float64 { return float64(d.Milliseconds()/10) / 100 }
