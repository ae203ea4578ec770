package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/test/kafkatest"
	"github.com/odradek/odradek/test/system"
	"github.com/odradek/odradek/workflows/transfer"
)

// What the drill does.
const (
	limitStarts      = 100_000
	limitQuickStarts = 2_000
	limitConnections = 64
	limitOpen        = 20 // calls to each service at the same time
	limitLatency     = time.Millisecond
	limitWarm        = 20 * time.Second
	limitLimit       = 15 * time.Minute
)

// limitLine is the last line of the drill.
type limitLine struct {
	Drill     string  `json:"drill"`
	Starts    int     `json:"starts"`
	Accepted  int     `json:"accepted"`
	Limit     int     `json:"limit"`
	MaxOpen   int     `json:"max_open"` // at either service
	Calls     int64   `json:"calls"`
	Completed int     `json:"completed"`
	StartS    float64 `json:"start_seconds"`
	Valid     bool    `json:"valid"`
	OK        bool    `json:"ok"`
	Seconds   float64 `json:"seconds"`
}

func (l *limitLine) good() bool { return l.OK && l.Valid }

// counted is an API that knows how many requests it has open.
type counted struct {
	open, most, calls atomic.Int64
}

func (c *counted) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	n := c.open.Add(1)
	defer c.open.Add(-1)
	c.calls.Add(1)
	for {
		most := c.most.Load()
		if n <= most || c.most.CompareAndSwap(most, n) {
			break
		}
	}
	time.Sleep(limitLatency)
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, `{"posting":"p"}`)
}

// limit starts workflows as fast as 64 connections send, and sees that all are accepted,
// that the APIs never have more requests open than their limit, over two workers, and that
// all complete.
func limit(ctx context.Context, quick bool, log *journal) (_ *limitLine, err error) {
	line := &limitLine{Drill: "limit", Starts: limitStarts, Limit: limitOpen}
	if quick {
		line.Starts = limitQuickStarts
	}
	defer func() { line.Seconds = log.seconds() }()
	ctx, cancel := context.WithTimeoutCause(ctx, limitLimit, fmt.Errorf("the drill did not end within %s", limitLimit))
	defer cancel()
	dir, err := os.MkdirTemp("", "odradek-drill-")
	if err != nil {
		return line, err
	}
	defer func() {
		if err != nil || !line.good() {
			log.say("logs and stores stay in %s", dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	bin, err := system.Build(ctx, dir, "")
	if err != nil {
		return line, err
	}
	broker, err := kafkatest.Launch(ctx, kafkatest.Config{Dir: filepath.Join(dir, "kafka")})
	if err != nil {
		return line, err
	}
	defer func() { err = errors.Join(err, broker.Close()) }()
	if err := broker.WarmUp(ctx, limitWarm); err != nil { // a cold JVM is several times slower
		return line, err
	}
	bindings := strings.ReplaceAll(transfer.Bindings, "concurrency: 16", fmt.Sprintf("concurrency: %d", limitOpen))
	banks := map[string]*counted{"bank-a": {}, "bank-b": {}}
	for name, bank := range banks {
		srv := httptest.NewServer(bank)
		defer srv.Close()
		bindings = strings.ReplaceAll(bindings, "http://"+name+".internal", srv.URL)
	}
	sys, err := system.New(ctx, system.Config{
		Binaries: bin, Dir: filepath.Join(dir, "system"), Kafka: map[string]string{"bootstrap.servers": broker.Seeds()[0]},
		Namespace: "drill", Partitions: 2, Engines: 1, Workers: 2, Bindings: bindings,
	})
	if err != nil {
		return line, err
	}
	defer func() { err = errors.Join(err, sys.Close()) }()
	if err := sys.Start(ctx); err != nil {
		return line, err
	}
	l, err := newLoad(sys, 0, log)
	if err != nil {
		return line, err
	}
	defer l.close()
	watching, stopWatching := context.WithCancel(ctx)
	watched := make(chan error, 1)
	go func() { watched <- l.watch(watching) }()
	defer func() {
		stopWatching()
		err = errors.Join(err, <-watched)
	}()
	begun := time.Now()
	if err := flood(ctx, l, sys.Engines[0].API, line.Starts); err != nil {
		return line, err
	}
	line.StartS = time.Since(begun).Seconds()
	line.Accepted, _ = l.counts()
	log.say("%d of %d starts are accepted, in %.1f s", line.Accepted, line.Starts, line.StartS)
	for said := time.Now(); ; {
		accepted, open := l.counts()
		if line.Completed = accepted - open; open == 0 {
			break
		}
		if time.Since(said) > 20*time.Second {
			said = time.Now()
			log.say("%d have completed", line.Completed)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return line, fmt.Errorf("%d of %d have not closed: %w", open, accepted, context.Cause(ctx))
		}
	}
	for _, bank := range banks {
		line.MaxOpen = max(line.MaxOpen, int(bank.most.Load()))
		line.Calls += bank.calls.Load()
	}
	// A limit that was never reached would show nothing.
	line.Valid = line.MaxOpen >= limitOpen/2 && line.Calls >= int64(2*line.Starts)
	line.OK = line.Accepted == line.Starts && line.Completed == line.Starts && line.MaxOpen <= limitOpen
	return line, nil
}

// flood sends starts over so many connections, each as soon as the last is answered.
func flood(ctx context.Context, l *load, api string, starts int) error {
	c, err := client.NewHTTP(client.HTTPConfig{URL: "http://" + api})
	if err != nil {
		return err
	}
	defer c.Close()
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, limitConnections)
	for range limitConnections {
		wg.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= starts {
					return
				}
				id := fmt.Sprintf("transfer-%06d", n)
				input, err := json.Marshal(transfer.Order{From: "a", To: "b", Cents: 1})
				if err == nil {
					_, err = c.Start(ctx, client.StartRequest{WorkflowID: id, Type: "transfer", Input: input})
				}
				if err != nil {
					errs <- fmt.Errorf("start %s: %w", id, err)
					return
				}
				l.mu.Lock()
				l.accepted[id] = true
				l.mu.Unlock()
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}
