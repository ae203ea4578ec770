package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

type (
	within struct {
		B int `json:"b"`
		X string
	}
	whole struct {
		*within
		A     string             `json:"a,omitempty"`
		N     int64              `json:"n,string"`
		Zero  time.Time          `json:"zero,omitzero"`
		Raw   json.RawMessage    `json:"raw"`
		Bytes []byte             `json:"bytes"`
		Nil   []string           `json:"nil"`
		Map   map[string]any     `json:"map"`
		Keys  map[int]bool       `json:"keys"`
		Addr  map[netip.Addr]int `json:"addr"`
		D     time.Duration      `json:"d"`
		F     float32            `json:"f"`
		P     *whole             `json:"p,omitempty"`
		Dash  int                `json:"-"`
		Array [3]byte            `json:"array"`
		Any   any                `json:"any"`
		Big   *big.Int           `json:"big"`
	}
	byPointer struct{ n int }
	odd       string
	broken    struct{}
)

func (b *byPointer) MarshalJSON() ([]byte, error) { return []byte(`{ "n" : "<&>" }`), nil }
func (o odd) MarshalText() ([]byte, error)        { return []byte("odd " + string(o)), nil }
func (broken) MarshalJSON() ([]byte, error)       { return nil, errors.New("no") }

// C4: what one engine encodes another must encode alike, and so what encoding/json gave.
func TestEncodeJSONIsEncodingJSON(t *testing.T) {
	var none *whole
	when := time.Date(2026, 1, 2, 3, 4, 5, 678, time.FixedZone("x", 3600))
	values := []any{
		nil, true, 0, -1, int8(-8), uint64(math.MaxUint64), "", "plain", "<a href='&'>\u2028\u2029\x00\x1f\x7f\"\\/", "bad \xff utf8 \xc3(", "käse 🧀",
		0.0, math.Copysign(0, -1), 1e20, 1e21, 1e-6, 1e-7, math.MaxFloat64, math.SmallestNonzeroFloat64, float32(0.1), float32(1e21), 100.0, 1.5,
		math.NaN(), math.Inf(1),
		[]byte(nil), []byte{}, []byte("bytes\xff"), [2]byte{1, 2}, []string(nil), []string{}, []any{1, "a", nil},
		map[string]int(nil), map[string]int{}, map[string]any{"b": 1, "a": []any{map[string]any{"z": 1, "y": 2}}, "\xff": 1, "<": 2}, map[int]string{10: "a", 9: "b", -1: "c"},
		map[odd]int{"k": 1, "a": 2}, map[bool]int{true: 1},
		json.RawMessage(nil), json.RawMessage(` { "a" : [ 1 , 2 ], "b":"<\u00e4>" , "a" : 1e2 } `), json.RawMessage(`{`), json.RawMessage(""),
		json.Number("12.50"), json.Number(""), json.Number("x"), []json.Number{"1", "2"}, map[string]any{"n": json.Number("1e400")},
		when, when.UTC(), 90 * time.Second, struct{ D time.Duration }{time.Hour}, time.Time{},
		none, &whole{}, whole{within: &within{1, "x"}, A: "a", N: 9, Raw: json.RawMessage(`[ ]`), Bytes: []byte{0}, Map: map[string]any{"f": 1.0}, Keys: map[int]bool{2: true, 10: false},
			Addr: map[netip.Addr]int{netip.MustParseAddr("::1"): 1}, D: time.Minute, F: 3.3, P: &whole{}, Any: []int{1}, Big: big.NewInt(1 << 62)},
		byPointer{1}, &byPointer{1}, []byPointer{{1}}, map[string]byPointer{"a": {}}, map[string]*byPointer{"a": {}, "b": nil},
		odd("o"), []odd{"a"}, broken{}, []any{1, broken{}}, make(chan int), func() {}, complex(1, 2), map[string]any{"c": make(chan int)},
		struct {
			S string  `json:"s,string"`
			B bool    `json:",string"`
			F float64 `json:"f,string,omitempty"`
			I *int    `json:"i,string"`
		}{S: "q\"", B: true},
		struct {
			E  map[string]int `json:"e,omitempty"`
			S  struct{}       `json:"s,omitempty"`
			Ar [0]int         `json:"ar,omitempty"`
			F  any            `json:"f,omitempty"`
		}{},
		big.NewInt(7), netip.MustParseAddr("10.0.0.1"), errors.New("an error"), struct{ error }{errors.New("x")},
	}
	for _, v := range values {
		want, wantErr := json.Marshal(v)
		want = bytes.ReplaceAll(want, []byte(`\ufffd`), []byte("\ufffd"))
		got, err := EncodeJSON(v)
		if !bytes.Equal(got, want) || (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
			t.Errorf("%T %#v:\ngot  %q, %v\nwant %q, %v", v, v, got, err, want, wantErr)
		}
	}
}

func TestValidJSONIsEncodingJSONs(t *testing.T) {
	for _, text := range []string{
		"", " ", "1", "01", "-", "1e400", "1 2", `"a"`, `"\ud800"`, `"\ud800\u0041"`, `"\x"`, "\"\x01\"", "\"\xff\"", `{"a":1,"a":2}`, `{"a":1,}`, `[1,]`, `{1:2}`, "nul", " null\n",
		"\ufeff1", "{}x", strings.Repeat("[", 9000) + strings.Repeat("]", 9000), strings.Repeat("[", 10000) + strings.Repeat("]", 10000),
		strings.Repeat("[", 10001) + strings.Repeat("]", 10001), strings.Repeat("[", 20000) + strings.Repeat("]", 20000),
	} {
		if got, want := validJSON([]byte(text)), utf8.ValidString(text) && json.Valid([]byte(text)); got != want {
			t.Errorf("%.40q: %t, want %t", text, got, want)
		}
	}
}
