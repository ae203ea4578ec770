package binding

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/expr-lang/expr/types"

	"github.com/odradek/odradek/worker"
)

// RequestBytesMax bounds a body that a template builds, as F5 bounds the input.
const RequestBytesMax = 512 << 10

// RequestAttrs is what request templates may use beside the input. The attempt's
// number is not among it: all attempts of a key make the same request.
var RequestAttrs = []string{"key", "task", "workflow_id", "workflow_type", "token"}

// RequestVars is what request expressions may use.
func RequestVars() types.Map {
	return types.Map{"input": types.Any, "key": types.String, "task": types.String, "workflow_id": types.String, "workflow_type": types.String, "token": types.String}
}

// RequestScope is what the request's templates see.
func RequestScope(call *worker.Call) *Scope {
	return &Scope{What: "input", JSON: call.Input,
		Attr: map[string]string{
			"key": call.Key, "task": call.Task.String(), "workflow_id": call.WorkflowID, "workflow_type": call.WorkflowType, "token": call.Token(),
		},
		More: func() map[string]any {
			return map[string]any{"key": call.Key, "task": call.Task.String(), "workflow_id": call.WorkflowID, "workflow_type": call.WorkflowType, "token": call.Token()}
		},
	}
}

// Line is a value of which an expression may say with nil that there is none.
func Line(v Value, s *Scope) (any, bool, error) {
	out, present, err := v.Eval(s)
	if _, computed := v.(*Expression); computed && out == nil {
		present = false
	}
	return out, present, err
}

// Result builds a task's result.
func Result(v Value, s *Scope) ([]byte, error) {
	out, present, err := v.Eval(s)
	if err == nil && !present {
		return []byte("null"), nil
	}
	var b []byte
	if err == nil {
		b, err = Encode(out)
	}
	if err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	return b, nil
}

// Encode makes JSON of a built value, of at most RequestBytesMax.
func Encode(v any) ([]byte, error) { return EncodeWithin(v, RequestBytesMax) }

// EncodeWithin makes JSON of a built value, of at most so many bytes.
func EncodeWithin(v any, most int) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("it is no JSON value: %w", err)
	}
	out := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(out) > most {
		return nil, TooLong(len(out), most)
	}
	if err := CheckJSON(out); err != nil {
		return nil, err
	}
	return out, nil
}

// TooLong says that something that is built is above its bound.
func TooLong(size, most int) error {
	return fmt.Errorf("it has %d bytes, at most %d are allowed", size, most)
}
