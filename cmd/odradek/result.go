package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/httpapi/api"
)

func (a *app) result() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "result ID",
		Short: "Show the result of a workflow",
		Long: `Show the result of a workflow, as it is; with -o json the run with its result. Exit
code 1: it failed, and how is on stderr. Exit code 5: it is still running.`,
		Example: `  odradek wf result customer-7
  odradek wf result customer-7 --wait 1h | jq .invoices`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeID,
	}
	cmd.Flags().DurationVar(&wait, "wait", 0, "wait so long for the run to close")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		return a.await(cmd, c, args[0], wait)
	}
	return cmd
}

// await shows how the run ended, or that it goes on.
func (a *app) await(cmd *cobra.Command, c *client.HTTP, id string, wait time.Duration) error {
	if wait < 0 {
		return usagef("--wait is %v: use 0 or more", wait)
	}
	const poll = 30 * time.Second // below what load balancers allow
	deadline := time.Now().Add(wait)
	var w client.Workflow
	for {
		left := max(0, time.Until(deadline))
		var err error
		if w, err = c.GetResult(cmd.Context(), id, min(poll, left)); err != nil {
			return err
		}
		if w.Status != api.StatusRunning || left == 0 {
			break
		}
	}
	var err error
	switch {
	case a.output != "table":
		err = a.document(w)
	case w.Status == api.StatusCompleted:
		err = a.value(&w)
	}
	switch {
	case err != nil:
		return err
	case w.Status == api.StatusRunning:
		a.say("workflow %q is still %s", id, statusOf(&w))
		return exitError(exitTimeout)
	case w.Status != api.StatusCompleted:
		why := "unknown"
		if w.Failure != nil {
			why = failureText(w.Failure)
		}
		a.say("workflow %q %s: %s", id, w.Status, why)
		return exitError(exitFailed)
	}
	return nil
}

// value writes the result alone.
func (a *app) value(w *client.Workflow) error {
	if w.ResultEncoding != "" {
		a.say("the result is not JSON: it is shown as base64")
	}
	return a.line(w.Result)
}
