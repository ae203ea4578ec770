package httpbinding

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
	"github.com/odradek/odradek/worker/binding"
)

// TestASlowAnswerEndsInTime: an API that answers byte by byte, and never ends, is left when the
// attempt's time is up, wherever in its answer it is; whoever it is asked for.
func TestASlowAnswerEndsInTime(t *testing.T) {
	t.Parallel()
	const limit = 30 * time.Second
	var nothing bytes.Buffer
	_ = gzip.NewWriter(&nothing).Close()
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	poll := "poll: {}"
	begun := `{"poll":{"url":"http://slow.example/j","asked":1}}`
	for name, c := range map[string]struct {
		task, details, first string
		again                string // each second, without end
		status               int    // 0: the attempt's time is up; else what the answer said before it
	}{
		"status line":      {"", "", "", "H", 0},
		"headers":          {"", "", head, "X-A: b\r\n", 0},
		"before the final": {"", "", "", "HTTP/1.1 103 Early Hints\r\n\r\n", 0},
		"body":             {"", "", head + "\r\n", "1", 0},
		"chunks":           {"", "", head + "Transfer-Encoding: chunked\r\n\r\n", "1\r\n7\r\n", 0},
		"trailers":         {"", "", head + "Transfer-Encoding: chunked\r\n\r\n1\r\n7\r\n0\r\n", "X-A: b\r\n", 0},
		"gzip of nothing":  {"", "", head + "Content-Encoding: gzip\r\n\r\n", nothing.String(), 0},
		"a text":           {"result: text", "", head + "\r\n", "1", 0},
		"a batch":          {"batch: {}", "", head + "\r\n", "1", 0},
		"a job begun":      {poll, "", "HTTP/1.1 202 Accepted\r\nLocation: /j\r\n\r\n", "1", 0},
		"a job asked for":  {poll, begun, head + "\r\n", "1", 0},
		"a job pending":    {poll, begun, "HTTP/1.1 202 Accepted\r\n\r\n", "1", 0},
		"a failure":        {"", "", "HTTP/1.1 503 Service Unavailable\r\n\r\n", "1", 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, err := Parse("f.yaml", []byte("services:\n  payment:\n    base_url: http://slow.example\n    tasks:\n      charge:\n        path: /jobs\n        timeout: 30s\n"+indent(c.task, 8)), binding.Options{})
				if err != nil {
					t.Fatal(err)
				}
				task := f.Services[0].Tasks[0]
				client, left := dribbling(task.service.client(), c.first, c.again)
				ctx, cancel := context.WithTimeout(t.Context(), task.Timeout) // as the worker does
				defer cancel()
				call := testCall(testInput)
				call.Details = []byte(c.details)
				began := time.Now()
				if task.Batches() {
					err = task.doMany(ctx, client, nil, []*worker.Call{call})[0].Err
				} else {
					_, err = task.do(ctx, client, nil, call)
				}
				failure, answered := errors.AsType[*record.Failure](err)
				if c.status == 0 && !errors.Is(err, context.DeadlineExceeded) || c.status != 0 && (!answered || failure.HTTPStatus != c.status) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(began); took != limit {
					t.Errorf("it took %v of a time that stands still", took)
				}
				left() // the API sees that nobody listens
			})
		})
	}
}

// dribbling connects a client to an API that says first, and then again, a piece each second,
// until nobody listens; left waits for that.
func dribbling(client *http.Client, first, again string) (_ *http.Client, left func()) {
	var said sync.WaitGroup
	client.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		said.Go(func() {
			defer far.Close()
			in := bufio.NewReader(far)
			_, err := http.ReadRequest(in)
			go func() { _, _ = io.Copy(io.Discard, in) }() // its body
			if err == nil {
				_, err = io.WriteString(far, first)
			}
			for err == nil {
				time.Sleep(time.Second)
				_, err = io.WriteString(far, again)
			}
		})
		return near, nil
	}
	return client, said.Wait
}

// TestASlowTokenEndpointEndsInTime: a token endpoint that never ends its answer is left, too,
// after 20 s, and who waits behind an attempt that asks there waits no longer than it may.
func TestASlowTokenEndpointEndsInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		task := bankFile(t, "    base_url: http://api.example\n    auth: {oauth2: {token_url: http://localhost/token, client_id: me, client_secret: s}}\n")
		tokens, left := dribbling(task.service.tokenClient(), "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", " ")
		began := time.Now()
		var attempts sync.WaitGroup
		for _, limit := range []time.Duration{time.Hour, 5 * time.Second, 7 * time.Second} {
			attempts.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				_, err := task.do(ctx, nil, tokens, authCall())
				f, failed := errors.AsType[*record.Failure](err)
				switch took := time.Since(began); {
				case limit == time.Hour && (!failed || f.Code != "token_unavailable" || !f.Retryable || took != 20*time.Second):
					t.Errorf("got %v after %v of a time that stands still", err, took)
				case limit < time.Hour && (!errors.Is(err, context.DeadlineExceeded) || took != limit):
					t.Errorf("who waits at most %v: %v after %v", limit, err, took)
				}
			})
			synctest.Wait() // the first asks, the others wait for it
		}
		attempts.Wait()
		left() // the endpoint sees that nobody listens
	})
}

// raw is an API that reads a request and says what bytes it likes.
func raw(t *testing.T, say func(w *bufio.Writer) error) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.Copy(io.Discard, req.Body) // a connection that is closed on it loses the answer
				w := bufio.NewWriter(conn)
				if say(w) == nil {
					_ = w.Flush()
				}
			}
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-served })
	return "http://" + l.Addr().String()
}

// endless says first, and then again up to so much that no buffer on the way takes it.
func endless(first, again string, whole *atomic.Bool) func(*bufio.Writer) error {
	return func(w *bufio.Writer) error {
		_, err := w.WriteString(first)
		for n := 0; err == nil && n < endlessBytes; n += len(again) {
			_, err = w.WriteString(again)
		}
		whole.Store(err == nil)
		return err
	}
}

const endlessBytes = 64 << 20

// TestAnswerHeadersAreBounded: 64 KB of header lines, however many, and of what comes before
// the answer or behind it, is what is read of an answer.
func TestAnswerHeadersAreBounded(t *testing.T) {
	t.Parallel()
	ok := "HTTP/1.1 200 OK\r\n"
	for name, c := range map[string]struct{ first, again string }{
		"a status line without end":  {"HTTP/1.1 200 ", "O"},
		"a long header":              {ok + "X-A: ", strings.Repeat("x", 1000)},
		"many headers":               {ok, "X-A: b\r\n"},
		"a header in many lines":     {ok + "X-A: b\r\n", " b\r\n"},
		"many answers before it":     {"", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"},
		"many trailers":              {ok + "Transfer-Encoding: chunked\r\n\r\n1\r\n7\r\n0\r\n", "X-A: b\r\n"},
		"a chunk with an extension":  {ok + "Transfer-Encoding: chunked\r\n\r\n1;x=", strings.Repeat("x", 1000)},
		"many chunks with extension": {ok + "Transfer-Encoding: chunked\r\n\r\n", "1;x=" + strings.Repeat("x", 1000) + "\r\n1\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var whole atomic.Bool
			wantNoAnswer(t, bindURL(t, raw(t, endless(c.first, c.again, &whole)), "", "path: /"))
			if whole.Load() {
				t.Error("all of it was read")
			}
		})
	}
	for name, c := range map[string]struct {
		headers string
		taken   bool
	}{
		"a few":               {strings.Repeat("X-A: "+strings.Repeat("x", 93)+"\r\n", 500), true}, // 50 KB
		"a few too many":      {strings.Repeat("X-A: "+strings.Repeat("x", 93)+"\r\n", 700), false},
		"one a little longer": {"X-A: " + strings.Repeat("x", 70<<10) + "\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := bindURL(t, raw(t, func(w *bufio.Writer) error {
				_, err := w.WriteString(ok + c.headers + "Content-Length: 1\r\n\r\n7")
				return err
			}), "", "path: /")
			if !c.taken {
				wantNoAnswer(t, b)
			} else if out, err := b.handler.Call(t.Context(), testCall(`{}`)); err != nil || string(out) != "7" {
				t.Errorf("%s, %v", out, err)
			}
		})
	}
	for name, header := range map[string]func(http.Header){
		"HTTP/2, a long header": func(h http.Header) { h.Set("X-A", strings.Repeat("x", 70<<10)) },
		"HTTP/2, many headers": func(h http.Header) {
			for range 20000 {
				h.Add("X-A", "b")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var proto atomic.Int64
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				proto.Store(int64(r.ProtoMajor))
				header(w.Header())
				_, _ = io.WriteString(w, "7")
			}))
			srv.EnableHTTP2 = true
			srv.StartTLS()
			t.Cleanup(srv.Close)
			ca := filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
				t.Fatal(err)
			}
			wantNoAnswer(t, bindURL(t, srv.URL, "    tls: {ca_file: '"+ca+"'}\n", "path: /"))
			if proto.Load() != 2 {
				t.Errorf("the API was called by HTTP/%d", proto.Load())
			}
		})
	}
}

func wantNoAnswer(t *testing.T, b bound) {
	t.Helper()
	out, err := b.handler.Call(t.Context(), testCall(`{}`))
	if f, ok := errors.AsType[*record.Failure](err); !ok || f.Kind != record.FailureNetwork || !f.Retryable || len(f.Message) > 300 {
		t.Errorf("got %.100s, %v; want no answer", out, err)
	}
}

// TestAnswersAreReadUpToTheirBound: nothing is read beyond answer_bytes_max, counted behind the
// decompression, nor beyond 8 KB of a failure.
func TestAnswersAreReadUpToTheirBound(t *testing.T) {
	t.Parallel()
	// What is written so is as long as what it stands for: no buffer on the way takes all.
	var piece bytes.Buffer
	z, _ := gzip.NewWriterLevel(&piece, gzip.NoCompression)
	_, _ = z.Write(bytes.Repeat([]byte("1"), 1<<15))
	_ = z.Close()
	ok, plain, zipped := "HTTP/1.1 200 OK\r\n", strings.Repeat("1", 1<<15), "Content-Encoding: gzip\r\n"
	failed := "HTTP/1.1 400 Bad Request\r\n"
	begun := "HTTP/1.1 202 Accepted\r\nLocation: /j\r\n"
	for name, c := range map[string]struct{ task, first, again, code string }{
		"plain":          {"", ok + "\r\n", plain, binding.CodeAnswerTooLarge},
		"gzip":           {"", ok + zipped + "\r\n", piece.String(), binding.CodeAnswerTooLarge},
		"a text":         {"result: text", ok + zipped + "\r\n", piece.String(), binding.CodeAnswerTooLarge},
		"a field":        {"result: '{a}'", ok + zipped + "\r\n", piece.String(), binding.CodeAnswerTooLarge},
		"a batch":        {"batch: {}", ok + zipped + "\r\n", piece.String(), binding.CodeAnswerTooLarge},
		"a job":          {"poll: {}", begun + zipped + "\r\n", piece.String(), binding.CodeAnswerTooLarge},
		"a job's end":    {"poll: {done: '{a}'}", ok + zipped + "\r\n", piece.String(), binding.CodeAnswerTooLarge},
		"another coding": {"", ok + "Content-Encoding: br\r\n\r\n", plain, binding.CodeAnswerTooLarge},
		"a lie":          {"", ok + "Content-Length: 99999999999\r\n\r\n", plain, binding.CodeAnswerTooLarge},
		"a failure":      {"", failed + "\r\n", plain, "http_400"},
		"its gzip":       {"", failed + zipped + "\r\n", piece.String(), "http_400"},
		"a job's":        {"poll: {}", failed + zipped + "\r\n", piece.String(), "http_400"},
		"nothing wanted": {"result: none", ok + "\r\n", plain, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var whole atomic.Bool
			b := bindURL(t, raw(t, endless(c.first, c.again, &whole)), "", "path: /\nanswer_bytes_max: 64KB\n"+c.task)
			out, err := b.handler.Call(t.Context(), testCall(`{}`))
			f, failed := errors.AsType[*record.Failure](err)
			if c.code == "" && (err != nil || string(out) != "null") || c.code != "" && (!failed || f.Code != c.code || len(f.Problem) > record.ProblemBytesMax) {
				t.Errorf("got %.100s, %v; want %s", out, err, c.code)
			}
			if whole.Load() {
				t.Error("all of it was read")
			}
		})
	}
}

// TestOtherCodingsAreNotTakenOff: only gzip, once, is; what comes in another coding, unasked,
// is told and not taken for the answer.
func TestOtherCodingsAreNotTakenOff(t *testing.T) {
	t.Parallel()
	var once, twice bytes.Buffer
	z := gzip.NewWriter(&once)
	_, _ = io.WriteString(z, `{"a":7}`)
	_ = z.Close()
	z = gzip.NewWriter(&twice)
	_, _ = z.Write(once.Bytes())
	_ = z.Close()
	for name, c := range map[string]struct{ coding, body, task, says string }{
		"gzip":        {"gzip", once.String(), "", ""},
		"identity":    {"identity", `{"a":7}`, "", ""},
		"no body":     {"br", "", "", ""},
		"twice":       {"gzip, gzip", twice.String(), "", `encoded as "gzip, gzip"`},
		"twice, once": {"gzip", twice.String(), "", "is no result"},
		"brotli":      {"br", `{"a":7}`, "", `encoded as "br", and only gzip`},
		"deflate":     {"deflate", `{"a":7}`, "result: text", `encoded as "deflate"`},
		"zstd":        {"zstd", `{"a":7}`, "result: '{a}'", `encoded as "zstd"`},
		"of a batch":  {"br", `[{"a":7}]`, "batch: {}", `encoded as "br"`},
		"of a job":    {"br", `{"a":7}`, "poll: {done: '{a}'}", `encoded as "br"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := make(chan string, 1)
			b := bind(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked <- r.Header.Get("Accept-Encoding")
				w.Header().Set("Content-Encoding", c.coding)
				_, _ = io.WriteString(w, c.body)
			}), "path: /\n"+c.task)
			out, err := b.handler.Call(t.Context(), testCall(`{}`))
			if got := <-asked; got != "gzip" {
				t.Errorf("asked for was %q", got)
			}
			f, failed := errors.AsType[*record.Failure](err)
			switch {
			case c.says == "" && (err != nil || string(out) != `{"a":7}` && c.body != ""):
				t.Errorf("got %s, %v", out, err)
			case c.says != "" && (!failed || f.Code != binding.CodeResultNotMapped || !f.Retryable || !strings.Contains(f.Message, c.says)):
				t.Errorf("got %s, %v; want it to say %q", out, err, c.says)
			}
		})
	}
}

// TestPayloadsStayInTheirPlace: a value that would begin another header, parameter, cookie,
// field or segment, or lead to another host, is refused or arrives as the value that it is;
// nothing else of the request changes.
func TestPayloadsStayInTheirPlace(t *testing.T) {
	t.Parallel()
	const (
		inPath = 1 << iota
		inHeader
	)
	for v, refused := range map[string]int{
		"plain":                    0,
		"a\r\nX-Evil: 1":           inPath | inHeader,
		"a\nX-Evil: 1":             inPath | inHeader,
		"a\rX-Evil: 1":             inPath | inHeader,
		"a\r\n\r\nGET /evil":       inPath | inHeader,
		"a\x00b":                   inPath | inHeader,
		"a\x7fb":                   inPath | inHeader,
		"a\u010d\u010aX-Evil: 1":   0, // their low bytes are CR and LF
		"a\u2028b\u0085c":          0,
		"..":                       inPath,
		".":                        inPath,
		"../admin":                 inPath,
		`..\admin`:                 inPath,
		"a/b":                      inPath,
		`a\b`:                      inPath,
		"/":                        inPath,
		"//evil.example/":          inPath,
		"http://evil.example":      inPath,
		"%2e%2e":                   inPath,
		"%2E%2e%2Fadmin":           inPath,
		"%252e%252e%252f":          inPath,
		"%5c":                      inPath,
		"..;x=1":                   inPath,
		".;x=1":                    inPath,
		"..%3b":                    inPath,
		"a%00":                     inPath,
		"%0d%0aX-Evil: 1":          0,
		"%":                        0,
		"@evil.example":            0,
		"me:secret@evil.example":   0,
		":8080":                    0,
		"?admin=1":                 0,
		"#fragment":                0,
		"a&admin=1":                0,
		"a=b;admin=1, c":           0,
		"a b+c":                    0,
		`","admin":true,"x":"`:     0,
		"\uff0e\uff0e\uff0fadmin":  0, // wide dots and slash stay what they are
		"{$key} {{x}} {v}":         0,
		"= 1 + 1":                  0,
		"${env:HOME}":              0,
		"<!DOCTYPE a [<!ENTITY>]>": 0,
	} {
		for name, task := range map[string]string{
			"reference":  "path: /a/{v}/z\nquery: {q: '{v}', last: z}\nheaders: {X-V: '{v}', X-Last: z}\ncookies: {c: '{v}', last: z}\nbody: {v: '{v}', last: z}\n",
			"expression": "path: /a/{v}/z\nquery: {q: '= input.v', last: z}\nheaders: {X-V: '= input.v', X-Last: z}\ncookies: {c: '= input.v', last: z}\nbody: {v: '= input.v', last: z}\n",
		} {
			for _, enc := range []encoding{asJSON, asForm} {
				t.Run(fmt.Sprintf("%s/%s/%q", name, enc, v), func(t *testing.T) {
					t.Parallel()
					staysInPlace(t, task+"encoding: "+string(enc), v, enc, refused&inPath != 0, refused&inHeader != 0)
				})
			}
		}
	}
}

func staysInPlace(t *testing.T, lines, v string, enc encoding, pathRefused, headerRefused bool) {
	input, err := json.Marshal(map[string]string{"v": v})
	if err != nil {
		t.Fatal(err)
	}
	build := func(without string) (*http.Request, error) {
		for _, w := range []string{"path: /a/{v}/z", "X-V: '{v}', ", "X-V: '= input.v', "} {
			if strings.Contains(w, without) && without != "" {
				lines = strings.Replace(lines, w, map[bool]string{true: "path: /a/7/z"}[strings.HasPrefix(w, "path")], 1)
			}
		}
		return parseTask(t, lines).Request(t.Context(), testCall(string(input)))
	}
	req, err := build("")
	if refused := pathRefused || headerRefused; refused != (err != nil) {
		t.Fatalf("got %v, want refused: %v", err, refused)
	}
	if pathRefused {
		if !strings.HasPrefix(err.Error(), "path: ") {
			t.Errorf("refused is %v", err)
		}
		req, err = build("path: ")
	}
	if headerRefused {
		if err == nil || !strings.HasPrefix(err.Error(), "header X-V: ") {
			t.Errorf("refused is %v", err)
		}
		req, err = build("X-V: ")
	}
	if err != nil {
		t.Fatal(err)
	}
	var wire bytes.Buffer
	if err := req.Write(&wire); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(&wire)
	got, err := http.ReadRequest(in)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(got.Body)
	if err != nil || in.Buffered() > 0 {
		t.Fatalf("behind the request is more: %v", err)
	}
	if got.Host != "payment.example.com" || req.URL.Scheme != "https" || req.URL.Host != "payment.example.com" || req.URL.User != nil {
		t.Errorf("it goes to %s, %s", got.Host, req.URL)
	}
	segment := v
	if pathRefused {
		segment = "7"
	}
	if segments := strings.Split(got.URL.EscapedPath(), "/"); len(segments) != 5 || segments[4] != "z" || unescaped(segments[3]) != segment {
		t.Errorf("the path is %s", got.URL.EscapedPath())
	}
	if q := got.URL.Query(); !reflect.DeepEqual(q, url.Values{"q": {v}, "last": {"z"}}) {
		t.Errorf("the query is %q", q)
	}
	names := []string{"Accept", "Content-Length", "Content-Type", "Cookie", "Idempotency-Key", "Traceparent", "User-Agent", "X-Last"}
	if !headerRefused {
		names = append(names, "X-V")
		if got.Header.Get("X-V") != strings.TrimSpace(v) {
			t.Errorf("the header is %q", got.Header.Get("X-V"))
		}
	}
	if has := binding.SortedKeys(got.Header); !slices.Equal(has, names) {
		t.Errorf("the headers are %q", has)
	}
	if cs := got.Cookies(); len(cs) != 2 || unescaped(cs[0].Value) != v || cs[1].Value != "z" {
		t.Errorf("the cookies are %v", cs)
	}
	switch enc {
	case asForm:
		if form, err := url.ParseQuery(string(body)); err != nil || !reflect.DeepEqual(form, url.Values{"v": {v}, "last": {"z"}}) {
			t.Errorf("the form is %s, %v", body, err)
		}
	default:
		var m map[string]string
		if err := json.Unmarshal(body, &m); err != nil || !reflect.DeepEqual(m, map[string]string{"v": v, "last": "z"}) {
			t.Errorf("the body is %s, %v", body, err)
		}
	}
}

func unescaped(s string) string {
	plain, err := url.PathUnescape(s)
	if err != nil {
		return "not escaped: " + s
	}
	return plain
}

// TestParametersTogetherStayInTheirPlace: what two harmless parameters make of one segment is
// checked as well, as a server sees it that decodes twice, or takes parameters off.
func TestParametersTogetherStayInTheirPlace(t *testing.T) {
	t.Parallel()
	for ab, ok := range map[[2]string]bool{
		{"a", "b"}: true, {".", "json"}: true, {"10", "%"}: true, {"%", "zz"}: true,
		{".", "."}: false, {".", ".;x"}: false, {".", ";x"}: false,
		{"%", "2fadmin"}: false, {"%2", "e"}: false, {"%", "5C"}: false, {"%2", "52f"}: false, {"%", "00"}: false,
	} {
		input, err := json.Marshal(map[string]string{"a": ab[0], "b": ab[1]})
		if err != nil {
			t.Fatal(err)
		}
		_, err = parseTask(t, "path: /x/{a}{b}/y").Request(t.Context(), testCall(string(input)))
		if ok != (err == nil) || err != nil && !strings.Contains(err.Error(), "would lead elsewhere") {
			t.Errorf("%q: %v, want it allowed: %v", ab, err, ok)
		}
	}
}

// TestHeadersThatNobodySets: those of the connection and the worker's own by no file,
// credentials by no payload; nor does the name of the key make one of them of it.
func TestHeadersThatNobodySets(t *testing.T) {
	t.Parallel()
	parse := func(service, task string) error {
		_, err := Parse("f.yaml", []byte("services:\n  payment:\n    base_url: http://p.example.com\n"+indent(service, 4)+"    tasks:\n      charge:\n        path: /\n"+indent(task, 8)), binding.Options{WithoutSecrets: true})
		return err
	}
	check := func(err error, says string, what ...string) {
		t.Helper()
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%q: %v, want %q", what, err, says)
		}
	}
	for _, name := range []string{
		"Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "TE", "Trailer", "Upgrade", "Expect", "Accept-Encoding",
		"Proxy-Connection", "Proxy-Authorization", "Proxy-Authenticate", "Idempotency-Key", "traceparent", "tracestate", "baggage",
	} {
		for _, n := range []string{name, strings.ToUpper(name), strings.ToLower(name)} {
			for _, v := range []string{"a", "{v}", "= input.v"} {
				line := "headers: {" + n + ": '" + v + "'}"
				check(parse("", line), "Remove the line", "task", line)
				check(parse(line, ""), "Remove the line", "service", line)
			}
			if name != "Idempotency-Key" {
				check(parse("idempotency_header: "+n, ""), "cannot be the header of the idempotency key", n)
			}
		}
	}
	for _, name := range []string{"Authorization", "Cookie", "X-Api-Key", "Api-Key", "X-Auth-Token", "X-Forwarded-For", "X-Forwarded-Host", "Forwarded"} {
		for _, n := range []string{name, strings.ToLower(name)} {
			check(parse("", "headers: {"+n+": '${env:T}'}"), "", n)
			check(parse("headers: {"+n+": 'a ${env:T}'}", ""), "", n)
			check(parse("", "headers: {"+n+": 'a {v}'}"), "may not be filled from a payload", n)
			check(parse("", "headers: {"+n+": '{$token}'}"), "does not exist", n)
			check(parse("headers: {"+n+": '= input.v'}", ""), "an expression does not fit here", n)
			check(parse("idempotency_header: "+n, ""), "cannot be the header of the idempotency key", n)
		}
	}
	check(parse("idempotency_header: X-Request-Id", "headers: {x-request-id: '{v}'}"), "the worker sends the task's key under this name")
	check(parse("idempotency_header: X-Request-Id\nheaders: {X-Request-ID: a}", ""), "the worker sends the task's key under this name")
	check(parse("idempotency_header: Content-Type", ""), "cannot be the header of the idempotency key")
	check(parse("idempotency_header: X-Request-Id", "headers: {X-Request: '{v}'}"), "")
}

// TestNoRedirectIsFollowed: none of any kind, from any request, whoever is named; where a
// token is asked for, the client's secret goes nowhere else.
func TestNoRedirectIsFollowed(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { reached.Add(1); _, _ = io.WriteString(w, "7") }))
	t.Cleanup(other.Close)
	begun := fmt.Appendf(nil, `{"poll":{"url":"{base}/j","asked":1}}`)
	for _, status := range []int{300, 301, 302, 303, 304, 307, 308} {
		for _, location := range []string{other.URL + "/x", "http://169.254.169.254/latest/meta-data/", "http://10.0.0.7/", "file:///etc/passwd", "//evil.example/"} {
			for name, c := range map[string]struct {
				task    string
				details []byte
				code    string
			}{
				"GET":          {"method: GET", nil, fmt.Sprint("http_", status)},
				"POST":         {"method: POST", nil, fmt.Sprint("http_", status)},
				"a batch":      {"batch: {}", nil, fmt.Sprint("http_", status)},
				"a job":        {"poll: {}", nil, fmt.Sprint("http_", status)},
				"asked for":    {"poll: {}", begun, fmt.Sprint("http_", status)},
				"asked, moved": {"poll: {statuses: {3xx: pending}}", begun, CodePollAddress},
			} {
				t.Run(fmt.Sprint(status, " ", name, " ", location), func(t *testing.T) {
					t.Parallel()
					var asked atomic.Int64
					srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						asked.Add(1)
						w.Header().Set("Location", location)
						w.WriteHeader(status)
					}))
					t.Cleanup(srv.Close)
					b := bindURL(t, srv.URL, "", "path: /\n"+c.task)
					call := testCall(`{}`)
					call.Details = bytes.ReplaceAll(c.details, []byte("{base}"), []byte(srv.URL))
					_, err := b.handler.Call(t.Context(), call)
					if f, ok := errors.AsType[*record.Failure](err); !ok || f.Code != c.code || f.HTTPStatus != status {
						t.Errorf("got %v, want %s", err, c.code)
					}
					if asked.Load() != 1 {
						t.Errorf("asked was %d times", asked.Load())
					}
				})
			}
		}
	}
	t.Run("a token", func(t *testing.T) {
		t.Parallel()
		for _, status := range []int{301, 302, 303, 307, 308} {
			login := httptest.NewServer(http.RedirectHandler(other.URL, status))
			task := bankFile(t, "    base_url: "+other.URL+"\n    auth: {oauth2: {token_url: '"+login.URL+"', client_id: me, client_secret: s}}\n")
			_, err := task.Call(t.Context(), authCall())
			if f, ok := errors.AsType[*record.Failure](err); !ok || f.Code != "token_unavailable" {
				t.Errorf("%d: %v", status, err)
			}
			login.Close()
		}
	})
	t.Cleanup(func() { // behind the parallel ones
		if reached.Load() > 0 {
			t.Errorf("%d requests went elsewhere", reached.Load())
		}
	})
}

// TestHostsThatAreNamedAreChecked: poll.hosts says who may be asked, not which addresses may be
// dialled.
func TestHostsThatAreNamedAreChecked(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"169.254.169.254", "10.0.0.7", "0.0.0.0", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "127.0.0.1:1"} {
		f, err := Parse("f.yaml", []byte("services:\n  payment:\n    base_url: http://p.example.com\n    tasks:\n      charge: {path: /, poll: {hosts: ['"+host+"']}}\n"), binding.Options{})
		if err != nil {
			t.Fatal(err)
		}
		handlers, _ := f.Handlers()
		call := testCall(`{}`)
		call.Details = fmt.Appendf(nil, `{"poll":{"url":"http://%s/j","asked":1}}`, host)
		_, err = handlers[0].Call(t.Context(), call)
		if f, ok := errors.AsType[*record.Failure](err); !ok || f.Code != "address_denied" || !f.Retryable {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// TestCallbackAddressesAreOfTheFile: whatever a workflow is called, the address that an API is
// given is below the one that the file says.
func TestCallbackAddressesAreOfTheFile(t *testing.T) {
	t.Parallel()
	f, err := Parse("f.yaml", []byte("services:\n  payment:\n    base_url: http://p.example.com\n    tasks:\n      charge: {path: /, body: {to: '{$callback}', or: '= callback'}}\n"), binding.Options{CallbackURL: "https://engine.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"customer-7", "../../../admin", "@evil.example", "a/b?c=d#e", "//evil.example", "%2e%2e%2f", "a\u010d\u010a"} {
		call := testCall(`{"callback":"https://evil.example"}`)
		call.WorkflowID = id
		req, err := f.Services[0].Tasks[0].Request(t.Context(), call)
		if err != nil {
			t.Fatal(err)
		}
		var body struct{ To, Or string }
		if err := json.NewDecoder(req.Body).Decode(&body); err != nil || body.To != body.Or {
			t.Fatalf("%+v, %v", body, err)
		}
		u, err := url.Parse(body.To)
		segments := strings.Split(u.EscapedPath(), "/")
		if err != nil || u.Scheme != "https" || u.Host != "engine.example.com" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
			len(segments) != 5 || strings.Trim(segments[3], "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("%q: %s, %v", id, body.To, err)
		}
	}
}
