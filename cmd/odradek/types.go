package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/httpapi/api"
)

// types are the commands for all runs of a workflow type.
func (a *app) types() *cobra.Command {
	cmd := &cobra.Command{Use: "type", Short: "Workflow types", Long: "List workflow types, pause one, let it go on.\n\n" + exitHelp}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("odradek type has no verb %q", args[0])
		}
		return cmd.Help()
	}
	cmd.AddCommand(a.typeList(),
		a.typeOperate("pause TYPE", "Let all runs of a workflow type wait",
			`Let all runs of a workflow type wait, in all partitions: what comes for them, due timers,
attempts. Starts are accepted and wait as well. An attempt that is out goes on, queries are
answered, terminate works at once.`,
			"  odradek type pause order --reason 'the tax is wrong'", (*client.HTTP).PauseType),
		a.typeOperate("resume TYPE", "Let a paused workflow type go on",
			`Let a paused workflow type go on. What waited is given to each run in the order in which it
came, some runs at a time. A run that is paused by itself waits on.`,
			"  odradek type resume order --reason 'deployed'", (*client.HTTP).ResumeType))
	return cmd
}

func (a *app) typeOperate(use, short, long, example string, do func(*client.HTTP, context.Context, client.TypeRequest) (client.TypeDone, error)) *cobra.Command {
	var r client.TypeRequest
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Example: example, Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeType}
	cmd.Flags().StringVar(&r.Reason, "reason", "", "why, for people; it is kept")
	cmd.Flags().StringVar(&r.CommandID, "command-id", "", "makes repeats of this command one; default: a new one")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		done := a.waiting()
		r.Type = args[0]
		out, err := do(c, cmd.Context(), r)
		done()
		if err != nil {
			return err
		}
		if a.output != "table" {
			return a.document(out)
		}
		a.rows([]string{"TYPE", "OUTCOME"}, [][]string{{out.Type, string(out.Outcome)}})
		return nil
	}
	return cmd
}

func (a *app) typeList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List workflow types, and which are paused", Args: cobra.NoArgs,
		Long: `List the workflow types that the engine has, and those that were ever paused: in how many
partitions their runs wait, and what operators did last; with -o json all that is known.`,
		Example: "  odradek type list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			defer c.Close()
			page, err := c.Types(cmd.Context())
			if err != nil {
				return err
			}
			if page.Partial {
				a.say("warning: the list is incomplete: partitions %v did not answer", page.MissingPartitions)
			}
			if a.output != "table" {
				return a.document(page)
			}
			rows := make([][]string, 0, len(page.Types))
			for i := range page.Types {
				rows = append(rows, typeRow(&page.Types[i], page.Partitions))
			}
			a.rows([]string{"TYPE", "STATUS", "SINCE", "BY", "REASON"}, rows)
			return nil
		},
	}
}

// typeRow shows the last that was done to a type.
func typeRow(t *api.Type, partitions int32) []string {
	status := "goes on"
	if !t.Compiled {
		status = "no code"
	}
	switch n := len(t.PausedPartitions); {
	case n == 0:
	case n == int(partitions):
		status = "paused"
	default:
		status = fmt.Sprintf("paused in %d of %d partitions", n, partitions)
	}
	row := []string{t.Type, status, "-", "-", "-"}
	if n := len(t.Acts); n > 0 {
		last := &t.Acts[n-1]
		row = []string{t.Type, status, moment(last.At), last.By, last.Reason}
	}
	return row
}
