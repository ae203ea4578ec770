package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/httpapi/api"
)

// Exit codes. They are part of the command line's contract.
const (
	exitOK          = 0
	exitFailed      = 1 // the workflow failed
	exitUsage       = 2 // the request is wrong: flags, payload, ID in use, not allowed
	exitNotFound    = 3
	exitUnavailable = 4
	exitTimeout     = 5 // still running, or nobody knows yet
)

const exitHelp = `Exit codes: 0 ok, 1 the workflow failed, 2 usage (also a refused request),
3 not found, 4 unavailable, 5 timeout (also: still running).`

// app is one run of the command line.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	colour         bool

	server    string
	tokenFile string
	timeout   time.Duration
	output    string
	page      int           // size of a page; the API's largest
	quiet     time.Duration // how long the engine is waited for without a word; 0: 2 s
}

func newApp() *app {
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, page: pageSize}
	a.colour = term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return a
}

// usageError is a mistake in how the command was called.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitError ends the command with a code; what is to be said is on stderr already.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// run is the whole command line. Data goes to stdout, everything else to stderr.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	var exit exitError
	if errors.As(err, &exit) {
		return int(exit)
	}
	a.say("error: %v", err)
	code := exitOf(err)
	if code == exitUsage && client.Code(err) == "" {
		a.say("%s --help tells how it is called", cmd.CommandPath())
	}
	return code
}

// exitOf maps an error to its exit code. What is no client's error comes from cobra:
// a flag or an argument.
func exitOf(err error) int {
	switch code := client.Code(err); code {
	case api.CodeWorkflowNotFound, api.CodeDeadLetterNotFound, api.CodeServiceNotFound, api.CodeHistoryGone:
		return exitNotFound
	case api.CodeUnavailable, api.CodePartitionUnavailable, api.CodeInternal, api.CodeNotOwner, client.CodeUnreachable:
		return exitUnavailable
	case api.CodeOutcomeUnknown:
		return exitTimeout
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return exitTimeout
	}
	return exitUsage
}

// say writes a line for people. No control character reaches their terminal.
func (a *app) say(format string, args ...any) {
	fmt.Fprintln(a.stderr, clean(fmt.Sprintf(format, args...)))
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "odradek",
		Short: "Start, signal and inspect workflows",
		Long: `Start, signal and inspect the workflows of an Odradek engine, by its HTTP API.

Data goes to stdout, everything else to stderr. With -o json and -o jsonl the
output is stable; a table is for people and may change.

` + exitHelp + `

Environment: ODRADEK_SERVER, ODRADEK_TOKEN or ODRADEK_TOKEN_FILE, NO_COLOR.`,
		SilenceErrors: true, SilenceUsage: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = false
	server := a.getenv("ODRADEK_SERVER")
	if server == "" {
		server = "http://127.0.0.1:8080"
	}
	f := root.PersistentFlags()
	f.StringVar(&a.server, "server", server, "address of any engine instance, or of a load balancer before them")
	f.StringVar(&a.tokenFile, "token-file", a.getenv("ODRADEK_TOKEN_FILE"), "file with the bearer token")
	f.DurationVar(&a.timeout, "timeout", 30*time.Second, "how long to try again while the engine does not answer; 0: once")
	f.StringVarP(&a.output, "output", "o", "table", "table, json or jsonl")
	root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "jsonl"}, cobra.ShellCompDirectiveNoFileComp))
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		switch a.output {
		case "table", "json", "jsonl":
			return nil
		}
		return usagef("--output is %q: use table, json or jsonl", a.output)
	}
	root.AddCommand(a.workflows(), a.tasks(), a.types(), a.services(), a.schedules(), a.jobs(), a.deadLetters(), a.store(), a.vet())
	return root
}

// waiting says, after a while, that the engine is waited for; done ends it, and nothing
// is said afterwards.
func (a *app) waiting() (done func()) {
	quiet := a.quiet
	if quiet == 0 {
		quiet = 2 * time.Second
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		timer := time.NewTimer(quiet)
		defer timer.Stop()
		select {
		case <-stop:
		case <-timer.C:
			a.say("waiting for the engine at %s; gives up after %v without an answer (--timeout)", a.server, a.timeout)
		}
	}()
	return func() { close(stop); <-ended }
}

// client makes the client of the flags.
func (a *app) client() (*client.HTTP, error) {
	token := a.getenv("ODRADEK_TOKEN")
	if a.tokenFile != "" {
		b, err := os.ReadFile(a.tokenFile)
		if err != nil {
			return nil, usagef("read the token: %w", err)
		}
		token = string(b)
	}
	patience := a.timeout
	if patience == 0 {
		patience = -1
	}
	return client.NewHTTP(client.HTTPConfig{URL: a.server, Token: strings.TrimSpace(token), Patience: patience})
}
