package httpapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/odradek/odradek/httpapi/api"
	"github.com/odradek/odradek/record"
)

// ForwardedHeader marks a request that an instance forwarded; its value is that
// instance's ID. It is answered here or with 421, never forwarded again (H1).
const ForwardedHeader = "Odradek-Forwarded"

// call is one request about one workflow on its way to the owner.
type call struct {
	r          *http.Request
	workflowID string
	body       []byte
	commandID  string    // of a command; empty: a read
	waitGiven  bool      // the client asked to wait
	waitUntil  time.Time // with waitGiven
}

// answer of a local call.
type answer struct {
	status   int
	location string
	body     any
}

// errTime is the cause of the end of a request's time.
var errTime = errors.New("the request's time is up")

// route lets the owner answer: this instance by local, another one by the same
// request. While ownership moves it asks again; commands keep their ID, so asking
// twice applies once (H2).
func (s *Server) route(w http.ResponseWriter, c *call, local func(context.Context) (answer, error)) {
	if err := record.CheckWorkflowID(c.workflowID); err != nil {
		writeProblem(w, problem(api.CodeWorkflowIDInvalid, "%v", err))
		return
	}
	s.routeTo(w, c, s.cfg.Engine.Partition(c.workflowID), local)
}

// routeTo is route for a partition.
func (s *Server) routeTo(w http.ResponseWriter, c *call, partition int32, local func(context.Context) (answer, error)) {
	limit := s.cfg.Timeout
	if c.waitGiven {
		limit += max(0, time.Until(c.waitUntil))
	}
	ctx, cancel := context.WithTimeoutCause(c.r.Context(), limit, errTime)
	defer cancel()
	forwarded := c.r.Header.Get(ForwardedHeader) != ""
	asked := false // somebody may have got the command
	for pause := pauseMin; ; pause = min(2*pause, pauseMax) {
		addr, self, ok := s.cfg.Engine.Owner(partition)
		switch {
		case ok && self:
			asked = true
			a, err := local(ctx)
			if err == nil {
				s.writeAnswer(w, a)
				return
			}
			if !errors.Is(err, ErrNotOwner) && ctx.Err() == nil {
				s.writeError(w, c, err)
				return
			}
		case forwarded:
			writeProblem(w, problem(api.CodeNotOwner, "this instance does not own partition %d of workflow %q", partition, c.workflowID))
			return
		case ok:
			asked = true
			if s.forward(ctx, w, addr, c) {
				return
			}
		}
		if forwarded && ctx.Err() == nil { // it believed to be the owner: whoever forwarded may know better by now
			writeProblem(w, problem(api.CodeNotOwner, "this instance no longer owns partition %d of workflow %q", partition, c.workflowID))
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			s.writeTimeout(ctx, w, c, asked, partition)
			return
		}
	}
}

// Pauses between two looks at who the owner is. Ownership moves in tens of
// milliseconds when an instance leaves and in ten seconds when it dies.
const (
	pauseMin = 20 * time.Millisecond
	pauseMax = 500 * time.Millisecond
)

func (s *Server) writeAnswer(w http.ResponseWriter, a answer) {
	if a.location != "" {
		w.Header().Set("Location", a.location)
	}
	if err := writeJSON(w, a.status, a.body); err != nil {
		s.logger.Error("api answer", "error", err)
		writeProblem(w, problem(api.CodeInternal, "the answer could not be encoded; the log of the instance has the reason"))
	}
}

func (s *Server) writeError(w http.ResponseWriter, c *call, err error) {
	p := asProblem(err, c.workflowID)
	if api.Code(p.Code) == api.CodeUnavailable {
		s.logger.LogAttrs(c.r.Context(), slog.LevelError, "api request without answer", slog.String("workflow_id", c.workflowID), slog.Any("error", err))
	}
	writeProblem(w, p)
}

func (s *Server) writeTimeout(ctx context.Context, w http.ResponseWriter, c *call, asked bool, partition int32) {
	switch {
	case !errors.Is(context.Cause(ctx), errTime): // the client went away
		w.WriteHeader(http.StatusServiceUnavailable)
	case asked && c.commandID != "":
		writeProblem(w, problem(api.CodeOutcomeUnknown, "the owner of partition %d did not answer in time, and the command may still be applied: send the same request again with Idempotency-Key: %s", partition, c.commandID))
	default:
		writeProblem(w, problem(api.CodePartitionUnavailable, "partition %d of workflow %q did not answer for %v: ask again", partition, c.workflowID, s.cfg.Timeout))
	}
}

// forward lets the instance at addr answer; false if it did not, or is not the owner.
func (s *Server) forward(ctx context.Context, w http.ResponseWriter, addr string, c *call) bool {
	q := c.r.URL.Query()
	if c.waitGiven {
		q.Set("wait", fmt.Sprintf("%dms", max(0, time.Until(c.waitUntil).Milliseconds())))
	}
	req, err := s.peerRequest(ctx, c.r, addr, q, c.body)
	if err != nil {
		s.logger.Error("forward a request", "instance", addr, "error", err)
		return false
	}
	if c.commandID != "" {
		req.Header.Set("Idempotency-Key", c.commandID)
	}
	status, header, body, err := s.ask(req)
	if err != nil {
		if ctx.Err() == nil {
			s.logger.Warn("forward a request", "instance", addr, "error", err)
		}
		return false
	}
	if status == http.StatusMisdirectedRequest {
		return false
	}
	for _, name := range []string{"Content-Type", "Cache-Control", "Location", "Retry-After", "WWW-Authenticate"} {
		if v := header.Get(name); v != "" {
			w.Header().Set(name, v)
		}
	}
	w.WriteHeader(status)
	w.Write(body)
	return true
}

// peerRequest is r once more, for another instance. Only what that one needs goes
// along: who asks, and the trace.
func (s *Server) peerRequest(ctx context.Context, r *http.Request, addr string, q url.Values, body []byte) (*http.Request, error) {
	u := url.URL{Scheme: s.cfg.PeerScheme, Host: addr, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: q.Encode()}
	req, err := http.NewRequestWithContext(ctx, r.Method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"Authorization", "Content-Type", "traceparent", "tracestate", "baggage"} {
		if v := r.Header.Get(name); v != "" {
			req.Header.Set(name, v)
		}
	}
	req.Header.Set(ForwardedHeader, s.cfg.InstanceID)
	return req, nil
}

// ask reads the whole answer, so that one that breaks off can be asked for again.
func (s *Server) ask(req *http.Request) (status int, header http.Header, body []byte, err error) {
	resp, err := s.cfg.PeerTransport.RoundTrip(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, answerBytesMax+1))
	if err == nil && len(body) > answerBytesMax {
		err = fmt.Errorf("the answer has more than %d bytes", answerBytesMax)
	}
	return resp.StatusCode, resp.Header, body, err
}

// commandIDOf is the client's Idempotency-Key, or a new one.
func commandIDOf(key string) (string, *problemError) {
	if key == "" {
		return rand.Text(), nil
	}
	if len(key) > commandIDMax {
		return "", problem(api.CodeRequestInvalid, "the Idempotency-Key has %d bytes, at most %d are allowed", len(key), commandIDMax)
	}
	for i := range len(key) {
		if key[i] < 0x21 || key[i] > 0x7e {
			return "", problem(api.CodeRequestInvalid, "the Idempotency-Key has the byte %#x at position %d: use visible ASCII", key[i], i+1)
		}
	}
	return key, nil
}

// readPayload reads the body within the limit.
func (s *Server) readPayload(r *http.Request) ([]byte, *problemError) {
	limit := s.cfg.PayloadBytesMax
	if r.ContentLength > limit {
		return nil, tooLarge(r.ContentLength, limit)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return nil, problem(api.CodeRequestInvalid, "the body broke off after %d bytes: send it again", len(body))
	}
	if n := int64(len(body)); n > limit {
		rest, _ := io.Copy(io.Discard, io.LimitReader(r.Body, 3*limit)) // to name the size, within reason
		return nil, tooLarge(n+rest, limit)
	}
	return body, nil
}

func tooLarge(size, limit int64) *problemError {
	p := problem(api.CodePayloadTooLarge, "the payload has %d bytes, at most %d are allowed: store it elsewhere and send a reference", size, limit)
	p.Size, p.Limit = size, limit
	return p
}
