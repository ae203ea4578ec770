package engine

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/internal/config"
	"github.com/odradek/odradek/internal/kafka"
)

func configCommand(cfg Config) *cobra.Command {
	parent := &cobra.Command{Use: "config", Short: "Check and show the configuration"}
	var online bool
	check := &cobra.Command{
		Use: "check", Short: "Check the configuration; with --online also the broker and the topics",
		Example: "  engine config check --config engine.yaml --online",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := load(cmd)
			if err != nil {
				return err
			}
			if _, err := apiTokens(s); err != nil {
				return usage(err)
			}
			if _, _, err := kafka.Connect(s.Kafka, "odradek-engine"); err != nil {
				return usage(err)
			}
			out := cmd.OutOrStdout()
			if !online {
				fmt.Fprintln(out, "the configuration is fine; --online asks the broker too")
				return nil
			}
			cl, err := connect(cmd.ErrOrStderr(), s)
			if err != nil {
				return err
			}
			defer cl.Close()
			if _, _, err := kafka.Brokers(cmd.Context(), cl); err != nil {
				return unreached(s, err)
			}
			warnings, err := kafka.CheckBroker(cmd.Context(), cl, s.AllowWeakerBroker)
			if err != nil {
				return unavailable(err)
			}
			for _, w := range warnings {
				fmt.Fprintln(out, "warning:", w)
			}
			d, err := deployment(cmd.Context(), cl, cfg, s)
			if err != nil {
				return err
			}
			c, err := kafka.CheckTopics(cmd.Context(), cl, d)
			for _, f := range c.Findings {
				fmt.Fprintln(out, f)
			}
			if err != nil {
				return unavailable(err)
			}
			if n := len(c.Fatal()); n > 0 {
				return unavailable(fmt.Errorf("%d topics or settings are wrong", n))
			}
			// Five clients a lane (three producers, two readers), each with a connection per
			// broker that it needs; and three of the instance's own (S6).
			fmt.Fprintf(out, "the configuration is fine; an instance that owns all %d partitions opens up to %d connections to each broker\n", d.Partitions, 5*d.Partitions+3)
			return nil
		},
	}
	check.Flags().BoolVar(&online, "online", false, "ask the broker and look at the topics")
	show := &cobra.Command{
		Use: "print", Short: "Show what holds, and where it comes from; secrets are left out",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, report, err := config.LoadEngine(cmd.Flags(), os.Environ())
			if err != nil {
				return usage(err)
			}
			report.Print(cmd.OutOrStdout())
			return nil
		},
	}
	for _, c := range []*cobra.Command{check, show} {
		config.Flags(c.Flags())
		parent.AddCommand(c)
	}
	return parent
}
