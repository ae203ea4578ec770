package binding

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/odradek/odradek/record"
)

// Auth is how a service knows the worker, beside headers that are secrets. nil: by them
// alone, or not at all.
type Auth struct {
	basic    string // value of Authorization; a secret
	oauth2   *clientcredentials.Config
	loopback bool             // the token endpoint's address says loopback
	Now      func() time.Time // for tests; nil: time.Now
	asking   chan struct{}    // full while an attempt asks for a token: others wait, no longer than their time
	tokens   tokens
}

// tokenEarly is how long before its end an access token is not used any more: a request
// may take a while to arrive.
const tokenEarly = 30 * time.Second

// tokens keeps a service's access token until it ends or the API refuses it.
type tokens struct {
	mu    sync.Mutex
	token *oauth2.Token
	since time.Time
}

// get gives the token that is kept, or asks for one; attempts that come together ask once.
func (a *Auth) get(ctx context.Context, client *http.Client) (string, error) {
	select {
	case a.asking <- struct{}{}:
		defer func() { <-a.asking }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if header := a.kept(); header != "" {
		return header, nil
	}
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout) // of both: the library asks again in another form
	defer cancel()
	t, err := a.oauth2.Token(context.WithValue(ctx, oauth2.HTTPClient, client))
	if err != nil {
		return "", err
	}
	a.tokens.mu.Lock()
	defer a.tokens.mu.Unlock()
	a.tokens.token, a.tokens.since = t, a.now()
	return t.Type() + " " + t.AccessToken, nil
}

// kept is the header of the token that is kept; empty: there is none that is good.
func (a *Auth) kept() string {
	a.tokens.mu.Lock()
	defer a.tokens.mu.Unlock()
	if t := a.tokens.token; t != nil && (t.Expiry.IsZero() || t.Expiry.Sub(a.now()) > tokenEarly) {
		return t.Type() + " " + t.AccessToken
	}
	return ""
}

func (a *Auth) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}

// Refused forgets a token that an API did not take. It reports whether another may help:
// one that was just made would be refused again.
func (a *Auth) Refused(header string) bool {
	if a == nil || a.oauth2 == nil {
		return false
	}
	a.tokens.mu.Lock()
	defer a.tokens.mu.Unlock()
	t := a.tokens.token
	if t == nil || t.Type()+" "+t.AccessToken != header {
		return true // another attempt has forgotten it
	}
	a.tokens.token = nil
	return a.now().Sub(a.tokens.since) > time.Second
}

// tokenTimeout bounds how long an access token is asked for.
const tokenTimeout = 20 * time.Second

// TokenClient is the client that asks for access tokens: the service's rules, and the token
// endpoint's own loopback.
func (a *Auth) TokenClient(secure *TLSFiles, policy DialPolicy, conns int) *http.Client {
	policy.Loopback = a != nil && a.loopback
	return Client(secure, policy, conns)
}

// Authorization is the value of the header Authorization; empty: there is none. A token
// that cannot be had is a retryable failure, whose message begins with the task's name.
func (a *Auth) Authorization(ctx context.Context, client *http.Client, task string) (string, error) {
	switch {
	case a == nil:
		return "", nil
	case a.oauth2 == nil:
		return a.basic, nil
	}
	header, err := a.get(ctx, client)
	if err == nil || ctx.Err() != nil {
		return header, err
	}
	f := &record.Failure{Kind: record.FailureNetwork, Code: "token_unavailable", Retryable: true}
	host := a.oauth2.TokenURL
	if u, e := url.Parse(host); e == nil {
		host = u.Host
	}
	why := "no answer"
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok && e.Response != nil { // its text has the server's body, which may have secrets
		why = "it answered " + e.Response.Status
		if e.ErrorCode != "" {
			why += ": " + Printable(e.ErrorCode)
		}
	} else if e, ok := errors.AsType[*url.Error](err); ok {
		why = Printable(e.Err.Error())
	}
	f.Message = fmt.Sprintf("%s: no access token from %s: %s; check token_url, client_id and client_secret", task, host, why)
	return "", f
}

// Auth reads how a service is to be authenticated to. policy is the service's; taken: it
// has a header Authorization of its own.
func (d *Decoder) Auth(n *yaml.Node, key string, policy DialPolicy, taken bool) *Auth {
	a := &Auth{asking: make(chan struct{}, 1)}
	d.Fields(n, key, map[string]func(string, *yaml.Node){
		"basic": func(key string, v *yaml.Node) {
			var user, password string
			d.Fields(v, key, map[string]func(string, *yaml.Node){
				"user":     func(key string, v *yaml.Node) { user = d.secretText(v, key) },
				"password": func(key string, v *yaml.Node) { password = d.secretText(v, key) },
			})
			if !d.Options.WithoutSecrets && (user == "" || password == "") {
				d.Problem(v, key, "user or password is missing", `Write {user: "...", password: "${env:NAME}"}`)
			}
			a.basic = "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
		},
		"oauth2": func(key string, v *yaml.Node) { a.oauth2 = d.oauth2(v, key, a, policy) },
	})
	if a.basic != "" && a.oauth2 != nil {
		d.Problem(n, key, "basic and oauth2 are both there", "Remove one: there is one Authorization header")
	}
	if taken {
		d.Problem(n, key, "the header Authorization is set under headers, too", "Remove one")
	}
	return a
}

func (d *Decoder) oauth2(n *yaml.Node, key string, a *Auth, policy DialPolicy) *clientcredentials.Config {
	c := &clientcredentials.Config{}
	d.Fields(n, key, map[string]func(string, *yaml.Node){
		"token_url": func(key string, v *yaml.Node) {
			u, err := url.Parse(v.Value)
			if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil {
				d.Problem(v, key, fmt.Sprintf("%q is not the address of a token endpoint", v.Value), "Write it like https://login.example.com/oauth2/token")
				return
			}
			if u.Scheme == "http" && !IsLoopback(u.Hostname()) {
				d.Problem(v, key, "the client's secret would be sent in the clear", "Use https")
			}
			if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
				policy.Loopback = IsLoopback(u.Hostname())
				if err := policy.Check(ip); err != nil {
					d.Problem(v, key, err.Error(), "")
				}
			}
			c.TokenURL = v.Value
			a.loopback = IsLoopback(u.Hostname())
		},
		"client_id":     func(key string, v *yaml.Node) { c.ClientID = d.secretText(v, key) },
		"client_secret": func(key string, v *yaml.Node) { c.ClientSecret = d.secretText(v, key) },
		"scopes": func(key string, v *yaml.Node) {
			if v.Kind != yaml.SequenceNode {
				d.Problem(v, key, "this must be a list", "Write it like [read, write]")
				return
			}
			for _, x := range v.Content {
				c.Scopes = append(c.Scopes, Resolve(x).Value)
			}
		},
		"audience": func(_ string, v *yaml.Node) { c.EndpointParams = url.Values{"audience": {v.Value}} },
	})
	for name, v := range map[string]string{"token_url": c.TokenURL, "client_id": c.ClientID, "client_secret": c.ClientSecret} {
		if v == "" && !(d.Options.WithoutSecrets && name != "token_url") && !slices.ContainsFunc(d.Problems, func(p Problem) bool { return p.Key == Join(key, name) }) {
			d.Problem(n, Join(key, name), "this key is missing", "")
		}
	}
	return c
}

// secretText is a text that may be a secret.
func (d *Decoder) secretText(n *yaml.Node, key string) string {
	if n.Kind != yaml.ScalarNode {
		d.Problem(n, key, "this must be a text", "")
		return ""
	}
	v := d.Template(n, key, n.Value, Place{Secrets: true, NoRefReason: "Credentials come from the file: ${env:NAME} or ${file:PATH}"})
	switch v := v.(type) {
	case SecretText:
		return v.V.(string)
	case Literal:
		return fmt.Sprint(v.V)
	}
	return ""
}

// TLSFiles are a service's own certificates.
type TLSFiles struct{ cert, key, ca string }

// TLS reads where a service's own certificates are.
func (d *Decoder) TLS(n *yaml.Node, key string) *TLSFiles {
	t := &TLSFiles{}
	d.Fields(n, key, map[string]func(string, *yaml.Node){
		"cert_file": func(_ string, v *yaml.Node) { t.cert = v.Value },
		"key_file":  func(_ string, v *yaml.Node) { t.key = v.Value },
		"ca_file":   func(_ string, v *yaml.Node) { t.ca = v.Value },
	})
	if (t.cert == "") != (t.key == "") {
		d.Problem(n, key, "cert_file and key_file belong together", "Write both, or none")
		return t
	}
	if d.Options.WithoutSecrets {
		return t
	}
	if _, err := t.config(); err != nil {
		d.Problem(n, key, err.Error(), "Mount the files, or correct the paths")
	}
	return t
}

// Config reads the files. They were there at load: where one is no more, each connection
// fails and says so.
func (t *TLSFiles) Config() *tls.Config {
	c, err := t.config()
	if err != nil {
		c = &tls.Config{MinVersion: tls.VersionTLS12, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, err }}
	}
	return c
}

// config reads the files. A client certificate is read again for each connection, so that
// it may be renewed.
func (t *TLSFiles) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t == nil {
		return c, nil
	}
	if t.ca != "" {
		b, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("%s has no certificate in PEM", t.ca)
		}
	}
	if t.cert != "" {
		if _, err := tls.LoadX509KeyPair(t.cert, t.key); err != nil {
			return nil, err
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(t.cert, t.key)
			return &pair, err
		}
	}
	return c, nil
}
