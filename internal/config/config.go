// Package config loads the configuration of an engine.
//
// A value comes from a flag, else from an environment variable ODRADEK_*, else from
// one YAML file, else from the default. What must hold:
//
//   - (G1) Every layer is checked, also where a higher one covers it; all problems
//     are told at once, each with its source.
//   - (G2) No key is ignored: an unknown one is refused with its nearest spelling.
//   - (G3) The value of a secret is in no error and in no report.
//
// The package never talks to Kafka and never writes a file. It reads the
// configuration file and the files of ${file:} references, both up to 1 MiB.
package config

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// delimiter separates the parts of a key inside viper. Kafka's names have dots.
const delimiter = "::"

// Engine is the configuration of an engine.
type Engine struct {
	// Namespace is the prefix of topics and groups. Default odradek.
	Namespace string
	// DataDir holds the stores. Default data, in the working directory.
	DataDir string
	// Kafka has Kafka's own names, references resolved, names not checked.
	// bootstrap.servers is always there, 127.0.0.1:9092 by default.
	Kafka map[string]string
	// API is the HTTP API.
	API API
	// Admin is the port of metrics, health and profiles.
	Admin Admin
	// Topics says how topics are made.
	Topics Topics
	// AllowWeakerBroker accepts brokers below transaction.version 2 (P4). Default false.
	AllowWeakerBroker bool
	// Cache bounds what is kept in memory.
	Cache Cache
	// Retention bounds what is kept of closed runs.
	Retention Retention
	// RefuseUnknownTypes makes starts of unknown workflow types dead letters instead
	// of runs that wait for code. Default false.
	RefuseUnknownTypes bool
	// Store is the local store.
	Store Store
	// Log is the log.
	Log Log
}

// API configures the HTTP API.
type API struct {
	// Listen is host:port. Default 127.0.0.1:8080. With another host than loopback,
	// Tokens or Insecure is needed.
	Listen string
	// Advertise is the host:port at which other instances reach this one. Default
	// empty: Listen.
	Advertise string
	// Insecure serves everybody without a token. Default false.
	Insecure bool
	// TaskTokenKeyFile has the key that signs task tokens. Default empty: none.
	TaskTokenKeyFile string
	// Tokens let their bearers in, in the order of the file.
	Tokens []Token
}

// Token lets its bearer in. The token itself is not kept.
type Token struct {
	Name string // unique; it is what audits show
	Role string // viewer, operator or admin
	Hash string // SHA-256 of the token, 64 lower-case hex digits
}

// Admin configures the admin port.
type Admin struct {
	// Listen is host:port. Default 127.0.0.1:8081.
	Listen string
}

// Topics says how topics are made.
type Topics struct {
	// Partitions is N, 1 to 4096. Default 24.
	Partitions int32
	// ReplicationFactor is 0 to 32. Default 0: the smaller of 3 and the number of brokers.
	ReplicationFactor int16
	// CanPurge: the engine may delete records that it has consumed (W7). Default true.
	CanPurge bool
	// Services has the task partitions M of each service, 1 to Partitions (W2).
	// Default empty.
	Services map[string]int32
}

// Cache bounds what is kept in memory.
type Cache struct {
	// Runs is the number of live runs kept per instance, 1 to 10,000,000. Default 20000.
	Runs int
}

// Retention bounds what is kept of closed runs. At least 1m each.
type Retention struct {
	Completed time.Duration // of the history. Default 168h
	Summary   time.Duration // of the summary row. Default 720h
}

// Store configures the local store.
type Store struct {
	CacheBytes    int64 // block cache of all stores together, 1 MiB to 1 TiB. Default 64 MiB
	MemTableBytes int64 // memtables of all stores together, 1 MiB to 1 TiB. Default 96 MiB
	// WAL writes a log ahead. Without it the last ten seconds are restored from Kafka after
	// a crash. Default false.
	WAL bool
}

// Log configures the log.
type Log struct {
	Level  string // debug, info, warn or error. Default info
	Format string // text, json, or auto: text on a terminal. Default auto
}

// loader is one load.
type loader struct {
	v        *viper.Viper
	env      map[string]string
	problems Problems
	sources  map[string]string // of each scalar key that is not at its default
	kafka    map[string]entry
	services map[string]entry
	tokens   []token
}

// entry is a value as it was written.
type entry struct{ raw, source string }

// LoadEngine loads the configuration. fs is a flag set that Flags declared and that
// is parsed, environ is as os.Environ gives it; a variable that is empty counts as
// not set. The file is --config, else $ODRADEK_CONFIG, else ./engine.yaml if that
// exists; --config= reads none. The error is Problems; with it the Report is still
// usable and has what could be read.
func LoadEngine(fs *pflag.FlagSet, environ []string) (Engine, *Report, error) {
	l := &loader{
		v: viper.NewWithOptions(viper.KeyDelimiter(delimiter)), env: map[string]string{},
		sources: map[string]string{}, kafka: map[string]entry{}, services: map[string]entry{},
	}
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok && value != "" {
			l.env[name] = value
		}
	}
	l.kafka[bootstrap] = entry{defaultBootstrap, "default"}
	for _, k := range keys() {
		l.v.SetDefault(k.viper(), k.def)
	}
	path := l.loadFile(fs)
	l.loadEnv()
	l.loadFlags(fs)

	var c Engine
	report := &Report{file: path}
	for _, k := range keys() {
		raw, source := l.v.GetString(k.viper()), l.source(k.name)
		if k.set(&c, raw) != nil { // it was told where it was read
			continue
		}
		report.add(k.name, raw, source)
	}
	l.finishKafka(&c, report)
	l.finishTopics(&c, report)
	l.finishAPI(&c, report)
	slices.SortStableFunc(report.rows, func(a, b row) int { return strings.Compare(a.key, b.key) })
	if len(l.problems) > 0 {
		return Engine{}, report, l.problems
	}
	return c, report, nil
}

// source says where the effective value of a scalar key is from.
func (l *loader) source(key string) string {
	if s, ok := l.sources[key]; ok {
		return s
	}
	return "default"
}

// layer takes the scalar values of the file or the environment: later layers win.
func (l *loader) layer(values map[string]entry) {
	tree := map[string]any{}
	for _, k := range keys() {
		e, ok := values[k.name]
		if !ok || !l.check(k, e) {
			continue
		}
		at := tree
		parts := strings.Split(k.name, ".")
		for _, p := range parts[:len(parts)-1] {
			if at[p] == nil {
				at[p] = map[string]any{}
			}
			at = at[p].(map[string]any)
		}
		at[parts[len(parts)-1]] = e.raw
		l.sources[k.name] = e.source
	}
	if err := l.v.MergeConfigMap(tree); err != nil {
		l.problem(Problem{Key: "the configuration", What: err.Error()})
	}
}

// check tells the problem of a value.
func (l *loader) check(k key, e entry) bool {
	var scratch Engine
	err := k.set(&scratch, e.raw)
	if err != nil {
		l.problem(Problem{Source: e.source, Key: k.name, What: err.Error(), Allowed: k.allowed})
	}
	return err == nil
}

// loadFlags takes the flags that were given.
func (l *loader) loadFlags(fs *pflag.FlagSet) {
	for _, k := range keys() {
		f := fs.Lookup(k.flag())
		if f == nil || !f.Changed {
			continue
		}
		source := "--" + f.Name
		if !l.check(k, entry{f.Value.String(), source}) {
			continue
		}
		if err := l.v.BindPFlag(k.viper(), f); err != nil {
			l.problem(Problem{Source: source, Key: k.name, What: err.Error()})
			continue
		}
		l.sources[k.name] = source
	}
	if f := fs.Lookup(bootstrapFlag); f != nil && f.Changed {
		l.kafka[bootstrap] = entry{f.Value.String(), "--" + bootstrapFlag}
	}
}

// finishKafka resolves the references of Kafka's keys.
func (l *loader) finishKafka(c *Engine, report *Report) {
	c.Kafka = make(map[string]string, len(l.kafka))
	for _, name := range slices.Sorted(maps.Keys(l.kafka)) {
		e := l.kafka[name]
		report.add("kafka."+name, redact(name, e.raw), e.source)
		value, err := l.resolve(e.raw)
		if err != nil {
			l.problem(Problem{Source: e.source, Key: "kafka." + name, What: err.Error(), Fix: fixOf(err)})
			continue
		}
		if name == bootstrap && strings.Trim(value, ", ") == "" {
			l.problem(Problem{Source: e.source, Key: "kafka." + name, What: "it is empty", Allowed: "brokers as host:port, with commas between them"})
		}
		c.Kafka[name] = value
	}
}

// fixOf is the fix that an error brings along.
func fixOf(err error) string {
	var r *referenceError
	if errors.As(err, &r) {
		return r.fix
	}
	return ""
}
