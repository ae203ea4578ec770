package httpbinding

import (
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/types"
	"go.yaml.in/yaml/v3"

	"github.com/odradek/odradek/internal/spell"
)

// place says what a template may hold where it stands.
type place struct {
	attrs       []string  // {$name} that exist
	vars        types.Map // what expressions may use; nil: no expressions
	secrets     bool      // ${env:NAME} and ${file:PATH}
	optional    bool      // {field?}
	references  bool      // {field}
	noRefReason string    // why not
}

// secretText marks a literal that came from a secret: it is never shown.
type secretText struct{ literal }

func (secretText) String() string { return "(secret)" }

func (l literal) String() string { return fmt.Sprint(l.v) }

// template compiles one string of the file: text with {field} and ${env:NAME} in
// it, or "= expression". A single {field} keeps the field's JSON type.
func (d *decoder) template(n *yaml.Node, key, src string, at place) value {
	if source, ok := strings.CutPrefix(src, "="); ok {
		if at.vars == nil {
			d.problem(n, key, "an expression does not fit here", "Use text with {field} references")
			return nil
		}
		v, err := compileExpression(strings.TrimSpace(source), at.vars)
		if err != nil {
			d.problem(n, key, err.Error(), "Expressions are expr-lang (https://expr-lang.org) over "+strings.Join(sortedKeys(at.vars), ", "))
			return nil
		}
		return v
	}
	var parts []value
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			parts = append(parts, literal{lit.String()})
			lit.Reset()
		}
	}
	failed := false
	for i := 0; i < len(src); {
		switch {
		case strings.HasPrefix(src[i:], "{{") || strings.HasPrefix(src[i:], "}}"):
			lit.WriteByte(src[i])
			i += 2
		case strings.HasPrefix(src[i:], "${"):
			end := strings.IndexByte(src[i:], '}')
			if end < 0 {
				d.problem(n, key, `"${" without "}"`, "Write ${env:NAME} or ${file:PATH}")
				return nil
			}
			secret, ok := d.secret(n, key, src[i+2:i+end], at)
			failed = failed || !ok
			flush()
			parts = append(parts, secretText{literal{secret}})
			i += end + 1
		case src[i] == '{':
			end := strings.IndexByte(src[i:], '}')
			if end < 0 {
				d.problem(n, key, `"{" without "}"`, `Write {{ for a brace`)
				return nil
			}
			r, ok := d.reference(n, key, src[i+1:i+end], at)
			failed = failed || !ok
			flush()
			parts = append(parts, r)
			i += end + 1
		case src[i] == '}':
			d.problem(n, key, `"}" without "{"`, `Write }} for a brace`)
			return nil
		default:
			_, size := utf8.DecodeRuneInString(src[i:])
			lit.WriteString(src[i : i+size])
			i += size
		}
	}
	flush()
	switch {
	case failed:
		return nil
	case len(parts) == 0:
		return literal{""}
	case len(parts) == 1:
		return parts[0]
	}
	return text{parts}
}

// reference compiles what stands between braces.
func (d *decoder) reference(n *yaml.Node, key, src string, at place) (ref, bool) {
	name, optional := strings.CutSuffix(src, "?")
	r := ref{optional: optional}
	if optional && !at.optional {
		d.problem(n, key, fmt.Sprintf("{%s} may not be optional here", src), "Remove the question mark: without the field there is no address")
		return r, false
	}
	if attr, ok := strings.CutPrefix(name, "$"); ok {
		r.attr, r.path = true, []string{attr}
		for _, a := range at.attrs {
			if a == attr {
				return r, true
			}
		}
		fix := "There are {$" + strings.Join(at.attrs, "}, {$") + "}"
		if near := spell.Nearest(attr, at.attrs); near != "" {
			fix = "Did you mean {$" + near + "}?"
		}
		d.problem(n, key, fmt.Sprintf("{%s} does not exist", src), fix)
		return r, false
	}
	if !at.references {
		d.problem(n, key, fmt.Sprintf("{%s} may not be filled from a payload", src), at.noRefReason)
		return r, false
	}
	r.path = strings.Split(name, ".")
	for _, p := range r.path {
		if !fieldName(p) {
			d.problem(n, key, fmt.Sprintf("{%s} is not a field", src), "A field is letters, digits, _ and -, with dots between the levels; for other names use an expression: = input[\"other name\"]")
			return r, false
		}
	}
	return r, true
}

func fieldName(s string) bool {
	for _, c := range s {
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return s != ""
}

// secret resolves ${env:NAME} and ${file:PATH}.
func (d *decoder) secret(n *yaml.Node, key, src string, at place) (string, bool) {
	kind, name, _ := strings.Cut(src, ":")
	switch {
	case !at.secrets:
		d.problem(n, key, "a secret may only stand in headers", "URLs and bodies are logged and stored by others; send it as a header")
		return "", false
	case kind != "env" && kind != "file" || name == "":
		d.problem(n, key, fmt.Sprintf("${%s} is not a secret", src), "Write ${env:NAME} or ${file:PATH}")
		return "", false
	case d.opts.WithoutSecrets:
		return "", true
	case kind == "env":
		v, ok := os.LookupEnv(name)
		if !ok || v == "" {
			d.problem(n, key, fmt.Sprintf("the environment variable %s is not set", name), "Set it, or correct the name")
			return "", false
		}
		return d.checkSecret(n, key, name, v)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		d.problem(n, key, fmt.Sprintf("the secret's file cannot be read: %v", err), "Mount it, or correct the path")
		return "", false
	}
	return d.checkSecret(n, key, name, strings.TrimRight(string(b), "\r\n"))
}

func (d *decoder) checkSecret(n *yaml.Node, key, name, v string) (string, bool) {
	if err := headerValue(v); err != nil || v == "" {
		d.problem(n, key, fmt.Sprintf("the secret %s is empty or has characters that no header may carry", name), "It must be one line of text")
		return "", false
	}
	return v, true
}

// tree compiles any node: strings are templates, mappings and sequences keep their
// shape, other scalars are what YAML says.
func (d *decoder) tree(n *yaml.Node, key string, at place) value {
	switch n.Kind {
	case yaml.AliasNode:
		return d.tree(n.Alias, key, at) // visit bounds the whole file
	case yaml.MappingNode:
		o := object{}
		d.mapping(n, key, func(k, v *yaml.Node) {
			o.names = append(o.names, k.Value)
			o.values = append(o.values, d.tree(v, key+"."+k.Value, at))
		})
		return o
	case yaml.SequenceNode:
		l := list{}
		for i, c := range n.Content {
			l.values = append(l.values, d.tree(c, fmt.Sprintf("%s.%d", key, i), at))
		}
		return l
	case yaml.ScalarNode:
		if n.Tag == "!!str" {
			return d.template(n, key, n.Value, at)
		}
		var v any
		if err := n.Decode(&v); err != nil {
			d.problem(n, key, fmt.Sprintf("%q is not a value: %v", n.Value, err), "Quote it to make it text")
			return nil
		}
		switch v := v.(type) {
		case nil, bool, int, int64, float64:
			return literal{v}
		}
		d.problem(n, key, fmt.Sprintf("%q is a %s, which JSON does not have", n.Value, strings.TrimPrefix(n.Tag, "!!")), "Quote it to make it text")
	}
	return nil
}
