package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/internal/kafka"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/test/proc"
	"github.com/odradek/odradek/topology"
	"github.com/odradek/odradek/workflows/billing"
	"github.com/odradek/odradek/workflows/billing/apis"
)

// Ports of members: below those of outgoing connections, and not where brokers of
// tests listen (package kafkatest).
const portMin, portMax = 14000, 20900

// Config says what to run.
type Config struct {
	Binaries   Binaries
	Dir        string            // stores, ledgers, logs; made if it is not there
	Kafka      map[string]string // settings under Kafka's names; bootstrap.servers at least
	Namespace  string
	Partitions int
	Engines    int
	Workers    int
	Faults     apis.Faults
	Bindings   string   // of the workers, instead of billing's: its APIs are then not started
	Env        []string // of engines and workers, as KEY=VALUE
}

// System is a deployment. Engines and workers are started by their own methods.
type System struct {
	Engines []*Member
	Workers []*Member
	Names   topology.Names

	cfg    Config
	config string // file of the engines
	apis   *apis.Server
	procs  proc.Group
}

// New starts the APIs and creates the topics. Callers must Close it.
func New(ctx context.Context, cfg Config) (_ *System, err error) {
	s := &System{cfg: cfg, Names: topology.Names{Namespace: cfg.Namespace}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	if cfg.Bindings == "" {
		if s.apis, err = apis.Start(apis.Config{Addr: "127.0.0.1:0", LedgerDir: s.Ledgers(), Faults: cfg.Faults}); err != nil {
			return nil, err
		}
	}
	if err := s.configure(); err != nil {
		return nil, err
	}
	_, err = s.Topics(ctx, "create")
	return s, err
}

// configure writes the configuration files and lays out the members.
func (s *System) configure() error {
	cfg := s.cfg
	var block strings.Builder
	block.WriteString("kafka:\n")
	for _, k := range slices.Sorted(maps.Keys(cfg.Kafka)) {
		v, err := json.Marshal(cfg.Kafka[k])
		if err != nil {
			return err
		}
		fmt.Fprintf(&block, "  %s: %s\n", k, v)
	}
	s.config = filepath.Join(cfg.Dir, "engine.yaml")
	engine := fmt.Sprintf("namespace: %s\n%stopics:\n  partitions: %d\n", cfg.Namespace, block.String(), cfg.Partitions)
	if err := os.WriteFile(s.config, []byte(engine), 0o600); err != nil {
		return err
	}
	worker := filepath.Join(cfg.Dir, "svcworker.yaml")
	bindings := cfg.Bindings
	if bindings == "" {
		bindings = billing.Bindings(s.apis.Addresses())
	}
	text := fmt.Sprintf("namespace: %s\n%s%s", cfg.Namespace, block.String(), bindings)
	if err := os.WriteFile(worker, []byte(text), 0o600); err != nil {
		return err
	}
	addrs, err := freeAddrs(2*cfg.Engines + cfg.Workers)
	if err != nil {
		return err
	}
	for i := range cfg.Engines {
		m := &Member{Name: fmt.Sprintf("engine%d", i+1), API: addrs[2*i], Admin: addrs[2*i+1], env: cfg.Env, group: &s.procs}
		m.Data = filepath.Join(cfg.Dir, m.Name)
		m.spec = proc.Spec{
			Name: m.Name, Path: cfg.Binaries.Engine, Env: cfg.Env, Dir: cfg.Dir, Log: filepath.Join(cfg.Dir, m.Name+".log"),
			Args: []string{"run", "--config", s.config, "--data-dir", m.Data, "--api-listen", m.API, "--admin-listen", m.Admin},
		}
		s.Engines = append(s.Engines, m)
	}
	for i := range cfg.Workers {
		m := &Member{Name: fmt.Sprintf("worker%d", i+1), Admin: addrs[2*cfg.Engines+i], env: cfg.Env, group: &s.procs}
		m.spec = proc.Spec{
			Name: m.Name, Path: cfg.Binaries.Worker, Env: cfg.Env, Dir: cfg.Dir, Log: filepath.Join(cfg.Dir, m.Name+".log"),
			Args: []string{"run", "--config", worker, "--admin-listen", m.Admin},
		}
		s.Workers = append(s.Workers, m)
	}
	return nil
}

// Topics runs `engine topics COMMAND` and gives what it says.
func (s *System) Topics(ctx context.Context, command string) (string, error) {
	cmd := exec.CommandContext(ctx, s.cfg.Binaries.Engine, "topics", command, "--config", s.config)
	cmd.Dir = s.cfg.Dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("engine topics %s: %w\n%s", command, err, out)
	}
	return string(out), err
}

// Members are all engines and workers.
func (s *System) Members() []*Member { return slices.Concat(s.Engines, s.Workers) }

// Start starts all members and waits until they are ready.
func (s *System) Start(ctx context.Context) error {
	for _, m := range s.Members() {
		if err := m.Start(); err != nil {
			return err
		}
	}
	return s.Ready(ctx)
}

// Ready waits until all members are ready.
func (s *System) Ready(ctx context.Context) error {
	for _, m := range s.Members() {
		if err := m.Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends all members that run, in order: workers first, so that engines have
// their last results.
func (s *System) Stop() error {
	var errs []error
	for _, m := range slices.Concat(s.Workers, s.Engines) {
		if m.proc != nil && m.proc.Running() {
			errs = append(errs, m.Stop())
		}
	}
	return errors.Join(errs...)
}

// Close kills what runs and stops the APIs. Files stay.
func (s *System) Close() error {
	err := s.procs.Close()
	if s.apis != nil {
		err = errors.Join(err, s.apis.Close())
		s.apis = nil
	}
	return err
}

// Ledgers is the folder of the APIs' ledgers.
func (s *System) Ledgers() string { return filepath.Join(s.cfg.Dir, "ledgers") }

// Partitions is N.
func (s *System) Partitions() int32 { return int32(s.cfg.Partitions) }

// Topic is the name of a topic of the deployment.
func (s *System) Topic(t record.Topic) string { return s.Names.Topic(t) }

// Options connect a client.
func (s *System) Options() ([]kgo.Opt, error) {
	opts, _, err := kafka.Connect(s.cfg.Kafka, "odradek-test")
	return append(opts, kgo.MetadataMinAge(20*time.Millisecond)), err
}

// Cluster is the name under which engines open their stores.
func (s *System) Cluster(ctx context.Context) (string, error) {
	opts, err := s.Options()
	if err != nil {
		return "", err
	}
	cl, err := kafka.NewClient(opts...)
	if err != nil {
		return "", err
	}
	defer cl.Close()
	_, cluster, err := kafka.Brokers(ctx, cl)
	if err != nil {
		return "", err
	}
	control, err := kafka.ReadControl(ctx, cl, s.Names)
	return cluster + "/" + control.TopicIDs[s.Topic(record.TopicChangelog)], err
}

// StoreDirs are the folders with the engines' stores.
func (s *System) StoreDirs() (dirs []string) {
	for _, e := range s.Engines {
		dirs = append(dirs, filepath.Join(e.Data, s.cfg.Namespace))
	}
	return dirs
}

// NewNamespace gives a namespace that nobody has used.
func NewNamespace(prefix string) string { return fmt.Sprintf("%s%08x", prefix, rand.Uint32()) }
