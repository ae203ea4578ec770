package httpbinding

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/types"
	"go.yaml.in/yaml/v3"

	"github.com/odradek/odradek/internal/spell"
	"github.com/odradek/odradek/topology"
)

// What request templates and expressions may use beside the input. The attempt's
// number is not among it: all attempts of a key make the same request.
var (
	requestAttrs = []string{"key", "task", "workflow_id", "workflow_type", "token"}
	answerAttrs  = []string{"status"}
)

func requestVars() types.Map {
	return types.Map{"input": types.Any, "key": types.String, "task": types.String, "workflow_id": types.String, "workflow_type": types.String, "token": types.String}
}

func answerVars() types.Map {
	return types.Map{"body": types.Any, "status": types.Int, "headers": types.TypeOf(map[string]string{}), "input": types.Any}
}

var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions}

func (d *decoder) task(s *Service, k, n *yaml.Node) *Task {
	t := &Task{
		Operation: k.Value, Timeout: s.timeout, service: s, key: s.Name + "." + k.Value,
		method: http.MethodPost, encoding: asJSON, retryMax: s.retryMax, answerBytes: s.answerBytes, statuses: s.statuses,
		headers: slices.Clip(s.headers),
	}
	if err := topology.CheckName("operation", t.Operation); err != nil {
		d.problem(k, t.key, err.Error(), "")
	}
	var path, body *yaml.Node
	d.fields(n, t.key, map[string]func(string, *yaml.Node){
		"method":           func(key string, v *yaml.Node) { t.method = d.method(v, key) },
		"path":             func(_ string, v *yaml.Node) { path = v },
		"query":            func(key string, v *yaml.Node) { t.query = d.query(v, key) },
		"headers":          func(key string, v *yaml.Node) { t.headers = append(t.headers, d.headers(v, key)...) },
		"cookies":          func(key string, v *yaml.Node) { t.cookies = d.cookies(v, key) },
		"encoding":         func(key string, v *yaml.Node) { t.encoding = d.encoding(v, key) },
		"body":             func(_ string, v *yaml.Node) { body = v },
		"result":           func(key string, v *yaml.Node) { t.result = d.result(v, key) },
		"timeout":          func(key string, v *yaml.Node) { t.Timeout = d.duration(v, key, timeoutMax) },
		"retry_after_max":  func(key string, v *yaml.Node) { t.retryMax = d.duration(v, key, 24*time.Hour) },
		"answer_bytes_max": func(key string, v *yaml.Node) { t.answerBytes = d.size(v, key, answerBytesMax) },
		"statuses":         func(key string, v *yaml.Node) { t.statuses = s.statuses.with(d.statuses(v, key)) },
	})
	if path == nil {
		d.problem(k, join(t.key, "path"), "this key is missing", "Write the path below base_url, such as /payments/{customer}")
	} else {
		t.path = d.path(path, join(t.key, "path"))
	}
	bare := t.method == http.MethodGet || t.method == http.MethodHead || t.method == http.MethodOptions
	sendsBody := !bare && t.method != http.MethodDelete
	switch {
	case body == nil:
		t.wholeBody = sendsBody
	case body.Kind == yaml.ScalarNode && body.Value == "none":
	case body.Kind == yaml.ScalarNode && body.Value == "input":
		t.wholeBody = true
	default:
		t.body = d.tree(body, join(t.key, "body"), place{attrs: requestAttrs, vars: requestVars(), optional: true, references: true})
		if l, ok := t.body.(literal); ok {
			d.problem(body, join(t.key, "body"), fmt.Sprintf("the body is the constant %q", fmt.Sprint(l.v)), "Write input, none, a mapping, a {field} or an = expression")
		}
	}
	if bare && (t.wholeBody || t.body != nil) {
		d.problem(body, join(t.key, "body"), t.method+" has no body", "Remove it, or use another method")
	}
	if n := len(t.headers); n > headersMax {
		d.problem(k, join(t.key, "headers"), fmt.Sprintf("there are %d headers", n), fmt.Sprintf("At most %d are sent", headersMax))
	}
	return t
}

func (d *decoder) method(n *yaml.Node, key string) string {
	if !slices.Contains(methods, n.Value) {
		fix := "Use one of " + strings.Join(methods, ", ")
		if near := spell.Nearest(n.Value, methods); near != "" {
			fix = fmt.Sprintf("Did you mean %s?", near)
		}
		d.problem(n, key, fmt.Sprintf("the method is %q", n.Value), fix)
	}
	return n.Value
}

// path compiles the path template: literal parts are checked now, parameters when
// they are filled.
func (d *decoder) path(n *yaml.Node, key string) []value {
	src, ok := d.str(n, key)
	switch {
	case !ok:
		return nil
	case !strings.HasPrefix(src, "/"):
		d.problem(n, key, fmt.Sprintf("%q does not begin with /", src), "The path goes below base_url; scheme and host are fixed there")
		return nil
	}
	v := d.template(n, key, src, place{attrs: requestAttrs, references: true})
	var parts []value
	switch v := v.(type) {
	case nil:
		return nil
	case text:
		parts = v.parts
	default:
		parts = []value{v}
	}
	var static strings.Builder
	for _, p := range parts {
		if l, ok := p.(literal); ok {
			static.WriteString(l.v.(string))
		} else {
			static.WriteString("x")
		}
	}
	if strings.ContainsAny(static.String(), "?#") {
		d.problem(n, key, "a path ends before ? and #", "Put parameters into query")
		return nil
	}
	if err := checkStaticPath(static.String()); err != nil {
		d.problem(n, key, err.Error(), "Write the path as the API documents it, percent-encoded")
		return nil
	}
	return parts
}

func (d *decoder) encoding(n *yaml.Node, key string) encoding {
	switch e := encoding(n.Value); e {
	case asJSON, asForm, asText:
		return e
	}
	d.problem(n, key, fmt.Sprintf("the encoding is %q", n.Value), "Use json, form or text")
	return asJSON
}

// cookies compiles the cookies of a request: of the payload's fields, or secrets.
func (d *decoder) cookies(n *yaml.Node, key string) (out []param) {
	d.mapping(n, key, func(k, v *yaml.Node) {
		line := key + "." + k.Value
		if headerName(k.Value) != nil {
			d.problem(k, line, fmt.Sprintf("%q is not a cookie's name", k.Value), "Use letters, digits, _ and -")
			return
		}
		if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
			d.problem(v, line, "a cookie's value is text", "")
			return
		}
		at := place{attrs: requestAttrs, vars: requestVars(), optional: true, references: true, secrets: true}
		out = append(out, param{k.Value, d.template(v, line, v.Value, at)})
	})
	return out
}

func (d *decoder) query(n *yaml.Node, key string) (out []param) {
	d.mapping(n, key, func(k, v *yaml.Node) {
		at := place{attrs: requestAttrs, vars: requestVars(), optional: true, references: true}
		out = append(out, param{k.Value, d.tree(v, key+"."+k.Value, at)})
	})
	return out
}

// headers compiles header lines and refuses those that a file or a payload may not set.
func (d *decoder) headers(n *yaml.Node, key string) (out []header) {
	seen := map[string]bool{}
	d.mapping(n, key, func(k, v *yaml.Node) {
		at := place{attrs: requestAttrs, vars: requestVars(), optional: true, references: true, secrets: true}
		line := key + "." + k.Value
		switch {
		case headerName(k.Value) != nil:
			d.problem(k, line, fmt.Sprintf("%q is not a header's name", k.Value), "Use letters, digits and -")
			return
		case seen[http.CanonicalHeaderKey(k.Value)]:
			d.problem(k, line, "this header stands here twice, with other capitals", "Remove one")
			return
		case strings.EqualFold(k.Value, "Idempotency-Key"):
			d.problem(k, line, "the worker sends the task's key itself, the same on all attempts", "Remove the line; to send it under another name, set idempotency_header of the service")
			return
		case reservedHeader(k.Value):
			d.problem(k, line, "this header is the worker's or the connection's", "Remove the line")
			return
		case credentialHeader(k.Value):
			at.references, at.vars, at.attrs = false, nil, nil
			at.noRefReason = "Credentials come from the file: ${env:NAME} or ${file:PATH}"
		}
		seen[http.CanonicalHeaderKey(k.Value)] = true
		if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
			d.problem(v, line, "a header's value is text", "")
			return
		}
		compiled := d.template(v, line, v.Value, at)
		if l, ok := compiled.(literal); ok && headerValue(fmt.Sprint(l.v)) != nil {
			d.problem(v, line, "the value has characters that no header may carry", "Remove control characters")
		}
		out = append(out, header{k.Value, compiled})
	})
	return out
}

// String is the request as the file says it: method and URL with its references.
func (t *Task) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", t.method, strings.TrimSuffix(t.service.base.String(), "/"))
	for _, p := range t.path {
		fmt.Fprint(&b, p)
	}
	return b.String()
}
