package kafka

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/odradek/odradek/topology"
)

// certificate writes a certificate that is its own authority, and gives the files.
func certificate(t *testing.T) (cert, key string, pair tls.Certificate) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if pair, err = tls.LoadX509KeyPair(cert, key); err != nil {
		t.Fatal(err)
	}
	return cert, key, pair
}

// TestConnectRefuses: every mistake in a kafka: block is named with its key and fix,
// and no secret is in the message.
func TestConnectRefuses(t *testing.T) {
	t.Parallel()
	cert, key, _ := certificate(t)
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const secret = "hunter2"
	sasl := func(more ...string) []string {
		return append([]string{"security.protocol", "SASL_SSL", "sasl.username", "u", "sasl.password", secret}, more...)
	}
	for name, c := range map[string]struct {
		block []string
		want  string
	}{
		"no broker":          {[]string{"bootstrap.servers", " , "}, "kafka: bootstrap.servers: this key is missing. Write at least one broker as host:port"},
		"no port":            {[]string{"bootstrap.servers", "a:1,b"}, `kafka: bootstrap.servers: "b" is not host:port. Write each broker as host:port, separated by commas`},
		"near key":           {[]string{"sasl.mechanisms", "PLAIN"}, `kafka: sasl.mechanisms: this key is not known. Did you mean "sasl.mechanism"?`},
		"far key":            {[]string{"acks", "1"}, "kafka: acks: this key is not known. Known are bootstrap.servers, client.id"},
		"protocol":           {[]string{"security.protocol", "ssl"}, `kafka: security.protocol: "ssl" is not one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL. Write it in capitals`},
		"TLS without TLS":    {[]string{"ssl.ca.location", cert}, "kafka: ssl.ca.location: security.protocol is PLAINTEXT, which has no TLS. Write security.protocol: SSL or SASL_SSL"},
		"SASL without SASL":  {[]string{"security.protocol", "SSL", "sasl.password", secret}, "kafka: sasl.password: security.protocol is SSL, which has no SASL. Write SASL_SSL"},
		"no CA file":         {[]string{"security.protocol", "SSL", "ssl.ca.location", "/nowhere/ca.pem"}, "kafka: ssl.ca.location: open /nowhere/ca.pem: no such file or directory. Mount the file"},
		"CA is no PEM":       {[]string{"security.protocol", "SSL", "ssl.ca.location", empty}, "empty.pem holds no certificate in PEM form. Convert a JKS store"},
		"no key":             {[]string{"security.protocol", "SSL", "ssl.certificate.location", cert}, "kafka: ssl.certificate.location: certificate and key need one another. Set ssl.certificate.location and ssl.key.location"},
		"key is certificate": {[]string{"security.protocol", "SSL", "ssl.certificate.location", cert, "ssl.key.location", cert}, "Both are PEM files; the key has no password"},
		"no mechanism":       {sasl(), `kafka: sasl.mechanism: "" is not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER`},
		"GSSAPI":             {sasl("sasl.mechanism", "GSSAPI"), `kafka: sasl.mechanism: "GSSAPI" is not one of`},
		"no password":        {[]string{"security.protocol", "SASL_SSL", "sasl.mechanism", "PLAIN", "sasl.username", "u"}, "kafka: sasl.username: PLAIN needs sasl.username and sasl.password. Write the password as ${env:NAME} or ${file:PATH}"},
		"no token":           {[]string{"security.protocol", "SASL_SSL", "sasl.mechanism", "OAUTHBEARER"}, "kafka: sasl.oauthbearer.token: OAUTHBEARER needs a token. Write it as ${file:PATH}"},
		"good":               {sasl("sasl.mechanism", "SCRAM-SHA-512", "ssl.ca.location", cert, "ssl.certificate.location", cert, "ssl.key.location", key), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			block := map[string]string{"bootstrap.servers": "127.0.0.1:1"}
			for i := 0; i < len(c.block); i += 2 {
				block[c.block[i]] = c.block[i+1]
			}
			_, _, err := Connect(block, "test")
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			if _, ok := errors.AsType[*SettingError](err); !ok || strings.Contains(err.Error(), secret) {
				t.Errorf("%T: %v", err, err)
			}
		})
	}
}

// TestConnectWarns: what is readable on the way is told, but for this machine.
func TestConnectWarns(t *testing.T) {
	t.Parallel()
	for servers, want := range map[string]int{"127.0.0.1:1,localhost:2,[::1]:3": 0, "127.0.0.1:1,kafka:9092": 1} {
		_, warnings, err := Connect(map[string]string{"bootstrap.servers": servers}, "test")
		if err != nil || len(warnings) != want {
			t.Errorf("%s: %v (%v)", servers, warnings, err)
		}
	}
	if !Secret("sasl.password") || !Secret("sasl.oauthbearer.token") || Secret("sasl.username") {
		t.Error("what is secret and what is not")
	}
}

// TestConnect: a broker is reached with each protocol and mechanism, and not with a
// wrong password or an authority that nobody named.
func TestConnect(t *testing.T) {
	t.Parallel()
	cert, _, pair := certificate(t)
	for name, c := range map[string]struct {
		block    []string
		sasl     string // the broker's mechanism; empty: none
		tls      bool
		unlikely bool // the broker is not reached
	}{
		"PLAINTEXT":     {nil, "", false, false},
		"SSL":           {[]string{"security.protocol", "SSL", "ssl.ca.location", cert}, "", true, false},
		"no CA":         {[]string{"security.protocol", "SSL"}, "", true, true},
		"PLAIN":         {[]string{"security.protocol", "SASL_PLAINTEXT", "sasl.mechanism", "PLAIN", "sasl.password", "good"}, "PLAIN", false, false},
		"SCRAM-SHA-256": {[]string{"security.protocol", "SASL_PLAINTEXT", "sasl.mechanism", "SCRAM-SHA-256", "sasl.password", "good"}, "SCRAM-SHA-256", false, false},
		"SCRAM over SSL": {[]string{"security.protocol", "SASL_SSL", "sasl.mechanism", "SCRAM-SHA-512", "sasl.password", "good", "ssl.ca.location", cert},
			"SCRAM-SHA-512", true, false},
		"wrong password": {[]string{"security.protocol", "SASL_PLAINTEXT", "sasl.mechanism", "SCRAM-SHA-256", "sasl.password", "bad"}, "SCRAM-SHA-256", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := []kfake.Opt{kfake.NumBrokers(1)}
			if c.sasl != "" {
				opts = append(opts, kfake.EnableSASL(), kfake.Superuser(c.sasl, "user", "good"))
			}
			if c.tls {
				opts = append(opts, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}}))
			}
			cluster, err := kfake.NewCluster(opts...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cluster.Close)
			block := map[string]string{"bootstrap.servers": cluster.ListenAddrs()[0]}
			if c.sasl != "" {
				block["sasl.username"] = "user"
			}
			for i := 0; i < len(c.block); i += 2 {
				block[c.block[i]] = c.block[i+1]
			}
			client, _, err := Connect(block, "test")
			if err != nil {
				t.Fatal(err)
			}
			cl, err := NewClient(client...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cl.Close)
			_, _, err = Brokers(t.Context(), cl)
			if (err != nil) != c.unlikely {
				t.Errorf("%v", err)
			}
			if err != nil && strings.Contains(err.Error(), "bad") {
				t.Errorf("the password is in %v", err)
			}
			if err == nil { // the client beside it has the same options
				if _, err := CreateTopics(t.Context(), cl, deploymentOfOne()); err != nil {
					t.Errorf("create, which reads control with a client of its own: %v", err)
				}
			}
		})
	}
}

func deploymentOfOne() topology.Deployment {
	d := fakeDeployment()
	d.ReplicationFactor, d.MinInsyncReplicas = 1, 1
	return d
}
