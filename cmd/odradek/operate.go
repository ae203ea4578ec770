package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/job"
)

func (a *app) retry() *cobra.Command {
	o := &operator{
		operation: job.Retry, verb: "retry", short: "Let a run go on that does not",
		long: `Let a run go on that does not. One that has failed goes back to the task at which it
failed: the same task, the same idempotency key, the next attempt. That is offered only
if nothing was scheduled or answered after the failure; else reset the run. A task that
waits for its next attempt gets it now; a stuck run is tried again.`,
		example: "  odradek wf retry order-7 --reason 'the address is mended'\n  odradek wf retry order-7 --task 12",
		do:      (*client.HTTP).Retry,
	}
	cmd := a.operate(o)
	f := cmd.Flags()
	f.Uint64Var(&o.one.Task, "task", 0, "only this open task, by its number; also where an attempt is out that is thought to be lost")
	f.BoolVar(&o.one.NewKey, "new-key", false, "with another idempotency key: for APIs that answer a known key with the refusal that they gave before")
	return cmd
}

func (a *app) pause() *cobra.Command {
	return a.operate(&operator{
		operation: job.Pause, verb: "pause", short: "Pause a workflow's current run",
		long: `Pause a workflow's current run: signals, answers and due timers wait, attempts are not
repeated. An attempt that is out goes on.`,
		example: "  odradek wf pause order-7 --reason 'the warehouse moves'",
		do:      (*client.HTTP).Pause,
	})
}

func (a *app) resume() *cobra.Command {
	return a.operate(&operator{
		operation: job.Resume, verb: "resume", short: "Let a paused run go on",
		long:    "Let a paused run go on. What waited is given to its code in the order in which it came.",
		example: "  odradek wf resume order-7",
		do:      (*client.HTTP).Resume,
	})
}

func (a *app) reset() *cobra.Command {
	o := &operator{
		verb: "reset", short: "Take a run back to an event of its history",
		long: `Take a run back to an event of its history, an input such as task_completed; odradek wf
history shows them. What came after it does not count any more, and its turn is run
again by the code that is deployed now. Decisions are made again, with new idempotency
keys; signals that came since are given to it again. Nothing in the world is undone:
--preview shows what was done and may be done again.`,
		example: "  odradek wf reset order-7 --to 5 --preview\n  odradek wf reset order-7 --to 5 --reason 'wrong tax'",
		do:      (*client.HTTP).Reset,
	}
	cmd := a.operate(o)
	var preview bool
	cmd.Flags().Uint64Var(&o.one.To, "to", 0, "number of the event that the run goes back to; required")
	cmd.Flags().BoolVar(&preview, "preview", false, "show what would be done, and do nothing")
	do := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if o.one.To == 0 {
			return usagef("--to is missing: it names the event that the run goes back to; odradek wf history %s shows them", args[0])
		}
		if !preview {
			return do(cmd, args)
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		p, err := c.PreviewReset(cmd.Context(), args[0], o.one.To)
		if err != nil {
			return err
		}
		if a.output != "table" {
			return a.document(p)
		}
		return a.preview(p)
	}
	return cmd
}

// preview prints what a reset would do, a row for each thing.
func (a *app) preview(p client.ResetPreview) error {
	var rows [][]string
	for _, t := range p.SentAgain {
		rows = append(rows, []string{"sent again, same key", strconv.FormatInt(t.Number, 10), taskName(t.Service, t.Operation)})
	}
	for _, t := range p.Stopped {
		rows = append(rows, []string{"cancelled", strconv.FormatInt(t.Number, 10), taskName(t.Service, t.Operation)})
	}
	for _, raw := range p.Repeated {
		row, err := historyRow(raw)
		if err != nil {
			return err
		}
		rows = append(rows, []string{"was done, may be repeated", row[0], row[2] + " " + row[3]})
	}
	if p.Signals > 0 {
		rows = append(rows, []string{"signals given again", "", strconv.Itoa(p.Signals)})
	}
	a.rows([]string{"WHAT", "EVENT", "DETAIL"}, rows)
	fmt.Fprintf(a.stderr, "run %s of workflow %s goes back to event %d; nothing was changed\n", p.RunID, p.WorkflowID, p.To)
	return nil
}

func taskName(service, operation string) string {
	if service == "" {
		return operation
	}
	return service + "." + operation
}
