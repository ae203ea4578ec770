package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/odradek/odradek/test/kafkatest"
	"github.com/odradek/odradek/test/system"
	"github.com/odradek/odradek/workflows/billing"
	"github.com/odradek/odradek/workflows/billing/apis"
)

// What the drill does, at least.
const (
	weakRate    = 40 // starts a second
	weakPhase   = 8 * time.Second
	weakLimit   = 5 * time.Minute
	weakRunsMin = 1000
)

// mood is how a service behaves.
type mood string

const (
	fine    mood = "fine"
	down    mood = "down"    // it refuses connections
	slow    mood = "slow"    // it answers after seconds
	garbage mood = "garbage" // it answers 200 with what is not its answer, with or without the effect
	resets  mood = "resets"  // it breaks connections, before the effect or after it
)

// weakLine is the last line of the drill.
type weakLine struct {
	Drill    string       `json:"drill"`
	Seed     uint64       `json:"seed"`
	Hit      map[mood]int `json:"hit"` // requests that each mood met; down: times that it was
	Accepted int          `json:"accepted"`
	Runs     int          `json:"runs"`
	Missing  int          `json:"missing"`
	Doubled  int          `json:"doubled"`
	Open     int          `json:"open"`
	Requests int          `json:"requests"`
	Repeats  int          `json:"repeats"`
	Valid    bool         `json:"valid"`
	OK       bool         `json:"ok"`
	Seconds  float64      `json:"seconds"`
}

func (l *weakLine) good() bool { return l.OK && l.Valid }

// weakService stands before an API and spoils it.
type weakService struct {
	addr  string
	proxy *httputil.ReverseProxy

	mu   sync.Mutex
	mood mood
	hit  map[mood]int
	rng  *rand.Rand
	srv  *http.Server
}

func newWeakService(to string, seed uint64) (*weakService, error) {
	w := &weakService{mood: fine, hit: map[mood]int{}, rng: rand.New(rand.NewPCG(seed, 3)), addr: "127.0.0.1:0"}
	w.proxy = httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: to})
	return w, w.listen()
}

// listen begins to take connections, from the second time on at the same address.
func (w *weakService) listen() error {
	l, err := net.Listen("tcp", w.addr)
	if err != nil {
		return err
	}
	w.addr = l.Addr().String()
	w.srv = &http.Server{Handler: w, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = w.srv.Serve(l) }() // ends with Close
	return nil
}

func (w *weakService) close() { _ = w.srv.Close() }

// become changes the mood.
func (w *weakService) become(m mood) error {
	w.mu.Lock()
	was := w.mood
	w.mood = m
	if m == down {
		w.hit[down]++
	}
	w.mu.Unlock()
	switch {
	case m == down:
		w.close()
	case was == down:
		return w.listen()
	}
	return nil
}

// ServeHTTP answers as the mood is.
func (w *weakService) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	m, effect, late := w.mood, w.rng.IntN(2) == 0, time.Duration(1+w.rng.IntN(3))*time.Second
	w.hit[m]++
	w.mu.Unlock()
	switch m {
	case slow:
		select {
		case <-time.After(late):
		case <-r.Context().Done():
			return
		}
	case garbage:
		if effect {
			w.proxy.ServeHTTP(httptest.NewRecorder(), r)
		}
		rw.Header().Set("Content-Type", "text/html")
		fmt.Fprint(rw, "<html><body>Welcome to the maintenance page</body>")
		return
	case resets:
		if effect {
			w.proxy.ServeHTTP(httptest.NewRecorder(), r)
		}
		panic(http.ErrAbortHandler) // net/http breaks the connection
	}
	w.proxy.ServeHTTP(rw, r)
}

// weak runs billing under load while its payment service is down, slow, answers garbage and
// resets connections, each for a while, and looks at ledgers and runs at the end.
func weak(ctx context.Context, seed uint64, log *journal) (_ *weakLine, err error) {
	line := &weakLine{Drill: "weak-service", Seed: seed}
	defer func() { line.Seconds = log.seconds() }()
	ctx, cancel := context.WithTimeoutCause(ctx, weakLimit, fmt.Errorf("the drill did not end within %s", weakLimit))
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
	at := filepath.Join(dir, "system")
	api, err := apis.Start(apis.Config{Addr: "127.0.0.1:0", LedgerDir: filepath.Join(at, "ledgers")})
	if err != nil {
		return line, err
	}
	defer func() { err = errors.Join(err, api.Close()) }()
	service, err := newWeakService(api.Addresses()["payment"], seed)
	if err != nil {
		return line, err
	}
	defer service.close()
	addresses := maps.Clone(api.Addresses())
	addresses["payment"] = service.addr
	sys, err := system.New(ctx, system.Config{
		Binaries: bin, Dir: at, Kafka: map[string]string{"bootstrap.servers": broker.Seeds()[0]},
		Namespace: "drill", Partitions: 3, Engines: 1, Workers: 1, Bindings: billing.Bindings(addresses),
	})
	if err != nil {
		return line, err
	}
	defer func() { err = errors.Join(err, sys.Close()) }()
	if err := sys.Start(ctx); err != nil {
		return line, err
	}
	l, err := newLoad(sys, time.Second, log)
	if err != nil {
		return line, err
	}
	defer l.close()
	if err := weaken(ctx, l, service, log); err != nil {
		line.Accepted, line.Open = l.counts()
		return line, err
	}
	line.Accepted, line.Open = l.counts()
	if err := sys.Stop(); err != nil {
		return line, err
	}
	j, err := sys.Judge(ctx, l.months())
	if err != nil {
		return line, fmt.Errorf("judge: %w", err)
	}
	for _, p := range j.Problems {
		log.say("wrong: %s", p)
	}
	line.Runs, line.Missing, line.Doubled, line.Requests, line.Repeats = j.Runs, j.Missing, j.Doubled, j.Requests, j.Repeats
	service.mu.Lock()
	line.Hit = maps.Clone(service.hit)
	service.mu.Unlock()
	line.Valid = line.Runs >= weakRunsMin && line.Repeats > 0
	for _, m := range []mood{down, slow, garbage, resets} {
		line.Valid = line.Valid && line.Hit[m] > 0
	}
	line.OK = j.OK() && j.StoreEqual && line.Open == 0
	return line, nil
}

// weaken lets the service have its moods under load, and waits until all runs have closed.
func weaken(ctx context.Context, l *load, service *weakService, log *journal) error {
	watching, stopWatching := context.WithCancel(ctx)
	watched := make(chan error, 1)
	go func() { watched <- l.watch(watching) }()
	loading, stopLoading := context.WithCancel(ctx)
	loaded := make(chan struct{})
	go func() { l.run(loading, weakRate); close(loaded) }()
	defer func() {
		stopLoading()
		stopWatching()
		_, _ = <-loaded, <-watched
	}()
	for _, m := range slices.Concat([]mood{fine}, []mood{down, slow, garbage, resets}, []mood{fine}) {
		accepted, open := l.counts()
		log.say("payment is %s; %d accepted, %d open", m, accepted, open)
		if err := service.become(m); err != nil {
			return err
		}
		select {
		case <-time.After(weakPhase):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	stopLoading()
	<-loaded
	for {
		accepted, open := l.counts()
		if open == 0 {
			log.say("all %d have closed", accepted)
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%d of %d have not closed: %w", open, accepted, context.Cause(ctx))
		}
	}
}
