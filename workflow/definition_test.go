package workflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/odradek/odradek/workflow"
)

type (
	base struct {
		Customer string `json:"customer"`
		Region   string `json:"-"`
	}
	line struct {
		SKU   string  `json:"sku"`
		Count int32   `json:"count"`
		Price float64 `json:"price,omitempty"`
	}
	level int
	order struct {
		base
		Due     time.Time         `json:"due"`
		Lines   []line            `json:"lines"`
		Tags    map[string]string `json:"tags"`
		ByShelf map[int]*line     `json:"by_shelf"`
		Level   level             `json:"level"`
		Note    *string           `json:"note"`
		Gift    bool              `json:"gift"`
		Pair    [2]int8           `json:"pair"`
		Raw     json.RawMessage   `json:"raw"`
		Any     any               `json:"any"`
		Bytes   []byte            `json:"bytes"`
		Quoted  int               `json:"quoted,string"`
		Plain   string
		hidden  int
	}
)

func (l *level) UnmarshalText(b []byte) error {
	if string(b) != "high" {
		return errors.New("levels are: high")
	}
	*l = 1
	return nil
}

func ship(workflow.Context, order) (string, error) { _ = order{}.hidden; return "", nil }

var (
	charge = workflow.NewTask[order, line]("payment", "charge")
	refund = workflow.NewTask[order, line]("payment", "refund", workflow.WithRetry(workflow.RetryPolicy{MaxAttempts: 2}))
	send   = workflow.NewTask[order, line]("email", "send")
	cancel = workflow.NewSignal[line]("cancel")
	hurry  = workflow.NewSignal[struct{}]("hurry")
)

func TestDefinition(t *testing.T) {
	t.Parallel()
	d := workflow.Define("shipping", ship, send, refund, charge, charge.With(workflow.WithRetry(workflow.RetryPolicy{})), hurry, cancel,
		workflow.Version(3), workflow.Strict(), workflow.History(workflow.HistoryAll), workflow.Retention(time.Hour))
	if err := d.Validate(); err != nil {
		t.Fatal(err)
	}
	if d.Type() != "shipping" || d.Version() != 3 || !d.Strict() || d.HistoryLevel() != workflow.HistoryAll || d.Retention() != time.Hour || d.IsZero() {
		t.Errorf("%q version %d strict %v history %s retention %s", d.Type(), d.Version(), d.Strict(), d.HistoryLevel(), d.Retention())
	}
	if got, want := d.Services(), map[string][]string{"payment": {"charge", "refund"}, "email": {"send"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("services %v, want %v", got, want)
	}
	if got, want := d.Signals(), []string{"cancel", "hurry"}; !reflect.DeepEqual(got, want) {
		t.Errorf("signals %v, want %v", got, want)
	}
	d = workflow.Define("shipping", ship)
	if d.Version() != 1 || d.Strict() || d.HistoryLevel() != workflow.HistoryLifecycle || d.Retention() != 0 || len(d.Services()) != 0 || len(d.Signals()) != 0 {
		t.Error("defaults")
	}
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateRefuses(t *testing.T) {
	t.Parallel()
	task := func(service, operation string, p workflow.RetryPolicy) workflow.Use {
		return workflow.NewTask[int, int](service, operation, workflow.WithRetry(p))
	}
	none := workflow.RetryPolicy{}
	for want, uses := range map[string][]workflow.Use{
		`version is 0`:                                                             {workflow.Version(0)},
		`HistoryLevel(9) is no history level`:                                      {workflow.History(9)},
		`retention -1s is negative`:                                                {workflow.Retention(-time.Second)},
		`service "" of operation "a": the name is emp`:                             {task("", "a", none)},
		`service "a/b" of operation "a": the name has`:                             {task("a/b", "a", none)},
		`operation ".a" of service "s": the name star`:                             {task("s", ".a", none)},
		`operation "a..b" of service "s"`:                                          {task("s", "a..b", none)},
		`has 101 bytes, at most 100`:                                               {task("s", strings.Repeat("x", 101), none)},
		`task s/a: a pause is negative`:                                            {task("s", "a", workflow.RetryPolicy{Initial: -1})},
		`first pause 2s is longer than the longest`:                                {task("s", "a", workflow.RetryPolicy{Initial: 2 * time.Second, Max: time.Second})},
		`multiplier 0.5`:                                                           {task("s", "a", workflow.RetryPolicy{Multiplier: 0.5})},
		`LimitBy of task s/a: it is a func(string) string, the task's input a int`: {workflow.NewTask[int, int]("s", "a", workflow.LimitBy(func(string) string { return "" }))},
		`local task l has a LimitBy`:                                               {workflow.NewLocalTask("l", func(context.Context, int) (int, error) { return 0, nil }, workflow.LimitBy(func(int) string { return "" }))},
		`signal "é": the name has 'é'`:                                             {workflow.NewSignal[int]("é")},
		`signal "a" is given twice`:                                                {workflow.NewSignal[int]("a"), workflow.NewSignal[int]("a")},
	} {
		err := workflow.Define("shipping", ship, uses...).Validate()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `"shipping"`) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if err := workflow.Define("", ship, workflow.Version(0)).Validate(); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("not everything is named: %v", err)
	}
	if err := (workflow.Definition{}).Validate(); err == nil {
		t.Error("the zero Definition is valid")
	}
}

// TestCheckInput: what does not fit is named by its path, with what it wants.
func TestCheckInput(t *testing.T) {
	t.Parallel()
	d := workflow.Define("shipping", ship)
	const integer32 = "want an integer (int32)"
	for input, want := range map[string]string{ // want "": fits
		`{}`: "",
		` {"customer":"c","due":"2026-01-31T09:00:00Z","lines":[{"sku":"a","count":1,"price":1.5}],"tags":{"a":"b"},
		  "by_shelf":{"-1":{"count":2}},"level":"high","note":null,"gift":true,"pair":[1,2],"raw":{"x":[]},"any":[1],"bytes":"aGk=","quoted":"7","Plain":"p"} `: "",
		`{"PLAIN":"as encoding/json reads it"}`: "",

		``:                                 `the payload is empty or null, want an object`,
		` null `:                           `the payload is empty or null, want an object`,
		`[]`:                               `the payload is a list, want an object`,
		`"x"`:                              `the payload is a string ("x"), want an object`,
		`{"gift":1}`:                       `field "gift" is a number (1), want true or false`,
		`{"customer":{}}`:                  `field "customer" is an object, want a string`,
		`{"lines":{}}`:                     `field "lines" is an object, want a list`,
		`{"lines":[{},{"count":"3"}]}`:     `field "lines[1].count" is a string ("3"), ` + integer32,
		`{"lines":[{"count":3.5}]}`:        `field "lines[0].count" is a number (3.5), ` + integer32,
		`{"lines":[{"count":3000000000}]}`: `field "lines[0].count" is a number (3000000000), ` + integer32,
		`{"lines":[{"price":[]}]}`:         `field "lines[0].price" is a list, want a number (float64)`,
		`{"lines":[{"cuont":3}]}`:          `field "lines[0].cuont" is unknown; known are count, price, sku`,
		`{"tags":{"a":1}}`:                 `field "tags.a" is a number (1), want a string`,
		`{"by_shelf":{"x":{}}}`:            `field "by_shelf.x" has a name that is not an integer (int)`,
		`{"by_shelf":{"1":{"sku":2}}}`:     `field "by_shelf.1.sku" is a number (2), want a string`,
		`{"due":"tomorrow"}`:               `field "due" is a string ("tomorrow"), want a time as RFC 3339 has it, like "2026-01-31T09:00:00Z": parsing time`,
		`{"due":17}`:                       `field "due" is a number (17), want a time`,
		`{"level":"low"}`:                  `field "level" is a string ("low"), want a workflow_test.level: levels are: high`,
		`{"note":1}`:                       `field "note" is a number (1), want a string`,
		`{"pair":[1,300]}`:                 `field "pair[1]" is a number (300), want an integer (int8)`,
		`{"bytes":"%"}`:                    `field "bytes" is a string ("%"), want a string of base64`,
		`{"quoted":7}`:                     `quoted`,
		`{"-":1}`:                          `field "-" is unknown; known are Plain, any, by`,
		`{"region":"eu"}`:                  `field "region" is unknown`,
		`{"hidden":1}`:                     `field "hidden" is unknown`,
		`{"customer":"c"`:                  `the payload is not JSON`,
		`{"customer":"c"}}`:                `more follows the JSON value at byte`,
		`{"customer":"c"} {}`:              `more follows the JSON value at byte`,
		`{"customer":c}`:                   `the payload is not JSON at byte 13`,
		"\xff":                             `the payload is not JSON at byte 1`,
	} {
		err := d.CheckInput([]byte(input))
		if want == "" && err != nil {
			t.Errorf("%s: %v", input, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s:\n  got  %v\n  want %s", input, err, want)
		}
	}
}

// TestNothingAsPayload: for types that have a value for nothing.
func TestNothingAsPayload(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		def  workflow.Definition
		fits bool
	}{
		{workflow.Define("t", func(workflow.Context, struct{}) (int, error) { return 0, nil }), true},
		{workflow.Define("t", func(workflow.Context, *order) (int, error) { return 0, nil }), true},
		{workflow.Define("t", func(workflow.Context, any) (int, error) { return 0, nil }), true},
		{workflow.Define("t", func(workflow.Context, []int) (int, error) { return 0, nil }), true},
		{workflow.Define("t", func(workflow.Context, map[string]int) (int, error) { return 0, nil }), true},
		{workflow.Define("t", func(workflow.Context, json.RawMessage) (int, error) { return 0, nil }), true},
		{workflow.Define("t", func(workflow.Context, int) (int, error) { return 0, nil }), false},
		{workflow.Define("t", func(workflow.Context, string) (int, error) { return 0, nil }), false},
		{workflow.Define("t", func(workflow.Context, line) (int, error) { return 0, nil }), false},
	} {
		for _, payload := range []string{"", " \n", "null"} {
			if err := c.def.CheckInput([]byte(payload)); (err == nil) != c.fits {
				t.Errorf("%q: %v", payload, err)
			}
		}
	}
}

func TestCheckSignal(t *testing.T) {
	t.Parallel()
	d := workflow.Define("shipping", ship, cancel, hurry)
	for _, c := range []struct{ name, payload, want string }{
		{"cancel", `{"sku":"a"}`, ""},
		{"cancel", `{"sku":1}`, `field "sku" is a number (1), want a string`},
		{"cancel", `{"why":1}`, `field "why" is unknown; known are count, price, sku`},
		{"cancel", ``, `the payload is empty or null, want an object`},
		{"hurry", ``, ""},
		{"hurry", `{}`, ""},
		{"hurry", `{"x":1}`, `field "x" is unknown`},
	} {
		err := d.CheckSignal(c.name, []byte(c.payload))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s %s: %v, want %q", c.name, c.payload, err, c.want)
		}
	}
	err := d.CheckSignal("hury", nil)
	if !errors.Is(err, workflow.ErrUnknownSignal) || !strings.Contains(err.Error(), `"hury"; it has cancel, hurry`) {
		t.Error(err)
	}
	err = workflow.Define("quiet", ship).CheckSignal("x", nil)
	if !errors.Is(err, workflow.ErrUnknownSignal) || !strings.Contains(err.Error(), "it has none") {
		t.Error(err)
	}
}

type recursive struct {
	*recursive            //nolint:unused // what the test is about
	Next       *recursive `json:"next"`
	N          int        `json:"n"`
}

// TestRecursiveTypes end.
func TestRecursiveTypes(t *testing.T) {
	t.Parallel()
	d := workflow.Define("t", func(workflow.Context, recursive) (int, error) { return 0, nil })
	if err := d.CheckInput([]byte(`{"next":{"next":{"n":1}}}`)); err != nil {
		t.Error(err)
	}
	if err := d.CheckInput([]byte(`{"next":{"next":{"n":"1"}}}`)); err == nil || !strings.Contains(err.Error(), `"next.next.n"`) {
		t.Error(err)
	}
}

// FuzzCheckInput: never a panic; what is refused is refused with a reason, and what
// fits is JSON.
func FuzzCheckInput(f *testing.F) {
	for _, s := range []string{``, `{}`, `{"lines":[{"count":1e9}]}`, `{"due":"x","tags":{"":""}}`, `{"by_shelf":{"1":null}}`, `[`, `{"quoted":"\u0000"}`, `{"pair":[1,2,3]}`} {
		f.Add([]byte(s))
	}
	d := workflow.Define("shipping", ship)
	f.Fuzz(func(t *testing.T, input []byte) {
		switch err := d.CheckInput(input); {
		case err == nil && !json.Valid(input):
			t.Errorf("%q fits", input)
		case err != nil && err.Error() == "":
			t.Errorf("%q is refused without a reason", input)
		case err != nil:
			var o order
			if json.Unmarshal(input, &o) != nil && !strings.ContainsAny(err.Error(), "\"'") && !strings.Contains(err.Error(), "payload") {
				t.Errorf("%q: %v names nothing", input, err)
			}
		}
	})
}
