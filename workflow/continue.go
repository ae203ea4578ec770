package workflow

import (
	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

// ContinueAsNew is what a workflow function returns as its error to go on as another
// run of the same workflow, with a new input and an empty history:
//
//	return sum, workflow.ContinueAsNew(ctx, next)
//
// The new run takes the highest version of the type. Signals that were received and not
// consumed are in its buffer; tasks and timers that are open end. The input must fit
// the function's argument: else the run is stuck.
func ContinueAsNew[In any](ctx Context, in In) error {
	h := ctx.enter()
	input, err := encode(in)
	switch {
	case err != nil:
		h.Stick("the input that ContinueAsNew was given cannot be encoded: " + err.Error())
	case len(input) > PayloadBytesMax:
		h.Stick(tooLarge("the input that ContinueAsNew was given", len(input)).Message)
	}
	if err := ctx.def.checkInput(input); err != nil {
		h.Stick("the input that ContinueAsNew was given does not fit workflow type " + ctx.def.typ + ": " + err.Error())
	}
	return &continueError{input}
}

// continueError travels from ContinueAsNew to the end of the function.
type continueError struct{ input []byte }

func (e *continueError) Error() string {
	return "workflow: the run continues as new: return this error from the workflow function"
}

func (e *continueError) decision() *record.RunContinued {
	return &record.RunContinued{Input: e.input, InputHash: codec.Hash(e.input)}
}

// Loop calls step with a state until it is done or fails, and gives the state. Before
// the history gets long the run continues as new by itself, between two calls of step:
// with the same input, and with the state as it is then. It may be called once in a
// run, and what the function does before it happens in each of those runs.
//
//	sum, err := workflow.Loop(ctx, Summary{}, func(ctx workflow.Context, s *Summary) (done bool, err error) { ... })
//
// The state is carried as JSON: at most 512 KB.
func Loop[S any](ctx Context, state S, step func(ctx Context, state *S) (done bool, err error)) (S, error) {
	h := ctx.enter()
	if carry := h.Carry(); carry != nil {
		v, err := decode[S](carry, lenient)
		if err != nil {
			h.Stick("the state that the run before this one carried over does not fit the type of Loop's state: " + err.Error())
		}
		state = v
	}
	for {
		done, err := step(ctx, &state)
		if done || err != nil {
			return state, err
		}
		if ctx.enter(); !h.Long() || h.OpenUpdates() > 0 {
			continue
		}
		carry, err := encode(state)
		switch {
		case err != nil:
			h.Stick("the state of Loop cannot be encoded: " + err.Error())
		case len(carry) > PayloadBytesMax:
			h.Stick(tooLarge("the state of Loop", len(carry)).Message)
		}
		input := h.Input()
		h.Finish(&record.RunContinued{Input: input, Carry: carry, InputHash: codec.Hash(append(append([]byte{}, input...), carry...))})
	}
}
