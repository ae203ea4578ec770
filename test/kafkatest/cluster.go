package kafkatest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/odradek/odradek/test/proc"
)

// Cluster is a running Kafka. One goroutine at a time calls its methods.
type Cluster struct {
	cfg     Config
	dist    distribution
	dir     string
	temp    bool // dir is ours to remove
	id      string
	brokers []*broker
	procs   proc.Group
}

type broker struct {
	id                       int // from 1
	dir                      string
	addr, controller, secure string // host:port
	dirID                    string // of its data folder, for --initial-controllers
	proc                     *proc.Process
}

// Launch gets Kafka if need be and starts a cluster. It returns when the cluster is
// ready (K3). ErrMissing: this host cannot run Kafka. Callers must Close it.
func Launch(ctx context.Context, cfg Config) (_ *Cluster, err error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := &Cluster{cfg: cfg, dir: cfg.Dir}
	if c.dist, err = fetch(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if c.dir == "" {
		c.temp = true
		if c.dir, err = os.MkdirTemp("", "odradek-kafka-"); err != nil {
			return nil, err
		}
	}
	if err := c.format(ctx); err != nil {
		return nil, err
	}
	for _, b := range c.brokers {
		if err := c.start(b); err != nil {
			return nil, err
		}
	}
	return c, c.ready(ctx, cfg.Brokers)
}

// format lays out the brokers and their data folders.
func (c *Cluster) format(ctx context.Context) error {
	addrs, err := freeAddrs(3 * c.cfg.Brokers)
	if err != nil {
		return err
	}
	c.id = uuid()
	for i := range c.cfg.Brokers {
		c.brokers = append(c.brokers, &broker{
			id: i + 1, dir: filepath.Join(c.dir, "broker"+strconv.Itoa(i+1)), dirID: uuid(),
			addr: addrs[3*i], controller: addrs[3*i+1], secure: addrs[3*i+2],
		})
	}
	if c.cfg.Secure {
		if err := os.MkdirAll(c.dir, 0o755); err != nil {
			return err
		}
		if err := c.writeCertificates(); err != nil {
			return fmt.Errorf("make certificates: %w", err)
		}
	}
	for _, b := range c.brokers {
		if err := os.MkdirAll(b.dir, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(b.properties(), []byte(c.properties(b)), 0o600); err != nil {
			return err
		}
		if _, err := c.dist.command(ctx, "kafka.tools.StorageTool", c.formatArgs(b)...); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) formatArgs(b *broker) []string {
	args := []string{"format", "-t", c.id, "-c", b.properties()}
	if len(c.brokers) == 1 {
		args = append(args, "--standalone")
	} else {
		var all []string
		for _, o := range c.brokers {
			all = append(all, fmt.Sprintf("%d@%s:%s", o.id, o.controller, o.dirID))
		}
		args = append(args, "--initial-controllers", strings.Join(all, ","))
	}
	if c.cfg.Secure {
		args = append(args, "--add-scram", fmt.Sprintf("SCRAM-SHA-512=[name=%s,password=%s]", scramUser, scramPassword))
	}
	for name, level := range c.cfg.Features {
		args = append(args, "--feature", fmt.Sprintf("%s=%d", name, level))
	}
	return args
}

func (b *broker) properties() string { return filepath.Join(b.dir, "server.properties") }
func (b *broker) log() string        { return filepath.Join(b.dir, "broker.log") }

func (c *Cluster) start(b *broker) error {
	heap := fmt.Sprintf("-Xmx%dm", c.cfg.HeapMB)
	p, err := c.procs.Start(proc.Spec{
		Name: "broker " + strconv.Itoa(b.id), Path: c.dist.java, Log: b.log(),
		Args: c.dist.jvm(heap, "-Xms256m", "-XX:+UseG1GC", "-Djava.awt.headless=true", "kafka.Kafka", b.properties()),
	})
	b.proc = p
	return err
}

// uuid is a Kafka UUID: 16 bytes in base64 for URLs, not beginning with a dash.
func uuid() string {
	for {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails
		if s := base64.RawURLEncoding.EncodeToString(b[:]); s[0] != '-' {
			return s
		}
	}
}

// Seeds are the brokers' addresses, host:port, without TLS and SASL.
func (c *Cluster) Seeds() []string {
	var seeds []string
	for _, b := range c.brokers {
		seeds = append(seeds, b.addr)
	}
	return seeds
}

// Dir has the brokers' data and logs.
func (c *Cluster) Dir() string { return c.dir }

// Process is broker i's JVM, from 0.
func (c *Cluster) Process(i int) *proc.Process { return c.brokers[i].proc }

// Kill ends broker i, from 0, with SIGKILL.
func (c *Cluster) Kill(i int) error { return c.brokers[i].proc.Kill() }

// Stop ends broker i, from 0, as an operator would.
func (c *Cluster) Stop(i int) error {
	err := c.brokers[i].proc.Stop(time.Minute)
	if s := c.brokers[i].proc.State(); s != nil && s.ExitCode() == 143 {
		return nil // java's code for SIGTERM
	}
	return err
}

// Restart starts broker i, from 0, after Kill or Stop, and returns when the cluster
// is ready with all brokers that run.
func (c *Cluster) Restart(ctx context.Context, i int) error {
	if c.brokers[i].proc.Running() {
		return fmt.Errorf("broker %d is running", i)
	}
	if err := c.start(c.brokers[i]); err != nil {
		return err
	}
	running := 0
	for _, b := range c.brokers {
		if b.proc.Running() {
			running++
		}
	}
	return c.ready(ctx, running)
}

// Close kills the brokers and removes the folder if it is temporary. It is
// idempotent.
func (c *Cluster) Close() error {
	err := c.procs.Close()
	if c.temp && c.dir != "" {
		err = errors.Join(err, os.RemoveAll(c.dir))
	}
	return err
}

// logTail is what people need of the log of a broker that did not start.
func (b *broker) logTail() string {
	const most = 4 << 10
	text, err := os.ReadFile(b.log())
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(text[max(0, len(text)-most):]))
}
