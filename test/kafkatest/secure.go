package kafkatest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Secure is how a client reaches the listener with SSL and SCRAM-SHA-512.
type Secure struct {
	Seeds    []string
	CAFile   string // PEM
	User     string
	Password string
}

const (
	scramUser     = "odradek"
	scramPassword = "only-for-tests"
)

// Secure gives the secure listener's access. The cluster must have been started
// with Config.Secure.
func (c *Cluster) Secure() Secure {
	s := Secure{CAFile: c.caFile(), User: scramUser, Password: scramPassword}
	for _, b := range c.brokers {
		s.Seeds = append(s.Seeds, b.secure)
	}
	return s
}

func (c *Cluster) caFile() string   { return filepath.Join(c.dir, "ca.pem") }
func (c *Cluster) keystore() string { return filepath.Join(c.dir, "broker.pem") }

// writeCertificates makes a CA and a certificate for 127.0.0.1, valid for a day.
func (c *Cluster) writeCertificates() error {
	now := time.Now()
	template := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		}
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := template(1, "test CA")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	cert := template(2, "test broker")
	cert.IPAddresses, cert.KeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, x509.KeyUsageDigitalSignature
	cert.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, cert, ca, &key.PublicKey, caKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	block := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	if err := os.WriteFile(c.caFile(), block("CERTIFICATE", caDER), 0o644); err != nil {
		return err
	}
	store := append(block("PRIVATE KEY", keyDER), block("CERTIFICATE", der)...)
	store = append(store, block("CERTIFICATE", caDER)...)
	return os.WriteFile(c.keystore(), store, 0o600)
}

// jaas lets a broker look credentials up in its metadata.
const jaas = "listener.name.secure.scram-sha-512.sasl.jaas.config"
