package grpcbinding

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/encoding"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker/binding"
)

// rawAPI is an API that speaks HTTP/2 in the clear and says what it likes.
func rawAPI(t *testing.T, say http.HandlerFunc) (service string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/grpc")
		say(w, r)
	}), Protocols: &http.Protocols{}}
	srv.Protocols.SetUnencryptedHTTP2(true)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(l)
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-served
	})
	return "address: " + l.Addr().String() + "\nplaintext: true\n"
}

// message is one as it stands on the wire.
func message(compressed byte, length uint32, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{compressed}, length), body...)
}

// ended is the end of an answer that is one.
func ended(w http.ResponseWriter) { w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0") }

// TestAnswerMetadataIsBounded: 64 KB of it, at the beginning of an answer and at its end,
// however many lines that are.
func TestAnswerMetadataIsBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines, bytes int
		taken        bool
	}{
		"a few":    {500, 50, true},
		"too long": {1, 70 << 10, false},
		"too many": {2000, 1, false}, // of 32 bytes more each, as HTTP/2 counts
	} {
		for _, prefix := range []string{"", http.TrailerPrefix} {
			t.Run(name+map[string]string{"": " at its beginning"}[prefix], func(t *testing.T) {
				t.Parallel()
				api := rawAPI(t, func(w http.ResponseWriter, _ *http.Request) {
					for range c.lines {
						w.Header().Add(prefix+"X-A", strings.Repeat("x", c.bytes))
					}
					_, _ = w.Write(message(0, 0, nil))
					ended(w)
				})
				_, err := bind(t, api, "result: none").Call(t.Context(), testCall(`{}`))
				if c.taken {
					if err != nil {
						t.Error(err)
					}
				} else if f := failureOf(t, err); f.Kind != record.FailureNetwork || !f.Retryable || len(f.Message) > 300 {
					t.Errorf("%+v", f)
				}
			})
		}
	}
}

// shrinks is a compression that a program has registered for other purposes.
type shrinks struct{}

func (shrinks) Name() string                                 { return "odradek-test" }
func (shrinks) Compress(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriter(w), nil }
func (shrinks) Decompress(r io.Reader) (io.Reader, error)    { return zlib.NewReader(r) }

func init() { encoding.RegisterCompressor(shrinks{}) }

// TestMessagesAreReadUpToTheirBound: a message is measured by what it says of itself, and
// again behind its decompression if there is one; a compression that is not known is told.
func TestMessagesAreReadUpToTheirBound(t *testing.T) {
	t.Parallel()
	var bomb, one bytes.Buffer
	z := zlib.NewWriter(&bomb)
	_, _ = z.Write(bytes.Repeat([]byte{0x0a, 0x01, 'x'}, 1<<20)) // transfer_id: "x", again and again
	_ = z.Close()
	z = zlib.NewWriter(&one)
	_, _ = z.Write([]byte{0x0a, 0x01, 'x'})
	_ = z.Close()
	for name, c := range map[string]struct {
		coding string
		wire   []byte
		code   string
	}{
		"plain":             {"", message(0, 3, []byte{0x0a, 0x01, 'x'}), ""},
		"a length":          {"", message(0, 1<<32-1, []byte("x")), binding.CodeAnswerTooLarge},
		"compressed":        {"odradek-test", message(1, uint32(one.Len()), one.Bytes()), ""},
		"a bomb":            {"odradek-test", message(1, uint32(bomb.Len()), bomb.Bytes()), binding.CodeAnswerTooLarge},
		"another coding":    {"gzip", message(1, 1, []byte("x")), binding.CodeResultNotMapped},
		"a coding unspoken": {"", message(1, 1, []byte("x")), binding.CodeResultNotMapped},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := make(chan string, 1)
			api := rawAPI(t, func(w http.ResponseWriter, r *http.Request) {
				asked <- r.Header.Get("Grpc-Encoding")
				if c.coding != "" {
					w.Header().Set("Grpc-Encoding", c.coding)
				}
				_, _ = w.Write(c.wire)
				ended(w)
			})
			out, err := bind(t, api, "answer_bytes_max: 1MB").Call(t.Context(), testCall(`{}`))
			if got := <-asked; got != "" {
				t.Errorf("the request is compressed by %s", got)
			}
			if c.code == "" {
				if err != nil || !strings.Contains(string(out), `"x"`) {
					t.Errorf("%s, %v", out, err)
				}
			} else if f := failureOf(t, err); f.Code != c.code || f.Retryable == (c.code == binding.CodeAnswerTooLarge) {
				t.Errorf("%+v, want %s", f, c.code)
			}
		})
	}
}

// TestTheAttemptsTimeBoundsTheMessage: a message that comes byte by byte, and never whole, ends
// with the context, which the API learns.
func TestTheAttemptsTimeBoundsTheMessage(t *testing.T) {
	t.Parallel()
	begun, left := make(chan struct{}), make(chan struct{})
	api := rawAPI(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(message(0, 100, []byte("x")))
		_ = http.NewResponseController(w).Flush()
		close(begun)
		<-r.Context().Done()
		close(left)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	if _, err := bind(t, api, "").Call(ctx, testCall(`{}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	<-left
}

// TestMetadataThatNobodySets: that of the connection and the worker's own by no file,
// credentials by no payload; nor does the name of the key make one of them of it.
func TestMetadataThatNobodySets(t *testing.T) {
	t.Parallel()
	check := func(service, task, says string) {
		t.Helper()
		file, text := bankFile(t, "address: bank.example.com:443\n"+service, task)
		_, err := Parse(file, text, binding.Options{WithoutSecrets: true})
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%q, %q: %v, want %q", service, task, err, says)
		}
	}
	for _, name := range []string{
		"host", "te", "content-type", "content-length", "user-agent", "connection", "keep-alive", "transfer-encoding", "trailer", "upgrade",
		"proxy-connection", "proxy-authorization", "traceparent", "tracestate", "baggage", "idempotency-key",
		"grpc-timeout", "grpc-encoding", "grpc-status", "grpc-anything",
	} {
		for _, n := range []string{name, strings.ToUpper(name)} {
			for _, v := range []string{"a", "{v}", "= input.v"} {
				line := "metadata: {" + n + ": '" + v + "'}"
				check("", line, "Remove the line")
				check(line, "", "Remove the line")
			}
			if name != "idempotency-key" {
				check("idempotency_metadata: "+n, "", "cannot be the metadata of the idempotency key")
			}
		}
	}
	for _, n := range []string{"authorization", "Authorization", "cookie", "x-api-key", "x-forwarded-for"} {
		check("", "metadata: {"+n+": '${env:T}'}", "")
		check("", "metadata: {"+n+": 'a {v}'}", "may not be filled from a payload")
		check("metadata: {"+n+": '= input.v'}", "", "an expression does not fit here")
		check("idempotency_metadata: "+n, "", "cannot be the metadata of the idempotency key")
	}
	for _, n := range []string{":authority", ":path", "a:b", "a\\nb", ""} {
		check("", `metadata: {"`+n+`": a}`, "is not a name of metadata")
	}
	check("idempotency_metadata: x-request-id", "metadata: {X-Request-Id: '{v}'}", "the worker sends the task's key under this name")
	check("idempotency_metadata: x-request-id", "metadata: {x-request: '{v}'}", "")
}

// TestValuesStayInTheirMetadata: a value that would begin another line is refused; in a name
// that ends in -bin all bytes are a value.
func TestValuesStayInTheirMetadata(t *testing.T) {
	t.Parallel()
	for v, refused := range map[string]bool{
		`a b, c=d;e`: false, `a\r\nx-evil: 1`: true, `a\nb`: true, `a\u0000b`: true, `a\u007fb`: true, `\u010d\u010a`: true,
	} {
		for _, value := range []string{"{v}", "= input.v"} {
			task := bind(t, "address: bank.example.com:443\nmetadata: {x-v: '"+value+"', x-last: z}", "body: none")
			_, md, err := task.Request(testCall(`{"v":"` + v + `"}`))
			if refused != (err != nil) || err == nil && (len(md) != 4 || len(md.Get("x-v")) != 1 || md.Get("x-last")[0] != "z") {
				t.Errorf("%s by %s: %v, %v", v, value, md, err)
			}
			task = bind(t, "address: bank.example.com:443\nmetadata: {x-v-bin: '"+value+"'}", "body: none")
			if _, md, err := task.Request(testCall(`{"v":"` + v + `"}`)); err != nil || len(md.Get("x-v-bin")) != 1 {
				t.Errorf("%s by %s: %v, %v", v, value, md, err)
			}
		}
	}
}
