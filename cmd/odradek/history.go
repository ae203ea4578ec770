package main

import (
	"github.com/spf13/cobra"

	"github.com/odradek/odradek/client"
)

func (a *app) history() *cobra.Command {
	limit := 0
	cmd := &cobra.Command{
		Use:   "history ID",
		Short: "Show the history events of a workflow's current run",
		Long: `Show the history events of a workflow's current run, in order. A table cuts long
payloads; json and jsonl show all.`,
		Example: `  odradek wf history customer-7
  odradek wf history customer-7 -o jsonl | jq 'select(.kind == "task_failed")'`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeID,
	}
	cmd.Flags().IntVar(&limit, "limit", limit, "how many; 0: all")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if limit < 0 {
			return usagef("--limit is %d: use 0 or more", limit)
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		return a.historyAll(cmd, c, args[0], limit)
	}
	return cmd
}

func (a *app) historyAll(cmd *cobra.Command, c *client.HTTP, id string, limit int) error {
	var all client.HistoryPage
	var rows [][]string
	for n, cursor := 0, ""; ; {
		size := a.page
		if limit > 0 {
			size = min(a.page, limit-n)
		}
		page, err := c.History(cmd.Context(), id, cursor, size)
		if err != nil {
			return err
		}
		n += len(page.Events)
		for _, e := range page.Events {
			switch a.output {
			case "jsonl":
				err = a.line(e)
			case "table":
				var row []string
				row, err = historyRow(e)
				rows = append(rows, row)
			}
			if err != nil {
				return err
			}
		}
		if a.output == "json" {
			page.Events = append(all.Events, page.Events...)
		}
		all, cursor = page, page.NextCursor
		if cursor == "" || n == limit {
			break
		}
	}
	switch a.output {
	case "json":
		return a.document(all)
	case "table":
		a.rows([]string{"EVENT", "AT", "KIND", "DETAILS"}, rows)
	}
	return nil
}
