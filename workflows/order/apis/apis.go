// Package apis has the shop's APIs of package order.
package apis

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/odradek/odradek/workflows/order"
	"github.com/odradek/odradek/workflows/standin"
)

// Shop keeps the books of all three APIs.
type Shop struct {
	mu       sync.Mutex
	reserved map[string]bool  // reservations that are open or sent
	paid     map[string]int64 // payments that stand
	sent     map[string]bool  // reservations that were sent
	n        int
}

// New makes a shop. It has no article that begins with "no", takes nothing from customers
// whose name begins with "poor", and sends nothing to addresses that begin with "nowhere".
func New() *Shop {
	return &Shop{reserved: map[string]bool{}, paid: map[string]int64{}, sent: map[string]bool{}}
}

func (s *Shop) id(what string) string {
	s.n++
	return fmt.Sprintf("%s-%d", what, s.n)
}

// Services are the three APIs.
func (s *Shop) Services() []standin.Service {
	type op = map[string]func([]byte) (any, error)
	return []standin.Service{
		{Name: "stock", Operations: op{"reserve": standin.On(s.reserve), "release": standin.On(s.release)}},
		{Name: "till", Operations: op{"charge": standin.On(s.charge), "refund": standin.On(s.refund)}},
		{Name: "shipment", Operations: op{"book": standin.On(s.book)}},
	}
}

func (s *Shop) reserve(l order.Line) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasPrefix(l.Article, "no") {
		return nil, &standin.Refusal{Code: "out_of_stock", Message: l.Article}
	}
	r := order.Reservation{ID: s.id("reservation")}
	s.reserved[r.ID] = true
	return r, nil
}

func (s *Shop) release(r order.Reservation) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.reserved, r.ID)
	return struct{}{}, nil
}

func (s *Shop) charge(b order.Bill) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasPrefix(b.Customer, "poor") {
		return nil, &standin.Refusal{Code: "card_declined", Message: b.Customer}
	}
	p := order.Payment{ID: s.id("payment")}
	s.paid[p.ID] = b.Cents
	return p, nil
}

func (s *Shop) refund(p order.Payment) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.paid, p.ID)
	return struct{}{}, nil
}

func (s *Shop) book(p order.Parcel) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasPrefix(p.Address, "nowhere") {
		return nil, &standin.Refusal{Code: "address_unknown", Message: p.Address}
	}
	for _, r := range p.Reservations {
		if s.sent[r] || !s.reserved[r] {
			return nil, fmt.Errorf("reservation %s was sent, or is none", r)
		}
	}
	for _, r := range p.Reservations {
		s.sent[r] = true
	}
	return order.Shipment{ID: s.id("shipment")}, nil
}

// Wrong says what the books have that they must not, when all orders have ended: money or
// stock of orders that were not sent. sent and paid are how many were, and for how much.
func (s *Shop) Wrong(sent int, cents int64) (wrong []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var money int64
	for _, c := range s.paid {
		money += c
	}
	if len(s.paid) != sent || money != cents {
		wrong = append(wrong, fmt.Sprintf("%d payments of %d cents stand, for %d orders of %d cents", len(s.paid), money, sent, cents))
	}
	for r := range s.reserved {
		if !s.sent[r] {
			wrong = append(wrong, r+" is held for nobody")
		}
	}
	slices.Sort(wrong)
	return wrong
}
