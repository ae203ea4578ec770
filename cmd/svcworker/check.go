package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/worker/binding"
	"github.com/odradek/odradek/worker/bindings"
)

func (a *app) checkCommand() *cobra.Command {
	var withoutSecrets bool
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Check a configuration without Kafka and the APIs",
		Long: `Reads the whole file and tells every problem with file, line, key and fix. Without
problems it prints what is bound. Nothing is connected to.`,
		Example: "  svcworker check configs/svcworker.yaml\n  svcworker check --without-secrets configs/svcworker.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.check(args[0], binding.Options{WithoutSecrets: withoutSecrets})
		},
	}
	cmd.Flags().BoolVar(&withoutSecrets, "without-secrets", false, "do not look for ${env:...} and ${file:...}, for a check where they are not")
	return cmd
}

func (a *app) check(path string, opts binding.Options) error {
	s, err := loadSettings(path, nil, opts.WithoutSecrets)
	var more binding.Problems
	if err != nil && !errors.As(err, &more) {
		return exitError{exitUsage, err}
	}
	opts.CallbackURL = s.Callback
	file, err := bindings.Load(path, opts)
	var problems binding.Problems
	if err != nil && !errors.As(err, &problems) {
		return exitError{exitUsage, err}
	}
	if problems = append(problems, more...); len(problems) > 0 {
		fmt.Fprintln(a.stdout, problems.Sorted())
		return exitError{code: exitProblems}
	}
	tw := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "TASK\tREQUEST\tTIMEOUT\tCONCURRENCY\tRATE")
	for _, s := range file.HTTP.Services {
		for _, t := range s.Tasks {
			fmt.Fprintf(tw, "%s.%s\t%s\t%s\t%d\t%s\n", s.Name, t.Operation, t, t.Timeout, s.Concurrency, s.Rate)
		}
	}
	for _, s := range file.GRPC.Services {
		for _, t := range s.Tasks {
			fmt.Fprintf(tw, "%s.%s\t%s\t%s\t%d\t%s\n", s.Name, t.Operation, t, t.Timeout, s.Concurrency, s.Rate)
		}
	}
	return tw.Flush()
}
