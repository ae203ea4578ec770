package proc

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Spec says what to start.
type Spec struct {
	Name string   // in errors
	Path string   // the program
	Args []string // without the program
	Env  []string // beyond this program's own, as KEY=VALUE
	Dir  string   // working directory; empty: this program's
	Log  string   // file that gets standard output and error, appended; empty: dropped
}

// Group starts processes and ends them. Its methods may be called by any goroutine.
// The zero value is ready.
type Group struct {
	mu   sync.Mutex
	all  map[*Process]struct{} // that run
	shut bool
}

// theGuard is a process like its children, one for this program.
var theGuard guard

// Process is a program that runs or has run.
type Process struct {
	Spec
	group *Group
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended and was waited for

	mu    sync.Mutex
	state *os.ProcessState // nil while it runs
}

// Start starts a program. It runs until it ends, Kill, Stop or the group's Close.
func (g *Group) Start(s Spec) (*Process, error) {
	cmd := exec.Command(s.Path, s.Args...)
	cmd.Dir = s.Dir
	cmd.Env = append(os.Environ(), s.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // R3
	if s.Log != "" {
		log, err := os.OpenFile(s.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, fmt.Errorf("log of %s: %w", s.Name, err)
		}
		defer log.Close() // the child has its own
		cmd.Stdout, cmd.Stderr = log, log
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return nil, fmt.Errorf("start %s: %w", s.Name, os.ErrClosed)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Name, err)
	}
	p := &Process{Spec: s, group: g, cmd: cmd, ended: make(chan struct{})}
	if g.all == nil {
		g.all = map[*Process]struct{}{}
	}
	g.all[p] = struct{}{}
	err := theGuard.tell("add", cmd.Process.Pid)
	go p.wait()
	if err != nil {
		return nil, errors.Join(err, p.Kill())
	}
	return p, nil
}

func (p *Process) wait() {
	_ = p.cmd.Wait() // the state says how it ended
	_ = theGuard.tell("del", p.cmd.Process.Pid)
	p.mu.Lock()
	p.state = p.cmd.ProcessState
	p.mu.Unlock()
	p.group.mu.Lock()
	delete(p.group.all, p)
	p.group.mu.Unlock()
	close(p.ended)
}

// Pid is the number of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Running reports whether it has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// State is how it ended; nil while it runs.
func (p *Process) State() *os.ProcessState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// CPU is the time that the process took on all cores; zero while it runs.
func (p *Process) CPU() time.Duration {
	if s := p.State(); s != nil {
		return s.UserTime() + s.SystemTime()
	}
	return 0
}

// Signal sends a signal. A process that has ended gets none.
func (p *Process) Signal(sig syscall.Signal) error {
	err := p.cmd.Process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Kill sends SIGKILL and returns when the process has ended.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill %s: %w", p.Name, err)
	}
	<-p.ended
	return nil
}

// Pause sends SIGSTOP, Resume SIGCONT.
func (p *Process) Pause() error { return p.Signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (p *Process) Resume() error { return p.Signal(syscall.SIGCONT) }

// ErrNotStopped is returned by Stop for a process that had to be killed.
var ErrNotStopped = errors.New("did not stop in time and was killed")

// Stop sends SIGTERM and waits; after timeout it kills and returns ErrNotStopped. A
// process that ended with another code than 0 is an error.
func (p *Process) Stop(timeout time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", p.Name, err)
	}
	late := time.NewTimer(timeout)
	defer late.Stop()
	select {
	case <-p.ended:
	case <-late.C:
		return errors.Join(fmt.Errorf("%s %w", p.Name, ErrNotStopped), p.Kill())
	}
	if code := p.State().ExitCode(); code != 0 {
		return fmt.Errorf("%s ended with %v; its log is %s", p.Name, p.State(), p.Log)
	}
	return nil
}

// Close kills whatever runs and starts nothing more. It is idempotent.
func (g *Group) Close() error {
	g.mu.Lock()
	g.shut = true
	var all []*Process
	for p := range g.all {
		all = append(all, p)
	}
	g.mu.Unlock()
	var errs []error
	for _, p := range all {
		errs = append(errs, p.Kill())
	}
	return errors.Join(errs...)
}
