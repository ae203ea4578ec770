package httpapi_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/odradek/odradek/httpapi"
	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/httpapi/httpapitest"
)

// pipes is a listener in the test's process: nothing is read that nobody wrote, and what is
// written is read.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	close sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.close.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// served is a server of the API with its timeouts, as the engine runs it; dial connects to it.
func served(t *testing.T, cfg httpapi.Config) (dial func() net.Conn, stop func()) {
	srv := &http.Server{Handler: newServer(t, cfg)}
	httpapi.Config{}.Timeouts(srv)
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(l) })
	return func() net.Conn {
			near, far := net.Pipe()
			l.conns <- far
			return near
		}, func() {
			_ = srv.Close()
			serving.Wait()
		}
}

const start = "POST /v1/workflows?type=echo&id=w HTTP/1.1\r\nHost: engine\r\n"

// TestSlowClientsAreLeft: a client that sends byte by byte, or nothing, or does not read, holds
// a connection for so long and no longer. What it has not sent whole is not done.
func TestSlowClientsAreLeft(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		first, again string // again each second, without end
		after        time.Duration
		says         string
	}{
		"nothing":          {"", "", 10 * time.Second, ""},
		"its request line": {"POST ", "x", 10 * time.Second, "400 Bad Request"},
		"its headers":      {start, "X-A: b\r\n", 10 * time.Second, ""},
		"its body":         {start + "Content-Length: 1000\r\n\r\n", "1", 30 * time.Second, "the body broke off after"},
		"its chunks":       {start + "Transfer-Encoding: chunked\r\n\r\n", "1\r\n1\r\n", 30 * time.Second, "the body broke off after"},
		"its trailers":     {start + "Transfer-Encoding: chunked\r\n\r\n1\r\n1\r\n0\r\n", "X-A: b\r\n", 30 * time.Second, "the body broke off after"},
		"between requests": {"GET /v1/types HTTP/1.1\r\nHost: engine\r\n\r\n", "", 2 * time.Minute, "HTTP/1.1 200 OK"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				dial, stop := served(t, httpapi.Config{Engine: httpapitest.NewCluster(1).Instance(0)})
				began, conn := time.Now(), dial()
				var sending sync.WaitGroup
				sending.Go(func() {
					_, err := io.WriteString(conn, c.first)
					for err == nil && c.again != "" {
						time.Sleep(time.Second)
						_, err = io.WriteString(conn, c.again)
					}
				})
				said, err := io.ReadAll(conn)
				if took := time.Since(began).Truncate(time.Second); err != nil || took != c.after { // the server lingers half a second for what it refuses
					t.Errorf("left after %v of a time that stands still, %v; want %v", took, err, c.after)
				}
				if !strings.Contains(string(said), c.says) || c.says == "" && len(said) > 0 {
					t.Errorf("the answer is %s", said)
				}
				conn.Close()
				sending.Wait()
				check := dial()
				if p := overWire(t, check, "GET /v1/workflows/w HTTP/1.1\r\nHost: engine\r\n\r\n"); p.StatusCode != http.StatusNotFound {
					t.Errorf("it was started: %d", p.StatusCode)
				}
				check.Close()
				stop()
			})
		})
	}
}

// overWire sends a request as it stands, and reads the answer.
func overWire(t *testing.T, conn net.Conn, request string) *http.Response {
	t.Helper()
	var sending sync.WaitGroup
	sending.Go(func() { _, _ = io.WriteString(conn, request) })
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body = io.NopCloser(strings.NewReader(string(body)))
	sending.Wait()
	return resp
}

// TestAClientThatDoesNotReadIsLeft, when the longest wait that it could have asked for is over.
func TestAClientThatDoesNotReadIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dial, stop := served(t, httpapi.Config{Engine: httpapitest.NewCluster(1).Instance(0)})
		began, conn := time.Now(), dial()
		large := `"` + strings.Repeat("x", 100<<10) + `"`
		request := fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", strings.Replace(start, "id=w", "id=w&wait=1s", 1), len(large), large)
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 100)); err != nil { // it has begun to answer
			t.Fatal(err)
		}
		time.Sleep(2*time.Minute - time.Since(began))
		synctest.Wait()
		if said, err := io.ReadAll(conn); err != nil || len(said) > 8<<10 {
			t.Errorf("%d bytes of the answer were left to be read, %v", len(said), err)
		}
		conn.Close()
		stop()
	})
}

// TestWaitsAreNotCutOff: the limits for slow clients leave a request alone that waits for as
// long as it may, with a body and without.
func TestWaitsAreNotCutOff(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{
		"GET":  "GET /v1/workflows/w/result?wait=1m HTTP/1.1\r\nHost: engine\r\n\r\n",
		"POST": "POST /v1/workflows?type=greeting&id=w&wait=1m HTTP/1.1\r\nHost: engine\r\nContent-Length: 14\r\n\r\n" + `{"name":"Ada"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := httpapitest.NewCluster(1)
				read[api.Workflow](t, ask(newServer(t, httpapi.Config{Engine: c.Instance(0)}), "POST /v1/workflows?type=greeting&id=w", `{"name":"Ada"}`), 201)
				dial, stop := served(t, httpapi.Config{Engine: c.Instance(0)})
				began, conn := time.Now(), dial()
				read[api.Workflow](t, overWire(t, conn, request), 202)
				if took := time.Since(began); took != time.Minute {
					t.Errorf("it took %v of a time that stands still", took)
				}
				conn.Close()
				stop()
			})
		})
	}
}

// TestRequestsAreBounded: headers and bodies without end are refused, and not read to their
// end, whatever they are for.
func TestRequestsAreBounded(t *testing.T) {
	t.Parallel()
	chunk := "8000\r\n" + strings.Repeat("1", 0x8000) + "\r\n"
	type bounded struct {
		first, again string
		status       int
		read         int // of it, at most
	}
	cases := map[string]bounded{
		"a request line":         {"GET /v1/types?x=", strings.Repeat("x", 1000), 431, 80 << 10},
		"a header":               {start + "X-A: ", strings.Repeat("x", 1000), 431, 80 << 10},
		"many headers":           {start, "X-A: b\r\n", 431, 80 << 10},
		"a length":               {start + "Content-Length: 99999999999\r\n\r\n", strings.Repeat("1", 1000), 413, 1 << 20},
		"a header that is twice": {start + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "1", 400, 1 << 20},
		"two lengths":            {start + "Content-Length: 1\r\nTransfer-Encoding: gzip\r\n\r\n", "1", 501, 1 << 20},
		"another name":           {"GET /v1/types HTTP/1.1\r\nHost: a b\r\n\r\n", "1", 400, 1 << 20},
	}
	for op := range httpapi.Roles() {
		if method, path, _ := strings.Cut(op, " "); method == "POST" {
			path = strings.NewReplacer("{partition}", "0", "{token}", "AQAAAAAAAZgUmJMJyTLQMvEDAGN1c3RvbWVyLTc", "{", "", "}", "").Replace(path)
			status := 0 // it has no body, or none that it must have
			if strings.Contains(op, "/tasks/") || strings.Contains(op, "{name}") || op == "POST /v1/workflows" || op == "POST /v1/jobs" {
				status = 413
			}
			cases[op] = bounded{"POST " + path + "?type=echo&id=w HTTP/1.1\r\nHost: engine\r\nTransfer-Encoding: chunked\r\n\r\n", chunk, status, 3 << 20}
		}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				dial, stop := served(t, httpapi.Config{Engine: httpapitest.NewCluster(1).Instance(0)})
				conn, taken := dial(), 0
				var sending sync.WaitGroup
				sending.Go(func() {
					n, err := io.WriteString(conn, c.first)
					for taken = n; err == nil && taken < 64<<20; taken += n {
						n, err = io.WriteString(conn, c.again)
					}
				})
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				if c.status != 0 && resp.StatusCode != c.status {
					t.Errorf("the status is %d, want %d", resp.StatusCode, c.status)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				synctest.Wait()
				_, _ = io.Copy(io.Discard, conn) // until the server is done with it
				conn.Close()
				sending.Wait()
				if taken > c.read {
					t.Errorf("%d bytes were read", taken)
				}
				stop()
			})
		})
	}
}
