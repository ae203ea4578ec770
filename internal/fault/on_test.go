//go:build odradek_test

package fault

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestKillAtThePoint runs itself with a plan and sees that the third pass is the last.
func TestKillAtThePoint(t *testing.T) {
	t.Parallel()
	if os.Getenv("ODRADEK_FAULT_POINT") != "" {
		for range 5 {
			_, _ = os.Stdout.WriteString("pass\n")
			At(BeforeEnd)
			At(AfterEnd)
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestKillAtThePoint$")
	cmd.Env = append(os.Environ(), "ODRADEK_FAULT_POINT=after-end:3")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the process ended with %v, not by SIGKILL", err)
	}
	if n := strings.Count(string(out), "pass"); n != 3 {
		t.Errorf("%d passes, want 3", n)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	p, err := parse("after-add", "early,noack", "-1h")
	if err != nil {
		t.Fatal(err)
	}
	if p.due(BeforeAdd) || !p.due(AfterAdd) || p.due(AfterAdd) {
		t.Error("not due exactly once")
	}
	if len(p.rules) != 2 || p.rules[1] != NoAck || p.clock != -time.Hour {
		t.Errorf("got %v and %v", p.rules, p.clock)
	}
	for _, bad := range [][3]string{{"after", "", ""}, {"after-add:0", "", ""}, {"after-add:x", "", ""}, {"", "earl", ""}, {"", "", "1"}} {
		if _, err := parse(bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("%v is accepted", bad)
		}
	}
}

func TestInjector(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	in := &Injector{Rules: []Rule{LSO}, Fail: func(p Point) error {
		if p == AfterSettle {
			return boom
		}
		return nil
	}}
	if !in.Off(LSO) || in.Off(Early) {
		t.Error("wrong rules")
	}
	if in.At(AfterEnd) != nil || !errors.Is(in.At(AfterSettle), boom) {
		t.Error("wrong points")
	}
}
