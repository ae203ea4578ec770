package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/odradek/odradek/engine"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == roleEngine { // the shipped engine, with the row's workflow
		os.Args = append(os.Args[:1], os.Args[2:]...)
		serveProfiles(os.Getenv(profileEnv))
		os.Exit(engine.Main(engine.Config{Workflows: definitions()}))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// Roles are first arguments of this binary.
const (
	roleEngine    = "engine"
	roleWorker    = "worker"
	roleClient    = "client"
	roleRawEngine = "raw-engine"
	roleRawWorker = "raw-worker"
	roleRawClient = "raw-client"
	roleScaling   = "scaling" // computes docs/scaling.md; no process of a row's
)

func run(ctx context.Context, args []string) error {
	role := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		role, args = args[0], args[1:]
	}
	if role == roleScaling {
		return writeScaling(filepath.Join("bench", "results"))
	}
	if role == roleAPI || role == roleHTTPClient {
		fs := flag.NewFlagSet(role, flag.ContinueOnError)
		addr := fs.String("addr", "", "of the API")
		if err := fs.Parse(args); err != nil {
			return err
		}
		if role == roleAPI {
			return serveAPI(ctx, *addr)
		}
		return side{}.client(ctx, func(context.Context) (starter, error) { return newHTTPStarter(*addr), nil })
	}
	if role != "" {
		var s side
		fs := flag.NewFlagSet(role, flag.ContinueOnError)
		fs.StringVar(&s.seeds, "seeds", "", "`brokers`")
		fs.StringVar(&s.namespace, "namespace", "", "of the topics")
		name := fs.String("load", chainLoad.name, "the `workload`")
		if err := fs.Parse(args); err != nil {
			return err
		}
		var err error
		if s.load, err = workloadOf(*name); err != nil {
			return err
		}
		serveProfiles(os.Getenv(profileEnv))
		return s.play(ctx, role)
	}
	var cfg config
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.StringVar(&cfg.row, "row", rowAll, "what to measure: "+names(rows())+", or "+rowAll)
	fs.IntVar(&cfg.reps, "reps", 7, "pairs of repetitions")
	fs.BoolVar(&cfg.quick, "quick", false, "under a minute: a look, not a result; writes no files")
	fs.IntVar(&cfg.partitions, "partitions", 1, "of the topics")
	fs.StringVar(&cfg.results, "results", filepath.Join("bench", "results"), "`folder` of the results")
	fs.StringVar(&cfg.goals, "goals", filepath.Join("bench", "goals.json"), "`file` of the goals")
	fs.StringVar(&cfg.profile, "profile", "", "`folder` for CPU and allocation profiles at 1000 in flight")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if cfg.reps < 1 || cfg.partitions < 1 {
		return errors.New("-reps and -partitions are at least 1")
	}
	return cfg.measure(ctx)
}

// play is a role other than the engine's, until ctx ends.
func (s side) play(ctx context.Context, role string) error {
	switch role {
	case roleWorker:
		return s.worker(ctx)
	case roleClient:
		return s.client(ctx, s.newEngineStarter)
	case roleRawEngine:
		return s.rawEngine(ctx)
	case roleRawWorker:
		return s.rawWorker(ctx)
	case roleRawClient:
		return s.client(ctx, s.newRawStarter)
	}
	return fmt.Errorf("there is no role %q", role)
}
