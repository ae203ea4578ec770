package httpbinding

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
)

func authCall() *worker.Call {
	return &worker.Call{Service: "bank", Operation: "get", Task: record.TaskID{No: 1}, Key: "k", Input: []byte(`{}`)}
}

func bankFile(t *testing.T, lines string) *Task {
	t.Helper()
	f, err := Parse("b.yaml", []byte("services:\n  bank:\n"+lines+"    tasks:\n      get: {path: /}\n"), binding.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return f.Services[0].Tasks[0]
}

// TestOAuth2: one token for many calls, another when the API refuses it, and failures that
// are retryable and hold no secret.
func TestOAuth2(t *testing.T) {
	t.Setenv("ODRADEK_TEST_CLIENT_SECRET", "s3cret")
	var asked, down atomic.Int64
	var valid atomic.Pointer[string]
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		if down.Load() > 0 || id != "me" || secret != "s3cret" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "read write" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client","hint":"s3cret"}`)
			return
		}
		token := fmt.Sprint("t", asked.Add(1))
		valid.Store(&token)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, token)
	}))
	t.Cleanup(tokens.Close)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+*valid.Load() {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `"ok"`)
	}))
	t.Cleanup(api.Close)
	task := bankFile(t, fmt.Sprintf(`    base_url: %s
    auth:
      oauth2: {token_url: %s, client_id: me, client_secret: "${env:ODRADEK_TEST_CLIENT_SECRET}", scopes: [read, write]}
`, api.URL, tokens.URL))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if out, err := task.Call(t.Context(), authCall()); err != nil || string(out) != `"ok"` {
				t.Errorf("%s, %v", out, err)
			}
		})
	}
	wg.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("%d tokens were asked for", n)
	}
	other := "revoked"
	valid.Store(&other)
	task.service.Auth.Now = func() time.Time { return time.Now().Add(time.Minute) } // the token is a minute old
	_, err := task.Call(t.Context(), authCall())
	if f, ok := errors.AsType[*record.Failure](err); !ok || f.Code != "token_refused" || !f.Retryable {
		t.Errorf("a refused token: %v", err)
	}
	if out, err := task.Call(t.Context(), authCall()); err != nil || string(out) != `"ok"` {
		t.Errorf("the attempt after it: %s, %v", out, err)
	}
	valid.Store(&other) // one that was just made is refused: there is nothing to hope for
	_, err = task.Call(t.Context(), authCall())
	if f, ok := errors.AsType[*record.Failure](err); !ok || f.Retryable || f.HTTPStatus != 401 {
		t.Errorf("refused at once: %v", err)
	}
	down.Store(1)
	_, err = task.Call(t.Context(), authCall())
	f, ok := errors.AsType[*record.Failure](err)
	if !ok || f.Code != "token_unavailable" || !f.Retryable || strings.Contains(f.Message, "s3cret") || !strings.Contains(f.Message, "invalid_client") {
		t.Errorf("no token: %v", err)
	}
}

func TestBasic(t *testing.T) {
	t.Setenv("ODRADEK_TEST_PASSWORD", "p:w")
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		fmt.Fprintf(w, "%q", user+"/"+password)
	}))
	t.Cleanup(api.Close)
	task := bankFile(t, fmt.Sprintf("    base_url: %s\n    auth: {basic: {user: me, password: \"${env:ODRADEK_TEST_PASSWORD}\"}}\n", api.URL))
	if out, err := task.Call(t.Context(), authCall()); err != nil || string(out) != `"me/p:w"` {
		t.Errorf("%s, %v", out, err)
	}
}

// TestMutualTLS: an own authority, and a client certificate.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "worker"}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%q", r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	clients := x509.NewCertPool()
	own, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	clients.AddCert(own)
	api.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
	api.StartTLS()
	t.Cleanup(api.Close)
	for name, block := range map[string]*pem.Block{
		"cert": {Type: "CERTIFICATE", Bytes: der}, "key": {Type: "EC PRIVATE KEY", Bytes: secret}, "ca": {Type: "CERTIFICATE", Bytes: api.Certificate().Raw},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	with := bankFile(t, fmt.Sprintf("    base_url: %s\n    tls: {ca_file: %s/ca, cert_file: %s/cert, key_file: %s/key}\n", api.URL, dir, dir, dir))
	if out, err := with.Call(t.Context(), authCall()); err != nil || string(out) != `"worker"` {
		t.Errorf("%s, %v", out, err)
	}
	without := bankFile(t, fmt.Sprintf("    base_url: %s\n    tls: {ca_file: %s/ca}\n", api.URL, dir))
	_, err = without.Call(t.Context(), authCall())
	if f, ok := errors.AsType[*record.Failure](err); !ok || f.Code != "tls" || !f.Retryable {
		t.Errorf("no certificate: %v", err)
	}
}

// TestBadAuth is told with its fix.
func TestBadAuth(t *testing.T) {
	t.Parallel()
	for lines, want := range map[string]string{
		"    auth: {oauth2: {token_url: 'ftp://x'}}\n":                                                                    `"ftp://x" is not the address of a token endpoint`,
		"    auth: {oauth2: {token_url: 'http://login.example.com/t', client_id: a, client_secret: b}}\n":                 "in the clear",
		"    auth: {oauth2: {token_url: 'https://169.254.169.254/t', client_id: a, client_secret: b}}\n":                  "169.254.169.254",
		"    auth: {oauth2: {token_url: 'https://login.example.com/t', client_id: a}}\n":                                  "client_secret: this key is missing",
		"    auth: {basic: {user: '{name}', password: x}}\n":                                                              "may not be filled from a payload",
		"    headers: {Authorization: x}\n    auth: {basic: {user: a, password: x}}\n":                                    "Authorization is set under headers, too",
		"    auth: {basic: {user: a, password: x}, oauth2: {token_url: 'https://l/t', client_id: a, client_secret: b}}\n": "basic and oauth2 are both there",
		"    auth: {bsic: {}}\n":             `Did you mean "basic"`,
		"    tls: {cert_file: /nowhere}\n":   "belong together",
		"    tls: {ca_file: /nowhere.pem}\n": "/nowhere.pem",
	} {
		_, err := Parse("b.yaml", []byte("services:\n  bank:\n    base_url: https://bank.example.com\n"+lines+"    tasks:\n      get: {path: /}\n"), binding.Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %q", lines, err, want)
		}
	}
}
