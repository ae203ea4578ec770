package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/odradek/odradek/internal/spell"
)

const defaultFile = "engine.yaml"

// loadFile reads the file, if there is one, and gives its path.
func (l *loader) loadFile(flags *pflag.FlagSet) string {
	path, source := l.env[envConfig], envConfig
	if f := flags.Lookup("config"); f != nil && f.Changed {
		if path, source = f.Value.String(), "--config"; path == "" {
			return ""
		}
	}
	if path == "" {
		if _, err := os.Stat(defaultFile); errors.Is(err, fs.ErrNotExist) {
			return ""
		}
		path, source = defaultFile, defaultFile
	}
	b, err := readFile(path)
	if err != nil {
		l.problem(Problem{Source: source, Key: "config", What: fmt.Sprintf("the file cannot be read: %v", err), Fix: "Check the path and who may read it"})
		return path
	}
	l.parse(path, b)
	return path
}

// parse takes the values of a file.
func (l *loader) parse(path string, b []byte) {
	f := &file{loader: l, path: path, values: map[string]entry{}}
	d := yaml.NewDecoder(bytes.NewReader(b))
	var doc, more yaml.Node
	err := d.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return
	}
	if err == nil {
		if err = d.Decode(&more); err == nil {
			l.problem(Problem{Source: f.at(&more), Key: "config", What: "a second document begins here", Fix: "Put everything into one; remove the line ---"})
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		source, what := syntax(path, b, err)
		l.problem(Problem{Source: source, Key: "config", What: what, Fix: "Check the indentation, and quote values with special characters"})
		return
	}
	if len(doc.Content) == 1 && !isNull(doc.Content[0]) {
		f.level("", doc.Content[0])
	}
	l.layer(f.values)
}

var (
	yamlLineRE   = regexp.MustCompile(`line (\d+): `)
	yamlAnchorRE = regexp.MustCompile(`(?s)(?:unknown anchor|anchor) '(.*?)'.*`)
)

// syntax translates an error of the parser. An anchor's name may be a password that
// begins with an asterisk (G3); of it the parser tells the name, but no line.
func syntax(path string, content []byte, err error) (source, what string) {
	what = strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLineRE.FindStringSubmatchIndex(what); m != nil {
		path += ":" + what[m[2]:m[3]]
		what = what[:m[0]] + what[m[1]:]
	}
	if m := yamlAnchorRE.FindStringSubmatchIndex(what); m != nil {
		if before, _, ok := bytes.Cut(content, []byte("*"+what[m[2]:m[3]])); ok {
			path += fmt.Sprintf(":%d", 1+bytes.Count(before, []byte("\n")))
		}
		what = what[:m[0]] + "a value that begins with * and is not quoted, or a broken anchor"
	}
	return path, "this is not YAML: " + strings.TrimSpace(what)
}

// file is a file that is being read.
type file struct {
	*loader
	path   string
	values map[string]entry
}

func (f *file) at(n *yaml.Node) string { return fmt.Sprintf("%s:%d", f.path, n.Line) }

// sections are the keys that have keys below them, with those that are no scalars.
func sections() []string {
	return []string{"kafka", "api", "api.tokens", "admin", "topics", "topics.services", "cache", "retention", "store", "log"}
}

// level reads the keys of one level of the file.
func (f *file) level(prefix string, n *yaml.Node) {
	what := strings.TrimSuffix(prefix, ".")
	if what == "" {
		what = "config"
	}
	for _, p := range f.pairs(what, n) {
		name := prefix + p.name
		if known, ok := findKey(name); ok && !strings.Contains(p.name, ".") {
			if e, ok := f.scalar(name, p.value, known.allowed); ok {
				f.values[name] = e
			}
			continue
		}
		switch name {
		case "kafka":
			f.kafkaKeys(p.value)
		case "api", "admin", "topics", "cache", "retention", "store", "log":
			f.level(name+".", p.value)
		case "api.tokens":
			f.tokenList(p.value)
		case "topics.services":
			for _, s := range f.pairs(name, p.value) {
				if e, ok := f.scalar(name+"."+s.name, s.value, "a number of task partitions"); ok {
					f.services[s.name] = e
				}
			}
		default:
			f.unknown(prefix, p)
		}
	}
}

// unknown tells an unknown key with its nearest spelling.
func (f *file) unknown(prefix string, p pair) {
	name := prefix + p.name
	if section, last, ok := strings.Cut(p.name, "."); ok && prefix == "" {
		if _, known := findKey(name); known || section == "kafka" {
			f.problem(Problem{Source: p.source, Key: name, What: "this key is not known", Fix: fmt.Sprintf("Write %s: and, indented below it, %s:", section, last)})
			return
		}
	}
	known := sections()
	for _, k := range keys() {
		known = append(known, k.name)
	}
	// The same level first: "listn" below admin is not api.listen.
	var siblings []string
	for _, k := range known {
		if rest, ok := strings.CutPrefix(k, prefix); ok && !strings.Contains(rest, ".") {
			siblings = append(siblings, rest)
		}
	}
	fix := "Known here are " + strings.Join(siblings, ", ")
	if near := spell.Nearest(p.name, siblings); near != "" {
		fix = fmt.Sprintf("Did you mean %q?", near)
	} else {
		for _, k := range known {
			if k == p.name || strings.HasSuffix(k, "."+p.name) {
				fix = fmt.Sprintf("Did you mean %q?", k)
			}
		}
	}
	f.problem(Problem{Source: p.source, Key: name, What: "this key is not known", Fix: fix})
}

// kafkaKeys reads Kafka's own keys, as they are.
func (f *file) kafkaKeys(n *yaml.Node) {
	for _, p := range f.pairs("kafka", n) {
		if v := follow(p.value); v.Kind == yaml.MappingNode {
			f.problem(Problem{Source: p.source, Key: "kafka." + p.name, What: "it has keys below it", Fix: "Write Kafka's names in one line, such as bootstrap.servers:"})
			continue
		}
		if e, ok := f.scalar("kafka."+p.name, p.value, "one value; lists with commas in it"); ok {
			f.kafka[p.name] = e
		}
	}
}

// pair is a key of a mapping with its value.
type pair struct {
	name   string
	source string
	value  *yaml.Node
}

var nameStartRE = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}`)

// pairs gives the keys of a mapping, and tells what is none. An empty value has no keys.
func (f *file) pairs(what string, n *yaml.Node) []pair {
	n = follow(n)
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		f.problem(Problem{Source: f.at(n), Key: what, What: "it is " + kindOf(n) + ", not keys with values", Fix: "Write each as key: value, indented below it, with a space after the colon"})
		return nil
	}
	var pairs []pair
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		name := nameStartRE.FindString(k.Value)
		if k.Kind != yaml.ScalarNode || name != k.Value || name == "" {
			// What follows may be a value, for one who wrote = instead of a colon (G3).
			key := what
			if name != "" {
				key += "." + name
			}
			f.problem(Problem{Source: f.at(k), Key: strings.TrimPrefix(key, "config."), What: "this is not a key", Allowed: "letters, digits, . _ and -", Fix: "Write key: value, with a space after the colon"})
			continue
		}
		if line, ok := seen[name]; ok {
			f.problem(Problem{Source: f.at(k), Key: strings.TrimPrefix(what+"."+name, "config."), What: fmt.Sprintf("it is in line %d too", line), Fix: "Remove one of the two"})
			continue
		}
		seen[name] = k.Line
		pairs = append(pairs, pair{name, f.at(k), n.Content[i+1]})
	}
	return pairs
}

// scalar is a single value.
func (f *file) scalar(name string, n *yaml.Node, allowed string) (entry, bool) {
	v := follow(n)
	if v.Kind != yaml.ScalarNode || isNull(v) {
		f.problem(Problem{Source: f.at(n), Key: name, What: "it is " + kindOf(v), Allowed: allowed})
		return entry{}, false
	}
	return entry{v.Value, f.at(n)}, true
}

// follow is what an alias stands for.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func kindOf(n *yaml.Node) string {
	switch {
	case isNull(n):
		return "without a value"
	case n.Kind == yaml.MappingNode:
		return "keys with values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	}
	return "a single value"
}

// findKey is the scalar key of a name.
func findKey(name string) (key, bool) {
	for _, k := range keys() {
		if k.name == name {
			return k, true
		}
	}
	return key{}, false
}
