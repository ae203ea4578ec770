package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/job"
)

func (a *app) cancel() *cobra.Command {
	return a.operate(&operator{
		operation: job.Cancel, verb: "cancel", short: "Ask a workflow's current run to end",
		long: `Ask a workflow's current run to end: its code sees the cancellation, cleans up and
returns. The run then has the status cancelled.`,
		example: "  odradek wf cancel order-7 --reason 'the customer called'",
		do: func(c *client.HTTP, ctx context.Context, r client.OperateRequest) (client.Ended, error) {
			return c.CancelWorkflow(ctx, r.EndRequest)
		},
	})
}

func (a *app) terminate() *cobra.Command {
	return a.operate(&operator{
		operation: job.Terminate, verb: "terminate", short: "Close a workflow's current run at once",
		long: `Close a workflow's current run at once. Its code sees nothing of it and cleans nothing
up: for a run whose code does not work. Prefer cancel.`,
		example: "  odradek wf terminate order-7 --reason 'stuck since the last release'",
		do: func(c *client.HTTP, ctx context.Context, r client.OperateRequest) (client.Ended, error) {
			return c.TerminateWorkflow(ctx, r.EndRequest)
		},
	})
}

// operator is a command that does something to one workflow, or by a job to many.
type operator struct {
	operation                  job.Operation // empty: it cannot be done to many
	verb, short, long, example string
	do                         func(*client.HTTP, context.Context, client.OperateRequest) (client.Ended, error)

	one  client.OperateRequest
	many bulk
	yes  bool
}

func (a *app) operate(o *operator) *cobra.Command {
	cmd := &cobra.Command{Use: o.verb + " ID", Short: o.short, Long: o.long, Example: o.example, Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeID}
	f := cmd.Flags()
	f.StringVar(&o.one.Reason, "reason", "", "why, for people; stands in the history")
	f.StringVar(&o.one.RunID, "run", "", "only this run; default: whatever run is current")
	f.StringVar(&o.one.CommandID, "command-id", "", "makes repeats of this command one; default: a new one")
	if o.operation != "" {
		cmd.Use, cmd.Args = o.verb+" [ID]", cobra.MaximumNArgs(1)
		cmd.Long += `

With --filter and --yes it is done to all workflows that fit, at a rate, by a job that goes
on without this command line; without --yes it says how many fit.`
		cmd.Example += "\n  odradek wf " + o.verb + ` --filter 'type = "order" and started > now-1h' --rate 20 --yes`
		f.StringVar(&o.many.spec.Filter, "filter", "", "all workflows that fit, as for odradek wf list")
		f.BoolVar(&o.yes, "yes", false, "with --filter: do it; without, say how many fit")
		o.many.flags(cmd, "with --filter: ")
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if o.many.spec.Filter != "" || len(args) == 0 {
			return a.operateMany(cmd.Context(), o, args)
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		o.one.WorkflowID = args[0]
		s, err := o.do(c, cmd.Context(), o.one)
		if err != nil {
			return err
		}
		if a.output == "table" {
			a.rows([]string{"WORKFLOW-ID", "RUN-ID", "OUTCOME"}, [][]string{{s.WorkflowID, s.RunID, string(s.Outcome)}})
			return nil
		}
		return a.document(s)
	}
	return cmd
}

// operateMany makes a job.
func (a *app) operateMany(ctx context.Context, o *operator, args []string) error {
	switch {
	case len(args) > 0 || strings.TrimSpace(o.many.spec.Filter) == "":
		return usagef("name one workflow, or choose with --filter")
	case o.one.RunID != "" || o.one.Task != 0:
		return usagef("--run and --task are for one workflow")
	}
	o.many.spec.Operation, o.many.spec.Reason, o.many.spec.NewKey, o.many.commandID = o.operation, o.one.Reason, o.one.NewKey, o.one.CommandID
	return a.make(ctx, &o.many, !o.yes)
}
