package grpcbinding

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr/types"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/odradek/odradek/internal/spell"
	"github.com/odradek/odradek/topology"
	"github.com/odradek/odradek/worker/binding"
)

// File is what a valid bindings file says of gRPC APIs.
type File struct {
	Services []*Service // in the file's order
	// Descriptors are the files that the services name: a change of one is a change of the
	// bindings.
	Descriptors []Descriptors
}

// Descriptors is a file of descriptors as it was read.
type Descriptors struct {
	Path string
	Sum  [sha256.Size]byte
}

// Service is one API.
type Service struct {
	binding.Common
	Tasks []*Task // in the file's order

	address   string // host:port
	plaintext bool
	methods   *methods
	metadata  []param
	keyName   string
	codes     codeClasses
}

// Task is the binding of one operation.
type Task struct {
	Operation string
	Timeout   time.Duration // of an attempt

	service     *Service
	key         string // service.operation, for messages
	method      protoreflect.MethodDescriptor
	metadata    []param       // the service's first
	body        binding.Value // nil: none, or the input as it is if wholeBody
	wholeBody   bool
	result      binding.Value // nil: none, or the answer as it is if wholeResult
	wholeResult bool
	retryMax    time.Duration
	answerBytes int64
	codes       codeClasses
}

// param is one line of metadata.
type param struct {
	name  string
	value binding.Value
}

// metadataMax and metadataBytesMax bound what a request carries; servers refuse 8 to 16 KB.
const (
	metadataMax      = 64
	metadataBytesMax = 8 << 10
)

// answerAttrs and answerVars are what result templates and expressions may use beside the
// answer's message.
var answerAttrs = []string{"code"}

func answerVars() types.Map {
	return types.Map{"body": types.Any, "code": types.String, "metadata": types.TypeOf(map[string]string{}), "input": types.Any}
}

// decoder reads the services that are gRPC APIs.
type decoder struct {
	*binding.Decoder
	dir string // of the file: paths of descriptors begin there
}

// Parse reads the services of a file that are of the kind grpc. name stands in messages, and
// descriptors are looked for beside it. The error is binding.Problems.
func Parse(name string, data []byte, opts binding.Options) (*File, error) {
	d := &decoder{&binding.Decoder{File: name, Options: opts}, filepath.Dir(name)}
	f := &File{}
	d.Services(data, func(k, v *yaml.Node) {
		if binding.Kind(v) == binding.GRPC {
			f.Services = append(f.Services, d.service(f, k, v))
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

func (d *decoder) service(f *File, k, n *yaml.Node) *Service {
	s := &Service{keyName: "idempotency-key"}
	var address, descriptors *yaml.Node
	var later binding.Later
	s.Common, later = d.Common(k, n, map[string]func(string, *yaml.Node){
		"address":              func(_ string, v *yaml.Node) { address = v },
		"descriptors":          func(_ string, v *yaml.Node) { descriptors = v },
		"plaintext":            func(key string, v *yaml.Node) { s.plaintext = d.yes(v, key) },
		"metadata":             func(key string, v *yaml.Node) { s.metadata = d.metadata(v, key) },
		"idempotency_metadata": func(key string, v *yaml.Node) { s.keyName = d.keyName(v, key) },
		"codes":                func(key string, v *yaml.Node) { s.codes = d.codes(v, key) },
	})
	if address == nil {
		d.Problem(k, binding.Join(s.Name, "address"), "this key is missing", "Write where the API is, such as payment.internal:9090")
	} else {
		d.address(address, binding.Join(s.Name, "address"), s)
	}
	d.Credentials(&s.Common, later, slices.ContainsFunc(s.metadata, func(p param) bool { return p.name == "authorization" }))
	if later.TLS != nil && s.plaintext {
		d.Problem(later.TLS, binding.Join(s.Name, "tls"), "plaintext and tls are both there", "Remove one")
	}
	if descriptors == nil {
		d.Problem(k, binding.Join(s.Name, "descriptors"), "this key is missing", "Name the file of descriptors: svcworker import grpc writes it, and protoc --include_imports --descriptor_set_out does")
	} else {
		d.descriptors(descriptors, binding.Join(s.Name, "descriptors"), s, f)
	}
	d.Tasks(k, &s.Common, later, func(k, v *yaml.Node) { s.Tasks = append(s.Tasks, d.task(s, k, v)) })
	return s
}

// yes reads true or false.
func (d *decoder) yes(n *yaml.Node, key string) bool {
	var v bool
	if n.Tag != "!!bool" || n.Decode(&v) != nil {
		d.Problem(n, key, fmt.Sprintf("%q is neither true nor false", n.Value), "Write true, or remove the line")
	}
	return v
}

// address fixes host and port, and tells at load what the dialler would refuse for ever.
func (d *decoder) address(n *yaml.Node, key string, s *Service) {
	src, ok := d.Str(n, key)
	if !ok {
		return
	}
	const fix = "Write it like payment.internal:9090"
	if strings.ContainsAny(src, "{}$") {
		d.Problem(n, key, "the address is fixed: it has no {fields} and no secrets", fix)
		return
	}
	if strings.Contains(src, "/") {
		d.Problem(n, key, fmt.Sprintf("%q has a scheme or a path", src), fix+"; TLS is used unless plaintext: true says otherwise")
		return
	}
	host, port, err := net.SplitHostPort(src)
	if number, bad := strconv.Atoi(port); err != nil || host == "" || bad != nil || number < 1 || number > 65535 {
		d.Problem(n, key, fmt.Sprintf("%q is not a host and a port", src), fix)
		return
	}
	s.address = src
	s.Dial.Loopback = binding.IsLoopback(host)
	if ip, err := netip.ParseAddr(host); err == nil {
		if err := s.Dial.Check(ip); err != nil {
			d.Problem(n, key, err.Error(), "")
		}
	}
}

func (d *decoder) descriptors(n *yaml.Node, key string, s *Service, f *File) {
	path, ok := d.Str(n, key)
	if !ok {
		return
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(d.dir, path)
	}
	b, err := readDescriptors(path)
	if err == nil {
		s.methods, err = newMethods(b)
	}
	if err != nil {
		d.Problem(n, key, fmt.Sprintf("the descriptors cannot be used: %v", err), "Write the path from this file on, of a set that has its imports")
	}
	f.Descriptors = append(f.Descriptors, Descriptors{path, sha256.Sum256(b)})
}

// descriptorBytesMax bounds a file of descriptors.
const descriptorBytesMax = 64 << 20

func readDescriptors(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > descriptorBytesMax {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are read", path, info.Size(), descriptorBytesMax)
	}
	return os.ReadFile(path)
}

func (d *decoder) task(s *Service, k, n *yaml.Node) *Task {
	t := &Task{
		Operation: k.Value, Timeout: s.Timeout, service: s, key: s.Name + "." + k.Value,
		wholeBody: true, wholeResult: true, retryMax: s.RetryAfterMax, answerBytes: s.AnswerBytes, codes: s.codes,
		metadata: slices.Clip(s.metadata),
	}
	if err := topology.CheckName("operation", t.Operation); err != nil {
		d.Problem(k, t.key, err.Error(), "")
	}
	var method, body *yaml.Node
	d.Fields(n, t.key, map[string]func(string, *yaml.Node){
		"method":           func(_ string, v *yaml.Node) { method = v },
		"metadata":         func(key string, v *yaml.Node) { t.metadata = append(t.metadata, d.metadata(v, key)...) },
		"body":             func(_ string, v *yaml.Node) { body = v },
		"result":           func(key string, v *yaml.Node) { d.result(v, key, t) },
		"timeout":          func(key string, v *yaml.Node) { t.Timeout = d.Duration(v, key, binding.TimeoutMax) },
		"retry_after_max":  func(key string, v *yaml.Node) { t.retryMax = d.Duration(v, key, binding.RetryAfterMaxMax) },
		"answer_bytes_max": func(key string, v *yaml.Node) { t.answerBytes = d.Size(v, key, binding.AnswerBytesMax) },
		"codes":            func(key string, v *yaml.Node) { t.codes = s.codes.with(d.codes(v, key)) },
	})
	switch {
	case method == nil:
		d.Problem(k, binding.Join(t.key, "method"), "this key is missing", "Write the method with its service, such as acme.payment.v1.Payments/Request")
	case s.methods != nil: // else it is told already
		d.method(method, binding.Join(t.key, "method"), t)
	}
	if body != nil {
		d.body(body, binding.Join(t.key, "body"), t)
	}
	for _, p := range t.metadata {
		if p.name == s.keyName {
			d.Problem(k, binding.Join(t.key, "metadata."+p.name), "the worker sends the task's key under this name: it is the service's idempotency_metadata", "Remove the line")
		}
	}
	if n := len(t.metadata); n > metadataMax {
		d.Problem(k, binding.Join(t.key, "metadata"), fmt.Sprintf("there are %d lines of metadata", n), fmt.Sprintf("At most %d are sent", metadataMax))
	}
	return t
}

func (d *decoder) method(n *yaml.Node, key string, t *Task) {
	name, ok := d.Str(n, key)
	if !ok {
		return
	}
	t.method = t.service.methods.byName[strings.TrimPrefix(name, "/")]
	switch {
	case t.method == nil:
		names := binding.SortedKeys(t.service.methods.byName)
		fix := "There are " + strings.Join(names[:min(len(names), 10)], ", ")
		if near := spell.Nearest(name, names); near != "" {
			fix = fmt.Sprintf("Did you mean %q?", near)
		} else if len(names) == 0 {
			fix = "They have no service at all"
		}
		d.Problem(n, key, fmt.Sprintf("the descriptors have no method %q", name), fix)
	case t.method.IsStreamingClient() || t.method.IsStreamingServer():
		d.Problem(n, key, name+" streams, and a task is one request with one answer", "Bind a unary method, or write a handler in Go")
	}
}

// body reads input, none, or a template of the request's message.
func (d *decoder) body(n *yaml.Node, key string, t *Task) {
	t.wholeBody = false
	if n.Kind == yaml.ScalarNode && (n.Value == "none" || n.Value == "input") {
		t.wholeBody = n.Value == "input"
		return
	}
	t.body = d.Tree(n, key, binding.Place{Attrs: binding.RequestAttrs, Vars: binding.RequestVars(), Optional: true, References: true})
	if l, ok := t.body.(binding.Literal); ok {
		d.Problem(n, key, fmt.Sprintf("the body is the constant %q", fmt.Sprint(l.V)), "Write input, none, a mapping, a {field} or an = expression")
	}
	if t.method != nil {
		d.fieldsOf(n, key, t.method.Input())
	}
}

// fieldsOf tells names of a mapping that the message does not have.
func (d *decoder) fieldsOf(n *yaml.Node, key string, m protoreflect.MessageDescriptor) {
	n = binding.Resolve(n)
	if n.Kind != yaml.MappingNode || wellKnown(m) {
		return
	}
	var names []string
	for i := range m.Fields().Len() {
		names = append(names, m.Fields().Get(i).JSONName())
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		field := m.Fields().ByJSONName(k.Value)
		if field == nil {
			field = m.Fields().ByTextName(k.Value)
		}
		if field == nil {
			fix := "It has " + strings.Join(names[:min(len(names), 20)], ", ")
			if near := spell.Nearest(k.Value, names); near != "" {
				fix = fmt.Sprintf("Did you mean %q?", near)
			}
			d.Problem(k, key+"."+k.Value, fmt.Sprintf("%s has no field %q", m.FullName(), k.Value), fix)
			continue
		}
		if field.Message() != nil && !field.IsList() && !field.IsMap() {
			d.fieldsOf(n.Content[i+1], key+"."+k.Value, field.Message())
		}
	}
}

// wellKnown reports whether the message's JSON is not an object of its fields.
func wellKnown(m protoreflect.MessageDescriptor) bool {
	return m.FullName().Parent() == "google.protobuf"
}

// result reads body, none, or a template over the answer's message.
func (d *decoder) result(n *yaml.Node, key string, t *Task) {
	t.wholeResult = false
	if n.Kind == yaml.ScalarNode && (n.Value == "none" || n.Value == "body") {
		t.wholeResult = n.Value == "body"
		return
	}
	t.result = d.Tree(n, key, binding.Place{Attrs: answerAttrs, Vars: answerVars(), Optional: true, References: true})
	if l, ok := t.result.(binding.Literal); ok {
		d.Problem(n, key, fmt.Sprintf("the result is the constant %q", fmt.Sprint(l.V)), "Write body, none, a mapping, a {field} of the answer or an = expression")
	}
}

// metadata compiles lines of metadata and refuses those that a file or a payload may not set.
func (d *decoder) metadata(n *yaml.Node, key string) (out []param) {
	d.Mapping(n, key, func(k, v *yaml.Node) {
		at := binding.Place{Attrs: binding.RequestAttrs, Vars: binding.RequestVars(), Optional: true, References: true, Secrets: true}
		line, name := key+"."+k.Value, strings.ToLower(k.Value)
		switch {
		case !metadataName(name):
			d.Problem(k, line, fmt.Sprintf("%q is not a name of metadata", k.Value), "Use letters, digits, - _ and .")
			return
		case slices.ContainsFunc(out, func(p param) bool { return p.name == name }):
			d.Problem(k, line, "this name stands here twice, with other capitals", "Remove one")
			return
		case name == "idempotency-key":
			d.Problem(k, line, "the worker sends the task's key itself, the same on all attempts", "Remove the line; to send it under another name, set idempotency_metadata of the service")
			return
		case reserved(name):
			d.Problem(k, line, "this metadata is the worker's or the connection's", "Remove the line")
			return
		case binding.CredentialHeader(name):
			at.References, at.Vars, at.Attrs = false, nil, nil
			at.NoRefReason = "Credentials come from the file: ${env:NAME} or ${file:PATH}"
		}
		if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
			d.Problem(v, line, "a value of metadata is text", "")
			return
		}
		compiled := d.Template(v, line, v.Value, at)
		if l, ok := compiled.(binding.Literal); ok && metadataValue(name, fmt.Sprint(l.V)) != nil {
			d.Problem(v, line, "the value has characters that no metadata may carry", "Use printable ASCII, or a name that ends in -bin")
		}
		out = append(out, param{name, compiled})
	})
	return out
}

func (d *decoder) keyName(n *yaml.Node, key string) string {
	name, ok := d.Str(n, key)
	if name = strings.ToLower(name); !ok || !metadataName(name) || reserved(name) || binding.CredentialHeader(name) {
		d.Problem(n, key, fmt.Sprintf("%q cannot be the metadata of the idempotency key", n.Value), "Use idempotency-key or a name of the API's own, such as x-request-id")
	}
	return name
}

// metadataName reports whether gRPC allows the name.
func metadataName(s string) bool {
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return s != "" && len(s) <= 200
}

// metadataValue reports why gRPC does not carry the value under the name.
func metadataValue(name, s string) error {
	if strings.HasSuffix(name, "-bin") { // sent in base64
		return nil
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return fmt.Errorf("it has a character that is not printable ASCII, which no metadata may carry; a name that ends in -bin carries all")
		}
	}
	return nil
}

// reserved reports whether neither file nor payload may set the metadata.
func reserved(name string) bool {
	switch name {
	case "content-type", "te", "user-agent", "host", "connection", "keep-alive", "proxy-connection", "proxy-authorization", "trailer", "upgrade",
		"content-length", "transfer-encoding", "traceparent", "tracestate", "baggage":
		return true
	}
	return strings.HasPrefix(name, "grpc-")
}

// String is the method as the file says it, with its address.
func (t *Task) String() string {
	scheme := "grpcs://"
	if t.service.plaintext {
		scheme = "grpc://"
	}
	return scheme + t.service.address + fullMethod(t.method)
}
