package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
)

// Exit codes; part of the command's contract.
const (
	exitOK          = 0
	exitProblems    = 1 // check: the file has problems
	exitUsage       = 2 // flags, configuration
	exitUnavailable = 4 // Kafka, or a topic that is missing
)

// app is one run of the command line.
type app struct {
	stdout, stderr io.Writer
	// ready is called when the worker runs, with the address of the admin server; for
	// tests. May be nil.
	ready func(admin string)
	// reloadEvery is for tests. 0: reloadEvery.
	reloadEvery time.Duration
}

func newApp() *app { return &app{stdout: os.Stdout, stderr: os.Stderr} }

// exitError ends the command with a code.
type exitError struct {
	code int
	error
}

// Error is empty if everything is said already.
func (e exitError) Error() string {
	if e.error == nil {
		return ""
	}
	return e.error.Error()
}

func (e exitError) Unwrap() error { return e.error }

// run is the whole command line. Data goes to stdout, everything else to stderr.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	var exit exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		if exit.error != nil {
			fmt.Fprintln(a.stderr, "error:", exit.error)
		}
		return exit.code
	}
	fmt.Fprintf(a.stderr, "error: %v\nsvcworker --help tells how it is called\n", err)
	return exitUsage
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "svcworker",
		Short: "Call HTTP and gRPC APIs for the tasks of workflows",
		Long: `Takes the tasks of services from Kafka, calls the HTTP and gRPC APIs that the
bindings name, and reports the results to the engine.

Exit codes: 0 ok, 1 check found problems, 2 usage or configuration,
4 Kafka is unavailable, a topic is missing, or check --online finds a service that is not
there.`,
		SilenceErrors: true, SilenceUsage: true,
	}
	root.AddCommand(a.runCommand(), a.checkCommand(), a.callCommand(), a.importCommand(), a.versionCommand())
	return root
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print version and build", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintln(a.stdout, version())
			return nil
		},
	}
}

// version is what the Go linker noted of the build.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "svcworker (unknown build)"
	}
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = " " + s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = " (changed)"
		}
	}
	return "svcworker " + info.Main.Version + revision + modified + " " + info.GoVersion
}
