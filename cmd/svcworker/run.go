package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/odradek/odradek/internal/kafka"
	"github.com/odradek/odradek/internal/pulse"
	"github.com/odradek/odradek/internal/telemetry"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
	"github.com/odradek/odradek/worker/bindings"
)

func (a *app) runCommand() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "run --config FILE",
		Short: "Take tasks and call the APIs until a signal",
		Long: `Takes the tasks of the services in FILE. On SIGTERM or SIGINT it takes no more,
lets running calls end within drain_timeout, reports and commits what they gave,
and leaves; a second signal ends it at once, and nothing is lost by that either.

A flag wins over the environment, that over the file, that over the default. The
environment's names are the file's keys: ODRADEK_ADMIN_LISTEN for admin.listen.`,
		Example: "  svcworker run --config configs/svcworker.yaml",
		Args:    cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&config, "config", os.Getenv("ODRADEK_CONFIG"), "the configuration file")
	f.String("bootstrap-servers", "", "brokers as host:port,host:port (ODRADEK_BOOTSTRAP_SERVERS)")
	for _, k := range allSettings() {
		f.String(k.flag, "", k.help+" ("+k.env()+")")
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if config == "" {
			return errors.New("--config FILE is missing")
		}
		given := map[string]string{}
		for _, name := range append([]string{"bootstrap-servers"}, flagNames()...) {
			if v, err := f.GetString(name); err == nil && f.Changed(name) {
				given[name] = v
			}
		}
		return a.serve(cmd.Context(), config, given)
	}
	return cmd
}

func flagNames() (names []string) {
	for _, k := range allSettings() {
		names = append(names, k.flag)
	}
	return names
}

// pulseLate is after what silence a loop of the worker counts as dead: six ticks.
const pulseLate = time.Minute

// serve runs a worker until ctx ends.
func (a *app) serve(ctx context.Context, config string, flags map[string]string) error {
	s, file, err := load(config, flags)
	if err != nil {
		return exitError{exitUsage, err}
	}
	log := a.logger(s)
	cfg := worker.Config{
		Namespace: s.Namespace, Build: version(), CommitInterval: s.Commit, RebalanceTimeout: s.Rebalance, DrainTimeout: s.Drain, Logger: log,
	}
	if s.TokenKey != "" {
		if cfg.TokenKey, err = os.ReadFile(s.TokenKey); err != nil {
			return exitError{exitUsage, fmt.Errorf("task_token_key_file: %w", err)}
		}
		cfg.TokenKey = bytes.TrimSpace(cfg.TokenKey)
	}
	var warnings []string
	if cfg.Kafka, warnings, err = kafka.Connect(s.Kafka, clientID); err != nil {
		return exitError{exitUsage, err}
	}
	for _, w := range warnings {
		log.Warn(w)
	}
	if cfg.SessionTimeout, err = sessionTimeout(s.Kafka); err != nil {
		return exitError{exitUsage, err}
	}
	cfg.HeartbeatInterval = min(time.Second, cfg.SessionTimeout/3) // 0: the default
	live, err := bindings.NewLive(file)
	if err != nil {
		return exitError{exitUsage, err}
	}
	defer live.Close()
	cfg.Handlers, cfg.Services = live.Handlers()
	tasks := make([]string, len(cfg.Handlers))
	for i, h := range cfg.Handlers {
		tasks[i] = h.Service + "." + h.Operation
	}
	m := telemetry.NewWorker(log, version(), tasks)
	cfg.Listener = m.Listener()
	cfg.Kafka = append(cfg.Kafka, kafka.Count(m.Kafka))
	alive := pulse.New(pulseLate, nil)
	cfg.Listener.Beat, cfg.Listener.End = alive.Beat, alive.End
	w, err := worker.New(cfg)
	if err != nil {
		return exitError{exitUsage, err}
	}
	m.Watch(w.Status)
	var adm *admin
	address := ""
	if s.Admin != "" {
		if adm, err = newAdmin(s.Admin, w, m, alive); err != nil {
			return exitError{exitUsage, err}
		}
		address = adm.listener.Addr().String()
		served := make(chan struct{})
		go func() {
			defer close(served)
			if err := adm.server.Serve(adm.listener); !errors.Is(err, http.ErrServerClosed) {
				log.Error("the admin server ended", "err", err)
			}
		}()
		defer func() {
			_ = adm.server.Close()
			<-served
		}()
	}
	if err := w.Start(ctx); err != nil {
		code := exitUnavailable
		if errors.Is(err, worker.ErrConfig) {
			code = exitUsage
		}
		return exitError{code, err}
	}
	log.Info("worker runs", "version", version(), "namespace", s.Namespace, "services", strings.Join(file.Names(), ","), "admin", address)
	if a.ready != nil {
		a.ready(address)
	}
	a.reload(ctx, watched{path: config, opts: binding.Options{CallbackURL: s.Callback}, file: file, live: live, log: log})
	log.Info("worker stops", "drain_timeout", s.Drain)
	if adm != nil {
		adm.Stopping()
	}
	if err := w.Stop(context.WithoutCancel(ctx)); err != nil {
		log.Warn("not all was reported in time; the group redelivers it", "err", err)
	}
	return nil
}

// load reads both halves of the file and tells the problems of both.
func load(path string, flags map[string]string) (settings, *bindings.File, error) {
	s, errSettings := loadSettings(path, flags, false)
	file, errFile := bindings.Load(path, binding.Options{CallbackURL: s.Callback})
	if err := errors.Join(errFile, errSettings); err != nil {
		return s, nil, fmt.Errorf("the configuration is refused:\n%w", err)
	}
	return s, file, nil
}

// logger writes text to terminals and JSON elsewhere, unless the settings say which.
func (a *app) logger(s settings) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(s.LogLevel)) // one of four words
	opts := &slog.HandlerOptions{Level: level}
	if s.LogFormat == "json" || s.LogFormat == "auto" && !isTerminal(a.stderr) {
		return slog.New(slog.NewJSONHandler(a.stderr, opts))
	}
	return slog.New(slog.NewTextHandler(a.stderr, opts))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
