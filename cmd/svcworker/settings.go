package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/odradek/odradek/internal/kafka"
	"github.com/odradek/odradek/internal/spell"
	"github.com/odradek/odradek/topology"
	"github.com/odradek/odradek/worker/binding"
)

// settings is the worker's own part of its file: everything but services. A flag
// wins over the environment, that over the file, that over the default.
type settings struct {
	Namespace string
	Kafka     map[string]string // Kafka's own names
	Admin     string            // address of /metrics, /livez, /readyz; empty: none
	LogLevel  string
	LogFormat string
	Commit    time.Duration
	Rebalance time.Duration
	Drain     time.Duration
	Callback  string // address of the engine's API for {$callback}; empty: none
	TokenKey  string // file of the key that signs task tokens; empty: none
}

// setting is one key: its path in the file, its flag, and where it goes. The
// environment variable is ODRADEK_ and the path in capitals.
type setting struct {
	path, flag, help string
	set              func(s *settings, v string) error
}

func (k setting) env() string {
	return "ODRADEK_" + strings.ToUpper(strings.ReplaceAll(k.path, ".", "_"))
}

// allSettings is every key but those below kafka, which are Kafka's.
func allSettings() []setting {
	oneOf := func(at func(*settings) *string, words ...string) func(*settings, string) error {
		return func(s *settings, v string) error {
			if !slices.Contains(words, v) {
				return fmt.Errorf("%q is not one of %s", v, strings.Join(words, ", "))
			}
			*at(s) = v
			return nil
		}
	}
	duration := func(at func(*settings) *time.Duration, least, most time.Duration) func(*settings, string) error {
		return func(s *settings, v string) error {
			d, err := time.ParseDuration(v)
			if err != nil {
				return fmt.Errorf("%q is not a duration: write a number with its unit, such as 500ms or 10s", v)
			}
			if d < least || d > most {
				return fmt.Errorf("%s is out of range: allowed are %s to %s", d, least, most)
			}
			*at(s) = d
			return nil
		}
	}
	return []setting{
		{"namespace", "namespace", "prefix of topics and groups, as the engine's", func(s *settings, v string) error {
			s.Namespace = v
			return topology.CheckName("namespace", v)
		}},
		{"admin.listen", "admin-listen", "address of /metrics, /livez and /readyz; empty for none", func(s *settings, v string) error {
			s.Admin = v
			if v == "" {
				return nil
			}
			_, _, err := net.SplitHostPort(v)
			return err
		}},
		{"log.level", "log-level", "debug, info, warn or error", oneOf(func(s *settings) *string { return &s.LogLevel }, "debug", "info", "warn", "error")},
		{"log.format", "log-format", "auto, text or json", oneOf(func(s *settings) *string { return &s.LogFormat }, "auto", "text", "json")},
		{"commit_interval", "commit-interval", "pause between two commits of a service", duration(func(s *settings) *time.Duration { return &s.Commit }, 10*time.Millisecond, time.Minute)},
		{"rebalance_timeout", "rebalance-timeout", "how long a partition that moves waits for its calls", duration(func(s *settings) *time.Duration { return &s.Rebalance }, time.Second, time.Hour)},
		{"task_token_key_file", "task-token-key-file", "key that signs the tokens of tasks which are completed from outside: the engine's", func(s *settings, v string) error {
			s.TokenKey = v
			return nil
		}},
		{"callback_url", "callback-url", "address of the engine's API, as the APIs reach it, for {$callback}", func(s *settings, v string) error {
			if err := binding.CheckCallbackURL(v); err != nil {
				return err
			}
			s.Callback = v
			return nil
		}},
		{"drain_timeout", "drain-timeout", "how long a stop waits for running calls", duration(func(s *settings) *time.Duration { return &s.Drain }, 0, time.Hour)},
	}
}

func defaults() settings {
	return settings{
		Namespace: "odradek", Kafka: map[string]string{}, Admin: "127.0.0.1:8082", LogLevel: "info", LogFormat: "auto",
		Commit: 200 * time.Millisecond, Rebalance: time.Minute, Drain: 20 * time.Second,
	}
}

// loadSettings reads the file's settings and lays environment and flags over them.
// flags holds those that were given, by name; without secrets, ${...} stays as it is
// written. The error is binding.Problems where
// the file, the environment or a flag is wrong; the settings are those that are right.
func loadSettings(path string, flags map[string]string, withoutSecrets bool) (settings, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return settings{}, fmt.Errorf("read configuration: %w", err)
	}
	r := settingsReader{file: path, s: defaults(), known: allSettings(), withoutSecrets: withoutSecrets}
	r.read(b)
	for _, k := range r.known {
		env, inEnv := os.LookupEnv(k.env())
		flag, inFlags := flags[k.flag]
		source, value := "environment variable "+k.env(), env
		if inFlags {
			source, value = "flag --"+k.flag, flag
		}
		if !inEnv && !inFlags {
			continue
		}
		if err := k.set(&r.s, value); err != nil {
			r.problems = append(r.problems, binding.Problem{File: source, Key: k.path, Text: err.Error()})
		}
	}
	if v := os.Getenv("ODRADEK_BOOTSTRAP_SERVERS"); v != "" {
		r.s.Kafka["bootstrap.servers"] = v
	}
	if v := flags["bootstrap-servers"]; v != "" {
		r.s.Kafka["bootstrap.servers"] = v
	}
	if withoutSecrets {
		for k := range r.s.Kafka {
			if strings.HasPrefix(k, "ssl.") && strings.HasSuffix(k, ".location") {
				delete(r.s.Kafka, k) // files that are where it runs, not where it is checked
			}
		}
	}
	if len(r.problems) == 0 {
		_, _, err := kafka.Connect(r.s.Kafka, clientID)
		if _, err2 := sessionTimeout(r.s.Kafka); err2 != nil {
			err = errors.Join(err, err2)
		}
		for _, e := range unjoin(err) {
			p := binding.Problem{File: path, Key: "kafka", Text: e.Error()}
			var se *kafka.SettingError
			if errors.As(e, &se) {
				p.Key, p.Text, p.Fix, p.Line = "kafka."+se.Key, se.Text, se.Fix, r.kafkaLines[se.Key]
			}
			r.problems = append(r.problems, p)
		}
	}
	if len(r.problems) > 0 {
		return r.s, r.problems.Sorted()
	}
	return r.s, nil
}

// settingsReader walks the file's nodes, because only they know their lines.
type settingsReader struct {
	file       string
	s          settings
	known      []setting
	kafkaLines map[string]int
	problems   binding.Problems

	withoutSecrets bool
}

func (r *settingsReader) problem(n *yaml.Node, key, text, fix string) {
	r.problems = append(r.problems, binding.Problem{File: r.file, Line: n.Line, Key: key, Text: text, Fix: fix})
}

func (r *settingsReader) read(b []byte) {
	var doc yaml.Node
	if yaml.Unmarshal(b, &doc) != nil || len(doc.Content) == 0 {
		return // told with the services, which every file has
	}
	r.kafkaLines = map[string]int{}
	r.mapping(doc.Content[0], "")
}

// mapping reads the keys below a path.
func (r *settingsReader) mapping(n *yaml.Node, under string) {
	if n.Kind != yaml.MappingNode {
		r.problem(n, under, "this must be a mapping (key: value lines)", "")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		for v.Kind == yaml.AliasNode {
			v = v.Alias
		}
		path := k.Value
		if under != "" {
			path = under + "." + path
		}
		if line, twice := seen[k.Value]; twice {
			r.problem(k, path, fmt.Sprintf("this key stands in line %d already", line), "Remove one")
			continue
		}
		seen[k.Value] = k.Line
		r.key(k, v, path)
	}
}

func (r *settingsReader) key(k, v *yaml.Node, path string) {
	switch {
	case path == "services": // httpbinding reads them
		return
	case path == "kafka":
		r.kafka(v)
		return
	case r.isSection(path):
		r.mapping(v, path)
		return
	}
	for _, known := range r.known {
		if known.path != path {
			continue
		}
		if v.Kind != yaml.ScalarNode {
			r.problem(v, path, "this must be one value", "")
		} else if err := known.set(&r.s, v.Value); err != nil {
			r.problem(v, path, err.Error(), "")
		}
		return
	}
	names := []string{"kafka", "services"}
	for _, known := range r.known {
		names = append(names, known.path)
	}
	fix := "Known are " + strings.Join(names, ", ")
	if near := spell.Nearest(path, append(names, "admin", "log")); near != "" {
		fix = fmt.Sprintf("Did you mean %q?", near)
	}
	r.problem(k, path, "this key is not known", fix)
}

// isSection reports whether keys stand below the path.
func (r *settingsReader) isSection(path string) bool {
	for _, known := range r.known {
		if strings.HasPrefix(known.path, path+".") {
			return true
		}
	}
	return false
}

// kafka reads Kafka's keys as they are; secrets come by reference.
func (r *settingsReader) kafka(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.problem(n, "kafka", "this must be a mapping (key: value lines)", "")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		for v.Kind == yaml.AliasNode {
			v = v.Alias
		}
		if v.Kind != yaml.ScalarNode {
			r.problem(v, "kafka."+k.Value, "this must be one value", "Write several as a,b")
			continue
		}
		value, err := v.Value, error(nil)
		if !r.withoutSecrets {
			value, err = resolveSecret(v.Value)
		}
		if err != nil {
			r.problem(v, "kafka."+k.Value, err.Error(), "Set it, or correct the name")
			continue
		}
		if _, twice := r.s.Kafka[k.Value]; twice {
			r.problem(k, "kafka."+k.Value, fmt.Sprintf("this key stands in line %d already", r.kafkaLines[k.Value]), "Remove one")
		}
		r.s.Kafka[k.Value], r.kafkaLines[k.Value] = value, k.Line
	}
}

// resolveSecret gives what ${env:NAME} or ${file:PATH} stands for; other values are
// themselves.
func resolveSecret(v string) (string, error) {
	body, ok := strings.CutPrefix(v, "${")
	if !ok || !strings.HasSuffix(body, "}") {
		return v, nil
	}
	kind, name, _ := strings.Cut(strings.TrimSuffix(body, "}"), ":")
	switch kind {
	case "env":
		if s := os.Getenv(name); s != "" {
			return s, nil
		}
		return "", fmt.Errorf("the environment variable %s is not set", name)
	case "file":
		b, err := os.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("the secret's file cannot be read: %w", err)
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	}
	return "", fmt.Errorf("%s is not a secret: write ${env:NAME} or ${file:PATH}", v)
}

// unjoin splits an errors.Join; nil has no parts.
func unjoin(err error) []error {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, unjoin(e)...)
	}
	return out
}

// clientID is client.id unless the file says another.
const clientID = "odradek-svcworker"

// sessionTimeout is how long the groups wait for a dead member; 0: the worker's default.
func sessionTimeout(block map[string]string) (time.Duration, error) {
	v := block["session.timeout.ms"]
	if v == "" {
		return 0, nil
	}
	ms, err := strconv.Atoi(v)
	if err != nil || ms < 1000 || ms > 1_800_000 {
		return 0, &kafka.SettingError{Key: "session.timeout.ms", Text: fmt.Sprintf("%q is not a number of milliseconds from 1000 to 1800000", v), Fix: "The brokers allow 6000 and more unless they are told otherwise"}
	}
	return time.Duration(ms) * time.Millisecond, nil
}
