package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestClean(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain ü 世界 🦀":       "plain ü 世界 🦀",
		"\x1b[2J":            `\u001b[2J`,
		"a\nb\tc\r":          `a\nb\tc\u000d`,
		"\x7f\u009b31m":      `\u007f\u009b31m`,
		"\u202egpj.exe":      `\u202egpj.exe`,
		"\u2066\u200f\ufeff": `\u2066\u200f\ufeff`,
		"\U000e0001":         `\udb40\udc01`,
		"a\xffb":             `a\xffb`,
		"\u2028":             `\u2028`,
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestOutputHasNoHarmfulCharacter: whatever comes in.
func TestOutputHasNoHarmfulCharacter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "text")
		out := clean(in)
		if !utf8.ValidString(out) || bytes.ContainsFunc([]byte(out), harmful) {
			t.Fatalf("clean(%q) = %q", in, out)
		}
		doc, err := encode(map[string]any{"x": in, in: []string{in}}, rapid.Bool().Draw(t, "indent"))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsFunc(doc, func(r rune) bool { return harmful(r) && r != '\n' }) {
			t.Fatalf("encode(%q) = %q", in, doc)
		}
		valid := string([]rune(in)) // what JSON makes of bytes that are not UTF-8
		var got map[string]any
		if err := json.Unmarshal(doc, &got); err != nil {
			t.Fatal(err)
		}
		if want := map[string]any{"x": valid, valid: []any{valid}}; in != "x" && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q became %q", want, got)
		}
	})
}
