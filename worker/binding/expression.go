package binding

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"
)

const (
	// expressionNodesMax bounds an expression's size; longer ones belong into a service.
	expressionNodesMax = 500
	// expressionMemoryMax bounds what an expression may allocate, in the vm's units: about
	// one for each element of a list or map that it makes.
	expressionMemoryMax = 100_000
)

// Expression is "= ...": expr-lang, compiled at load. It sees only the values that
// it is given, no functions of ours, and not the time: all attempts of a task must
// make the same request.
type Expression struct {
	source   string
	program  *vm.Program
	callback callback // base "": the expression does not see it
}

// compileExpression compiles the text after "=". vars are the names that it may use; where
// token is one of them, callback is, too, if there is an address for it.
func compileExpression(source string, vars types.Map, callbackURL string) (Value, error) {
	if _, ofTask := vars["token"]; !ofTask {
		callbackURL = ""
	}
	if callbackURL != "" {
		vars = maps.Clone(vars)
		vars["callback"] = types.String
	}
	program, err := expr.Compile(source,
		expr.Env(vars), expr.MaxNodes(expressionNodesMax),
		expr.DisableBuiltin("now"))
	if err != nil {
		// expr's text shows the line with a mark below; one line is enough here.
		first, _, _ := strings.Cut(err.Error(), "\n")
		return nil, fmt.Errorf("expression %q: %s", source, first)
	}
	return &Expression{source, program, callback{callbackURL}}, nil
}

func (e *Expression) String() string { return "= " + e.source }

func (e *Expression) Eval(s *Scope) (v any, present bool, err error) {
	machine := vm.VM{MemoryBudget: expressionMemoryMax}
	vars, err := s.variables()
	if err != nil {
		return nil, false, err
	}
	if e.callback.base != "" {
		vars = maps.Clone(vars) // they are the scope's
		vars["callback"] = e.callback.of(s.Attr["token"])
	}
	v, err = machine.Run(e.program, vars)
	if err != nil {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return nil, false, fmt.Errorf("expression %q: %s", e.source, first)
	}
	return v, true, nil
}

// Plain gives a value with numbers that expressions can count with: int where the
// number is one, otherwise float64.
func Plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n)
		}
		f, err := v.Float64()
		if err != nil {
			return v.String() // beyond float64: text keeps it
		}
		return f
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = Plain(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = Plain(v[k])
		}
		return out
	}
	return v
}
