package httpbinding

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/expr-lang/expr/types"
	"go.yaml.in/yaml/v3"

	"github.com/odradek/odradek/internal/spell"
	"github.com/odradek/odradek/topology"

	"github.com/odradek/odradek/worker/binding"
)

// answerAttrs and answerVars are what result templates and expressions may use beside the
// answer's body.
var answerAttrs = []string{"status"}

// ofOne is the place of a request's template for one task.
func ofOne() binding.Place {
	return binding.Place{Attrs: binding.RequestAttrs, Vars: binding.RequestVars(), Optional: true, References: true}
}

func answerVars() types.Map {
	return types.Map{"body": types.Any, "status": types.Int, "headers": types.TypeOf(map[string]string{}), "input": types.Any}
}

var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead, http.MethodOptions}

func (d *decoder) task(s *Service, k, n *yaml.Node) *Task {
	t := &Task{
		Operation: k.Value, Timeout: s.Timeout, service: s, key: s.Name + "." + k.Value,
		method: http.MethodPost, encoding: asJSON, retryMax: s.RetryAfterMax, answerBytes: s.AnswerBytes, statuses: s.statuses,
		headers: slices.Clip(s.headers),
	}
	if err := topology.CheckName("operation", t.Operation); err != nil {
		d.Problem(k, t.key, err.Error(), "")
	}
	var path, query, headers, cookies, body, batch, poll *yaml.Node
	d.Fields(n, t.key, map[string]func(string, *yaml.Node){
		"method":           func(key string, v *yaml.Node) { t.method = d.method(v, key) },
		"path":             func(_ string, v *yaml.Node) { path = v },
		"query":            func(_ string, v *yaml.Node) { query = v },
		"headers":          func(_ string, v *yaml.Node) { headers = v },
		"cookies":          func(_ string, v *yaml.Node) { cookies = v },
		"encoding":         func(key string, v *yaml.Node) { t.encoding = d.encoding(v, key) },
		"body":             func(_ string, v *yaml.Node) { body = v },
		"result":           func(key string, v *yaml.Node) { t.result = d.result(v, key) },
		"batch":            func(_ string, v *yaml.Node) { batch = v },
		"poll":             func(_ string, v *yaml.Node) { poll = v },
		"timeout":          func(key string, v *yaml.Node) { t.Timeout = d.Duration(v, key, binding.TimeoutMax) },
		"retry_after_max":  func(key string, v *yaml.Node) { t.retryMax = d.Duration(v, key, binding.RetryAfterMaxMax) },
		"answer_bytes_max": func(key string, v *yaml.Node) { t.answerBytes = d.Size(v, key, binding.AnswerBytesMax) },
		"statuses":         func(key string, v *yaml.Node) { t.statuses = s.statuses.with(d.statuses(v, key)) },
	})
	at := ofOne()
	if batch != nil { // its requests are of many tasks
		at.Attrs, at.Vars, at.Root = batchAttrs, batchVars(), "items"
		for _, h := range s.headers {
			if !binding.Fixed(h.value) {
				d.Problem(batch, binding.Join(t.key, "batch"), fmt.Sprintf("the service's header %s is filled by one task, and a request is of many here", h.name), "Move the header to the tasks that are not batches")
			}
		}
	}
	if path == nil {
		d.Problem(k, binding.Join(t.key, "path"), "this key is missing", "Write the path below base_url, such as /payments/{customer}")
	} else {
		t.path = d.path(path, binding.Join(t.key, "path"), at)
	}
	if query != nil {
		t.query = d.query(query, binding.Join(t.key, "query"), at)
	}
	if headers != nil {
		t.headers = append(t.headers, d.headers(headers, binding.Join(t.key, "headers"), at)...)
	}
	for _, h := range t.headers {
		if strings.EqualFold(h.name, s.keyHeader) {
			d.Problem(k, binding.Join(t.key, "headers."+h.name), "the worker sends the task's key under this name: it is the service's idempotency_header", "Remove the line")
		}
	}
	if cookies != nil {
		t.cookies = d.cookies(cookies, binding.Join(t.key, "cookies"), at)
	}
	if batch != nil { // behind timeout and result
		d.batch(batch, binding.Join(t.key, "batch"), t)
	}
	switch {
	case poll == nil:
	case batch != nil:
		d.Problem(poll, binding.Join(t.key, "poll"), "a batch is answered at once, for all its tasks", "Remove batch, or poll")
	default: // behind statuses
		d.poll(poll, binding.Join(t.key, "poll"), t)
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
		t.body = d.Tree(body, binding.Join(t.key, "body"), at)
		if l, ok := t.body.(binding.Literal); ok {
			d.Problem(body, binding.Join(t.key, "body"), fmt.Sprintf("the body is the constant %q", fmt.Sprint(l.V)), "Write input, none, a mapping, a {field} or an = expression")
		}
	}
	if bare && (t.wholeBody || t.body != nil) {
		d.Problem(body, binding.Join(t.key, "body"), t.method+" has no body", "Remove it, or use another method")
	}
	if n := len(t.headers); n > headersMax {
		d.Problem(k, binding.Join(t.key, "headers"), fmt.Sprintf("there are %d headers", n), fmt.Sprintf("At most %d are sent", headersMax))
	}
	return t
}

func (d *decoder) method(n *yaml.Node, key string) string {
	if !slices.Contains(methods, n.Value) {
		fix := "Use one of " + strings.Join(methods, ", ")
		if near := spell.Nearest(n.Value, methods); near != "" {
			fix = fmt.Sprintf("Did you mean %s?", near)
		}
		d.Problem(n, key, fmt.Sprintf("the method is %q", n.Value), fix)
	}
	return n.Value
}

// path compiles the path template: literal parts are checked now, parameters when
// they are filled.
func (d *decoder) path(n *yaml.Node, key string, at binding.Place) []binding.Value {
	src, ok := d.Str(n, key)
	switch {
	case !ok:
		return nil
	case !strings.HasPrefix(src, "/"):
		d.Problem(n, key, fmt.Sprintf("%q does not begin with /", src), "The path goes below base_url; scheme and host are fixed there")
		return nil
	}
	at.Optional, at.Vars = false, nil
	v := d.Template(n, key, src, at)
	var parts []binding.Value
	switch v := v.(type) {
	case nil:
		return nil
	case binding.Text:
		parts = v.Parts
	default:
		parts = []binding.Value{v}
	}
	var static strings.Builder
	for _, p := range parts {
		if l, ok := p.(binding.Literal); ok {
			static.WriteString(l.V.(string))
		} else {
			static.WriteString("x")
		}
	}
	if strings.ContainsAny(static.String(), "?#") {
		d.Problem(n, key, "a path ends before ? and #", "Put parameters into query")
		return nil
	}
	if err := checkStaticPath(static.String()); err != nil {
		d.Problem(n, key, err.Error(), "Write the path as the API documents it, percent-encoded")
		return nil
	}
	return parts
}

func (d *decoder) encoding(n *yaml.Node, key string) encoding {
	switch e := encoding(n.Value); e {
	case asJSON, asForm, asText:
		return e
	}
	d.Problem(n, key, fmt.Sprintf("the encoding is %q", n.Value), "Use json, form or text")
	return asJSON
}

// cookies compiles the cookies of a request: of the payload's fields, or secrets.
func (d *decoder) cookies(n *yaml.Node, key string, at binding.Place) (out []param) {
	at.Secrets = true
	d.Mapping(n, key, func(k, v *yaml.Node) {
		line := key + "." + k.Value
		if binding.HeaderName(k.Value) != nil {
			d.Problem(k, line, fmt.Sprintf("%q is not a cookie's name", k.Value), "Use letters, digits, _ and -")
			return
		}
		if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
			d.Problem(v, line, "a cookie's value is text", "")
			return
		}
		out = append(out, param{k.Value, d.Template(v, line, v.Value, at)})
	})
	return out
}

func (d *decoder) query(n *yaml.Node, key string, at binding.Place) (out []param) {
	d.Mapping(n, key, func(k, v *yaml.Node) {
		out = append(out, param{k.Value, d.Tree(v, key+"."+k.Value, at)})
	})
	return out
}

// headers compiles header lines and refuses those that a file or a payload may not set.
func (d *decoder) headers(n *yaml.Node, key string, at binding.Place) (out []header) {
	seen := map[string]bool{}
	d.Mapping(n, key, func(k, v *yaml.Node) {
		at := at
		at.Secrets = true
		line := key + "." + k.Value
		switch {
		case binding.HeaderName(k.Value) != nil:
			d.Problem(k, line, fmt.Sprintf("%q is not a header's name", k.Value), "Use letters, digits and -")
			return
		case seen[http.CanonicalHeaderKey(k.Value)]:
			d.Problem(k, line, "this header stands here twice, with other capitals", "Remove one")
			return
		case strings.EqualFold(k.Value, "Idempotency-Key"):
			d.Problem(k, line, "the worker sends the task's key itself, the same on all attempts", "Remove the line; to send it under another name, set idempotency_header of the service")
			return
		case reservedHeader(k.Value):
			d.Problem(k, line, "this header is the worker's or the connection's", "Remove the line")
			return
		case binding.CredentialHeader(k.Value):
			at.References, at.Vars, at.Attrs = false, nil, nil
			at.NoRefReason = "Credentials come from the file: ${env:NAME} or ${file:PATH}"
		}
		seen[http.CanonicalHeaderKey(k.Value)] = true
		if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
			d.Problem(v, line, "a header's value is text", "")
			return
		}
		compiled := d.Template(v, line, v.Value, at)
		if l, ok := compiled.(binding.Literal); ok && binding.HeaderValue(fmt.Sprint(l.V)) != nil {
			d.Problem(v, line, "the value has characters that no header may carry", "Remove control characters")
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
