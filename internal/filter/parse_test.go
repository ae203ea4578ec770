package filter

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestBadFiltersSayWhereAndHow: what cannot be read is told with its place.
func TestBadFiltersSayWhereAndHow(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]string{
		`status`:                        "at position 7: the end follows the field status: use =,",
		`status = done`:                 "at position 10: a status is",
		`status < running`:              "a status is",
		`customer = c7`:                 "at position 12: \"c7\" is no value: texts stand in quotes",
		`customer = "c7`:                "the text has no end",
		`customer = `:                   "a value is missing",
		`version = "1"`:                 "version is compared with a number, such as 42",
		`started > 7`:                   "started is compared with a time",
		`total starts 7`:                "starts is of texts",
		`type = "a" status = running`:   "at position 12: \"status\" is not expected here: join comparisons with and, or",
		`(type = "a"`:                   "\")\" is missing",
		`type in "a"`:                   "\"(\" is missing",
		`"type" = "a"`:                  "the name of a field is missing",
		`type = "a" and`:                "the name of a field is missing",
		`type = "a" & status = running`: "begins nothing that a filter has",
		`due > now-1day`:                "is no value",
		`total = NaN`:                   "is no value",
		strings.Repeat("not ", 50) + `type = "a"`:         "nested more than 20 deep",
		strings.Repeat(`type = "a" or `, 200) + `id = ""`: "more than 100 comparisons",
		strings.Repeat(" ", 5000):                         "at most 4096 are allowed",
	} {
		if _, err := Parse(src, time.Now()); !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", src, err, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) { // never a panic
		f, err := Parse(rapid.StringMatching(`[a-z"()=<>!, 0-9.+-]{0,40}`).Draw(t, "src"), time.Now())
		if err == nil {
			f.Plan()
		}
	})
}
