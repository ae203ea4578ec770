package workflow

import (
	"github.com/odradek/odradek/record"
)

// Update is a message to a run that is checked, carried out and answered, exactly once.
// It is a constant value; name it in Define.
type Update[In, Out any] struct{ name string }

// NewUpdate names an update. Names are as those of signals.
func NewUpdate[In, Out any](name string) Update[In, Out] { return Update[In, Out]{name: name} }

// Name is the update's name.
func (u Update[In, Out]) Name() string { return u.name }

// UpdateOption changes how an update is handled.
type UpdateOption[In any] func(o *updateOptions[In])

type updateOptions[In any] struct{ validate func(in In) error }

// Validate refuses updates before they are history: fn looks at the run's variables, as a
// query does. It is asked when the update comes, and again when it is carried out.
func Validate[In any](fn func(in In) error) UpdateOption[In] {
	return func(o *updateOptions[In]) { o.validate = fn }
}

// Handle says how the run carries out the update from now on: fn runs in a thread of the
// run (see Go), with ctx, and may wait; what it returns is the answer. Updates that came
// before are carried out now. A run that closes leaves the open ones unanswered: wait
// for UpdatesDone before.
func (u Update[In, Out]) Handle(ctx Context, fn func(ctx Context, in In) (Out, error), opts ...UpdateOption[In]) {
	h := ctx.enter()
	if ctx.def.update(u.name) == nil {
		h.Stick("update " + u.name + " is not among what Define was given for workflow type " + ctx.def.typ + ": add it there, or nobody can send it")
	}
	var o updateOptions[In]
	for _, opt := range opts {
		opt(&o)
	}
	validate := func(payload []byte) error {
		in, err := decode[In](payload, lenient)
		if err != nil {
			return &Failure{Kind: FailureEngine, Code: CodeInputInvalid, Message: "the payload does not fit update " + u.name + ": " + err.Error()}
		}
		if o.validate == nil {
			return nil
		}
		return o.validate(in)
	}
	h.HandleUpdate(u.name, validate, func(no uint64, payload []byte) {
		result, err := u.run(ctx, fn, validate, payload)
		h.Enter()
		d := &record.UpdateCompleted{Update: no, Result: result}
		if err != nil {
			f := failureOf(err)
			d.Failure = &f
		}
		h.Decide(d)
	})
}

func (u Update[In, Out]) run(ctx Context, fn func(ctx Context, in In) (Out, error), validate func([]byte) error, payload []byte) ([]byte, error) {
	if err := validate(payload); err != nil {
		return nil, err
	}
	in, err := decode[In](payload, lenient)
	if err != nil {
		return nil, err
	}
	out, err := fn(ctx, in)
	if err != nil {
		return nil, err
	}
	return encodeOut(out, "the answer to update "+u.name)
}

// UpdatesDone waits until every update that came is answered. The error is a
// *CancelledError.
func UpdatesDone(ctx Context) error {
	h := ctx.enter()
	return Until(ctx, func() bool { return h.OpenUpdates() == 0 })
}

// use declares the update (see Use).
func (u Update[In, Out]) use(d *definition) {
	d.updates = append(d.updates, payloadUse{u.name, func(payload []byte) error {
		_, err := decode[In](payload, strict)
		return err
	}})
}

func (d *definition) update(name string) *payloadUse { return find(d.updates, name) }

// CheckUpdate reports whether the type takes such an update and the payload fits,
// strictly.
func (d Definition) CheckUpdate(name string, payload []byte) error {
	return check(d.d.updates, ErrUnknownUpdate, name, payload)
}
