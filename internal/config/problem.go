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

// nearest is the known name with the fewest edits from name, or "" if that are more
// than a third of its letters (at least 2).
func nearest(name string, known []string) string {
	best, most := "", max(2, len(name)/3)
	for _, k := range known {
		if d := distance(name, k); d <= most {
			best, most = k, d-1
		}
	}
	return best
}

// distance is the Levenshtein distance in bytes; names of more than 100 bytes are far
// from everything.
func distance(a, b string) int {
	if len(a) > 100 || len(b) > 100 {
		return 200
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
