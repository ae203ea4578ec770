package devbroker_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/odradek/odradek/internal/devbroker"
)

// heldDir, if it is set, makes the test binary hold a broker on it until it is killed.
const heldDir = "ODRADEK_TEST_HOLD_BROKER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(heldDir); dir != "" {
		b, err := devbroker.Open(devbroker.Config{Dir: dir})
		fmt.Println(err)
		if err == nil {
			time.Sleep(time.Hour)
			b.Close()
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, dir string, reset bool) *devbroker.Broker {
	t.Helper()
	b, err := devbroker.Open(devbroker.Config{Dir: dir, Reset: reset})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func client(t *testing.T, b *devbroker.Broker, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(b.Addr())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// write commits n records and leaves one in a transaction that is never ended.
func write(t *testing.T, b *devbroker.Broker, n int) {
	t.Helper()
	cl := client(t, b, kgo.TransactionalID("t.0.a"), kgo.DefaultProduceTopic("t"))
	for i := range n {
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(t.Context(), kgo.StringRecord(fmt.Sprint(i))).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := cl.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(t.Context(), kgo.StringRecord("open")).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// committed reads what is committed: n records.
func committed(t *testing.T, b *devbroker.Broker, n int) []string {
	t.Helper()
	cl := client(t, b, kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []string
	for len(got) < n {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatalf("after %v: %v", got, err)
		}
		fs.EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	return got
}

// identity is what the engine knows a cluster and its topic by.
func identity(t *testing.T, b *devbroker.Broker) string {
	t.Helper()
	m, err := kadm.NewClient(client(t, b)).Metadata(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(m.Cluster, m.Topics["t"].ID)
}

func createTopic(t *testing.T, b *devbroker.Broker) {
	t.Helper()
	if _, err := kadm.NewClient(client(t, b)).CreateTopic(t.Context(), 1, 1, nil, "t"); err != nil {
		t.Fatal(err)
	}
}

// TestTopicsOutliveTheBroker: after Close, another broker on the directory has the
// same cluster ID, topic IDs and committed records, and its next owner fences the
// transaction that was left open.
func TestTopicsOutliveTheBroker(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := open(t, dir, false)
	createTopic(t, b)
	write(t, b, 3)
	was := identity(t, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
	b = open(t, dir, false)
	if is := identity(t, b); is != was {
		t.Errorf("was %s, is %s", was, is)
	}
	write(t, b, 2)
	if got := strings.Join(committed(t, b, 5), " "); got != "0 1 2 0 1" {
		t.Errorf("committed: %s", got)
	}
}

// TestTransactionVersion2: the engine refuses a broker without it (P4).
func TestTransactionVersion2(t *testing.T) {
	t.Parallel()
	b := open(t, t.TempDir(), false)
	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(t.Context(), client(t, b))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range resp.FinalizedFeatures {
		if f.Name == "transaction.version" {
			if f.MaxVersionLevel < 2 {
				t.Errorf("level %d", f.MaxVersionLevel)
			}
			return
		}
	}
	t.Error("the feature is not finalized")
}

// TestKilledBrokerIsRecognised: after kill -9 the directory is refused with the fix
// (D2), which works.
func TestKilledBrokerIsRecognised(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := open(t, dir, false)
	createTopic(t, b)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}

	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), heldDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "<nil>\n" {
		t.Fatalf("the other process opened with %s%v", line, err)
	}
	if _, err := devbroker.Open(devbroker.Config{Dir: dir, Reset: true}); !errors.Is(err, devbroker.ErrInUse) || !strings.Contains(err.Error(), fmt.Sprint("process ", cmd.Process.Pid)) {
		t.Errorf("while it runs: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()

	for range 2 { // looking does not make it clean
		_, err = devbroker.Open(devbroker.Config{Dir: dir})
		if !errors.Is(err, devbroker.ErrUnclean) || !strings.Contains(err.Error(), "--reset") {
			t.Fatalf("after kill -9: %v", err)
		}
	}
	b = open(t, dir, true)
	topics, err := kadm.NewClient(client(t, b)).ListTopics(t.Context())
	if err != nil || len(topics) != 0 {
		t.Errorf("after --reset there are %v (%v)", topics.Names(), err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir, false)
}

// TestCloseThatCannotWriteIsNotClean (D3).
func TestCloseThatCannotWriteIsNotClean(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := open(t, dir, false)
	createTopic(t, b)
	// Where a file belongs there is a directory.
	if err := os.RemoveAll(filepath.Join(dir, "kafka", "topics.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "kafka", "topics.json", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err == nil {
		t.Fatal("Close has no error")
	}
	if _, err := devbroker.Open(devbroker.Config{Dir: dir}); !errors.Is(err, devbroker.ErrUnclean) {
		t.Errorf("opened again: %v", err)
	}
}

// TestAddressInUse is told, and leaves the directory as it was.
func TestAddressInUse(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dir := t.TempDir()
	if _, err := devbroker.Open(devbroker.Config{Dir: dir, Addr: ln.Addr().String()}); err == nil || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("got %v", err)
	}
	open(t, dir, false)
}
