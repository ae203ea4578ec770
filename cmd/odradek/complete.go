package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/client"
)

// completeWait is how long a completion may take: a shell waits for it.
const completeWait = 300 * time.Millisecond

// recent asks for recent workflows, silently.
func (a *app) recent(cmd *cobra.Command) []client.Workflow {
	a.timeout = 0
	c, err := a.client()
	if err != nil {
		return nil
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), completeWait)
	defer cancel()
	page, err := c.List(ctx, client.ListRequest{Limit: pageSize})
	if err != nil {
		return nil
	}
	return page.Workflows
}

// completeID completes the first argument with the IDs of recent workflows.
func (a *app) completeID(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.complete(cmd, prefix, func(w *client.Workflow) string { return w.WorkflowID })
}

// completeType completes the first argument with the types of recent workflows.
func (a *app) completeType(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.complete(cmd, prefix, func(w *client.Workflow) string { return w.Type })
}

func (a *app) complete(cmd *cobra.Command, prefix string, field func(*client.Workflow) string) (out []string, _ cobra.ShellCompDirective) {
	seen := map[string]bool{}
	for _, w := range a.recent(cmd) {
		v := field(&w)
		if !seen[v] && strings.HasPrefix(v, prefix) && clean(v) == v {
			seen[v] = true
			out = append(out, v)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
