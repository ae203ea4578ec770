package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/topology"
)

const (
	// concurrencyDefault suits handlers that wait for something else.
	concurrencyDefault = 64
	// concurrencyMax bounds the goroutines, and the open records of a partition whose
	// commit metadata still fits (W3).
	concurrencyMax = 1024
	// payloadBytesMax bounds a result (F5).
	payloadBytesMax = 512 << 10
)

// Config says what a Worker serves and how. The zero value of everything but
// Namespace, Handlers and Kafka is usable.
type Config struct {
	// Namespace of the deployment: the prefix of its topics and groups. Required.
	Namespace string
	// Handlers of all services that this worker serves. All tasks of a service belong
	// in one worker: the group of a service has one kind of member. Required.
	Handlers []Handler
	// Services holds settings by service name. A service with settings and without
	// handlers is refused.
	Services map[string]Service
	// Kafka says how to reach Kafka: kgo.SeedBrokers, TLS, SASL, a client ID, a logger.
	// What the protocol needs is added by the worker and wins. Required.
	Kafka []kgo.Opt

	// CommitInterval is the pause between two commits of a service. Default 200 ms.
	// What is finished and not yet committed when a worker is killed is done again,
	// with the same idempotency key.
	CommitInterval time.Duration
	// SessionTimeout is how long the group waits for a dead member's heartbeat.
	// Default 10 s (P4).
	SessionTimeout time.Duration
	// HeartbeatInterval is the pause between heartbeats, and how soon a member hears of
	// a rebalance. Default 1 s (P4).
	HeartbeatInterval time.Duration
	// RebalanceTimeout bounds how long a partition that moves waits for its running
	// calls. Default 60 s; calls still open after nine tenths of it are cancelled (W5).
	RebalanceTimeout time.Duration
	// DrainTimeout bounds how long Stop waits for running calls before it cancels
	// them. Default 20 s, which fits in the 30 s that Kubernetes gives.
	DrainTimeout time.Duration
	// Instance names the worker in its row on the topic status. Default: the host's name,
	// the process's number and a few random letters.
	Instance string
	// Build names the binary there.
	Build string
	// StatusEvery is how often it writes the row. Default 5s.
	StatusEvery time.Duration
	// StartsMax is how many starts may end without a result because the worker died
	// before the record is reported as a failure instead (W3). Default 5.
	StartsMax uint32
	// TokenKey signs the tokens of tasks that are completed from outside (Call.Token): the
	// engine's key. Default: tokens are not signed.
	TokenKey []byte
	// Listener is told what happens. Optional.
	Listener Listener
	// Logger receives what an operator must know. Default slog.Default().
	Logger *slog.Logger
}

// Service is the settings of one service.
type Service struct {
	// Concurrency is how many calls run at the same time, over all workers of the
	// service: each of its M task partitions carries its share of the permits, so M
	// may not exceed it (W2). Default 64, at most 1024.
	Concurrency int
	// Rate is how many calls begin in a time, over all workers of the service, divided
	// like the permits. A call that the service answers with Retry-After pauses the
	// worker's part of it for so long, up to 30 s. Default: no limit.
	Rate Rate
	// PerKey limits the calls of each key of limits (workflow.LimitBy) as well. Default:
	// no limit.
	PerKey KeyLimit
}

// WithDefaults fills what is zero.
func (c Config) WithDefaults() Config {
	c.CommitInterval = orDuration(c.CommitInterval, 200*time.Millisecond)
	c.SessionTimeout = orDuration(c.SessionTimeout, 10*time.Second)
	c.HeartbeatInterval = orDuration(c.HeartbeatInterval, time.Second)
	c.RebalanceTimeout = orDuration(c.RebalanceTimeout, time.Minute)
	c.DrainTimeout = orDuration(c.DrainTimeout, 20*time.Second)
	c.StatusEvery = orDuration(c.StatusEvery, 5*time.Second)
	if c.Instance == "" {
		host, _ := os.Hostname()
		c.Instance = fmt.Sprintf("%s-%d-%s", host, os.Getpid(), strings.ToLower(rand.Text()[:6]))
	}
	if c.StartsMax == 0 {
		c.StartsMax = 5
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func orDuration(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

// ErrConfig is wrapped by every error of Validate.
var ErrConfig = errors.New("worker configuration")

// Validate reports what a worker cannot run with. It expects defaults filled in.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...))
	}
	if err := topology.CheckName("namespace", c.Namespace); err != nil {
		bad("%w", err)
	}
	if len(c.Kafka) == 0 {
		bad("Kafka is missing: it says how to reach Kafka, such as kgo.SeedBrokers")
	}
	if len(c.Handlers) == 0 {
		bad("there is no handler: a worker without one would take tasks that it cannot do")
	}
	byService := c.handlers()
	seen := map[[2]string]bool{}
	for _, h := range c.Handlers {
		if err := topology.CheckService(h.Service); err != nil {
			bad("%w", err)
		}
		if (topology.Names{Namespace: c.Namespace}).ServiceGroup(h.Service) == (topology.Names{Namespace: c.Namespace}).Group() {
			bad("service %q would share the engine's consumer group; call it otherwise", h.Service)
		}
		if err := topology.CheckName("operation", h.Operation); err != nil {
			bad("%w of service %s", err, h.Service)
		}
		if h.Call == nil {
			bad("the handler of %s.%s has no function", h.Service, h.Operation)
		}
		if seen[[2]string{h.Service, h.Operation}] {
			bad("%s.%s has two handlers; keep one", h.Service, h.Operation)
		}
		seen[[2]string{h.Service, h.Operation}] = true
	}
	for _, service := range slices.Sorted(maps.Keys(c.Services)) {
		if byService[service] == nil {
			bad("service %q has settings and no handler", service)
		}
		if n := c.Services[service].Concurrency; n < 0 || n > concurrencyMax {
			bad("concurrency of service %q is %d; allowed are 1 to %d", service, n, concurrencyMax)
		}
		if p := c.Services[service].Rate.problem(); p != "" {
			bad("rate of service %q: %s", service, p)
		}
		if p := c.Services[service].PerKey.problem(); p != "" {
			bad("limit by key of service %q: %s", service, p)
		}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
		min   time.Duration
	}{
		{"CommitInterval", c.CommitInterval, 10 * time.Millisecond},
		{"SessionTimeout", c.SessionTimeout, time.Second},
		{"HeartbeatInterval", c.HeartbeatInterval, 10 * time.Millisecond},
		{"RebalanceTimeout", c.RebalanceTimeout, time.Second},
		{"DrainTimeout", c.DrainTimeout, 0},
	} {
		if d.value < d.min {
			bad("%s is %s, at least %s is needed", d.name, d.value, d.min)
		}
	}
	if c.HeartbeatInterval >= c.SessionTimeout {
		bad("HeartbeatInterval %s must be shorter than SessionTimeout %s", c.HeartbeatInterval, c.SessionTimeout)
	}
	return errors.Join(errs...)
}

// handlers gives the handlers by service and operation.
func (c Config) handlers() map[string]map[string]*Handler {
	out := map[string]map[string]*Handler{}
	for i := range c.Handlers {
		h := &c.Handlers[i]
		if out[h.Service] == nil {
			out[h.Service] = map[string]*Handler{}
		}
		out[h.Service][h.Operation] = h
	}
	return out
}

// concurrency of a service.
func (c Config) concurrency(service string) int {
	if n := c.Services[service].Concurrency; n > 0 {
		return n
	}
	return concurrencyDefault
}

// client makes a Kafka client with the worker's connection and more.
func (c Config) client(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(slices.Clip(slices.Clone(c.Kafka)), opts...)...)
}

// errStopped is the cause with which calls are cancelled when the worker stops.
var errStopped = errors.New("the worker stops")

// errMoved is the cause with which a call is cancelled when its partition has to go
// to another worker (W5).
var errMoved = errors.New("the task's partition moves to another worker")

// errLost is the cause with which a call is cancelled when the group gave its
// partition away already.
var errLost = errors.New("the worker lost the task's partition")

// cutOff reports whether ctx ended because the worker gives the record up: then the
// attempt is the next holder's, and nothing is reported.
func cutOff(ctx context.Context) bool {
	cause := context.Cause(ctx)
	return errors.Is(cause, errStopped) || errors.Is(cause, errMoved) || errors.Is(cause, errLost)
}
