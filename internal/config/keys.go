package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/odradek/odradek/topology"
)

const (
	bootstrap        = "bootstrap.servers"
	bootstrapFlag    = "bootstrap-servers"
	defaultBootstrap = "127.0.0.1:9092"
)

// key is a scalar key of the configuration.
type key struct {
	name    string // as in the file, with dots between the levels
	kind    string // what the help calls its value
	def     string
	help    string
	allowed string
	set     func(c *Engine, raw string) error // the error says what is wrong with raw
}

// viper is the key's name inside viper.
func (k key) viper() string { return strings.ReplaceAll(k.name, ".", delimiter) }

// flag is the name of the key's flag.
func (k key) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(k.name) }

// env is the name of the key's environment variable.
func (k key) env() string { return envPrefix + strings.ToUpper(strings.ReplaceAll(k.name, ".", "_")) }

// keys are the scalar keys, in the order of the help.
func keys() []key {
	return []key{
		{"namespace", "name", "odradek", "prefix of topics and groups", "1 to 100 letters, digits, . _ or -, with no dot in front",
			func(c *Engine, raw string) error {
				c.Namespace = raw
				if topology.CheckName("namespace", raw) != nil {
					return fmt.Errorf("%s is not a name", quote(raw))
				}
				return nil
			}},
		{"data_dir", "dir", "data", "directory of the stores", "a directory", text(func(c *Engine) *string { return &c.DataDir })},
		{"api.listen", "host:port", "127.0.0.1:8080", "where the HTTP API listens", allowedListen, address(func(c *Engine) *string { return &c.API.Listen })},
		{"api.advertise", "host:port", "", "where other instances reach this one's API (default: api.listen)", "host:port, both given",
			func(c *Engine, raw string) error {
				if c.API.Advertise = raw; raw == "" {
					return nil
				}
				host, port, err := hostPort(raw)
				if ip := net.ParseIP(host); err == nil && (host == "" || port == 0 || ip != nil && ip.IsUnspecified()) {
					return fmt.Errorf("%s is not an address that others can reach", quote(raw))
				}
				return err
			}},
		{"api.insecure", "bool", "false", "serve the HTTP API to everybody, without tokens", allowedBool, boolean(func(c *Engine) *bool { return &c.API.Insecure })},
		{"api.task_token_key_file", "file", "", "key that signs the tokens of tasks which are completed from outside (default: they are not signed)", "a file",
			func(c *Engine, raw string) error { c.API.TaskTokenKeyFile = raw; return nil }},
		{"admin.listen", "host:port", "127.0.0.1:8081", "where metrics, health and profiles are served", allowedListen, address(func(c *Engine) *string { return &c.Admin.Listen })},
		{"topics.partitions", "number", "24", "partitions of the topics that are made", "1 to 4096", number(1, 4096, func(c *Engine, n int64) { c.Topics.Partitions = int32(n) })},
		{"topics.replication_factor", "number", "0", "replicas of the topics that are made; 0: 3, or the number of brokers if that is less", "0 to 32", number(0, 32, func(c *Engine, n int64) { c.Topics.ReplicationFactor = int16(n) })},
		{"topics.purge", "bool", "true", "delete records from Kafka once they are consumed", allowedBool, boolean(func(c *Engine) *bool { return &c.Topics.CanPurge })},
		{"allow_weaker_broker", "bool", "false", "accept brokers below transaction.version 2, with the weaker promise", allowedBool, boolean(func(c *Engine) *bool { return &c.AllowWeakerBroker })},
		{"cache.runs", "number", "20000", "live runs that are kept in memory", "1 to 10000000", number(1, 10_000_000, func(c *Engine, n int64) { c.Cache.Runs = int(n) })},
		{"retention.completed", "duration", "168h", "how long the history of a closed run is kept", allowedDuration, duration(func(c *Engine) *time.Duration { return &c.Retention.Completed })},
		{"retention.summary", "duration", "720h", "how long the summary of a closed run is kept", allowedDuration, duration(func(c *Engine) *time.Duration { return &c.Retention.Summary })},
		{"refuse_unknown_types", "bool", "false", "make starts of unknown workflow types dead letters", allowedBool, boolean(func(c *Engine) *bool { return &c.RefuseUnknownTypes })},
		{"store.cache_bytes", "size", "64MiB", "block cache of all stores together", "a size from 1MiB to 1TiB, such as 64MiB", size(1<<20, 1<<40, func(c *Engine) *int64 { return &c.Store.CacheBytes })},
		{"store.mem_table_bytes", "size", "96MiB", "memtables of all stores together", "a size from 1MiB to 1TiB, such as 96MiB", size(1<<20, 1<<40, func(c *Engine) *int64 { return &c.Store.MemTableBytes })},
		{"store.wal", "bool", "false", "write a log ahead of the store: less than ten seconds to restore after a crash", allowedBool, boolean(func(c *Engine) *bool { return &c.Store.WAL })},
		{"log.level", "level", "info", "debug, info, warn or error", "debug, info, warn or error", oneOf(func(c *Engine) *string { return &c.Log.Level }, "debug", "info", "warn", "error")},
		{"log.format", "format", "auto", "auto (text on a terminal, otherwise json), text or json", "auto, text or json", oneOf(func(c *Engine) *string { return &c.Log.Format }, "auto", "text", "json")},
	}
}

const (
	allowedBool     = "true or false"
	allowedListen   = "host:port, such as 127.0.0.1:8080; :8080 is every address"
	allowedDuration = "a duration of at least 1m, such as 168h or 90m"
)

type setFunc = func(c *Engine, raw string) error

func text(field func(*Engine) *string) setFunc {
	return func(c *Engine, raw string) error {
		if strings.TrimSpace(raw) == "" {
			return errors.New("it is empty")
		}
		if strings.ContainsFunc(raw, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("%s has control characters", quote(raw))
		}
		*field(c) = raw
		return nil
	}
}

func address(field func(*Engine) *string) setFunc {
	return func(c *Engine, raw string) error {
		*field(c) = raw
		_, _, err := hostPort(raw)
		return err
	}
}

func boolean(field func(*Engine) *bool) setFunc {
	return func(c *Engine, raw string) error {
		if raw != "true" && raw != "false" {
			return fmt.Errorf("%s is not a bool", quote(raw))
		}
		*field(c) = raw == "true"
		return nil
	}
}

func number(low, high int64, put func(*Engine, int64)) setFunc {
	return func(c *Engine, raw string) error {
		n, err := strconv.ParseInt(raw, 10, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return fmt.Errorf("%s is not a whole number", quote(raw))
		}
		if err != nil || n < low || n > high {
			return fmt.Errorf("%s is out of range", quote(raw))
		}
		put(c, n)
		return nil
	}
}

func duration(field func(*Engine) *time.Duration) setFunc {
	return func(c *Engine, raw string) error {
		d, err := time.ParseDuration(raw)
		if _, number := strconv.ParseFloat(raw, 64); number == nil {
			return fmt.Errorf("%s has no unit", quote(raw))
		}
		if err != nil {
			return fmt.Errorf("%s is not a duration", quote(raw))
		}
		if d < time.Minute {
			return fmt.Errorf("%s is too short", quote(raw))
		}
		*field(c) = d
		return nil
	}
}

func size(low, high int64, field func(*Engine) *int64) setFunc {
	return func(c *Engine, raw string) error {
		digits, shift := raw, 0
		for i, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
			if d, ok := strings.CutSuffix(raw, unit); ok {
				digits, shift = strings.TrimSpace(d), 10*(i+1)
			}
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return fmt.Errorf("%s is not a number of bytes, KiB, MiB, GiB or TiB", quote(raw))
		}
		if err != nil || n < 0 || n > high>>shift || n<<shift < low {
			return fmt.Errorf("%s is out of range", quote(raw))
		}
		*field(c) = n << shift
		return nil
	}
}

func oneOf(field func(*Engine) *string, values ...string) setFunc {
	return func(c *Engine, raw string) error {
		if !slices.Contains(values, raw) {
			return fmt.Errorf("%s is not one of them", quote(raw))
		}
		*field(c) = raw
		return nil
	}
}

// hostPort takes an address apart; the host may be empty.
func hostPort(raw string) (host string, port uint16, err error) {
	host, p, err := net.SplitHostPort(raw)
	n, numErr := strconv.ParseUint(p, 10, 16)
	if err != nil || numErr != nil || strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == '/' || r == '@' }) {
		return "", 0, fmt.Errorf("%s is not host:port", quote(raw))
	}
	return host, uint16(n), nil
}

// quote is a value in a message: short, and without control characters.
func quote(raw string) string {
	const most = 60
	if r := []rune(raw); len(r) > most {
		raw = string(r[:most]) + "..."
	}
	return strconv.Quote(raw)
}

// flagValue keeps what was typed: LoadEngine checks it like every other layer.
type flagValue struct{ raw, kind string }

func (f *flagValue) String() string     { return f.raw }
func (f *flagValue) Set(s string) error { f.raw = s; return nil }
func (f *flagValue) Type() string       { return f.kind }

// Flags declares --config, --bootstrap-servers and a flag for each scalar key:
// data_dir is --data-dir, api.listen is --api-listen. Values are checked by LoadEngine.
func Flags(fs *pflag.FlagSet) {
	fs.Var(&flagValue{"", "file"}, "config", "configuration file (default: $ODRADEK_CONFIG, else engine.yaml if it exists)")
	fs.Var(&flagValue{defaultBootstrap, "host:port,..."}, bootstrapFlag, "Kafka brokers")
	for _, k := range keys() {
		f := fs.VarPF(&flagValue{k.def, k.kind}, k.flag(), "", k.help)
		if k.kind == "bool" {
			f.NoOptDefVal = "true"
		}
	}
}
