// Package apis has the APIs of package ride.
package apis

import (
	"fmt"
	"slices"
	"sync"

	"github.com/odradek/odradek/workflows/ride"
	"github.com/odradek/odradek/workflows/standin"
)

// City keeps the books of both APIs.
type City struct {
	mu      sync.Mutex
	offered map[string]map[string]bool // drivers with an open offer, by ride
	drives  map[string]string          // driver, by ride
	double  []string                   // rides that were given to two
	charged int64
	n       int
}

// New makes a city in which six drivers are near to everybody.
func New() *City { return &City{offered: map[string]map[string]bool{}, drives: map[string]string{}} }

// Services are the two APIs.
func (c *City) Services() []standin.Service {
	type op = map[string]func([]byte) (any, error)
	invitation := func(do func(i ride.Invitation)) func([]byte) (any, error) {
		return standin.On(func(i ride.Invitation) (any, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			do(i)
			return struct{}{}, nil
		})
	}
	return []standin.Service{
		{Name: "dispatch", Operations: op{
			"nearby": standin.On(func(ride.Request) (any, error) {
				return ride.Drivers{Names: []string{"d1", "d2", "d3", "d4", "d5", "d6"}}, nil
			}),
			"offer": invitation(func(i ride.Invitation) {
				if c.offered[i.Ride] == nil {
					c.offered[i.Ride] = map[string]bool{}
				}
				c.offered[i.Ride][i.Driver] = true
			}),
			"withdraw": invitation(func(i ride.Invitation) {
				delete(c.offered[i.Ride], i.Driver)
				if c.drives[i.Ride] == i.Driver {
					delete(c.drives, i.Ride)
				}
			}),
			"assign": invitation(func(i ride.Invitation) {
				delete(c.offered[i.Ride], i.Driver)
				if c.drives[i.Ride] != "" {
					c.double = append(c.double, i.Ride)
				}
				c.drives[i.Ride] = i.Driver
			}),
		}},
		{Name: "wallet", Operations: op{"charge": standin.On(func(b ride.Bill) (any, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.n++
			c.charged += b.Cents
			return ride.Payment{ID: fmt.Sprintf("payment-%d", c.n)}, nil
		})}},
	}
}

// Offered are the drivers who have an open offer of a ride.
func (c *City) Offered(id string) (drivers []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for d := range c.offered[id] {
		drivers = append(drivers, d)
	}
	slices.Sort(drivers)
	return drivers
}

// Driver is who drives; empty: nobody.
func (c *City) Driver(id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.drives[id]
}

// Wrong says what the books have that they must not, when all rides have ended, so many of
// them with a driver, and so much was to be charged.
func (c *City) Wrong(driven int, cents int64) (wrong []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, drivers := range c.offered {
		if len(drivers) > 0 {
			wrong = append(wrong, fmt.Sprintf("%s has %d open offers", id, len(drivers)))
		}
	}
	if len(c.drives) != driven {
		wrong = append(wrong, fmt.Sprintf("%d drivers for %d rides", len(c.drives), driven))
	}
	if c.charged != cents {
		wrong = append(wrong, fmt.Sprintf("%d cents were charged, of %d", c.charged, cents))
	}
	for _, id := range c.double {
		wrong = append(wrong, id+" was given to two drivers")
	}
	slices.Sort(wrong)
	return wrong
}
