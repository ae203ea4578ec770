package config

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
)

// Report has the effective value of each key and where it is from.
type Report struct {
	file string
	rows []row
}

type row struct{ key, value, source string }

// add takes a value that is already redacted.
func (r *Report) add(key, value, source string) { r.rows = append(r.rows, row{key, value, source}) }

// Print writes a table of key, value and source, sorted by key. Secrets are not in
// it; a value that is one reference is shown as the reference. Errors of w are not
// told.
func (r *Report) Print(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "KEY\tVALUE\tSOURCE")
	for _, row := range r.rows {
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\n", printable(row.key), printable(row.value), printable(row.source))
	}
	_ = tw.Flush()
}

// File is the configuration file that was read; empty if none.
func (r *Report) File() string { return r.file }

// printable keeps control characters from terminals, and tabs from the table.
func printable(s string) string {
	if s == "" {
		return `""`
	}
	if strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return strconv.Quote(s)
	}
	return s
}
