package binding

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/odradek/odradek/internal/spell"
	"github.com/odradek/odradek/worker"
)

// nodesMax bounds the nodes of a file with its aliases written out: a few lines of
// nested aliases can stand for millions.
const nodesMax = 50_000

// burstMax bounds a burst.
const burstMax = 1_000_000

// Options change how a file is read.
type Options struct {
	// WithoutSecrets leaves ${env:...} and ${file:...} unresolved: for a check where the
	// secrets are not. Such a file's handlers would send empty values.
	WithoutSecrets bool
	// CallbackURL is the address of the engine's API, as the APIs reach it, for {$callback}.
	// Empty: a file that uses it is refused.
	CallbackURL string
}

// Decoder walks the nodes of a file and collects all problems.
type Decoder struct {
	File     string // its name, for messages
	Options  Options
	Problems Problems

	secrets []string
}

// Secrets are the values that ${env:...} and ${file:...} stood for: what must not be shown.
func (d *Decoder) Secrets() []string { return d.secrets }

// Problem notes one thing that is wrong at a node; nil is the file as a whole.
func (d *Decoder) Problem(n *yaml.Node, key, text, fix string) {
	line := 0
	if n != nil {
		line = n.Line
	}
	d.Problems = append(d.Problems, Problem{File: d.File, Line: line, Key: key, Text: text, Fix: fix})
}

// bounded reports whether the document is small enough with its aliases written out.
func bounded(n *yaml.Node, left *int, depth int) bool {
	if *left--; *left < 0 || depth > 200 {
		return false
	}
	if n.Kind == yaml.AliasNode {
		return bounded(n.Alias, left, depth+1)
	}
	for _, c := range n.Content {
		if !bounded(c, left, depth+1) {
			return false
		}
	}
	return true
}

// Resolve follows an alias.
func Resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// Mapping calls f for each pair, and tells keys that come twice, merge keys and keys
// that are not text.
func (d *Decoder) Mapping(n *yaml.Node, key string, f func(k, v *yaml.Node)) {
	n = Resolve(n)
	if n.Kind != yaml.MappingNode {
		d.Problem(n, key, "this must be a mapping (key: value lines)", "")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], Resolve(n.Content[i+1])
		switch {
		case k.Tag == "!!merge":
			d.Problem(k, key, "merge keys (<<) are not supported", "Repeat the lines, or use an alias for the whole value")
			continue
		case k.Kind != yaml.ScalarNode:
			d.Problem(k, key, "a key must be plain text", "")
			continue
		}
		if line, twice := seen[k.Value]; twice {
			d.Problem(k, key+"."+k.Value, fmt.Sprintf("this key stands in line %d already", line), "Remove one")
			continue
		}
		seen[k.Value] = k.Line
		f(k, v)
	}
}

// Fields calls the function of each key; unknown ones are problems with the nearest
// spelling.
func (d *Decoder) Fields(n *yaml.Node, key string, known map[string]func(key string, v *yaml.Node)) {
	d.Mapping(n, key, func(k, v *yaml.Node) {
		f, ok := known[k.Value]
		if !ok {
			names := slices.Sorted(maps.Keys(known))
			fix := "Known are " + strings.Join(names, ", ")
			if near := spell.Nearest(k.Value, names); near != "" {
				fix = fmt.Sprintf("Did you mean %q?", near)
			}
			d.Problem(k, Join(key, k.Value), "this key is not known", fix)
			return
		}
		f(Join(key, k.Value), v)
	})
}

// Join is a key below another.
func Join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// SortedKeys are the keys of a map, in order.
func SortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Str reads text.
func (d *Decoder) Str(n *yaml.Node, key string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		d.Problem(n, key, "this must be text", "")
		return "", false
	}
	return n.Value, true
}

// Duration reads a positive duration with its unit.
func (d *Decoder) Duration(n *yaml.Node, key string, most time.Duration) time.Duration {
	v, err := time.ParseDuration(n.Value)
	switch {
	case n.Kind != yaml.ScalarNode || err != nil:
		d.Problem(n, key, fmt.Sprintf("%q is not a duration", n.Value), "Write a number with its unit, such as 500ms, 10s or 2m")
	case v <= 0 || v > most:
		d.Problem(n, key, fmt.Sprintf("%s is out of range", v), fmt.Sprintf("Allowed is more than 0 and at most %s", most))
	default:
		return v
	}
	return 0
}

// Integer reads a whole number in a range.
func (d *Decoder) Integer(n *yaml.Node, key string, least, most int) int {
	v, err := strconv.Atoi(n.Value)
	switch {
	case n.Kind != yaml.ScalarNode || err != nil:
		d.Problem(n, key, fmt.Sprintf("%q is not a whole number", n.Value), fmt.Sprintf("Allowed are %d to %d", least, most))
	case v < least || v > most:
		d.Problem(n, key, fmt.Sprintf("%d is out of range", v), fmt.Sprintf("Allowed are %d to %d", least, most))
	default:
		return v
	}
	return 0
}

// Rate reads calls in a time.
func (d *Decoder) Rate(n *yaml.Node, key string) worker.Rate {
	r, err := worker.ParseRate(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		d.Problem(n, key, fmt.Sprintf("%q is not a rate from 1 to a million calls", n.Value), "Write calls per second, minute or hour: 50/s, 600/m, 1000/h")
		return worker.Rate{}
	}
	return r
}

// PerKey reads the limits of each key.
func (d *Decoder) PerKey(n *yaml.Node, key string, concurrencyMax int) (l worker.KeyLimit) {
	var burst *yaml.Node
	d.Fields(n, key, map[string]func(string, *yaml.Node){
		"concurrency": func(key string, v *yaml.Node) { l.Concurrency = d.Integer(v, key, 1, concurrencyMax) },
		"rate":        func(key string, v *yaml.Node) { l.Rate = d.Rate(v, key) },
		"burst":       func(_ string, v *yaml.Node) { burst = v },
	})
	if burst != nil {
		d.Burst(burst, Join(key, "burst"), &l.Rate)
	}
	return l
}

// Burst completes a rate.
func (d *Decoder) Burst(n *yaml.Node, key string, r *worker.Rate) {
	if r.Calls == 0 {
		d.Problem(n, key, "a burst is of a rate, and there is none", "Write rate beside it, such as 50/s, or remove it")
		return
	}
	r.Burst = d.Integer(n, key, 1, burstMax)
}

// Size reads a number of bytes, such as 65536, 64KB or 2MB.
func (d *Decoder) Size(n *yaml.Node, key string, most int64) int64 {
	digits, unit := n.Value, int64(1)
	for suffix, u := range map[string]int64{"KB": 1 << 10, "MB": 1 << 20} {
		if s, ok := strings.CutSuffix(digits, suffix); ok {
			digits, unit = strings.TrimSpace(s), u
			break
		}
	}
	v, err := strconv.ParseInt(digits, 10, 32)
	switch {
	case n.Kind != yaml.ScalarNode || err != nil:
		d.Problem(n, key, fmt.Sprintf("%q is not a size", n.Value), "Write a number of bytes, or one with KB or MB")
	case v <= 0 || v*unit > most:
		d.Problem(n, key, fmt.Sprintf("%s is out of range", n.Value), fmt.Sprintf("Allowed are 1 to %d bytes", most))
	default:
		return v * unit
	}
	return 0
}

// CIDRs adds the ranges of a list to those that may be dialled.
func (d *Decoder) CIDRs(n *yaml.Node, key string, policy *DialPolicy) {
	if n.Kind != yaml.SequenceNode {
		d.Problem(n, key, "this must be a list", "Write it like [10.0.0.0/8]")
		return
	}
	for _, c := range n.Content {
		c = Resolve(c)
		p, err := netip.ParsePrefix(c.Value)
		if err != nil {
			d.Problem(c, key, fmt.Sprintf("%q is not a range of addresses", c.Value), "Write it like 10.0.0.0/8 or fd00:1::/32")
			continue
		}
		if p.Masked() != p {
			d.Problem(c, key, fmt.Sprintf("%s has bits behind its length", p), fmt.Sprintf("Write %s", p.Masked()))
			continue
		}
		policy.Allow = append(policy.Allow, p)
	}
}
