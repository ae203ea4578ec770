package oracle

import (
	"maps"
	"slices"

	"github.com/odradek/odradek/workflows/billing/apis"
)

// Call is a customer's month at a service.
type Call struct{ Service, Customer, Month string }

// Ledgers is what the services did, by what they wrote down before they answered.
type Ledgers struct {
	calls    map[Call]*called
	Requests int // that were understood
	Repeats  int // that were answered as the first time
}

type called struct {
	keys    map[string]bool
	effects int
}

// ReadLedgers reads the ledgers of all services in dir.
func ReadLedgers(dir string) (*Ledgers, error) {
	l := &Ledgers{calls: map[Call]*called{}}
	for _, service := range apis.Services() {
		entries, _, err := apis.ReadLedger(apis.LedgerPath(dir, service), 0)
		if err != nil {
			return nil, err
		}
		for i := range entries {
			l.add(&entries[i])
		}
	}
	return l, nil
}

func (l *Ledgers) add(e *apis.Entry) {
	if e.Outcome == apis.Invalid || e.Customer == "" {
		return
	}
	l.Requests++
	at := Call{e.Service, e.Customer, e.Month}
	c := l.calls[at]
	if c == nil {
		c = &called{keys: map[string]bool{}}
		l.calls[at] = c
	}
	c.keys[e.Key] = true
	switch e.Outcome {
	case apis.Effect:
		c.effects++
	case apis.Repeat:
		l.Repeats++
	}
}

// Judge says what is wrong if each of these customers is to have been billed for so
// many months (O1). Customers that are not among them may have had a month or not,
// but none of it twice.
func (l *Ledgers) Judge(v *Verdict, months map[string]int) {
	got := map[Call]int{} // months with an effect; Month is empty
	for c, did := range l.calls {
		if did.effects > 1 {
			v.doubled(did.effects-1, "%s has %d effects for %s in the month that ended %s", c.Service, did.effects, c.Customer, c.Month)
		}
		if n := len(did.keys); n > 1 {
			v.doubled(n-1, "%s was asked with %d idempotency keys for %s in the month that ended %s", c.Service, n, c.Customer, c.Month)
		}
		if did.effects > 0 {
			got[Call{Service: c.Service, Customer: c.Customer}]++
		}
	}
	for _, customer := range slices.Sorted(maps.Keys(months)) {
		for _, service := range apis.Services() {
			switch n, want := got[Call{Service: service, Customer: customer}], months[customer]; {
			case n < want:
				v.missing(want-n, "%s has %d months of %s, not %d", service, n, customer, want)
			case n > want:
				v.doubled(n-want, "%s has %d months of %s, not %d", service, n, customer, want)
			}
		}
	}
}
