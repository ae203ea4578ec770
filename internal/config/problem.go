package config

import "strings"

// Problem is one mistake in the configuration.
type Problem struct {
	Source  string // file:line, name of the environment variable, or --flag
	Key     string
	What    string // what is wrong; never with a secret (G3)
	Allowed string // what would be right; may be empty
	Fix     string // may be empty
}

// Error is the problem in one line.
func (p Problem) Error() string {
	var b strings.Builder
	if p.Source != "" {
		b.WriteString(p.Source + ": ")
	}
	if p.Key != p.Source {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.What + ".")
	if p.Allowed != "" {
		b.WriteString(" Allowed: " + p.Allowed + ".")
	}
	if p.Fix != "" {
		b.WriteString(" " + p.Fix)
		if !strings.HasSuffix(p.Fix, "?") {
			b.WriteByte('.')
		}
	}
	return b.String()
}

// Problems are all mistakes, in the order in which they were found: at least one.
type Problems []Problem

// Error has a line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].Error()
	}
	return strings.Join(lines, "\n")
}

func (l *loader) problem(p Problem) { l.problems = append(l.problems, p) }
