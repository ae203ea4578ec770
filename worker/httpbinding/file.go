package httpbinding

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/odradek/odradek/worker/binding"
)

// File is a valid bindings file.
type File struct {
	Services []*Service // in the file's order
}

// Service is one API.
type Service struct {
	binding.Common
	Tasks []*Task // in the file's order

	base      *url.URL // scheme, host, port and path prefix of every request
	headers   []header
	keyHeader string
	statuses  statuses
}

// Task is the binding of one operation.
type Task struct {
	Operation string
	Timeout   time.Duration // of an attempt

	service     *Service
	key         string // service.operation, for messages
	method      string
	path        []binding.Value // alternately literal text and references; escaped when used
	query       []param
	headers     []header // the service's first
	cookies     []param
	body        binding.Value // nil: none, or the input as it is if wholeBody
	wholeBody   bool
	encoding    encoding // of the body
	result      resultMapping
	retryMax    time.Duration
	answerBytes int64
	statuses    statuses
	batch       *batching // nil: a request for each task
	poll        *polling  // nil: an answer is the end, or the task waits for its token
}

// param is one query parameter, header one header line.
type param struct {
	name  string
	value binding.Value
}

type header = param

// encoding is how a body is written.
type encoding string

const (
	asJSON encoding = "json"
	asForm encoding = "form" // application/x-www-form-urlencoded, of an object
	asText encoding = "text"
)

// Load reads a file.
func Load(path string, opts binding.Options) (*File, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read bindings: %w", err)
	}
	return Parse(path, b, opts)
}

// decoder reads the services that are HTTP APIs.
type decoder struct{ *binding.Decoder }

// Parse reads the services of a file that are HTTP APIs: those without a kind. name stands
// in messages. The error is binding.Problems.
func Parse(name string, data []byte, opts binding.Options) (*File, error) {
	d := &decoder{&binding.Decoder{File: name, Options: opts}}
	f := &File{}
	d.Services(data, func(k, v *yaml.Node) {
		if binding.Kind(v) == binding.HTTP {
			f.Services = append(f.Services, d.service(k, v))
		}
	})
	if len(d.Problems) > 0 {
		return nil, d.Problems.Sorted()
	}
	for _, s := range f.Services {
		s.Secrets = d.Secrets()
	}
	return f, nil
}

func (d *decoder) service(k, n *yaml.Node) *Service {
	s := &Service{keyHeader: "Idempotency-Key"}
	var base *yaml.Node
	var later binding.Later
	s.Common, later = d.Common(k, n, map[string]func(string, *yaml.Node){
		"base_url":           func(_ string, v *yaml.Node) { base = v },
		"headers":            func(key string, v *yaml.Node) { s.headers = d.headers(v, key, ofOne()) },
		"idempotency_header": func(key string, v *yaml.Node) { s.keyHeader = d.keyHeader(v, key) },
		"statuses":           func(key string, v *yaml.Node) { s.statuses = d.statuses(v, key) },
	})
	if base == nil {
		d.Problem(k, binding.Join(s.Name, "base_url"), "this key is missing", "Write where the API is, such as http://payment.internal:8080")
	} else {
		d.baseURL(base, binding.Join(s.Name, "base_url"), s)
	}
	d.Credentials(&s.Common, later, slices.ContainsFunc(s.headers, func(h header) bool { return strings.EqualFold(h.name, "Authorization") }))
	d.Tasks(k, &s.Common, later, func(k, v *yaml.Node) { s.Tasks = append(s.Tasks, d.task(s, k, v)) })
	return s
}

// baseURL fixes scheme, host and port, and tells at load what the dialler would
// refuse for ever.
func (d *decoder) baseURL(n *yaml.Node, key string, s *Service) {
	src, ok := d.Str(n, key)
	if !ok {
		return
	}
	if strings.ContainsAny(src, "{}$") {
		d.Problem(n, key, "base_url is fixed: it has no {fields} and no secrets", "Write scheme, host and port as they are; a payload may fill the path's segments only")
		return
	}
	u, err := url.Parse(src)
	switch {
	case err != nil:
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		d.Problem(n, key, fmt.Sprintf("this is not a URL: %v", err), "Write it like http://payment.internal:8080")
		return
	case u.Scheme != "http" && u.Scheme != "https":
		d.Problem(n, key, fmt.Sprintf("the scheme is %q", u.Scheme), "Begin with http:// or https://")
		return
	case u.Hostname() == "":
		d.Problem(n, key, "there is no host", "Write it like http://payment.internal:8080")
		return
	case u.User != nil:
		d.Problem(n, key, "user and password do not belong into a URL", "Send them as a header: Authorization: \"Basic ${env:PAYMENT_BASIC}\"")
		return
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		d.Problem(n, key, "base_url ends before any ? or #", "Put parameters into query of the task")
		return
	}
	if err := checkStaticPath(u.EscapedPath()); u.Path != "" && err != nil {
		d.Problem(n, key, err.Error(), "Write a plain path prefix, such as /api/v2")
		return
	}
	s.base = u
	s.Dial.Loopback = binding.IsLoopback(u.Hostname())
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := s.Dial.Check(ip); err != nil {
			d.Problem(n, key, err.Error(), "")
		}
	}
}

func (d *decoder) keyHeader(n *yaml.Node, key string) string {
	name, ok := d.Str(n, key)
	if !ok || binding.HeaderName(name) != nil || reservedHeader(name) && !strings.EqualFold(name, "Idempotency-Key") || binding.CredentialHeader(name) || strings.EqualFold(name, "Content-Type") {
		d.Problem(n, key, fmt.Sprintf("%q cannot be the header of the idempotency key", n.Value), "Use Idempotency-Key or a name of the API's own, such as X-Request-Id")
	}
	return name
}
