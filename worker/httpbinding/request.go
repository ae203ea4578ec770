package httpbinding

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
)

// queryBytesMax bounds a query; servers refuse lines of more than about 8 KB.
const queryBytesMax = 8 << 10

// Request builds the task's request. An error is the binding's or the input's fault:
// it names both.
func (t *Task) Request(ctx context.Context, call *worker.Call) (*http.Request, error) {
	if t.batch != nil {
		return t.BatchRequest(ctx, []*worker.Call{call})
	}
	if err := binding.HeaderValue(call.Key); err != nil {
		return nil, fmt.Errorf("the task's idempotency key: %w", err)
	}
	if j := t.left(call); j != nil {
		return t.question(ctx, call, j)
	}
	return t.build(ctx, binding.RequestScope(call), sending{key: call.Key, trace: call.Trace, bodyMax: binding.RequestBytesMax, whole: func() ([]byte, error) {
		return call.Input, binding.NoMessage("input", call.Input)
	}})
}

// sending is what a request carries beside what its templates say.
type sending struct {
	key     string                 // idempotency key
	trace   []record.Header        // W3C
	whole   func() ([]byte, error) // the body, where no template says it
	bodyMax int                    // bytes of a body that a template builds
}

func (t *Task) build(ctx context.Context, s *binding.Scope, with sending) (*http.Request, error) {
	path, err := t.fillPath(t.path, s)
	if err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	query, err := t.buildQuery(s)
	if err != nil {
		return nil, err
	}
	body, err := t.buildBody(s, with)
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
	if err := t.addHeaders(req, s, with); err != nil {
		return nil, err
	}
	return req, nil
}

// addHeaders adds the header lines of the file and those of the worker's own.
func (t *Task) addHeaders(req *http.Request, s *binding.Scope, with sending) error {
	cookies, err := t.buildCookies(s)
	if err != nil {
		return err
	}
	if cookies != "" {
		req.Header.Set("Cookie", cookies)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "odradek-svcworker")
	size := 0
	for _, h := range t.headers {
		v, present, err := binding.Line(h.value, s)
		if err != nil {
			return fmt.Errorf("header %s: %w", h.name, err)
		}
		if !present {
			continue
		}
		str, err := binding.Scalar(v)
		if err == nil {
			err = binding.HeaderValue(str)
		}
		if err != nil {
			return fmt.Errorf("header %s: %w", h.name, err)
		}
		if size += len(h.name) + len(str) + 4; size > headerBytesMax {
			return fmt.Errorf("header %s: the headers have more than %d bytes together", h.name, headerBytesMax)
		}
		req.Header.Set(h.name, str)
	}
	req.Header.Set(t.service.keyHeader, with.key)
	for _, h := range with.trace {
		if binding.HeaderValue(string(h.Value)) == nil && len(h.Value) <= headerBytesMax {
			req.Header.Set(h.Key, string(h.Value))
		}
	}
	return nil
}

// fillPath fills a path below base_url, percent-encoded.
func (t *Task) fillPath(parts []binding.Value, s *binding.Scope) (string, error) {
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(t.service.base.EscapedPath(), "/"))
	for _, p := range parts {
		if l, ok := p.(binding.Literal); ok {
			b.WriteString(l.V.(string))
			continue
		}
		v, _, err := p.Eval(s)
		if err != nil {
			return "", err
		}
		str, err := binding.Scalar(v)
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
func (t *Task) buildQuery(s *binding.Scope) (string, error) {
	if len(t.query) == 0 {
		return "", nil
	}
	values := url.Values{}
	for _, q := range t.query {
		v, present, err := binding.Line(q.value, s)
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
			str, err := binding.Scalar(e)
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
func (t *Task) buildBody(s *binding.Scope, with sending) ([]byte, error) {
	switch {
	case t.wholeBody:
		return with.whole()
	case t.body == nil:
		return nil, nil
	}
	v, present, err := t.body.Eval(s)
	if err != nil || !present {
		return nil, err
	}
	switch t.encoding {
	case asForm:
		return encodeForm(v, with.bodyMax)
	case asText:
		str, err := binding.Scalar(v)
		if err == nil && len(str) > with.bodyMax {
			err = binding.TooLong(len(str), with.bodyMax)
		}
		return []byte(str), err
	}
	return binding.EncodeWithin(v, with.bodyMax)
}

var contentTypes = map[encoding]string{
	asJSON: "application/json", asForm: "application/x-www-form-urlencoded", asText: "text/plain; charset=utf-8",
}

// buildCookies makes one header line of the cookies; values are percent-encoded, so that
// none begins another.
func (t *Task) buildCookies(s *binding.Scope) (string, error) {
	var b strings.Builder
	for _, c := range t.cookies {
		v, present, err := binding.Line(c.value, s)
		if err != nil {
			return "", fmt.Errorf("cookie %s: %w", c.name, err)
		}
		if !present {
			continue
		}
		str, err := binding.Scalar(v)
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
func encodeForm(v any, most int) ([]byte, error) {
	if raw, ok := v.(json.RawMessage); ok {
		var err error
		if v, err = binding.DecodeJSON(raw); err != nil {
			return nil, err
		}
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("a form is made of an object, not of %s", binding.KindOf(v))
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
			str, err := binding.Scalar(e)
			if err != nil {
				return nil, fmt.Errorf("%s: it %w", name, err)
			}
			values.Add(name, str)
		}
	}
	out := values.Encode()
	if len(out) > most {
		return nil, binding.TooLong(len(out), most)
	}
	return []byte(out), nil
}

// notBuilt is the failure of a request that cannot be built. It is retryable: a
// binding is put right by the next deploy, and the work waits for it.
func (t *Task) notBuilt(err error) *record.Failure {
	if f, ok := errors.AsType[*record.Failure](err); ok {
		return f
	}
	return &record.Failure{
		Kind: record.FailureBinding, Code: binding.CodeRequestNotBuilt, Retryable: true,
		Message: fmt.Sprintf("%s: %v", t.key, err),
	}
}
