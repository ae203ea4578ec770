package httpbinding

import (
	"encoding/json"
	"io"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
)

func testCall(input string) *worker.Call {
	id := record.TaskID{Run: record.DeriveRunID("customer-7", record.Origin{}, 1), No: 3}
	return &worker.Call{
		Service: "payment", Operation: "charge", WorkflowID: "customer-7", WorkflowType: "monthly",
		Task: id, Key: id.String(), Attempt: 2, Input: []byte(input),
		Trace: []record.Header{{Key: "traceparent", Value: []byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")}},
	}
}

// parseTask parses a service with one task of the given lines.
func parseTask(t testing.TB, lines string) *Task {
	t.Helper()
	f, err := Parse("f.yaml", []byte("services:\n  payment:\n    base_url: https://payment.example.com/api\n    tasks:\n      charge:\n"+indent(lines, 8)), binding.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return f.Services[0].Tasks[0]
}

const testInput = `{"customer":{"id":7,"name":"Ada O'Neil & Söhne"},"amount":19.90,"big":9007199254740993,"items":[{"sku":"a","n":2},{"sku":"b","n":3}],"tags":["x","y"],"none":null,"flag":true}`

// TestRequests: what requests become of an input.
func TestRequests(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		task, input string
		line        string // method and URL below base_url
		body        string // "": none
		headers     map[string]string
	}{
		"whole input":     {"path: /pay", testInput, "POST /pay", testInput, nil},
		"path":            {"path: /customers/{customer.id}/of/{customer.name}", testInput, "POST /customers/7/of/Ada%20O%27Neil%20&%20S%C3%B6hne", testInput, nil},
		"list element":    {"path: /skus/{items.1.sku}", testInput, "POST /skus/b", testInput, nil},
		"attributes":      {"path: /w/{$workflow_id}/{$workflow_type}", testInput, "POST /w/customer-7/monthly", testInput, nil},
		"brace":           {"path: /\nheaders: {X-A: '{{x}} {customer.id}'}", testInput, "POST /", testInput, map[string]string{"X-A": "{x} 7"}},
		"get":             {"method: GET\npath: /pay", testInput, "GET /pay", "", nil},
		"query":           {"method: GET\npath: /pay\nquery: {id: '{customer.id}', tag: '{tags}', q: 'a&b=c', miss: '{miss?}', null: '{none?}', sum: '= input.amount * 2'}", testInput, "GET /pay?id=7&q=a%26b%3Dc&sum=39.8&tag=x&tag=y", "", nil},
		"body of values":  {"path: /\nbody: {amount: '{amount}', big: '{big}', who: 'for {customer.name}', fixed: 3, on: true, nothing: null, miss: '{miss?}', list: ['{flag}', 2.5], all: '{customer}'}", testInput, "POST /", `{"amount":19.90,"big":9007199254740993,"who":"for Ada O'Neil & Söhne","fixed":3,"on":true,"nothing":null,"list":[true,2.5],"all":{"id":7,"name":"Ada O'Neil & Söhne"}}`, nil},
		"expressions":     {"path: /\nbody: {total: '= sum(input.items, .n)', skus: '= map(input.items, .sku)', rich: '= input.amount > 10 ? \"yes\" : \"no\"', who: '= workflow_id'}", testInput, "POST /", `{"total":5,"skus":["a","b"],"rich":"yes","who":"customer-7"}`, nil},
		"body is field":   {"path: /\nbody: '{customer}'", testInput, "POST /", `{"id":7,"name":"Ada O'Neil & Söhne"}`, nil},
		"delete no body":  {"method: DELETE\npath: /x", testInput, "DELETE /x", "", nil},
		"delete input":    {"method: DELETE\npath: /x\nbody: input", testInput, "DELETE /x", testInput, nil},
		"post none":       {"path: /x\nbody: none", testInput, "POST /x", "", nil},
		"own accept":      {"path: /x\nheaders: {Accept: text/plain, X-Miss: '{miss?}'}", testInput, "POST /x", testInput, map[string]string{"Accept": "text/plain", "X-Miss": ""}},
		"not JSON, whole": {"path: /x", "not JSON", "POST /x", "not JSON", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			call := testCall(c.input)
			req, err := parseTask(t, c.task).Request(t.Context(), call)
			if err != nil {
				t.Fatal(err)
			}
			if got := req.Method + " " + strings.TrimPrefix(req.URL.String(), "https://payment.example.com/api"); got != c.line {
				t.Errorf("got  %s\nwant %s", got, c.line)
			}
			body := ""
			if req.Body != nil {
				b, err := io.ReadAll(req.Body)
				if err != nil {
					t.Fatal(err)
				}
				body = string(b)
			}
			if !sameJSON(body, c.body) {
				t.Errorf("body %s\nwant %s", body, c.body)
			}
			want := map[string]string{"Idempotency-Key": call.Key, "Traceparent": string(call.Trace[0].Value), "Accept": "application/json"}
			for k, v := range c.headers {
				want[k] = v
			}
			for k, v := range want {
				if got := req.Header.Get(k); got != v {
					t.Errorf("header %s is %q, want %q", k, got, v)
				}
			}
		})
	}
}

func sameJSON(a, b string) bool {
	if a == b {
		return true
	}
	decode := func(s string) (v any) {
		d := json.NewDecoder(strings.NewReader(s))
		d.UseNumber()
		if d.Decode(&v) != nil {
			return s
		}
		return v
	}
	return reflect.DeepEqual(decode(a), decode(b))
}

// TestRequestsThatAreNotBuilt: what does not fit is told with both sides, and sends
// nothing.
func TestRequestsThatAreNotBuilt(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 70) + strings.Repeat("]", 70)
	for name, c := range map[string]struct{ task, input, want string }{
		"other spelling": {"path: /{orderID}", `{"orderId":1}`, `path: {orderID} needs "orderID", but the input has only "orderId"; rename one`},
		"missing":        {"path: /{a.b}", `{"a":{"x":1}}`, `path: {a.b} needs "b", which the input's a does not have`},
		"of a text":      {"path: /{a.b}", `{"a":"x"}`, `path: {a.b} needs "b", but the input's a is text`},
		"object in path": {"path: /{a}", `{"a":{}}`, "path: {a}: is an object;"},
		"null in path":   {"path: /{a}", `{"a":null}`, "path: {a}: is null;"},
		"empty":          {"path: /{a}", `{"a":""}`, "path: {a}: it is empty"},
		"slash":          {"path: /{a}", `{"a":"x/y"}`, "path: {a}: it has the character '/'"},
		"backslash":      {"path: /{a}", `{"a":"x\\y"}`, `path: {a}: it has the character '\\'`},
		"dots":           {"path: /{a}", `{"a":".."}`, `path: {a}: it has ".."`},
		"single dot":     {"path: /x/{a}/y", `{"a":"."}`, `path: path segment "." would lead elsewhere`},
		"two dots":       {"path: /{a}{b}", `{"a":".","b":"."}`, `path: path segment ".." would lead elsewhere`},
		"encoded":        {"path: /{a}", `{"a":"x%2Fy"}`, `path: {a}: it has "%2f"`},
		"encoded twice":  {"path: /{a}", `{"a":"x%252Fy"}`, `path: {a}: it has "%25"`},
		"NUL":            {"path: /{a}", `{"a":"x\u0000"}`, `path: {a}: it has the character '\x00'`},
		"header line":    {"path: /\nheaders: {X-A: '{a}'}", `{"a":"x\r\nY: z"}`, "header X-A: it has a control character"},
		"header size":    {"path: /\nheaders: {X-A: '{a}'}", `{"a":"` + strings.Repeat("x", 9000) + `"}`, "header X-A: the headers have more than 8192 bytes"},
		"query size":     {"path: /\nquery: {a: '{a}'}", `{"a":"` + strings.Repeat("x", 9000) + `"}`, "query: it has 9002 bytes"},
		"query object":   {"path: /\nquery: {a: '{a}'}", `{"a":{"b":1}}`, "query a: it is an object"},
		"depth":          {"path: /{a}", `{"a":` + deep + `}`, "path: the input has no fields: it is nested deeper than 64"},
		"not JSON":       {"path: /{a}", `nope`, "path: the input has no fields: it is not JSON"},
		"Protobuf":       {"path: /{a}", "\x00p\x03a.B\x08", "path: the input is a Protobuf message a.B: give its task workflow.AsJSON()"},
		"Protobuf body":  {"path: /", "\x00p\x03a.B\x08", "body: the input is a Protobuf message a.B"},
		"expression":     {"path: /\nbody: {a: '= input.x.y'}", `{}`, `body: a: expression "input.x.y": cannot fetch y from <nil>`},
		"memory":         {"path: /\nbody: {a: '= map(1..90000, map(1..10, #))'}", `{}`, `body: a: expression "map(1..90000, map(1..10, #))": memory budget exceeded`},
		"not a number":   {"path: /\nbody: {a: '= 0.0/input.z'}", `{"z":0}`, "body: it is no JSON value"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req, err := parseTask(t, c.task).Request(t.Context(), testCall(c.input))
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Fatalf("got  %v\nwant %s", err, c.want)
			}
			if req != nil {
				t.Fatal("a request was made")
			}
		})
	}
}

// FuzzPath: whatever a payload says, the request goes to base_url's host, below its
// path, with the segments of the template.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"7", "..", "a/b", "%2e%2e", "x?y=z", "#", "@evil.example", "\\..\\", "ü", "a%2fb", ":8080", ".", "\x00", "//evil.example"} {
		f.Add(s, s)
	}
	task := parseTask(f, "method: GET\npath: /a/{x}/b/{y}.json\nquery: {q: '{x}'}\nheaders: {X-A: '{y}'}")
	f.Fuzz(func(t *testing.T, x, y string) {
		input, err := json.Marshal(map[string]string{"x": x, "y": y})
		if err != nil {
			return
		}
		req, err := task.Request(t.Context(), testCall(string(input)))
		if err != nil {
			return
		}
		if req.URL.Scheme != "https" || req.URL.Host != "payment.example.com" || req.URL.User != nil || req.URL.Fragment != "" {
			t.Fatalf("request to %s", req.URL)
		}
		segments := strings.Split(req.URL.EscapedPath(), "/")
		if len(segments) != 6 || segments[1] != "api" || segments[2] != "a" || segments[4] != "b" || !strings.HasSuffix(segments[5], ".json") {
			t.Fatalf("path %s", req.URL.EscapedPath())
		}
		for _, s := range segments {
			plain, err := url.PathUnescape(s)
			if err != nil || plain == ".." || plain == "." || strings.ContainsAny(plain, `/\`) {
				t.Fatalf("segment %q", s)
			}
		}
		if err := req.Write(io.Discard); err != nil {
			t.Fatal(err)
		}
		for _, v := range req.Header {
			if strings.ContainsAny(v[0], "\r\n\x00") {
				t.Fatalf("header %q", v)
			}
		}
	})
}
