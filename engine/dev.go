package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/odradek/odradek/internal/config"
	"github.com/odradek/odradek/internal/dev"
	"github.com/odradek/odradek/internal/kafka"
	"github.com/odradek/odradek/internal/telemetry"
	"github.com/odradek/odradek/topology"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
	bindingfile "github.com/odradek/odradek/worker/bindings"
)

// What engine dev has instead of a configuration.
const (
	devNamespace  = "dev"
	devPartitions = 4
)

func devCommand(cfg Config) *cobra.Command {
	var (
		bindings, output string
		stdin            bool
		dc               dev.Config
	)
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run everything on this machine, with an embedded broker",
		Long: `Runs the compiled-in workflow types with nothing else installed: no Docker, no Java,
no configuration. This process holds an embedded Kafka broker and ends it in order;
a child process holds engine and service worker, may be killed at any moment, and is
started again. Everything is kept in --data-dir.

The embedded broker is for development: it is no place for data that matters.`,
		Example: "  engine dev\n  engine dev --bindings bindings.yaml\n  engine dev --reset",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "jsonl" {
				return usage(fmt.Errorf("--output %q: use text or jsonl", output))
			}
			if bindings != "" { // refuse here, where the user looks
				if _, err := bindingfile.Load(bindings, binding.Options{CallbackURL: "http://" + dc.HTTPAddr}); err != nil {
					return usage(err)
				}
				var err error
				if bindings, err = filepath.Abs(bindings); err != nil {
					return usage(err)
				}
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			if err := os.MkdirAll(dc.DataDir, 0o700); err != nil {
				return usage(fmt.Errorf("--data-dir: %w", err))
			}
			dc.FixedKafka, dc.FixedHTTP = cmd.Flags().Changed("kafka-listen"), cmd.Flags().Changed("api-listen")
			dc.Command = func(at dev.Place) *exec.Cmd {
				return exec.Command(self, "dev-child", "--kafka", at.Kafka, "--api", at.HTTP, "--store-dir", at.StoreDir, "--bindings", bindings)
			}
			dc.Listener = devScreen(cmd.OutOrStdout(), cfg, bindings, dc.DataDir, output)
			dc.Logger = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
			ctx := cmd.Context()
			if stdin {
				ctx = dev.UntilParentGone(ctx, cmd.InOrStdin())
			}
			return dev.Run(ctx, dc)
		},
	}
	f := cmd.Flags()
	f.StringVar(&bindings, "bindings", "", "bindings file of a service worker that runs in the child; empty for none")
	f.StringVar(&dc.DataDir, "data-dir", "data/dev", "directory of broker, stores and log")
	f.BoolVar(&dc.Reset, "reset", false, "forget everything in --data-dir first")
	f.StringVar(&dc.KafkaAddr, "kafka-listen", "127.0.0.1:9092", "address of the broker; a free port if this one is taken and the flag is not given")
	f.StringVar(&dc.HTTPAddr, "api-listen", "127.0.0.1:8080", "address of the HTTP API; a free port if this one is taken and the flag is not given")
	f.StringVar(&output, "output", "text", "text, or jsonl: an event of the processes per line")
	f.BoolVar(&stdin, "until-stdin-ends", false, "stop when standard input ends")
	return cmd
}

// devScreen tells what happens to the processes.
func devScreen(out io.Writer, cfg Config, bindings, dataDir, output string) func(dev.Event) {
	encoder := json.NewEncoder(out)
	return func(e dev.Event) {
		if output == "jsonl" {
			_ = encoder.Encode(e) // nobody reads any more: the processes go on
			return
		}
		switch e.Kind {
		case dev.Broker:
			fmt.Fprintf(out, "broker    %s (embedded, for development; in %s)\n", e.Kafka, dev.BrokerDir(dataDir))
		case dev.Started:
			fmt.Fprintf(out, "engine    process %d starts; log in %s\n", e.PID, dev.LogPath(dataDir))
		case dev.Ready:
			fmt.Fprintf(out, "engine    ready: http://%s\n", e.HTTP)
			if e.Starts == 1 {
				devHints(out, cfg, bindings, e.HTTP)
			}
		case dev.Ended:
			fmt.Fprintf(out, "engine    process %d ended (%s); it is started again\n", e.PID, e.Reason)
		case dev.Stopping:
			fmt.Fprintln(out, "stopping")
		case dev.Stopped:
			fmt.Fprintf(out, "stopped; `engine dev --data-dir %s` goes on from here\n", dataDir)
		}
	}
}

// devHints are the next commands to try.
func devHints(out io.Writer, cfg Config, bindings, addr string) {
	fmt.Fprintln(out, "\nworkflow types")
	for _, d := range cfg.Workflows {
		var services []string
		for s := range d.Services() {
			services = append(services, s)
		}
		slices.Sort(services)
		line := "  " + d.Type()
		if len(services) > 0 {
			line += "  calls " + strings.Join(services, ", ")
		}
		if signals := d.Signals(); len(signals) > 0 {
			line += "; signals: " + strings.Join(signals, ", ")
		}
		fmt.Fprintln(out, line)
	}
	if bindings == "" {
		fmt.Fprintln(out, "\nno --bindings: tasks wait for a service worker of yours (namespace "+devNamespace+")")
	}
	typ := cfg.Workflows[0].Type()
	fmt.Fprintf(out, `
try
  curl -X POST 'http://%[1]s/v1/workflows?type=%[2]s&id=first' -d 'INPUT AS JSON'
  odradek --server http://%[1]s wf list
  odradek --server http://%[1]s wf history first

Ctrl-C stops everything; what runs goes on at the next start.
`, addr, typ)
}

// devChildCommand is the child: engine and service worker in one process.
func devChildCommand(cfg Config) *cobra.Command {
	var broker, api, storeDir, bindings string
	cmd := &cobra.Command{
		Use: "dev-child", Hidden: true, Args: cobra.NoArgs,
		Short: "The child process of engine dev",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := dev.UntilParentGone(cmd.Context(), cmd.InOrStdin())
			s, err := devSettings(broker, api, storeDir)
			if err != nil {
				return err
			}
			logger, level, err := telemetry.Logger(cmd.ErrOrStderr(), s.Log.Format, s.Log.Level, false)
			if err != nil {
				return err
			}
			return devServe(ctx, cfg, s, bindings, telemetry.Log{Logger: logger, Level: level})
		},
	}
	f := cmd.Flags()
	f.StringVar(&broker, "kafka", "", "bootstrap address")
	f.StringVar(&api, "api", "", "address of the HTTP API")
	f.StringVar(&storeDir, "store-dir", "", "directory of the stores")
	f.StringVar(&bindings, "bindings", "", "bindings file")
	return cmd
}

// devSettings are the defaults, at the places that the parent chose.
func devSettings(broker, api, storeDir string) (config.Engine, error) {
	flags := pflag.NewFlagSet("dev", pflag.ContinueOnError)
	config.Flags(flags)
	if err := flags.Parse([]string{"--config="}); err != nil {
		return config.Engine{}, err
	}
	s, _, err := config.LoadEngine(flags, nil)
	if err != nil {
		return s, err
	}
	s.Namespace, s.DataDir, s.API.Listen, s.Admin.Listen = devNamespace, storeDir, api, ""
	s.Kafka["bootstrap.servers"] = broker
	s.Topics.Partitions = devPartitions
	s.Log.Format = telemetry.FormatText
	return s, nil
}

// devServe creates the topics and runs engine and worker until ctx ends.
func devServe(ctx context.Context, cfg Config, s config.Engine, bindings string, log telemetry.Log) error {
	opts, _, err := kafka.Connect(s.Kafka, "odradek-dev")
	if err != nil {
		return usage(err)
	}
	if err := devTopics(ctx, cfg, s, opts); err != nil {
		return err
	}
	var w *worker.Worker
	var live *bindingfile.Live
	if bindings != "" {
		if w, live, err = devWorker(ctx, s, bindings, opts, log); err != nil {
			return err
		}
	}
	err = serve(ctx, cfg, s, log)
	if w != nil {
		err = errors.Join(err, w.Stop(context.WithoutCancel(ctx)))
		live.Close()
	}
	return err
}

func devTopics(ctx context.Context, cfg Config, s config.Engine, opts []kafka.Opt) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	cl, err := kafka.NewClient(opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	services, err := cfg.services(s.Topics.Partitions, nil)
	if err != nil {
		return err
	}
	_, err = kafka.CreateTopics(ctx, cl, topology.Deployment{
		Names: topology.Names{Namespace: s.Namespace}, Partitions: s.Topics.Partitions, ReplicationFactor: 1, MinInsyncReplicas: 1,
		Services: services, CanPurge: s.Topics.CanPurge,
	})
	return err
}

// devDrain is how long a stop waits for running calls.
const devDrain = 2 * time.Second

func devWorker(ctx context.Context, s config.Engine, bindings string, opts []kafka.Opt, log telemetry.Log) (*worker.Worker, *bindingfile.Live, error) {
	file, err := bindingfile.Load(bindings, binding.Options{CallbackURL: "http://" + s.API.Listen})
	if err != nil {
		return nil, nil, usage(err)
	}
	live, err := bindingfile.NewLive(file)
	if err != nil {
		return nil, nil, usage(err)
	}
	wc := worker.Config{Namespace: s.Namespace, Kafka: opts, DrainTimeout: devDrain, Logger: log.Logger}
	wc.Handlers, wc.Services = live.Handlers()
	w, err := worker.New(wc)
	if err != nil {
		return nil, nil, usage(err)
	}
	return w, live, w.Start(ctx)
}
