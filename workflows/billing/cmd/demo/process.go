package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"
)

// process is a program that the demo started. It ends when its standard input does,
// so none outlives the demo, however that ends.
type process struct {
	name  string
	cmd   *exec.Cmd
	input io.Closer
	lines chan string // of its standard output; closed at its end
	ended chan error
}

// begin starts a program. What it writes to its standard error goes to log.
func begin(name string, log io.Writer, path string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(path, args...), lines: make(chan string, 64), ended: make(chan error, 1)}
	p.cmd.Stderr = log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the demo, which ends them in order
	input, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.input = input
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		scan := bufio.NewScanner(out)
		for scan.Scan() {
			p.lines <- scan.Text()
		}
		close(p.lines)
		p.ended <- p.cmd.Wait()
	}()
	return p, nil
}

// stop ends the program and waits for it; what it still writes is dropped.
func (p *process) stop(timeout time.Duration) error {
	p.input.Close()
	late := time.After(timeout)
	killed := false
	for {
		select {
		case _, open := <-p.lines:
			if !open {
				p.lines = nil
			}
		case err := <-p.ended:
			if killed {
				return fmt.Errorf("%s did not stop within %s and was killed", p.name, timeout)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			return nil
		case <-late:
			killed = true
			if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
	}
}
