package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/odradek/odradek/httpapi/api"
)

// Server serves the paths below /v1/. It is an http.Handler and starts nothing.
type Server struct {
	cfg    Config
	auth   *authenticator
	mux    *http.ServeMux
	cross  *http.CrossOriginProtection // CSRF: a browser's page of another origin cannot write
	logger *slog.Logger
}

// New makes a Server.
func New(cfg Config) (*Server, error) {
	cfg = cfg.WithDefaults()
	auth, err := newAuthenticator(cfg.Tokens, cfg.Local, cfg.TaskTokenKey)
	if err = errors.Join(cfg.Validate(), err); err != nil {
		return nil, fmt.Errorf("httpapi: %w", err)
	}
	s := &Server{cfg: cfg, auth: auth, mux: http.NewServeMux(), cross: http.NewCrossOriginProtection(), logger: cfg.Logger}
	api.HandlerWithOptions(operations{s}, api.StdHTTPServerOptions{BaseRouter: s.mux, ErrorHandlerFunc: badParameter})
	return s, nil
}

// operations are the generated interface's methods.
type operations struct{ *Server }

// ServeHTTP finds the route, then asks who it is, then answers.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	rec := &recorder{ResponseWriter: w}
	w.Header().Set("X-Content-Type-Options", "nosniff") // a payload may hold anything; no browser is to guess
	handler, pattern := s.mux.Handler(r)
	who := principal{}
	switch {
	case pattern == "":
		s.noRoute(rec, r, handler)
		pattern = "other"
	default:
		var denied *problemError
		if who, denied = s.auth.allow(r, pattern); denied != nil {
			writeProblem(rec, denied)
		} else if err := s.cross.Check(r); err != nil {
			writeProblem(rec, problem(api.CodeForbidden, "a page of another origin may not write: %v", err))
		} else {
			s.mux.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), callerKey{}, who.name)))
		}
	}
	info := RequestInfo{
		Operation: pattern, Status: rec.status, Code: rec.code, Elapsed: time.Since(began),
		Forwarded: r.Header.Get(ForwardedHeader) != "",
	}
	s.cfg.Observe(info)
	s.log(r, who, info)
}

// noRoute turns the mux's answer, plain text, into a problem.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request, h http.Handler) {
	probe := &discard{header: http.Header{}}
	h.ServeHTTP(probe, r)
	switch {
	case probe.status == http.StatusMethodNotAllowed:
		w.Header().Set("Allow", probe.header.Get("Allow"))
		writeProblem(w, problem(api.CodeMethodNotAllowed, "%s is not possible here: use %s", r.Method, probe.header.Get("Allow")))
	case probe.status/100 == 3: // the mux cleans a path
		w.Header().Set("Location", probe.header.Get("Location"))
		w.WriteHeader(probe.status)
	default:
		writeProblem(w, problem(api.CodeRouteNotFound, "%q is no path of this API; a workflow ID in a path is percent-encoded", r.URL.EscapedPath()))
	}
}

func badParameter(w http.ResponseWriter, _ *http.Request, err error) {
	var required *api.RequiredParamError
	var format *api.InvalidParamFormatError
	switch {
	case errors.As(err, &required):
		writeProblem(w, problem(api.CodeRequestInvalid, "the parameter %s is missing", required.ParamName))
	case errors.As(err, &format):
		writeProblem(w, problem(api.CodeRequestInvalid, "the parameter %s is not valid: %v", format.ParamName, format.Err))
	default:
		writeProblem(w, problem(api.CodeRequestInvalid, "%v", err))
	}
}

// log writes one line: who did what, never with what (H6). Writes are audited.
func (s *Server) log(r *http.Request, who principal, info RequestInfo) {
	level := slog.LevelDebug
	if r.Method != http.MethodGet {
		level = slog.LevelInfo
	}
	attrs := []slog.Attr{
		slog.String("operation", info.Operation), slog.Int("status", info.Status),
		slog.String("principal", who.name), slog.Duration("elapsed", info.Elapsed),
	}
	if id := workflowOf(r); id != "" {
		attrs = append(attrs, slog.String("workflow_id", id))
	}
	if info.Code != "" {
		attrs = append(attrs, slog.String("code", string(info.Code)))
	}
	s.logger.LogAttrs(r.Context(), level, "api request", attrs...)
}

func workflowOf(r *http.Request) string {
	if id := r.PathValue("id"); id != "" {
		return id
	}
	return r.URL.Query().Get("id")
}

// recorder notes what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	code   api.Code
}

// WriteHeader notes the status.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController through.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// discard takes an answer of which only status and header count.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int) {
	if d.status == 0 {
		d.status = status
	}
}
