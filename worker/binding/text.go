package binding

import (
	"strings"
	"unicode/utf8"
)

// SnakeCase reports whether s may be a failure's code.
func SnakeCase(s string) bool {
	for _, c := range s {
		if c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 100
}

// Printable drops control characters: messages are shown in terminals.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
			return -1
		}
		return r
	}, s)
}
