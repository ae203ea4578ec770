package replay

import (
	"iter"
	"strings"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

// View is what a run's code does at the moment, for people.
type View struct {
	Details string // what the code shows with SetDetails
	Threads []Waiting
	Closed  bool // the code has ended
}

// Waiting is a thread of the run's that is parked.
type Waiting struct {
	For   string   // what it waits for
	Stack []string // the author's frames, innermost first, each "function file:line"
}

// Describe replays a run's history with a look at where its code waits. Nothing is kept.
// The errors are Rebuild's.
func Describe(def workflow.Definition, id Identity, history iter.Seq2[record.HistoryEvent, error]) (View, error) {
	l := New(def, id, nil)
	defer l.Drop()
	l.h.trace = true
	if _, err := l.rebuild(history, 0); err != nil {
		return View{}, err
	}
	v := View{Closed: l.h.closed}
	if l.h.details != nil {
		if err := l.ask(func() { v.Details = l.h.details() }); err != nil {
			return View{}, err
		}
		const most = 1 << 10
		v.Details = strings.ToValidUTF8(v.Details[:min(len(v.Details), most)], "")
	}
	if !v.Closed {
		for _, t := range l.h.threads {
			v.Threads = append(v.Threads, Waiting{For: awaited(&t.waits), Stack: lines(stack(t.at))})
		}
	}
	return v, nil
}

// lines makes a frame of each two lines of a stack.
func lines(stack string) (out []string) {
	parts := strings.Split(strings.TrimPrefix(stack, "\n"), "\n")
	for i := 0; i+1 < len(parts); i += 2 {
		out = append(out, parts[i]+" "+strings.TrimSpace(parts[i+1]))
	}
	return out
}
