package main

import (
	"github.com/spf13/cobra"

	"github.com/odradek/odradek/client"
)

func (a *app) signal() *cobra.Command {
	var p payload
	cmd := &cobra.Command{
		Use:   "signal ID NAME",
		Short: "Give a signal to a workflow's current run",
		Example: `  odradek wf signal customer-7 unsubscribe --input '{"reason":"moved"}'
  odradek wf signal customer-7 unsubscribe -f reason.json --command-id ticket-4711`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeID,
	}
	p.flags(cmd, "payload")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b, err := p.read(a)
		if err != nil {
			return err
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		s, err := c.SignalWorkflow(cmd.Context(), client.SignalRequest{WorkflowID: args[0], Name: args[1], Payload: b, CommandID: p.commandID})
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
