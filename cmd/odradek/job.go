package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/job"
)

// jobs are the commands for what is done to many.
func (a *app) jobs() *cobra.Command {
	cmd := &cobra.Command{
		Use: "job", Aliases: []string{"jobs"}, Short: "What is done to many workflows or dead letters",
		Long: `Do one thing to all workflows, or to all dead letters, that fit, at a rate. A job is a
workflow itself, of the type ` + job.Type + `, and goes on without this command line.

` + exitHelp,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("odradek job has no verb %q", args[0])
		}
		return cmd.Help()
	}
	cmd.AddCommand(a.jobCreate(), a.jobList(), a.jobShow(),
		a.jobVerb("cancel", "Let a job end", "Let a job end behind the page that it is at, a second's worth. What it has done stays done.", (*client.HTTP).CancelJob),
		a.jobVerb("pause", "Pause a job", "Let a job do nothing more, behind the page that it is at, until it is resumed.", (*client.HTTP).PauseJob),
		a.jobVerb("resume", "Let a paused job go on", "Let a paused job go on where it was.", (*client.HTTP).ResumeJob))
	return cmd
}

// bulk are the flags of what is done to many.
type bulk struct {
	spec      client.JobSpec
	name      string
	commandID string
	wait      bool
}

func (b *bulk) flags(cmd *cobra.Command, prefix string) {
	f := cmd.Flags()
	f.Float64Var(&b.spec.Rate, "rate", 50, prefix+"at most so many a second")
	f.Int64Var(&b.spec.Limit, "limit", 0, prefix+"at most so many in all; default: as many as fit")
	f.StringVar(&b.name, "job", "", prefix+"the job's name; default: one that nobody else has")
	f.BoolVar(&b.wait, "wait", false, prefix+"follow the job to its end")
}

// sampleMax is how many a dry run shows.
const sampleMax = 10

func (a *app) jobCreate() *cobra.Command {
	var b bulk
	var dry, all bool
	var operations []string
	for _, o := range job.Operations() {
		operations = append(operations, string(o))
	}
	cmd := &cobra.Command{
		Use: "create OPERATION", Short: "Make a job", Args: cobra.ExactArgs(1), ValidArgs: operations,
		Long: `Make a job. The operations on workflows, retry, pause, resume, cancel and terminate, take
--filter, as odradek wf list has it; retry_dead_letters and discard_dead_letters take --code
or --all. It is about what is there now: what comes later is not its concern. --dry-run
makes no job, and says how many fit.`,
		Example: `  odradek job create retry --filter 'type = "order" and status = failed' --dry-run
  odradek job create retry --filter 'type = "order" and status = failed' --rate 20 --reason 'the API is mended' --wait
  odradek job create discard_dead_letters --code payload_invalid --reason 'a test'`,
	}
	b.flags(cmd, "")
	f := cmd.Flags()
	f.StringVar(&b.spec.Filter, "filter", "", "which workflows")
	f.StringVar(&b.spec.Code, "code", "", "which dead letters")
	f.BoolVar(&all, "all", false, "all dead letters")
	f.BoolVar(&b.spec.NewKey, "new-key", false, "of retry: with another idempotency key")
	f.StringVar(&b.spec.Reason, "reason", "", "why, for people; stands in the histories")
	f.StringVar(&b.commandID, "command-id", "", "makes repeats of this command one; default: a new one")
	f.BoolVar(&dry, "dry-run", false, "say how many fit, show some, and do nothing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b.spec.Operation = job.Operation(args[0])
		if letters := b.spec.Operation.OfDeadLetters(); letters && all == (b.spec.Code != "") || !letters && all {
			return usagef("choose dead letters with --code or --all, and workflows with --filter")
		}
		return a.make(cmd.Context(), &b, dry)
	}
	return cmd
}

// make makes a job, or says what it would be about.
func (a *app) make(ctx context.Context, b *bulk, dry bool) error {
	if b.name == "" {
		b.name = string(b.spec.Operation) + "-" + strings.ToLower(rand.Text()[:10])
	}
	if err := errors.Join(b.spec.Validate(), job.CheckName(b.name)); err != nil {
		return usagef("%w", err)
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	switch {
	case dry && b.spec.Operation.OfDeadLetters():
		return a.dryLetters(ctx, c, b.spec.Code)
	case dry:
		return a.dryRuns(ctx, c, &b.spec)
	}
	j, created, err := c.CreateJob(ctx, b.name, b.spec, b.commandID)
	switch {
	case err != nil:
		return err
	case !created:
		a.say("the job was there already")
	}
	if b.wait {
		return a.follow(ctx, c, b.name)
	}
	if a.output != "table" {
		return a.document(j)
	}
	a.jobTable(&j)
	a.say("it goes on by itself; odradek job show %s says how far it is", j.Name)
	return nil
}

// dryRuns counts the runs that fit and can be operated, and shows the first ones.
func (a *app) dryRuns(ctx context.Context, c *client.HTTP, spec *client.JobSpec) error {
	filter := spec.Filter
	if status := spec.Operation.Status(); status != 0 {
		filter = fmt.Sprintf("(%s) and status = %s", filter, status)
	}
	n, err := c.Count(ctx, filter)
	if err != nil {
		return err
	}
	page, err := c.List(ctx, client.ListRequest{Filter: filter, Limit: sampleMax})
	if err != nil {
		return err
	}
	if n.Partial {
		a.say("warning: the count is incomplete: partitions %v did not answer", n.MissingPartitions)
	}
	if a.output != "table" {
		return a.document(map[string]any{"count": n.Count, "partial": n.Partial, "sample": page.Workflows})
	}
	fmt.Fprintf(a.stdout, "%d workflows fit\n", n.Count)
	if len(page.Workflows) > 0 {
		a.listTable(page.Workflows)
	}
	return nil
}

// dryLetters is dryRuns for dead letters.
func (a *app) dryLetters(ctx context.Context, c *client.HTTP, code string) error {
	n := 0
	sample := []client.DeadLetter{}
	if err := a.eachDeadLetter(ctx, c, code, func(d client.DeadLetter) error {
		if n++; n <= sampleMax {
			sample = append(sample, d)
		}
		return nil
	}); err != nil {
		return err
	}
	if a.output != "table" {
		return a.document(map[string]any{"count": n, "sample": sample})
	}
	fmt.Fprintf(a.stdout, "%d dead letters fit\n", n)
	if n > 0 {
		a.letterTable(sample)
	}
	return nil
}

// followEvery is how often a job is looked at that is followed.
const followEvery = time.Second

// follow tells how far a job is until it has ended.
func (a *app) follow(ctx context.Context, c *client.HTTP, name string) error {
	said := ""
	for {
		j, err := c.Job(ctx, name)
		if err != nil {
			return err
		}
		if j.Status != api.StatusRunning {
			return a.showJob(&j)
		}
		if now := progress(&j); now != said {
			said = now
			a.say("%s", now)
		}
		// The engine answers when the job ends, or after this time.
		if _, err := c.GetResult(ctx, j.WorkflowID, followEvery); err != nil {
			return err
		}
	}
}

func progress(j *client.Job) string {
	r := j.Report
	if r == nil {
		return "no report"
	}
	of := r.Fit
	if limit := r.Spec.Limit; limit > 0 {
		of = min(of, limit)
	}
	return fmt.Sprintf("%d of about %d: %d done, %d refused, through with %d of %d partitions", r.Matched, of, r.Done, r.Refused, r.Through, r.Partitions)
}

// showJob shows a job. One that did not complete is exit code 1.
func (a *app) showJob(j *client.Job) error {
	if a.output != "table" {
		if err := a.document(j); err != nil {
			return err
		}
	} else {
		a.jobTable(j)
	}
	if j.Status == api.StatusFailed || j.Status == api.StatusTerminated {
		return exitError(exitFailed)
	}
	return nil
}

func (a *app) jobTable(j *client.Job) {
	status := string(j.Status)
	if j.Paused {
		status = "paused"
	}
	rows := [][]string{{"job", j.Name}, {"status", status}, {"made", moment(j.MadeAt)}, {"closed", moment(j.ClosedAt)}}
	if j.Failure != nil {
		rows = append(rows, []string{"failure", failureText(j.Failure)})
	}
	r := j.Report
	if r == nil {
		a.rows(nil, rows)
		return
	}
	chosen := r.Spec.Filter
	if r.Spec.Operation.OfDeadLetters() {
		if chosen = "all"; r.Spec.Code != "" {
			chosen = "code " + r.Spec.Code
		}
	}
	rows = append(rows, []string{"operation", string(r.Spec.Operation)}, []string{"of", chosen}, []string{"rate", strconv.FormatFloat(r.Spec.Rate, 'g', -1, 64) + "/s"},
		[]string{"by", r.Spec.By}, []string{"reason", r.Spec.Reason}, []string{"progress", progress(j)})
	a.rows(nil, rows)
	a.section([]string{"REFUSED", "CODE", "DETAIL"}, len(r.Refusals), func(i int) []string {
		x := &r.Refusals[i]
		return []string{x.WorkflowID + x.DeadLetter, x.Code, x.Detail}
	})
}

func (a *app) jobShow() *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Show a job and what it has done so far", Args: cobra.ExactArgs(1),
		Example: "  odradek job show mend\n  odradek job show mend --wait",
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "follow the job to its end")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		if wait {
			return a.follow(cmd.Context(), c, args[0])
		}
		j, err := c.Job(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return a.showJob(&j)
	}
	return cmd
}

func (a *app) jobList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List jobs, the newest first", Args: cobra.NoArgs, Example: "  odradek job list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			defer c.Close()
			all := client.JobPage{Jobs: []client.Job{}}
			for cursor := ""; ; {
				page, err := c.Jobs(cmd.Context(), cursor, a.page)
				if err != nil {
					return err
				}
				all.Jobs, all.Partial = append(all.Jobs, page.Jobs...), all.Partial || page.Partial
				all.MissingPartitions = append(all.MissingPartitions, page.MissingPartitions...)
				if cursor = page.NextCursor; cursor == "" {
					break
				}
			}
			slices.Sort(all.MissingPartitions)
			if all.MissingPartitions = slices.Compact(all.MissingPartitions); all.Partial {
				a.say("warning: the list is incomplete: partitions %v did not answer", all.MissingPartitions)
			}
			switch a.output {
			case "json":
				return a.document(all)
			case "jsonl":
				for i := range all.Jobs {
					if err := a.line(&all.Jobs[i]); err != nil {
						return err
					}
				}
				return nil
			}
			var rows [][]string
			for i := range all.Jobs {
				j := &all.Jobs[i]
				status := string(j.Status)
				if j.Paused {
					status = "paused"
				}
				rows = append(rows, []string{j.Name, status, moment(j.MadeAt), moment(j.ClosedAt)})
			}
			a.rows([]string{"JOB", "STATUS", "MADE", "CLOSED"}, rows)
			return nil
		},
	}
}

func (a *app) jobVerb(verb, short, long string, do func(*client.HTTP, context.Context, string, string) (client.Ended, error)) *cobra.Command {
	var reason string
	cmd := &cobra.Command{Use: verb + " NAME", Short: short, Long: long, Args: cobra.ExactArgs(1), Example: "  odradek job " + verb + " mend --reason 'the bank has called'"}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for people; stands in the job's history")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		out, err := do(c, cmd.Context(), args[0], reason)
		if err != nil {
			return err
		}
		if a.output == "table" {
			a.rows([]string{"JOB", "OUTCOME"}, [][]string{{args[0], string(out.Outcome)}})
			return nil
		}
		return a.document(out)
	}
	return cmd
}
