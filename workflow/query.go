package workflow

import (
	"fmt"
	"strings"
)

// Query is a question to a run, which changes nothing: In comes in, Out goes out, as
// JSON. It is a constant value; name it in Define.
type Query[In, Out any] struct{ name string }

// NewQuery names a query. Names are as those of signals.
func NewQuery[In, Out any](name string) Query[In, Out] { return Query[In, Out]{name: name} }

// Name is the query's name.
func (q Query[In, Out]) Name() string { return q.name }

// Handle says how the run answers the query from now on: with what fn makes of the run's
// variables at that moment. fn asks for nothing and does not wait; what it changes is
// lost at some later time. Call it before the code first waits, or queries until then
// are refused. A closed run answers while its history is kept.
func (q Query[In, Out]) Handle(ctx Context, fn func(in In) (Out, error)) {
	h := ctx.enter()
	if ctx.def.query(q.name) == nil {
		h.Stick("query " + q.name + " is not among what Define was given for workflow type " + ctx.def.typ + ": add it there, or nobody can ask it")
	}
	h.HandleQuery(q.name, func(input []byte) ([]byte, error) {
		in, err := decode[In](input, lenient)
		if err != nil {
			return nil, &Failure{Kind: FailureEngine, Code: CodeInputInvalid, Message: "the input does not fit query " + q.name + ": " + err.Error()}
		}
		out, err := fn(in)
		if err != nil {
			return nil, err
		}
		return encodeOut(out, "the answer to query "+q.name)
	})
}

// encodeOut makes a payload of what goes out.
func encodeOut(v any, what string) ([]byte, error) {
	b, err := encode(v)
	switch {
	case err != nil:
		return nil, &Failure{Kind: FailureEngine, Code: CodeResultInvalid, Message: what + " cannot be encoded: " + err.Error()}
	case len(b) > PayloadBytesMax:
		f := tooLarge(what, len(b))
		return nil, &f
	}
	return b, nil
}

// use declares the query (see Use).
func (q Query[In, Out]) use(d *definition) {
	d.queries = append(d.queries, payloadUse{q.name, func(payload []byte) error {
		_, err := decode[In](payload, strict)
		return err
	}})
}

func (d *definition) query(name string) *payloadUse { return find(d.queries, name) }

// CheckQuery reports whether the type answers such a query and the input fits, strictly.
func (d Definition) CheckQuery(name string, input []byte) error {
	return check(d.d.queries, ErrUnknownQuery, name, input)
}

// payloadUse is something with a name and a payload from outside.
type payloadUse struct {
	name  string
	check func(payload []byte) error
}

func find(uses []payloadUse, name string) *payloadUse {
	for i := range uses {
		if uses[i].name == name {
			return &uses[i]
		}
	}
	return nil
}

// check is CheckSignal for all that comes in by a name.
func check(uses []payloadUse, unknown error, name string, payload []byte) error {
	if u := find(uses, name); u != nil {
		return u.check(payload)
	}
	knows := "it has none"
	if len(uses) > 0 {
		knows = "it has " + strings.Join(names(uses), ", ")
	}
	return fmt.Errorf("%w: %q; %s", unknown, name, knows)
}
