package grpcbinding

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker/binding"
)

// TestDeadlineAndCancel: the API learns the attempt's deadline and its end, and the worker
// gets the context's own error.
func TestDeadlineAndCancel(t *testing.T) {
	t.Parallel()
	entered, left := make(chan time.Time, 1), make(chan error, 1)
	a := newAPI(t, func(ctx context.Context, _ string) (string, error) {
		at, _ := ctx.Deadline()
		entered <- at
		<-ctx.Done()
		left <- ctx.Err()
		return "", status.FromContextError(ctx.Err()).Err()
	})
	task := bind(t, a.plain(), "")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-entered
		cancel()
	}()
	if _, err := task.Call(ctx, testCall(`{}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := <-left; err == nil {
		t.Error("the API is not told")
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := task.Call(ctx, testCall(`{}`))
	f, own := errors.AsType[*record.Failure](err)
	if !errors.Is(err, context.DeadlineExceeded) && (!own || f.Code != "grpc_deadline_exceeded" || !f.Retryable) {
		t.Errorf("too late: %v", err) // who notices it first, the API or this side
	}
	if at := <-entered; at.IsZero() {
		t.Error("the API does not know the deadline")
	}
	<-left
}

// TestTooLarge: answers above answer_bytes_max are given up; a request that the API does not
// take is not sent again.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(_ context.Context, request string) (string, error) {
		return `{"transferId":"` + strings.Repeat("x", 2000) + `"}`, nil
	}, grpc.MaxRecvMsgSize(3000))
	_, err := bind(t, a.plain(), "answer_bytes_max: 1KB").Call(t.Context(), testCall(`{}`))
	if f := failureOf(t, err); f.Kind != record.FailureBinding || f.Code != binding.CodeAnswerTooLarge || f.Retryable || !strings.Contains(f.Message, "more than 1024 bytes; raise answer_bytes_max") {
		t.Errorf("%+v", f)
	}
	if _, err := bind(t, a.plain(), "answer_bytes_max: 4KB").Call(t.Context(), testCall(`{}`)); err != nil {
		t.Error(err)
	}
	_, err = bind(t, a.plain(), "").Call(t.Context(), testCall(`{"account":"`+strings.Repeat("x", 4000)+`"}`))
	if f := failureOf(t, err); f.Kind != record.FailureGRPC || f.Code != CodeRequestTooLarge || f.Retryable {
		t.Errorf("%+v", f)
	}
}

// TestNoAnswer: what is no answer is a retryable failure of the network, that says why.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "a page", http.StatusBadGateway) }))
	t.Cleanup(page.Close)
	// A port that nobody listens at, and that nobody else is given: a client's.
	client, err := net.Dial("tcp", page.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	nobody := client.LocalAddr().String()
	for name, c := range map[string]struct{ service, code string }{
		"nobody":        {"address: " + nobody + "\nplaintext: true", "connection_refused"},
		"no such name":  {"address: nowhere.invalid:1\nplaintext: true", "dns"},
		"speaks HTTP":   {"address: " + page.Listener.Addr().String() + "\nplaintext: true", "no_answer"},
		"speaks no TLS": {"address: " + page.Listener.Addr().String(), "tls"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := bind(t, c.service, "").Call(t.Context(), testCall(`{}`))
			if f := failureOf(t, err); f.Kind != record.FailureNetwork || f.Code != c.code || !f.Retryable || !strings.HasPrefix(f.Message, "bank.transfer: no answer from ") {
				t.Errorf("%+v", f)
			}
		})
	}
}

// TestABrokenConnection: an API that dies in a call has not answered.
func TestABrokenConnection(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	var broken atomic.Bool
	a := newAPI(t, func(ctx context.Context, _ string) (string, error) {
		if broken.Load() {
			return "{}", nil
		}
		close(entered)
		<-ctx.Done()
		return "{}", nil
	})
	task := bind(t, a.plain(), "")
	go func() {
		<-entered
		broken.Store(true)
		a.server.Stop()
	}()
	_, err := task.Call(t.Context(), testCall(`{}`))
	if f := failureOf(t, err); f.Kind != record.FailureNetwork || !f.Retryable {
		t.Errorf("%+v", f)
	}
}

// TestAddressesThatAreDenied: what a name stands for is checked when it is dialled.
func TestAddressesThatAreDenied(t *testing.T) {
	t.Parallel()
	var asked atomic.Bool
	a := newAPI(t, func(context.Context, string) (string, error) {
		asked.Store(true)
		return "{}", nil
	})
	task := bind(t, a.plain(), "")
	task.service.Dial.Loopback = false // as for a name that resolves to loopback
	_, err := task.Call(t.Context(), testCall(`{}`))
	if f := failureOf(t, err); f.Code != "address_denied" || asked.Load() {
		t.Errorf("%+v", f)
	}
}

// TestFailuresHoldNoSecrets: an API that repeats a token does not bring it into the history.
func TestFailuresHoldNoSecrets(t *testing.T) {
	t.Setenv("ODRADEK_TEST_TOKEN", "s3cr3t-token")
	t.Setenv("ODRADEK_TEST_PASSWORD", "pass:word")
	a := newAPI(t, func(ctx context.Context, _ string) (string, error) {
		text := "bad " + incoming(ctx, "authorization") + " and " + incoming(ctx, "x-api-key")
		return "", status.Error(codes.Unauthenticated, text)
	})
	for name, service := range map[string]string{
		"bearer": `metadata: {authorization: "Bearer ${env:ODRADEK_TEST_TOKEN}", x-api-key: "${env:ODRADEK_TEST_PASSWORD}"}`,
		"basic":  `auth: {basic: {user: me, password: "${env:ODRADEK_TEST_PASSWORD}"}}`,
	} {
		_, err := bind(t, a.plain()+service, "").Call(t.Context(), testCall(`{}`))
		f := failureOf(t, err)
		text := f.Message + string(f.Problem)
		if strings.Contains(text, "s3cr3t") || strings.Contains(text, "pass:word") || strings.Contains(text, "bWU6") || !strings.Contains(text, "(secret)") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// TestOAuth2: one token serves many calls; one that is refused is replaced.
func TestOAuth2(t *testing.T) {
	t.Setenv("ODRADEK_TEST_SECRET", "s3cr3t")
	var asked atomic.Int32
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":3600}`, asked.Add(1))
	}))
	t.Cleanup(tokens.Close)
	var valid atomic.Value
	valid.Store("Bearer token-1")
	a := newAPI(t, func(ctx context.Context, _ string) (string, error) {
		if got := incoming(ctx, "authorization"); got != valid.Load() {
			return "", status.Error(codes.Unauthenticated, "not "+got)
		}
		return "{}", nil
	})
	task := bind(t, a.plain()+fmt.Sprintf(`auth: {oauth2: {token_url: %s, client_id: me, client_secret: "${env:ODRADEK_TEST_SECRET}"}}`, tokens.URL), "")
	for range 3 {
		if _, err := task.Call(t.Context(), testCall(`{}`)); err != nil || asked.Load() != 1 {
			t.Errorf("%v, %d tokens", err, asked.Load())
		}
	}
	valid.Store("Bearer token-2")
	task.service.Auth.Now = func() time.Time { return time.Now().Add(time.Minute) }
	_, err := task.Call(t.Context(), testCall(`{}`))
	if f := failureOf(t, err); f.Code != "token_refused" || !f.Retryable || strings.Contains(f.Message+string(f.Problem), "token-1") {
		t.Errorf("%+v", f)
	}
	if _, err := task.Call(t.Context(), testCall(`{}`)); err != nil {
		t.Error(err)
	}
}

// authority signs certificates of a test.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.cert, a.key = a.issue(t, "ca", nil)
	return a
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) issue(t *testing.T, name string, by *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: by == nil,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := of, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, of, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(a.path(file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// TestTLS: TLS is what a file without a word gets; its own authority and a client's
// certificate are used; plaintext is spoken only on request.
func TestTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	ca.issue(t, "server", ca)
	ca.issue(t, "client", ca)
	pair, err := tls.LoadX509KeyPair(ca.path("server.pem"), ca.path("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	answer := func(context.Context, string) (string, error) { return "{}", nil }
	one := newAPI(t, answer, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})))
	both := newAPI(t, answer, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS12})))
	trust := "\ntls: {ca_file: " + ca.path("ca.pem")
	certificate := ", cert_file: " + ca.path("client.pem") + ", key_file: " + ca.path("client.key")
	// any: by TLS 1.3 a refusal of the client comes behind the handshake, or the connection has
	// ended before it is read.
	for name, c := range map[string]struct{ service, code string }{
		"an authority of its own":      {"address: " + one.address + trust + "}", ""},
		"a client's certificate":       {"address: " + both.address + trust + certificate + "}", ""},
		"an authority that nobody has": {"address: " + one.address, "tls"},
		"no certificate of the client": {"address: " + both.address + trust + "}", "any"},
		"plaintext to who speaks TLS":  {"address: " + one.address + "\nplaintext: true", "any"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := bind(t, c.service, "").Call(t.Context(), testCall(`{}`))
			if c.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if f := failureOf(t, err); f.Kind != record.FailureNetwork || !f.Retryable || f.Code != c.code && c.code != "any" {
				t.Errorf("%+v", f)
			}
		})
	}
}

// TestReload: calls that run end over the connection with which they began, which is closed
// then; those that begin use the new file.
func TestReload(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	entered := make(chan struct{}, 1)
	old := newAPI(t, func(ctx context.Context, _ string) (string, error) {
		entered <- struct{}{}
		<-hold
		return `{"transferId":"old"}`, ctx.Err()
	})
	next := newAPI(t, func(context.Context, string) (string, error) { return `{"transferId":"new"}`, nil })
	parse := func(service, task string) *File {
		t.Helper()
		name, text := bankFile(t, service, task)
		f, err := Parse(name, text, binding.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	l, err := NewLive(parse(old.plain(), ""))
	if err != nil {
		t.Fatal(err)
	}
	handlers, services := l.Handlers()
	if services["bank"].Concurrency != binding.ConcurrencyDefault || len(handlers) != 1 {
		t.Errorf("%+v %d", services, len(handlers))
	}
	call := func() string {
		out, err := handlers[0].Call(t.Context(), testCall(`{}`))
		if err != nil {
			t.Error(err)
		}
		var got struct {
			TransferID string `json:"transferId"`
		}
		_ = json.Unmarshal(out, &got)
		return got.TransferID
	}
	first := make(chan string, 1)
	go func() { first <- call() }()
	<-entered
	was := l.now.Load().channels[0]
	if err := l.Replace(parse(next.plain(), "timeout: 3s")); err == nil || !strings.Contains(err.Error(), "restart the worker") {
		t.Errorf("another timeout: %v", err)
	}
	if err := l.Replace(parse(next.plain(), "")); err != nil {
		t.Fatal(err)
	}
	if got := call(); got != "new" {
		t.Errorf("after the change: %s", got)
	}
	if was.begin() {
		t.Error("a call may begin over a connection that ends")
	}
	close(hold)
	if got := <-first; got != "old" {
		t.Errorf("the call that ran: %q", got)
	}
	if state := was.conn.GetState(); state != connectivity.Shutdown {
		t.Errorf("the old connection is %v behind its last call", state)
	}
	l.Close()
	if _, err := handlers[0].Call(t.Context(), testCall(`{}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	old.server.Stop()
	next.server.Stop()
}

// TestOneConnection: calls share a connection.
func TestOneConnection(t *testing.T) {
	t.Parallel()
	var mu atomic.Pointer[string]
	a := newAPI(t, func(ctx context.Context, _ string) (string, error) {
		from, _ := peer.FromContext(ctx)
		p := from.Addr.String()
		if was := mu.Swap(&p); was != nil && *was != p {
			return "", status.Errorf(codes.Internal, "from %s and %s", *was, p)
		}
		return "{}", nil
	})
	name, text := bankFile(t, a.plain(), "")
	f, err := Parse(name, text, binding.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLive(f)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	handlers, _ := l.Handlers()
	for range 5 {
		if _, err := handlers[0].Call(t.Context(), testCall(`{}`)); err != nil {
			t.Error(err)
		}
	}
}
