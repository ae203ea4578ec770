package httpbinding

import (
	"fmt"
	"maps"
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

// decoder walks the nodes of a file and collects all problems.
type decoder struct {
	file     string
	opts     Options
	problems Problems
}

func (d *decoder) problem(n *yaml.Node, key, text, fix string) {
	line := 0
	if n != nil {
		line = n.Line
	}
	d.problems = append(d.problems, Problem{File: d.file, Line: line, Key: key, Text: text, Fix: fix})
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

// resolve follows an alias.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// mapping calls f for each pair, and tells keys that come twice, merge keys and keys
// that are not text.
func (d *decoder) mapping(n *yaml.Node, key string, f func(k, v *yaml.Node)) {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		d.problem(n, key, "this must be a mapping (key: value lines)", "")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], resolve(n.Content[i+1])
		switch {
		case k.Tag == "!!merge":
			d.problem(k, key, "merge keys (<<) are not supported", "Repeat the lines, or use an alias for the whole value")
			continue
		case k.Kind != yaml.ScalarNode:
			d.problem(k, key, "a key must be plain text", "")
			continue
		}
		if line, twice := seen[k.Value]; twice {
			d.problem(k, key+"."+k.Value, fmt.Sprintf("this key stands in line %d already", line), "Remove one")
			continue
		}
		seen[k.Value] = k.Line
		f(k, v)
	}
}

// fields calls the function of each key; unknown ones are problems with the nearest
// spelling.
func (d *decoder) fields(n *yaml.Node, key string, known map[string]func(key string, v *yaml.Node)) {
	d.mapping(n, key, func(k, v *yaml.Node) {
		f, ok := known[k.Value]
		if !ok {
			names := slices.Sorted(maps.Keys(known))
			fix := "Known are " + strings.Join(names, ", ")
			if near := spell.Nearest(k.Value, names); near != "" {
				fix = fmt.Sprintf("Did you mean %q?", near)
			}
			d.problem(k, join(key, k.Value), "this key is not known", fix)
			return
		}
		f(join(key, k.Value), v)
	})
}

func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// str reads text.
func (d *decoder) str(n *yaml.Node, key string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		d.problem(n, key, "this must be text", "")
		return "", false
	}
	return n.Value, true
}

// duration reads a positive duration with its unit.
func (d *decoder) duration(n *yaml.Node, key string, most time.Duration) time.Duration {
	v, err := time.ParseDuration(n.Value)
	switch {
	case n.Kind != yaml.ScalarNode || err != nil:
		d.problem(n, key, fmt.Sprintf("%q is not a duration", n.Value), "Write a number with its unit, such as 500ms, 10s or 2m")
	case v <= 0 || v > most:
		d.problem(n, key, fmt.Sprintf("%s is out of range", v), fmt.Sprintf("Allowed is more than 0 and at most %s", most))
	default:
		return v
	}
	return 0
}

// integer reads a whole number in a range.
func (d *decoder) integer(n *yaml.Node, key string, least, most int) int {
	v, err := strconv.Atoi(n.Value)
	switch {
	case n.Kind != yaml.ScalarNode || err != nil:
		d.problem(n, key, fmt.Sprintf("%q is not a whole number", n.Value), fmt.Sprintf("Allowed are %d to %d", least, most))
	case v < least || v > most:
		d.problem(n, key, fmt.Sprintf("%d is out of range", v), fmt.Sprintf("Allowed are %d to %d", least, most))
	default:
		return v
	}
	return 0
}

// rate reads calls in a time.
func (d *decoder) rate(n *yaml.Node, key string) worker.Rate {
	r, err := worker.ParseRate(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		d.problem(n, key, fmt.Sprintf("%q is not a rate from 1 to a million calls", n.Value), "Write calls per second, minute or hour: 50/s, 600/m, 1000/h")
		return worker.Rate{}
	}
	return r
}

// burst completes a rate.
func (d *decoder) burst(n *yaml.Node, key string, r *worker.Rate) {
	if r.Calls == 0 {
		d.problem(n, key, "a burst is of a rate, and there is none", "Write rate beside it, such as 50/s, or remove it")
		return
	}
	r.Burst = d.integer(n, key, 1, burstMax)
}

// size reads a number of bytes, such as 65536, 64KB or 2MB.
func (d *decoder) size(n *yaml.Node, key string, most int64) int64 {
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
		d.problem(n, key, fmt.Sprintf("%q is not a size", n.Value), "Write a number of bytes, or one with KB or MB")
	case v <= 0 || v*unit > most:
		d.problem(n, key, fmt.Sprintf("%s is out of range", n.Value), fmt.Sprintf("Allowed are 1 to %d bytes", most))
	default:
		return v * unit
	}
	return 0
}
