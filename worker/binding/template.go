package binding

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/types"
	"go.yaml.in/yaml/v3"

	"github.com/odradek/odradek/internal/spell"
)

// Place says what a template may hold where it stands.
type Place struct {
	Attrs       []string  // {$name} that exist
	Vars        types.Map // what expressions may use; nil: no expressions
	Secrets     bool      // ${env:NAME} and ${file:PATH}
	Optional    bool      // {field?}
	References  bool      // {field}
	Root        string    // the one field that there is, such as items; "": any
	NoRefReason string    // why not
}

// SecretText marks a literal that came from a secret: it is never shown.
type SecretText struct{ Literal }

func (SecretText) String() string { return "(secret)" }

func (l Literal) String() string { return fmt.Sprint(l.V) }

// Fixed reports whether a value is the same in all requests.
func Fixed(v Value) bool {
	switch v := v.(type) {
	case Literal, SecretText:
		return true
	case Text:
		return !slices.ContainsFunc(v.Parts, func(p Value) bool { return !Fixed(p) })
	}
	return false
}

// Template compiles one string of the file: text with {field} and ${env:NAME} in
// it, or "= expression". A single {field} keeps the field's JSON type.
func (d *Decoder) Template(n *yaml.Node, key, src string, at Place) Value {
	if source, ok := strings.CutPrefix(src, "="); ok {
		if at.Vars == nil {
			d.Problem(n, key, "an expression does not fit here", "Use text with {field} references")
			return nil
		}
		v, err := compileExpression(strings.TrimSpace(source), at.Vars, d.Options.CallbackURL)
		if err != nil {
			d.Problem(n, key, err.Error(), "Expressions are expr-lang (https://expr-lang.org) over "+strings.Join(SortedKeys(at.Vars), ", "))
			return nil
		}
		return v
	}
	var parts []Value
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			parts = append(parts, Literal{lit.String()})
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
				d.Problem(n, key, `"${" without "}"`, "Write ${env:NAME} or ${file:PATH}")
				return nil
			}
			secret, ok := d.secret(n, key, src[i+2:i+end], at)
			failed = failed || !ok
			flush()
			parts = append(parts, SecretText{Literal{secret}})
			i += end + 1
		case src[i] == '{':
			end := strings.IndexByte(src[i:], '}')
			if end < 0 {
				d.Problem(n, key, `"{" without "}"`, `Write {{ for a brace`)
				return nil
			}
			var v Value
			ok := false
			if name := src[i+1 : i+end]; name == "$callback" {
				v, ok = d.callback(n, key, at)
			} else {
				v, ok = d.reference(n, key, name, at)
			}
			failed = failed || !ok
			flush()
			parts = append(parts, v)
			i += end + 1
		case src[i] == '}':
			d.Problem(n, key, `"}" without "{"`, `Write }} for a brace`)
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
		return Literal{""}
	case len(parts) == 1:
		return parts[0]
	}
	return Text{parts}
}

// reference compiles what stands between braces.
func (d *Decoder) reference(n *yaml.Node, key, src string, at Place) (Ref, bool) {
	name, optional := strings.CutSuffix(src, "?")
	r := Ref{optional: optional}
	if optional && !at.Optional {
		d.Problem(n, key, fmt.Sprintf("{%s} may not be optional here", src), "Remove the question mark: without the field there is no address")
		return r, false
	}
	if attr, ok := strings.CutPrefix(name, "$"); ok {
		r.attr, r.path = true, []string{attr}
		for _, a := range at.Attrs {
			if a == attr {
				return r, true
			}
		}
		fix := "There are {$" + strings.Join(at.Attrs, "}, {$") + "}"
		if near := spell.Nearest(attr, at.Attrs); near != "" {
			fix = "Did you mean {$" + near + "}?"
		}
		d.Problem(n, key, fmt.Sprintf("{%s} does not exist", src), fix)
		return r, false
	}
	if !at.References {
		d.Problem(n, key, fmt.Sprintf("{%s} may not be filled from a payload", src), at.NoRefReason)
		return r, false
	}
	r.path = strings.Split(name, ".")
	for _, p := range r.path {
		if !fieldName(p) {
			d.Problem(n, key, fmt.Sprintf("{%s} is not a field", src), "A field is letters, digits, _ and -, with dots between the levels; for other names use an expression: = input[\"other name\"]")
			return r, false
		}
	}
	if at.Root != "" && r.path[0] != at.Root {
		d.Problem(n, key, fmt.Sprintf("{%s} is of one task, and the request is of many", src), fmt.Sprintf("Write an = expression over %s, {%s.0.input.%s}, or {$group} with batch.key", at.Root, at.Root, strings.Join(r.path, ".")))
		return r, false
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
func (d *Decoder) secret(n *yaml.Node, key, src string, at Place) (string, bool) {
	kind, name, _ := strings.Cut(src, ":")
	switch {
	case !at.Secrets:
		d.Problem(n, key, "a secret may only stand in headers", "URLs and bodies are logged and stored by others; send it as a header")
		return "", false
	case kind != "env" && kind != "file" || name == "":
		d.Problem(n, key, fmt.Sprintf("${%s} is not a secret", src), "Write ${env:NAME} or ${file:PATH}")
		return "", false
	case d.Options.WithoutSecrets:
		return "", true
	case kind == "env":
		v, ok := os.LookupEnv(name)
		if !ok || v == "" {
			d.Problem(n, key, fmt.Sprintf("the environment variable %s is not set", name), "Set it, or correct the name")
			return "", false
		}
		return d.checkSecret(n, key, name, v)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		d.Problem(n, key, fmt.Sprintf("the secret's file cannot be read: %v", err), "Mount it, or correct the path")
		return "", false
	}
	return d.checkSecret(n, key, name, strings.TrimRight(string(b), "\r\n"))
}

func (d *Decoder) checkSecret(n *yaml.Node, key, name, v string) (string, bool) {
	if err := HeaderValue(v); err != nil || v == "" {
		d.Problem(n, key, fmt.Sprintf("the secret %s is empty or has characters that no header may carry", name), "It must be one line of text")
		return "", false
	}
	d.secrets = append(d.secrets, v)
	return v, true
}

// Tree compiles any node: strings are templates, mappings and sequences keep their
// shape, other scalars are what YAML says.
func (d *Decoder) Tree(n *yaml.Node, key string, at Place) Value {
	switch n.Kind {
	case yaml.AliasNode:
		return d.Tree(n.Alias, key, at) // visit bounds the whole file
	case yaml.MappingNode:
		o := Object{}
		d.Mapping(n, key, func(k, v *yaml.Node) {
			o.names = append(o.names, k.Value)
			o.values = append(o.values, d.Tree(v, key+"."+k.Value, at))
		})
		return o
	case yaml.SequenceNode:
		l := List{}
		for i, c := range n.Content {
			l.values = append(l.values, d.Tree(c, fmt.Sprintf("%s.%d", key, i), at))
		}
		return l
	case yaml.ScalarNode:
		if n.Tag == "!!str" {
			return d.Template(n, key, n.Value, at)
		}
		var v any
		if err := n.Decode(&v); err != nil {
			d.Problem(n, key, fmt.Sprintf("%q is not a value: %v", n.Value, err), "Quote it to make it text")
			return nil
		}
		switch v := v.(type) {
		case nil, bool, int, int64, float64:
			return Literal{v}
		}
		d.Problem(n, key, fmt.Sprintf("%q is a %s, which JSON does not have", n.Value, strings.TrimPrefix(n.Tag, "!!")), "Quote it to make it text")
	}
	return nil
}
