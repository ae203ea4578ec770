package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/job"
)

func (a *app) deadLetters() *cobra.Command {
	cmd := &cobra.Command{Use: "dlq", Aliases: []string{"dead-letters"}, Short: "Dead letters", Long: `Dead letters: records that could not be processed, and runs that have failed at a task
(code given_up), whose retry is the run's.

` + exitHelp}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("odradek dlq has no verb %q", args[0])
		}
		return cmd.Help()
	}
	cmd.AddCommand(a.dlqList(), a.dlqGet(), a.dlqRetry(), a.dlqDiscard())
	return cmd
}

func (a *app) dlqList() *cobra.Command {
	code := ""
	cmd := &cobra.Command{
		Use: "list", Short: "List dead letters", Args: cobra.NoArgs,
		Long: `List the dead letters of all partitions. With -o jsonl each is a line with its whole
record: an export.`,
		Example: "  odradek dlq list --code payload_invalid\n  odradek dlq list -o jsonl > dead-letters.jsonl",
	}
	cmd.Flags().StringVar(&code, "code", "", "only those with this code")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		var all []client.DeadLetter
		err = a.eachDeadLetter(cmd.Context(), c, code, func(d client.DeadLetter) error {
			if a.output == "jsonl" {
				return a.line(d)
			}
			all = append(all, d)
			return nil
		})
		switch {
		case err != nil:
			return err
		case a.output == "table":
			a.letterTable(all)
			return nil
		case a.output == "jsonl":
			return nil
		}
		return a.document(map[string]any{"dead_letters": all})
	}
	return cmd
}

func (a *app) letterTable(letters []client.DeadLetter) {
	var rows [][]string
	for i := range letters {
		d := &letters[i]
		rows = append(rows, []string{d.ID, d.Code, d.Record.Key, moment(d.At), d.Reason})
	}
	a.rows([]string{"ID", "CODE", "KEY", "AT", "REASON"}, rows)
}

// eachDeadLetter goes through all partitions.
func (a *app) eachDeadLetter(ctx context.Context, c *client.HTTP, code string, do func(client.DeadLetter) error) error {
	for p, n := int32(0), int32(1); p < n; p++ {
		for after := ""; ; {
			page, err := c.DeadLetters(ctx, p, code, after, a.page)
			if err != nil {
				return err
			}
			n = page.Partitions
			for _, d := range page.DeadLetters {
				if err := do(d); err != nil {
					return err
				}
			}
			if after = page.Next; after == "" {
				break
			}
		}
	}
	return nil
}

func (a *app) dlqGet() *cobra.Command {
	cmd := &cobra.Command{Use: "get ID", Short: "Show a dead letter with its record", Args: cobra.ExactArgs(1), Example: "  odradek dlq get commands.3.17 -o json"}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		d, err := c.GetDeadLetter(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if a.output != "table" {
			return a.document(d)
		}
		rows := [][]string{{"id", d.ID}, {"code", d.Code}, {"reason", d.Reason}, {"at", moment(d.At)}, {"key", d.Record.Key}}
		for _, h := range d.Record.Headers {
			rows = append(rows, []string{"header " + h.Key, h.Value})
		}
		a.rows(nil, append(rows, []string{"value", d.Record.Value}))
		return nil
	}
	return cmd
}

func (a *app) dlqRetry() *cobra.Command {
	x := chosen{operation: job.RetryDeadLetters}
	var edit string
	cmd := &cobra.Command{
		Use: "retry [ID]", Short: "Take the record of a dead letter in once more",
		Long: `Take the record of a dead letter in once more, or another one in its place (--edit FILE,
JSON as odradek dlq get -o json shows it under "record"). What cannot be processed again is
a dead letter again. With --all or --code all of them are taken in, at a rate, by a job
that goes on without this command line.`,
		Example: "  odradek dlq retry commands.3.17\n  odradek dlq retry --code given_up --rate 20 --reason 'the API is mended'",
		Args:    cobra.MaximumNArgs(1),
	}
	x.flags(cmd, "retry")
	cmd.Flags().StringVar(&edit, "edit", "", "file with the record in place of the dead letter's")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var edited *client.KafkaRecord
		if edit != "" {
			b, err := os.ReadFile(edit)
			if err == nil {
				dec := json.NewDecoder(bytes.NewReader(b))
				dec.DisallowUnknownFields()
				err = dec.Decode(&edited)
			}
			if err != nil {
				return usagef("--edit: %w", err)
			}
			if len(args) == 0 {
				return usagef("--edit is for one dead letter: name it")
			}
		}
		return a.redrive(cmd.Context(), &x, args, "retried", func(c *client.HTTP, id string) error {
			return c.RetryDeadLetter(cmd.Context(), id, edited, x.reason)
		})
	}
	return cmd
}

func (a *app) dlqDiscard() *cobra.Command {
	x := chosen{operation: job.DiscardDeadLetters}
	cmd := &cobra.Command{
		Use: "discard [ID]", Short: "Forget a dead letter", Args: cobra.MaximumNArgs(1),
		Long:    "Forget a dead letter. The topic dead-letters keeps its export for as long as it keeps records.",
		Example: "  odradek dlq discard commands.3.17 --reason 'a test'",
	}
	x.flags(cmd, "discard")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.redrive(cmd.Context(), &x, args, "discarded", func(c *client.HTTP, id string) error {
			return c.DiscardDeadLetter(cmd.Context(), id, x.reason)
		})
	}
	return cmd
}

// chosen are the dead letters that a command is about: one, or by a job many.
type chosen struct {
	operation job.Operation
	reason    string
	all       bool
	many      bulk
}

func (x *chosen) flags(cmd *cobra.Command, verb string) {
	f := cmd.Flags()
	f.StringVar(&x.reason, "reason", "", "why, for people")
	f.StringVar(&x.many.spec.Code, "code", "", verb+" all with this code")
	f.BoolVar(&x.all, "all", false, verb+" all")
	x.many.flags(cmd, "with --code or --all: ")
}

// redrive does something with one dead letter, or makes a job for many.
func (a *app) redrive(ctx context.Context, x *chosen, args []string, done string, do func(*client.HTTP, string) error) error {
	many := x.all || x.many.spec.Code != ""
	if many == (len(args) == 1) || x.all && x.many.spec.Code != "" {
		return usagef("name one dead letter, or choose with --code or --all")
	}
	if many {
		x.many.spec.Operation, x.many.spec.Reason = x.operation, x.reason
		return a.make(ctx, &x.many, false)
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := do(c, args[0]); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, args[0], done)
	return nil
}
