package grpcbinding

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
)

// Request builds the task's message and metadata. An error is the binding's or the input's
// fault: it names both.
func (t *Task) Request(call *worker.Call) (proto.Message, metadata.MD, error) {
	s := binding.RequestScope(call)
	message, err := t.message(s, call)
	if err != nil {
		return nil, nil, fmt.Errorf("body: %w", err)
	}
	md := metadata.MD{}
	size := 0
	for _, p := range t.metadata {
		v, present, err := binding.Line(p.value, s)
		if err != nil {
			return nil, nil, fmt.Errorf("metadata %s: %w", p.name, err)
		}
		if !present {
			continue
		}
		text, err := binding.Scalar(v)
		if err == nil {
			err = metadataValue(p.name, text)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("metadata %s: %w", p.name, err)
		}
		if size += len(p.name) + len(text); size > metadataBytesMax {
			return nil, nil, fmt.Errorf("metadata %s: it has more than %d bytes together", p.name, metadataBytesMax)
		}
		md.Set(p.name, text)
	}
	if err := metadataValue(t.service.keyName, call.Key); err != nil {
		return nil, nil, fmt.Errorf("the task's idempotency key: %w", err)
	}
	md.Set(t.service.keyName, call.Key)
	for _, h := range call.Trace {
		if name := strings.ToLower(h.Key); len(h.Value) <= metadataBytesMax && metadataValue(name, string(h.Value)) == nil {
			md.Set(name, string(h.Value))
		}
	}
	return message, md, nil
}

// message makes the request's message: of the input as it is, JSON or that very message, or
// of what the binding says.
func (t *Task) message(s *binding.Scope, call *worker.Call) (proto.Message, error) {
	m := dynamicpb.NewMessage(t.method.Input())
	text := call.Input
	switch {
	case t.body != nil:
		v, present, err := t.body.Eval(s)
		if err != nil || !present {
			return m, err
		}
		if text, err = binding.Encode(v); err != nil {
			return nil, err
		}
	case !t.wholeBody:
		return m, nil
	default:
		if name, raw, ok := codec.SplitProto(text); ok {
			if name != string(m.Descriptor().FullName()) {
				return nil, fmt.Errorf("the input is a Protobuf message %s, and the method takes %s: correct method of the task, or fill body", name, m.Descriptor().FullName())
			}
			return m, proto.Unmarshal(raw, m)
		}
	}
	if text = bytes.TrimSpace(text); len(text) == 0 || string(text) == "null" && !wellKnown(m.Descriptor()) {
		return m, nil
	}
	if err := binding.CheckJSON(text); err != nil {
		return nil, err
	}
	if err := (protojson.UnmarshalOptions{Resolver: resolver{t.service.methods.types}}).Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("it does not fit %s: %w", m.Descriptor().FullName(), plainError(err))
	}
	return m, nil
}

// plainError gives the text of an error of the Protobuf library, whose spaces it varies.
func plainError(err error) error {
	text := strings.TrimPrefix(strings.ReplaceAll(err.Error(), "\u00a0", " "), "proto: ")
	return errors.New(binding.Printable(text))
}

// notBuilt is the failure of a request that cannot be built. It is retryable: a binding is
// put right by the next deploy, and the work waits for it.
func (t *Task) notBuilt(err error) *record.Failure {
	return &record.Failure{
		Kind: record.FailureBinding, Code: binding.CodeRequestNotBuilt, Retryable: true,
		Message: fmt.Sprintf("%s: %v", t.key, err),
	}
}

// Show is the request as text for people: its method, metadata and message, without what
// authentication adds.
func (t *Task) Show(call *worker.Call) (string, error) {
	m, md, err := t.Request(call)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintln(&b, t)
	for _, name := range binding.SortedKeys(md) {
		fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(md[name], ", "))
	}
	text, err := t.encode(m)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&b, "\n%s\n", text)
	return b.String(), nil
}

// encode gives a message as compact JSON, as Protobuf maps it, with the fields that have
// their default.
func (t *Task) encode(m proto.Message) ([]byte, error) {
	text, err := (protojson.MarshalOptions{EmitDefaultValues: true, Resolver: resolver{t.service.methods.types}}).Marshal(m)
	if err != nil {
		return nil, plainError(err)
	}
	return compact(text)
}
