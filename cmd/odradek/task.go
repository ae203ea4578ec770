package main

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/record"
)

// tasks are the commands for who has a task's token.
func (a *app) tasks() *cobra.Command {
	cmd := &cobra.Command{Use: "task", Short: "Tasks that are completed from outside", Long: "Complete, fail or keep alive a task by its token.\n\n" + exitHelp}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("odradek task has no verb %q", args[0])
		}
		return cmd.Help()
	}
	cmd.AddCommand(a.taskComplete(), a.taskFail(), a.taskHeartbeat())
	return cmd
}

func (a *app) taskComplete() *cobra.Command {
	return a.taskEvent("complete TOKEN", "Complete a task with its result",
		`  odradek task complete "$TOKEN" --input '{"approved":true}'`, "result", (*client.HTTP).CompleteTask)
}

func (a *app) taskHeartbeat() *cobra.Command {
	return a.taskEvent("heartbeat TOKEN", "Show that an attempt of a task is alive",
		`  odradek task heartbeat "$TOKEN" --input '{"done":40}'`, "details for the next attempt", (*client.HTTP).BeatTask)
}

func (a *app) taskEvent(use, short, example, what string, send taskSend) *cobra.Command {
	var p payload
	cmd := &cobra.Command{Use: use, Short: short, Example: example, Args: cobra.ExactArgs(1)}
	p.flags(cmd, what)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b, err := p.read(a)
		if err != nil {
			return err
		}
		return a.sendTask(cmd, send, client.TaskRequest{Token: args[0], Payload: b, CommandID: p.commandID})
	}
	return cmd
}

func (a *app) taskFail() *cobra.Command {
	f := record.Failure{Kind: record.FailureApplication}
	var commandID string
	cmd := &cobra.Command{
		Use: "fail TOKEN", Short: "Let an attempt of a task fail",
		Example: `  odradek task fail "$TOKEN" --code declined --message 'the manager said no'`, Args: cobra.ExactArgs(1),
	}
	fs := cmd.Flags()
	fs.StringVar(&f.Code, "code", "", "what happened, a snake_case word")
	fs.StringVar(&f.Message, "message", "", "what happened, for people")
	fs.BoolVar(&f.Retryable, "retryable", false, "another attempt may succeed")
	fs.StringVar(&commandID, "command-id", "", "makes repeats of this command one; default: a new one")
	cmd.MarkFlagsOneRequired("code", "message")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b, err := json.Marshal(f)
		if err != nil {
			return err
		}
		return a.sendTask(cmd, (*client.HTTP).FailTask, client.TaskRequest{Token: args[0], Payload: b, CommandID: commandID})
	}
	return cmd
}

func (a *app) sendTask(cmd *cobra.Command, send taskSend, r client.TaskRequest) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	t, err := send(c, cmd.Context(), r)
	if err != nil {
		return err
	}
	if a.output == "table" {
		a.rows([]string{"WORKFLOW-ID", "RUN-ID"}, [][]string{{t.WorkflowID, t.RunID}})
		return nil
	}
	return a.document(t)
}

type taskSend func(c *client.HTTP, ctx context.Context, r client.TaskRequest) (client.TaskAnswered, error)
