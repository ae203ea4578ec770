package httpbinding

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
)

// requestBytesMax bounds a body that a template builds, as F5 bounds the input.
const requestBytesMax = 512 << 10

// queryBytesMax bounds a query; servers refuse lines of more than about 8 KB.
const queryBytesMax = 8 << 10

// Request builds the task's request. An error is the binding's or the input's fault:
// it names both.
func (t *Task) Request(ctx context.Context, call *worker.Call) (*http.Request, error) {
	s := requestScope(call)
	path, err := t.buildPath(s)
	if err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	query, err := t.buildQuery(s)
	if err != nil {
		return nil, err
	}
	body, err := t.buildBody(s, call)
	if err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	address := t.service.base.Scheme + "://" + t.service.base.Host + path
	if query != "" {
		address += "?" + query
	}
	var reader io.Reader // not a typed nil: http tells "no body" by it
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, t.method, address, reader)
	if err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", contentTypes[t.encoding])
	}
	cookies, err := t.buildCookies(s)
	if err != nil {
		return nil, err
	}
	if cookies != "" {
		req.Header.Set("Cookie", cookies)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "odradek-svcworker")
	size := 0
	for _, h := range t.headers {
		v, present, err := line(h.value, s)
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", h.name, err)
		}
		if !present {
			continue
		}
		str, err := scalar(v)
		if err == nil {
			err = headerValue(str)
		}
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", h.name, err)
		}
		if size += len(h.name) + len(str) + 4; size > headerBytesMax {
			return nil, fmt.Errorf("header %s: the headers have more than %d bytes together", h.name, headerBytesMax)
		}
		req.Header.Set(h.name, str)
	}
	if err := headerValue(call.Key); err != nil {
		return nil, fmt.Errorf("the task's idempotency key: %w", err)
	}
	req.Header.Set(t.service.keyHeader, call.Key)
	for _, h := range call.Trace {
		if headerValue(string(h.Value)) == nil && len(h.Value) <= headerBytesMax {
			req.Header.Set(h.Key, string(h.Value))
		}
	}
	return req, nil
}

// requestScope is what the request's templates see.
func requestScope(call *worker.Call) *scope {
	return &scope{what: "input", json: call.Input,
		attr: map[string]string{
			"key": call.Key, "task": call.Task.String(), "workflow_id": call.WorkflowID, "workflow_type": call.WorkflowType, "token": call.Token(),
		},
		more: func() map[string]any {
			return map[string]any{"key": call.Key, "task": call.Task.String(), "workflow_id": call.WorkflowID, "workflow_type": call.WorkflowType, "token": call.Token()}
		},
	}
}

// buildPath fills the path below base_url, percent-encoded.
func (t *Task) buildPath(s *scope) (string, error) {
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(t.service.base.EscapedPath(), "/"))
	for _, p := range t.path {
		if l, ok := p.(literal); ok {
			b.WriteString(l.v.(string))
			continue
		}
		v, _, err := p.eval(s)
		if err != nil {
			return "", err
		}
		str, err := scalar(v)
		if err == nil {
			str, err = pathParam(str)
		}
		if err != nil {
			return "", fmt.Errorf("%v: %w", p, err)
		}
		b.WriteString(str)
	}
	path := b.String()
	return path, checkSegments(path) // two harmless parameters can make one ".."
}

// buildQuery encodes the parameters; a list gives one line for each element.
func (t *Task) buildQuery(s *scope) (string, error) {
	if len(t.query) == 0 {
		return "", nil
	}
	values := url.Values{}
	for _, q := range t.query {
		v, present, err := line(q.value, s)
		if err != nil {
			return "", fmt.Errorf("query %s: %w", q.name, err)
		}
		if !present {
			continue
		}
		elements, ok := v.([]any)
		if !ok {
			elements = []any{v}
		}
		for _, e := range elements {
			str, err := scalar(e)
			if err != nil {
				return "", fmt.Errorf("query %s: it %w", q.name, err)
			}
			values.Add(q.name, str)
		}
	}
	out := values.Encode()
	if len(out) > queryBytesMax {
		return "", fmt.Errorf("query: it has %d bytes, at most %d are sent", len(out), queryBytesMax)
	}
	return out, nil
}

// buildBody gives the body's bytes; nil for none.
func (t *Task) buildBody(s *scope, call *worker.Call) ([]byte, error) {
	switch {
	case t.wholeBody:
		if err := noMessage("input", call.Input); err != nil {
			return nil, err
		}
		return call.Input, nil
	case t.body == nil:
		return nil, nil
	}
	v, present, err := t.body.eval(s)
	if err != nil || !present {
		return nil, err
	}
	switch t.encoding {
	case asForm:
		return encodeForm(v)
	case asText:
		str, err := scalar(v)
		if err == nil && len(str) > requestBytesMax {
			err = fmt.Errorf("it has %d bytes, at most %d are allowed", len(str), requestBytesMax)
		}
		return []byte(str), err
	}
	return encode(v)
}

var contentTypes = map[encoding]string{
	asJSON: "application/json", asForm: "application/x-www-form-urlencoded", asText: "text/plain; charset=utf-8",
}

// line is a value of which an expression may say with nil that there is none.
func line(v value, s *scope) (any, bool, error) {
	out, present, err := v.eval(s)
	if _, computed := v.(*expression); computed && out == nil {
		present = false
	}
	return out, present, err
}

// buildCookies makes one header line of the cookies; values are percent-encoded, so that
// none begins another.
func (t *Task) buildCookies(s *scope) (string, error) {
	var b strings.Builder
	for _, c := range t.cookies {
		v, present, err := line(c.value, s)
		if err != nil {
			return "", fmt.Errorf("cookie %s: %w", c.name, err)
		}
		if !present {
			continue
		}
		str, err := scalar(v)
		if err != nil {
			return "", fmt.Errorf("cookie %s: it %w", c.name, err)
		}
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(c.name + "=" + cookieValue(str))
		if b.Len() > headerBytesMax {
			return "", fmt.Errorf("cookie %s: the cookies have more than %d bytes together", c.name, headerBytesMax)
		}
	}
	return b.String(), nil
}

// cookieValue escapes what RFC 6265 does not allow in a value, and the percent sign.
func cookieValue(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= 0x20 || c >= 0x7f || strings.IndexByte(`",;\%`, c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// encodeForm writes an object as a form; a list gives one field for each element.
func encodeForm(v any) ([]byte, error) {
	if raw, ok := v.(json.RawMessage); ok {
		var err error
		if v, err = decodeJSON(raw); err != nil {
			return nil, err
		}
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("a form is made of an object, not of %s", kindOf(v))
	}
	values := url.Values{}
	for name, x := range fields {
		if x == nil {
			continue
		}
		elements, ok := x.([]any)
		if !ok {
			elements = []any{x}
		}
		for _, e := range elements {
			if nested, ok := e.(map[string]any); ok { // as OpenAPI says of a form's objects
				text, err := json.Marshal(nested)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
				values.Add(name, string(text))
				continue
			}
			str, err := scalar(e)
			if err != nil {
				return nil, fmt.Errorf("%s: it %w", name, err)
			}
			values.Add(name, str)
		}
	}
	out := values.Encode()
	if len(out) > requestBytesMax {
		return nil, fmt.Errorf("it has %d bytes, at most %d are allowed", len(out), requestBytesMax)
	}
	return []byte(out), nil
}

// encode makes JSON of a built value.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("it is no JSON value: %w", err)
	}
	out := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(out) > requestBytesMax {
		return nil, fmt.Errorf("it has %d bytes, at most %d are allowed", len(out), requestBytesMax)
	}
	if err := checkJSON(out); err != nil {
		return nil, err
	}
	return out, nil
}

// notBuilt is the failure of a request that cannot be built. It is retryable: a
// binding is put right by the next deploy, and the work waits for it.
func (t *Task) notBuilt(err error) *record.Failure {
	return &record.Failure{
		Kind: record.FailureBinding, Code: CodeRequestNotBuilt, Retryable: true,
		Message: fmt.Sprintf("%s: %v", t.key, err),
	}
}
