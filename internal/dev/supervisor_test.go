package dev_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/odradek/odradek/internal/dev"
	"github.com/odradek/odradek/internal/devbroker"
)

// childMode makes the test binary a child: "serve ADDR" or "fail".
const childMode = "ODRADEK_TEST_DEV_CHILD"

func TestMain(m *testing.M) {
	switch mode, addr, _ := strings.Cut(os.Getenv(childMode), " "); mode {
	case "serve":
		ctx := dev.UntilParentGone(context.Background(), os.Stdin)
		srv := &http.Server{Addr: addr, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
		go func() {
			<-ctx.Done()
			fmt.Println(context.Cause(ctx))
			srv.Close()
		}()
		if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			fmt.Println(err)
			os.Exit(1)
		}
	case "fail":
		fmt.Println("bindings.yaml:3: this is the reason")
		os.Exit(2)
	default:
		goleak.VerifyTestMain(m)
	}
}

// run is a Run that the test watches.
type run struct {
	t      *testing.T
	dir    string
	events chan dev.Event
	stop   context.CancelFunc
	ended  chan error
}

func start(t *testing.T, dir, mode string, change func(*dev.Config)) *run {
	t.Helper()
	r := &run{t: t, dir: dir, events: make(chan dev.Event, 100), ended: make(chan error, 1)}
	cfg := dev.Config{
		DataDir: dir, KafkaAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0",
		Listener: func(e dev.Event) { r.events <- e },
		Command: func(at dev.Place) *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childMode+"="+mode+" "+at.HTTP)
			return cmd
		},
	}
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() { r.ended <- dev.Run(ctx, cfg) }()
	t.Cleanup(func() {
		cancel()
		<-r.ended
	})
	return r
}

// await gives the next event of a kind, and what came before it.
func (r *run) await(kind dev.Kind) (dev.Event, []dev.Kind) {
	r.t.Helper()
	var before []dev.Kind
	guard := time.After(30 * time.Second)
	for {
		select {
		case e := <-r.events:
			if e.Kind == kind {
				return e, before
			}
			before = append(before, e.Kind)
		case err := <-r.ended:
			r.ended <- err
			r.t.Fatalf("Run ended after %v, before %s: %v", before, kind, err)
		case <-guard:
			r.t.Fatalf("after %v no %s came", before, kind)
		}
	}
}

func (r *run) end() error {
	r.t.Helper()
	r.stop()
	err := <-r.ended
	r.ended <- err
	return err
}

// TestKilledChildComesBack: with another process ID and the same addresses (V2), and
// the end is in order: the child's, then the broker's, whose folder is clean (V1).
func TestKilledChildComesBack(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir(), "serve", nil)
	first, before := r.await(dev.Ready)
	if !slices.Equal(before, []dev.Kind{dev.Broker, dev.Started}) {
		t.Errorf("before the first is ready: %v", before)
	}
	for range 4 { // more often than children that never were ready may end
		if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		ended, _ := r.await(dev.Ended)
		if ended.PID != first.PID || ended.Reason != "signal: killed" {
			t.Errorf("%+v", ended)
		}
		next, _ := r.await(dev.Ready)
		if next.PID == first.PID || next.HTTP != first.HTTP || next.Kafka != first.Kafka {
			t.Errorf("first %+v, then %+v", first, next)
		}
		first = next
	}
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(first.PID, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the child is still there: %v", err)
	}
	if log, err := os.ReadFile(dev.LogPath(r.dir)); err != nil || !strings.Contains(string(log), dev.ErrParentGone.Error()) {
		t.Errorf("the child did not stop by its input: %s (%v)", log, err)
	}
	b, err := devbroker.Open(devbroker.Config{Dir: dev.BrokerDir(r.dir)})
	if err != nil {
		t.Fatalf("the broker's folder: %v", err)
	}
	b.Close()
}

// TestChildThatCannotRun: Run gives up and shows what the child said (V3); the
// broker's folder is clean nevertheless (V1).
func TestChildThatCannotRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := start(t, dir, "fail", nil)
	r.await(dev.Stopped)
	err := <-r.ended
	r.ended <- err
	if err == nil || !strings.Contains(err.Error(), "this is the reason") || !strings.Contains(err.Error(), "exit status 2") {
		t.Errorf("got %v", err)
	}
	b, err := devbroker.Open(devbroker.Config{Dir: dev.BrokerDir(dir)})
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
}

// TestTakenPorts are replaced, unless the user asked for them.
func TestTakenPorts(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	taken := ln.Addr().String()
	r := start(t, t.TempDir(), "serve", func(c *dev.Config) { c.KafkaAddr, c.HTTPAddr = taken, taken })
	e, _ := r.await(dev.Ready)
	if e.Kafka == taken || e.HTTP == taken {
		t.Errorf("%+v, taken was %s", e, taken)
	}
	for _, change := range []func(c *dev.Config){
		func(c *dev.Config) { c.KafkaAddr, c.FixedKafka = taken, true },
		func(c *dev.Config) { c.HTTPAddr, c.FixedHTTP = taken, true },
	} {
		r := start(t, t.TempDir(), "serve", change)
		err := <-r.ended
		r.ended <- err
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), taken) {
			t.Errorf("got %v", err)
		}
	}
}

// TestResetForgets topics and stores, and nothing else.
func TestResetForgets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, path := range []string{dev.StoreDir(dir) + "/0", dev.BrokerDir(dir) + "/kafka/partitions", dir + "/mine"} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	r := start(t, dir, "serve", func(c *dev.Config) { c.Reset = true })
	r.await(dev.Ready)
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dev.StoreDir(dir) + "/0"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the store is still there: %v", err)
	}
	if _, err := os.Stat(dir + "/mine"); err != nil {
		t.Error(err)
	}
}
