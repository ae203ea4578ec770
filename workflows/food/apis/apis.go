// Package apis has the delivery's APIs of package food.
package apis

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/odradek/odradek/workflows/food"
	"github.com/odradek/odradek/workflows/standin"
)

// Town keeps the books of all three APIs.
type Town struct {
	mu       sync.Mutex
	paid     map[string]int64
	offered  map[string]bool // orders that a restaurant has before it
	couriers map[string]bool // orders with a courier
	over     map[string]bool // orders for which none is to be searched
	n        int
}

// New makes a town. It has no courier for dishes that begin with "far".
func New() *Town {
	return &Town{paid: map[string]int64{}, offered: map[string]bool{}, couriers: map[string]bool{}, over: map[string]bool{}}
}

// Services are the three APIs.
func (t *Town) Services() []standin.Service {
	type op = map[string]func([]byte) (any, error)
	return []standin.Service{
		{Name: "purse", Operations: op{
			"charge": standin.On(func(b food.Bill) (any, error) {
				return locked(t, func() (any, error) {
					t.n++
					p := food.Payment{ID: fmt.Sprintf("payment-%d", t.n)}
					t.paid[p.ID] = b.Cents
					return p, nil
				})
			}),
			"refund": standin.On(func(p food.Payment) (any, error) {
				return locked(t, func() (any, error) { delete(t.paid, p.ID); return struct{}{}, nil })
			}),
		}},
		{Name: "restaurant", Operations: op{
			"offer": standin.On(func(m food.Meal) (any, error) {
				return locked(t, func() (any, error) { t.offered[m.Order] = true; return struct{}{}, nil })
			}),
			"recall": standin.On(func(m food.Meal) (any, error) {
				return locked(t, func() (any, error) { delete(t.offered, m.Order); return struct{}{}, nil })
			}),
		}},
		{Name: "courier", Operations: op{
			"search": standin.On(func(m food.Meal) (any, error) {
				return locked(t, func() (any, error) {
					if t.over[m.Order] || strings.HasPrefix(m.Dish, "far") {
						return nil, &standin.Refusal{Code: "no_courier", Message: m.Order}
					}
					t.couriers[m.Order] = true
					return food.Courier{Name: "courier of " + m.Order}, nil
				})
			}),
			"dismiss": standin.On(func(m food.Meal) (any, error) {
				return locked(t, func() (any, error) {
					delete(t.couriers, m.Order)
					t.over[m.Order] = true
					return struct{}{}, nil
				})
			}),
		}},
	}
}

func locked(t *Town, do func() (any, error)) (any, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return do()
}

// Offered are the orders that wait for a restaurant's answer, or had it.
func (t *Town) Offered() (orders []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.offered {
		orders = append(orders, id)
	}
	slices.Sort(orders)
	return orders
}

// Wrong says what the books have that they must not, when all orders have ended and so
// many were delivered, for so much.
func (t *Town) Wrong(delivered int, cents int64) (wrong []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var money int64
	for _, c := range t.paid {
		money += c
	}
	for what, n := range map[string]int{"payments": len(t.paid), "meals": len(t.offered), "couriers": len(t.couriers)} {
		if n != delivered {
			wrong = append(wrong, fmt.Sprintf("%d %s for %d meals that were delivered", n, what, delivered))
		}
	}
	if money != cents {
		wrong = append(wrong, fmt.Sprintf("%d cents stand, of %d", money, cents))
	}
	slices.Sort(wrong)
	return wrong
}
