// Command demo shows monthly billing in a terminal: the four APIs with their
// ledgers, the engine with an embedded broker, and a handful of subscriptions whose
// months last seconds. The key k kills the engine with -9; it comes back, and the
// processes go on.
//
// Without a terminal it is a drill: it kills by itself, waits until every contract
// has ended, judges the ledgers, and prints one line of JSON.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var opts options
	var asDrill bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show monthly billing over four HTTP APIs, and kill the engine in the middle",
		Args:  cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := opts.complete(); err != nil {
				return err
			}
			if asDrill || !term.IsTerminal(int(os.Stdin.Fd())) || !term.IsTerminal(int(os.Stdout.Fd())) {
				return runDrill(cmd.Context(), opts, cmd.OutOrStdout())
			}
			return runLive(cmd.Context(), opts, os.Stdin, os.Stdout)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.binDir, "bin-dir", "", "directory of engine and billingapis; default: where this program is")
	f.StringVar(&opts.dataDir, "data-dir", "data/demo", "directory for ledgers, broker and stores; what an earlier demo left there is removed")
	f.IntVar(&opts.customers, "customers", 6, "how many customers subscribe")
	f.DurationVar(&opts.month, "month", 8*time.Second, "how long a month lasts")
	f.Float64Var(&opts.failRate, "fail-rate", 0.1, "share of requests that the APIs refuse with 503 or 429")
	f.Float64Var(&opts.loseRate, "lose-rate", 0.05, "share of requests whose effect is done and whose answer is lost")
	f.DurationVar(&opts.latency, "latency", 300*time.Millisecond, "how long each API takes to answer")
	f.BoolVar(&asDrill, "drill", false, "run the drill also in a terminal")
	f.IntVar(&opts.months, "months", 3, "drill: length of the contracts in months")
	f.IntVar(&opts.kills, "kills", 2, "drill: how often the engine is killed")
	f.DurationVar(&opts.timeout, "timeout", 3*time.Minute, "drill: how long it may take")
	return cmd
}

// complete fills in what was left out and refuses what makes no sense.
func (o *options) complete() error {
	if o.customers < 1 || o.customers > 100 {
		return fmt.Errorf("--customers %d: allowed are 1 to 100", o.customers)
	}
	if o.months < 1 || o.kills < 1 {
		return errors.New("--months and --kills: a drill needs at least one of each")
	}
	if o.binDir == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		o.binDir = filepath.Dir(self)
	}
	for _, name := range []string{"engine", "billingapis"} {
		if _, err := os.Stat(filepath.Join(o.binDir, name)); err != nil {
			return fmt.Errorf("%s is not in %s: run make build, or give --bin-dir", name, o.binDir)
		}
	}
	return nil
}
