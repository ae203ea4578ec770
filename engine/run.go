package engine

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/odradek/odradek/engine/partition"
	"github.com/odradek/odradek/engine/processor"
	"github.com/odradek/odradek/httpapi"
	"github.com/odradek/odradek/internal/config"
	"github.com/odradek/odradek/internal/kafka"
	"github.com/odradek/odradek/internal/telemetry"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
)

func runCommand(cfg Config) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run an engine until a signal",
		Long: `Joins the deployment's instances, takes its share of the partitions over and serves
the HTTP API. On SIGTERM or SIGINT it takes no more, lets open transactions end,
leaves the group and exits with 0; a second signal ends it at once, and nothing is
lost by that either.

A flag wins over the environment (ODRADEK_DATA_DIR for data_dir), that over the file,
that over the default. "engine config print" shows what holds and why.`,
		Example: "  engine run --config engine.yaml\n  engine run --bootstrap-servers broker:9092 --data-dir /var/lib/odradek",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := load(cmd)
			if err != nil {
				return err
			}
			log, err := newLogger(cmd, s)
			if err != nil {
				return usage(err)
			}
			return serve(cmd.Context(), cfg, s, log)
		},
	}
	config.Flags(cmd.Flags())
	return cmd
}

// load reads the configuration of a command with config.Flags.
func load(cmd *cobra.Command) (config.Engine, error) {
	s, _, err := config.LoadEngine(cmd.Flags(), os.Environ())
	if err != nil {
		return s, usage(err)
	}
	return s, nil
}

// newLogger makes the process's log, on standard error.
func newLogger(cmd *cobra.Command, s config.Engine) (telemetry.Log, error) {
	out := cmd.ErrOrStderr()
	f, ok := out.(*os.File)
	logger, level, err := telemetry.Logger(out, s.Log.Format, s.Log.Level, ok && term.IsTerminal(int(f.Fd())))
	return telemetry.Log{Logger: logger, Level: level}, err
}

// startTimeout bounds how long a start waits for Kafka.
const startTimeout = time.Minute

// stopTimeout bounds an orderly stop: lanes give their transactions 2 s.
const stopTimeout = 20 * time.Second

// serve runs one instance until ctx ends.
func serve(ctx context.Context, cfg Config, s config.Engine, log telemetry.Log) error {
	reserve := reserveHeap()
	defer runtime.KeepAlive(reserve)
	tokens, err := apiTokens(s)
	if err != nil {
		return usage(err)
	}
	if err := httpapi.CheckBind(s.API.Listen, tokens, s.API.Insecure); err != nil {
		return usage(err)
	}
	opts, warnings, err := kafka.Connect(s.Kafka, "odradek-engine")
	if err != nil {
		return usage(err)
	}
	for _, w := range warnings {
		log.Warn(w)
	}
	metrics := telemetry.NewEngine(log.Logger)
	metrics.Build(cfg.build())
	opts = append(opts, kafka.Count(metrics.Kafka))
	client := func(more ...kafka.Opt) (*kafka.Client, error) {
		return kafka.NewClient(append(append([]kafka.Opt{}, opts...), more...)...)
	}
	deployed, err := inspect(ctx, cfg, s, client, log.Logger)
	if err != nil {
		return err
	}

	apiListener, err := net.Listen("tcp", s.API.Listen)
	if err != nil {
		return usage(fmt.Errorf("api.listen: %w: choose another address", err))
	}
	defer apiListener.Close()
	host, _ := os.Hostname()
	pc := processor.Config{
		InstanceID:     fmt.Sprintf("%s-%d-%s", host, os.Getpid(), suffix()),
		AdvertisedAddr: advertised(s, apiListener.Addr()),
		DataDir:        s.DataDir,
		Cluster:        deployed.cluster,
		TopicIDs:       deployed.control.TopicIDs,
		Names:          deployed.names,
		Client:         client,
		Listener:       metrics.Listener(),
		Logger:         log.Logger,
		Limits: processor.Limits{
			StoreCacheBytes: s.Store.CacheBytes, StoreMemTableBytes: s.Store.MemTableBytes, StoreDisableWAL: !s.Store.WAL,
		},
		Partition: partition.Config{
			Namespace: s.Namespace, Table: deployed.control.Table, Services: deployed.services, Publish: deployed.publish,
			Definitions: cfg.Workflows, RefuseUnknownTypes: s.RefuseUnknownTypes, CacheRuns: s.Cache.Runs, Build: cfg.build(),
			RetentionCompleted: s.Retention.Completed, RetentionSummary: s.Retention.Summary, Logger: log.Logger,
		},
	}
	pc.Limits.InputRetention = deployed.retention
	if !deployed.canPurge {
		pc.Limits.PurgeEvery = -1
	}
	instance, err := processor.New(pc)
	if err != nil {
		return usage(err)
	}
	instance.SetActive(deployed.control.Active)
	taskKey, err := readKey(s.API.TaskTokenKeyFile)
	if err != nil {
		return usage(fmt.Errorf("api.task_token_key_file: %w", err))
	}
	served := newAPIEngine(instance, deployed.control.Table.Partitions, cfg.Workflows)
	cfg.jobs.Engine = served
	api, err := httpapi.New(httpapi.Config{
		Engine: served, InstanceID: pc.InstanceID,
		Tokens: tokens, Local: !s.API.Insecure, TaskTokenKey: taskKey, Logger: log.Logger, Observe: metrics.Request,
	})
	if err != nil {
		return usage(err)
	}
	admin := metrics.Admin(instance, log)
	running := newServers(log.Logger)
	defer running.stop()
	mux := http.NewServeMux()
	mux.Handle("/v1/", api)
	mux.Handle("GET /livez", admin)
	mux.Handle("GET /readyz", admin)
	running.serve("api", mux, apiListener)
	if s.Admin.Listen != "" {
		adminListener, err := net.Listen("tcp", s.Admin.Listen)
		if err != nil {
			return usage(fmt.Errorf("admin.listen: %w: choose another address", err))
		}
		running.serve("admin", admin, adminListener)
	}

	starting, cancel := context.WithTimeout(ctx, startTimeout)
	err = instance.Start(starting)
	cancel()
	stop := func() error {
		stopping, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		return instance.Stop(stopping)
	}
	if err != nil {
		return errors.Join(unavailable(fmt.Errorf("start the instance: %w", err)), stop())
	}
	log.Info("engine runs", "instance", pc.InstanceID, "namespace", s.Namespace, "build", pc.Partition.Build,
		"api", apiListener.Addr().String(), "partitions", deployed.control.Table.Partitions)

	following, unfollow := context.WithCancel(ctx)
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		followControl(following, client, deployed.names, instance, log.Logger)
	}()
	defer func() { unfollow(); <-followed }()
	var failure error
	select {
	case <-ctx.Done():
		log.Info("engine stops")
	case failure = <-instance.Failed():
		log.Error("engine must be restarted", "err", failure)
	}
	admin.Stopping()
	if err := stop(); err != nil {
		log.Warn("the stop was not orderly; the next owner takes over from what is committed", "err", err)
	}
	return failure
}

// controlEvery is how often an engine looks at the control topic; topology.ActiveSettles is
// twice that.
const controlEvery = topology.ActiveSettles / 2

// followControl follows the numbers of active task partitions until ctx ends.
func followControl(ctx context.Context, client func(...kafka.Opt) (*kafka.Client, error), names topology.Names, instance *processor.Instance, log *slog.Logger) {
	tick := time.NewTicker(controlEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := readActive(ctx, client, names, instance); err != nil && ctx.Err() == nil {
			log.Warn("the control topic was not read again; active task partitions stay as they were", "err", err)
		}
	}
}

func readActive(ctx context.Context, client func(...kafka.Opt) (*kafka.Client, error), names topology.Names, instance *processor.Instance) error {
	cl, err := client()
	if err != nil {
		return err
	}
	defer cl.Close()
	c, err := kafka.ReadControl(ctx, cl, names)
	if err == nil {
		instance.SetActive(c.Active)
	}
	return err
}

// deployed is what the cluster has of the deployment.
type deployed struct {
	cluster   string
	names     topology.Names
	control   kafka.Control
	services  map[string]int32
	publish   map[string]int32
	canPurge  bool
	retention time.Duration // of input; 0: for ever
}

// inspect refuses a broker or topics with which the engine cannot be right.
func inspect(ctx context.Context, cfg Config, s config.Engine, client func(...kafka.Opt) (*kafka.Client, error), log *slog.Logger) (deployed, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	cl, err := client()
	if err != nil {
		return deployed{}, usage(err)
	}
	defer cl.Close()
	_, cluster, err := kafka.Brokers(ctx, cl)
	if err != nil {
		return deployed{}, unreached(s, err)
	}
	warnings, err := kafka.CheckBroker(ctx, cl, s.AllowWeakerBroker)
	if err != nil {
		return deployed{}, unavailable(err)
	}
	for _, w := range warnings {
		log.Warn(w)
	}
	d, err := deployment(ctx, cl, cfg, s)
	if err != nil {
		return deployed{}, err
	}
	c, err := kafka.CheckTopics(ctx, cl, d)
	if err != nil {
		return deployed{}, unavailable(err)
	}
	for _, f := range c.Findings {
		log.Warn("topic is not as planned", "topic", f.Topic, "problem", f.Problem, "fix", f.Fix)
	}
	if fatal := c.Fatal(); len(fatal) > 0 {
		var errs []error
		for _, f := range fatal {
			errs = append(errs, errors.New(f.String()))
		}
		return deployed{}, unavailable(fmt.Errorf("the topics of namespace %q are not usable:\n%w", s.Namespace, errors.Join(errs...)))
	}
	services := d.Services
	for name, m := range c.Services {
		services[name] = m
	}
	publish, err := ownTopics(ctx, cl, cfg, d.Names)
	if err != nil {
		return deployed{}, unavailable(err)
	}
	return deployed{cluster, d.Names, c.Control, services, publish, s.Topics.CanPurge, c.InputRetention}, nil
}

// ownTopics checks the topics that workflows publish to. None of the deployment's own is
// among them: what stands there is the engine's.
func ownTopics(ctx context.Context, cl *kafka.Client, cfg Config, names topology.Names) (map[string]int32, error) {
	for _, t := range cfg.Publish {
		if strings.HasPrefix(t, names.Namespace+".") {
			return nil, fmt.Errorf("topic %q, which engine.Config.Publish names, would be one of the deployment's own: choose a name without the prefix %q", t, names.Namespace+".")
		}
	}
	return kafka.OwnTopics(ctx, cl, names.Topic(record.TopicChangelog), cfg.Publish)
}

// unreached tells which setting to look at.
func unreached(s config.Engine, err error) error {
	return unavailable(fmt.Errorf("reach Kafka at %s: %w; start the brokers, or name others in kafka: bootstrap.servers (--bootstrap-servers)", s.Kafka["bootstrap.servers"], err))
}

// apiTokens are the tokens that let into the API.
func apiTokens(s config.Engine) ([]httpapi.Token, error) {
	var tokens []httpapi.Token
	for _, t := range s.API.Tokens {
		role, err := httpapi.ParseRole(t.Role)
		if err != nil {
			return nil, fmt.Errorf("api.tokens: %s: %w", t.Name, err)
		}
		tokens = append(tokens, httpapi.Token{Name: t.Name, SHA256: t.Hash, Role: role})
	}
	return tokens, nil
}

// advertised is the address at which other instances reach this one's API.
func advertised(s config.Engine, bound net.Addr) string {
	if s.API.Advertise != "" {
		return s.API.Advertise
	}
	host, port, err := net.SplitHostPort(bound.String())
	if err != nil {
		return bound.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		if name, err := os.Hostname(); err == nil {
			host = name
		}
	}
	return net.JoinHostPort(host, port)
}

// suffix tells two starts with the same host and process number apart.
func suffix() string {
	b := make([]byte, 3)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// readKey reads a key from a file, without the line's end; no file is no key.
func readKey(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the key: %w", err)
	}
	const least = 16
	if b = bytes.TrimSpace(b); len(b) < least {
		return nil, fmt.Errorf("the key in %s has %d bytes, at least %d are needed: make one with `openssl rand -hex 32`", path, len(b), least)
	}
	return b, nil
}
