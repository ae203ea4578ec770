// Command billingapis serves the four billing APIs over HTTP, each with a ledger on
// disk. It prints their addresses as one line of JSON and runs until SIGTERM; kill
// -9 loses nothing that was answered.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/odradek/odradek/workflows/billing"
	"github.com/odradek/odradek/workflows/billing/apis"
)

func main() {
	if err := command().ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "billingapis:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	var cfg apis.Config
	var bindings string
	var untilStdinEnds bool
	cmd := &cobra.Command{
		Use:   "billingapis",
		Short: "Serve the billing APIs: consumption, payment, invoice, email",
		Example: `  billingapis --ledger-dir data/ledgers
  billingapis --addr 127.0.0.1:0 --ledger-dir data/ledgers --bindings data/bindings.yaml --fail-rate 0.05 --lose-rate 0.05`,
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if untilStdinEnds {
				go func() {
					_, _ = io.Copy(io.Discard, cmd.InOrStdin()) // whatever ends it is the end
					stop()
				}()
			}
			srv, err := apis.Start(cfg)
			if err != nil {
				return err
			}
			if bindings != "" {
				if err := os.WriteFile(bindings, []byte(billing.Bindings(srv.Addresses())), 0o600); err != nil {
					return err
				}
			}
			if err := json.NewEncoder(cmd.OutOrStdout()).Encode(srv.Addresses()); err != nil {
				return err
			}
			<-ctx.Done()
			return srv.Close()
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Addr, "addr", "127.0.0.1:7101", "host:port of the first API; the others take the next three ports. Port 0: free ones")
	f.StringVar(&cfg.LedgerDir, "ledger-dir", "data/ledgers", "directory of the ledgers, SERVICE.jsonl")
	f.StringVar(&bindings, "bindings", "", "write the service worker's bindings for these addresses to this `file`")
	f.BoolVar(&untilStdinEnds, "until-stdin-ends", false, "stop when standard input ends: for a program that starts this one")
	f.Float64Var(&cfg.Faults.FailRate, "fail-rate", 0, "share of requests that are refused with 503 or 429, before the effect")
	f.Float64Var(&cfg.Faults.LoseRate, "lose-rate", 0, "share of requests whose effect is done and whose answer is lost")
	f.DurationVar(&cfg.Faults.RetryAfter, "retry-after", time.Second, "what refusals tell, in whole seconds; 0: nothing")
	f.DurationVar(&cfg.Faults.Latency, "latency", 0, "how long each request takes, at least")
	f.Int64Var(&cfg.Faults.Seed, "seed", 1, "chooses which requests are hit")
	return cmd
}
