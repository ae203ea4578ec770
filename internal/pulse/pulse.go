// Package pulse knows whether the loops of a process tick.
package pulse

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Pulse knows whether loops tick: what /livez asks. Any goroutine may use it.
type Pulse struct {
	clock func() time.Time
	late  time.Duration

	mu    sync.Mutex
	beats map[string]time.Time
}

// New makes a pulse. A loop that did not beat for longer than late is taken for
// dead; late must be longer than anything that a loop waits for, a broker's outage
// among it. A nil clock is time.Now.
func New(late time.Duration, clock func() time.Time) *Pulse {
	if clock == nil {
		clock = time.Now
	}
	return &Pulse{clock: clock, late: late, beats: map[string]time.Time{}}
}

// Beat says that a loop is alive; the first one makes the loop known.
func (p *Pulse) Beat(loop string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.beats[loop] = p.clock()
}

// End says that a loop has ended as it should.
func (p *Pulse) End(loop string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.beats, loop)
}

// Err names the loops that are late; nil if there are none.
func (p *Pulse) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var late []string
	for loop, at := range p.beats {
		if d := p.clock().Sub(at); d > p.late {
			late = append(late, fmt.Sprintf("%s (%v)", loop, d.Round(time.Second)))
		}
	}
	if len(late) == 0 {
		return nil
	}
	slices.Sort(late)
	return fmt.Errorf("loops that do not tick: %s", strings.Join(late, ", "))
}
