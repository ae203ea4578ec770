package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/client"
)

func (a *app) cancel() *cobra.Command {
	return a.end("cancel ID", "Ask a workflow's current run to end",
		`Ask a workflow's current run to end: its code sees the cancellation, cleans up and
returns. The run then has the status cancelled.`,
		"  odradek wf cancel order-7 --reason 'the customer called'", (*client.HTTP).CancelWorkflow)
}

func (a *app) terminate() *cobra.Command {
	return a.end("terminate ID", "Close a workflow's current run at once",
		`Close a workflow's current run at once. Its code sees nothing of it and cleans nothing
up: for a run whose code does not work. Prefer cancel.`,
		"  odradek wf terminate order-7 --reason 'stuck since the last release'", (*client.HTTP).TerminateWorkflow)
}

func (a *app) end(use, short, long, example string, do func(*client.HTTP, context.Context, client.EndRequest) (client.Ended, error)) *cobra.Command {
	var e client.EndRequest
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Example: example, Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeID}
	f := cmd.Flags()
	f.StringVar(&e.Reason, "reason", "", "why, for people; stands in the history")
	f.StringVar(&e.RunID, "run", "", "only this run; default: whatever run is current")
	f.StringVar(&e.CommandID, "command-id", "", "makes repeats of this command one; default: a new one")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		e.WorkflowID = args[0]
		s, err := do(c, cmd.Context(), e)
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
