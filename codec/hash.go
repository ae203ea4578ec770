package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
	"github.com/cyberphone/json-canonicalization/go/src/webpki.org/jsoncanonicalizer"
)

// Hash is xxh64 of bytes: of a decision's input (C4).
func Hash(b []byte) uint64 { return xxhash.Sum64(b) }

// CanonicalHash tells whether two inputs are the same (I2): xxh64 of the payload
// as canonical JSON (RFC 8785). What has no canonical form is compared as bytes:
// other codecs, names that occur twice, texts that are not Unicode, documents
// nested deeper than 100, and numbers that a float64 does not keep (two long order
// numbers must not be one).
func CanonicalHash(payload []byte) uint64 {
	canonical, ok := canonicalJSON(payload)
	if !ok {
		return Hash(payload)
	}
	return Hash(canonical)
}

// errNoCanonical is why a document is compared as bytes.
var errNoCanonical = errors.New("no canonical form")

// canonicalJSON: only the numbers' format comes from a library, because its
// sorting of names takes quadratic time, which a hostile payload would use.
func canonicalJSON(payload []byte) ([]byte, bool) {
	if !validJSON(payload) { // also bounds the depth
		return nil, false
	}
	c := canonicalizer{dec: json.NewDecoder(bytes.NewReader(payload))}
	c.dec.UseNumber()
	out, err := c.value(make([]byte, 0, len(payload)))
	if err != nil {
		return nil, false
	}
	if _, err := c.dec.Token(); err != io.EOF {
		return nil, false
	}
	return out, true
}

// canonicalDepthMax bounds nesting: each level copies what is in it.
const canonicalDepthMax = 100

type canonicalizer struct {
	dec   *json.Decoder
	depth int
}

func (c *canonicalizer) value(dst []byte) ([]byte, error) {
	token, err := c.dec.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		if c.depth++; c.depth > canonicalDepthMax {
			return nil, errNoCanonical
		}
		defer func() { c.depth-- }()
		if v == '{' {
			return c.object(dst)
		}
		return c.array(dst)
	case string:
		return appendCanonicalText(dst, v)
	case json.Number:
		return appendCanonicalNumber(dst, string(v))
	case bool:
		return strconv.AppendBool(dst, v), nil
	}
	return append(dst, "null"...), nil
}

func (c *canonicalizer) array(dst []byte) ([]byte, error) {
	dst = append(dst, '[')
	for first := true; c.dec.More(); first = false {
		if !first {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = c.value(dst); err != nil {
			return nil, err
		}
	}
	_, err := c.dec.Token()
	return append(dst, ']'), err
}

type member struct {
	name     string
	from, to int // of its value in the scratch buffer
}

// object writes the members sorted by name. Their values are written behind what
// is there, as they come, and then moved.
func (c *canonicalizer) object(dst []byte) ([]byte, error) {
	start := len(dst)
	var members []member
	for c.dec.More() {
		token, err := c.dec.Token()
		if err != nil {
			return nil, err
		}
		m := member{name: token.(string), from: len(dst)}
		if dst, err = c.value(dst); err != nil {
			return nil, err
		}
		m.to = len(dst)
		members = append(members, m)
	}
	if _, err := c.dec.Token(); err != nil {
		return nil, err
	}
	slices.SortFunc(members, func(a, b member) int { return compareUTF16(a.name, b.name) })
	sorted := make([]byte, 0, len(dst)-start+16*len(members)+2)
	sorted = append(sorted, '{')
	for i, m := range members {
		if i > 0 {
			if m.name == members[i-1].name {
				return nil, errNoCanonical
			}
			sorted = append(sorted, ',')
		}
		var err error
		if sorted, err = appendCanonicalText(sorted, m.name); err != nil {
			return nil, err
		}
		sorted = append(append(sorted, ':'), dst[m.from:m.to]...)
	}
	return append(dst[:start], append(sorted, '}')...), nil
}

// compareUTF16 compares as RFC 8785 sorts: by UTF-16 code units.
func compareUTF16(a, b string) int {
	ascii := func(s string) bool {
		for i := range len(s) {
			if s[i] >= utf8.RuneSelf {
				return false
			}
		}
		return true
	}
	if ascii(a) && ascii(b) {
		return strings.Compare(a, b)
	}
	return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
}

func appendCanonicalText(dst []byte, s string) ([]byte, error) {
	if strings.ContainsRune(s, utf8.RuneError) { // perhaps half a surrogate pair
		return nil, errNoCanonical
	}
	return appendJSONString(dst, s), nil
}

// exactDigits is how many digits a float64 keeps of any decimal number.
const exactDigits = 15

func appendCanonicalNumber(dst []byte, s string) ([]byte, error) {
	digits := 0
	for i := 0; i < len(s) && s[i] != 'e' && s[i] != 'E'; i++ {
		if s[i] >= '0' && s[i] <= '9' {
			digits++
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || digits > exactDigits && !keeps(s, f) {
		return nil, errNoCanonical
	}
	text, err := jsoncanonicalizer.NumberToJSON(f)
	if err != nil {
		return nil, err
	}
	return append(dst, text...), nil
}

// keeps reports whether the shortest text of f is the number s: then no other
// number was meant.
func keeps(s string, f float64) bool {
	return strconv.FormatFloat(f, 'g', -1, 64) == s || strconv.FormatFloat(f, 'f', -1, 64) == s
}
