package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
	"github.com/odradek/odradek/worker/bindings"
	"github.com/odradek/odradek/worker/grpcbinding"
	"github.com/odradek/odradek/worker/httpbinding"
)

func (a *app) callCommand() *cobra.Command {
	var inputs []string
	var file, key, details string
	var dry bool
	cmd := &cobra.Command{
		Use:   "call CONFIG SERVICE.TASK",
		Short: "Try one binding",
		Long: `Make one attempt of a task with an input, as the worker would, without Kafka, and print
the result, or the failure as the workflow would get it. The API is called: it does what
it is asked for. A binding with a batch takes --input more than once: all go into one
request, and an outcome is printed for each. With --dry-run the request is printed, without its secrets, and not sent.

Exit codes: 0 a result, 1 a failure, 2 the configuration, the task or a flag is wrong.`,
		Example: `  svcworker call configs/svcworker.yaml payment.request --input '{"customer":"7"}'
  svcworker call configs/svcworker.yaml payment.request --input-file in.json --dry-run
  svcworker call configs/svcworker.yaml search.index --input '{"id":1}' --input '{"id":2}'`,
		Args: cobra.ExactArgs(2),
	}
	f := cmd.Flags()
	f.StringArrayVar(&inputs, "input", nil, "the task's input, JSON; may be repeated for a batch")
	f.StringVar(&file, "input-file", "", "file with the input; - is stdin")
	f.StringVar(&key, "key", "", "idempotency key; default: a new one. Of a batch, the tasks' keys begin with it")
	f.StringVar(&details, "details", "", "what the call before has left, JSON: of a task with poll, to ask once more")
	f.BoolVar(&dry, "dry-run", false, "print the request and send nothing")
	cmd.MarkFlagsMutuallyExclusive("input", "input-file")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ins := make([][]byte, 0, len(inputs)+1)
		for _, in := range inputs {
			ins = append(ins, []byte(in))
		}
		if file != "" || len(ins) == 0 {
			in, err := readInput(file)
			if err != nil {
				return exitError{exitUsage, err}
			}
			ins = append(ins, in)
		}
		for _, in := range ins {
			if len(in) > 0 && !json.Valid(in) {
				return exitError{exitUsage, errors.New("the input is not JSON")}
			}
		}
		if details != "" && !json.Valid([]byte(details)) {
			return exitError{exitUsage, errors.New("--details is not JSON")}
		}
		return a.call(cmd.Context(), trial{config: args[0], task: args[1], inputs: ins, key: key, details: details, dry: dry})
	}
	return cmd
}

// readInput reads a file; - is stdin, and no name nothing.
func readInput(file string) ([]byte, error) {
	switch file {
	case "":
		return nil, nil
	case "-":
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(file)
}

// trial is a binding to be tried.
type trial struct {
	config, task string
	inputs       [][]byte
	key, details string
	dry          bool
}

func (a *app) call(ctx context.Context, try trial) error {
	config, name, inputs, key, dry := try.config, try.task, try.inputs, try.key, try.dry
	s, _ := loadSettings(config, nil, true) // what else it has is the worker's: this needs no Kafka
	file, err := bindings.Load(config, binding.Options{WithoutSecrets: dry, CallbackURL: s.Callback})
	if err != nil {
		return exitError{exitUsage, err}
	}
	task, names := (*httpbinding.Task)(nil), []string{}
	service := ""
	for _, s := range file.HTTP.Services {
		for _, t := range s.Tasks {
			names = append(names, s.Name+"."+t.Operation)
			if s.Name+"."+t.Operation == name {
				task, service = t, s.Name
			}
		}
	}
	for _, s := range file.GRPC.Services {
		for _, t := range s.Tasks {
			names = append(names, s.Name+"."+t.Operation)
			if s.Name+"."+t.Operation == name {
				return a.callGRPC(ctx, t, s.Name, inputs, key, dry)
			}
		}
	}
	if task == nil {
		sort.Strings(names)
		return exitError{exitUsage, fmt.Errorf("%s binds no task %q: it has %s", config, name, strings.Join(names, ", "))}
	}
	if len(inputs) > 1 && !task.Batches() {
		return exitError{exitUsage, fmt.Errorf("%s makes a request for each task, and there are %d inputs: give it batch, or one --input", name, len(inputs))}
	}
	calls := tryCalls(service, task.Operation, inputs, key)
	for n := range calls {
		if task.Batches() {
			calls[n].Key = fmt.Sprintf("%s.%d", calls[n].Key, n+1)
		}
	}
	if task.Batches() {
		return a.callBatch(ctx, task, calls, dry)
	}
	if try.details != "" {
		calls[0].Details = []byte(try.details)
	}
	if dry {
		return a.dryRun(task.Request(ctx, calls[0]))
	}
	ctx, cancel := context.WithTimeout(ctx, task.Timeout)
	defer cancel()
	out, err := task.Call(ctx, calls[0])
	return a.printOutcome(out, err)
}

// tryCalls are attempts of tasks that no workflow asked for, with one key.
func tryCalls(service, operation string, inputs [][]byte, key string) []*worker.Call {
	if key == "" {
		key = uuid.NewString()
	}
	calls := make([]*worker.Call, len(inputs))
	for n, input := range inputs {
		id := fmt.Sprintf("svcworker-call-%d", n+1)
		calls[n] = &worker.Call{Service: service, Operation: operation, WorkflowID: id, Key: key, Attempt: 1, Input: input,
			Task: record.TaskID{Run: record.DeriveRunID(id, record.Origin{}, record.MillisOf(time.Now())), No: 1}}
	}
	return calls
}

// callGRPC makes one call of a gRPC API.
func (a *app) callGRPC(ctx context.Context, task *grpcbinding.Task, service string, inputs [][]byte, key string, dry bool) error {
	if len(inputs) > 1 {
		return exitError{exitUsage, fmt.Errorf("%s.%s makes a call for each task, and there are %d inputs: give it one --input", service, task.Operation, len(inputs))}
	}
	call := tryCalls(service, task.Operation, inputs, key)[0]
	if dry {
		text, err := task.Show(call)
		if err != nil {
			return exitError{exitProblems, err}
		}
		fmt.Fprint(a.stdout, text)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, task.Timeout)
	defer cancel()
	out, err := task.Call(ctx, call)
	return a.printOutcome(out, err)
}

// callBatch makes one request of many tasks, which must be of one group.
func (a *app) callBatch(ctx context.Context, task *httpbinding.Task, calls []*worker.Call, dry bool) error {
	first := ""
	for n, c := range calls {
		group, err := task.Group(c)
		if err != nil {
			return a.printOutcome(nil, err)
		}
		if n > 0 && group != first {
			return exitError{exitUsage, fmt.Errorf("the inputs are of two groups, %q and %q, which are never in one request", first, group)}
		}
		first = group
	}
	if dry {
		return a.dryRun(task.BatchRequest(ctx, calls))
	}
	ctx, cancel := context.WithTimeout(ctx, task.Timeout)
	defer cancel()
	var failed error
	for _, r := range task.CallMany(ctx, calls) {
		if err := a.printOutcome(r.Value, r.Err); err != nil {
			failed = err
		}
	}
	return failed
}

// printOutcome prints a result, or a failure as the workflow would get it.
func (a *app) printOutcome(out []byte, err error) error {
	if after, details, ok := worker.PollOf(err); ok {
		fmt.Fprintf(a.stdout, "pending: it is asked for again in %s, with --details '%s'\n", after, details)
		return nil
	}
	if errors.Is(err, worker.ErrPending) {
		fmt.Fprintln(a.stdout, "pending: the API will answer later, with the task's token")
		return nil
	}
	if f, ok := errors.AsType[*record.Failure](err); ok {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		_ = enc.Encode(f)
		return exitError{code: exitProblems}
	}
	if err != nil {
		return exitError{exitProblems, err}
	}
	var pretty bytes.Buffer
	if json.Indent(&pretty, out, "", "  ") != nil {
		pretty.Reset()
		pretty.Write(out)
	}
	fmt.Fprintln(a.stdout, pretty.String())
	return nil
}

// dryRun prints a request whose secrets were not looked for.
func (a *app) dryRun(req *http.Request, err error) error {
	if err != nil {
		return exitError{exitProblems, err}
	}
	fmt.Fprintf(a.stdout, "%s %s\n", req.Method, req.URL)
	var lines []string
	for name, values := range req.Header {
		lines = append(lines, name+": "+strings.Join(values, ", "))
	}
	sort.Strings(lines)
	fmt.Fprintln(a.stdout, strings.Join(lines, "\n"))
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return exitError{exitProblems, err}
		}
		fmt.Fprintf(a.stdout, "\n%s\n", body)
	}
	return nil
}
