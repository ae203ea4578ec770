package httpbinding

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/odradek/odradek/worker/binding"
)

const goodService = `services:
  payment:
    base_url: https://payment.example.com/api
    tasks:
      charge:
        path: /customers/{customer.id}/payments
`

// TestProblemsNameLineKeyAndFix: each bad file is refused with the place, what is
// wrong, and how to put it right.
func TestProblemsNameLineKeyAndFix(t *testing.T) {
	t.Parallel()
	service := func(lines string) string {
		return "services:\n  payment:\n" + indent(lines, 4)
	}
	task := func(lines string) string {
		return service("base_url: http://payment.example.com\ntasks:\n  charge:\n" + indent(lines, 4))
	}
	for name, c := range map[string]struct{ file, want string }{
		"empty":           {"", "f.yaml: the file is empty. Begin with services:"},
		"no yaml":         {"services:\n\t- x", "f.yaml:2: this is not YAML: found character that cannot start any token."},
		"no services":     {"servics:\n  payment: {}\n", `f.yaml:1: services: this key is missing. Did you mean it with "servics" in line 1?`},
		"no service":      {"services: {}\n", "f.yaml:1: services: there is no service."},
		"two documents":   {goodService + "---\nservices: {}\n", "f.yaml:7: the file holds a second document."},
		"alias of itself": {"services: &a\n  x: *a\n", "f.yaml:1: the file is empty, too large, or an alias contains itself."},

		"unknown key":         {service("base_uri: http://a\ntasks: {a: {path: /}}"), `f.yaml:3: payment.base_uri: this key is not known. Did you mean "base_url"?`},
		"unknown task key":    {task("path: /\nparameters: {}"), `f.yaml:7: payment.charge.parameters: this key is not known. Known are answer_bytes_max,`},
		"capital key":         {task("Path: /"), `f.yaml:6: payment.charge.Path: this key is not known. Did you mean "path"?`},
		"key twice":           {task("path: /a\npath: /b"), "f.yaml:7: payment.charge.path: this key stands in line 6 already. Remove one"},
		"merge key":           {task("<<: {path: /}"), "f.yaml:6: payment.charge: merge keys (<<) are not supported."},
		"no base_url":         {service("tasks: {a: {path: /}}"), "f.yaml:2: payment.base_url: this key is missing."},
		"base_url of payload": {service("base_url: http://{host}/\ntasks: {a: {path: /}}"), "f.yaml:3: payment.base_url: base_url is fixed: it has no {fields} and no secrets."},
		"scheme":              {service("base_url: ftp://a\ntasks: {a: {path: /}}"), `f.yaml:3: payment.base_url: the scheme is "ftp". Begin with http:// or https://`},
		"userinfo":            {service("base_url: http://u:p@a\ntasks: {a: {path: /}}"), "f.yaml:3: payment.base_url: user and password do not belong into a URL."},
		"base query":          {service("base_url: http://a/?x=1\ntasks: {a: {path: /}}"), "f.yaml:3: payment.base_url: base_url ends before any ? or #."},
		"private literal":     {service("base_url: http://10.0.0.7\ntasks: {a: {path: /}}"), "f.yaml:3: payment.base_url: address is not allowed: 10.0.0.7 is in the private range 10.0.0.0/8; add a range with it to allow_cidrs of the service"},
		"metadata literal":    {service("base_url: http://169.254.169.254\nallow_cidrs: [169.254.0.0/16]\ntasks: {a: {path: /}}"), "f.yaml:3: payment.base_url: address is not allowed: 169.254.169.254 is link-local, metadata,"},
		"cidr":                {service("base_url: http://a\nallow_cidrs: [10.0.0.1/8]\ntasks: {a: {path: /}}"), "f.yaml:4: payment.allow_cidrs: 10.0.0.1/8 has bits behind its length. Write 10.0.0.0/8"},
		"concurrency":         {service("base_url: http://a\nconcurrency: 0\ntasks: {a: {path: /}}"), "f.yaml:4: payment.concurrency: 0 is out of range. Allowed are 1 to 1024"},
		"rate":                {service("base_url: http://a\nrate: 50\ntasks: {a: {path: /}}"), `f.yaml:4: payment.rate: "50" is not a rate from 1 to a million calls. Write calls per second, minute or hour: 50/s, 600/m, 1000/h`},
		"burst alone":         {service("base_url: http://a\nburst: 5\ntasks: {a: {path: /}}"), "f.yaml:4: payment.burst: a burst is of a rate, and there is none. Write rate beside it, such as 50/s, or remove it"},
		"burst":               {service("base_url: http://a\nburst: 0\nrate: 5/s\ntasks: {a: {path: /}}"), "f.yaml:4: payment.burst: 0 is out of range."},
		"per key":             {service("base_url: http://a\nper_key: {concurency: 1}\ntasks: {a: {path: /}}"), `f.yaml:4: payment.per_key.concurency: this key is not known. Did you mean "concurrency"?`},
		"per key rate":        {service("base_url: http://a\nper_key: {rate: fast}\ntasks: {a: {path: /}}"), `f.yaml:4: payment.per_key.rate: "fast" is not a rate`},
		"per key burst":       {service("base_url: http://a\nper_key: {burst: 2}\ntasks: {a: {path: /}}"), "f.yaml:4: payment.per_key.burst: a burst is of a rate, and there is none."},
		"timeout unit":        {service("base_url: http://a\ntimeout: 30\ntasks: {a: {path: /}}"), `f.yaml:4: payment.timeout: "30" is not a duration. Write a number with its unit,`},
		"no tasks":            {service("base_url: http://a"), "f.yaml:2: payment.tasks: this key is missing."},
		"service name":        {"services:\n  a/b:\n    base_url: http://a\n    tasks: {a: {path: /}}\n", `f.yaml:2: a/b: service "a/b" is not a name`},

		"batch above concurrency": {service("base_url: http://a\nconcurrency: 8\ntasks:\n  a:\n    path: /\n    batch: {max: 9}"), "f.yaml:8: payment.a.batch.max: a batch of 9 never comes together: at most 8 tasks of the service run at the same time. Lower it, or raise concurrency of the service"},
		"batch wait":              {task("path: /\ntimeout: 2s\nbatch: {wait: 2s}"), "f.yaml:8: payment.charge.batch.wait: waiting 2s leaves nothing of the attempt's timeout of 2s."},
		"batch wait too long":     {task("path: /\nbatch: {wait: 11s}"), "f.yaml:7: payment.charge.batch.wait: 11s is out of range."},
		"batch field in path":     {task("path: /{a.id}\nbatch: {}"), "f.yaml:6: payment.charge.path: {a.id} is of one task, and the request is of many. Write an = expression over items, {items.0.input.a.id}, or {$group} with batch.key"},
		"batch expression":        {task("path: /\nbatch: {}\nbody: '= map(items, .inptu)'"), `f.yaml:8: payment.charge.body: expression "map(items, .inptu)": `},
		"batch input":             {task("path: /\nbatch: {}\nbody: '= input.x'"), `f.yaml:8: payment.charge.body: expression "input.x": unknown name input`},
		"batch workflow":          {task("path: /{$workflow_id}\nbatch: {}"), "f.yaml:6: payment.charge.path: {$workflow_id} does not exist. There are {$key}, {$group}"},
		"batch text":              {task("path: /\nresult: text\nbatch: {}"), "f.yaml:8: payment.charge.batch: result: text is of one answer, and here it is many tasks'."},
		"batch item_id alone":     {task("path: /\nbatch: {item_id: '{id}'}"), "f.yaml:7: payment.charge.batch.item_id: nothing in the answer is compared with it."},
		"batch answer_id":         {task("path: /\nbatch: {answer_id: x}"), `f.yaml:7: payment.charge.batch.answer_id: "x" is the same of all answers.`},
		"batch optional key":      {task("path: /\nbatch: {key: '{id?}'}"), "f.yaml:7: payment.charge.batch.key: {id?} may not be optional here."},
		"batch service header":    {service("base_url: http://a\nheaders: {X-Of: '{$workflow_id}'}\ntasks:\n  a:\n    path: /\n    batch: {}"), "f.yaml:8: payment.a.batch: the service's header X-Of is filled by one task, and a request is of many here. Move the header"},
		"batch key unknown":       {task("path: /\nbatch: {size: 7}"), "f.yaml:7: payment.charge.batch.size: this key is not known. Known are answer_id, answers, failure, item_id, key, max, wait"},

		"method":             {task("method: POTS\npath: /"), `f.yaml:6: payment.charge.method: the method is "POTS". Did you mean POST?`},
		"no path":            {task("method: POST"), "f.yaml:5: payment.charge.path: this key is missing."},
		"absolute path":      {task("path: http://evil.example/"), `f.yaml:6: payment.charge.path: "http://evil.example/" does not begin with /.`},
		"path query":         {task("path: /a?b={c}"), "f.yaml:6: payment.charge.path: a path ends before ? and #. Put parameters into query"},
		"path dots":          {task("path: /a/../b"), `f.yaml:6: payment.charge.path: path segment ".." would lead elsewhere.`},
		"path encoded slash": {task("path: /a%2fb"), `f.yaml:6: payment.charge.path: path segment "a%2fb" would lead elsewhere.`},
		"path optional":      {task("path: /{a?}"), "f.yaml:6: payment.charge.path: {a?} may not be optional here."},
		"path expression":    {task("path: = input.a"), `f.yaml:6: payment.charge.path: "= input.a" does not begin with /.`},
		"open brace":         {task("path: /{a"), `f.yaml:6: payment.charge.path: "{" without "}". Write {{ for a brace`},
		"closing brace":      {task("path: /\nquery: {a: 'x}'}"), `f.yaml:7: payment.charge.query.a: "}" without "{". Write }} for a brace`},
		"bad field":          {task("path: /{a b}"), "f.yaml:6: payment.charge.path: {a b} is not a field."},
		"bad attribute":      {task("path: /{$kye}"), "f.yaml:6: payment.charge.path: {$kye} does not exist. Did you mean {$key}?"},
		"attempt":            {task("path: /\nquery: {n: '{$attempt}'}"), "f.yaml:7: payment.charge.query.n: {$attempt} does not exist. There are {$key}, {$task}, {$workflow_id}, {$workflow_type}"},

		"host header":     {task("path: /\nheaders: {host: a}"), "f.yaml:7: payment.charge.headers.host: this header is the worker's or the connection's."},
		"key header":      {task("path: /\nheaders: {idempotency-key: a}"), "f.yaml:7: payment.charge.headers.idempotency-key: the worker sends the task's key itself,"},
		"auth of payload": {task("path: /\nheaders: {Authorization: 'Bearer {token}'}"), "f.yaml:7: payment.charge.headers.Authorization: {token} may not be filled from a payload. Credentials come from the file:"},
		"header line":     {task("path: /\nheaders: {X-A: \"a\\r\\nX-B: c\"}"), "f.yaml:7: payment.charge.headers.X-A: the value has characters that no header may carry."},
		"header name":     {task("path: /\nheaders: {'X A': b}"), `f.yaml:7: payment.charge.headers.X A: "X A" is not a header's name.`},
		"missing env":     {task("path: /\nheaders: {Authorization: '${env:ODRADEK_NOT_SET}'}"), "f.yaml:7: payment.charge.headers.Authorization: the environment variable ODRADEK_NOT_SET is not set."},
		"missing file":    {task("path: /\nheaders: {Authorization: '${file:/nonexistent}'}"), "f.yaml:7: payment.charge.headers.Authorization: the secret's file cannot be read:"},
		"secret in query": {task("path: /\nquery: {k: '${env:HOME}'}"), "f.yaml:7: payment.charge.query.k: a secret may only stand in headers."},
		"secret kind":     {task("path: /\nheaders: {A: '${vault:x}'}"), "f.yaml:7: payment.charge.headers.A: ${vault:x} is not a secret. Write ${env:NAME} or ${file:PATH}"},

		"expression":         {task("path: /\nbody: {a: '= input.a +'}"), `f.yaml:7: payment.charge.body.a: expression "input.a +": unexpected token EOF`},
		"expression name":    {task("path: /\nbody: {a: '= inputt.a'}"), `f.yaml:7: payment.charge.body.a: expression "inputt.a": unknown name inputt`},
		"expression clock":   {task("path: /\nbody: {a: '= now()'}"), `f.yaml:7: payment.charge.body.a: expression "now()": unknown name now`},
		"expression size":    {task("path: /\nbody: {a: '= " + strings.Repeat("1+", 500) + "1'}"), "f.yaml:7: payment.charge.body.a: expression"},
		"constant body":      {task("path: /\nbody: inptu"), `f.yaml:7: payment.charge.body: the body is the constant "inptu". Write input, none,`},
		"body of GET":        {task("method: GET\npath: /\nbody: input"), "f.yaml:8: payment.charge.body: GET has no body."},
		"result of request":  {task("path: /\nresult: '= key'"), `f.yaml:7: payment.charge.result: expression "key": unknown name key`},
		"date in body":       {task("path: /\nbody: {a: 2020-01-01}"), `f.yaml:7: payment.charge.body.a: "2020-01-01" is a timestamp, which JSON does not have. Quote it to make it text`},
		"status":             {task("path: /\nstatuses: {4x4: retry}"), `f.yaml:7: payment.charge.statuses.4x4: "4x4" is not a status.`},
		"status class":       {task("path: /\nstatuses: {409: retri}"), `f.yaml:7: payment.charge.statuses.409: "retri" is not a class of answers. Did you mean retry?`},
		"size":               {task("path: /\nanswer_bytes_max: 1GB"), `f.yaml:7: payment.charge.answer_bytes_max: "1GB" is not a size.`},
		"sequence as fields": {service("- a"), "f.yaml:3: payment: this must be a mapping (key: value lines)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("f.yaml", []byte(c.file), binding.Options{})
			var ps binding.Problems
			if !errors.As(err, &ps) {
				t.Fatalf("got %v, want %q\n%s", err, c.want, c.file)
			}
			for _, p := range ps {
				if strings.HasPrefix(p.String(), c.want) {
					return
				}
			}
			t.Fatalf("got\n%v\nwant\n%s", err, c.want)
		})
	}
}

func indent(lines string, n int) string {
	pad := strings.Repeat(" ", n)
	return pad + strings.ReplaceAll(lines, "\n", "\n"+pad) + "\n"
}

// TestAllProblemsAreTold: a file is not put right one run at a time.
func TestAllProblemsAreTold(t *testing.T) {
	t.Parallel()
	_, err := Parse("f.yaml", []byte(`services:
  payment:
    base_url: ftp://a
    concurency: 3
    tasks:
      charge: {method: GETT, path: a}
`), binding.Options{})
	var ps binding.Problems
	if !errors.As(err, &ps) || len(ps) != 4 {
		t.Fatalf("want 4 problems, got %v", err)
	}
	for i, line := range []int{3, 4, 6, 6} {
		if ps[i].Line != line {
			t.Errorf("problem %d is of line %d, want %d: %s", i, ps[i].Line, line, ps[i])
		}
	}
}

// TestSecretsComeByReference: from the environment and from files, and a check can
// leave them out.
func TestSecretsComeByReference(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := `services:
  payment:
    base_url: https://payment.example.com
    headers:
      Authorization: "Bearer ${file:` + path + `}"
    tasks:
      charge: {path: /}
`
	f, err := Parse("f.yaml", []byte(file), binding.Options{})
	if err != nil {
		t.Fatal(err)
	}
	req, err := f.Services[0].Tasks[0].Request(t.Context(), testCall(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := req.Header.Get("Authorization"); got != "Bearer s3cret" {
		t.Fatalf("Authorization %q", got)
	}
	missing := strings.ReplaceAll(file, path, path+".missing")
	if _, err := Parse("f.yaml", []byte(missing), binding.Options{WithoutSecrets: true}); err != nil {
		t.Fatalf("a check without secrets: %v", err)
	}
}

// FuzzParse: no file makes the loader panic or loop, and what it accepts can make
// requests.
func FuzzParse(f *testing.F) {
	f.Add(goodService, `{"customer":{"id":7}}`)
	f.Add("services: {a: {base_url: 'http://a', tasks: {b: {path: '/{x}', body: {y: '{z?}'}, result: '= body.c'}}}}", `{"x":"1"}`)
	f.Add("services: &a [*a]", "null")
	f.Fuzz(func(t *testing.T, file, input string) {
		parsed, err := Parse("f.yaml", []byte(file), binding.Options{WithoutSecrets: true})
		if err != nil {
			return
		}
		for _, s := range parsed.Services {
			for _, task := range s.Tasks {
				req, err := task.Request(t.Context(), testCall(input))
				if err == nil && (req.URL.Host != s.base.Host || req.URL.Scheme != s.base.Scheme) {
					t.Fatalf("request to %s, base_url is %s", req.URL, s.base)
				}
			}
		}
	})
}
