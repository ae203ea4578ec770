package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/client"
)

func (a *app) list() *cobra.Command {
	var l client.ListRequest
	limit := 100
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List workflows, newest start first",
		Long: `List workflows, newest start first. Partitions that nobody owns at the moment are
missing from the list; stderr and "partial" say so.`,
		Example: `  odradek wf list --status running
  odradek wf list --type billing.monthly --limit 0 -o jsonl | jq -r .workflow_id
  odradek wf list --filter 'customer = "7" and status in (running, failed) and started > now-24h'`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&l.Type, "type", "", "only workflows of this type")
	f.StringVar(&l.Status, "status", "", "only workflows with this status: running, completed or failed")
	f.StringVar(&l.Filter, "filter", "", "only workflows that fit, by fields and search attributes")
	f.IntVar(&limit, "limit", limit, "how many; 0: all")
	f.StringVar(&l.Cursor, "cursor", "", "next_cursor of a list before")
	cmd.RegisterFlagCompletionFunc("status", cobra.FixedCompletions([]string{"running", "completed", "failed"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RegisterFlagCompletionFunc("type", func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		return a.completeType(cmd, nil, prefix)
	})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if limit < 0 {
			return usagef("--limit is %d: use 0 or more", limit)
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		return a.listAll(cmd, c, l, limit)
	}
	return cmd
}

// pageSize is the API's largest page.
const pageSize = 1000

// listAll reads page after page. jsonl is written as it comes; the others at the end.
func (a *app) listAll(cmd *cobra.Command, c *client.HTTP, l client.ListRequest, limit int) error {
	all := client.WorkflowPage{Workflows: []client.Workflow{}}
	missing := map[int32]bool{}
	for n := 0; ; {
		l.Limit = a.page
		if limit > 0 {
			l.Limit = min(a.page, limit-n)
		}
		done := a.waiting()
		page, err := c.List(cmd.Context(), l)
		done()
		if err != nil {
			return err
		}
		n += len(page.Workflows)
		for _, p := range page.MissingPartitions {
			if !missing[p] {
				missing[p] = true
				all.MissingPartitions = append(all.MissingPartitions, p)
			}
		}
		all.Partial, all.NextCursor = all.Partial || page.Partial, page.NextCursor
		if a.output == "jsonl" {
			for i := range page.Workflows {
				if err := a.line(&page.Workflows[i]); err != nil {
					return err
				}
			}
		} else {
			all.Workflows = append(all.Workflows, page.Workflows...)
		}
		if l.Cursor = page.NextCursor; l.Cursor == "" || n == limit {
			break
		}
	}
	if all.Partial {
		a.say("warning: the list is incomplete: partitions %v did not answer", all.MissingPartitions)
	}
	if all.NextCursor != "" && a.output == "table" {
		a.say("there are more: --limit 0 lists all")
	}
	switch a.output {
	case "json":
		return a.document(all)
	case "table":
		if len(all.Workflows) == 0 {
			a.say("no workflows; start one: odradek wf start TYPE ID")
			return nil
		}
		a.listTable(all.Workflows)
	}
	return nil
}

func (a *app) count() *cobra.Command {
	var filter string
	cmd := &cobra.Command{
		Use: "count", Short: "Count workflows", Args: cobra.NoArgs,
		Example: `  odradek wf count --filter 'status = running'
  odradek wf count --filter 'type = "order" and version = 1 and status = running'`,
	}
	cmd.Flags().StringVar(&filter, "filter", "", "only workflows that fit, by fields and search attributes")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		n, err := c.Count(cmd.Context(), filter)
		if err != nil {
			return err
		}
		if n.Partial {
			a.say("warning: the count is incomplete: partitions %v did not answer", n.MissingPartitions)
		}
		if a.output == "table" {
			return a.line(n.Count)
		}
		return a.document(n)
	}
	return cmd
}

func (a *app) stack() *cobra.Command {
	return &cobra.Command{
		Use: "stack ID", Short: "Show what a workflow's code waits for, and where",
		Long: `Show what the code of a workflow's current run waits for, and the lines of the code, for
each of its threads. The run is replayed for it.`,
		Example: "  odradek wf stack order-7", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeID,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			defer c.Close()
			s, err := c.Stack(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if a.output != "table" {
				return a.document(s)
			}
			if s.Details != "" {
				fmt.Fprintln(a.stdout, clean(s.Details))
			}
			if len(s.Threads) == 0 {
				a.say("the code of workflow %q has ended", args[0])
			}
			for _, t := range s.Threads {
				fmt.Fprintln(a.stdout, "waits for", clean(t.WaitsFor))
				for _, line := range t.Stack {
					fmt.Fprintln(a.stdout, "  at", clean(line))
				}
			}
			return nil
		},
	}
}
