package grpcbinding

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/worker"
)

const (
	// backoffMax is the longest pause between two attempts to connect. Calls in it fail at
	// once, and the engine makes them again.
	backoffMax = 3 * time.Second
	// keepaliveEvery is how long a connection may be silent while calls run until it is
	// asked; servers cut off who asks more often than every five minutes.
	keepaliveEvery   = 5 * time.Minute
	keepaliveTimeout = 20 * time.Second
	answerHeaderMax  = 64 << 10
	// requestBytesMax bounds a message: JSON of 512 KB (F5) makes less.
	requestBytesMax = 1 << 20
)

// channel is a service's connection; it is made when the first call wants it, and again when
// it was lost. It ends behind its last call once it is retired.
type channel struct {
	conn   *grpc.ClientConn
	tokens *http.Client
	dialed atomic.Pointer[error] // what the last attempt to connect came to

	mu      sync.Mutex
	calls   int
	retired bool
}

func (s *Service) open() (*channel, error) {
	c := &channel{tokens: s.Auth.TokenClient(s.TLS, s.Dial, s.Concurrency)}
	secure := insecure.NewCredentials()
	if !s.plaintext {
		secure = credentials.NewTLS(s.TLS.Config())
	}
	dialer := s.Dial.Dialer()
	pause := backoff.DefaultConfig
	pause.BaseDelay, pause.MaxDelay = 100*time.Millisecond, backoffMax
	conn, err := grpc.NewClient("passthrough:///"+s.address, // the dialler resolves names, and checks what they stand for
		grpc.WithTransportCredentials(secure),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, "tcp", address)
			c.dialed.Store(&err)
			return conn, err
		}),
		grpc.WithNoProxy(), // a proxy would dial for us, unchecked
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithStatsHandler(watcher{}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: pause, MinConnectTimeout: 10 * time.Second}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveEvery, Timeout: keepaliveTimeout}),
		grpc.WithMaxHeaderListSize(answerHeaderMax),
		grpc.WithUserAgent("odradek-svcworker"),
	)
	c.conn = conn
	return c, err
}

// begin takes part in the channel; false: it has ended, another is there.
func (c *channel) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.retired {
		return false
	}
	c.calls++
	return true
}

// end leaves the channel.
func (c *channel) end() {
	c.mu.Lock()
	c.calls--
	last := c.retired && c.calls == 0
	c.mu.Unlock()
	if last {
		c.close()
	}
}

// retire lets the channel end as soon as no call uses it.
func (c *channel) retire() {
	c.mu.Lock()
	last := !c.retired && c.calls == 0
	c.retired = true
	c.mu.Unlock()
	if last {
		c.close()
	}
}

func (c *channel) close() {
	_ = c.conn.Close() // nothing is written any more
	c.tokens.CloseIdleConnections()
}

// watcher notes in a call's context that the API has ended the call itself: what the library
// makes up, of a connection that broke or an answer that is too large, has the same shape.
type watcher struct{}

type endedKey struct{}

func (watcher) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }
func (watcher) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.InTrailer); ok {
		if ended, ok := ctx.Value(endedKey{}).(*atomic.Bool); ok {
			ended.Store(true)
		}
	}
}
func (watcher) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (watcher) HandleConn(context.Context, stats.ConnStats)                       {}

// Address is where the service is: host:port.
func (s *Service) Address() string { return s.address }

// Reach connects to the service and asks it nothing: binding.Common.Reach.
func (s *Service) Reach(ctx context.Context) error {
	return s.Common.Reach(ctx, s.address, !s.plaintext, "h2")
}

// Call makes one attempt of a task as the worker would, over a connection of its own: to try
// a binding.
func (t *Task) Call(ctx context.Context, call *worker.Call) ([]byte, error) {
	c, err := t.service.open()
	if err != nil {
		return nil, err
	}
	defer c.close()
	return t.do(ctx, c, call)
}

// do makes one attempt, bounded by the context's end.
func (t *Task) do(ctx context.Context, c *channel, call *worker.Call) ([]byte, error) {
	request, md, err := t.Request(call)
	if err != nil {
		return nil, t.notBuilt(err)
	}
	authorization, err := t.service.Auth.Authorization(ctx, c.tokens, t.key)
	if err != nil {
		return nil, err
	}
	a := &answer{reply: dynamicpb.NewMessage(t.method.Output()), secrets: t.service.Redactor(authorization)}
	if authorization != "" {
		md.Set("authorization", authorization)
	}
	var ended atomic.Bool
	var header, trailer metadata.MD
	err = c.conn.Invoke(metadata.NewOutgoingContext(context.WithValue(ctx, endedKey{}, &ended), md), fullMethod(t.method), request, a.reply,
		grpc.Header(&header), grpc.Trailer(&trailer), grpc.MaxCallRecvMsgSize(int(t.answerBytes)), grpc.MaxCallSendMsgSize(requestBytesMax))
	a.status, a.metadata = status.Convert(err), metadata.Join(header, trailer)
	if err != nil {
		if f := t.ownFailure(a); f != nil {
			return nil, f
		}
		if !ended.Load() {
			return nil, t.notEnded(ctx, c, a)
		}
	}
	another := a.status.Code() == codes.Unauthenticated && t.service.Auth.Refused(authorization)
	result, err := t.outcome(a, call)
	if f, ok := err.(*record.Failure); ok && another { //nolint:errorlint // as outcome makes it
		f.Retryable, f.Code = true, "token_refused" // the next attempt comes with another
	}
	return result, err
}
