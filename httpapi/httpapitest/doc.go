// Package httpapitest tests what serves the API and what asks it: an engine in
// memory, and the contract that it shares with the real one.
//
// The engine in memory has two workflow types, Definitions: "echo" completes at
// once with its input, "greeting" waits for a signal. Its time and its run IDs are
// the same in every test.
package httpapitest

import (
	"encoding/json"
	"errors"

	"github.com/odradek/odradek/workflow"
)

// Names of the workflow types and of the signal.
const (
	Echo     = "echo"
	Greeting = "greeting"
	Finish   = "finish"
	Name     = "name"   // a query: whom a greeting greets
	Rename   = "rename" // an update: it greets another
)

// NameMissing is why a greeting refuses to be renamed.
const NameMissing = "the name is missing"

// Person is the input of a greeting.
type Person struct {
	Name string `json:"name"`
}

// Word is the payload of the signal finish: the word to greet with, or why the
// greeting fails.
type Word struct {
	Word string `json:"word,omitempty"`
	Fail string `json:"fail,omitempty"`
}

// Greeted is the result of a greeting.
type Greeted struct {
	Text string `json:"text"`
}

// FinishSignal ends a greeting.
func FinishSignal() workflow.Signal[Word] { return workflow.NewSignal[Word](Finish) }

// Definitions are the workflow types of the contract, for an engine that runs them.
func Definitions() []workflow.Definition {
	finish := FinishSignal()
	name, rename := workflow.NewQuery[struct{}, string](Name), workflow.NewUpdate[Person, string](Rename)
	return []workflow.Definition{
		workflow.Define(Echo, func(_ workflow.Context, in json.RawMessage) (json.RawMessage, error) { return in, nil }),
		workflow.Define(Greeting, func(ctx workflow.Context, p Person) (Greeted, error) {
			name.Handle(ctx, func(struct{}) (string, error) { return p.Name, nil })
			rename.Handle(ctx, func(_ workflow.Context, to Person) (string, error) {
				was := p.Name
				p = to
				return was, nil
			}, workflow.Validate(func(to Person) error {
				if to.Name == "" {
					return errors.New(NameMissing)
				}
				return nil
			}))
			workflow.SetDetails(ctx, "greets %s", p.Name)
			w, err := finish.Receive(ctx)
			if err != nil {
				return Greeted{}, err
			}
			if w.Fail != "" {
				return Greeted{}, errors.New(w.Fail)
			}
			return Greeted{w.Word + " " + p.Name}, nil
		}, finish, name, rename),
	}
}
