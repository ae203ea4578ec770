package importer

import (
	"fmt"
	"go/token"
	"strings"
	"unicode"
)

// words joins the words of a text, which are its letters and digits in ASCII.
func words(s, join string) string {
	var b strings.Builder
	gap := false
	for _, r := range s {
		if r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			if gap && b.Len() > 0 {
				b.WriteString(join)
			}
			gap = false
			b.WriteRune(r)
			continue
		}
		gap = true
	}
	return b.String()
}

// exported makes an exported Go name.
func exported(s string) string {
	var b strings.Builder
	upper := true
	for _, r := range s {
		switch {
		case r >= 0x80 || !unicode.IsLetter(r) && !unicode.IsDigit(r):
			upper = true
		case upper:
			b.WriteRune(unicode.ToUpper(r))
			upper = false
		default:
			b.WriteRune(r)
		}
	}
	name := b.String()
	switch {
	case name == "":
		return "X"
	case name[0] >= '0' && name[0] <= '9':
		return "X" + name
	}
	return name[:min(len(name), 120)]
}

// packageName makes the name of a Go package.
func packageName(s string) string {
	name := strings.ToLower(words(s, ""))
	if name == "" || name[0] >= '0' && name[0] <= '9' || token.IsKeyword(name) || name == "main" || name == "workflow" || name == "json" || name == "time" {
		name = "api" + name
	}
	return name
}

// fieldName makes the JSON name of a parameter, as a binding may refer to it.
func fieldName(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			b.WriteRune(r)
		} else {
			b.WriteByte('_')
		}
	}
	name := strings.Trim(b.String(), "_")
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		name = "p" + name
	}
	return name
}

// unique gives a name that is not taken, and takes it.
func unique(taken map[string]bool, name string) string {
	for n, base := 2, name; taken[name]; n++ {
		name = fmt.Sprint(base, n)
	}
	taken[name] = true
	return name
}

// comment makes lines of a Go comment of a text.
func comment(indent, text string) string {
	text = strings.TrimSpace(strings.ReplaceAll(text, "\r", ""))
	if text == "" {
		return ""
	}
	const width = 90
	var b strings.Builder
	lines := 0
	for line := range strings.SplitSeq(text, "\n") {
		if lines++; lines > 12 {
			b.WriteString(indent + "// ...\n")
			break
		}
		rest := strings.Map(func(r rune) rune {
			if r == '\t' {
				return ' '
			}
			if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
				return -1
			}
			return r
		}, strings.TrimSpace(line))
		for len(rest) > width {
			at := strings.LastIndexByte(rest[:width], ' ')
			if at <= 0 {
				break
			}
			b.WriteString(indent + "// " + rest[:at] + "\n")
			rest = strings.TrimSpace(rest[at:])
			lines++
		}
		b.WriteString(strings.TrimRight(indent+"// "+rest, " ") + "\n")
	}
	return b.String()
}
