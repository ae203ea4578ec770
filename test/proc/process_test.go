package proc_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/odradek/odradek/test/proc"
)

// longest only guards against a hang.
const longest = time.Minute

// TestMain is also the program that TestProcessesEndWithTheirParent kills.
func TestMain(m *testing.M) {
	if os.Getenv("PROC_TEST_PARENT") != "" {
		var g proc.Group
		p, err := g.Start(proc.Spec{Name: "child", Path: "sleep", Args: []string{"600"}})
		if err != nil {
			panic(err)
		}
		println(p.Pid()) // to standard error
		select {}
	}
	os.Exit(m.Run())
}

func start(t *testing.T, g *proc.Group, s proc.Spec) *proc.Process {
	t.Helper()
	p, err := g.Start(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProcessesEndWithTheirParent(t *testing.T) {
	t.Parallel()
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "PROC_TEST_PARENT=1")
	out, err := parent.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err = parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the child does not run: %v", err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	for late := time.Now().Add(longest); alive(pid); {
		if time.Now().After(late) {
			t.Fatalf("child %d outlived its parent, which was killed", pid)
		}
		time.Sleep(5 * time.Millisecond) // an orphan's end cannot be waited for
	}
}

// alive reports whether a process runs; an ended one that nobody waits for does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err == nil {
		_, after, _ := strings.Cut(string(stat), ") ")
		return !strings.HasPrefix(after, "Z")
	}
	return syscall.Kill(pid, 0) == nil
}

func TestStopSaysHowAProcessEnded(t *testing.T) {
	t.Parallel()
	var g proc.Group
	t.Cleanup(func() { g.Close() })
	ready := func(p *proc.Process) { // the shell's trap is set
		for {
			b, err := os.ReadFile(p.Log)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b), "ready") {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	shell := func(name, script string) *proc.Process {
		p := start(t, &g, proc.Spec{Name: name, Path: "sh", Args: []string{"-c", script}, Log: filepath.Join(t.TempDir(), "log")})
		ready(p)
		return p
	}
	const loop = "; echo ready; while :; do sleep 0.01; done"
	if err := shell("good", "trap 'exit 0' TERM"+loop).Stop(longest); err != nil {
		t.Error(err)
	}
	if err := shell("bad", "trap 'exit 3' TERM"+loop).Stop(longest); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("a process that ended with 3: %v", err)
	}
	if err := shell("deaf", "trap '' TERM"+loop).Stop(10 * time.Millisecond); !errors.Is(err, proc.ErrNotStopped) {
		t.Errorf("a process that does not hear: %v", err)
	}
}

func TestAPausedProcessIsKilled(t *testing.T) {
	t.Parallel()
	var g proc.Group
	p := start(t, &g, proc.Spec{Name: "paused", Path: "sleep", Args: []string{"600"}})
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if p.Running() {
		t.Error("it runs after Close")
	}
	if _, err := g.Start(p.Spec); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a closed group started a process: %v", err)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("a signal to a process that has ended: %v", err)
	}
}
