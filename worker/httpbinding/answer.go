package httpbinding

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
)

// resultMapping says what of an answer is the task's result.
type resultMapping struct {
	mode  resultMode
	value binding.Value // resultTree
}

type resultMode uint8

const (
	resultBody resultMode = iota // the JSON body as it is; an empty one is null
	resultText                   // the body as a JSON string
	resultNone                   // null, whatever the body is
	resultTree                   // built of the body's fields
)

// result reads body, text, none, or a template over the answer.
func (d *decoder) result(n *yaml.Node, key string) resultMapping {
	if n.Kind == yaml.ScalarNode {
		switch n.Value {
		case "body":
			return resultMapping{mode: resultBody}
		case "text":
			return resultMapping{mode: resultText}
		case "none":
			return resultMapping{mode: resultNone}
		}
	}
	v := d.Tree(n, key, binding.Place{Attrs: answerAttrs, Vars: answerVars(), Optional: true, References: true})
	if l, ok := v.(binding.Literal); ok {
		d.Problem(n, key, fmt.Sprintf("the result is the constant %q", fmt.Sprint(l.V)), "Write body, text, none, a mapping, a {field} of the answer or an = expression")
	}
	return resultMapping{mode: resultTree, value: v}
}

// outcome reads an answer and says what it means.
func (t *Task) outcome(resp *http.Response, call *worker.Call, now time.Time) ([]byte, error) {
	if t.poll != nil {
		return t.outcomeOfJob(resp, call, now)
	}
	switch class := t.statuses.of(resp.StatusCode); class {
	case binding.Completed:
		return t.completed(resp, call)
	case binding.Pending:
		return nil, worker.ErrPending
	default:
		return nil, t.refused(resp, class, now)
	}
}

// completed maps a success to the task's result.
func (t *Task) completed(resp *http.Response, call *worker.Call) ([]byte, error) {
	if t.result.mode == resultNone {
		return []byte("null"), nil
	}
	body, err := t.readBody(resp)
	if err != nil {
		return nil, err
	}
	return t.mapped(resp, body, call)
}

// mapped makes the task's result of a success.
func (t *Task) mapped(resp *http.Response, body []byte, call *worker.Call) ([]byte, error) {
	result, err := t.mapResult(resp, body, call)
	if err != nil {
		return nil, t.notMapped(resp, body, err)
	}
	return result, nil
}

// readBody reads an answer up to its bound.
func (t *Task) readBody(resp *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, t.answerBytes+1))
	if err != nil {
		return nil, err // the connection: the caller classifies it
	}
	if int64(len(body)) > t.answerBytes {
		return nil, &record.Failure{
			Kind: record.FailureBinding, Code: binding.CodeAnswerTooLarge, HTTPStatus: resp.StatusCode,
			Message: fmt.Sprintf("%s: the answer has more than %d bytes; raise answer_bytes_max of the task, or ask the API for less", t.key, t.answerBytes),
		}
	}
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") && len(body) > 0 { // gzip is off by now
		return nil, t.notMapped(resp, nil, fmt.Errorf("its body is encoded as %q, and only gzip is asked for and taken off; have the API send it plain", binding.Printable(coding)))
	}
	return body, nil
}

// notMapped is the failure of a success whose body, or the part of it that is the task's,
// does not fit.
func (t *Task) notMapped(resp *http.Response, body []byte, err error) *record.Failure {
	return &record.Failure{
		Kind: record.FailureBinding, Code: binding.CodeResultNotMapped, Retryable: true, HTTPStatus: resp.StatusCode,
		Message: fmt.Sprintf("%s: the API answered %d, but %v", t.key, resp.StatusCode, err),
		Problem: snippet(body),
	}
}

func (t *Task) mapResult(resp *http.Response, body []byte, call *worker.Call) ([]byte, error) {
	trimmed := bytes.TrimSpace(body)
	switch t.result.mode {
	case resultNone:
		return []byte("null"), nil
	case resultText:
		if !utf8.Valid(body) {
			return nil, errors.New("its body is not UTF-8 text")
		}
		return json.Marshal(string(body))
	case resultBody:
		if len(trimmed) == 0 {
			return []byte("null"), nil
		}
		if err := binding.CheckJSON(trimmed); err != nil {
			return nil, fmt.Errorf("its body (%s) is no result: %w; set result of the task to text or none", contentType(resp), err)
		}
		return trimmed, nil
	}
	return binding.Result(t.result.value, answerScope(resp, trimmed, call))
}

// answerScope is what templates see of an answer; call may be nil where the input is not
// offered.
func answerScope(resp *http.Response, body []byte, call *worker.Call) *binding.Scope {
	s := &binding.Scope{What: "answer", JSON: body, Attr: map[string]string{"status": strconv.Itoa(resp.StatusCode)}}
	s.More = func() map[string]any {
		headers := make(map[string]string, len(resp.Header))
		for k := range resp.Header {
			headers[strings.ToLower(k)] = resp.Header.Get(k)
		}
		vars := map[string]any{"status": resp.StatusCode, "headers": headers}
		if call != nil {
			input, _ := binding.RequestScope(call).Value() // not JSON: null
			vars["input"] = binding.Plain(input)
		}
		return vars
	}
	return s
}

// refused makes the failure of an answer that is not a success, with the API's own
// problem document.
func (t *Task) refused(resp *http.Response, class binding.Class, now time.Time) *record.Failure {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, record.ProblemBytesMax+1)) // what came of it
	f := &record.Failure{
		Kind: record.FailureHTTP, Code: "http_" + strconv.Itoa(resp.StatusCode),
		HTTPStatus: resp.StatusCode, Retryable: class == binding.Retry,
		Message: fmt.Sprintf("%s: the API answered %d %s", t.key, resp.StatusCode, http.StatusText(resp.StatusCode)),
	}
	if resp.StatusCode >= 300 && resp.StatusCode <= 399 {
		f.Message += "; redirects are not followed, set base_url and path to where the API is now"
	}
	if trimmed := bytes.TrimSpace(body); len(trimmed) > 0 {
		f.Problem = snippet(trimmed)
		if len(trimmed) <= record.ProblemBytesMax && binding.CheckJSON(trimmed) == nil {
			f.Problem = trimmed
			describe(f, trimmed)
		}
	}
	if f.Retryable {
		f.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), now, t.retryMax)
	}
	return f
}

// describe takes code and text of a problem document (RFC 9457) or of the shapes
// that APIs use instead.
func describe(f *record.Failure, body []byte) {
	var p struct {
		Title   string          `json:"title"`
		Detail  string          `json:"detail"`
		Message string          `json:"message"`
		Code    json.RawMessage `json:"code"`
	}
	if json.Unmarshal(body, &p) != nil {
		return
	}
	var code string
	if json.Unmarshal(p.Code, &code) == nil && binding.SnakeCase(code) {
		f.Code = code
	}
	for _, text := range []string{p.Title, p.Detail, p.Message} {
		if text = binding.Printable(text); text != "" {
			f.Message += ": " + text
		}
	}
}

// snippetBytes is how much of a body that is no problem document is kept.
const snippetBytes = 1 << 10

// snippet keeps the beginning of any body as a JSON string.
func snippet(body []byte) json.RawMessage {
	if len(body) == 0 {
		return nil
	}
	text := strings.ToValidUTF8(string(body[:min(len(body), snippetBytes)]), "")
	b, err := json.Marshal(text)
	if err != nil {
		return nil
	}
	return b
}

func contentType(resp *http.Response) string {
	t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return "without a content type"
	}
	return binding.Printable(t)
}

// retryAfter reads seconds or an HTTP date; 0 if there is neither. What is longer
// than most becomes most.
func retryAfter(v string, now time.Time, most time.Duration) time.Duration {
	v = strings.TrimSpace(v)
	if v == "" {
		return 0
	}
	var d time.Duration
	if digits := strings.TrimLeft(v, "0123456789"); digits == "" {
		seconds, err := strconv.ParseInt(v, 10, 64)
		if err != nil || seconds > int64(most/time.Second) {
			return most
		}
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(v); err == nil {
		d = at.Sub(now)
	}
	return max(0, min(d, most))
}
