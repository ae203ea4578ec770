// Package engine makes an engine of workflow types. A user's own binary is
//
//	func main() {
//		os.Exit(engine.Main(engine.Config{Workflows: []workflow.Definition{billing.Definition}}))
//	}
//
// and has the commands run, dev, topics, config and version.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/job"
	"github.com/odradek/odradek/schedule"
	"github.com/odradek/odradek/topology"
	"github.com/odradek/odradek/workflow"
)

// Config is what a binary has compiled in. Everything else is configuration.
type Config struct {
	// Workflows are the workflow types, each with the tasks and signals that it uses.
	// Creation and check of topics and the API read it. At least one.
	Workflows []workflow.Definition
	// Publish are the Kafka topics of your own that workflows publish to. They must be
	// there, with at least the replication factor and min.insync.replicas of the
	// changelog: a partition of theirs that is offline would hold the engine's
	// transactions.
	Publish []string
	// Build names the binary: a run that is stuck is tried again by another build.
	// Default: the version control revision that the Go toolchain noted, and where
	// there is none a hash of the binary.
	Build string

	jobs *jobEngine // of the built-in types
}

// Validate says what is missing or wrong.
func (c Config) Validate() error {
	if len(c.Workflows) == 0 {
		return errors.New("engine.Config has no workflow type: list at least one in Workflows")
	}
	var errs []error
	seen := map[string]bool{}
	for i, d := range c.Workflows {
		if d.IsZero() {
			errs = append(errs, fmt.Errorf("engine.Config.Workflows[%d] is the zero Definition: make it with workflow.Define", i))
			continue
		}
		if err := d.Validate(); err != nil {
			errs = append(errs, err)
		}
		for _, topic := range d.Topics() {
			if !slices.Contains(c.Publish, topic) {
				errs = append(errs, fmt.Errorf("workflow type %q publishes to topic %q, which engine.Config.Publish does not name: add it there", d.Type(), topic))
			}
		}
		key := fmt.Sprintf("%s@%d", d.Type(), d.Version())
		if seen[key] {
			errs = append(errs, fmt.Errorf("workflow type %q is listed twice with version %d: give each code a version of its own", d.Type(), d.Version()))
		}
		seen[key] = true
	}
	return errors.Join(errs...)
}

// builtins are the workflow types that every engine has, but for those that the binary
// brings itself. A binary without any of its own is told so.
func builtins(own []workflow.Definition, jobs job.Engine) []workflow.Definition {
	if len(own) == 0 {
		return nil
	}
	return slices.DeleteFunc(append(job.Definitions(jobs), schedule.Definition), func(b workflow.Definition) bool {
		return slices.ContainsFunc(own, func(d workflow.Definition) bool { return !d.IsZero() && d.Type() == b.Type() })
	})
}

// services gives the task partitions M of each service that the types use: as
// configured, else N (W2).
func (c Config) services(n int32, configured map[string]int32) (map[string]int32, error) {
	services := map[string]int32{}
	for _, d := range c.Workflows {
		for s := range d.Services() {
			services[s] = topology.TaskPartitions(n, int(configured[s]))
		}
	}
	for s, m := range configured {
		if _, ok := services[s]; !ok {
			return nil, fmt.Errorf("topics.services: no workflow type of this binary uses service %q; it uses %s", s, serviceNames(services))
		}
		if m < 1 || m > n {
			return nil, fmt.Errorf("topics.services.%s is %d: allowed are 1 to %d, the deployment's partitions (W2)", s, m, n)
		}
	}
	return services, nil
}

func serviceNames(services map[string]int32) string {
	var names []string
	for s := range services {
		names = append(names, s)
	}
	slices.Sort(names)
	return fmt.Sprint(names)
}

// Exit codes, the same in every command.
const (
	exitOK          = 0
	exitUsage       = 2 // flags, configuration
	exitUnavailable = 4 // Kafka is away, or refuses us
	exitInternal    = 1
)

// exitError carries the exit code of a command.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usage(err error) error       { return &exitError{exitUsage, err} }
func unavailable(err error) error { return &exitError{exitUnavailable, err} }

// Main runs the command line of an engine with the given workflow types and gives
// the exit code. SIGTERM and SIGINT stop it in order; a second one ends it at once.
func Main(cfg Config) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(exitInternal)
	}()
	return Run(ctx, cfg, os.Args[1:], os.Stdout, os.Stderr)
}

// Run is Main with its surroundings as arguments.
func Run(ctx context.Context, cfg Config, args []string, stdout, stderr io.Writer) int {
	cfg.jobs = &jobEngine{}
	cfg.Workflows = append(slices.Clip(cfg.Workflows), builtins(cfg.Workflows, cfg.jobs)...)
	if err := cfg.Validate(); err != nil {
		fmt.Fprintln(stderr, err)
		return exitUsage
	}
	root := command(cfg)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "%s: %v\n", root.Name(), err)
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return exitUsage // cobra's own: an unknown command or flag
}

func command(cfg Config) *cobra.Command {
	root := &cobra.Command{
		Use:           "engine",
		Short:         "Run durable workflows on Kafka",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(runCommand(cfg), topicsCommand(cfg), configCommand(cfg), devCommand(cfg), devChildCommand(cfg), replayCommand(cfg), versionCommand(cfg))
	return root
}

func versionCommand(cfg Config) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Name the build and the workflow types that it has",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "build %s\n", cfg.build())
			for _, d := range cfg.Workflows {
				fmt.Fprintf(out, "workflow type %s, version %d\n", d.Type(), d.Version())
			}
			return nil
		},
	}
}

// build names the binary.
func (c Config) build() string {
	if c.Build != "" {
		return c.Build
	}
	info, ok := debug.ReadBuildInfo()
	if ok {
		revision, modified := "", ""
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				revision = s.Value
			case "vcs.modified":
				if s.Value == "true" {
					modified = "+modified-" + hashSelf()
				}
			}
		}
		if revision != "" {
			return revision[:min(12, len(revision))] + modified
		}
	}
	return hashSelf()
}
