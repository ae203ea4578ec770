package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/client"
)

// services are the commands for services of tasks and their workers.
func (a *app) services() *cobra.Command {
	cmd := &cobra.Command{Use: "service", Aliases: []string{"services"}, Short: "Services of tasks, and their workers", Long: "List services of tasks, show one with its workers, pause one, let it go on.\n\n" + exitHelp}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("odradek service has no verb %q", args[0])
		}
		return cmd.Help()
	}
	cmd.AddCommand(a.serviceList(), a.serviceShow(),
		a.serviceOperate("pause SERVICE", "Let the tasks of a service wait",
			`Let the tasks of a service wait: its workers begin no more calls, until it is resumed. Calls
under way end. Waiting spends no attempt, but the limits of the tasks' time go on.`,
			"  odradek service pause payment --reason 'they move their database'", (*client.HTTP).PauseService),
		a.serviceOperate("resume SERVICE", "Let a paused service go on",
			"Let a paused service go on: its workers call it again, within its limits.",
			"  odradek service resume payment", (*client.HTTP).ResumeService))
	return cmd
}

func (a *app) serviceOperate(use, short, long, example string, do func(c *client.HTTP, ctx context.Context, name, reason string) (client.ServiceDone, error)) *cobra.Command {
	var reason string
	cmd := &cobra.Command{Use: use, Short: short, Long: long, Example: example, Args: cobra.ExactArgs(1)}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for people; it is kept")
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
		if a.output != "table" {
			return a.document(out)
		}
		a.rows([]string{"SERVICE", "OUTCOME"}, [][]string{{out.Service, string(out.Outcome)}})
		return nil
	}
	return cmd
}

func (a *app) serviceList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List services of tasks", Args: cobra.NoArgs,
		Long: `List the services that the engine's workflow types use: how many tasks wait, how many workers
there are, and what holds them up.`,
		Example: "  odradek service list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			defer c.Close()
			all, err := c.Services(cmd.Context())
			if err != nil {
				return err
			}
			if a.output != "table" {
				return a.document(map[string]any{"services": all})
			}
			rows := make([][]string, 0, len(all))
			for i := range all {
				s := &all[i]
				running := 0
				for _, w := range s.Workers {
					running += w.Running
				}
				rows = append(rows, []string{s.Service, count(s.Lag), count(s.Members), fmt.Sprint(running), strings.Join(orNothing(holdups(s)), "; ")})
			}
			a.rows([]string{"SERVICE", "WAITING", "WORKERS", "RUNNING", "STATE"}, rows)
			return nil
		},
	}
}

func (a *app) serviceShow() *cobra.Command {
	return &cobra.Command{
		Use: "show SERVICE", Short: "Show a service of tasks, and its workers", Args: cobra.ExactArgs(1),
		Long: `Show a service of tasks: how many tasks wait, its workers as they have told within the last
30 seconds, what holds them up, and what operators did.`,
		Example: "  odradek service show payment",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			defer c.Close()
			s, err := c.Service(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if a.output != "table" {
				return a.document(s)
			}
			fmt.Fprintf(a.stdout, "service %s: %s waiting in %d partitions, %s workers\n", s.Service, count(s.Lag), s.Partitions, count(s.Members))
			for _, text := range holdups(&s) {
				fmt.Fprintf(a.stdout, "  %s\n", clean(text))
			}
			if s.Trouble != "" {
				fmt.Fprintf(a.stdout, "  not all is known: %s\n", clean(s.Trouble))
			}
			if len(s.Workers) > 0 {
				rows := make([][]string, 0, len(s.Workers))
				for i := range s.Workers {
					w := &s.Workers[i]
					rows = append(rows, []string{w.Instance, fmt.Sprint(len(w.Partitions)), fmt.Sprintf("%d/%d", w.Running, w.Permits), fmt.Sprint(w.Queued), string(w.Breaker), rate(w.Rate), w.LastFailure})
				}
				a.rows([]string{"WORKER", "PARTITIONS", "RUNNING", "QUEUED", "BREAKER", "RATE", "LAST FAILURE"}, rows)
			}
			for _, act := range s.Acts {
				fmt.Fprintf(a.stdout, "%s %s%s: %s\n", moment(act.At), act.Operation, clean(by(act.By)), clean(act.Reason))
			}
			return nil
		},
	}
}

// holdups say what holds the tasks of a service up.
func holdups(s *client.Service) (out []string) {
	if n := len(s.Acts); s.Paused && n > 0 {
		last := &s.Acts[n-1]
		out = append(out, fmt.Sprintf("paused since %s%s: %s", moment(last.At), by(last.By), last.Reason))
	}
	if s.Members != nil && *s.Members == 0 {
		out = append(out, "no worker is there")
	}
	open, rated, keyed, full := 0, 0, 0, 0
	failure := ""
	var again string
	for i := range s.Workers {
		w := &s.Workers[i]
		if w.Breaker != "closed" {
			open++
			failure = w.LastFailure
			if !w.RetryAt.IsZero() {
				again = ", asked again at " + moment(w.RetryAt)
			}
		}
		if w.RateLimited {
			rated++
		}
		if w.Permits > 0 && w.Running >= w.Permits && w.Queued > 0 {
			full++
		}
		keyed += w.KeyLimited
	}
	of := fmt.Sprintf("of %d workers", len(s.Workers))
	if open > 0 {
		out = append(out, fmt.Sprintf("%d %s find it down%s; the last failure: %s", open, of, again, failure))
	}
	if full > 0 {
		out = append(out, fmt.Sprintf("%d %s make as many calls as they may", full, of))
	}
	if rated > 0 {
		out = append(out, fmt.Sprintf("%d %s wait for the rate", rated, of))
	}
	if keyed > 0 {
		out = append(out, fmt.Sprintf("%d tasks wait for the turn of their keys", keyed))
	}
	return out
}

func orNothing(texts []string) []string {
	if len(texts) == 0 {
		return []string{"-"}
	}
	return texts
}

// count shows a number that may not be known.
func count[T int | int64](n *T) string {
	if n == nil {
		return "?"
	}
	return fmt.Sprint(*n)
}

func rate(perSecond float64) string {
	if perSecond == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3g/s", perSecond)
}
