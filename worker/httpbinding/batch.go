package httpbinding

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/expr-lang/expr/types"
	"go.yaml.in/yaml/v3"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
)

const (
	batchMaxDefault = 100
	// batchWaitMax bounds how long a task waits for others: a worker that stops, or whose
	// partitions move, waits with it.
	batchWaitMax     = 10 * time.Second
	batchWaitDefault = 10 * time.Millisecond
	// batchBytesMax bounds the inputs of one request, if it is more than one: twice what a
	// single one may have.
	batchBytesMax = 1 << 20
	// batchRequestBytesMax bounds the body that is built of them.
	batchRequestBytesMax = 2 * batchBytesMax
)

// CodeItemMissing (kind binding): the answer to a batch says nothing of this task.
// Retryable.
const CodeItemMissing = "item_missing"

// batching says how tasks are put together to one request, and what its answer means for
// each of them.
type batching struct {
	worker.Batch
	key      binding.Value // of a task: those of one request have the same; nil: any
	itemID   binding.Value // of a task: what the answer calls it; nil: the idempotency key
	answers  binding.Value // of the answer: the list, or the object by ID; nil: the body itself
	answerID binding.Value // of an answer's element: the item's ID; nil: by position
	failure  binding.Value // of an answer's element: nothing if it is a success; nil: always one
}

// What templates and expressions of a batch may use.
var (
	batchAttrs  = []string{"key", "group"}
	statusAttrs = []string{"status"}
)

func batchVars() types.Map {
	item := types.Map{"input": types.Any, "task": types.String, "key": types.String, "attempt": types.Int, "workflow_id": types.String, "workflow_type": types.String, "token": types.String}
	return types.Map{"items": types.Array(item), "key": types.String, "group": types.String}
}

// batch reads how tasks are put together.
func (d *decoder) batch(n *yaml.Node, key string, t *Task) {
	b := &batching{Batch: worker.Batch{Max: min(batchMaxDefault, t.service.Concurrency), Wait: batchWaitDefault, Bytes: batchBytesMax}}
	ofTask := ofOne()
	ofTask.Optional = false
	ofAnswer := binding.Place{Attrs: answerAttrs, Vars: answerVars(), References: true, Optional: true}
	var answerID *yaml.Node
	d.Fields(n, key, map[string]func(string, *yaml.Node){
		"max": func(key string, v *yaml.Node) {
			if b.Max = d.Integer(v, key, 1, binding.ConcurrencyMax); b.Max > t.service.Concurrency {
				d.Problem(v, key, fmt.Sprintf("a batch of %d never comes together: at most %d tasks of the service run at the same time", b.Max, t.service.Concurrency), "Lower it, or raise concurrency of the service")
			}
		},
		"wait": func(key string, v *yaml.Node) {
			if b.Wait = d.Duration(v, key, batchWaitMax); b.Wait >= t.Timeout && t.Timeout > 0 {
				d.Problem(v, key, fmt.Sprintf("waiting %s leaves nothing of the attempt's timeout of %s", b.Wait, t.Timeout), "Shorten it, or raise timeout")
			}
		},
		"key":     func(key string, v *yaml.Node) { b.key = d.Tree(v, key, ofTask) },
		"item_id": func(key string, v *yaml.Node) { b.itemID = d.Tree(v, key, ofTask) },
		"answers": func(key string, v *yaml.Node) {
			b.answers = d.Tree(v, key, binding.Place{Attrs: statusAttrs, Vars: wholeAnswerVars(), References: true})
		},
		"answer_id": func(key string, v *yaml.Node) { answerID, b.answerID = v, d.Tree(v, key, ofAnswer) },
		"failure":   func(key string, v *yaml.Node) { b.failure = d.Tree(v, key, ofAnswer) },
	})
	switch {
	case t.result.mode == resultText:
		d.Problem(n, key, "result: text is of one answer, and here it is many tasks'", "Write body, none, a mapping, a {field} or an = expression of each task's part of the answer")
	case t.result.mode == resultNone && b.failure == nil && b.answers == nil && b.answerID == nil:
		// The status alone tells, of all.
	case b.itemID != nil && b.answerID == nil && b.answers == nil:
		d.Problem(n, binding.Join(key, "item_id"), "nothing in the answer is compared with it", "Write answer_id, where an element of the answer has it, or answers, where an object is by ID")
	}
	if l, ok := b.answerID.(binding.Literal); ok {
		d.Problem(answerID, binding.Join(key, "answer_id"), fmt.Sprintf("%q is the same of all answers", fmt.Sprint(l.V)), "Write a {field} of an element of the answer")
	}
	t.batch = b
}

// wholeAnswerVars is what an expression over the whole answer of a batch sees.
func wholeAnswerVars() types.Map {
	vars := answerVars()
	delete(vars, "input")
	return vars
}

// Batches reports whether the task's requests are of many tasks.
func (t *Task) Batches() bool { return t.batch != nil }

// Group is which tasks go into one request with this one: those whose group is the same.
func (t *Task) Group(call *worker.Call) (string, error) {
	if t.batch == nil || t.batch.key == nil {
		return "", nil
	}
	id, err := scalarOf(t.batch.key, binding.RequestScope(call))
	if err != nil {
		return "", t.notBuilt(fmt.Errorf("batch.key: %w", err))
	}
	return id, nil
}

// scalarOf evaluates a value that must be there and be no list or object.
func scalarOf(v binding.Value, s *binding.Scope) (string, error) {
	x, present, err := v.Eval(s)
	if err != nil {
		return "", err
	}
	if !present || x == nil {
		return "", errors.New("it gives nothing")
	}
	return binding.Scalar(x)
}

// item is one task of a batch.
type item struct {
	call  *worker.Call
	id    string
	input any
	at    int // of the calls
}

// batch is what one request is made of.
type batchOf struct {
	items []item
	group string
	key   string
}

// collect reads the tasks of one request. What is wrong with one of them is its own
// failure.
func (t *Task) collect(calls []*worker.Call, results []worker.BatchResult[[]byte]) (b batchOf) {
	seen := map[string]bool{}
	for at, call := range calls {
		i, err := t.item(call)
		if err == nil && seen[i.id] {
			err = fmt.Errorf("batch.item_id: another task of the request has the ID %q, so its answer cannot be told from this one's; the next attempt is in another request", i.id)
		}
		if err != nil {
			results[at].Err = t.notBuilt(err)
			continue
		}
		seen[i.id], i.at = true, at
		b.items = append(b.items, i)
	}
	return b
}

func (t *Task) item(call *worker.Call) (i item, err error) {
	s := binding.RequestScope(call)
	i = item{call: call, id: call.Key}
	if err := binding.HeaderValue(call.Key); err != nil {
		return i, fmt.Errorf("the task's idempotency key: %w", err)
	}
	if i.input, err = s.Value(); err != nil {
		return i, err
	}
	if t.batch.itemID != nil {
		if i.id, err = scalarOf(t.batch.itemID, s); err != nil {
			return i, fmt.Errorf("batch.item_id: %w", err)
		}
	}
	return i, nil
}

// finish orders the items by their keys and names the request by them: the same tasks make
// the same request with the same key, whichever came first; others have another key.
func (b *batchOf) finish() {
	slices.SortFunc(b.items, func(x, y item) int { return cmp.Compare(x.call.Key, y.call.Key) })
	h := sha256.New()
	for _, i := range b.items {
		_, _ = fmt.Fprintf(h, "%d:%s", len(i.call.Key), i.call.Key)
	}
	b.key = hex.EncodeToString(h.Sum(nil)[:16])
}

// scope is what the request's templates see: {items.0.input.a}, {$key} and {$group}.
func (b *batchOf) scope() *binding.Scope {
	items := make([]any, len(b.items))
	for n, i := range b.items {
		items[n] = map[string]any{
			"input": i.input, "task": i.call.Task.String(), "key": i.call.Key, "attempt": int(i.call.Attempt),
			"workflow_id": i.call.WorkflowID, "workflow_type": i.call.WorkflowType, "token": i.call.Token(),
		}
	}
	s := &binding.Scope{What: "batch",
		Attr: map[string]string{"key": b.key, "group": b.group},
		More: func() map[string]any { return map[string]any{"key": b.key, "group": b.group} },
	}
	s.Set(map[string]any{"items": items})
	return s
}

// inputs is the body of a batch whose file says none: the list of its inputs as they are.
func (b *batchOf) inputs() ([]byte, error) {
	out := []byte{'['}
	for n, i := range b.items {
		if n > 0 {
			out = append(out, ',')
		}
		if in := bytes.TrimSpace(i.call.Input); len(in) > 0 {
			out = append(out, in...)
		} else {
			out = append(out, "null"...)
		}
	}
	return append(out, ']'), nil
}

// BatchRequest builds the request of many tasks, all of one group.
func (t *Task) BatchRequest(ctx context.Context, calls []*worker.Call) (*http.Request, error) {
	results := make([]worker.BatchResult[[]byte], len(calls))
	b := t.collect(calls, results)
	for _, r := range results {
		if r.Err != nil {
			return nil, r.Err
		}
	}
	return t.batchRequest(ctx, &b)
}

func (t *Task) batchRequest(ctx context.Context, b *batchOf) (*http.Request, error) {
	group, err := t.Group(b.items[0].call)
	if err != nil {
		return nil, err
	}
	b.group = group
	b.finish()
	return t.build(ctx, b.scope(), sending{key: b.key, trace: b.items[0].call.Trace, whole: b.inputs, bodyMax: batchRequestBytesMax})
}

// buildable gives the request of the items, and leaves out those for which alone none can
// be built: each has its own failure, and the others go on.
func (t *Task) buildable(ctx context.Context, b *batchOf, results []worker.BatchResult[[]byte]) (*http.Request, error) {
	req, err := t.batchRequest(ctx, b)
	if err == nil || len(b.items) == 1 {
		return req, err
	}
	left := batchOf{}
	for _, i := range b.items {
		if _, alone := t.batchRequest(ctx, &batchOf{items: []item{i}}); alone != nil {
			results[i.at].Err = t.notBuilt(alone)
		} else {
			left.items = append(left.items, i)
		}
	}
	if len(left.items) == 0 || len(left.items) == len(b.items) {
		return nil, err
	}
	*b = left
	return t.batchRequest(ctx, b)
}

// doMany makes one attempt of many tasks, with one request.
func (t *Task) doMany(ctx context.Context, client, tokens *http.Client, calls []*worker.Call) []worker.BatchResult[[]byte] {
	results := make([]worker.BatchResult[[]byte], len(calls))
	b := t.collect(calls, results)
	if len(b.items) == 0 {
		return results
	}
	req, err := t.buildable(ctx, &b, results)
	if err != nil {
		err = t.notBuilt(err)
	} else {
		err = t.exchange(ctx, client, tokens, req, func(resp *http.Response) error { return t.outcomes(resp, b.items, results, time.Now()) })
	}
	if err != nil {
		for _, i := range b.items {
			if results[i.at].Err == nil {
				results[i.at] = worker.BatchResult[[]byte]{Err: err}
			}
		}
		return results
	}
	secrets := t.service.Redactor(req.Header.Get("Authorization"))
	for _, i := range b.items {
		results[i.at].Err = secrets.Failure(results[i.at].Err)
	}
	return results
}

// outcomes reads the answer to a batch and says what it means for each item.
func (t *Task) outcomes(resp *http.Response, items []item, results []worker.BatchResult[[]byte], now time.Time) error {
	switch class := t.statuses.of(resp.StatusCode); class {
	case binding.Completed:
	case binding.Pending:
		return worker.ErrPending
	default:
		return t.refused(resp, class, now)
	}
	m := t.batch
	if t.result.mode == resultNone && m.failure == nil && m.answers == nil && m.answerID == nil {
		for _, i := range items {
			results[i.at].Value = []byte("null")
		}
		return nil
	}
	body, err := t.readBody(resp)
	if err != nil {
		return err
	}
	find, err := t.parts(resp, body, items)
	if err != nil {
		return t.notMapped(resp, body, err)
	}
	for n, i := range items {
		r := &results[i.at]
		element, err := find(n, i)
		if err != nil {
			r.Err = &record.Failure{Kind: record.FailureBinding, Code: CodeItemMissing, Retryable: true, HTTPStatus: resp.StatusCode,
				Message: fmt.Sprintf("%s: the API answered %d, but %v", t.key, resp.StatusCode, err)}
			continue
		}
		r.Value, r.Err = t.itemOutcome(resp, element, i)
	}
	return nil
}

// parts takes the answer apart: find gives the element of the n-th item.
func (t *Task) parts(resp *http.Response, body []byte, items []item) (find func(n int, i item) (any, error), err error) {
	s := answerScope(resp, bytes.TrimSpace(body), nil)
	all, err := s.Value()
	if err != nil {
		return nil, err
	}
	if t.batch.answers != nil {
		if all, _, err = t.batch.answers.Eval(s); err != nil {
			return nil, fmt.Errorf("batch.answers: %w", err)
		}
	}
	switch all := all.(type) {
	case map[string]any:
		return func(_ int, i item) (any, error) {
			if element, ok := all[i.id]; ok {
				return element, nil
			}
			return nil, fmt.Errorf("its answers have none for the ID %q", i.id)
		}, nil
	case []any:
		if t.batch.answerID != nil {
			return t.partsByID(resp, all)
		}
		if len(all) != len(items) {
			// A list with one left out would give the others' results to the wrong tasks.
			return nil, fmt.Errorf("it has %d answers to %d tasks, and which is whose cannot be told by their positions; if they carry an ID, set batch.answer_id", len(all), len(items))
		}
		return func(n int, _ item) (any, error) {
			if all[n] == nil {
				return nil, errors.New("its answer to this task is null")
			}
			return all[n], nil
		}, nil
	}
	return nil, fmt.Errorf("its answers are %s, not a list or an object by ID; set batch.answers to where they are", binding.KindOf(all))
}

// partsByID finds elements by the ID that each carries. An ID that comes twice is
// nobody's: which of the two is right cannot be told. Elements without one are passed
// over.
func (t *Task) partsByID(resp *http.Response, all []any) (func(int, item) (any, error), error) {
	byID := make(map[string]any, len(all))
	twice := map[string]bool{}
	var bad error
	for n, element := range all {
		id, err := scalarOf(t.batch.answerID, elementScope(resp, element, nil))
		if err != nil {
			bad = fmt.Errorf("element %d: batch.answer_id: %w", n, err)
			continue
		}
		if _, there := byID[id]; there {
			twice[id] = true
		}
		byID[id] = element
	}
	return func(_ int, i item) (any, error) {
		element, there := byID[i.id]
		switch {
		case twice[i.id]:
			return nil, fmt.Errorf("it has two answers with the ID %q", i.id)
		case there:
			return element, nil
		case bad != nil:
			return nil, fmt.Errorf("it has no answer with the ID %q; %w", i.id, bad)
		}
		return nil, fmt.Errorf("it has no answer with the ID %q", i.id)
	}, nil
}

// itemOutcome says what one element of the answer means for its task.
func (t *Task) itemOutcome(resp *http.Response, element any, i item) ([]byte, error) {
	s := elementScope(resp, element, i.call)
	malformed := func(err error) error {
		text, _ := binding.Encode(element) // what came of it
		return t.notMapped(resp, text, err)
	}
	if t.batch.failure != nil {
		v, present, err := t.batch.failure.Eval(s)
		if err != nil {
			return nil, malformed(fmt.Errorf("batch.failure: %w", err))
		}
		if present && v != nil && v != false {
			failed, err := t.saidFailure(v, element, record.Failure{Code: "item_failed", Message: t.key + ": the API refused this task of the batch"})
			if err != nil {
				return nil, malformed(fmt.Errorf("batch.failure: %w", err))
			}
			if failed != nil {
				return nil, failed
			}
		}
	}
	var out []byte
	var err error
	switch t.result.mode {
	case resultNone:
		return []byte("null"), nil
	case resultBody:
		out, err = binding.Encode(element)
	default:
		out, err = binding.Result(t.result.value, s)
	}
	if err != nil {
		return nil, malformed(err)
	}
	return out, nil
}

// saidFailure makes a failure of what the file's failure gave of an answer, or of an element
// of it: true, a message, or an object with code, message, http_status, retryable and
// retry_after_ms. With a status and no retryable, the status decides as that of a whole
// answer; it may say that the task is completed, nil, or pending. begun has the code and the
// message where nothing else is said.
func (t *Task) saidFailure(v, element any, begun record.Failure) (failed, malformed error) {
	f := &begun
	f.Kind = record.FailureHTTP
	if doc, err := binding.Encode(element); err == nil && len(doc) <= record.ProblemBytesMax {
		f.Problem = doc
	}
	switch v := v.(type) {
	case bool:
		return f, nil
	case string:
		f.Message += ": " + binding.Printable(v)
		return f, nil
	case map[string]any:
		text, err := binding.Encode(v)
		if err != nil {
			return nil, err
		}
		var said struct {
			Code       string   `json:"code"`
			Message    string   `json:"message"`
			Status     int      `json:"http_status"`
			Retryable  *bool    `json:"retryable"`
			RetryAfter *float64 `json:"retry_after_ms"`
		}
		if err := json.Unmarshal(text, &said); err != nil {
			return nil, fmt.Errorf("%s is no failure: %w", text, err)
		}
		if said.Status != 0 {
			f.HTTPStatus, f.Code = said.Status, "http_"+strconv.Itoa(said.Status)
			class := t.statuses.of(said.Status)
			switch {
			case said.Retryable != nil:
			case class == binding.Completed:
				return nil, nil
			case class == binding.Pending:
				return worker.ErrPending, nil
			}
			f.Retryable = class == binding.Retry
		}
		if binding.SnakeCase(said.Code) {
			f.Code = said.Code
		}
		if text := binding.Printable(said.Message); text != "" {
			f.Message += ": " + text
		}
		if said.Retryable != nil {
			f.Retryable = *said.Retryable
		}
		if said.RetryAfter != nil && f.Retryable {
			f.RetryAfter = time.Duration(max(0, min(*said.RetryAfter, float64(t.retryMax/time.Millisecond)))) * time.Millisecond
		}
		return f, nil
	}
	return nil, fmt.Errorf("it gives %s; a failure is true, text, or an object with code, message, http_status, retryable, retry_after_ms", binding.KindOf(v))
}

// elementScope is what templates see of one element of an answer.
func elementScope(resp *http.Response, element any, call *worker.Call) *binding.Scope {
	s := answerScope(resp, nil, call)
	s.Set(element)
	return s
}
