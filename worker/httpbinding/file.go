package httpbinding

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/odradek/odradek/internal/spell"
	"github.com/odradek/odradek/topology"
	"github.com/odradek/odradek/worker"
)

// Limits of a file. What an API needs beyond them belongs into a handler in Go.
const (
	concurrencyDefault   = 32
	concurrencyMax       = 1024
	burstMax             = 1_000_000
	timeoutDefault       = 30 * time.Second
	timeoutMax           = 24 * time.Hour
	retryAfterMaxDefault = 10 * time.Minute
	answerBytesDefault   = 1 << 20
	answerBytesMax       = 16 << 20
	fileBytesMax         = 4 << 20
)

// Options change how a file is read.
type Options struct {
	// WithoutSecrets leaves ${env:...} and ${file:...} unresolved: for a check where the
	// secrets are not. Such a file's handlers would send empty values.
	WithoutSecrets bool
}

// File is a valid bindings file.
type File struct {
	Services []*Service // in the file's order
}

// Service is one API.
type Service struct {
	Name        string
	Concurrency int         // calls at the same time, over all workers
	Rate        worker.Rate // calls that begin in a time, over all workers; zero: no limit
	Tasks       []*Task     // in the file's order

	base    *url.URL // scheme, host, port and path prefix of every request
	timeout time.Duration
	headers []header
	dial    dialPolicy
	auth    *auth // nil: headers, or nothing
	tls     *tlsFiles
	// tokenLoopback: the token endpoint's address says loopback.
	tokenLoopback bool
	keyHeader     string
	retryMax      time.Duration
	answerBytes   int64
	statuses      statuses
}

// Task is the binding of one operation.
type Task struct {
	Operation string
	Timeout   time.Duration // of an attempt

	service     *Service
	key         string // service.operation, for messages
	method      string
	path        []value // alternately literal text and references; escaped when used
	query       []param
	headers     []header // the service's first
	cookies     []param
	body        value // nil: none, or the input as it is if wholeBody
	wholeBody   bool
	encoding    encoding // of the body
	result      resultMapping
	retryMax    time.Duration
	answerBytes int64
	statuses    statuses
}

// param is one query parameter, header one header line.
type param struct {
	name  string
	value value
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
func Load(path string, opts Options) (*File, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read bindings: %w", err)
	}
	return Parse(path, b, opts)
}

// Parse reads the services of a file; other top-level keys are the worker's
// configuration and not looked at. name stands in messages. The error is Problems.
func Parse(name string, data []byte, opts Options) (*File, error) {
	d := &decoder{file: name, opts: opts}
	f := d.parse(data)
	if len(d.problems) > 0 {
		return nil, d.problems.Sorted()
	}
	return f, nil
}

// yamlLine finds the line in an error of the YAML parser.
var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

func (d *decoder) parse(data []byte) *File {
	if len(data) > fileBytesMax {
		d.problem(nil, "", fmt.Sprintf("the file has %d bytes, at most %d are read", len(data), fileBytesMax), "Split it over several workers")
		return nil
	}
	var doc yaml.Node
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	if err := dec.Decode(&doc); err != nil {
		if len(strings.TrimSpace(string(data))) == 0 {
			d.problem(nil, "", "the file is empty", "Begin with services:")
			return nil
		}
		at := &yaml.Node{}
		m := yamlLine.FindStringSubmatch(err.Error())
		if m != nil {
			at.Line, _ = strconv.Atoi(m[1])
		}
		d.problem(at, "", "this is not YAML: "+strings.TrimPrefix(err.Error(), strings.Join(m[:min(1, len(m))], "")), "Look for a wrong indent, a tab, or a missing quote")
		return nil
	}
	var more yaml.Node
	if dec.Decode(&more) == nil {
		d.problem(&more, "", "the file holds a second document", "Remove everything from the second --- on")
		return nil
	}
	left := nodesMax
	if len(doc.Content) == 0 || !bounded(&doc, &left, 0) {
		d.problem(&doc, "", "the file is empty, too large, or an alias contains itself", fmt.Sprintf("With aliases written out it may have %d values", nodesMax))
		return nil
	}
	f := &File{}
	found := false
	d.mapping(doc.Content[0], "", func(k, v *yaml.Node) {
		if k.Value != "services" {
			return
		}
		found = true
		d.mapping(v, "services", func(k, v *yaml.Node) {
			if s := d.service(k, v); s != nil {
				f.Services = append(f.Services, s)
			}
		})
		if len(f.Services) == 0 && len(d.problems) == 0 {
			d.problem(v, "services", "there is no service", "Add one, or remove the worker")
		}
	})
	if !found && len(d.problems) == 0 {
		fix := "Add the services that this worker calls"
		d.mapping(doc.Content[0], "", func(k, _ *yaml.Node) {
			if spell.Nearest(k.Value, []string{"services"}) != "" {
				fix = fmt.Sprintf("Did you mean it with %q in line %d?", k.Value, k.Line)
			}
		})
		d.problem(doc.Content[0], "services", "this key is missing", fix)
	}
	return f
}

func (d *decoder) service(k, n *yaml.Node) *Service {
	s := &Service{
		Name: k.Value, Concurrency: concurrencyDefault, timeout: timeoutDefault,
		keyHeader: "Idempotency-Key", retryMax: retryAfterMaxDefault, answerBytes: answerBytesDefault,
	}
	if err := topology.CheckService(s.Name); err != nil {
		d.problem(k, s.Name, err.Error(), "")
	}
	key := s.Name
	var base, cidrs, tasks, credentials, certificates, burst *yaml.Node
	d.fields(n, key, map[string]func(string, *yaml.Node){
		"base_url":           func(_ string, v *yaml.Node) { base = v },
		"concurrency":        func(key string, v *yaml.Node) { s.Concurrency = d.integer(v, key, 1, concurrencyMax) },
		"rate":               func(key string, v *yaml.Node) { s.Rate = d.rate(v, key) },
		"burst":              func(_ string, v *yaml.Node) { burst = v },
		"timeout":            func(key string, v *yaml.Node) { s.timeout = d.duration(v, key, timeoutMax) },
		"headers":            func(key string, v *yaml.Node) { s.headers = d.headers(v, key) },
		"auth":               func(_ string, v *yaml.Node) { credentials = v },
		"tls":                func(_ string, v *yaml.Node) { certificates = v },
		"allow_cidrs":        func(_ string, v *yaml.Node) { cidrs = v },
		"idempotency_header": func(key string, v *yaml.Node) { s.keyHeader = d.keyHeader(v, key) },
		"retry_after_max":    func(key string, v *yaml.Node) { s.retryMax = d.duration(v, key, 24*time.Hour) },
		"answer_bytes_max":   func(key string, v *yaml.Node) { s.answerBytes = d.size(v, key, answerBytesMax) },
		"statuses":           func(key string, v *yaml.Node) { s.statuses = d.statuses(v, key) },
		"tasks":              func(_ string, v *yaml.Node) { tasks = v },
	})
	if burst != nil { // behind rate
		d.burst(burst, join(key, "burst"), &s.Rate)
	}
	if cidrs != nil {
		d.cidrs(cidrs, join(key, "allow_cidrs"), s)
	}
	if base == nil {
		d.problem(k, join(key, "base_url"), "this key is missing", "Write where the API is, such as http://payment.internal:8080")
	} else {
		d.baseURL(base, join(key, "base_url"), s)
	}
	if credentials != nil { // behind allow_cidrs and headers
		d.auth(credentials, join(key, "auth"), s)
	}
	if certificates != nil {
		d.tls(certificates, join(key, "tls"), s)
	}
	if tasks == nil {
		d.problem(k, join(key, "tasks"), "this key is missing", "Bind at least one operation")
		return s
	}
	d.mapping(tasks, join(key, "tasks"), func(k, v *yaml.Node) {
		if t := d.task(s, k, v); t != nil {
			s.Tasks = append(s.Tasks, t)
		}
	})
	return s
}

// baseURL fixes scheme, host and port, and tells at load what the dialler would
// refuse for ever.
func (d *decoder) baseURL(n *yaml.Node, key string, s *Service) {
	src, ok := d.str(n, key)
	if !ok {
		return
	}
	if strings.ContainsAny(src, "{}$") {
		d.problem(n, key, "base_url is fixed: it has no {fields} and no secrets", "Write scheme, host and port as they are; a payload may fill the path's segments only")
		return
	}
	u, err := url.Parse(src)
	switch {
	case err != nil:
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		d.problem(n, key, fmt.Sprintf("this is not a URL: %v", err), "Write it like http://payment.internal:8080")
		return
	case u.Scheme != "http" && u.Scheme != "https":
		d.problem(n, key, fmt.Sprintf("the scheme is %q", u.Scheme), "Begin with http:// or https://")
		return
	case u.Hostname() == "":
		d.problem(n, key, "there is no host", "Write it like http://payment.internal:8080")
		return
	case u.User != nil:
		d.problem(n, key, "user and password do not belong into a URL", "Send them as a header: Authorization: \"Basic ${env:PAYMENT_BASIC}\"")
		return
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		d.problem(n, key, "base_url ends before any ? or #", "Put parameters into query of the task")
		return
	}
	if err := checkStaticPath(u.EscapedPath()); u.Path != "" && err != nil {
		d.problem(n, key, err.Error(), "Write a plain path prefix, such as /api/v2")
		return
	}
	s.base = u
	s.dial.loopback = isLoopback(u.Hostname())
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil {
		if err := s.dial.check(ip); err != nil {
			d.problem(n, key, err.Error(), "")
		}
	}
}

func (d *decoder) cidrs(n *yaml.Node, key string, s *Service) {
	if n.Kind != yaml.SequenceNode {
		d.problem(n, key, "this must be a list", "Write it like [10.0.0.0/8]")
		return
	}
	for _, c := range n.Content {
		c = resolve(c)
		p, err := netip.ParsePrefix(c.Value)
		if err != nil {
			d.problem(c, key, fmt.Sprintf("%q is not a range of addresses", c.Value), "Write it like 10.0.0.0/8 or fd00:1::/32")
			continue
		}
		if p.Masked() != p {
			d.problem(c, key, fmt.Sprintf("%s has bits behind its length", p), fmt.Sprintf("Write %s", p.Masked()))
			continue
		}
		s.dial.allow = append(s.dial.allow, p)
	}
}

func (d *decoder) keyHeader(n *yaml.Node, key string) string {
	name, ok := d.str(n, key)
	if !ok || headerName(name) != nil || reservedHeader(name) && !strings.EqualFold(name, "Idempotency-Key") {
		d.problem(n, key, fmt.Sprintf("%q cannot be the header of the idempotency key", n.Value), "Use Idempotency-Key or a name of the API's own, such as X-Request-Id")
	}
	return name
}
