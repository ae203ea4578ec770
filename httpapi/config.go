package httpapi

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/odradek/odradek/httpapi/api"
)

// Limits of every request; they are part of the API and not settings.
const (
	listLimitDefault = 100
	listLimitMax     = 1000     // a page of rows of about 300 bytes stays below 1 MB
	historyBytesMax  = 4 << 20  // of one page: a client with small memory can read on
	historyStep      = 16       // events read at once: at most 16 x 512 KB in memory
	answerBytesMax   = 16 << 20 // of a forwarded answer: above every page
	commandIDMax     = 200      // bytes of an Idempotency-Key: it becomes a row's key
	signalBytesMax   = 200      // as in docs/protocol.md
	typeBytesMax     = 100      // as in docs/protocol.md
	waitMax          = time.Minute
)

// PayloadBytesMax is the default limit of a payload (F5).
const PayloadBytesMax = 512 << 10

// Config of a Server.
type Config struct {
	Engine Engine
	// InstanceID marks requests that this instance forwards.
	InstanceID string
	// Tokens that let in. None: everybody may do everything; see CheckBind.
	Tokens []Token
	// Local says that without tokens only this machine is served: a request must name it by
	// localhost or a loopback address. Else a page in this machine's browser could be the
	// API's own, once its name stands for 127.0.0.1 (DNS rebinding). Default false.
	Local bool
	// TaskTokenKey signs the tokens of tasks that are completed from outside. Whoever has
	// a signed token needs no other one. Default: task tokens are not signed, and an
	// operator's token is needed.
	TaskTokenKey []byte
	// PayloadBytesMax is the largest payload. Default 512 KB (F5).
	PayloadBytesMax int64
	// Timeout bounds a request, beside the time that it asked to wait. Default 30s:
	// an owner that dies is noticed after 10 s, and its partition restored soon after.
	Timeout time.Duration
	// ListPatience is how long a list waits for partitions that nobody owns, before it
	// goes without them. Default 2s.
	ListPatience time.Duration
	// PeerTransport reaches other instances. Default: a transport of its own.
	PeerTransport http.RoundTripper
	// PeerScheme is http or https. Default http.
	PeerScheme string
	// Logger gets one line per request: writes at info, reads at debug. Default: none.
	Logger *slog.Logger
	// Observe hears of each request when it is answered; for metrics. Default: nobody.
	Observe func(RequestInfo)
}

// RequestInfo is one answered request. All but Elapsed and Bytes are labels of few values.
type RequestInfo struct {
	Operation string // pattern of the route, as "GET /v1/workflows/{id}"; "other" if there is none
	Status    int
	Code      api.Code // of the problem; empty if there is none
	Forwarded bool     // it came from another instance
	Elapsed   time.Duration
}

// WithDefaults fills what is zero.
func (c Config) WithDefaults() Config {
	if c.PayloadBytesMax == 0 {
		c.PayloadBytesMax = PayloadBytesMax
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.ListPatience == 0 {
		c.ListPatience = 2 * time.Second
	}
	if c.PeerScheme == "" {
		c.PeerScheme = "http"
	}
	if c.PeerTransport == nil {
		c.PeerTransport = &http.Transport{
			MaxIdleConnsPerHost: 64, // waits share few peers: keep their connections
			IdleConnTimeout:     90 * time.Second,
			ForceAttemptHTTP2:   c.PeerScheme == "https",
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Observe == nil {
		c.Observe = func(RequestInfo) {}
	}
	return c
}

// Validate says what is missing or out of range.
func (c Config) Validate() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	need(c.Engine != nil, "Engine is nil: give what the API serves")
	need(c.InstanceID != "", "InstanceID is empty: give each instance a name of its own")
	need(c.PayloadBytesMax > 0 && c.PayloadBytesMax <= PayloadBytesMax, "PayloadBytesMax is %d: use 1 to %d, what a history event may hold", c.PayloadBytesMax, PayloadBytesMax)
	need(c.Timeout > 0, "Timeout is %v: use more than 0", c.Timeout)
	need(c.PeerScheme == "http" || c.PeerScheme == "https", "PeerScheme is %q: use http or https", c.PeerScheme)
	return errors.Join(errs...)
}

// Timeouts sets on srv what protects it from slow clients: 10 s for a header, 30 s
// for a body, 64 KB of header; an answer may take as long as a request may last.
func (c Config) Timeouts(srv *http.Server) {
	srv.ReadHeaderTimeout = 10 * time.Second
	srv.ReadTimeout = 30 * time.Second
	srv.WriteTimeout = 30*time.Second + c.WithDefaults().Timeout + waitMax
	srv.IdleTimeout = 2 * time.Minute
	srv.MaxHeaderBytes = 64 << 10
}
