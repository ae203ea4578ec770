package kafkatest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/odradek/odradek/test/kafkatest"
)

func client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func TestOneBrokerPlainAndSecure(t *testing.T) {
	c := kafkatest.Start(t, kafkatest.Config{Secure: true, Features: map[string]int{"transaction.version": 1}})
	if got := transactionVersion(t, client(t, kgo.SeedBrokers(c.Seeds()...))); got != 1 {
		t.Errorf("transaction.version is %d, asked for 1", got)
	}
	s := c.Secure()
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	secure := func(password string) error {
		cl := client(t, kgo.SeedBrokers(s.Seeds...), kgo.DialTLSConfig(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}),
			kgo.SASL(scram.Auth{User: s.User, Pass: password}.AsSha512Mechanism()), kgo.RequestRetries(0))
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		return cl.Ping(ctx)
	}
	if err := secure(s.Password); err != nil {
		t.Errorf("with the right password: %v", err)
	}
	if err := secure("wrong"); err == nil || !strings.Contains(err.Error(), "SASL") {
		t.Errorf("with a wrong password: %v", err)
	}
}

// transactionVersion is the finalized level of the feature.
func transactionVersion(t *testing.T, cl *kgo.Client) int16 {
	t.Helper()
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "kafkatest", "1"
	resp, err := req.RequestWith(t.Context(), cl)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range resp.FinalizedFeatures {
		if f.Name == "transaction.version" {
			return f.MaxVersionLevel
		}
	}
	return -1
}

func TestThreeBrokersKeepWhatWasAcked(t *testing.T) {
	c := kafkatest.Start(t, kafkatest.Config{Brokers: 3})
	cl := client(t, kgo.SeedBrokers(c.Seeds()...), kgo.DefaultProduceTopic("kept"), kgo.ConsumeTopics("kept"), kgo.MetadataMinAge(50*time.Millisecond))
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 3, 3, nil, "kept"); err != nil {
		t.Fatal(err)
	}
	put := func(value string) {
		if err := cl.ProduceSync(t.Context(), kgo.StringRecord(value)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	put("before")
	if err := c.Kill(0); err != nil {
		t.Fatal(err)
	}
	put("while one is down")
	if err := c.Restart(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(1); err != nil {
		t.Fatal(err)
	}
	put("while another is down")
	got := map[string]bool{}
	for len(got) < 3 {
		f := cl.PollFetches(t.Context())
		f.EachRecord(func(r *kgo.Record) { got[string(r.Value)] = true })
		if t.Context().Err() != nil {
			t.Fatal(f.Err())
		}
	}
}

func TestWithoutJavaTheMessageSaysHowToGetIt(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := kafkatest.Launch(t.Context(), kafkatest.Config{})
	if !errors.Is(err, kafkatest.ErrMissing) || !strings.Contains(err.Error(), "apt-get install openjdk-17") {
		t.Errorf("without java: %v", err)
	}
	bin := t.TempDir()
	if err = os.Symlink("/bin/true", filepath.Join(bin, "java")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	t.Setenv("ODRADEK_KAFKA_DIR", t.TempDir())
	_, err = kafkatest.Launch(t.Context(), kafkatest.Config{})
	if !errors.Is(err, kafkatest.ErrMissing) || !strings.Contains(err.Error(), "mvn is not installed") {
		t.Errorf("without mvn: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	if _, err := kafkatest.Launch(t.Context(), kafkatest.Config{Brokers: 2}); err == nil {
		t.Error("two brokers were started")
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := kafkatest.Launch(t.Context(), kafkatest.Config{Dir: full}); err == nil {
		t.Error("a folder that is not empty was taken")
	}
}
