package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/odradek/odradek/httpapi"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/httpapi/httpapitest"
)

// network carries requests between instances without sockets, so that tests run in
// virtual time.
type network struct {
	mu    sync.Mutex
	hosts map[string]http.Handler
	down  map[string]bool
	sent  []string // "host METHOD path"
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	n.sent = append(n.sent, r.URL.Host+" "+r.Method+" "+r.URL.EscapedPath())
	h, down := n.hosts[r.URL.Host], n.down[r.URL.Host]
	n.mu.Unlock()
	if h == nil || down {
		return nil, errors.New("connection refused")
	}
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	answered := make(chan *http.Response, 1)
	go func() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, in)
		answered <- w.Result()
	}()
	select {
	case resp := <-answered:
		resp.Request = r
		return resp, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func (n *network) setDown(host string, down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down[host] = down
}

func (n *network) requests() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.sent)
}

// instances are i0, i1, i2 over one Cluster of 4 partitions.
func instances(t *testing.T, change ...func(*httpapi.Config)) (*httpapitest.Cluster, *network, []http.Handler) {
	t.Helper()
	c, n := httpapitest.NewCluster(4), &network{hosts: map[string]http.Handler{}, down: map[string]bool{}}
	var servers []http.Handler
	for i := range 3 {
		cfg := httpapi.Config{Engine: c.Instance(i), InstanceID: fmt.Sprintf("i%d", i), PeerTransport: n}
		for _, f := range change {
			f(&cfg)
		}
		s := newServer(t, cfg)
		servers = append(servers, s)
		n.hosts[cfg.InstanceID] = s
		c.SetAddr(i, cfg.InstanceID)
	}
	return c, n, servers
}

// answered runs the request beside the test.
func answered(h http.Handler, request, body string, headers ...string) <-chan *http.Response {
	ch := make(chan *http.Response, 1)
	go func() { ch <- ask(h, request, body, headers...) }()
	return ch
}

func TestAnyInstanceAnswers(t *testing.T) {
	t.Parallel()
	_, n, s := instances(t)
	w := read[api.Workflow](t, ask(s[1], "POST /v1/workflows?type=greeting&id=a%2Fb", `{"name":"Ada"}`), 201)
	if got := read[api.Workflow](t, ask(s[2], "GET /v1/workflows/a%2Fb", ""), 200); got.RunID != w.RunID {
		t.Errorf("another instance shows run %s, not %s", got.RunID, w.RunID)
	}
	read[api.Signalled](t, ask(s[2], "POST /v1/workflows/a%2Fb/signals/finish", `{"word":"Hi"}`), 200)
	if got := read[api.Workflow](t, ask(s[1], "GET /v1/workflows/a%2Fb/result?wait=30s", ""), 200); string(got.Result) != `{"text":"Hi Ada"}` {
		t.Errorf("result %s", got.Result)
	}
	wantProblem(t, ask(s[1], "POST /v1/workflows?type=greeting&id=a%2Fb", `{"name":"Bob"}`), api.CodeWorkflowIDInUse)
	wantProblem(t, ask(s[1], "GET /v1/workflows/nobody", ""), api.CodeWorkflowNotFound)
	if got := n.requests(); len(got) != 6 || got[1] != "i0 GET /v1/workflows/a%2Fb" {
		t.Errorf("forwarded %q", got)
	}
}

// TestForwardedRequestIsNotForwardedAgain guards H1.
func TestForwardedRequestIsNotForwardedAgain(t *testing.T) {
	t.Parallel()
	_, n, s := instances(t)
	for _, request := range []string{"GET /v1/workflows/w", "GET /v1/workflows/w/result?wait=10s", "POST /v1/workflows?type=echo&id=w", "POST /v1/workflows/w/signals/x"} {
		wantProblem(t, ask(s[1], request, "1", httpapi.ForwardedHeader+": i2"), api.CodeNotOwner)
	}
	if got := n.requests(); len(got) != 0 {
		t.Errorf("forwarded %q", got)
	}
}

func TestInstancesThatDisagreeAskAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, n, s := instances(t)
		c.SetAddr(0, "i2") // i1 believes that i2 is the owner; it is not
		resp := answered(s[1], "POST /v1/workflows?type=echo&id=w", "1")
		time.Sleep(time.Second)
		c.SetAddr(0, "i0")
		read[api.Workflow](t, <-resp, 201)
		if sent := n.requests(); sent[0] != "i2 POST /v1/workflows" || sent[len(sent)-1] != "i0 POST /v1/workflows" || len(sent) > 10 {
			t.Errorf("forwarded %q", sent)
		}
	})
}

// stubborn believes that it owns everything: it stops, and no longer hears of others.
type stubborn struct{ httpapi.Engine }

func (stubborn) Owner(int32) (addr string, self, ok bool) { return "i0", true, true }

func TestInstanceThatWronglyBelievesToOwnHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, n, s := instances(t, func(c *httpapi.Config) {
			if c.InstanceID == "i0" {
				c.Engine = stubborn{c.Engine}
			}
		})
		c.MoveAll(2)
		c.SetAddr(2, "i0") // i1 has not heard of the move yet
		resp := answered(s[1], "POST /v1/workflows?type=echo&id=w", "1")
		time.Sleep(time.Second)
		c.SetAddr(2, "i2")
		began := time.Now()
		read[api.Workflow](t, <-resp, 201)
		if d := time.Since(began); d > time.Second {
			t.Errorf("the true owner was asked %v after it was known", d)
		}
		if sent := n.requests(); sent[0] != "i0 POST /v1/workflows" || sent[len(sent)-1] != "i2 POST /v1/workflows" {
			t.Errorf("forwarded %q", sent)
		}
	})
}

func TestRequestWaitsWhileNobodyOwns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _, s := instances(t)
		c.MoveAll(httpapitest.Nobody)
		resp := answered(s[1], "POST /v1/workflows?type=echo&id=w", "1")
		time.Sleep(10 * time.Second)
		c.MoveAll(2)
		read[api.Workflow](t, <-resp, 201)
	})
}

func TestRequestGivesUpWhenNobodyOwns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _, s := instances(t)
		c.MoveAll(httpapitest.Nobody)
		began := time.Now()
		resp := ask(s[1], "POST /v1/workflows?type=echo&id=w", "1")
		wantProblem(t, resp, api.CodePartitionUnavailable, "partition")
		if resp.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		if d := time.Since(began); d != 30*time.Second {
			t.Errorf("gave up after %v, want the default of 30s", d)
		}
	})
}

// TestOwnerThatDiesIsAskedAgainElsewhere: the connection breaks, another takes over.
func TestOwnerThatDiesIsAskedAgainElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, n, s := instances(t)
		n.setDown("i0", true)
		resp := answered(s[1], "POST /v1/workflows?type=echo&id=w", "1")
		time.Sleep(10 * time.Second)
		c.MoveAll(2)
		read[api.Workflow](t, <-resp, 201)
	})
}

// TestLostReplyIsAskedForAgain guards I1: the command was applied, its answer lost,
// and the second one, with the same command ID, changes nothing.
func TestLostReplyIsAskedForAgain(t *testing.T) {
	t.Parallel()
	for _, entry := range []int{0, 1} { // the owner itself, and another
		synctest.Test(t, func(t *testing.T) {
			c, _, s := instances(t)
			read[api.Workflow](t, ask(s[entry], "POST /v1/workflows?type=greeting&id=w", `{"name":"Ada"}`), 201)
			before := c.Submitted()
			c.LoseReplies(2)
			if got := read[api.Signalled](t, ask(s[entry], "POST /v1/workflows/w/signals/finish", `{"word":"Hi"}`), 200); got.Outcome != api.SignalledOutcomeRepeated {
				t.Errorf("entry %d: the signal is %v, want the answer to its repeat", entry, got.Outcome)
			}
			if n := c.Submitted() - before; n != 3 {
				t.Errorf("entry %d: submitted %d times, want 3", entry, n)
			}
			page := read[api.HistoryPage](t, ask(s[entry], "GET /v1/workflows/w/history", ""), 200)
			if n := strings.Count(fmt.Sprintf("%s", page.Events), `"signal_received"`); n != 1 {
				t.Errorf("entry %d: the signal is %d times in the history", entry, n)
			}
		})
	}
}

// TestUnknownOutcomeIsSaid guards H3: no answer in time is neither yes nor no, and
// the answer names the key with which to ask again.
func TestUnknownOutcomeIsSaid(t *testing.T) {
	t.Parallel()
	for _, entry := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			c, _, s := instances(t)
			read[api.Workflow](t, ask(s[entry], "POST /v1/workflows?type=greeting&id=w", `{"name":"Ada"}`), 201)
			c.DelayReplies(1)
			wantProblem(t, ask(s[entry], "POST /v1/workflows/w/signals/finish", `{"word":"Hi"}`, "Idempotency-Key: k-1"), api.CodeOutcomeUnknown, "Idempotency-Key: k-1")
			if got := read[api.Signalled](t, ask(s[entry], "POST /v1/workflows/w/signals/finish", `{"word":"Hi"}`, "Idempotency-Key: k-1"), 200); got.Outcome != api.SignalledOutcomeRepeated {
				t.Errorf("entry %d: asked again, the signal is %v", entry, got.Outcome)
			}
		})
	}
}

func TestWaitSurvivesAMove(t *testing.T) {
	t.Parallel()
	for _, request := range []string{"GET /v1/workflows/w/result?wait=60s", "POST /v1/workflows?type=greeting&id=w&wait=60s"} {
		synctest.Test(t, func(t *testing.T) {
			c, _, s := instances(t)
			read[api.Workflow](t, ask(s[0], "POST /v1/workflows?type=greeting&id=w", `{"name":"Ada"}`), 201)
			resp := answered(s[1], request, `{"name":"Ada"}`)
			time.Sleep(10 * time.Second)
			c.MoveAll(httpapitest.Nobody)
			time.Sleep(5 * time.Second)
			c.MoveAll(1)
			time.Sleep(5 * time.Second)
			c.MoveAll(2)
			time.Sleep(5 * time.Second)
			read[api.Signalled](t, ask(s[2], "POST /v1/workflows/w/signals/finish", `{"word":"Hi"}`), 200)
			if got := read[api.Workflow](t, <-resp, 200); string(got.Result) != `{"text":"Hi Ada"}` {
				t.Errorf("%s: result %s", request, got.Result)
			}
		})
	}
}

func TestWaitEndsInTimeAlsoBehindAProxy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, _, s := instances(t)
		read[api.Workflow](t, ask(s[0], "POST /v1/workflows?type=greeting&id=w", `{"name":"Ada"}`), 201)
		for wait, want := range map[string]time.Duration{"7s": 7 * time.Second, "1500ms": 1500 * time.Millisecond, "2": 2 * time.Second, "1h": time.Minute, "0s": 0} {
			for _, entry := range []int{0, 1} {
				began := time.Now()
				read[api.Workflow](t, ask(s[entry], "GET /v1/workflows/w/result?wait="+wait, ""), 202)
				if d := time.Since(began); d != want {
					t.Errorf("entry %d: wait=%s took %v", entry, wait, d)
				}
			}
		}
	})
}

// TestWaitCountsFromTheRequest, not from when its owner was found.
func TestWaitCountsFromTheRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _, s := instances(t)
		read[api.Workflow](t, ask(s[0], "POST /v1/workflows?type=greeting&id=w", `{"name":"Ada"}`), 201)
		c.MoveAll(httpapitest.Nobody)
		began := time.Now()
		resp := answered(s[1], "GET /v1/workflows/w/result?wait=20s", "")
		time.Sleep(10 * time.Second)
		c.MoveAll(0)
		read[api.Workflow](t, <-resp, 202)
		if d := time.Since(began); d != 20*time.Second {
			t.Errorf("the answer came after %v, want 20s", d)
		}
	})
}

// TestClientThatLeavesEndsItsRequest: nothing goes on for it.
func TestClientThatLeavesEndsItsRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, _, s := instances(t)
		read[api.Workflow](t, ask(s[0], "POST /v1/workflows?type=greeting&id=w", `{"name":"Ada"}`), 201)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			s[1].ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v1/workflows/w/result?wait=60s", nil).WithContext(ctx))
		}()
		synctest.Wait()
		cancel()
		began := time.Now()
		<-done
		if d := time.Since(began); d != 0 {
			t.Errorf("the request went on for %v", d)
		}
	})
}

func startMany(t *testing.T, s http.Handler, n int) {
	t.Helper()
	for i := range n {
		read[api.Workflow](t, ask(s, fmt.Sprintf("POST /v1/workflows?type=greeting&id=w%02d", i), `{"name":"Ada"}`), 201)
		if i%3 == 0 {
			read[api.Signalled](t, ask(s, fmt.Sprintf("POST /v1/workflows/w%02d/signals/finish", i), `{"word":"Hi"}`), 200)
		}
	}
}

func TestListMergesAllOwners(t *testing.T) {
	t.Parallel()
	c, _, s := instances(t)
	startMany(t, s[0], 30)
	c.Move(1, 1)
	c.Move(2, 2)
	for _, tt := range []struct {
		query string
		want  func(i int) bool
	}{
		{"", func(int) bool { return true }},
		{"&status=running", func(i int) bool { return i%3 != 0 }},
		{"&status=completed&type=greeting", func(i int) bool { return i%3 == 0 }},
		{"&type=echo", func(int) bool { return false }},
	} {
		for _, limit := range []int{1, 7, 30, 1000} {
			var got, want []string
			for i := 29; i >= 0; i-- {
				if tt.want(i) {
					want = append(want, fmt.Sprintf("w%02d", i))
				}
			}
			cursor := ""
			for {
				page := read[api.WorkflowPage](t, ask(s[limit%3], fmt.Sprintf("GET /v1/workflows?limit=%d&cursor=%s%s", limit, cursor, tt.query), ""), 200)
				if page.Partial || len(page.MissingPartitions) > 0 {
					t.Fatalf("partial page: %v", page.MissingPartitions)
				}
				for _, w := range page.Workflows {
					got = append(got, w.WorkflowID)
				}
				if cursor = page.NextCursor; cursor == "" {
					break
				}
				if len(page.Workflows) != limit {
					t.Fatalf("query %q, limit %d: a page of %d with a next one", tt.query, limit, len(page.Workflows))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("query %q, limit %d:\n%v, want\n%v", tt.query, limit, got, want)
			}
		}
	}
}

func TestListOfSomePartitions(t *testing.T) {
	t.Parallel()
	c, _, s := instances(t)
	startMany(t, s[0], 20)
	c.Move(3, 1)
	page := read[api.WorkflowPage](t, ask(s[0], "GET /v1/workflows?partition=0&partition=3", ""), 200)
	for _, w := range page.Workflows {
		if p := c.Instance(0).Partition(w.WorkflowID); p != 0 && p != 3 {
			t.Errorf("%s of partition %d is listed", w.WorkflowID, p)
		}
	}
	if len(page.Workflows) == 0 || len(page.Workflows) == 20 {
		t.Errorf("%d workflows of two of four partitions", len(page.Workflows))
	}
}

// TestListSaysWhatIsMissing guards H5: neither an error nor silence.
func TestListSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, n, s := instances(t)
		startMany(t, s[0], 20)
		c.Move(1, httpapitest.Nobody)
		c.Move(2, 2)
		n.setDown("i2", true)
		began := time.Now()
		page := read[api.WorkflowPage](t, ask(s[0], "GET /v1/workflows?limit=100", ""), 200)
		if !page.Partial || !slices.Equal(page.MissingPartitions, []int32{1, 2}) {
			t.Errorf("partial %v, missing %v; want 1 and 2", page.Partial, page.MissingPartitions)
		}
		if len(page.Workflows) == 0 {
			t.Error("nothing of the partitions that are there")
		}
		if d := time.Since(began); d != 2*time.Second {
			t.Errorf("waited %v for them, want the default of 2s", d)
		}
		resp := answered(s[0], "GET /v1/workflows?limit=100", "")
		time.Sleep(time.Second)
		c.Move(1, 0)
		n.setDown("i2", false)
		if page := read[api.WorkflowPage](t, <-resp, 200); page.Partial || len(page.Workflows) != 20 {
			t.Errorf("when they came back in time: partial %v, %d workflows", page.Partial, len(page.Workflows))
		}
	})
}

// TestListBelievesOnlyTheOwner: an instance that is asked for what it does not own
// says so, at once, and whoever asked says that it is missing.
func TestListBelievesOnlyTheOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _, s := instances(t)
		startMany(t, s[0], 20)
		c.Move(2, 2)
		c.SetAddr(2, "i1")
		began := time.Now()
		page := read[api.WorkflowPage](t, ask(s[1], "GET /v1/workflows?partition=2", "", httpapi.ForwardedHeader+": i0"), 200)
		if d := time.Since(began); !page.Partial || d != 0 {
			t.Errorf("asked by an instance: partial %v after %v", page.Partial, d)
		}
		page = read[api.WorkflowPage](t, ask(s[0], "GET /v1/workflows", ""), 200)
		if !page.Partial || !slices.Equal(page.MissingPartitions, []int32{2}) {
			t.Errorf("partial %v, missing %v; want 2", page.Partial, page.MissingPartitions)
		}
	})
}

// TestOlderOwnerStartsANewerType: only the instance that the client asked refuses a
// type, because during a rolling deploy the owner may be older (S3).
func TestOlderOwnerStartsANewerType(t *testing.T) {
	t.Parallel()
	_, _, s := instances(t, func(c *httpapi.Config) {
		if c.InstanceID == "i0" {
			c.Engine = older{c.Engine}
		}
	})
	read[api.Workflow](t, ask(s[1], "POST /v1/workflows?type=greeting&id=w", `{"name":"Ada"}`), 201)
	wantProblem(t, ask(s[0], "POST /v1/workflows?type=greeting&id=w2", `{"name":"Ada"}`), api.CodeWorkflowTypeUnknown, "it has echo")
}

type older struct{ httpapi.Engine }

func (older) Types() []string { return []string{httpapitest.Echo} }

// TestATypeIsPausedByAllOwners: whoever is asked, each partition gets the command from its
// owner, once; a partition without one is named, and the same command again reaches it.
func TestATypeIsPausedByAllOwners(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _, s := instances(t)
		c.Move(1, 1)
		c.Move(2, 2)
		c.Move(3, httpapitest.Nobody)
		wantProblem(t, ask(s[1], "POST /v1/types/echo/pause?reason=a%20b", "", "Idempotency-Key: k"), api.CodeOutcomeUnknown, "partitions [3]", "Idempotency-Key: k")
		page := read[api.TypePage](t, ask(s[2], "GET /v1/types", ""), 200)
		if !page.Partial || !slices.Equal(page.MissingPartitions, []int32{3}) || page.Types[0].Type != "echo" || !slices.Equal(page.Types[0].PausedPartitions, []int32{0, 1, 2}) {
			t.Errorf("the types are %+v", page)
		}
		c.Move(3, 0)
		done := read[api.TypeDone](t, ask(s[1], "POST /v1/types/echo/pause?reason=a%20b", "", "Idempotency-Key: k"), 200)
		if done.Outcome != api.TypeDoneOutcomeApplied {
			t.Errorf("the last partition: %+v", done)
		}
		if done = read[api.TypeDone](t, ask(s[0], "POST /v1/types/echo/pause", ""), 200); done.Outcome != api.TypeDoneOutcomeRepeated {
			t.Errorf("paused once more: %+v", done)
		}
		page = read[api.TypePage](t, ask(s[2], "GET /v1/types", ""), 200)
		if v := page.Types[0]; page.Partial || len(v.PausedPartitions) != 4 || len(v.Acts) != 1 || v.Acts[0].CommandID != "k" || v.Acts[0].Reason != "a b" || !slices.Equal(v.Acts[0].Partitions, []int32{0, 1, 2, 3}) {
			t.Errorf("the paused type is %+v", page)
		}
		wantProblem(t, ask(s[1], "POST /v1/types/nothing/pause", ""), api.CodeWorkflowTypeUnknown)
		read[api.TypeDone](t, ask(s[1], "POST /v1/types/nothing/resume", ""), 200)
		wantProblem(t, ask(s[1], "POST /v1/types/echo/pause?reason="+strings.Repeat("x", 1025), ""), api.CodeRequestInvalid, "reason")
		wantProblem(t, ask(s[1], "POST /v1/types/echo/resume?partition=4", ""), api.CodeRequestInvalid, "partition")
	})
}

// TestJobsOfAllInstances (H1): any makes, shows and ends a job of another's partition, and
// lists those of all; who asks is the bearer, whatever the body says (H4).
func TestJobsOfAllInstances(t *testing.T) {
	t.Parallel()
	c, _, s := instances(t)
	for p := range int32(4) {
		c.Move(p, int(p)%3)
	}
	const n = 12
	for i := range n {
		j := read[api.Job](t, ask(s[i%3], fmt.Sprintf("POST /v1/jobs?id=j%02d", i), `{"operation":"cancel","filter":"status = running","by":"somebody else"}`), 201)
		if r := j.Report; j.Name != fmt.Sprintf("j%02d", i) || r == nil || r.Spec.By != "anonymous" || r.Spec.Rate != 50 {
			t.Errorf("made: %+v, %+v", j, r)
		}
	}
	for i := range s {
		var got []string
		for cursor := ""; ; {
			page := read[api.JobPage](t, ask(s[i], "GET /v1/jobs?limit=5&cursor="+cursor, ""), 200)
			if page.Partial {
				t.Fatalf("partial page: %v", page.MissingPartitions)
			}
			for _, j := range page.Jobs {
				got = append(got, j.Name)
			}
			if cursor = page.NextCursor; cursor == "" {
				break
			}
		}
		if len(got) != n || got[0] != "j11" || !slices.IsSortedFunc(got, func(a, b string) int { return strings.Compare(b, a) }) {
			t.Errorf("instance %d lists %v", i, got)
		}
		if j := read[api.Job](t, ask(s[i], "GET /v1/jobs/j07", ""), 200); j.Name != "j07" || j.Report == nil {
			t.Errorf("instance %d shows %+v", i, j)
		}
		read[api.Ended](t, ask(s[(i+1)%3], fmt.Sprintf("POST /v1/jobs/j%02d/cancel?reason=enough", i), ""), 200)
		if j := read[api.Job](t, ask(s[i], fmt.Sprintf("GET /v1/jobs/j%02d", i), ""), 200); j.Status != api.StatusCancelled {
			t.Errorf("a cancelled job is %+v", j)
		}
	}
	read[api.Workflow](t, ask(s[0], "POST /v1/workflows?type=greeting&id=job/none", `{"name":"Ada"}`), 201)
	for _, name := range []string{"other", "none"} { // a workflow with the ID of a job is none
		if p := read[api.Problem](t, ask(s[0], "GET /v1/jobs/"+name, ""), 404); !strings.Contains(p.Detail, `no job "`+name+`"`) {
			t.Errorf("%+v", p)
		}
	}
}
