package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/odradek/odradek/internal/devbroker"
)

// Config says what Run keeps running. All fields but Reset, Listener and Logger are
// required.
type Config struct {
	// DataDir has the broker's folder, the child's stores and its log.
	DataDir string
	// KafkaAddr and HTTPAddr are host:port of the broker and of the child's API. A port
	// that is taken is replaced by a free one, unless Fixed.
	KafkaAddr, HTTPAddr string
	// FixedKafka and FixedHTTP refuse to replace a port: the user asked for it.
	FixedKafka, FixedHTTP bool
	// Reset forgets everything in DataDir first.
	Reset bool
	// Command makes the child's command. Run adds its input and output.
	Command func(at Place) *exec.Cmd
	// Listener is told what happens, from Run's goroutine. Optional.
	Listener func(Event)
	// Logger gets the broker's complaints. Optional.
	Logger *slog.Logger
}

// Place tells the child where everything is.
type Place struct {
	Kafka    string // bootstrap address
	HTTP     string // address to serve the API on
	StoreDir string // for the engine's stores
}

const (
	// stopTimeout bounds how long a child may take to stop before it is killed: more
	// than the 20 s that a service worker gives its running calls.
	stopTimeout = 25 * time.Second
	// unreadyMax is after how many children that never became ready Run gives up (V3).
	unreadyMax = 3
	// restartPause keeps a child that fails at once from being started in a loop. One
	// that was ready is started again at once.
	restartPause = time.Second
	readyPoll    = 50 * time.Millisecond
	logTailBytes = 4 << 10
)

// BrokerDir is where the broker of a data directory keeps its topics.
func BrokerDir(dataDir string) string { return filepath.Join(dataDir, "broker") }

// StoreDir is where the child of a data directory keeps its stores.
func StoreDir(dataDir string) string { return filepath.Join(dataDir, "store") }

// LogPath is the child's log in a data directory.
func LogPath(dataDir string) string { return filepath.Join(dataDir, "engine.log") }

// supervisor is one Run.
type supervisor struct {
	cfg    Config
	at     Place
	log    *os.File
	starts int
}

// Run holds the broker and keeps a child running until ctx is done, then ends both.
func Run(ctx context.Context, cfg Config) (err error) {
	broker, err := openBroker(cfg)
	if err != nil {
		return err
	}
	s := &supervisor{cfg: cfg, at: Place{Kafka: broker.Addr(), StoreDir: StoreDir(cfg.DataDir)}}
	defer func() { // V1
		err = errors.Join(err, broker.Close())
		s.tell(Event{Kind: Stopped})
	}()
	if s.at.HTTP, err = freeAddr(cfg.HTTPAddr, cfg.FixedHTTP); err != nil {
		return err
	}
	if cfg.Reset {
		if err := os.RemoveAll(s.at.StoreDir); err != nil {
			return fmt.Errorf("reset the stores: %w", err)
		}
	}
	if s.log, err = os.OpenFile(LogPath(cfg.DataDir), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return fmt.Errorf("open the child's log: %w", err)
	}
	defer s.log.Close()
	s.tell(Event{Kind: Broker})
	return s.keep(ctx)
}

func openBroker(cfg Config) (*devbroker.Broker, error) {
	bc := devbroker.Config{Dir: BrokerDir(cfg.DataDir), Addr: cfg.KafkaAddr, Reset: cfg.Reset, Logger: cfg.Logger}
	broker, err := devbroker.Open(bc)
	if !cfg.FixedKafka && errors.Is(err, syscall.EADDRINUSE) {
		host, _, _ := net.SplitHostPort(cfg.KafkaAddr)
		bc.Addr = net.JoinHostPort(host, "0")
		broker, err = devbroker.Open(bc)
	}
	return broker, err
}

// freeAddr is addr, or the same host with a free port if its port is taken. The child
// listens on it a moment later.
func freeAddr(addr string, fixed bool) (string, error) {
	ln, err := net.Listen("tcp", addr)
	if !fixed && errors.Is(err, syscall.EADDRINUSE) {
		host, _, _ := net.SplitHostPort(addr)
		ln, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return "", fmt.Errorf("listen on %s for the HTTP API: %w", addr, err)
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// keep starts children until ctx is done or they are no use.
func (s *supervisor) keep(ctx context.Context) error {
	unready := 0
	for {
		ready, err := s.child(ctx)
		if ctx.Err() != nil {
			return err
		}
		if unready++; ready {
			unready = 0
		}
		if unready == unreadyMax {
			return fmt.Errorf("the engine ended %d times before it was ready, the last time with: %w; the end of its log, %s:\n%s", unreadyMax, err, s.log.Name(), s.tail())
		}
		if !ready {
			select {
			case <-time.After(restartPause):
			case <-ctx.Done():
			}
		}
	}
}

// child runs one child to its end. err is how it ended, nil if that was asked for.
func (s *supervisor) child(ctx context.Context) (ready bool, err error) {
	cmd := s.cfg.Command(s.at)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the parent, which stops it in order
	input, err := cmd.StdinPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, fmt.Errorf("start the engine: %w", err)
	}
	s.starts++
	pid := cmd.Process.Pid
	s.tell(Event{Kind: Started, PID: pid})

	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	polling, stopPolling := context.WithCancel(ctx)
	isReady := make(chan bool, 1)
	go func() { isReady <- pollReady(polling, s.at.HTTP) }()
	defer func() {
		stopPolling()
		if isReady != nil {
			<-isReady
		}
	}()
	for {
		select {
		case ok := <-isReady:
			isReady = nil
			if ready = ok; ok {
				s.tell(Event{Kind: Ready, PID: pid})
			}
		case err := <-ended:
			if err == nil {
				err = errors.New("exit status 0")
			}
			s.tell(Event{Kind: Ended, PID: pid, Reason: err.Error()})
			return ready, err
		case <-ctx.Done():
			s.tell(Event{Kind: Stopping, PID: pid})
			return ready, stop(cmd, input, ended)
		}
	}
}

// stop ends a child by its input, or by force if that takes too long.
func stop(cmd *exec.Cmd, input io.Closer, ended <-chan error) error {
	input.Close()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("stop the engine: %w", err)
		}
		return nil
	case <-time.After(stopTimeout):
	}
	err := cmd.Process.Kill()
	return errors.Join(fmt.Errorf("the engine did not stop within %s and was killed", stopTimeout), err, <-ended)
}

// pollReady asks the child until it is ready; false: ctx ended before.
func pollReady(ctx context.Context, addr string) bool {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
		if err != nil {
			return false
		}
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return true
			}
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

func (s *supervisor) tell(e Event) {
	if s.cfg.Listener == nil {
		return
	}
	e.At, e.Kafka, e.HTTP, e.Starts = time.Now(), s.at.Kafka, s.at.HTTP, s.starts
	s.cfg.Listener(e)
}

// tail is the end of the child's log.
func (s *supervisor) tail() string {
	f, err := os.Open(s.log.Name())
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, size-logTailBytes), io.SeekStart)
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
