package main

import (
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/record"
)

func (a *app) query() *cobra.Command {
	var p payload
	var stale bool
	cmd := &cobra.Command{
		Use:   "query ID NAME",
		Short: "Ask a workflow's current run",
		Long: `Ask a workflow's current run, or a closed one while its history is kept, and show the
answer as it is. Nothing is changed. Exit code 1: the query's code returned an error.`,
		Example: `  odradek wf query order-7 status
  odradek wf query order-7 price --input '{"currency":"EUR"}' | jq .total`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeID,
	}
	p.inputFlags(cmd, "input")
	cmd.Flags().BoolVar(&stale, "stale", false, "answer at once, though perhaps by an instance that is the owner no longer")
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
		q, err := c.Query(cmd.Context(), client.QueryRequest{WorkflowID: args[0], Name: args[1], Input: b, Stale: stale})
		if err != nil {
			return err
		}
		return a.outcome(q, q.Result, string(q.ResultEncoding), q.Failure, "query "+args[1])
	}
	return cmd
}

func (a *app) update() *cobra.Command {
	var p payload
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "update ID NAME",
		Short: "Let a workflow's current run do something, and show its answer",
		Long: `Let a workflow's current run do something, once, and show its answer as it is. The run
may refuse it. Exit code 1: the answer is an error. Exit code 5: it is not answered yet;
the same command with the same --command-id asks for its answer again.`,
		Example: `  odradek wf update order-7 add-item --input '{"sku":"b-12","count":2}'
  odradek wf update order-7 add-item -f item.json --command-id ticket-4711 --wait 5m`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeID,
	}
	p.flags(cmd, "payload")
	cmd.Flags().DurationVar(&wait, "wait", 30*time.Second, "wait so long for the answer")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if wait < 0 {
			return usagef("--wait is %v: use 0 or more", wait)
		}
		b, err := p.read(a)
		if err != nil {
			return err
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		u, err := c.Update(cmd.Context(), client.UpdateRequest{WorkflowID: args[0], Name: args[1], Payload: b, CommandID: p.commandID}, wait)
		if err != nil {
			return err
		}
		if u.Open {
			if a.output != "table" {
				if err := a.document(u); err != nil {
					return err
				}
			}
			a.say("update %s of workflow %q is not answered yet; ask again with --command-id %s", u.Name, u.WorkflowID, u.UpdateID)
			return exitError(exitTimeout)
		}
		return a.outcome(u, u.Result, string(u.ResultEncoding), u.Failure, "update "+args[1])
	}
	return cmd
}

// outcome shows an answer of a run's code.
func (a *app) outcome(doc any, result json.RawMessage, encoding string, failure *record.Failure, what string) error {
	var err error
	switch {
	case a.output != "table":
		err = a.document(doc)
	case failure == nil:
		if encoding != "" {
			a.say("the answer is not JSON: it is shown as base64")
		}
		err = a.line(result)
	}
	if err == nil && failure != nil {
		a.say("%s: %s", what, failureText(failure))
		err = exitError(exitFailed)
	}
	return err
}
