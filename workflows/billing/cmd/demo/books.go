package main

import (
	"fmt"

	"github.com/odradek/odradek/workflows/billing/apis"
)

// books is what the ledgers say, read from outside while everything runs. A call is
// a customer's month at a service; it is to have one effect.
type books struct {
	dir      string
	read     map[string]int64 // bytes, by service
	services map[string]*tally
	effects  map[call]int
}

type call struct{ service, customer, month string }

// tally is one ledger in numbers.
type tally struct {
	Calls    int // customers' months that were asked for
	Effects  int // that were done
	Doubled  int // effects of a call after its first
	Requests int
	Repeats  int // answered as before, without effect
	Refused  int // by an injected fault
	Lost     int // answers that were lost, with or without an effect
}

func newBooks(dir string) *books {
	b := &books{dir: dir, read: map[string]int64{}, services: map[string]*tally{}, effects: map[call]int{}}
	for _, s := range apis.Services() {
		b.services[s] = &tally{}
	}
	return b
}

// update reads what the ledgers have got since the last time.
func (b *books) update() error {
	for _, service := range apis.Services() {
		entries, next, err := apis.ReadLedger(apis.LedgerPath(b.dir, service), b.read[service])
		if err != nil {
			return err
		}
		b.read[service] = next
		for _, e := range entries {
			b.add(e)
		}
	}
	return nil
}

func (b *books) add(e apis.Entry) {
	t := b.services[e.Service]
	t.Requests++
	if e.Lost {
		t.Lost++
	}
	c := call{e.Service, e.Customer, e.Month}
	if _, known := b.effects[c]; !known && e.Customer != "" {
		b.effects[c] = 0
		t.Calls++
	}
	switch e.Outcome {
	case apis.Effect:
		t.Effects++
		if b.effects[c]++; b.effects[c] > 1 {
			t.Doubled++
		}
	case apis.Repeat:
		t.Repeats++
	case apis.Refused:
		t.Refused++
	case apis.Conflict, apis.Invalid:
	}
}

// total adds the ledgers up.
func (b *books) total() (sum tally) {
	for _, t := range b.services {
		sum.Calls += t.Calls
		sum.Effects += t.Effects
		sum.Doubled += t.Doubled
		sum.Requests += t.Requests
		sum.Repeats += t.Repeats
		sum.Refused += t.Refused
		sum.Lost += t.Lost
	}
	return sum
}

// judge says what is wrong when every customer has been billed for so many months:
// nothing, if each service has one effect for each of them.
func (b *books) judge(customers []string, months int) (missing, doubled int, problems []string) {
	got := map[call]int{} // effects by service and customer; month is empty
	for c, n := range b.effects {
		if n > 1 {
			doubled += n - 1
			problems = append(problems, fmt.Sprintf("%s has %d effects for %s in the month that ended %s", c.service, n, c.customer, c.month))
		}
		if n > 0 {
			got[call{service: c.service, customer: c.customer}]++
		}
	}
	for _, service := range apis.Services() {
		for _, customer := range customers {
			n := got[call{service: service, customer: customer}]
			if n < months {
				missing += months - n
			}
			if n != months {
				problems = append(problems, fmt.Sprintf("%s has %d months of %s, not %d", service, n, customer, months))
			}
		}
	}
	return missing, doubled, problems
}
