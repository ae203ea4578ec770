package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/record"
)

func (a *app) start() *cobra.Command {
	var p payload
	var wait time.Duration
	var reuse, with, withUpdate, given string
	cmd := &cobra.Command{
		Use:   "start TYPE ID",
		Short: "Start a workflow",
		Long: `Start a workflow of a type. The ID is the workflow's name, a business key: a start
with a known ID gives the run that is there if type and input are the same, and is
refused if not.

With --wait the command waits for the result and ends as "odradek wf result" does.`,
		Example: `  odradek wf start billing.monthly customer-7 --input '{"customer":"7"}'
  odradek wf start billing.monthly customer-7 --input-file subscription.json --wait 30s -o json
  jq .subscription order.json | odradek wf start billing.monthly customer-7 -f -`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeType,
	}
	p.flags(cmd, "input")
	f := cmd.Flags()
	f.DurationVar(&wait, "wait", 0, "wait so long for the result")
	f.StringVar(&reuse, "reuse", "never", "when a known ID may be used again: never, failed, closed or terminate")
	f.StringVar(&with, "signal", "", "give this signal in the same step, to the new run or to the one that is open")
	f.StringVar(&withUpdate, "update", "", "as --signal, for an update; its ID is the command ID")
	f.StringVar(&given, "payload", "", "payload of --signal or --update, JSON")
	cmd.MarkFlagsMutuallyExclusive("signal", "update")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		input, err := p.read(a)
		if err != nil {
			return err
		}
		policy, ok := record.ParseReusePolicy(reuse)
		switch {
		case !ok:
			return usagef("--reuse is %q: use never, failed, closed or terminate", reuse)
		case given != "" && with == "" && withUpdate == "":
			return usagef("--payload is of --signal or --update: give one of them")
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		s := client.StartRequest{Type: args[0], WorkflowID: args[1], Input: input, CommandID: p.commandID, Reuse: policy, Signal: with, Update: withUpdate, Payload: []byte(given)}
		w, started, err := c.StartWorkflow(cmd.Context(), s, -1)
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("wait") {
			return a.await(cmd, c, w.WorkflowID, wait)
		}
		if !started {
			a.say("the workflow was there already")
		}
		if a.output == "table" {
			a.listTable([]client.Workflow{w})
			return nil
		}
		return a.document(w)
	}
	return cmd
}
