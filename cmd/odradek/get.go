package main

import (
	"github.com/spf13/cobra"
)

func (a *app) get() *cobra.Command {
	return &cobra.Command{
		Use:   "get ID",
		Short: "Show a workflow's current run and what it waits for",
		Example: `  odradek wf get customer-7
  odradek wf get customer-7 -o json | jq .pending.tasks`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeID,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			defer c.Close()
			done := a.waiting()
			w, err := c.Get(cmd.Context(), args[0])
			done()
			if err != nil {
				return err
			}
			if a.output == "table" {
				a.workflowTable(&w)
				return nil
			}
			return a.document(w)
		},
	}
}
