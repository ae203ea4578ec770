package grpcbinding

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
)

func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

func failureOf(t *testing.T, err error) *record.Failure {
	t.Helper()
	f, ok := errors.AsType[*record.Failure](err)
	if !ok {
		t.Fatalf("got %v, want a failure", err)
	}
	return worker.Failure(f)
}

// TestACall: the input is the message, the answer the result, and the metadata has the key,
// the trace and what the file says.
func TestACall(t *testing.T) {
	t.Parallel()
	const input = `{"account":"a","cents":"9007199254740993","internal":{"number":"7"},"currency":"EUR","labels":{"k":"v"},"due":"2026-03-31T10:00:00Z","cc":[{"number":"8"}]}`
	var seen atomic.Pointer[metadata.MD]
	var deadline atomic.Bool
	a := newAPI(t, func(ctx context.Context, request string) (string, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		seen.Store(&md)
		_, ok := ctx.Deadline()
		deadline.Store(ok)
		return `{"transferId":"t-1","request":` + request + `}`, grpc.SetHeader(ctx, metadata.Pairs("x-region", "eu"))
	})
	task := bind(t, a.plain()+`metadata: {x-tenant: "${env:PATH}", x-of: "{$workflow_id}", x-none: "{note?}", x-bin: "ä"}`, "")
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	out, err := task.Call(ctx, testCall(input))
	if err != nil || !sameJSON(string(out), `{"transferId":"t-1","balance":"0","request":`+input+`}`) {
		t.Errorf("the result is %s, %v", out, err)
	}
	md := *seen.Load()
	for name, want := range map[string]string{
		"idempotency-key": "key-1", "x-of": "customer-7", "x-none": "", "x-bin": "ä",
		"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	} {
		if got := strings.Join(md.Get(name), ","); got != want {
			t.Errorf("metadata %s is %q, want %q", name, got, want)
		}
	}
	if !deadline.Load() || len(md.Get("x-tenant")) != 1 || !strings.HasPrefix(md.Get("user-agent")[0], "odradek-svcworker") {
		t.Errorf("deadline %v, metadata %v", deadline.Load(), md)
	}
	mapped := bind(t, a.plain(), `
body: {account: "{customer}", iban: "= input.iban", cents: "{cents}", labels: {from: "{$workflow_type}"}, currency: "{currency?}"}
result: {id: "{transferId}", code: "{$code}", region: "= metadata[\"x-region\"]", of: "= input.customer", sum: "{request.cents}"}
`)
	out, err = mapped.Call(ctx, testCall(`{"customer":"c","iban":"DE1","cents":5}`))
	if err != nil || !sameJSON(string(out), `{"id":"t-1","code":"OK","region":"eu","of":"c","sum":"5"}`) {
		t.Errorf("mapped: %s, %v", out, err)
	}
	if out, err := bind(t, a.plain(), "body: none\nresult: none").Call(ctx, testCall(`{"what":1}`)); err != nil || string(out) != "null" {
		t.Errorf("none: %s, %v", out, err)
	}
	if _, err := bind(t, a.plain(), "codes: {OK: pending}").Call(ctx, testCall(`{}`)); !errors.Is(err, worker.ErrPending) {
		t.Errorf("pending: %v", err)
	}
}

// TestAProtobufInput: an input that is the method's message is sent as it is; another is
// refused.
func TestAProtobufInput(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(_ context.Context, request string) (string, error) { return `{"request":` + request + `}`, nil })
	task := bind(t, a.plain(), "result: '{request.account}'")
	m := dynamicpb.NewMessage(task.method.Input())
	if err := protojson.Unmarshal([]byte(`{"account":"a"}`), m); err != nil {
		t.Fatal(err)
	}
	payload, err := codec.EncodePayload(m, false)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := task.Call(t.Context(), testCall(string(payload))); err != nil || string(out) != `"a"` {
		t.Errorf("%s, %v", out, err)
	}
	if payload, err = codec.EncodePayload(&errdetails.RetryInfo{}, false); err != nil {
		t.Fatal(err)
	}
	_, err = task.Call(t.Context(), testCall(string(payload)))
	if f := failureOf(t, err); f.Code != binding.CodeRequestNotBuilt || !strings.Contains(f.Message, "google.rpc.RetryInfo, and the method takes acme.bank.v1.TransferRequest") {
		t.Errorf("%v", f)
	}
}

// TestRequestsThatAreNotBuilt: the failure is retryable and says what does not fit.
func TestRequestsThatAreNotBuilt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ service, task, input, want string }{
		"unknown field":   {"", "", `{"acount":"a"}`, `it does not fit acme.bank.v1.TransferRequest: (line 1:2): unknown field "acount"`},
		"wrong type":      {"", "", `{"cents":"x"}`, "does not fit"},
		"two of a oneof":  {"", "", `{"iban":"a","internal":{}}`, "oneof"},
		"enum":            {"", "", `{"currency":"USD"}`, "USD"},
		"no JSON":         {"", "", `{`, "it is not JSON"},
		"too deep":        {"", "", strings.Repeat("[", 70) + strings.Repeat("]", 70), "nested deeper"},
		"missing":         {"", `body: {account: "{customer}"}`, `{"custommer":1}`, `{customer} needs "customer"`},
		"metadata":        {`metadata: {x-a: "{a}"}`, "body: none", `{"a":"b\nc"}`, "metadata x-a"},
		"metadata object": {`metadata: {x-a: "{a}"}`, "body: none", `{"a":{}}`, "metadata x-a"},
		"too much of it":  {`metadata: {x-a: "{a}"}`, "body: none", `{"a":"` + strings.Repeat("x", 9000) + `"}`, "more than 8192 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := bind(t, "address: 127.0.0.1:1\nplaintext: true\n"+c.service, c.task).Call(t.Context(), testCall(c.input))
			if f := failureOf(t, err); f.Kind != record.FailureBinding || f.Code != binding.CodeRequestNotBuilt || !f.Retryable || !strings.Contains(f.Message, c.want) {
				t.Errorf("%v", f)
			}
		})
	}
}

// TestEveryCode: what each code means, and what a file makes of it.
func TestEveryCode(t *testing.T) {
	t.Parallel()
	retryable := map[codes.Code]bool{
		codes.Canceled: true, codes.Unknown: true, codes.DeadlineExceeded: true, codes.ResourceExhausted: true,
		codes.Aborted: true, codes.Internal: true, codes.Unavailable: true,
	}
	var code atomic.Uint32
	a := newAPI(t, func(context.Context, string) (string, error) {
		return "", status.Error(codes.Code(code.Load()), "so it is")
	})
	task := bind(t, a.plain(), "")
	for c := codes.Canceled; c <= 18; c++ {
		code.Store(uint32(c))
		_, err := task.Call(t.Context(), testCall(`{}`))
		f := failureOf(t, err)
		want := ruleOf(c)
		if c > codes.Unauthenticated {
			retryable[c] = true // as UNKNOWN
		}
		if f.Kind != record.FailureGRPC || f.Code != "grpc_"+strings.ToLower(want.name) || f.HTTPStatus != want.http || f.Retryable != retryable[c] ||
			f.Message != "bank.transfer: the API answered "+want.name+": so it is" ||
			!sameJSON(string(f.Problem), fmt.Sprintf(`{"title":%q,"status":%d,"grpc_code":%d,"detail":"so it is"}`, want.name, want.http, c)) {
			t.Errorf("code %d: %+v %s", c, f, f.Problem)
		}
	}
	over := bind(t, a.plain()+"codes: {ABORTED: failed, NOT_FOUND: retry}", "codes: {NOT_FOUND: completed, ALREADY_EXISTS: pending, UNAVAILABLE: failed}")
	code.Store(uint32(codes.NotFound))
	if out, err := over.Call(t.Context(), testCall(`{}`)); err != nil || string(out) != "null" {
		t.Errorf("completed: %s %v", out, err)
	}
	code.Store(uint32(codes.AlreadyExists))
	if _, err := over.Call(t.Context(), testCall(`{}`)); !errors.Is(err, worker.ErrPending) {
		t.Errorf("pending: %v", err)
	}
	for _, c := range []codes.Code{codes.Aborted, codes.Unavailable} {
		code.Store(uint32(c))
		if _, err := over.Call(t.Context(), testCall(`{}`)); failureOf(t, err).Retryable {
			t.Errorf("%v stays retryable", c)
		}
	}
	code.Store(uint32(codes.NotFound))
	if out, err := bind(t, a.plain(), "codes: {NOT_FOUND: completed}\nresult: {gone: '= code == \"NOT_FOUND\"', id: '{transferId?}'}").Call(t.Context(), testCall(`{}`)); err != nil || string(out) != `{"gone":true}` {
		t.Errorf("%s %v", out, err)
	}
}

// TestDetails: RetryInfo, ErrorInfo and types of the API stand in the failure, within bounds.
func TestDetails(t *testing.T) {
	t.Parallel()
	var details atomic.Pointer[[]proto.Message]
	var code atomic.Uint32
	var methods *methods
	a := newAPI(t, func(context.Context, string) (string, error) {
		s := status.New(codes.Code(code.Load()), "no")
		p := s.Proto()
		for _, d := range *details.Load() {
			packed, ok := d.(*anypb.Any)
			if !ok {
				var err error
				if packed, err = anypb.New(d); err != nil {
					return "", err
				}
			}
			p.Details = append(p.Details, packed)
		}
		return "", status.FromProto(p).Err()
	})
	methods = a.methods
	refusal, err := methods.types.FindMessageByName("acme.bank.v1.Refusal")
	if err != nil {
		t.Fatal(err)
	}
	rule := refusal.New().Interface()
	if err := protojson.Unmarshal([]byte(`{"rule":"four eyes"}`), rule); err != nil {
		t.Fatal(err)
	}
	call := func(c codes.Code, all ...proto.Message) *record.Failure {
		t.Helper()
		code.Store(uint32(c))
		details.Store(&all)
		_, err := bind(t, a.plain()+"retry_after_max: 1m", "").Call(t.Context(), testCall(`{}`))
		return failureOf(t, err)
	}
	f := call(codes.Unavailable, &errdetails.RetryInfo{RetryDelay: durationpb.New(7 * time.Second)}, &errdetails.ErrorInfo{Reason: "BANK_HOLIDAY", Domain: "acme"}, rule)
	if f.RetryAfter != 7*time.Second || f.Code != "bank_holiday" || !f.Retryable {
		t.Errorf("%+v", f)
	}
	var doc struct {
		Details []map[string]any `json:"details"`
		LeftOut int              `json:"details_left_out"`
	}
	if err := json.Unmarshal(f.Problem, &doc); err != nil || len(doc.Details) != 3 || doc.Details[2]["rule"] != "four eyes" || doc.Details[0]["retryDelay"] != "7s" {
		t.Errorf("%v %s", err, f.Problem)
	}
	if f := call(codes.Aborted, &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Hour)}); f.RetryAfter != time.Minute {
		t.Errorf("above retry_after_max: %v", f.RetryAfter)
	}
	if f := call(codes.InvalidArgument, &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Hour)}); f.RetryAfter != 0 {
		t.Errorf("of what is not tried again: %v", f.RetryAfter)
	}
	long := &errdetails.DebugInfo{Detail: strings.Repeat("\x01ä", 3000)}
	f = call(codes.Internal, rule, long, rule)
	if err := json.Unmarshal(f.Problem, &doc); err != nil || len(f.Problem) > record.ProblemBytesMax || len(doc.Details) != 1 || doc.LeftOut != 2 {
		t.Errorf("%v %d bytes: %s", err, len(f.Problem), f.Problem)
	}
	f = call(codes.Internal, &anypb.Any{TypeUrl: "type.googleapis.com/acme.Unknown", Value: []byte("x")})
	if !strings.Contains(string(f.Problem), `{"@base64":"eA==","@type":"type.googleapis.com/acme.Unknown"}`) {
		t.Errorf("of a type nobody knows: %s", f.Problem)
	}
}
