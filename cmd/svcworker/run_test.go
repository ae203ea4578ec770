package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/internal/kafka"
	"github.com/odradek/odradek/internal/pulse"
	"github.com/odradek/odradek/internal/telemetry"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/topology"
)

// TestMain is also the program: a test that kills a worker starts its own binary.
func TestMain(m *testing.M) {
	if os.Getenv("SVCWORKER_TEST_PROGRAM") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// broker is an in-process broker with the topics of one service.
type broker struct {
	t       *testing.T
	address string
	client  *kgo.Client
	next    int
}

func newBroker(t *testing.T) *broker {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(time.Second),
		kfake.SeedTopics(2, "odradek.events", "odradek.tasks.payment"), kfake.SeedTopics(1, "odradek.control", "odradek.cancels", "odradek.status"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	b := &broker{t: t, address: strings.Join(c.ListenAddrs(), ",")}
	b.client = b.connect(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ConsumeTopics("odradek.events"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	control := b.connect()
	if err := kafka.WriteControl(t.Context(), control, topology.Names{Namespace: "odradek"}, kafka.Control{Table: topology.TableZero(2)}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *broker) connect(opts ...kgo.Opt) *kgo.Client {
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(strings.Split(b.address, ",")...))...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(cl.Close)
	return cl
}

// put writes tasks of payment.request as the engine does.
func (b *broker) put(n int) {
	b.t.Helper()
	for range n {
		id := record.TaskID{Run: record.DeriveRunID(fmt.Sprint(b.next), record.Origin{}, 1), No: 3}
		rec := &kgo.Record{
			Topic: "odradek.tasks.payment", Partition: int32(b.next % 2), Key: fmt.Appendf(nil, "customer-%d", b.next),
			Value: fmt.Appendf(nil, `{"customer":"c-%d","cents":%d}`, b.next, b.next),
			Headers: []kgo.RecordHeader{
				{Key: "od-op", Value: []byte("request")}, {Key: "od-task", Value: []byte(id.String())},
				{Key: "od-attempt", Value: []byte("1")}, {Key: "od-type", Value: []byte("monthly")},
			},
		}
		b.next++
		if err := b.client.ProduceSync(b.t.Context(), rec).FirstErr(); err != nil {
			b.t.Fatal(err)
		}
	}
}

// results reads events until n tasks have one, and counts them by workflow.
func (b *broker) results(n int) map[string]int {
	b.t.Helper()
	out := map[string]int{}
	for len(out) < n {
		fs := b.client.PollFetches(b.t.Context())
		if err := fs.Err(); err != nil {
			b.t.Fatal(err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			for _, h := range r.Headers {
				if h.Key == "od-event" && string(h.Value) != "completed" {
					b.t.Errorf("event %s of %s: %s", h.Value, r.Key, r.Value)
				}
			}
			out[string(r.Key)]++
		})
	}
	return out
}

// committed waits until the group's commit of the partition is at the offset or beyond.
func (b *broker) committed(partition int32, offset int64) {
	b.t.Helper()
	adm := kadm.NewClient(b.client)
	for {
		got, err := adm.FetchOffsets(b.t.Context(), "odradek.payment")
		if err != nil {
			b.t.Fatal(err)
		}
		if at, ok := got.Lookup("odradek.tasks.payment", partition); ok && at.At >= offset {
			return
		}
	}
}

// ledger is a payment API that remembers each request.
type ledger struct {
	mu   sync.Mutex
	keys map[string][]string // by account
	hold chan struct{}       // requests of accounts in held wait for it
	held map[string]chan<- struct{}
}

func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct{ Account string }
	body, _ := io.ReadAll(r.Body)
	if err := json.Unmarshal(body, &in); err != nil {
		http.Error(w, "not JSON", http.StatusBadRequest)
		return
	}
	l.mu.Lock()
	l.keys[in.Account] = append(l.keys[in.Account], r.Header.Get("Idempotency-Key"))
	first := len(l.keys[in.Account]) == 1
	held := l.held[in.Account]
	l.mu.Unlock()
	if first && held != nil {
		held <- struct{}{}
		select {
		case <-l.hold:
		case <-r.Context().Done():
		}
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"payment_id":"pay_%s"}`, in.Account)
}

func config(t *testing.T, api, more string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "svcworker.yaml")
	text := more + `
admin: {listen: "127.0.0.1:0"}
services:
  payment:
    base_url: ` + api + `
    tasks:
      request:
        path: /payments
        body: {account: "{customer}", amount: "{cents}"}
        result: {id: "{payment_id}"}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRunServesUntilTheSignal: tasks become calls and events, metrics and health tell
// of it, and the end is clean.
func TestRunServesUntilTheSignal(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	l := &ledger{keys: map[string][]string{}}
	api := httptest.NewServer(l)
	t.Cleanup(api.Close)
	path := config(t, api.URL, "kafka: {bootstrap.servers: \""+b.address+"\"}")
	ready := make(chan string, 1)
	var stderr bytes.Buffer
	a := &app{stdout: io.Discard, stderr: &stderr, ready: func(admin string) { ready <- admin }}
	ctx, cancel := context.WithCancel(t.Context())
	exit := make(chan int, 1)
	go func() { exit <- a.run(ctx, []string{"run", "--config", path}) }()
	b.put(20)
	if got := b.results(20); len(got) != 20 {
		t.Fatalf("%d results", len(got))
	}
	var admin string
	select {
	case admin = <-ready:
	case code := <-exit:
		t.Fatalf("exit %d: %s", code, stderr.String())
	}
	for path, want := range map[string]string{
		"/livez": "ok", "/readyz": "ok", "/status": `"Service": "payment"`,
		"/metrics": "odradek_worker_calls_total{outcome=\"completed\",service=\"payment\",task=\"request\"} 20\n",
	} {
		if got := get(t, "http://"+admin+path); !strings.Contains(got, want) {
			t.Errorf("%s answers\n%s\nwithout %q", path, got, want)
		}
	}
	cancel()
	if code := <-exit; code != exitOK {
		t.Fatalf("exit %d: %s", code, stderr.String())
	}
	if len(l.keys) != 20 {
		t.Fatalf("%d accounts were called", len(l.keys))
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s %v", url, resp.StatusCode, body, err)
	}
	return string(body)
}

// TestLiveIsATickingLoop: a worker whose loop stands still is not alive; one whose loop
// has ended in order is.
func TestLiveIsATickingLoop(t *testing.T) {
	t.Parallel()
	now := time.Now()
	p := pulse.New(pulseLate, func() time.Time { return now })
	a, err := newAdmin("127.0.0.1:0", nil, telemetry.NewWorker(nil, "v1", nil), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.listener.Close() })
	live := func(code int, text string) {
		t.Helper()
		rw := httptest.NewRecorder()
		a.server.Handler.ServeHTTP(rw, httptest.NewRequest("GET", "/livez", nil))
		if rw.Code != code || !strings.Contains(rw.Body.String(), text) {
			t.Errorf("%d %s, want %d with %q", rw.Code, rw.Body, code, text)
		}
	}
	live(200, "ok")
	p.Beat("poll of service payment")
	now = now.Add(pulseLate)
	live(200, "ok")
	now = now.Add(time.Second)
	live(503, "poll of service payment")
	p.End("poll of service payment")
	live(200, "ok")
}

// TestKillNineInMidCall: a real process is killed while calls are under way; the next
// one makes them again with the same keys, and each task has its result.
func TestKillNineInMidCall(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	entered := make(chan struct{}, 2)
	l := &ledger{keys: map[string][]string{}, hold: make(chan struct{}), held: map[string]chan<- struct{}{"c-3": entered, "c-8": entered}}
	api := httptest.NewServer(l)
	t.Cleanup(api.Close)
	t.Cleanup(func() { close(l.hold) })
	path := config(t, api.URL, "kafka: {bootstrap.servers: \""+b.address+"\", session.timeout.ms: 1000}")
	start := func() *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "run", "--config", path, "--log-format", "json")
		cmd.Env = append(os.Environ(), "SVCWORKER_TEST_PROGRAM=1")
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() {
			for s := bufio.NewScanner(stderr); s.Scan(); {
				t.Log(s.Text())
			}
		}()
		return cmd
	}
	b.put(12)
	first := start()
	<-entered
	<-entered
	seen := b.results(10)
	b.committed(0, 4) // as far as the calls under way allow: c-8 is the 5th of partition 0,
	b.committed(1, 1) // c-3 the 2nd of partition 1
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	second := start()
	for k, n := range b.results(2) {
		seen[k] += n
	}
	if err := second.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := second.Wait(); err != nil {
		t.Errorf("the second worker ended with %v", err)
	}
	if len(seen) != 12 {
		t.Errorf("%d of 12 tasks have results", len(seen))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for account, keys := range l.keys {
		for _, k := range keys {
			if k != keys[0] {
				t.Errorf("account %s was called with the keys %q", account, keys)
			}
		}
	}
	if len(l.keys["c-3"]) != 2 || len(l.keys["c-8"]) != 2 {
		t.Errorf("the calls under way were made %d and %d times, want twice", len(l.keys["c-3"]), len(l.keys["c-8"]))
	}
}

// TestRunRefuses: each reason has its exit code and its fix.
func TestRunRefuses(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	api := "http://127.0.0.1:1"
	other := config(t, api, "kafka: {bootstrap.servers: \""+b.address+"\"}")
	text, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other, bytes.ReplaceAll(text, []byte("payment:"), []byte("email:")), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no file":       {[]string{"run"}, exitUsage, "--config FILE is missing"},
		"file missing":  {[]string{"run", "--config", "/nonexistent.yaml"}, exitUsage, "no such file"},
		"unknown flag":  {[]string{"run", "--confg", "x"}, exitUsage, "unknown flag: --confg"},
		"bad flag":      {[]string{"run", "--config", config(t, api, "kafka: {bootstrap.servers: a:1}"), "--log-level", "loud"}, exitUsage, `flag --log-level: log.level: "loud" is not one of debug, info, warn, error`},
		"bad file":      {[]string{"run", "--config", config(t, api, "kafka: {bootstrap.servers: a:1}\nlogg: {}")}, exitUsage, `svcworker.yaml:2: logg: this key is not known. Did you mean "log"?`},
		"topic missing": {[]string{"run", "--config", other}, exitUnavailable, "topic is missing: odradek.tasks.email of service email; run `engine topics create`"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			a := &app{stdout: io.Discard, stderr: &stderr}
			if code := a.run(t.Context(), c.args); code != c.code || !strings.Contains(stderr.String(), c.want) {
				t.Errorf("exit %d, want %d\n%s\nwithout %q", code, c.code, stderr.String(), c.want)
			}
		})
	}
}
