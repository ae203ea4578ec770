package apis_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/odradek/odradek/workflows/billing/apis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const month = "2026-01-31T23:00:00Z"

// env is the four APIs, and a client that keeps no connections.
type env struct {
	t      *testing.T
	dir    string
	srv    *apis.Server
	client *http.Client
}

func start(t *testing.T, dir string, f apis.Faults) *env {
	t.Helper()
	srv, err := apis.Start(apis.Config{Addr: "127.0.0.1:0", LedgerDir: dir, Faults: f})
	if err != nil {
		t.Fatal(err)
	}
	e := &env{t: t, dir: dir, srv: srv, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	t.Cleanup(func() { srv.Close() })
	return e
}

func (e *env) url(service, path string) string { return "http://" + e.srv.Addresses()[service] + path }

// pay asks for a payment; status 0: no answer came.
func (e *env) pay(key, customer string, cents int, query string) (status int, answer string, h http.Header) {
	e.t.Helper()
	body := fmt.Sprintf(`{"account": %q, "period_end": %q, "amount": {"value": %d, "currency": "EUR"}}`, customer, month, cents)
	return e.send(http.MethodPost, e.url(apis.ServicePayment, "/v2/payments"+query), key, body)
}

func (e *env) send(method, url, key, body string) (status int, answer string, h http.Header) {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return 0, "", nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "", nil
	}
	return resp.StatusCode, string(b), resp.Header
}

func (e *env) ledger(service string) []apis.Entry {
	e.t.Helper()
	entries, _, err := apis.ReadLedger(apis.LedgerPath(e.dir, service), 0)
	if err != nil {
		e.t.Fatal(err)
	}
	return entries
}

func outcomes(entries []apis.Entry) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%s %s %d", e.Key, e.Outcome, e.Status)
		if e.Lost {
			b.WriteString(" lost")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestOneEffectPerKey: the same request has one effect and one answer (L1), which
// stands in the ledger when it arrives (L2), also after a restart.
func TestOneEffectPerKey(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir(), apis.Faults{})
	status, first, _ := e.pay("k1", "c-1", 700, "")
	if status != http.StatusCreated || !strings.Contains(first, `"payment_id":"pay_000001"`) {
		t.Fatalf("%d %s", status, first)
	}
	if got := e.ledger(apis.ServicePayment); len(got) != 1 || string(got[0].Answer) != first || got[0].Customer != "c-1" || got[0].Month != month {
		t.Fatalf("the ledger has %+v", got)
	}
	e.pay("k2", "c-1", 700, "")
	if err := e.srv.Close(); err != nil {
		t.Fatal(err)
	}
	e = start(t, e.dir, apis.Faults{})
	if status, again, _ := e.pay("k1", "c-1", 700, ""); status != http.StatusCreated || again != first {
		t.Errorf("the second time: %d %s, want %s", status, again, first)
	}
	if _, third, _ := e.pay("k3", "c-1", 700, ""); !strings.Contains(third, "pay_000003") {
		t.Errorf("the third effect after a restart: %s", third)
	}
	const want = "k1 effect 201\nk2 effect 201\nk1 repeat 201\nk3 effect 201\n"
	if got := outcomes(e.ledger(apis.ServicePayment)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestManyAtOnce: requests with one key that come together have one effect and get
// one answer.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir(), apis.Faults{})
	const n = 32
	answers := make([]string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { _, answers[i], _ = e.pay(fmt.Sprintf("k%d", i%4), fmt.Sprintf("c-%d", i%4), 100, "") })
	}
	wg.Wait()
	effects := map[string]int{}
	for _, entry := range e.ledger(apis.ServicePayment) {
		if entry.Outcome == apis.Effect {
			effects[entry.Key]++
		}
	}
	for i := range n {
		if answers[i] == "" || answers[i] != answers[i%4] {
			t.Errorf("key k%d: answered %s and %s", i%4, answers[i], answers[i%4])
		}
	}
	if len(effects) != 4 || effects["k0"] != 1 || effects["k3"] != 1 {
		t.Errorf("effects by key: %v", effects)
	}
}

// TestKeysAndRequestsAreChecked: what no client of an API may do is told and has no
// effect.
func TestKeysAndRequestsAreChecked(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir(), apis.Faults{})
	e.pay("k1", "c-1", 700, "")
	for name, c := range map[string]struct {
		method, service, path, key, body string
		status                           int
		want                             string
	}{
		"key reused":   {"POST", apis.ServicePayment, "/v2/payments", "k1", `{"account":"c-2","period_end":"` + month + `","amount":{"value":1,"currency":"EUR"}}`, 422, "key_reused"},
		"no key":       {"POST", apis.ServicePayment, "/v2/payments", "", `{"account":"c-2","period_end":"` + month + `","amount":{"value":1,"currency":"EUR"}}`, 400, "Idempotency-Key is missing"},
		"no JSON":      {"POST", apis.ServicePayment, "/v2/payments", "k2", "x", 400, "not JSON"},
		"other field":  {"POST", apis.ServicePayment, "/v2/payments", "k2", `{"customer":"c"}`, 400, `unknown field \"customer\"`},
		"no month":     {"POST", apis.ServiceEmail, "/messages", "k2", `{"to":"c","template":"invoice","values":{}}`, 400, "values.period_end"},
		"no instant":   {"GET", apis.ServiceConsumption, "/customers/c/consumption?until=now", "k2", "", 400, `until \"now\" is no instant`},
		"other fault":  {"GET", apis.ServiceConsumption, "/customers/c/consumption?until=" + month + "&fault=500", "k2", "", 400, "use 503, 429 or lost"},
		"other path":   {"GET", apis.ServiceConsumption, "/", "k2", "", 404, ""},
		"other method": {"DELETE", apis.ServicePayment, "/v2/payments", "k2", "", 405, ""},
	} {
		status, answer, _ := e.send(c.method, e.url(c.service, c.path), c.key, c.body)
		if status != c.status || !strings.Contains(answer, c.want) {
			t.Errorf("%s: got %d %s, want %d and %q", name, status, answer, c.status, c.want)
		}
	}
	for _, service := range apis.Services() {
		for _, entry := range e.ledger(service) {
			if entry.Outcome == apis.Effect && entry.Key != "k1" {
				t.Errorf("%s had an effect: %+v", service, entry)
			}
		}
	}
}

// TestFaultsThatWereAskedFor: a refusal has no effect and tells when to come again, a
// lost answer has one, and the next request with the key gets it.
func TestFaultsThatWereAskedFor(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir(), apis.Faults{RetryAfter: 1500 * time.Millisecond})
	for _, fault := range []int{503, 429} {
		if status, _, h := e.pay("k1", "c-1", 700, fmt.Sprintf("?fault=%d", fault)); status != fault || h.Get("Retry-After") != "2" {
			t.Errorf("got %d with %v, want %d", status, h, fault)
		}
	}
	if status, answer, _ := e.pay("k1", "c-1", 700, "?fault=lost"); status != 0 {
		t.Errorf("an answer came: %d %s", status, answer)
	}
	const want = "k1 refused 503\nk1 refused 429\nk1 effect 201 lost\n"
	if got := outcomes(e.ledger(apis.ServicePayment)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestFaultsByRate: they hit about as often as asked for, each key gets through in
// the end with one effect, and the same seed hits the same requests.
func TestFaultsByRate(t *testing.T) {
	t.Parallel()
	run := func(seed int64) string {
		e := start(t, t.TempDir(), apis.Faults{FailRate: 0.2, LoseRate: 0.2, Seed: seed})
		for i := range 100 {
			for status := 0; status != http.StatusCreated; {
				status, _, _ = e.pay(fmt.Sprintf("k%d", i), "c-1", 700, "")
			}
		}
		count := map[apis.Outcome]int{}
		lost := 0
		for _, entry := range e.ledger(apis.ServicePayment) {
			count[entry.Outcome]++
			if entry.Lost {
				lost++
			}
		}
		if count[apis.Effect] != 100 || count[apis.Refused] < 10 || lost < 10 || count[apis.Refused]+lost > 150 {
			t.Errorf("seed %d: %v, %d lost", seed, count, lost)
		}
		return outcomes(e.ledger(apis.ServicePayment))
	}
	first, again, other := run(1), run(1), run(2)
	if first != again {
		t.Error("the same seed hit other requests")
	}
	if first == other {
		t.Error("another seed hit the same requests")
	}
}

// TestLedgerAfterACrash: a line that was cut short is removed, what is before it
// stays (L3); a line that is wrong in the middle is told.
func TestLedgerAfterACrash(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir(), apis.Faults{})
	_, first, _ := e.pay("k1", "c-1", 700, "")
	e.pay("k2", "c-2", 700, "")
	if err := e.srv.Close(); err != nil {
		t.Fatal(err)
	}
	path := apis.LedgerPath(e.dir, apis.ServicePayment)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, whole[:len(whole)-9], 0o600); err != nil {
		t.Fatal(err)
	}
	e = start(t, e.dir, apis.Faults{})
	if left, err := os.ReadFile(path); err != nil || !bytes.HasSuffix(left, []byte("\n")) {
		t.Errorf("after the start the ledger has (%v)\n%s", err, left)
	}
	if _, again, _ := e.pay("k1", "c-1", 700, ""); again != first {
		t.Errorf("got %s, want %s", again, first)
	}
	e.pay("k2", "c-2", 700, "")
	if got, want := outcomes(e.ledger(apis.ServicePayment)), "k1 effect 201\nk1 repeat 201\nk2 effect 201\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	bad := filepath.Join(t.TempDir(), "bad.jsonl")
	if err := os.WriteFile(bad, append([]byte("{\n"), whole...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := apis.OpenLedger(bad); err == nil || !strings.Contains(err.Error(), "line 1 is no entry") {
		t.Errorf("got %v", err)
	}
}

// TestReadLedgerGoesOn: a reader from outside gets each entry once, whole lines only.
func TestReadLedgerGoesOn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "payment.jsonl")
	line := func(key string) []byte {
		b, err := json.Marshal(apis.Entry{Key: key})
		if err != nil {
			t.Fatal(err)
		}
		return append(b, '\n')
	}
	all := bytes.Join([][]byte{line("a"), line("b"), line("c")}, nil)
	var got []string
	pos := int64(0)
	for n := 0; n <= len(all); n += 7 {
		if n > 0 {
			if err := os.WriteFile(path, all[:n], 0o600); err != nil {
				t.Fatal(err)
			}
		}
		entries, next, err := apis.ReadLedger(path, pos)
		if err != nil {
			t.Fatal(err)
		}
		pos = next
		for _, e := range entries {
			got = append(got, e.Key)
		}
	}
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
	entries, _, err := apis.ReadLedger(path, pos)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		got = append(got, e.Key)
	}
	if strings.Join(got, "") != "abc" {
		t.Errorf("got %v", got)
	}
}

// TestStartRefusesWhatCannotWork, and leaves nothing open.
func TestStartRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cfg  apis.Config
		want string
	}{
		{apis.Config{Addr: "7101"}, "write host:port"},
		{apis.Config{Addr: "127.0.0.1:65535"}, "the port and the three after it"},
		{apis.Config{Addr: "127.0.0.1:0", Faults: apis.Faults{FailRate: 0.6, LoseRate: 0.4}}, "together they must be below 1"},
		{apis.Config{Addr: "127.0.0.1:0", Faults: apis.Faults{Latency: -1}}, "may not be negative"},
	} {
		c.cfg.LedgerDir = t.TempDir()
		if _, err := apis.Start(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.cfg, err, c.want)
		}
	}
}
