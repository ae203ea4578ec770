//go:build !odradek_test

package fault

import "time"

// Enabled reports whether this build can be made to fail: false here.
const Enabled = false

// At does nothing in this build.
func At(Point) {}

// Off reports whether the rule is switched off: never in this build.
func Off(Rule) bool { return false }

// ClockOffset is added to the process's clock: 0 in this build.
func ClockOffset() time.Duration { return 0 }

// Injector is the faults of one lane inside a test process: none in this build.
// The nil Injector is one without faults.
type Injector struct{}

// At never fails in this build.
func (*Injector) At(Point) error { return nil }

// Off reports whether the rule is switched off: never in this build.
func (*Injector) Off(Rule) bool { return false }
