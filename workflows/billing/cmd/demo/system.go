package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/internal/dev"
	"github.com/odradek/odradek/workflows/billing"
)

// options are the demo's flags.
type options struct {
	binDir    string
	dataDir   string
	customers int
	month     time.Duration
	months    int // of the drill
	kills     int // of the drill
	failRate  float64
	loseRate  float64
	latency   time.Duration
	timeout   time.Duration // of the drill
}

func (o options) ledgerDir() string { return filepath.Join(o.dataDir, "ledgers") }
func (o options) engineDir() string { return filepath.Join(o.dataDir, "engine") }

// names of the customers; more are numbered.
var names = [...]string{"ada", "bela", "chidi", "dora", "emil", "fatou", "grete", "hugo"}

func (o options) customerIDs() (ids []string) {
	for i := range o.customers {
		if i < len(names) {
			ids = append(ids, names[i])
		} else {
			ids = append(ids, "customer-"+strconv.Itoa(i+1))
		}
	}
	return ids
}

// system is everything that the demo runs: the APIs as one process, and engine dev,
// whose child is the engine with the service worker.
type system struct {
	opts   options
	log    *os.File
	apis   *process
	engine *process
	client *client.HTTP

	// What engine dev told last.
	pid    int // of the child; 0: none
	http   string
	ready  bool
	starts int
	reason string // why the last child ended
	kills  int    // that the demo did
}

const (
	// The parent of engine dev gives its child 25 s.
	engineStopTimeout = 40 * time.Second
	apisStopTimeout   = 10 * time.Second
	apisStartTimeout  = 10 * time.Second
)

// start starts the APIs and the engine with nothing left of an earlier demo.
func start(opts options) (_ *system, err error) {
	if err := clear(opts); err != nil {
		return nil, err
	}
	s := &system{opts: opts}
	if s.log, err = os.Create(filepath.Join(opts.dataDir, "demo.log")); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	bindings := filepath.Join(opts.dataDir, "bindings.yaml")
	s.apis, err = begin("billingapis", s.log, filepath.Join(opts.binDir, "billingapis"),
		"--addr", "127.0.0.1:0", "--ledger-dir", opts.ledgerDir(), "--bindings", bindings, "--until-stdin-ends",
		"--fail-rate", fmt.Sprint(opts.failRate), "--lose-rate", fmt.Sprint(opts.loseRate), "--latency", opts.latency.String())
	if err != nil {
		return nil, err
	}
	select { // its first line: the bindings are written, the APIs listen
	case _, ok := <-s.apis.lines:
		if !ok {
			return nil, fmt.Errorf("billingapis did not start; see %s", s.log.Name())
		}
	case <-time.After(apisStartTimeout):
		return nil, fmt.Errorf("billingapis did not start within %s; see %s", apisStartTimeout, s.log.Name())
	}
	s.engine, err = begin("engine dev", s.log, filepath.Join(opts.binDir, "engine"),
		"dev", "--data-dir", opts.engineDir(), "--bindings", bindings, "--reset", "--output", "jsonl", "--until-stdin-ends")
	return s, err
}

// clear removes what an earlier demo left, and nothing else. The engine's folder is
// reset by engine dev, which refuses one that is in use.
func clear(opts options) error {
	if err := os.MkdirAll(opts.dataDir, 0o700); err != nil {
		return fmt.Errorf("make the demo's folder: %w", err)
	}
	return os.RemoveAll(opts.ledgerDir())
}

// told takes in a line of engine dev.
func (s *system) told(line string) (dev.Event, error) {
	var e dev.Event
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		return e, fmt.Errorf("engine dev wrote %q: %w", line, err)
	}
	s.http, s.starts = e.HTTP, e.Starts
	switch e.Kind {
	case dev.Started:
		s.pid, s.ready = e.PID, false
	case dev.Ready:
		s.ready = true
	case dev.Ended:
		s.pid, s.ready, s.reason = 0, false, e.Reason
	case dev.Broker, dev.Stopping, dev.Stopped:
	}
	if s.client == nil && e.HTTP != "" {
		c, err := client.NewHTTP(client.HTTPConfig{URL: "http://" + e.HTTP})
		if err != nil {
			return e, err
		}
		s.client = c
	}
	return e, nil
}

// kill ends the engine and the service worker with -9.
func (s *system) kill() error {
	if s.pid == 0 {
		return nil
	}
	if err := syscall.Kill(s.pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill -9 %d: %w", s.pid, err)
	}
	s.kills++
	return nil
}

// subscribe starts a customer's process. It may be called again: a workflow ID that
// is known with the same input is the run that is there.
func (s *system) subscribe(ctx context.Context, customer string, months int) error {
	_, err := client.Start[billing.Subscription, billing.Summary](ctx, s.client, billing.Definition.Type(), customer, billing.Subscription{
		Customer: customer, Calendar: billing.Calendar{Every: billing.Length(s.opts.month)}, Months: uint(months),
	})
	if err != nil {
		return fmt.Errorf("subscribe %s: %w", customer, err)
	}
	return nil
}

// unsubscribe tells a customer's process to end.
func (s *system) unsubscribe(ctx context.Context, customer string) error {
	return client.Signal(ctx, s.client, customer, billing.Unsubscribe, billing.Unsubscription{Reason: "asked at the terminal"})
}

// stop ends everything in order; the broker closes its folder.
func (s *system) stop() error {
	var errs []error
	if s.client != nil {
		s.client.Close()
	}
	if s.engine != nil {
		errs = append(errs, s.engine.stop(engineStopTimeout))
	}
	if s.apis != nil {
		errs = append(errs, s.apis.stop(apisStopTimeout))
	}
	return errors.Join(append(errs, s.log.Close())...)
}

// died is the error of a program that ended by itself.
func (s *system) died(p *process) error {
	tail, _ := os.ReadFile(s.log.Name())
	const enough = 4 << 10
	tail = tail[max(0, len(tail)-enough):]
	return fmt.Errorf("%s ended by itself: %w\n%s", p.name, errOf(p), tail)
}

func errOf(p *process) error {
	err := <-p.ended
	p.ended <- err // stop wants it too
	if err == nil {
		return io.EOF
	}
	return err
}
