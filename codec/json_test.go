package codec

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

// payloadType has what payloads are made of.
type payloadType struct {
	Text    string            `json:"text"`
	Number  int64             `json:"number,omitempty"`
	Small   int8              `json:"small"`
	Float   float64           `json:"float"`
	Is      bool              `json:"is"`
	Quoted  int               `json:"quoted,string"`
	Time    time.Time         `json:"time"`
	Took    time.Duration     `json:"took"`
	Bytes   []byte            `json:"bytes"`
	Array   [2]int            `json:"array"`
	List    []payloadType     `json:"list"`
	Map     map[string]string `json:"map"`
	Numbers map[int]float32   `json:"numbers"`
	Pointer *payloadType      `json:"pointer"`
	Any     any               `json:"any"`
	Raw     json.RawMessage   `json:"raw"`
	Other   json.Number       `json:"other"`
	UPPER   string
	inner
}

type inner struct {
	Embedded string
	hidden   string //nolint:unused // it must stay empty
}

// FuzzDecodeJSON: it is encoding/json, but for its time.
func FuzzDecodeJSON(f *testing.F) {
	for _, text := range []string{
		`{}`, `null`, ``, ` {"text":"a","number":1} `, `{"TEXT":"folded","Number":2,"upper":"x","UPPER":"y"}`, `{"text":"a","text":"b"}`,
		`{"number":1.0}`, `{"number":1e2}`, `{"small":200}`, `{"float":1e999}`, `{"quoted":"5"}`, `{"quoted":5}`, `{"quoted":""}`, `{"time":"2026-01-01T00:00:00Z"}`, `{"time":"2026"}`,
		`{"took":5}`, `{"took":"5s"}`, `{"bytes":"aGk="}`, `{"bytes":"aGk"}`, `{"bytes":"aG\nk="}`, `{"bytes":[1,2]}`, `{"array":[1]}`, `{"array":[1,2,3]}`, `{"list":[{},null,{"is":true}]}`,
		`{"map":{"a":"b","a":"c"}}`, `{"numbers":{"1":1,"x":2}}`, `{"pointer":{"pointer":null}}`, `{"any":{"a":[1,"b",null,1.5,true]}}`, `{"raw": {"a" : 1 } }`,
		`{"other":1}`, `{"other":"1"}`, `{"other":"x"}`, `{"unknown":1}`, `{"Embedded":"e","hidden":"h"}`, `{"text":"\ud800"}`, "{\"text\":\"\xff\"}", `{"text":"<&>"}`, `{"is":1}`,
		`[]`, `1`, `{} {}`, `{"text":"a"`, `{"text":null,"map":null,"list":null}`, `{"list":{}}`, `{"any":1e400}`, "\ufeff{}", `{"a":"\u0000"}`,
	} {
		f.Add([]byte(text), true)
		f.Add([]byte(text), false)
	}
	f.Fuzz(func(t *testing.T, text []byte, strict bool) {
		for _, typ := range []reflect.Type{reflect.TypeFor[payloadType](), reflect.TypeFor[any](), reflect.TypeFor[string](), reflect.TypeFor[[]int](), reflect.TypeFor[map[string]any]()} {
			got, want := reflect.New(typ), reflect.New(typ)
			err, wantErr := DecodeJSON(text, got.Interface(), strict), decodePlain(text, want.Interface(), strict)
			if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
				t.Fatalf("%s, strict %v, %s: %v, encoding/json says %v", typ, strict, text, err, wantErr)
			}
			if err == nil && !reflect.DeepEqual(got.Elem().Interface(), want.Elem().Interface()) {
				t.Fatalf("%s, strict %v, %s:\n%+v, encoding/json gives\n%+v", typ, strict, text, got.Elem(), want.Elem())
			}
		}
	})
}
