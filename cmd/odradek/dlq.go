package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/client"
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

// chosen are the dead letters that a command is about.
type chosen struct {
	code string
	all  bool
	rate float64
}

func (x *chosen) flags(cmd *cobra.Command, verb string) {
	f := cmd.Flags()
	f.StringVar(&x.code, "code", "", verb+" all with this code")
	f.BoolVar(&x.all, "all", false, verb+" all")
	f.Float64Var(&x.rate, "rate", 50, "at most so many a second")
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
		var rows [][]string
		err = a.eachDeadLetter(cmd.Context(), c, code, func(d client.DeadLetter) error {
			switch a.output {
			case "jsonl":
				return a.line(d)
			case "table":
				rows = append(rows, []string{d.ID, d.Code, d.Record.Key, moment(d.At), d.Reason})
			default:
				all = append(all, d)
			}
			return nil
		})
		switch {
		case err != nil:
			return err
		case a.output == "table":
			a.rows([]string{"ID", "CODE", "KEY", "AT", "REASON"}, rows)
			return nil
		case a.output == "jsonl":
			return nil
		}
		return a.document(map[string]any{"dead_letters": all})
	}
	return cmd
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
	var x chosen
	var reason, edit string
	cmd := &cobra.Command{
		Use: "retry [ID]", Short: "Take the record of a dead letter in once more",
		Long: `Take the record of a dead letter in once more, or another one in its place (--edit FILE,
JSON as odradek dlq get -o json shows it under "record"). What cannot be processed again is
a dead letter again. With --all or --code all of them are taken in, at a rate.`,
		Example: "  odradek dlq retry commands.3.17\n  odradek dlq retry --code given_up --rate 20 --reason 'the API is mended'",
		Args:    cobra.MaximumNArgs(1),
	}
	x.flags(cmd, "retry")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for people")
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
		return a.redrive(cmd, &x, args, "retried", func(ctx context.Context, c *client.HTTP, id string) error {
			return c.RetryDeadLetter(ctx, id, edited, reason)
		})
	}
	return cmd
}

func (a *app) dlqDiscard() *cobra.Command {
	var x chosen
	var reason string
	cmd := &cobra.Command{
		Use: "discard [ID]", Short: "Forget a dead letter", Args: cobra.MaximumNArgs(1),
		Long:    "Forget a dead letter. The topic dead-letters keeps its export for as long as it keeps records.",
		Example: "  odradek dlq discard commands.3.17 --reason 'a test'",
	}
	x.flags(cmd, "discard")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for people")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.redrive(cmd, &x, args, "discarded", func(ctx context.Context, c *client.HTTP, id string) error {
			return c.DiscardDeadLetter(ctx, id, reason)
		})
	}
	return cmd
}

// redrive does something with one dead letter, or with all that were there when it began.
func (a *app) redrive(cmd *cobra.Command, x *chosen, args []string, done string, do func(context.Context, *client.HTTP, string) error) error {
	many := x.all || x.code != ""
	if many == (len(args) == 1) {
		return usagef("name one dead letter, or choose with --code or --all")
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	if !many {
		if err := do(cmd.Context(), c, args[0]); err != nil {
			return err
		}
		fmt.Fprintln(a.stdout, args[0], done)
		return nil
	}
	var ids []string
	if err := a.eachDeadLetter(cmd.Context(), c, x.code, func(d client.DeadLetter) error {
		ids = append(ids, d.ID)
		return nil
	}); err != nil {
		return err
	}
	return a.bulk(cmd.Context(), ids, x.rate, done, func(ctx context.Context, id string) error { return do(ctx, c, id) })
}

// bulk does something with many, at a rate. What is refused is told and left out; the end
// says how many. Ended in the middle it is simply begun again: what is done is not there
// any more, or refuses.
func (a *app) bulk(ctx context.Context, ids []string, rate float64, done string, do func(ctx context.Context, id string) error) error {
	if rate <= 0 {
		return usagef("--rate is %g: use more than 0", rate)
	}
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	n, refused := 0, 0
	for i, id := range ids {
		if i > 0 {
			select {
			case <-tick.C:
			case <-ctx.Done():
				fmt.Fprintf(a.stderr, "ended after %d of %d: %d %s, %d refused\n", i, len(ids), n, done, refused)
				return ctx.Err()
			}
		}
		err := do(ctx, id)
		switch {
		case err == nil:
			n++
		case client.Code(err) == "":
			return err
		default:
			refused++
			fmt.Fprintf(a.stderr, "%s: %v\n", id, err)
		}
		if (i+1)%100 == 0 {
			fmt.Fprintf(a.stderr, "%d of %d\n", i+1, len(ids))
		}
	}
	if a.output == "table" {
		fmt.Fprintf(a.stdout, "%d %s, %d refused\n", n, done, refused)
		return nil
	}
	return a.document(map[string]int{done: n, "refused": refused})
}
