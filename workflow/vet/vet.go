// Package vet finds what makes workflow code do something else in replay than it did
// before: clocks, chance, goroutines, channels, the order of maps, I/O, shared variables.
//
// Workflow code is every function with a workflow.Context among its parameters, the
// literals in it, and the functions that it calls, in its own package and in others of the
// user's. A line that is right nevertheless says so:
//
//	for k := range m { //odradek:allow the order does not matter: it sums
package vet

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// Analyzer is the check.
var Analyzer = &analysis.Analyzer{
	Name: "odradek", Doc: "finds what makes workflow code do something else in replay than it did before",
	Run: run, FactTypes: []analysis.Fact{(*impure)(nil)},
}

// impure is the fact that a function does something that workflow code must not.
type impure struct{ What string }

// AFact makes it a fact.
func (*impure) AFact() {}

func (i *impure) String() string { return "impure: " + i.What }

const sdk = "github.com/odradek/odradek/workflow"

// ours reports whether a package is of the SDK, or of what that is built of: it is right.
func ours(path string) bool {
	if path == sdk {
		return true
	}
	rest, ok := strings.CutPrefix(path, "github.com/odradek/odradek/")
	first, _, _ := strings.Cut(rest, "/")
	switch first {
	case "record", "codec", "topology", "internal", "engine":
		return ok
	}
	return false
}

func run(pass *analysis.Pass) (any, error) {
	if path := pass.Pkg.Path(); ours(path) || standard(path) {
		return nil, nil
	}
	c := &checker{pass: pass, decls: map[*types.Func]*ast.FuncDecl{}, found: map[*types.Func][]finding{}, allowed: map[string]bool{}}
	c.read()
	for fn, decl := range c.decls {
		c.found[fn] = c.look(decl.Body)
	}
	c.export()
	for fn := range c.reached() {
		for _, f := range c.found[fn] {
			pass.Reportf(f.pos, "%s", f.text)
		}
	}
	return nil, nil
}

// standard reports whether a package is of the standard library.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// finding is a place and what is wrong with it, and how to put it right.
type finding struct {
	pos  token.Pos
	text string
}

type checker struct {
	pass    *analysis.Pass
	decls   map[*types.Func]*ast.FuncDecl
	found   map[*types.Func][]finding
	mutable map[types.Object]bool // package variables that some function assigns
	allowed map[string]bool       // file:line with a reason
}

// read collects functions, variables that change, and lines that are allowed.
func (c *checker) read() {
	c.mutable = map[types.Object]bool{}
	for _, file := range c.pass.Files {
		for _, group := range file.Comments {
			for _, comment := range group.List {
				if reason, ok := strings.CutPrefix(comment.Text, "//odradek:allow"); ok && strings.TrimSpace(reason) != "" {
					at := c.pass.Fset.Position(comment.Pos())
					c.allowed[fmt.Sprintf("%s:%d", at.Filename, at.Line)] = true
				}
			}
		}
		for _, d := range file.Decls {
			decl, ok := d.(*ast.FuncDecl)
			if !ok || decl.Body == nil {
				continue
			}
			if fn, ok := c.pass.TypesInfo.Defs[decl.Name].(*types.Func); ok {
				c.decls[fn] = decl
			}
			if decl.Name.Name != "init" {
				c.assigned(decl.Body)
			}
		}
	}
}

// assigned notes the package variables that a function changes.
func (c *checker) assigned(body ast.Node) {
	note := func(e ast.Expr) {
		for {
			switch x := e.(type) {
			case *ast.IndexExpr:
				e = x.X
				continue
			case *ast.SelectorExpr:
				if v, ok := c.pass.TypesInfo.Uses[x.Sel].(*types.Var); ok && global(v) {
					c.mutable[v] = true
					return
				}
				e = x.X
				continue
			case *ast.StarExpr:
				e = x.X
				continue
			case *ast.Ident:
				if v, ok := c.pass.TypesInfo.Uses[x].(*types.Var); ok && global(v) {
					c.mutable[v] = true
				}
			}
			return
		}
	}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, l := range n.Lhs {
				note(l)
			}
		case *ast.IncDecStmt:
			note(n.X)
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				note(n.X)
			}
		}
		return true
	})
}

func global(v *types.Var) bool { return v.Pkg() != nil && v.Parent() == v.Pkg().Scope() }

// export tells other packages which functions workflow code must not call.
func (c *checker) export() {
	for changed := true; changed; {
		changed = false
		for fn, decl := range c.decls {
			if c.pass.ImportObjectFact(fn, new(impure)) {
				continue
			}
			what := ""
			if fs := c.found[fn]; len(fs) > 0 {
				what, _, _ = strings.Cut(fs[0].text, ":")
			}
			ast.Inspect(decl.Body, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok && what == "" {
					if callee := c.callee(call); callee != nil && callee != fn {
						var f impure
						if c.decls[callee] != nil && c.pass.ImportObjectFact(callee, &f) {
							what = f.What
						}
					}
				}
				return true
			})
			if what != "" {
				c.pass.ExportObjectFact(fn, &impure{what})
				changed = true
			}
		}
	}
}

func (c *checker) callee(call *ast.CallExpr) *types.Func {
	fun := ast.Unparen(call.Fun)
	if x, ok := fun.(*ast.IndexExpr); ok {
		fun = x.X
	}
	var id *ast.Ident
	switch x := fun.(type) {
	case *ast.Ident:
		id = x
	case *ast.SelectorExpr:
		id = x.Sel
	default:
		return nil
	}
	fn, ok := c.pass.TypesInfo.Uses[id].(*types.Func)
	if !ok {
		return nil
	}
	return fn.Origin()
}

// reached are the functions of the package that are workflow code.
func (c *checker) reached() map[*types.Func]bool {
	reached := map[*types.Func]bool{}
	var queue []*types.Func
	add := func(fn *types.Func) {
		if c.decls[fn] != nil && !reached[fn] {
			reached[fn] = true
			queue = append(queue, fn)
		}
	}
	for fn := range c.decls {
		if takesContext(fn.Signature()) {
			add(fn)
		}
	}
	for _, file := range c.pass.Files { // literals given to Define, with what they call
		ast.Inspect(file, func(n ast.Node) bool {
			lit, ok := n.(*ast.FuncLit)
			if !ok {
				return true
			}
			sig, ok := c.pass.TypesInfo.TypeOf(lit).(*types.Signature)
			if !ok || !takesContext(sig) || c.within(file, lit) {
				return true
			}
			for _, f := range c.look(lit.Body) {
				c.pass.Reportf(f.pos, "%s", f.text)
			}
			c.calls(lit.Body, add)
			return false
		})
	}
	for len(queue) > 0 {
		fn := queue[0]
		queue = queue[1:]
		c.calls(c.decls[fn].Body, add)
	}
	return reached
}

// within reports whether a literal stands in a function that is workflow code itself.
func (c *checker) within(file *ast.File, lit *ast.FuncLit) bool {
	for _, d := range file.Decls {
		decl, ok := d.(*ast.FuncDecl)
		if !ok || decl.Body == nil || lit.Pos() < decl.Body.Pos() || lit.End() > decl.Body.End() {
			continue
		}
		fn, ok := c.pass.TypesInfo.Defs[decl.Name].(*types.Func)
		return ok && takesContext(fn.Signature())
	}
	return false
}

func (c *checker) calls(body ast.Node, yield func(*types.Func)) {
	ast.Inspect(body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if fn := c.callee(call); fn != nil {
				yield(fn)
			}
		}
		return true
	})
}

// takesContext reports whether a function is given a workflow.Context.
func takesContext(sig *types.Signature) bool {
	for v := range sig.Params().Variables() {
		if named, ok := types.Unalias(v.Type()).(*types.Named); ok {
			if o := named.Obj(); o.Name() == "Context" && o.Pkg() != nil && o.Pkg().Path() == sdk {
				return true
			}
		}
	}
	return false
}
