// Package apis has the two banks of package transfer.
package apis

import (
	"fmt"
	"sync"

	"github.com/odradek/odradek/workflows/standin"
	"github.com/odradek/odradek/workflows/transfer"
)

// Bank is a ledger with accounts.
type Bank struct {
	name   string
	open   bool              // unknown accounts are opened
	closed func(string) bool // accounts that take no money
	mu     sync.Mutex
	money  map[string]int64
	lines  int
}

// New makes bank A, whose accounts begin with the given money, and bank B, which takes
// money for every account but those that are closed.
func New(accounts map[string]int64, closed func(account string) bool) (a, b *Bank) {
	a = &Bank{name: "bank-a", money: map[string]int64{}, closed: func(string) bool { return false }}
	for account, cents := range accounts {
		a.money[account] = cents
	}
	return a, &Bank{name: "bank-b", open: true, money: map[string]int64{}, closed: closed}
}

// Service is the bank's API.
func (b *Bank) Service() standin.Service {
	return standin.Service{Name: b.name, Operations: map[string]func([]byte) (any, error){
		"debit":  standin.On(func(p transfer.Posting) (any, error) { return b.book(p.Account, -p.Cents) }),
		"credit": standin.On(func(p transfer.Posting) (any, error) { return b.book(p.Account, p.Cents) }),
	}}
}

func (b *Bank) book(account string, cents int64) (any, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	had, known := b.money[account]
	switch {
	case !known && !b.open:
		return nil, &standin.Refusal{Code: "account_unknown", Message: account}
	case cents > 0 && b.closed(account):
		return nil, &standin.Refusal{Code: "account_closed", Message: account}
	case had+cents < 0:
		return nil, &standin.Refusal{Code: "funds_missing", Message: fmt.Sprintf("%s has %d", account, had)}
	}
	b.money[account] += cents
	b.lines++
	return transfer.Booked{Posting: fmt.Sprintf("%s-%d", b.name, b.lines)}, nil
}

// Sum is all the money that the bank has.
func (b *Bank) Sum() (cents int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.money {
		cents += c
	}
	return cents
}

// Balance is what an account has.
func (b *Bank) Balance(account string) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.money[account]
}
