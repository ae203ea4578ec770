package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckOnline: each service is connected to and asked nothing; what is not there is told
// with what to do.
func TestCheckOnline(t *testing.T) {
	t.Setenv("ODRADEK_TEST_SECRET", "s3cret-canary")
	asked := func(w http.ResponseWriter, r *http.Request) { t.Errorf("%s %s was asked", r.Method, r.URL) }
	plain := httptest.NewServer(http.HandlerFunc(asked))
	t.Cleanup(plain.Close)
	secure := httptest.NewTLSServer(http.HandlerFunc(asked))
	t.Cleanup(secure.Close)
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, _, _ := r.BasicAuth(); id != "me" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"s3cret-canary"}`)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"t","token_type":"Bearer"}`)
	}))
	t.Cleanup(tokens.Close)
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	const tasks = "\n    tasks: {go: {path: /}}\n"
	oauth := func(id string) string {
		return fmt.Sprintf("\n    auth: {oauth2: {token_url: '%s', client_id: %s, client_secret: '${env:ODRADEK_TEST_SECRET}'}}", tokens.URL, id)
	}
	good := "services:\n" +
		"  plain:\n    base_url: " + plain.URL + tasks +
		"  secure:\n    base_url: " + secure.URL + "\n    tls: {ca_file: '" + ca + "'}" + tasks +
		"  token:\n    base_url: " + plain.URL + oauth("me") + tasks
	file := func(text string) string {
		name := filepath.Join(dir, "f.yaml")
		if err := os.WriteFile(name, []byte("kafka:\n  bootstrap.servers: localhost:9092\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	if code, out := check(t, "--online", file(good)); code != exitOK || strings.Count(out, "there") != 3 {
		t.Errorf("exit %d\n%s", code, out)
	}
	bad := map[string]struct{ lines, says string }{
		"refused":   {"base_url: http://" + closed.Addr().String(), "start the service"},
		"untrusted": {"base_url: " + secure.URL, "tls.ca_file"},
		"nobody":    {"base_url: http://nobody.invalid", "name"},
		"denied":    {"base_url: " + plain.URL + oauth("you"), "check token_url, client_id and client_secret"},
	}
	text := good
	for name, b := range bad {
		text += "  " + name + ":\n    " + b.lines + tasks
	}
	code, out := check(t, "--online", "-o", "json", file(text))
	var line struct {
		Services []reached
		OK       bool
	}
	if err := json.Unmarshal([]byte(out), &line); err != nil || code != exitUnavailable || line.OK || len(line.Services) != 3+len(bad) {
		t.Fatalf("exit %d, %v\n%s", code, err, out)
	}
	for _, s := range line.Services {
		if want, failed := bad[s.Service]; s.OK == failed || !strings.Contains(s.Problem, want.says) || s.Address == "" {
			t.Errorf("%+v, want %q", s, want.says)
		}
	}
	if strings.Contains(out, "canary") {
		t.Errorf("a secret is told:\n%s", out)
	}
	for _, args := range [][]string{{"--online", "--without-secrets"}, {"-o", "json"}, {"--online", "-o", "xml"}} {
		if code, out := check(t, append(args, file(good))...); code != exitUsage || out == "" {
			t.Errorf("%v: exit %d\n%s", args, code, out)
		}
	}
}
