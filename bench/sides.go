package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/test/kafkatest"
	"github.com/odradek/odradek/test/proc"
)

// running is a side with its processes.
type running struct {
	side
	name    string
	pids    map[string]int // of all processes by role, the broker's too
	profile map[string]string
	procs   *proc.Group
	running []*proc.Process // but the client
	metrics string          // address of the first engine's
	bare    bool            // no topics: nothing of it is counted by the broker
	client  *clientProcess
	started int // workflows, over all loads
}

// bed is the broker and what all sides share.
type bed struct {
	cfg     config
	self    string // this program
	dir     string // logs and stores
	cluster *kafkatest.Cluster
	admin   *kgo.Client
	procs   proc.Group
}

// sideSpec is a side to be opened: the roles of its processes, an empty one is left out.
type sideSpec struct {
	name       string // of its namespace
	load       workload
	partitions int
	engine     string
	engines    int // 0: 1
	worker     string
	client     string
}

// engine is the process that was started last: that of the engine, where there is no
// worker.
func (r *running) engine() *proc.Process { return r.running[len(r.running)-1] }

func (b *bed) common(namespace string) []string {
	return []string{"--bootstrap-servers", strings.Join(b.cluster.Seeds(), ","), "--namespace", namespace}
}

// topics makes a namespace's topics.
func (b *bed) topics(ctx context.Context, namespace string, partitions int) error {
	args := append([]string{roleEngine, "topics", "create", "--topics-partitions", strconv.Itoa(partitions)}, b.common(namespace)...)
	if out, err := exec.CommandContext(ctx, b.self, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("create the topics of %s: %w\n%s", namespace, err, out)
	}
	return nil
}

// engineArgs run the shipped engine with its defaults.
func (b *bed) engineArgs(namespace, dataDir, admin string) []string {
	return append([]string{roleEngine, "run", "--data-dir", dataDir, "--api-listen", "127.0.0.1:0", "--admin-listen", admin}, b.common(namespace)...)
}

// open makes a side's topics and starts its processes.
func (b *bed) open(ctx context.Context, spec sideSpec) (*running, error) {
	r := &running{
		side: side{seeds: strings.Join(b.cluster.Seeds(), ","), namespace: spec.name, load: spec.load}, name: spec.name, procs: &b.procs,
		pids: map[string]int{}, profile: map[string]string{},
	}
	for i := range b.cluster.Seeds() {
		r.pids[fmt.Sprintf("broker%d", i)] = b.cluster.Process(i).Pid()
	}
	if err := b.topics(ctx, spec.name, spec.partitions); err != nil {
		return nil, err
	}
	of := func(role string) []string {
		return []string{role, "-seeds", r.seeds, "-namespace", spec.name, "-load", spec.load.name}
	}
	for i := range max(1, spec.engines) {
		args, role := of(spec.engine), spec.engine
		if spec.engine == roleEngine {
			dir := spec.name
			admin, err := freeAddr()
			if err != nil {
				return nil, err
			}
			if i > 0 {
				dir, role = fmt.Sprintf("%s.%d", dir, i), fmt.Sprint(role, i)
			} else {
				r.metrics = admin
			}
			args = b.engineArgs(spec.name, filepath.Join(b.dir, dir), admin)
		}
		if err := b.start(r, role, args); err != nil {
			return nil, err
		}
	}
	if spec.worker != "" {
		if err := b.start(r, spec.worker, of(spec.worker)); err != nil {
			return nil, err
		}
	}
	var err error
	r.client, err = startClient(b.self, filepath.Join(b.dir, spec.client+".log"), b.profileEnv(r, spec.client), of(spec.client)...)
	if err == nil {
		r.pids[spec.client] = r.client.cmd.Process.Pid
	}
	return r, err
}

// close ends the side's processes, so that the next one has the machine.
func (r *running) close() {
	r.client.close()
	for _, p := range r.running {
		_ = p.Stop(10 * time.Second)
	}
}

func (b *bed) start(r *running, role string, args []string) error {
	p, err := b.procs.Start(proc.Spec{Name: role, Path: b.self, Args: args, Env: b.profileEnv(r, role), Log: filepath.Join(b.dir, r.name+"-"+role+".log")})
	if err == nil {
		r.pids[role] = p.Pid()
		r.running = append(r.running, p)
	}
	return err
}

// profileEnv gives a role an address for its profiles, where they are wanted.
func (b *bed) profileEnv(r *running, role string) []string {
	if b.cfg.profile == "" {
		return nil
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil
	}
	defer ln.Close()
	r.profile[role] = ln.Addr().String()
	return []string{profileEnv + "=" + ln.Addr().String()}
}

// clientProcess is a client that takes loads over a pipe.
type clientProcess struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	enc *json.Encoder
	dec *json.Decoder
	log string
}

func startClient(self, log string, env []string, args ...string) (*clientProcess, error) {
	c := &clientProcess{cmd: exec.Command(self, args...), log: log}
	// It ends with its input, and so with this process however that ends.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.cmd.Env = append(os.Environ(), env...)
	errs, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer errs.Close()
	c.cmd.Stderr = errs
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.enc, c.dec = json.NewEncoder(c.in), json.NewDecoder(bufio.NewReader(out))
	return c, c.cmd.Start()
}

func (c *clientProcess) run(l load) (loaded, error) {
	var r loaded
	err := c.enc.Encode(l)
	if err == nil {
		err = c.dec.Decode(&r)
	}
	if err != nil {
		text, _ := os.ReadFile(c.log)
		return r, fmt.Errorf("the client ended: %w\n%s", err, text)
	}
	return r, nil
}

func (c *clientProcess) close() {
	_ = c.in.Close()
	_ = c.cmd.Wait()
}

// ready waits until a workflow closes on every partition: many of them.
func (r *running) ready() error {
	for range 60 {
		got, err := r.client.run(load{InFlight: 64, Measure: 500 * time.Millisecond})
		if err != nil {
			return err
		}
		if got.Error != "" {
			return fmt.Errorf("%s: %s", r.name, got.Error)
		}
		if r.started = got.Started; got.Completed > 0 {
			return nil
		}
	}
	return fmt.Errorf("%s: nothing closed within 30 s", r.name)
}

// point is one measurement.
type point struct {
	loaded
	PerSecond float64            `json:"wps"`
	CPU       map[string]float64 `json:"cpu_s_per_1000"` // by role, of the whole load
	Noise     float64            `json:"noise"`          // share of the machine's CPU that others took
	Volume    volume             `json:"volume"`         // per workflow
}

// measure runs one load and sees what it cost.
func (b *bed) measure(ctx context.Context, r *running, l load) (point, error) {
	before, err := b.look(ctx, r)
	if err != nil {
		return point{}, err
	}
	begin := time.Now()
	got, err := r.client.run(l)
	if err != nil {
		return point{}, err
	}
	took := time.Since(begin)
	r.started = got.Started
	after, err := b.look(ctx, r)
	if err != nil {
		return point{}, err
	}
	if got.Error != "" {
		return point{}, fmt.Errorf("%s at %d in flight: %s", r.name, l.InFlight, got.Error)
	}
	if got.Completed == 0 {
		return point{}, fmt.Errorf("%s at %d in flight: nothing closed in %v", r.name, l.InFlight, l.Measure)
	}
	p := point{loaded: got, PerSecond: got.perSecond(), CPU: map[string]float64{}, Volume: after.volume.since(before.volume, got.Accepted)}
	ours := time.Duration(0)
	for role, cpu := range after.cpu {
		d := cpu - before.cpu[role]
		ours += d
		p.CPU[strings.TrimRight(strings.TrimPrefix(role, "raw-"), "0123456789")] += d.Seconds() / float64(got.Accepted) * 1000
	}
	p.Noise = max(0, (after.busy-before.busy-ours).Seconds()/(took.Seconds()*float64(cores())))
	return p, nil
}

type sight struct {
	cpu    map[string]time.Duration
	busy   time.Duration
	volume volume
}

func (b *bed) look(ctx context.Context, r *running) (s sight, err error) {
	if !r.bare {
		if s.volume, err = volumeOf(ctx, b.admin, r.namespace); err != nil {
			return s, err
		}
	}
	s.cpu = map[string]time.Duration{}
	for role, pid := range r.pids {
		if s.cpu[role], err = cpuOf(pid); err != nil {
			return s, fmt.Errorf("the process of %s %s has ended; its log is in %s: %w", r.name, role, b.dir, err)
		}
	}
	s.busy, err = cpuBusy()
	return s, err
}
