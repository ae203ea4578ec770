package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
	"github.com/odradek/odradek/worker/httpbinding"
)

func (a *app) callCommand() *cobra.Command {
	var input, file, key string
	var dry bool
	cmd := &cobra.Command{
		Use:   "call CONFIG SERVICE.TASK",
		Short: "Try one binding",
		Long: `Make one attempt of a task with an input, as the worker would, without Kafka, and print
the result, or the failure as the workflow would get it. The API is called: it does what
it is asked for. With --dry-run the request is printed, without its secrets, and not sent.

Exit codes: 0 a result, 1 a failure, 2 the configuration, the task or a flag is wrong.`,
		Example: `  svcworker call configs/svcworker.yaml payment.request --input '{"customer":"7"}'
  svcworker call configs/svcworker.yaml payment.request --input-file in.json --dry-run`,
		Args: cobra.ExactArgs(2),
	}
	f := cmd.Flags()
	f.StringVar(&input, "input", "", "the task's input, JSON")
	f.StringVar(&file, "input-file", "", "file with the input; - is stdin")
	f.StringVar(&key, "key", "", "idempotency key; default: a new one")
	f.BoolVar(&dry, "dry-run", false, "print the request and send nothing")
	cmd.MarkFlagsMutuallyExclusive("input", "input-file")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in := []byte(input)
		var err error
		switch file {
		case "":
		case "-":
			in, err = io.ReadAll(os.Stdin)
		default:
			in, err = os.ReadFile(file)
		}
		if err == nil && len(in) > 0 && !json.Valid(in) {
			err = errors.New("the input is not JSON")
		}
		if err != nil {
			return exitError{exitUsage, err}
		}
		return a.call(cmd.Context(), args[0], args[1], in, key, dry)
	}
	return cmd
}

func (a *app) call(ctx context.Context, config, name string, input []byte, key string, dry bool) error {
	file, err := httpbinding.Load(config, binding.Options{WithoutSecrets: dry})
	if err != nil {
		return exitError{exitUsage, err}
	}
	task, names := (*httpbinding.Task)(nil), []string{}
	service := ""
	for _, s := range file.Services {
		for _, t := range s.Tasks {
			names = append(names, s.Name+"."+t.Operation)
			if s.Name+"."+t.Operation == name {
				task, service = t, s.Name
			}
		}
	}
	if task == nil {
		sort.Strings(names)
		return exitError{exitUsage, fmt.Errorf("%s binds no task %q: it has %s", config, name, strings.Join(names, ", "))}
	}
	if key == "" {
		key = uuid.NewString()
	}
	call := &worker.Call{Service: service, Operation: task.Operation, WorkflowID: "svcworker-call", Key: key, Attempt: 1, Input: input,
		Task: record.TaskID{Run: record.DeriveRunID("svcworker-call", record.Origin{}, record.MillisOf(time.Now())), No: 1}}
	if dry {
		return a.dryRun(ctx, task, call)
	}
	ctx, cancel := context.WithTimeout(ctx, task.Timeout)
	defer cancel()
	out, err := task.Call(ctx, call)
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
func (a *app) dryRun(ctx context.Context, task *httpbinding.Task, call *worker.Call) error {
	req, err := task.Request(ctx, call)
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
