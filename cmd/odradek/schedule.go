package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/schedule"
)

// schedules are the commands for workflows that are started by the clock.
func (a *app) schedules() *cobra.Command {
	cmd := &cobra.Command{
		Use: "schedule", Short: "Workflows that are started by the clock",
		Long: "Start workflows by the clock. A schedule is a workflow itself, of the type " + schedule.Type + ".\n\n" + exitHelp,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("odradek schedule has no verb %q", args[0])
		}
		return cmd.Help()
	}
	cmd.AddCommand(a.scheduleCreate(), a.scheduleDescribe(), a.scheduleList(),
		a.scheduleNote("pause", "Let a schedule start nothing until it is resumed", schedule.Pause.Name()),
		a.scheduleNote("resume", "Undo a pause", schedule.Resume.Name()),
		a.scheduleNote("trigger", "Start a schedule's workflow now", schedule.Trigger.Name()),
		a.scheduleBackfill(), a.scheduleChange(), a.scheduleDelete())
	return cmd
}

// specFlags are a spec as flags, or as a file.
type specFlags struct {
	payload
	typ, id, input                       string
	cron                                 []string
	every, offset, jitter, catchUp, zone string
	overlap                              string
}

func (s *specFlags) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&s.file, "file", "f", "", "file with the whole schedule as JSON; - is stdin; instead of the flags below")
	f.StringVar(&s.typ, "type", "", "workflow type that is started")
	f.StringVar(&s.id, "workflow-id", "", "what the workflows' IDs begin with; default: the schedule's name")
	f.StringVarP(&s.input, "input", "i", "", "input of the workflows, JSON")
	f.StringArrayVar(&s.cron, "cron", nil, "minute hour day month weekday, as '0 9 * * MON-FRI'; may be given again")
	f.StringVar(&s.zone, "zone", "", "time zone of --cron, as Europe/Berlin; default: UTC")
	f.StringVar(&s.every, "every", "", "interval, as 15m")
	f.StringVar(&s.offset, "offset", "", "moves --every")
	f.StringVar(&s.jitter, "jitter", "", "delay each firing by up to so much, by chance")
	f.StringVar(&s.overlap, "overlap", "", "while an earlier workflow runs: skip, buffer_one, buffer_all, cancel or allow; default: skip")
	f.StringVar(&s.catchUp, "catch-up", "", "how late a firing may be; default: 1m")
	f.StringVar(&s.commandID, "command-id", "", "makes repeats of this command one; default: a new one")
}

// spec makes the schedule's JSON, checked.
func (s *specFlags) spec(a *app, name string) ([]byte, error) {
	b, err := s.read(a)
	if err != nil {
		return nil, err
	}
	if s.file == "" {
		target := map[string]any{"type": s.typ, "id": s.id}
		if s.id == "" {
			target["id"] = name
		}
		if s.input != "" {
			target["input"] = json.RawMessage(s.input)
		}
		doc := map[string]any{"workflow": target}
		if len(s.cron) > 0 {
			doc["cron"] = s.cron
		}
		for key, v := range map[string]string{"zone": s.zone, "every": s.every, "offset": s.offset, "jitter": s.jitter, "overlap": s.overlap, "catch_up": s.catchUp} {
			if v != "" {
				doc[key] = v
			}
		}
		if b, err = json.Marshal(doc); err != nil {
			return nil, usagef("--input is not JSON: %w", err)
		}
	}
	if err := json.Unmarshal(b, new(schedule.Spec)); err != nil {
		return nil, usagef("%w", err)
	}
	return b, nil
}

func (a *app) scheduleCreate() *cobra.Command {
	var s specFlags
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a schedule", Args: cobra.ExactArgs(1),
		Example: `  odradek schedule create reports --type report --cron '0 9 * * MON-FRI' --zone Europe/Berlin
  odradek schedule create cleanup --type cleanup --every 15m --overlap buffer_one
  odradek schedule create quarter -f quarter.json`,
	}
	s.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		spec, err := s.spec(a, args[0])
		if err != nil {
			return err
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		w, started, err := c.StartWorkflow(cmd.Context(), client.StartRequest{Type: schedule.Type, WorkflowID: schedule.WorkflowID(args[0]), Input: spec, CommandID: s.commandID}, -1)
		if err != nil {
			return err
		}
		if !started {
			a.say("the schedule was there already")
		}
		if a.output != "table" {
			return a.document(w)
		}
		return a.describeSchedule(cmd, c, args[0])
	}
	return cmd
}

func (a *app) scheduleDescribe() *cobra.Command {
	return &cobra.Command{
		Use: "describe NAME", Short: "Show a schedule, its next firings and what it has started", Args: cobra.ExactArgs(1),
		Example: "  odradek schedule describe reports",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			defer c.Close()
			return a.describeSchedule(cmd, c, args[0])
		},
	}
}

func (a *app) describeSchedule(cmd *cobra.Command, c *client.HTTP, name string) error {
	d, err := client.Ask(cmd.Context(), c, schedule.WorkflowID(name), schedule.Describe, struct{}{})
	if err != nil {
		return err
	}
	if a.output != "table" {
		return a.document(d)
	}
	spec, err := json.Marshal(d.Spec)
	if err != nil {
		return err
	}
	status := "running"
	if d.Paused {
		status = strings.TrimSuffix("paused: "+d.Note, ": ")
	}
	var next []string
	for _, at := range d.Next {
		next = append(next, at.Format(time.RFC3339))
	}
	a.rows(nil, [][]string{
		{"schedule", name}, {"status", status}, {"spec", string(spec)}, {"next", strings.Join(next, " ")},
		{"running", strings.Join(d.Running, " ")}, {"last", d.Last},
		{"counts", fmt.Sprintf("%d started, %d failed, %d wait, %d skipped, %d missed", d.Started, d.Failed, d.Buffered, d.Skipped, d.Missed)},
	})
	return nil
}

func (a *app) scheduleList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List schedules", Args: cobra.NoArgs, Example: "  odradek schedule list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			defer c.Close()
			return a.listAll(cmd, c, client.ListRequest{Type: schedule.Type, Status: "running"}, 0)
		},
	}
}

// scheduleNote is an update whose payload is a reason.
func (a *app) scheduleNote(verb, short, update string) *cobra.Command {
	var n schedule.Note
	var commandID string
	cmd := &cobra.Command{Use: verb + " NAME", Short: short, Args: cobra.ExactArgs(1), Example: fmt.Sprintf("  odradek schedule %s reports --reason 'closed for the holidays'", verb)}
	cmd.Flags().StringVar(&n.Reason, "reason", "", "why, for people")
	cmd.Flags().StringVar(&commandID, "command-id", "", "makes repeats of this command one; default: a new one")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b, err := json.Marshal(n)
		if err != nil {
			return err
		}
		return a.updateSchedule(cmd, args[0], update, b, commandID)
	}
	return cmd
}

func (a *app) updateSchedule(cmd *cobra.Command, name, update string, payload []byte, commandID string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	u, err := c.Update(cmd.Context(), client.UpdateRequest{WorkflowID: schedule.WorkflowID(name), Name: update, Payload: payload, CommandID: commandID}, time.Minute)
	if err != nil {
		return err
	}
	if u.Open {
		a.say("the schedule has not answered yet; ask again with --command-id %s", u.UpdateID)
		return exitError(exitTimeout)
	}
	return a.outcome(u, u.Result, string(u.ResultEncoding), u.Failure, update)
}

func (a *app) scheduleBackfill() *cobra.Command {
	var from, until, commandID string
	cmd := &cobra.Command{
		Use: "backfill NAME", Short: "Make up for the firings between two moments", Args: cobra.ExactArgs(1),
		Example: "  odradek schedule backfill reports --from 2026-01-01T00:00:00Z --until 2026-01-08T00:00:00Z",
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "first moment, RFC 3339")
	f.StringVar(&until, "until", "", "last moment, RFC 3339")
	f.StringVar(&commandID, "command-id", "", "makes repeats of this command one; default: a new one")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var p schedule.Period
		for _, x := range []struct {
			flag, text string
			at         *time.Time
		}{{"--from", from, &p.From}, {"--until", until, &p.Until}} {
			var err error
			if *x.at, err = time.Parse(time.RFC3339, x.text); err != nil {
				return usagef("%s is %q: write a time such as 2026-01-02T00:00:00Z", x.flag, x.text)
			}
		}
		b, err := json.Marshal(p)
		if err != nil {
			return err
		}
		return a.updateSchedule(cmd, args[0], schedule.Backfill.Name(), b, commandID)
	}
	return cmd
}

func (a *app) scheduleChange() *cobra.Command {
	var s specFlags
	cmd := &cobra.Command{
		Use: "change NAME", Short: "Replace what a schedule starts, and when", Args: cobra.ExactArgs(1),
		Example: "  odradek schedule change reports --type report --cron '0 8 * * MON-FRI' --zone Europe/Berlin",
	}
	s.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		spec, err := s.spec(a, args[0])
		if err != nil {
			return err
		}
		return a.updateSchedule(cmd, args[0], schedule.Change.Name(), spec, s.commandID)
	}
	return cmd
}

func (a *app) scheduleDelete() *cobra.Command {
	var e client.EndRequest
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "End a schedule; what it has started goes on", Args: cobra.ExactArgs(1),
		Example: "  odradek schedule delete reports --reason 'nobody reads them'",
	}
	cmd.Flags().StringVar(&e.Reason, "reason", "", "why, for people; stands in the history")
	cmd.Flags().StringVar(&e.CommandID, "command-id", "", "makes repeats of this command one; default: a new one")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		e.WorkflowID = schedule.WorkflowID(args[0])
		s, err := c.CancelWorkflow(cmd.Context(), e)
		if err != nil {
			return err
		}
		if a.output != "table" {
			return a.document(s)
		}
		a.say("schedule %s is ended", args[0])
		return nil
	}
	return cmd
}
