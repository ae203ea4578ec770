package main

import (
	"context"
	"fmt"
	"strings"

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
	var many, yes = "", false
	var rate float64
	verb, _, _ := strings.Cut(use, " ")
	cmd := &cobra.Command{Use: verb + " [ID]", Short: short, Long: long + `

With --filter it is done to all workflows that fit, at a rate; --yes says that you mean it.`, Example: example + "\n  odradek wf " + verb + ` --filter 'type = "order" and started > now-1h' --rate 20 --yes`,
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: a.completeID}
	f := cmd.Flags()
	f.StringVar(&e.Reason, "reason", "", "why, for people; stands in the history")
	f.StringVar(&e.RunID, "run", "", "only this run; default: whatever run is current")
	f.StringVar(&e.CommandID, "command-id", "", "makes repeats of this command one; default: a new one")
	f.StringVar(&many, "filter", "", "all workflows that fit, as for odradek wf list")
	f.Float64Var(&rate, "rate", 50, "with --filter: at most so many a second")
	f.BoolVar(&yes, "yes", false, "with --filter: do it; without, say how many fit")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if (many != "") == (len(args) == 1) {
			return usagef("name one workflow, or choose with --filter")
		}
		if many != "" && (e.RunID != "" || e.CommandID != "") {
			return usagef("--run and --command-id are for one workflow")
		}
		if many != "" {
			return a.endMany(cmd.Context(), many, rate, yes, verb, e, do)
		}
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

// endMany does it to all workflows that fit, as they were when it began.
func (a *app) endMany(ctx context.Context, filter string, rate float64, yes bool, verb string, e client.EndRequest, do func(*client.HTTP, context.Context, client.EndRequest) (client.Ended, error)) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	var ids []string
	for cursor := ""; ; {
		page, err := c.List(ctx, client.ListRequest{Filter: filter, Limit: a.page, Cursor: cursor})
		if err != nil {
			return err
		}
		if page.Partial {
			return fmt.Errorf("partitions %v did not answer: it would miss their workflows; ask again", page.MissingPartitions)
		}
		for i := range page.Workflows {
			ids = append(ids, page.Workflows[i].WorkflowID)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if !yes {
		fmt.Fprintf(a.stdout, "%d workflows fit; --yes does it\n", len(ids))
		return nil
	}
	return a.bulk(ctx, ids, rate, "done", func(ctx context.Context, id string) error {
		one := e
		one.WorkflowID = id
		_, err := do(c, ctx, one)
		return err
	})
}
