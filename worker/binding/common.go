package binding

import (
	"fmt"
	"maps"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/odradek/odradek/topology"
	"github.com/odradek/odradek/worker"
)

// Common is what the services of a file have in common, whatever they speak.
type Common struct {
	Name           string
	worker.Service               // limits of calls, over all workers
	Timeout        time.Duration // of an attempt, where the task has none
	RetryAfterMax  time.Duration
	AnswerBytes    int64
	Dial           DialPolicy
	Auth           *Auth // nil: its headers or metadata, or nothing
	TLS            *TLSFiles
	Secrets        []string // of the file: they are taken out of what the API says
}

// Later are the nodes of a service that are read when the rest of it is known.
type Later struct {
	Auth, TLS, Tasks *yaml.Node // nil: the key is missing
}

// Common reads the keys that all kinds of services have; own are those of its kind.
func (d *Decoder) Common(k, n *yaml.Node, own map[string]func(key string, v *yaml.Node)) (s Common, later Later) {
	s = Common{
		Name: k.Value, Service: worker.Service{Concurrency: ConcurrencyDefault},
		Timeout: TimeoutDefault, RetryAfterMax: RetryAfterMaxDefault, AnswerBytes: AnswerBytesDefault,
	}
	if err := topology.CheckService(s.Name); err != nil {
		d.Problem(k, s.Name, err.Error(), "")
	}
	var cidrs, burst *yaml.Node
	known := map[string]func(string, *yaml.Node){
		"kind":             func(string, *yaml.Node) {}, // known, or this would not be asked
		"concurrency":      func(key string, v *yaml.Node) { s.Concurrency = d.Integer(v, key, 1, ConcurrencyMax) },
		"rate":             func(key string, v *yaml.Node) { s.Rate = d.Rate(v, key) },
		"burst":            func(_ string, v *yaml.Node) { burst = v },
		"per_key":          func(key string, v *yaml.Node) { s.PerKey = d.PerKey(v, key, ConcurrencyMax) },
		"timeout":          func(key string, v *yaml.Node) { s.Timeout = d.Duration(v, key, TimeoutMax) },
		"retry_after_max":  func(key string, v *yaml.Node) { s.RetryAfterMax = d.Duration(v, key, RetryAfterMaxMax) },
		"answer_bytes_max": func(key string, v *yaml.Node) { s.AnswerBytes = d.Size(v, key, AnswerBytesMax) },
		"allow_cidrs":      func(_ string, v *yaml.Node) { cidrs = v },
		"auth":             func(_ string, v *yaml.Node) { later.Auth = v },
		"tls":              func(_ string, v *yaml.Node) { later.TLS = v },
		"tasks":            func(_ string, v *yaml.Node) { later.Tasks = v },
	}
	maps.Copy(known, own)
	d.Fields(n, s.Name, known)
	if burst != nil { // behind rate
		d.Burst(burst, Join(s.Name, "burst"), &s.Rate)
	}
	if cidrs != nil {
		d.CIDRs(cidrs, Join(s.Name, "allow_cidrs"), &s.Dial)
	}
	return s, later
}

// Credentials reads how the service is called: behind what may be dialled, and behind its
// headers or metadata; taken: they have an authorization already.
func (d *Decoder) Credentials(s *Common, later Later, taken bool) {
	if later.Auth != nil {
		s.Auth = d.Auth(later.Auth, Join(s.Name, "auth"), s.Dial, taken)
	}
	if later.TLS != nil {
		s.TLS = d.TLS(later.TLS, Join(s.Name, "tls"))
	}
}

// Tasks reads the tasks of a service.
func (d *Decoder) Tasks(k *yaml.Node, s *Common, later Later, task func(k, v *yaml.Node)) {
	if later.Tasks == nil {
		d.Problem(k, Join(s.Name, "tasks"), "this key is missing", "Bind at least one operation")
		return
	}
	d.Mapping(later.Tasks, Join(s.Name, "tasks"), task)
}

// Shape is what a worker is started with of a service, in lines, but for its tasks.
func (s *Common) Shape() []string {
	return []string{
		fmt.Sprintf("%s: concurrency %d", s.Name, s.Concurrency),
		fmt.Sprintf("%s: rate %s burst %d", s.Name, s.Rate, s.Rate.Burst),
		fmt.Sprintf("%s: per key concurrency %d rate %s burst %d", s.Name, s.PerKey.Concurrency, s.PerKey.Rate, s.PerKey.Rate.Burst),
	}
}
