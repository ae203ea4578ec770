package workflow_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// frame is a file around a line that must, or must not, compile.
const frame = `package p

import (
	"time"

	"github.com/odradek/odradek/workflow"
)

type (
	order   struct{ Item string }
	receipt struct{ No int }
)

var (
	charge = workflow.NewTask[order, receipt]("payment", "charge")
	cancel = workflow.NewSignal[order]("cancel")
	policy = workflow.WithRetry(workflow.RetryPolicy{MaxAttempts: 3})
)

func ship(ctx workflow.Context, o order) (receipt, error) {
	r, err := charge.Run(ctx, o)
	_, _, _, _, _ = r, err, cancel, policy, time.Second
	%s
	return r, err
}

var shipping = workflow.Define("shipping", ship, charge, cancel, workflow.Version(2))

%s
`

// TestTypesHoldBothWays: a wrong argument or result does not compile. Each line is
// checked by the compiler's own type checker.
func TestTypesHoldBothWays(t *testing.T) {
	t.Parallel()
	check := checker(t)
	for _, c := range []struct{ body, decl, want string }{ // want "": compiles
		{"", "", ""},
		{`r, err = charge.With(policy).Start(ctx, o).Get(ctx)`, "", ""},
		{`o, err = cancel.Receive(ctx)`, "", ""},
		{`if o, ok := cancel.ReceiveUntil(ctx, workflow.Now(ctx).Add(time.Hour)); ok { _ = o.Item }`, "", ""},
		{`at, _ := workflow.NewTimer(ctx, time.Hour).Get(ctx); workflow.SleepUntil(ctx, at)`, "", ""},
		{"", `var e error = (*workflow.TaskError)(nil); var f error = (*workflow.Failure)(nil)`, ""},

		{`charge.Run(ctx, "tea")`, "", "cannot use"},
		{`charge.Run(ctx, receipt{})`, "", "cannot use"},
		{`charge.Run(ctx, &o)`, "", "cannot use"},
		{`charge.Run(o)`, "", "not enough arguments"},
		{`charge.Start(ctx, 1)`, "", "cannot use"},
		{`o, err = charge.Run(ctx, o)`, "", "cannot use"},
		{`var s string; s, err = charge.Start(ctx, o).Get(ctx); _ = s`, "", "cannot use"},
		{`var f workflow.Future[order] = charge.Start(ctx, o); _ = f`, "", "cannot use"},
		{`r, err = cancel.Receive(ctx)`, "", "cannot use"},
		{`r, _ = cancel.TryReceive(ctx)`, "", "cannot use"},
		{`r, _ = cancel.ReceiveUntil(ctx, time.Now())`, "", "cannot use"},
		{`cancel.ReceiveUntil(ctx, time.Hour)`, "", "cannot use"},
		{`workflow.Sleep(ctx, time.Now())`, "", "cannot use"},
		{`var d time.Duration; d, _ = workflow.NewTimer(ctx, time.Hour).Get(ctx); _ = d`, "", "cannot use"},
		{`var f workflow.Future[time.Time] = charge.Start(ctx, o); _ = f`, "", "cannot use"},
		{"", `var x = workflow.Define("x", func(order) (receipt, error) { return receipt{}, nil })`, "does not match"},
		{"", `var x = workflow.Define("x", func(workflow.Context, order) receipt { return receipt{} })`, "does not match"},
		{"", `var x = workflow.Define[order, order]("x", ship)`, "cannot use"},
		{"", `var x = workflow.Define("x", ship, "payment/charge")`, "cannot use"},
		{"", `var x = workflow.Define("x", ship, policy)`, "cannot use"},
		{"", `var x = workflow.NewTask[order, receipt]("payment", "charge", workflow.Version(2))`, "cannot use"},
		{"", `var x = workflow.NewTask("payment", "charge")`, "cannot infer"},
	} {
		err := check(fmt.Sprintf(frame, c.body, c.decl))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s%s does not compile: %v", c.body, c.decl, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s%s: got %v, want an error that has %q", c.body, c.decl, err, c.want)
		}
	}
}

// checker type-checks files against the compiled packages that they import.
func checker(t *testing.T) func(src string) error {
	t.Helper()
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Export", ".")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list the compiled packages: %v", err)
	}
	exports := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath, Export string }
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
	}
	fset := token.NewFileSet()
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})}
	return func(src string) error {
		f, err := parser.ParseFile(fset, "snippet.go", src, 0)
		if err != nil {
			t.Fatalf("%v:\n%s", err, src)
		}
		_, err = conf.Check("p", fset, []*ast.File{f}, nil)
		return err
	}
}
