// Package kafka is how Odradek reaches a Kafka cluster: client options from Kafka's
// own settings, what a cluster must be, and the topics of a deployment.
package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/odradek/odradek/internal/spell"
)

// Client and Opt are franz-go's, for packages that only pass them on.
type (
	Client = kgo.Client
	Opt    = kgo.Opt
)

// NewClient makes a client. It does no I/O.
func NewClient(opts ...Opt) (*Client, error) {
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return cl, nil
}

// settings are the keys of a kafka: block, by the names that Kafka's clients give
// them (Kafka's documents, and librdkafka's for PEM files of their own).
var settings = []string{
	"bootstrap.servers", "client.id", "client.rack", "security.protocol",
	"sasl.mechanism", "sasl.username", "sasl.password", "sasl.oauthbearer.token",
	"ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "session.timeout.ms",
}

// SettingError is a key of a kafka: block that is wrong.
type SettingError struct {
	Key, Text, Fix string
}

// Error says all of it, and never the value of a secret.
func (e *SettingError) Error() string { return "kafka: " + e.Key + ": " + e.Text + ". " + e.Fix }

// Secret reports whether the value of a key must not be shown.
func Secret(key string) bool { return key == "sasl.password" || key == "sasl.oauthbearer.token" }

// Connect makes client options of a kafka: block. clientID is the default of
// client.id. Certificates are read again at each connection, so that a renewed one
// is used; new connections of all clients with these options together are bounded (S6).
// warnings are for people. The error joins *SettingError.
func Connect(block map[string]string, clientID string) (opts []kgo.Opt, warnings []string, err error) {
	c := connector{block: block}
	c.known()
	seeds := c.seeds()
	if id := block["client.id"]; id != "" {
		clientID = id
	}
	c.opts = append(c.opts, kgo.SeedBrokers(seeds...), kgo.ClientID(clientID), kgo.SoftwareNameAndVersion("odradek", "1"))
	if rack := block["client.rack"]; rack != "" {
		c.opts = append(c.opts, kgo.Rack(rack))
	}
	c.protocol()
	c.opts = append(c.opts, kgo.Dialer(limited(dialer(c.config))))
	if c.plaintext && !loopback(seeds) {
		warnings = append(warnings, "kafka: security.protocol is "+c.name+", and not every broker of bootstrap.servers is on this machine: records and passwords can be read on the way; use SSL or SASL_SSL")
	}
	return c.opts, warnings, errors.Join(c.errs...)
}

type connector struct {
	block     map[string]string
	opts      []kgo.Opt
	errs      []error
	name      string // of the protocol
	plaintext bool
	config    *tls.Config // nil: none
}

func (c *connector) bad(key, text, fix string) {
	c.errs = append(c.errs, &SettingError{key, text, fix})
}

func (c *connector) known() {
	for _, k := range slices.Sorted(maps.Keys(c.block)) {
		if slices.Contains(settings, k) {
			continue
		}
		fix := "Known are " + strings.Join(settings, ", ")
		if near := spell.Nearest(k, settings); near != "" {
			fix = fmt.Sprintf("Did you mean %q?", near)
		}
		c.bad(k, "this key is not known", fix)
	}
}

func (c *connector) seeds() (seeds []string) {
	for s := range strings.SplitSeq(c.block["bootstrap.servers"], ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(s); err != nil {
			c.bad("bootstrap.servers", fmt.Sprintf("%q is not host:port", s), "Write each broker as host:port, separated by commas")
		}
		seeds = append(seeds, s)
	}
	if len(seeds) == 0 {
		c.bad("bootstrap.servers", "this key is missing", "Write at least one broker as host:port")
	}
	return seeds
}

func (c *connector) protocol() {
	c.name = c.block["security.protocol"]
	if c.name == "" {
		c.name = "PLAINTEXT"
	}
	switch c.name {
	case "PLAINTEXT", "SASL_PLAINTEXT":
		c.plaintext = true
		for _, k := range []string{"ssl.ca.location", "ssl.certificate.location", "ssl.key.location"} {
			if c.block[k] != "" {
				c.bad(k, "security.protocol is "+c.name+", which has no TLS", "Write security.protocol: SSL or SASL_SSL")
			}
		}
	case "SSL", "SASL_SSL":
		c.tls()
	default:
		c.bad("security.protocol", fmt.Sprintf("%q is not one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL", c.name), "Write it in capitals, as the brokers' listener says")
		return
	}
	if strings.HasPrefix(c.name, "SASL_") {
		c.sasl()
		return
	}
	for _, k := range []string{"sasl.mechanism", "sasl.username", "sasl.password", "sasl.oauthbearer.token"} {
		if c.block[k] != "" {
			c.bad(k, "security.protocol is "+c.name+", which has no SASL", "Write SASL_SSL, or SASL_PLAINTEXT without TLS")
		}
	}
}

// tls verifies the brokers, and shows a certificate of its own if there is one.
func (c *connector) tls() {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if path := c.block["ssl.ca.location"]; path != "" {
		pem, err := os.ReadFile(path)
		if err != nil {
			c.bad("ssl.ca.location", err.Error(), "Mount the file, or correct the path")
			return
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			c.bad("ssl.ca.location", path+" holds no certificate in PEM form", "Convert a JKS store: keytool -exportcert -rfc")
			return
		}
	}
	cert, key := c.block["ssl.certificate.location"], c.block["ssl.key.location"]
	switch {
	case cert == "" && key == "":
	case cert == "" || key == "":
		c.bad("ssl.certificate.location", "certificate and key need one another", "Set ssl.certificate.location and ssl.key.location")
	default:
		if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
			c.bad("ssl.certificate.location", err.Error(), "Both are PEM files; the key has no password")
		}
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(cert, key)
			return &pair, err
		}
	}
	c.config = config
}

func (c *connector) sasl() {
	user, password := c.block["sasl.username"], c.block["sasl.password"]
	mechanism := c.block["sasl.mechanism"]
	var m sasl.Mechanism
	switch mechanism {
	case "PLAIN":
		m = plain.Auth{User: user, Pass: password}.AsMechanism()
	case "SCRAM-SHA-256":
		m = scram.Auth{User: user, Pass: password}.AsSha256Mechanism()
	case "SCRAM-SHA-512":
		m = scram.Auth{User: user, Pass: password}.AsSha512Mechanism()
	case "OAUTHBEARER":
		token := c.block["sasl.oauthbearer.token"]
		if token == "" {
			c.bad("sasl.oauthbearer.token", "OAUTHBEARER needs a token", "Write it as ${file:PATH}")
		}
		c.opts = append(c.opts, kgo.SASL(oauth.Oauth(func(context.Context) (oauth.Auth, error) { return oauth.Auth{Token: token}, nil })))
		return
	default:
		c.bad("sasl.mechanism", fmt.Sprintf("%q is not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER", mechanism), "Write what the brokers' listener offers")
		return
	}
	if user == "" || password == "" {
		c.bad("sasl.username", mechanism+" needs sasl.username and sasl.password", "Write the password as ${env:NAME} or ${file:PATH}")
		return
	}
	c.opts = append(c.opts, kgo.SASL(m))
}

// loopback reports whether all addresses are on this machine.
func loopback(addrs []string) bool {
	for _, a := range addrs {
		host, _, err := net.SplitHostPort(a)
		if err != nil {
			return false
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}
