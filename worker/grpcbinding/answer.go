package grpcbinding

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
)

// Codes of failures that only gRPC bindings report.
const (
	// CodeRequestTooLarge (kind grpc): the API does not take messages of this size. Not
	// retryable.
	CodeRequestTooLarge = "request_too_large"
)

// answer is what came of a call.
type answer struct {
	status   *status.Status
	reply    proto.Message
	metadata metadata.MD // of its beginning and its end
	secrets  *binding.Redactor
}

// outcome says what an answer means.
func (t *Task) outcome(a *answer, call *worker.Call) ([]byte, error) {
	switch class := t.codes.of(a.status.Code()); class {
	case binding.Completed:
		return t.completed(a, call)
	case binding.Pending:
		return nil, worker.ErrPending
	default:
		return nil, t.refused(a, class)
	}
}

// completed maps a success to the task's result; an answer of another code has no message.
func (t *Task) completed(a *answer, call *worker.Call) ([]byte, error) {
	result, err := t.mapResult(a, call)
	if err != nil {
		return nil, &record.Failure{
			Kind: record.FailureBinding, Code: binding.CodeResultNotMapped, Retryable: true, HTTPStatus: ruleOf(a.status.Code()).http,
			Message: a.secrets.Text(fmt.Sprintf("%s: the API answered %s, but %v", t.key, ruleOf(a.status.Code()).name, err)),
		}
	}
	return result, nil
}

func (t *Task) mapResult(a *answer, call *worker.Call) ([]byte, error) {
	if t.result == nil && !t.wholeResult {
		return []byte("null"), nil
	}
	body := []byte("null")
	if a.status.Code() == codes.OK {
		var err error
		if body, err = t.encode(a.reply); err != nil {
			return nil, fmt.Errorf("its message is no JSON: %w", err)
		}
	}
	if t.wholeResult {
		return body, nil
	}
	code := ruleOf(a.status.Code()).name
	s := &binding.Scope{What: "answer", JSON: body, Attr: map[string]string{"code": code}}
	s.More = func() map[string]any {
		md := make(map[string]string, len(a.metadata))
		for k, v := range a.metadata {
			md[k] = strings.Join(v, ", ")
		}
		input, _ := binding.RequestScope(call).Value() // not JSON: null
		return map[string]any{"code": code, "metadata": md, "input": binding.Plain(input)}
	}
	return binding.Result(t.result, s)
}

// refused makes the failure of an answer that is not a success, with its details.
func (t *Task) refused(a *answer, class binding.Class) *record.Failure {
	rule := ruleOf(a.status.Code())
	text := a.secrets.Text(binding.Printable(a.status.Message()))
	f := &record.Failure{
		Kind: record.FailureGRPC, Code: "grpc_" + strings.ToLower(rule.name), HTTPStatus: rule.http, Retryable: class == binding.Retry,
		Message: fmt.Sprintf("%s: the API answered %s", t.key, rule.name),
	}
	if text != "" {
		f.Message += ": " + text
	}
	if _, overridden := t.codes[codes.ResourceExhausted]; !overridden && a.status.Code() == codes.ResourceExhausted && strings.Contains(text, "message larger than max") {
		f.Code, f.Retryable = CodeRequestTooLarge, false // it is as large the next time
	}
	f.Problem = t.problem(a, rule, text)
	for _, d := range a.status.Proto().GetDetails() {
		var retry errdetails.RetryInfo
		var info errdetails.ErrorInfo
		switch {
		case f.Retryable && d.MessageIs(&retry) && d.UnmarshalTo(&retry) == nil:
			f.RetryAfter = max(0, min(retry.GetRetryDelay().AsDuration(), t.retryMax))
		case d.MessageIs(&info) && d.UnmarshalTo(&info) == nil && binding.SnakeCase(strings.ToLower(info.GetReason())):
			f.Code = strings.ToLower(info.GetReason())
		}
	}
	return f
}

// problem is the problem document of a status, with as many details as it may carry.
func (t *Task) problem(a *answer, rule codeRule, text string) json.RawMessage {
	const textMax = record.ProblemBytesMax / 8 // escaped, a byte may be six
	doc := map[string]any{"title": rule.name, "status": rule.http, "grpc_code": a.status.Code()}
	if text != "" {
		doc["detail"] = strings.ToValidUTF8(text[:min(len(text), textMax)], "")
	}
	out := marshal(doc)
	var details []json.RawMessage
	all := a.status.Proto().GetDetails()
	for i, d := range all {
		with := maps.Clone(doc)
		with["details"] = append(details, t.detail(a, d))
		if left := len(all) - i - 1; left > 0 {
			with["details_left_out"] = left
		}
		b := marshal(with)
		if len(b) > record.ProblemBytesMax {
			doc["details_left_out"] = len(all) - i
			if len(details) > 0 {
				doc["details"] = details
			}
			return marshal(doc)
		}
		details, out = append(details, t.detail(a, d)), b
	}
	return out
}

// detail is one detail as JSON; of a type that nobody knows its bytes.
func (t *Task) detail(a *answer, d *anypb.Any) json.RawMessage {
	b, err := protojson.MarshalOptions{Resolver: resolver{t.service.methods.types}}.Marshal(d)
	if err == nil {
		b, err = compact(b)
	}
	if err == nil {
		b = a.secrets.JSON(b)
	}
	if err != nil || !json.Valid(b) {
		return marshal(map[string]any{"@type": d.GetTypeUrl(), "@base64": base64.StdEncoding.EncodeToString(d.GetValue())})
	}
	return b
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // of texts, numbers and valid JSON
	}
	return b
}

func compact(b []byte) ([]byte, error) {
	var out bytes.Buffer
	err := json.Compact(&out, b)
	return out.Bytes(), err
}

// notEnded is the failure of a call that the API has not ended itself. Whether it did what
// was asked is unknown: the next attempt carries the same key.
func (t *Task) notEnded(ctx context.Context, c *channel, a *answer) error {
	if _, timed := ctx.Deadline(); timed && a.status.Code() == codes.DeadlineExceeded {
		<-ctx.Done() // the library looks at the clock, and the context's timer is a moment late
	}
	if ctx.Err() != nil {
		return ctx.Err() // the worker knows whether the time was up or the record moves
	}
	f := &record.Failure{Kind: record.FailureNetwork, Retryable: true}
	why := errors.New(a.status.Message())
	if err := c.dialed.Load(); err != nil && *err != nil {
		why = *err
	}
	f.Code = binding.NetworkCode(why)
	f.Message = a.secrets.Text(fmt.Sprintf("%s: no answer from %s: %s", t.key, t.service.address, binding.Printable(why.Error())))
	return f
}

// ownFailure is the failure of a call that the library gave up for what was sent or came; nil:
// it did not.
func (t *Task) ownFailure(a *answer) *record.Failure {
	text := a.status.Message()
	f := &record.Failure{Kind: record.FailureBinding}
	switch {
	case a.status.Code() == codes.ResourceExhausted && strings.Contains(text, "larger than max") &&
		(strings.HasSuffix(text, fmt.Sprintf("vs. %d)", t.answerBytes)) || strings.HasSuffix(text, fmt.Sprintf("max %d", t.answerBytes))): // the latter behind the decompression
		f.Code = binding.CodeAnswerTooLarge
		f.Message = fmt.Sprintf("%s: the answer has more than %d bytes; raise answer_bytes_max of the task, or ask the API for less", t.key, t.answerBytes)
	case a.status.Code() == codes.ResourceExhausted && strings.Contains(text, "trying to send message larger than max"):
		f.Code = CodeRequestTooLarge
		f.Message = fmt.Sprintf("%s: the message has more than %d bytes, which is the most that is sent", t.key, requestBytesMax)
	case text == "peer header list size exceeded limit":
		f.Kind, f.Code, f.Retryable = record.FailureNetwork, "no_answer", true
		f.Message = fmt.Sprintf("%s: no answer from %s: its metadata has more than %d bytes", t.key, t.service.address, answerHeaderMax)
	case strings.HasPrefix(text, "grpc: Decompressor is not installed"), strings.HasPrefix(text, "grpc: compressed flag set"):
		f.Code, f.Retryable = binding.CodeResultNotMapped, true
		f.Message = fmt.Sprintf("%s: the answer is compressed, which was not asked for; have the API send it plain", t.key)
	case a.status.Code() == codes.Internal && strings.Contains(text, "failed to unmarshal the received message"):
		f.Code, f.Retryable = binding.CodeResultNotMapped, true
		f.Message = fmt.Sprintf("%s: the answer is no %s: the descriptors are not those of the API, import them anew", t.key, t.method.Output().FullName())
	default:
		return nil
	}
	return f
}
