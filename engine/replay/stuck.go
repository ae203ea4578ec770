package replay

import (
	"fmt"
	"runtime"
	"strings"
)

// Codes of a StuckError.
const (
	CodeDivergence = "divergence" // the code does not match its history
	CodePanic      = "panic"      // the code panicked, or broke a rule of package workflow
	CodeTurnLimit  = "turn_limit" // a turn asks for too much (T5)
)

// StuckError says why a run's code cannot go on. Nothing of the turn counts.
type StuckError struct {
	Code   string
	Detail string // for people: what, with both sides or the stack of the author's code
	// Divergence has both sides; nil where there is no such thing.
	Divergence *Divergence
}

// Divergence is where code first does something else than its history.
type Divergence struct {
	Event    uint64 `json:"event"`            // of the history
	Expected string `json:"expected"`         // what the history has
	Actual   string `json:"actual"`           // what the code asks for
	Source   string `json:"source,omitempty"` // the author's line
}

// diverged notes both sides.
func (e *StuckError) diverged(event uint64, expected, actual string, pcs []uintptr) *StuckError {
	e.Divergence = &Divergence{Event: event, Expected: expected, Actual: actual}
	if at := lines(frames(pcs, isOurs)); len(at) > 0 {
		e.Divergence.Source = at[0]
	}
	return e
}

// Error is the code and the detail.
func (e *StuckError) Error() string { return e.Code + ": " + e.Detail }

func stuckf(code, format string, args ...any) *StuckError {
	return &StuckError{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// ours are the packages whose frames say nothing about the author's mistake.
var ours = [...]string{
	"runtime", "iter",
	"github.com/odradek/odradek/internal/coro",
	"github.com/odradek/odradek/engine/replay",
	"github.com/odradek/odradek/workflow",
}

// stack writes the author's frames, innermost first, as Go's own traces have them.
// Where he has none, as when his error's text panics after he returned it, it writes
// all.
func stack(pcs []uintptr) string {
	if s := frames(pcs, isOurs); s != "" {
		return s
	}
	return frames(pcs, func(string) bool { return false })
}

func frames(pcs []uintptr, skip func(function string) bool) string {
	var b strings.Builder
	fs := runtime.CallersFrames(pcs)
	for more := len(pcs) > 0; more; {
		var f runtime.Frame
		f, more = fs.Next()
		if !skip(f.Function) {
			fmt.Fprintf(&b, "\n%s\n\t%s:%d", f.Function, f.File, f.Line)
		}
	}
	return b.String()
}

// isOurs looks at the package's path in a name like "a.com/b/c.(*T).F".
func isOurs(function string) bool {
	slash := strings.LastIndexByte(function, '/') + 1
	if strings.IndexByte(function, '[') >= 0 { // type arguments have paths too
		slash = strings.LastIndexByte(function[:strings.IndexByte(function, '[')], '/') + 1
	}
	dot := strings.IndexByte(function[slash:], '.')
	if dot < 0 {
		return false
	}
	for _, path := range ours {
		if function[:slash+dot] == path {
			return true
		}
	}
	return false
}
