package workflow

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/odradek/odradek/record"
)

// Definition is a workflow type as the engine sees it: its name and version, the
// function, and what it uses. engine.Config lists them. The zero Definition is none.
type Definition struct{ d *definition }

type definition struct {
	typ        string
	version    uint32
	strict     bool
	history    HistoryLevel
	retention  time.Duration
	tasks      []taskUse
	locals     []localUse
	signals    []payloadUse
	queries    []payloadUse
	updates    []payloadUse
	attributes []attributeUse
	topics     []string
	checkInput func(input []byte) error
	execute    func(ctx Context, input []byte) record.HistoryBody
}

type taskUse struct {
	service, operation string
	policy             RetryPolicy
	limits             TaskLimits
	limitBy            string // what is wrong with it
}

// Use is what Define takes beside the function: tasks, signals and options.
type Use interface{ use(d *definition) }

type optionFunc func(d *definition)

func (f optionFunc) use(d *definition) { f(d) }

// Version numbers the code of a workflow type, from 1, the default. Several versions
// of one type stand side by side: a run keeps the one that it was started with, new
// runs take the highest.
func Version(n uint32) Use { return optionFunc(func(d *definition) { d.version = n }) }

// Strict makes a run stuck whose code, in replay, asks for the same task with
// another input than its history has. By default that is counted and logged (C4).
func Strict() Use { return optionFunc(func(d *definition) { d.strict = true }) }

// HistoryLevel says which history events of a type are published on the topic
// <namespace>.history. Closing events always are (I5).
type HistoryLevel uint8

// Levels. The default is HistoryLifecycle.
const (
	HistoryLifecycle HistoryLevel = iota // start and close
	HistoryOff                           // close
	HistoryAll                           // everything
)

// String is the level's name: lifecycle, off or all.
func (l HistoryLevel) String() string {
	switch l {
	case HistoryLifecycle:
		return "lifecycle"
	case HistoryOff:
		return "off"
	case HistoryAll:
		return "all"
	}
	return fmt.Sprintf("HistoryLevel(%d)", uint8(l))
}

// History sets the level of the type.
func History(l HistoryLevel) Use { return optionFunc(func(d *definition) { d.history = l }) }

// Retention says how long the history of a completed run of this type is kept. By
// default the deployment's setting holds, 7 days.
func Retention(keep time.Duration) Use {
	return optionFunc(func(d *definition) { d.retention = keep })
}

// Define makes a workflow type of a function. typ names it on the wire; uses are the
// tasks and signals that fn uses, and options. Nothing is registered: pass the
// Definition to engine.Config, which refuses what Validate refuses.
func Define[In, Out any](typ string, fn func(Context, In) (Out, error), uses ...Use) Definition {
	d := &definition{typ: typ, version: 1}
	for _, u := range uses {
		u.use(d)
	}
	d.checkInput = func(input []byte) error {
		_, err := decode[In](input, strict)
		return err
	}
	d.execute = func(ctx Context, input []byte) record.HistoryBody {
		in, err := decode[In](input, lenient)
		if err != nil { // it came while this binary had no code to check it
			return &record.RunFailed{Failure: Failure{Kind: FailureEngine, Code: CodeInputInvalid,
				Message: "the input does not fit workflow type " + typ + ": " + err.Error()}}
		}
		out, err := fn(ctx, in)
		return closing(ctx, out, err)
	}
	return Definition{d}
}

// closing is the last decision of a run.
func closing[Out any](ctx Context, out Out, err error) record.HistoryBody {
	if err != nil {
		if next, ok := errors.AsType[*continueError](err); ok {
			return next.decision()
		}
		if ctx.scope.Cause() != nil && errors.Is(err, ErrCancelled) { // it was asked to end, and did
			return &record.RunCancelled{Failure: failureOf(err)}
		}
		return &record.RunFailed{Failure: failureOf(err)}
	}
	result, err := encodeResult(out)
	if err != nil {
		return &record.RunFailed{Failure: failureOf(err)}
	}
	return &record.RunCompleted{Result: result}
}

// Type is the workflow type's name.
func (d Definition) Type() string { return d.d.typ }

// Version is the version of its code.
func (d Definition) Version() uint32 { return d.d.version }

// Strict reports whether another input in replay makes a run stuck (C4).
func (d Definition) Strict() bool { return d.d.strict }

// HistoryLevel is what of its histories is published.
func (d Definition) HistoryLevel() HistoryLevel { return d.d.history }

// Retention is how long the history of a completed run is kept; 0: the deployment's
// setting.
func (d Definition) Retention() time.Duration { return d.d.retention }

// IsZero reports whether d is no definition.
func (d Definition) IsZero() bool { return d.d == nil }

// Services gives the services that the type uses, each with its operations, sorted.
func (d Definition) Services() map[string][]string {
	services := map[string][]string{}
	for _, t := range d.d.tasks {
		if !slices.Contains(services[t.service], t.operation) {
			services[t.service] = append(services[t.service], t.operation)
			slices.Sort(services[t.service])
		}
	}
	return services
}

// Signals gives the names of the signals that the type takes, sorted.
func (d Definition) Signals() []string { return names(d.d.signals) }

// Queries gives the names of the queries that the type answers, sorted.
func (d Definition) Queries() []string { return names(d.d.queries) }

// Updates gives the names of the updates that the type takes, sorted.
func (d Definition) Updates() []string { return names(d.d.updates) }

func names(uses []payloadUse) []string {
	var names []string
	for i := range uses {
		names = append(names, uses[i].name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// CheckInput reports whether input fits the function's argument, strictly: unknown
// fields are refused too. The error names the field by its path and what it wants.
func (d Definition) CheckInput(input []byte) error { return d.d.checkInput(input) }

// Errors of CheckSignal, CheckQuery and CheckUpdate for a name that the type does not use.
var (
	ErrUnknownSignal = errors.New("the workflow type takes no such signal")
	ErrUnknownQuery  = errors.New("the workflow type answers no such query")
	ErrUnknownUpdate = errors.New("the workflow type takes no such update")
)

// CheckSignal reports whether a signal's payload fits, as CheckInput does.
func (d Definition) CheckSignal(name string, payload []byte) error {
	return check(d.d.signals, ErrUnknownSignal, name, payload)
}

// Execute runs the function under h until it ends, and gives the closing decision:
// *record.RunCompleted, *record.RunFailed,
// *record.RunCancelled or *record.RunContinued. It is the engine's; whatever the
// function panics with passes through.
func (d Definition) Execute(h Host, input []byte) record.HistoryBody {
	return d.d.execute(Context{host: h, def: d.d, scope: h.Root()}, input)
}

func (d *definition) declares(service, operation string) bool {
	for i := range d.tasks {
		if d.tasks[i].operation == operation && d.tasks[i].service == service {
			return true
		}
	}
	return false
}

func (d *definition) signal(name string) *payloadUse { return find(d.signals, name) }
