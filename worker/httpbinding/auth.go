package httpbinding

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

// auth is how a service knows the worker, beside headers that are secrets.
type auth struct {
	basic  string // value of Authorization; a secret
	oauth2 *clientcredentials.Config
	tokens tokens
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
func (a *auth) get(ctx context.Context, client *http.Client) (string, error) {
	a.tokens.mu.Lock()
	defer a.tokens.mu.Unlock()
	if t := a.tokens.token; t != nil && (t.Expiry.IsZero() || time.Until(t.Expiry) > tokenEarly) {
		return t.Type() + " " + t.AccessToken, nil
	}
	t, err := a.oauth2.Token(context.WithValue(ctx, oauth2.HTTPClient, client))
	if err != nil {
		return "", err
	}
	a.tokens.token, a.tokens.since = t, time.Now()
	return t.Type() + " " + t.AccessToken, nil
}

// refused forgets a token that an API did not take. It reports whether another may help:
// one that was just made would be refused again.
func (a *auth) refused(header string) bool {
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
	return time.Since(a.tokens.since) > time.Second
}

// authorize sets the header. A token that cannot be had is a retryable failure.
func (t *Task) authorize(ctx context.Context, client *http.Client, req *http.Request) error {
	a := t.service.auth
	switch {
	case a == nil:
		return nil
	case a.basic != "":
		req.Header.Set("Authorization", a.basic)
		return nil
	case a.oauth2 == nil:
		return nil
	}
	header, err := a.get(ctx, client)
	if err == nil {
		req.Header.Set("Authorization", header)
		return nil
	}
	if ctx.Err() != nil {
		return err
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
			why += ": " + printable(e.ErrorCode)
		}
	} else if e, ok := errors.AsType[*url.Error](err); ok {
		why = printable(e.Err.Error())
	}
	f.Message = fmt.Sprintf("%s: no access token from %s: %s; check token_url, client_id and client_secret", t.key, host, why)
	return f
}

// auth reads how a service is to be authenticated to.
func (d *decoder) auth(n *yaml.Node, key string, s *Service) {
	s.auth = &auth{}
	d.fields(n, key, map[string]func(string, *yaml.Node){
		"basic": func(key string, v *yaml.Node) {
			var user, password string
			d.fields(v, key, map[string]func(string, *yaml.Node){
				"user":     func(key string, v *yaml.Node) { user = d.secretText(v, key) },
				"password": func(key string, v *yaml.Node) { password = d.secretText(v, key) },
			})
			if !d.opts.WithoutSecrets && (user == "" || password == "") {
				d.problem(v, key, "user or password is missing", `Write {user: "...", password: "${env:NAME}"}`)
			}
			s.auth.basic = "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
		},
		"oauth2": func(key string, v *yaml.Node) { s.auth.oauth2 = d.oauth2(v, key, s) },
	})
	if s.auth.basic != "" && s.auth.oauth2 != nil {
		d.problem(n, key, "basic and oauth2 are both there", "Remove one: there is one Authorization header")
	}
	for _, h := range s.headers {
		if http.CanonicalHeaderKey(h.name) == "Authorization" {
			d.problem(n, key, "the header Authorization is set under headers, too", "Remove one")
		}
	}
}

func (d *decoder) oauth2(n *yaml.Node, key string, s *Service) *clientcredentials.Config {
	c := &clientcredentials.Config{}
	d.fields(n, key, map[string]func(string, *yaml.Node){
		"token_url": func(key string, v *yaml.Node) {
			u, err := url.Parse(v.Value)
			if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil {
				d.problem(v, key, fmt.Sprintf("%q is not the address of a token endpoint", v.Value), "Write it like https://login.example.com/oauth2/token")
				return
			}
			if u.Scheme == "http" && !isLoopback(u.Hostname()) {
				d.problem(v, key, "the client's secret would be sent in the clear", "Use https")
			}
			if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
				policy := s.dial
				policy.loopback = isLoopback(u.Hostname())
				if err := policy.check(ip); err != nil {
					d.problem(v, key, err.Error(), "")
				}
			}
			c.TokenURL = v.Value
			s.tokenLoopback = isLoopback(u.Hostname())
		},
		"client_id":     func(key string, v *yaml.Node) { c.ClientID = d.secretText(v, key) },
		"client_secret": func(key string, v *yaml.Node) { c.ClientSecret = d.secretText(v, key) },
		"scopes": func(key string, v *yaml.Node) {
			if v.Kind != yaml.SequenceNode {
				d.problem(v, key, "this must be a list", "Write it like [read, write]")
				return
			}
			for _, x := range v.Content {
				c.Scopes = append(c.Scopes, resolve(x).Value)
			}
		},
		"audience": func(_ string, v *yaml.Node) { c.EndpointParams = url.Values{"audience": {v.Value}} },
	})
	for name, v := range map[string]string{"token_url": c.TokenURL, "client_id": c.ClientID, "client_secret": c.ClientSecret} {
		if v == "" && !(d.opts.WithoutSecrets && name != "token_url") && !slices.ContainsFunc(d.problems, func(p Problem) bool { return p.Key == join(key, name) }) {
			d.problem(n, join(key, name), "this key is missing", "")
		}
	}
	return c
}

// secretText is a text that may be a secret.
func (d *decoder) secretText(n *yaml.Node, key string) string {
	if n.Kind != yaml.ScalarNode {
		d.problem(n, key, "this must be a text", "")
		return ""
	}
	v := d.template(n, key, n.Value, place{secrets: true, noRefReason: "Credentials come from the file: ${env:NAME} or ${file:PATH}"})
	switch v := v.(type) {
	case secretText:
		return v.v.(string)
	case literal:
		return fmt.Sprint(v.v)
	}
	return ""
}

// tlsFiles are a service's own certificates.
type tlsFiles struct{ cert, key, ca string }

func (d *decoder) tls(n *yaml.Node, key string, s *Service) {
	s.tls = &tlsFiles{}
	d.fields(n, key, map[string]func(string, *yaml.Node){
		"cert_file": func(_ string, v *yaml.Node) { s.tls.cert = v.Value },
		"key_file":  func(_ string, v *yaml.Node) { s.tls.key = v.Value },
		"ca_file":   func(_ string, v *yaml.Node) { s.tls.ca = v.Value },
	})
	if (s.tls.cert == "") != (s.tls.key == "") {
		d.problem(n, key, "cert_file and key_file belong together", "Write both, or none")
		return
	}
	if d.opts.WithoutSecrets {
		return
	}
	if _, err := s.tls.config(); err != nil {
		d.problem(n, key, err.Error(), "Mount the files, or correct the paths")
	}
}

// config reads the files. A client certificate is read again for each connection, so that
// it may be renewed.
func (t *tlsFiles) config() (*tls.Config, error) {
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
