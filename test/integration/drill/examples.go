package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/test/kafkatest"
	"github.com/odradek/odradek/test/system"
	"github.com/odradek/odradek/workflows/food"
	foodapis "github.com/odradek/odradek/workflows/food/apis"
	"github.com/odradek/odradek/workflows/order"
	orderapis "github.com/odradek/odradek/workflows/order/apis"
	"github.com/odradek/odradek/workflows/ride"
	rideapis "github.com/odradek/odradek/workflows/ride/apis"
	"github.com/odradek/odradek/workflows/standin"
	"github.com/odradek/odradek/workflows/transfer"
	transferapis "github.com/odradek/odradek/workflows/transfer/apis"
)

// What the drill of the examples does, at least.
const (
	exampleRuns  = 60 // of each
	exampleKills = 6  // half of engines, half of workers
	exampleLimit = 5 * time.Minute
	exampleGap   = 12 * time.Second // longer than the session timeout: a killed member's partitions move
)

// exampleLine is what came of one example.
type exampleLine struct {
	Runs       int `json:"runs"`
	Completed  int `json:"completed"`
	Violations int `json:"violations"`
}

// examplesLine is the last line of the drill.
type examplesLine struct {
	Drill      string                  `json:"drill"`
	Seed       uint64                  `json:"seed"`
	Examples   map[string]*exampleLine `json:"examples"`
	Kills      kills                   `json:"kills"`
	Requests   int                     `json:"requests"` // to the APIs
	Repeats    int                     `json:"repeats"`  // of an idempotency key
	Violations int                     `json:"violations"`
	Valid      bool                    `json:"valid"`
	OK         bool                    `json:"ok"`
	Seconds    float64                 `json:"seconds"`
}

func (l *examplesLine) good() bool { return l.OK && l.Valid }

// examplesDrill is one under way.
type examplesDrill struct {
	sys  *system.System
	api  []*client.HTTP
	log  *journal
	rng  *rand.Rand
	line examplesLine

	shop         *orderapis.Shop
	town         *foodapis.Town
	city         *rideapis.City
	bankA, bankB *transferapis.Bank

	mu      sync.Mutex
	results map[string]client.Result // by workflow ID
}

// examples runs the examples over their HTTP services on a real Kafka, kills members
// meanwhile, and looks into the services' books.
func examples(ctx context.Context, seed uint64, log *journal) (_ *examplesLine, err error) {
	d := &examplesDrill{log: log, rng: rand.New(rand.NewPCG(seed, 2)), results: map[string]client.Result{}}
	d.line = examplesLine{Drill: "examples", Seed: seed, Examples: map[string]*exampleLine{}}
	defer func() { d.line.Seconds = log.seconds() }()
	ctx, cancel := context.WithTimeoutCause(ctx, exampleLimit, fmt.Errorf("the drill did not end within %s", exampleLimit))
	defer cancel()
	dir, err := os.MkdirTemp("", "odradek-drill-")
	if err != nil {
		return &d.line, err
	}
	defer func() {
		if err != nil || !d.line.good() {
			log.say("logs and stores stay in %s", dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	return &d.line, d.run(ctx, dir)
}

func (d *examplesDrill) run(ctx context.Context, dir string) (err error) {
	bin, err := system.Build(ctx, dir, "")
	if err != nil {
		return err
	}
	broker, err := kafkatest.Launch(ctx, kafkatest.Config{Dir: filepath.Join(dir, "kafka")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()

	accounts := map[string]int64{}
	for n := range exampleRuns {
		accounts[fmt.Sprintf("a-%d", n)] = 1000
	}
	d.shop, d.town, d.city = orderapis.New(), foodapis.New(), rideapis.New()
	d.bankA, d.bankB = transferapis.New(accounts, func(a string) bool { return strings.HasSuffix(a, "7") })
	services := append(d.shop.Services(), d.town.Services()...)
	services = append(append(services, d.city.Services()...), d.bankA.Service(), d.bankB.Service())
	apis := standin.Start(standin.Faults{FailRate: .05, LoseRate: .05, Seed: d.line.Seed}, services...)
	defer apis.Close()
	bindings := "services:\n"
	for _, file := range []string{order.Bindings, food.Bindings, ride.Bindings, transfer.Bindings} {
		_, list, _ := strings.Cut(apis.Bindings(file), "services:\n")
		bindings += list
	}
	d.sys, err = system.New(ctx, system.Config{
		Binaries: bin, Dir: filepath.Join(dir, "system"), Kafka: map[string]string{"bootstrap.servers": broker.Seeds()[0]},
		Namespace: "drill", Partitions: 3, Engines: 2, Workers: 2, Bindings: bindings,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.sys.Close()) }()
	d.log.say("Kafka is at %s; the engines start", broker.Seeds()[0])
	if err := d.sys.Start(ctx); err != nil {
		return err
	}
	for _, e := range d.sys.Engines {
		c, err := client.NewHTTP(client.HTTPConfig{URL: "http://" + e.API, Patience: time.Second})
		if err != nil {
			return err
		}
		d.api = append(d.api, c)
	}
	hurting := make(chan error, 1)
	go func() { hurting <- d.hurt(ctx) }()
	var runs sync.WaitGroup
	for n := range exampleRuns {
		for typ, start := range map[string]func(context.Context, int) error{"order": d.order, "food": d.food, "ride": d.ride, "transfer": d.transfer} {
			runs.Go(func() {
				time.Sleep(time.Duration(n) * time.Second / 2) // over the time in which members are killed
				if err := start(ctx, n); err != nil {
					d.log.say("%s %d: %v", typ, n, err)
				}
			})
		}
	}
	runs.Wait()
	err = <-hurting
	d.judge(apis)
	return errors.Join(err, context.Cause(ctx))
}

// hurt kills members in turn.
func (d *examplesDrill) hurt(ctx context.Context) error {
	for n := range exampleKills {
		select {
		case <-time.After(exampleGap / 2):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		m, count := d.sys.Engines[d.rng.IntN(len(d.sys.Engines))], &d.line.Kills.Engine
		if n%2 == 1 {
			m, count = d.sys.Workers[d.rng.IntN(len(d.sys.Workers))], &d.line.Kills.Worker
		}
		d.log.say("%s is killed", m.Name)
		if err := m.Kill(); err != nil {
			return err
		}
		*count++
		time.Sleep(exampleGap / 2)
		if err := m.Start(); err != nil {
			return err
		}
	}
	return nil
}

// ask lets an engine do something, one after the other until one does, or says no.
func (d *examplesDrill) ask(ctx context.Context, do func(c *client.HTTP) error) error {
	for n := 0; ; n++ {
		err := do(d.api[n%len(d.api)])
		var e *client.Error
		if err == nil || ctx.Err() != nil || errors.As(err, &e) && !e.Retryable && e.Status != 0 {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// start starts a workflow, and what lets people act on it meanwhile; it waits for its end.
func (d *examplesDrill) start(ctx context.Context, typ, id string, in any, people func(ctx context.Context) error) error {
	input, err := json.Marshal(in)
	if err != nil {
		return err
	}
	err = d.ask(ctx, func(c *client.HTTP) error {
		_, err := c.Start(ctx, client.StartRequest{Type: typ, WorkflowID: id, Input: input, CommandID: "start-" + id})
		return err
	})
	if err == nil && people != nil {
		err = people(ctx)
	}
	if err != nil {
		return err
	}
	return d.ask(ctx, func(c *client.HTTP) error {
		run, err := c.Attach(ctx, id)
		if err != nil {
			return err
		}
		res, err := run.Result(ctx)
		if err != nil {
			return err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.results[typ+" "+id] = res
		return nil
	})
}

func (d *examplesDrill) signal(ctx context.Context, id, name string, payload any) error {
	b, err := json.Marshal(payload)
	if err != nil {
		return err
	}
	command := fmt.Sprintf("%s-%s-%x", name, id, b)
	return d.ask(ctx, func(c *client.HTTP) error {
		return c.Signal(ctx, client.SignalRequest{WorkflowID: id, Name: name, Payload: b, CommandID: command[:min(len(command), 200)]})
	})
}

// until waits until something is so.
func until(ctx context.Context, ok func() bool) error {
	for !ok() {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (d *examplesDrill) order(ctx context.Context, n int) error {
	o := order.Order{Customer: "ada", Address: "here", Cents: int64(100 + n), Lines: []order.Line{{Article: "book", Count: 1}, {Article: "pen", Count: 2}}}
	switch n % 5 {
	case 1:
		o.Customer = "poor"
	case 2:
		o.Address = "nowhere"
	case 3:
		o.Lines[1].Article = "nothing"
	}
	return d.start(ctx, "order", fmt.Sprintf("order-%d", n), o, nil)
}

func (d *examplesDrill) food(ctx context.Context, n int) error {
	id := fmt.Sprintf("food-%d", n)
	o := food.Order{Customer: "ada", Restaurant: "mare", Dish: "fish", Cents: int64(1000 + n)}
	if n%4 == 1 {
		o.Dish = "far away"
	}
	return d.start(ctx, "food", id, o, func(ctx context.Context) error {
		if n%4 == 2 { // changes his mind
			return d.ask(ctx, func(c *client.HTTP) error {
				return c.Cancel(ctx, client.EndRequest{WorkflowID: id, Reason: "not hungry", CommandID: "cancel-" + id})
			})
		}
		if err := until(ctx, func() bool { return contains(d.town.Offered(), id) }); err != nil {
			return err
		}
		if err := d.signal(ctx, id, food.Answer.Name(), food.Reply{Accepted: n%4 != 3, Reason: "no fish"}); err != nil || n%4 != 0 {
			return err
		}
		return d.signal(ctx, id, food.Delivered.Name(), struct{}{})
	})
}

func (d *examplesDrill) ride(ctx context.Context, n int) error {
	id := fmt.Sprintf("ride-%d", n)
	return d.start(ctx, "ride", id, ride.Request{Passenger: "ada", From: "here"}, func(ctx context.Context) error {
		if n%3 == 1 {
			return d.ask(ctx, func(c *client.HTTP) error {
				_, err := c.Update(ctx, client.UpdateRequest{WorkflowID: id, Name: ride.Cancel.Name(), Payload: []byte(`{"text":"rain"}`), CommandID: "cancel-" + id}, 0)
				return err
			})
		}
		if err := until(ctx, func() bool { return len(d.city.Offered(id)) > 0 }); err != nil {
			return err
		}
		for _, driver := range []string{"d1", "d2", "d3"} { // they race
			if err := d.signal(ctx, id, ride.Answer.Name(), ride.Reply{Driver: driver, Yes: driver != "d1"}); err != nil {
				return err
			}
		}
		if err := d.signal(ctx, id, ride.PickedUp.Name(), struct{}{}); err != nil {
			return err
		}
		return d.signal(ctx, id, ride.Arrived.Name(), ride.Trip{Cents: int64(700 + n)})
	})
}

func (d *examplesDrill) transfer(ctx context.Context, n int) error {
	o := transfer.Order{From: fmt.Sprintf("a-%d", n), To: fmt.Sprintf("b-%d", n), Cents: 300}
	if n%5 == 3 {
		o.Cents = 2000 // more than there is
	}
	return d.start(ctx, "transfer", fmt.Sprintf("transfer-%d", n), o, nil)
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// judge compares the services' books with what the runs say of themselves.
func (d *examplesDrill) judge(apis *standin.Servers) {
	wrong := map[string][]string{}
	var sent, delivered, driven int
	var orderCents, foodCents, rideCents, moved int64
	for _, typ := range []string{"order", "food", "ride", "transfer"} {
		l := &exampleLine{}
		d.line.Examples[typ] = l
		for n := range exampleRuns {
			res, ok := d.results[fmt.Sprintf("%s %s-%d", typ, typ, n)]
			if !ok {
				wrong[typ] = append(wrong[typ], fmt.Sprintf("%s-%d has not ended", typ, n))
				continue
			}
			l.Runs++
			if res.Failure == nil {
				l.Completed++
			} else if res.Failure.Kind == record.FailureEngine {
				wrong[typ] = append(wrong[typ], fmt.Sprintf("%s-%d: %v", typ, n, res.Failure))
			}
			switch typ {
			case "order":
				if res.Failure == nil {
					sent, orderCents = sent+1, orderCents+int64(100+n)
				}
			case "food":
				var out food.Outcome
				if json.Unmarshal(res.Value, &out) == nil && out.Delivered {
					delivered, foodCents = delivered+1, foodCents+int64(1000+n)
				}
			case "ride":
				var out ride.Outcome
				if json.Unmarshal(res.Value, &out) == nil {
					rideCents += out.Cents
					if out.Cancelled == "" {
						driven++
					}
				}
			case "transfer":
				if to := d.bankB.Balance(fmt.Sprintf("b-%d", n)); (res.Failure == nil) != (to == 300) {
					wrong[typ] = append(wrong[typ], fmt.Sprintf("transfer-%d ended with %v, bank B has %d", n, res.Failure, to))
				}
				if res.Failure == nil {
					moved += 300
				}
			}
		}
	}
	wrong["order"] = append(wrong["order"], d.shop.Wrong(sent, orderCents)...)
	wrong["food"] = append(wrong["food"], d.town.Wrong(delivered, foodCents)...)
	wrong["ride"] = append(wrong["ride"], d.city.Wrong(driven, rideCents)...)
	if a, b := d.bankA.Sum(), d.bankB.Sum(); a+b != exampleRuns*1000 || b != moved {
		wrong["transfer"] = append(wrong["transfer"], fmt.Sprintf("bank A has %d and bank B %d, of %d; %d were moved", a, b, exampleRuns*1000, moved))
	}
	var misused []string
	d.line.Requests, d.line.Repeats, misused = apis.Requests()
	for _, key := range misused {
		service, _, _ := strings.Cut(key, "/")
		typ := map[string]string{"stock": "order", "till": "order", "shipment": "order", "dispatch": "ride", "wallet": "ride", "bank-a": "transfer", "bank-b": "transfer"}[service]
		if typ == "" {
			typ = "food"
		}
		wrong[typ] = append(wrong[typ], "the key "+key+" came with two requests")
	}
	d.line.Valid = d.line.Kills.Engine+d.line.Kills.Worker >= exampleKills && d.line.Repeats > 0
	for typ, l := range d.line.Examples {
		l.Violations = len(wrong[typ])
		d.line.Violations += l.Violations
		d.line.Valid = d.line.Valid && l.Runs == exampleRuns && l.Completed > exampleRuns/4 && l.Completed <= exampleRuns
		for _, w := range wrong[typ] {
			d.log.say("wrong: %s: %s", typ, w)
		}
	}
	d.line.OK = d.line.Violations == 0
}
