package codec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
	"pgregory.net/rapid"
)

// TestSameInputs: I2.
func TestSameInputs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{`{"a":1,"b":2}`, ` { "b" : 2.0, "a":1 } `, true},
		{`{"a":1}`, `{"a":2}`, false},
		{`{"a":{"x":1,"y":[1,2]}}`, `{"a":{"y":[1,2],"x":1}}`, true},
		{`[1,2]`, `[2,1]`, false},
		{`"é"`, `"\u00e9"`, true},
		{`5`, ` 5 `, true},
		{`1e2`, `100`, true},
		{`-0`, `0`, true},
		{`null`, `false`, false},
		{``, ``, true},
		{`{"a":1,"a":2}`, `{"a":2}`, false},                     // a name twice
		{`9007199254740993`, `9007199254740992`, false},         // a float64 does not keep it
		{`12345678901234567890`, `12345678901234567891`, false}, // nor these
		{`"\ud800"`, `"\ud801"`, false},                         // not Unicode
		{`not json`, `not  json`, false},
		{strings.Repeat("[", 200) + strings.Repeat("]", 200), strings.Repeat("[ ", 200) + strings.Repeat("]", 200), false}, // deep: as bytes
		{`{"a":1} x`, `{"a":1}`, false},
	} {
		if got := CanonicalHash([]byte(c.a)) == CanonicalHash([]byte(c.b)); got != c.same {
			t.Errorf("%.60s and %.60s: same is %v", c.a, c.b, got)
		}
	}
}

// TestCanonicalFormIsThatOfTheStandard: compared with the library of RFC 8785's
// author, on documents that have a canonical form.
func TestCanonicalFormIsThatOfTheStandard(t *testing.T) {
	t.Parallel()
	var value func(t *rapid.T, depth int) any
	value = func(t *rapid.T, depth int) any {
		kinds := 6
		if depth == 0 {
			kinds = 4
		}
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0:
			return rapid.String().Filter(func(s string) bool { return !strings.ContainsRune(s, '\ufffd') }).Draw(t, "text")
		case 1:
			return rapid.OneOf(rapid.Float64Range(-1e6, 1e6), rapid.Float64()).Draw(t, "number")
		case 2:
			return rapid.Bool().Draw(t, "bool")
		case 3:
			return nil
		case 4:
			var list []any
			for range rapid.IntRange(0, 3).Draw(t, "items") {
				list = append(list, value(t, depth-1))
			}
			return list
		}
		object := map[string]any{}
		for range rapid.IntRange(0, 4).Draw(t, "members") {
			object[rapid.SampledFrom([]string{"a", "b", "é", "\U0001F600", "\uFB33", "", "1"}).Draw(t, "name")] = value(t, depth-1)
		}
		return object
	}
	rapid.Check(t, func(t *rapid.T) {
		doc, err := json.Marshal(map[string]any{"v": value(t, 3)})
		if err != nil {
			t.Skip()
		}
		want, err := jsoncanonicalizer.Transform(doc)
		if err != nil {
			t.Skip()
		}
		if got, ok := canonicalJSON(doc); ok && !bytes.Equal(got, want) {
			t.Fatalf("%s\n got %s\nwant %s", doc, got, want)
		}
	})
}

// TestHostileDocumentsEnd: neither names in order, which the library sorts in
// quadratic time, nor depth takes long; a test that does not end shows it.
func TestHostileDocumentsEnd(t *testing.T) {
	t.Parallel()
	var names strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&names, `"%05d":1,`, i)
	}
	CanonicalHash([]byte("{" + strings.TrimSuffix(names.String(), ",") + "}"))
	CanonicalHash([]byte(strings.Repeat(`{"a":`, 9000) + `"` + strings.Repeat("x", 450_000) + `"` + strings.Repeat("}", 9000)))
	CanonicalHash([]byte(strings.Repeat("[", 500_000)))
}

func FuzzCanonicalHash(f *testing.F) {
	f.Add([]byte(`{"a":[1,2.5e3,"x\u00e9",null,true],"b":{}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		CanonicalHash(doc)
		once, ok := canonicalJSON(doc)
		if !ok {
			return
		}
		if !json.Valid(once) {
			t.Fatalf("%s became %s", doc, once)
		}
		if twice, ok := canonicalJSON(once); !ok || !bytes.Equal(once, twice) {
			t.Fatalf("%s became %s, then %s", doc, once, twice)
		}
	})
}
