package proc

import (
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
)

// guardScript keeps the numbers of the processes that run, and kills them when its
// input ends (R1). The numbers are of processes that their parent has not waited
// for, so they are not given out again, but for the moment between wait and "del".
const guardScript = `
pids=" "
while read -r op pid; do
  case $op in
    add) pids="$pids$pid " ;;
    del) pids="${pids%%" $pid "*} ${pids#*" $pid "}" ;;
  esac
done
for pid in $pids; do kill -9 "$pid" 2>/dev/null; done
`

// guard is one per program: it has to outlive it, so nobody stops it.
type guard struct {
	once  sync.Once
	mu    sync.Mutex
	input io.Writer
	err   error
}

func (g *guard) start() {
	cmd := exec.Command("sh", "-c", guardScript)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	input, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	g.input, g.err = input, err
}

func (g *guard) tell(op string, pid int) error {
	g.once.Do(g.start)
	if g.err != nil {
		return fmt.Errorf("start the guard of test processes: %w", g.err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	_, err := fmt.Fprintln(g.input, op, pid)
	return err
}
