package importer_test

import (
	"bytes"
	"flag"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
	"github.com/odradek/odradek/worker/httpbinding"
	"github.com/odradek/odradek/worker/importer"
)

var update = flag.Bool("update", false, "write the golden files anew")

func parse(t *testing.T, opts importer.Options) *importer.Import {
	t.Helper()
	b, err := os.ReadFile("testdata/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m, err := importer.Parse(b, opts)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(want, got) {
		t.Errorf("%s is not what is made (go test ./worker/importer -update writes it): %v\n%s", path, err, got)
	}
}

// TestImport: bindings and package are the golden ones, and the package compiles.
func TestImport(t *testing.T) {
	t.Parallel()
	m := parse(t, importer.Options{})
	if m.Service != "web-shop" || len(m.Operations) != 4 || len(m.Skipped) != 1 || m.Skipped[0].Name != "upload" || !strings.Contains(m.Skipped[0].Reason, "image/png") {
		t.Errorf("service %s, %d operations, skipped %+v", m.Service, len(m.Operations), m.Skipped)
	}
	yaml, changes, err := m.Bindings(nil)
	if err != nil || len(changes) != 4 {
		t.Fatal(changes, err)
	}
	golden(t, "bindings.yaml", yaml)
	src, err := m.GoFile()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "webshop/tasks.go", src)
	if out, err := exec.Command("go", "vet", "./testdata/webshop").CombinedOutput(); err != nil {
		t.Errorf("the package does not compile: %v\n%s", err, out)
	}
}

// TestCalls: what the bindings make of inputs.
func TestCalls(t *testing.T) {
	t.Parallel()
	yaml, _, err := parse(t, importer.Options{}).Bindings(nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := httpbinding.Parse("bindings.yaml", yaml, binding.Options{WithoutSecrets: true})
	if err != nil {
		t.Fatal(err)
	}
	request := func(operation, input string) (*http.Request, string) {
		t.Helper()
		for _, task := range f.Services[0].Tasks {
			if task.Operation != operation {
				continue
			}
			req, err := task.Request(t.Context(), &worker.Call{Service: "web-shop", Operation: operation, Task: record.TaskID{No: 1}, Key: "k", Input: []byte(input)})
			if err != nil {
				t.Fatal(err)
			}
			var body bytes.Buffer
			if req.Body != nil {
				if _, err := body.ReadFrom(req.Body); err != nil {
					t.Fatal(err)
				}
			}
			return req, body.String()
		}
		t.Fatalf("no task %s", operation)
		return nil, ""
	}
	req, _ := request("getOrder", `{"order-id":"7","expand":["a","b"],"fields":["x","y"],"X-Trace":"t","session":"s;1","filter":{"state":"open","min total":3}}`)
	if got := req.URL.String(); got != "https://eu.shop.example/v1/orders/7?expand=a&expand=b&fields=x%2Cy&filter%5Bmin+total%5D=3&filter%5Bstate%5D=open" {
		t.Errorf("the address is %s", got)
	}
	if req.Header.Get("X-Trace") != "t" || req.Header.Get("Cookie") != "session=s%3B1" {
		t.Errorf("the headers are %v", req.Header)
	}
	if req, _ := request("getOrder", `{"order-id":"7"}`); req.URL.RawQuery != "" || req.Header.Get("Cookie") != "" {
		t.Errorf("what is left out is sent: %s %v", req.URL, req.Header)
	}
	if req, body := request("create_order", `{"body":{"customer":"c"}}`); req.Method != "POST" || body != `{"customer":"c"}` {
		t.Errorf("%s %s", req.Method, body)
	}
	if req, body := request("token", `{"body":{"grant":"g h","scope":["a","b"]}}`); req.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || body != "grant=g+h&scope=a&scope=b" {
		t.Errorf("%s %s", req.Header.Get("Content-Type"), body)
	}
}

// TestASecondRunKeepsWhatWasChangedByHand.
func TestASecondRunKeepsWhatWasChangedByHand(t *testing.T) {
	t.Parallel()
	first, _, err := parse(t, importer.Options{}).Bindings(nil)
	if err != nil {
		t.Fatal(err)
	}
	same, changes, err := parse(t, importer.Options{}).Bindings(first)
	if err != nil || !bytes.Equal(first, same) || len(changes) != 0 {
		t.Errorf("the same again: %v %v\n%s", changes, err, same)
	}
	edited := strings.Replace(string(first), "result: none", "result: none\n        timeout: 3s", 1)
	edited = strings.Replace(edited, "base_url: https://eu.shop.example/v1", "base_url: https://test.shop.example\n    concurrency: 7", 1)
	again, changes, err := parse(t, importer.Options{}).Bindings([]byte(edited))
	if err != nil || !strings.Contains(string(again), "timeout: 3s") || !strings.Contains(string(again), "base_url: https://test.shop.example") || !strings.Contains(string(again), "concurrency: 7") {
		t.Errorf("%v\n%s", err, again)
	}
	if len(changes) != 1 || changes[0] != (importer.Change{Task: "deleteOrder", What: "kept"}) {
		t.Errorf("changes %+v", changes)
	}
	fewer, changes, err := parse(t, importer.Options{Include: []string{"getOrder"}}).Bindings([]byte(edited))
	if err != nil || strings.Contains(string(fewer), "/token") || !strings.Contains(string(fewer), "timeout: 3s") {
		t.Errorf("%v\n%s", err, fewer)
	}
	if len(changes) != 3 {
		t.Errorf("changes %+v", changes)
	}
}

func TestInclude(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]int{"orders.*": 3, "getOrder": 1, "nothing": 0, "*": 4} {
		if m := parse(t, importer.Options{Include: []string{pattern}}); len(m.Operations) != want {
			t.Errorf("%s: %d operations", pattern, len(m.Operations))
		}
	}
}

func TestBadDocuments(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{":                         "cannot be read",
		"swagger: '2.0'\npaths: {}": "3.0 and 3.1 are read",
		"openapi: 3.0.0\npaths: {/x: {get: {responses: {'200': {$ref: 'other.yaml#/x'}}}}}": "external",
	} {
		if _, err := importer.Parse([]byte(text), importer.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
