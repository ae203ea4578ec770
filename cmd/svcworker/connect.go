package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo" //nolint:depguard // connection options only; the worker makes the clients
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/odradek/odradek/worker/httpbinding"
)

// kafkaKeys are the keys of Kafka's clients that the worker knows.
var kafkaKeys = []string{
	"bootstrap.servers", "client.id", "client.rack", "session.timeout.ms", "security.protocol",
	"sasl.mechanism", "sasl.username", "sasl.password",
	"ssl.ca.location", "ssl.certificate.location", "ssl.key.location",
}

// kafkaError is a key of kafka: that is wrong.
type kafkaError struct{ key, text, fix string }

func (e *kafkaError) Error() string { return e.key + ": " + e.text + ". " + e.fix }

// connect makes client options of Kafka's own keys. The error joins *kafkaError.
func connect(kafka map[string]string) ([]kgo.Opt, error) {
	var errs []error
	bad := func(key, text, fix string) { errs = append(errs, &kafkaError{key, text, fix}) }
	for _, k := range slices.Sorted(maps.Keys(kafka)) {
		if slices.Contains(kafkaKeys, k) {
			continue
		}
		fix := "Known are " + strings.Join(kafkaKeys, ", ")
		if near := httpbinding.Nearest(k, kafkaKeys); near != "" {
			fix = fmt.Sprintf("Did you mean %q?", near)
		}
		bad(k, "this key is not known", fix)
	}
	var seeds []string
	for s := range strings.SplitSeq(kafka["bootstrap.servers"], ",") {
		if s = strings.TrimSpace(s); s != "" {
			seeds = append(seeds, s)
		}
	}
	if len(seeds) == 0 {
		bad("bootstrap.servers", "this key is missing", "Write at least one broker as host:port")
	}
	opts := []kgo.Opt{kgo.SeedBrokers(seeds...), kgo.ClientID(orElse(kafka["client.id"], "odradek-svcworker")), kgo.SoftwareNameAndVersion("odradek", "1")}
	if rack := kafka["client.rack"]; rack != "" {
		opts = append(opts, kgo.Rack(rack))
	}
	if _, err := sessionTimeout(kafka); err != nil {
		errs = append(errs, err)
	}
	protocol := orElse(kafka["security.protocol"], "PLAINTEXT")
	switch protocol {
	case "PLAINTEXT", "SASL_PLAINTEXT":
		for _, k := range []string{"ssl.ca.location", "ssl.certificate.location", "ssl.key.location"} {
			if kafka[k] != "" {
				bad(k, "security.protocol is "+protocol+", which has no TLS", "Write security.protocol: SSL or SASL_SSL")
			}
		}
	case "SSL", "SASL_SSL":
		config, err := tlsConfig(kafka)
		if err != nil {
			errs = append(errs, err)
		}
		opts = append(opts, kgo.DialTLSConfig(config))
	default:
		bad("security.protocol", fmt.Sprintf("%q is not one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL", protocol), "Write it in capitals, as the brokers' listener says")
	}
	if strings.HasPrefix(protocol, "SASL_") {
		m, err := mechanism(kafka)
		if err != nil {
			errs = append(errs, err)
		} else {
			opts = append(opts, kgo.SASL(m))
		}
	} else if kafka["sasl.mechanism"] != "" || kafka["sasl.username"] != "" {
		bad("security.protocol", "there are sasl keys, but the protocol has no SASL", "Write SASL_SSL, or SASL_PLAINTEXT without TLS")
	}
	return opts, errors.Join(errs...)
}

// sessionTimeout is how long the groups wait for a dead member; 0: the worker's default.
func sessionTimeout(kafka map[string]string) (time.Duration, error) {
	v := kafka["session.timeout.ms"]
	if v == "" {
		return 0, nil
	}
	ms, err := strconv.Atoi(v)
	if err != nil || ms < 1000 || ms > 1_800_000 {
		return 0, &kafkaError{"session.timeout.ms", fmt.Sprintf("%q is not a number of milliseconds from 1000 to 1800000", v), "The brokers allow 6000 and more unless they are told otherwise"}
	}
	return time.Duration(ms) * time.Millisecond, nil
}

func orElse(v, other string) string {
	if v == "" {
		return other
	}
	return v
}

// tlsConfig verifies the brokers, and shows a certificate of its own if there is one.
func tlsConfig(kafka map[string]string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if path := kafka["ssl.ca.location"]; path != "" {
		pem, err := os.ReadFile(path)
		if err != nil {
			return config, &kafkaError{"ssl.ca.location", err.Error(), "Mount the file, or correct the path"}
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return config, &kafkaError{"ssl.ca.location", path + " holds no certificate in PEM form", "Convert a JKS store: keytool -exportcert -rfc"}
		}
	}
	cert, key := kafka["ssl.certificate.location"], kafka["ssl.key.location"]
	switch {
	case cert == "" && key == "":
		return config, nil
	case cert == "" || key == "":
		return config, &kafkaError{"ssl.certificate.location", "certificate and key need one another", "Set ssl.certificate.location and ssl.key.location"}
	}
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		return config, &kafkaError{"ssl.certificate.location", err.Error(), "Both are PEM files; the key has no password"}
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(cert, key) // at each connection: a renewed one is used
		return &pair, err
	}
	return config, nil
}

func mechanism(kafka map[string]string) (sasl.Mechanism, error) {
	user, password := kafka["sasl.username"], kafka["sasl.password"]
	if user == "" || password == "" {
		return nil, &kafkaError{"sasl.username", "SASL needs sasl.username and sasl.password", "Write the password as ${env:NAME} or ${file:PATH}"}
	}
	switch m := kafka["sasl.mechanism"]; m {
	case "PLAIN":
		return plain.Auth{User: user, Pass: password}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: user, Pass: password}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: user, Pass: password}.AsSha512Mechanism(), nil
	default:
		return nil, &kafkaError{"sasl.mechanism", fmt.Sprintf("%q is not one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512", m), "Write what the brokers' listener offers"}
	}
}
