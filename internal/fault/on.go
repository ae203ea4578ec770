//go:build odradek_test

package fault

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Enabled reports whether this build can be made to fail: true here.
const Enabled = true

// plan is what the environment asks for.
type plan struct {
	point Point
	left  atomic.Int64 // passes until the kill
	rules []Rule
	clock time.Duration
}

var environment = sync.OnceValue(func() *plan {
	p, err := parse(os.Getenv("ODRADEK_FAULT_POINT"), os.Getenv("ODRADEK_RULES_OFF"), os.Getenv("ODRADEK_FAULT_CLOCK"))
	if err != nil {
		panic(err)
	}
	return p
})

// parse refuses what it does not know: a misspelt control would pass silently.
func parse(point, rules, clock string) (*plan, error) {
	p := &plan{}
	if point != "" {
		name, times, counted := strings.Cut(point, ":")
		n := 1
		if counted {
			var err error
			if n, err = strconv.Atoi(times); err != nil || n < 1 {
				return nil, fmt.Errorf("ODRADEK_FAULT_POINT=%s: the number after the colon is a count from 1", point)
			}
		}
		if !slices.Contains(Points(), Point(name)) {
			return nil, fmt.Errorf("ODRADEK_FAULT_POINT=%s: no such point; there are %v", point, Points())
		}
		p.point = Point(name)
		p.left.Store(int64(n))
	}
	if rules != "" {
		for r := range strings.SplitSeq(rules, ",") {
			if !slices.Contains(Rules(), Rule(r)) {
				return nil, fmt.Errorf("ODRADEK_RULES_OFF=%s: no rule %q; there are %v", rules, r, Rules())
			}
			p.rules = append(p.rules, Rule(r))
		}
	}
	if clock != "" {
		d, err := time.ParseDuration(clock)
		if err != nil {
			return nil, fmt.Errorf("ODRADEK_FAULT_CLOCK=%s: %w", clock, err)
		}
		p.clock = d
	}
	return p, nil
}

// due reports whether this pass is the one that the plan waits for.
func (p *plan) due(pt Point) bool { return p.point == pt && p.left.Add(-1) == 0 }

// At kills the process if the environment says so: SIGKILL, as power loss does,
// without a defer or a flush.
func At(pt Point) {
	if environment().due(pt) {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way; nothing after the point runs
	}
}

// Off reports whether the environment switches the rule off.
func Off(r Rule) bool { return slices.Contains(environment().rules, r) }

// ClockOffset is added to the process's clock.
func ClockOffset() time.Duration { return environment().clock }

// Injector is the faults of one lane inside a test process. The nil Injector has
// only those of the environment. Its fields are set before the lane starts.
type Injector struct {
	// Fail is asked at each point; an error makes the lane end there as a crash would,
	// as far as that is possible inside a process. It is called from several
	// goroutines.
	Fail func(Point) error
	// Rules are switched off for this lane.
	Rules []Rule
}

// At asks the environment, then Fail.
func (in *Injector) At(pt Point) error {
	At(pt)
	if in == nil || in.Fail == nil {
		return nil
	}
	return in.Fail(pt)
}

// Off reports whether the rule is switched off for this lane.
func (in *Injector) Off(r Rule) bool {
	return Off(r) || in != nil && slices.Contains(in.Rules, r)
}
