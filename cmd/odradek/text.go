package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// harmful are the characters that a terminal obeys instead of showing, or that make
// it show another text than there is: controls, direction marks, line separators.
func harmful(r rune) bool {
	return unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) || r == 0x2028 || r == 0x2029
}

// clean shows harmful characters as escapes, and bytes that are not UTF-8.
func clean(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, harmful) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case harmful(r):
			b.WriteString(escaped(r))
		default:
			b.WriteRune(r)
		}
		s = s[n:]
	}
	return b.String()
}

// cleanJSON escapes what JSON allows in a text and a terminal must not get. The
// document stays the same.
func cleanJSON(doc []byte) []byte {
	if !bytes.ContainsFunc(doc, func(r rune) bool { return harmful(r) && r != '\n' }) {
		return doc
	}
	var b bytes.Buffer
	for _, r := range string(doc) {
		if harmful(r) && r != '\n' {
			b.WriteString(escaped(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.Bytes()
}

func escaped(r rune) string {
	if hi, lo := utf16.EncodeRune(r); hi != unicode.ReplacementChar {
		return fmt.Sprintf(`\u%04x\u%04x`, hi, lo)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// encode makes JSON of v without the escapes that are for HTML.
func encode(v any, indent bool) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if indent {
		e.SetIndent("", "  ")
	}
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode the output: %w", err)
	}
	return cleanJSON(b.Bytes()), nil
}
