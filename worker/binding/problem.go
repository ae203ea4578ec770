package binding

import (
	"fmt"
	"sort"
	"strings"
)

// Problem is one thing that is wrong in a file.
type Problem struct {
	File string
	Line int    // from 1; 0: the file as a whole
	Key  string // such as payment.charge.path
	Text string // what is wrong
	Fix  string // how to put it right; may be empty
}

// String is file:line: key: problem. Fix.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Text)
	if p.Fix != "" {
		b.WriteString(". " + p.Fix)
	}
	return b.String()
}

// Problems is the error with which a file is refused: all that is wrong, by line.
type Problems []Problem

// Error is one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Sorted orders the problems by line.
func (ps Problems) Sorted() Problems {
	sort.SliceStable(ps, func(i, j int) bool { return ps[i].Line < ps[j].Line })
	return ps
}
