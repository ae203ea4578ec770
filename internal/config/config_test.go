package config_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/odradek/odradek/internal/config"
)

// load loads a file with this content ("": none), environment and flags. FILE in the
// flags and the error stands for its path.
func load(t testing.TB, content string, environ []string, args ...string) (config.Engine, string, error) {
	t.Helper()
	path := ""
	if content != "" {
		path = filepath.Join(t.TempDir(), "engine.yaml")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fs := pflag.NewFlagSet("engine", pflag.ContinueOnError)
	config.Flags(fs)
	if err := fs.Parse(append([]string{"--config=" + path}, args...)); err != nil {
		t.Fatal(err)
	}
	c, report, err := config.LoadEngine(fs, environ)
	var out strings.Builder
	report.Print(&out)
	if err != nil {
		if _, ok := errors.AsType[config.Problems](err); !ok {
			t.Fatalf("%T is not Problems", err)
		}
		if path != "" {
			err = errors.New(strings.ReplaceAll(err.Error(), path, "FILE"))
		}
	}
	text := out.String()
	if path != "" {
		text = strings.ReplaceAll(text, path, "FILE")
	}
	return c, text, err
}

func defaults() config.Engine {
	return config.Engine{
		Namespace: "odradek", DataDir: "data", Kafka: map[string]string{"bootstrap.servers": "127.0.0.1:9092"},
		API: config.API{Listen: "127.0.0.1:8080"}, Admin: config.Admin{Listen: "127.0.0.1:8081"},
		Topics: config.Topics{Partitions: 24, CanPurge: true, Services: map[string]int32{}}, Cache: config.Cache{Runs: 20000},
		Retention: config.Retention{Completed: 168 * time.Hour, Summary: 720 * time.Hour},
		Store:     config.Store{CacheBytes: 64 << 20, MemTableBytes: 96 << 20}, Log: config.Log{Level: "info", Format: "auto"},
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c, _, err := load(t, "", nil)
	if err != nil || !reflect.DeepEqual(c, defaults()) {
		t.Fatalf("%+v, %v", c, err)
	}
}

const shipped = "../../configs/engine.yaml"

// The shipped file says the defaults, and with every comment that is a key or a value
// taken in it loads too.
func TestShippedFile(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(shipped)
	if err != nil {
		t.Fatal(err)
	}
	c, report, err := load(t, string(b), nil)
	if err != nil || !reflect.DeepEqual(c, defaults()) {
		t.Fatalf("%+v, %v", c, err)
	}
	full := regexp.MustCompile(`(?m)^( +)# ( *(?:- )?[a-z_.]+:)`).ReplaceAllString(string(b), "$1$2")
	secret := filepath.Join(t.TempDir(), "password")
	if err = os.WriteFile(secret, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	full = strings.ReplaceAll(full, "/run/secrets/kafka-password", secret)
	c, report2, err := load(t, full, []string{"GRAFANA_TOKEN=0123456789abcdef"})
	if err != nil || len(c.API.Tokens) != 2 || c.Topics.Services["payment"] != 24 || len(c.Kafka) != 6 || c.Kafka["sasl.password"] != "x" || c.API.Advertise == "" {
		t.Fatalf("%+v, %v\n%s", c, err, full)
	}
	// Each key of the report is in the file, and none is left at the default.
	if left := regexp.MustCompile(`(?m)^.* default$`).FindAllString(report2, -1); len(left) > 0 {
		t.Errorf("not in %s: %q", shipped, left)
	}
	if left := regexp.MustCompile(`(?m)^.* default$`).FindAllString(report, -1); len(left) != 2 {
		t.Errorf("commented out: %q, want api.advertise and api.task_token_key_file", left)
	}
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	file := "data_dir: file\nnamespace: file\nlog: {level: debug}\napi:\n  listen: localhost:1\ntopics: {services: {PaymentService: 3}}\nkafka: {Client.ID: x, bootstrap.servers: f:1, sasl.username: f}\n"
	env := []string{"ODRADEK_DATA_DIR=env", "ODRADEK_NAMESPACE=env", "ODRADEK_API_LISTEN=", "ODRADEK_BOOTSTRAP_SERVERS=short:1", "ODRADEK_KAFKA_SASL_USERNAME=e", "ODRADEK_KAFKA_PORT=tcp://1", "ODRADEK_KAFKA_PORT_9092_TCP_ADDR=1", "ODRADEK_TOKEN=x", "ODRADEK_API_TOKEN=x"}
	c, report, err := load(t, file, env, "--data-dir=flag", "--topics-purge=false", "--allow-weaker-broker", "--store-cache-bytes=2 GiB")
	want := defaults()
	want.DataDir, want.Namespace, want.Log.Level, want.API.Listen = "flag", "env", "debug", "localhost:1"
	want.Topics.CanPurge, want.AllowWeakerBroker, want.Store.CacheBytes = false, true, 2<<30
	want.Topics.Services = map[string]int32{"PaymentService": 3}
	want.Kafka = map[string]string{"Client.ID": "x", "bootstrap.servers": "short:1", "sasl.username": "e"}
	if err != nil || !reflect.DeepEqual(c, want) {
		t.Fatalf("%+v, %v", c, err)
	}
	for _, line := range []string{
		`data_dir +flag +--data-dir`, `namespace +env +ODRADEK_NAMESPACE`, `log.level +debug +FILE:3`, `api.listen +localhost:1 +FILE:5`, `log.format +auto +default`,
		`kafka.bootstrap.servers +short:1 +ODRADEK_BOOTSTRAP_SERVERS`, `kafka.sasl.username +e +ODRADEK_KAFKA_SASL_USERNAME`, `kafka.Client.ID +x +FILE:7`,
		`topics.services.PaymentService +3 +FILE:6`, `api.advertise +"" +default`, `topics.purge +false +--topics-purge`,
	} {
		if !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(report) {
			t.Errorf("no line %s in\n%s", line, report)
		}
	}
	if lines := strings.Split(strings.TrimSpace(report), "\n"); !slices.IsSorted(lines[1:]) {
		t.Errorf("not sorted:\n%s", report)
	}
	long := append(env, "ODRADEK_KAFKA_BOOTSTRAP_SERVERS=long:1")
	if c, _, _ := load(t, file, long); c.Kafka["bootstrap.servers"] != "long:1" {
		t.Errorf("the long name does not win: %v", c.Kafka)
	}
	if c, _, _ := load(t, file, long, "--bootstrap-servers=flag:1"); c.Kafka["bootstrap.servers"] != "flag:1" {
		t.Errorf("the flag does not win: %v", c.Kafka)
	}
}

// Every scalar key has a flag and a variable, and each reaches the same field.
func TestEveryKeyFromEveryLayer(t *testing.T) {
	t.Parallel()
	values := map[string]string{"bool": "true", "number": "7", "duration": "99m", "size": "3MiB", "host:port": "127.0.0.1:99", "name": "n", "dir": "d", "file": "f", "level": "warn", "format": "json"}
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.Flags(fs)
	n := 0
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Name == "config" || f.Name == "bootstrap-servers" {
			return
		}
		n++
		value := values[f.Value.Type()]
		if f.DefValue == "true" {
			value = "false"
		}
		flag, _, err1 := load(t, "", nil, "--"+f.Name+"="+value)
		env, _, err2 := load(t, "", []string{"ODRADEK_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_")) + "=" + value})
		if err1 != nil || err2 != nil || !reflect.DeepEqual(flag, env) || reflect.DeepEqual(flag, defaults()) {
			t.Errorf("--%s=%s: %+v %v, environment %+v %v", f.Name, value, flag, err1, env, err2)
		}
		if f.Usage == "" {
			t.Errorf("--%s has no help", f.Name)
		}
	})
	if n != 20 {
		t.Errorf("%d keys", n)
	}
}

func TestWhichFile(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	run := func(environ []string, args ...string) (string, string, error) {
		fs := pflag.NewFlagSet("", pflag.ContinueOnError)
		config.Flags(fs)
		if err := fs.Parse(args); err != nil {
			t.Fatal(err)
		}
		c, r, err := config.LoadEngine(fs, environ)
		return c.DataDir, r.File(), err
	}
	write := func(name string) {
		if err := os.WriteFile(name, []byte("data_dir: "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(want, wantFile string, environ []string, args ...string) {
		t.Helper()
		if got, file, err := run(environ, args...); got != want || file != wantFile || err != nil {
			t.Errorf("%v %v: %q of %q, %v; want %q of %q", environ, args, got, file, err, want, wantFile)
		}
	}
	check("data", "", nil)
	write("engine.yaml")
	write("env.yaml")
	write("flag.yaml")
	check("engine.yaml", "engine.yaml", nil)
	check("env.yaml", "env.yaml", []string{"ODRADEK_CONFIG=env.yaml"})
	check("flag.yaml", "flag.yaml", []string{"ODRADEK_CONFIG=env.yaml"}, "--config=flag.yaml")
	check("data", "", []string{"ODRADEK_CONFIG=env.yaml"}, "--config=")
	_, _, err := run([]string{"ODRADEK_CONFIG=gone.yaml"})
	want := "ODRADEK_CONFIG: config: the file cannot be read: open gone.yaml: no such file or directory. Check the path and who may read it."
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("a-long-token-${env:X}\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := load(t, `
kafka:
  sasl.jaas.config: user="${env:U}" password="${env:P}";
api:
  listen: :8080
  tokens:
    - {name: a, role: admin, token: "${file:`+path+`}"}
    - {name: b, role: viewer, hash: `+strings.Repeat("AB", 32)+`}
`, []string{"U=u", "P=p=${env:U}", "ODRADEK_KAFKA_SASL_PASSWORD_FILE=" + path})
	sum := sha256.Sum256([]byte("a-long-token-${env:X}"))
	tokens := []config.Token{{Name: "a", Role: "admin", Hash: hex.EncodeToString(sum[:])}, {Name: "b", Role: "viewer", Hash: strings.Repeat("ab", 32)}}
	if err != nil || !reflect.DeepEqual(c.API.Tokens, tokens) || c.Kafka["sasl.password"] != "a-long-token-${env:X}" || c.Kafka["sasl.jaas.config"] != `user="u" password="p=${env:U}";` {
		t.Errorf("%+v, %v", c, err)
	}
}
