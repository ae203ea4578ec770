package grpcbinding

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/odradek/odradek/worker/binding"
)

// TestProblems: each bad file is refused with the place, what is wrong and the fix.
func TestProblems(t *testing.T) {
	t.Parallel()
	const good = "address: bank.example.com:443"
	for name, c := range map[string]struct{ service, task, want string }{
		"no address":          {"", "", ":2: bank.address: this key is missing"},
		"no port":             {"address: bank.example.com", "", `bank.address: "bank.example.com" is not a host and a port`},
		"port":                {"address: bank.example.com:http", "", "is not a host and a port"},
		"metadata service":    {"address: 169.254.169.254:80", "", "169.254.169.254 is link-local"},
		"private":             {"address: 10.0.0.1:80", "", "add a range with it to allow_cidrs"},
		"from a payload":      {`address: "{host}:1"`, "", "the address is fixed"},
		"plaintext":           {good + "\nplaintext: please", "", "neither true nor false"},
		"plaintext and TLS":   {good + "\nplaintext: true\ntls: {ca_file: /nowhere}", "", "plaintext and tls are both there"},
		"no authority":        {good + "\ntls: {ca_file: /nowhere}", "", "/nowhere"},
		"streams":             {good, "method: acme.bank.v1.Bank/Watch", "Watch streams, and a task is one request"},
		"no method":           {good, "method: acme.bank.v1.Bank/Transfr", `Did you mean "acme.bank.v1.Bank/Transfer"?`},
		"code":                {good, "codes: {NOTFOUND: retry}", "Did you mean NOT_FOUND?"},
		"class":               {good, "codes: {NOT_FOUND: retri}", "Did you mean retry?"},
		"OK":                  {good, "codes: {OK: retry}", "OK is no failure"},
		"field":               {good, "body: {internal: {numbr: 7}}", `bank.transfer.body.internal.numbr: acme.bank.v1.Account has no field "numbr". Did you mean "number"?`},
		"constant":            {good, "body: 7", "the body is the constant"},
		"reserved":            {good + "\nmetadata: {grpc-timeout: 1S}", "", "the worker's or the connection's"},
		"name":                {good + "\nmetadata: {\"x y\": 1}", "", "not a name of metadata"},
		"key":                 {good + "\nmetadata: {Idempotency-Key: x}", "", "set idempotency_metadata"},
		"key's name":          {good + "\nidempotency_metadata: authorization", "", "cannot be the metadata of the idempotency key"},
		"value":               {good + "\nmetadata: {x-a: ä}", "", "characters that no metadata may carry"},
		"credential":          {good + "\nmetadata: {x-api-key: \"{key}\"}", "", "may not be filled from a payload"},
		"twice authorization": {good + "\nmetadata: {authorization: x}\nauth: {basic: {user: a, password: b}}", "", "Remove one"},
		"secret in a body":    {good, `body: {account: "${env:PATH}"}`, "a secret may only stand in headers"},
		"expression":          {good, `result: "= bod.x"`, "body, code, input, metadata"},
		"answer":              {good, "answer_bytes_max: 32MB", "out of range"},
		"unknown key":         {good + "\ndescriptor: x", "", `Did you mean "descriptors"?`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, text := bankFile(t, c.service, "")
			if strings.HasPrefix(c.task, "method: ") {
				text = []byte(strings.Replace(string(text), "method: acme.bank.v1.Bank/Transfer\n", c.task+"\n", 1))
			} else {
				text = append(text, lines(8, c.task)...)
			}
			_, err := Parse(file, text, binding.Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\nwant %s", err, c.want)
			}
		})
	}
}

// TestDescriptorsThatCannotBeUsed.
func TestDescriptorsThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	file, text := bankFile(t, "address: bank.example.com:443", "")
	set := filepath.Join(filepath.Dir(file), "bank.protoset")
	for content, want := range map[string]string{"no set": "not a FileDescriptorSet", "": "They have no service at all"} {
		if err := os.WriteFile(set, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(file, text, binding.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", content, err)
		}
	}
	if err := os.Remove(set); err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(file, text, binding.Options{}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
}
