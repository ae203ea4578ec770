package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/odradek/odradek/worker/binding"
	"github.com/odradek/odradek/worker/bindings"
)

func (a *app) checkCommand() *cobra.Command {
	var withoutSecrets, online bool
	var output string
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Check a configuration without Kafka, and with --online whether the APIs are there",
		Long: `Reads the whole file and tells every problem with file, line, key and fix. Without
problems it prints what is bound. Nothing is connected to.

With --online each service is connected to, and asked nothing: its name is resolved, its
address must be allowed, certificates must fit, and an access token must be had where one is
needed. Exit code 4: one of them is not there.`,
		Example: "  svcworker check configs/svcworker.yaml\n  svcworker check --without-secrets configs/svcworker.yaml\n  svcworker check --online -o json configs/svcworker.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case online && withoutSecrets:
				return exitError{exitUsage, errors.New("--online needs the secrets: leave --without-secrets out")}
			case output != "table" && output != "json":
				return exitError{exitUsage, fmt.Errorf("--output is %q: use table or json", output)}
			case output == "json" && !online:
				return exitError{exitUsage, errors.New("--output json is of --online")}
			}
			file, err := a.check(args[0], binding.Options{WithoutSecrets: withoutSecrets})
			switch {
			case err != nil:
				return err
			case online:
				return a.reach(cmd.Context(), file, output)
			}
			return a.bound(file)
		},
	}
	cmd.Flags().BoolVar(&online, "online", false, "connect to the services")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "of --online: table or json")
	cmd.Flags().BoolVar(&withoutSecrets, "without-secrets", false, "do not look for ${env:...} and ${file:...}, for a check where they are not")
	return cmd
}

// check reads a file and prints its problems.
func (a *app) check(path string, opts binding.Options) (*bindings.File, error) {
	s, err := loadSettings(path, nil, opts.WithoutSecrets)
	var more binding.Problems
	if err != nil && !errors.As(err, &more) {
		return nil, exitError{exitUsage, err}
	}
	opts.CallbackURL = s.Callback
	file, err := bindings.Load(path, opts)
	var problems binding.Problems
	if err != nil && !errors.As(err, &problems) {
		return nil, exitError{exitUsage, err}
	}
	if problems = append(problems, more...); len(problems) > 0 {
		fmt.Fprintln(a.stdout, problems.Sorted())
		return nil, exitError{code: exitProblems}
	}
	return file, nil
}

// bound prints what is bound.
func (a *app) bound(file *bindings.File) error {
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

// reached is what came of a look at a service.
type reached struct {
	Service string `json:"service"`
	Address string `json:"address"`
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
}

// reachable is a service of any kind.
type reachable interface {
	Address() string
	Reach(ctx context.Context) error
}

// reachMany is how many services are looked at at the same time.
const reachMany = 8

// reach looks at each service and tells of all.
func (a *app) reach(ctx context.Context, file *bindings.File, output string) error {
	var services []reachable
	names := file.Names()
	for _, s := range file.HTTP.Services {
		services = append(services, s)
	}
	for _, s := range file.GRPC.Services {
		services = append(services, s)
	}
	looks := make([]reached, len(services))
	var g errgroup.Group
	g.SetLimit(reachMany)
	for i, s := range services {
		g.Go(func() error {
			looks[i] = reached{Service: names[i], Address: s.Address(), OK: true}
			if err := s.Reach(ctx); err != nil {
				looks[i].OK, looks[i].Problem = false, binding.Printable(err.Error())
			}
			return nil
		})
	}
	_ = g.Wait()
	ok := !slices.ContainsFunc(looks, func(r reached) bool { return !r.OK })
	if output == "json" {
		if err := json.NewEncoder(a.stdout).Encode(map[string]any{"services": looks, "ok": ok}); err != nil {
			return err
		}
	} else {
		tw := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(tw, "SERVICE\tADDRESS\tSTATE")
		for _, r := range looks {
			state := "there"
			if !r.OK {
				state = r.Problem
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\n", r.Service, r.Address, state)
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	if !ok {
		return exitError{code: exitUnavailable}
	}
	return nil
}
