package vet

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// forbidden are functions that workflow code must not call, by package, with what to use.
// "*" is all functions of the package.
var forbidden = map[string]struct {
	names []string
	why   string
	use   string
}{
	"time":         {[]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}, "knows the machine's clock", "workflow.Now(ctx), workflow.Sleep, workflow.NewTimer or a case workflow.After"},
	"math/rand":    {[]string{"*"}, "is another number in replay", "workflow.Rand(ctx)"},
	"math/rand/v2": {[]string{"*"}, "is another number in replay", "workflow.Rand(ctx)"},
	"crypto/rand":  {[]string{"*"}, "is another number in replay", "workflow.Rand(ctx) or workflow.NewID(ctx); for secrets a local task"},

	"github.com/google/uuid": {[]string{"New", "NewString", "NewRandom", "NewUUID", "NewV6", "NewV7"}, "is another ID in replay", "workflow.NewID(ctx)"},

	"os": {[]string{"*"}, "does I/O", "a task, or a local task"}, "os/exec": {[]string{"*"}, "does I/O", "a task, or a local task"},
	"net": {[]string{"*"}, "does I/O", "a task"}, "net/http": {[]string{"*"}, "does I/O", "a task"},
	"database/sql": {[]string{"*"}, "does I/O", "a local task"}, "syscall": {[]string{"*"}, "does I/O", "a local task"},
	"io/ioutil": {[]string{"*"}, "does I/O", "a local task"},
	"log":       {[]string{"*"}, "writes its lines again in replay", "workflow.Logger(ctx)"},
	"log/slog":  {[]string{"Debug", "Info", "Warn", "Error", "Log", "LogAttrs", "Default", "DebugContext", "InfoContext", "WarnContext", "ErrorContext"}, "writes its lines again in replay", "workflow.Logger(ctx)"},
	"fmt":       {[]string{"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"}, "does I/O", "workflow.Logger(ctx)"},

	"sync": {[]string{"*"}, "is for goroutines: the threads of a run take turns", "plain variables, workflow.Go and workflow.Until"}, "sync/atomic": {[]string{"*"}, "is for goroutines: the threads of a run take turns", "plain variables"},
	"context": {[]string{"Background", "TODO", "WithCancel", "WithTimeout", "WithDeadline", "AfterFunc"}, "is not the run's", "workflow.WithCancel, workflow.WithTimeout or workflow.Detached"},
	"runtime": {[]string{"Gosched", "GC", "NumGoroutine", "Goexit"}, "is the machine's", "workflow.Until, or nothing"},
}

// pure are functions of forbidden packages that are harmless.
var pure = map[string][]string{
	"math/rand":    {"New", "NewSource", "NewZipf"},
	"math/rand/v2": {"New", "NewPCG", "NewChaCha8", "NewZipf"},
	"net":          {"ParseIP", "ParseCIDR", "SplitHostPort", "JoinHostPort", "ParseMAC"},
	"net/http":     {"StatusText", "CanonicalHeaderKey"},
}

// look gives what is wrong in a body.
func (c *checker) look(body ast.Node) (found []finding) {
	report := func(at ast.Node, format string, args ...any) {
		p := c.pass.Fset.Position(at.Pos())
		if c.allowed[fmt.Sprintf("%s:%d", p.Filename, p.Line)] || c.allowed[fmt.Sprintf("%s:%d", p.Filename, p.Line-1)] {
			return
		}
		found = append(found, finding{at.Pos(), fmt.Sprintf(format, args...)})
	}
	info := c.pass.TypesInfo
	sorted := map[ast.Expr]bool{} // calls whose order is put right by the call around them
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			if sig, ok := info.TypeOf(n).(*types.Signature); ok && takesGoContext(sig) {
				return false // a handler of a task: it is not workflow code
			}
		case *ast.GoStmt:
			report(n, "a go statement starts what replay does not know: use workflow.Go(ctx, ...)")
		case *ast.SelectStmt:
			report(n, "select chooses by chance: use workflow.Select(ctx, ...)")
			return false
		case *ast.SendStmt:
			report(n, "a channel is for goroutines: use variables, and workflow.Until(ctx, ...) to wait for them")
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				report(n, "a channel is for goroutines: use a Future, a Signal or workflow.Until(ctx, ...)")
			}
		case *ast.RangeStmt:
			switch info.TypeOf(n.X).Underlying().(type) {
			case *types.Map:
				if !collects(n) {
					report(n, "a range over a map has another order in replay: range over slices.Sorted(maps.Keys(m))")
				}
			case *types.Chan:
				report(n, "a channel is for goroutines: use a Future, a Signal or workflow.Until(ctx, ...)")
			}
		case *ast.CallExpr:
			c.call(n, sorted, report)
		case *ast.Ident:
			if v, ok := info.Uses[n].(*types.Var); ok && global(v) && c.mutable[v] {
				report(n, "package variable %s changes, and is shared by all runs: pass it as an argument, or keep it in a variable of the run's", v.Name())
			}
		}
		return true
	})
	return found
}

func takesGoContext(sig *types.Signature) bool {
	if sig.Params().Len() == 0 {
		return false
	}
	named, ok := types.Unalias(sig.Params().At(0).Type()).(*types.Named)
	return ok && named.Obj().Name() == "Context" && named.Obj().Pkg() != nil && named.Obj().Pkg().Path() == "context"
}

// call looks at what is called.
func (c *checker) call(n *ast.CallExpr, sorted map[ast.Expr]bool, report func(at ast.Node, format string, args ...any)) {
	fn := c.callee(n)
	if fn == nil || fn.Pkg() == nil {
		return
	}
	path, name := fn.Pkg().Path(), fn.Name()
	recv := fn.Signature().Recv()
	switch {
	case path == "slices" && strings.HasPrefix(name, "Sorted"):
		for _, a := range n.Args {
			sorted[ast.Unparen(a)] = true
		}
		return
	case path == "maps" && recv == nil && slices.Contains([]string{"Keys", "Values", "All"}, name):
		if !sorted[n] {
			report(n, "maps.%s has another order in replay: put slices.Sorted around it", name)
		}
		return
	}
	if rule, ok := forbidden[path]; ok && !slices.Contains(pure[path], name) {
		all := rule.names[0] == "*"
		methods := all && (recv == nil || strings.HasPrefix(path, "sync") || path == "database/sql" || path == "net/http" || path == "os")
		if methods || recv == nil && slices.Contains(rule.names, name) {
			report(n, "%s.%s %s: use %s", fn.Pkg().Name(), name, rule.why, rule.use)
		}
		return
	}
	if c.decls[fn] != nil || ours(path) || standard(path) {
		return
	}
	var f impure
	if c.pass.ImportObjectFact(fn, &f) {
		report(n, "%s.%s is not for workflow code (%s): call it in a task, or a local task", fn.Pkg().Name(), name, f.What)
	}
}

// collects reports whether a range over a map only collects keys or values into a slice,
// to be sorted.
func collects(n *ast.RangeStmt) bool {
	if len(n.Body.List) != 1 {
		return false
	}
	assign, ok := n.Body.List[0].(*ast.AssignStmt)
	if !ok || len(assign.Rhs) != 1 {
		return false
	}
	call, ok := assign.Rhs[0].(*ast.CallExpr)
	if !ok {
		return false
	}
	id, ok := call.Fun.(*ast.Ident)
	return ok && id.Name == "append"
}
