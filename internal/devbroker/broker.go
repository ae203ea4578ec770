package devbroker

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// Config says where a broker listens and keeps its topics.
type Config struct {
	// Dir is the data directory; it is made if it is missing.
	Dir string
	// Addr is host:port to listen on. Port 0 takes a free one. Default 127.0.0.1:0.
	Addr string
	// Reset empties the directory first, whatever state it is in.
	Reset bool
	// Logger receives what goes wrong in the broker. nil: nothing is logged.
	Logger *slog.Logger
}

// ErrUnclean is wrapped by Open's error for a directory that was not closed (D2).
var ErrUnclean = errors.New("the broker's folder was not closed cleanly")

// ErrInUse is wrapped by Open's error for a directory that another broker has (D1).
var ErrInUse = errors.New("the broker's folder is in use")

// sessionTimeoutMin lets consumer groups notice a killed member after a second:
// nobody wants to wait for Kafka's 6 s at a laptop.
const sessionTimeoutMin = time.Second

// Broker is a running broker.
type Broker struct {
	addr    string
	cluster *kfake.Cluster
	mark    *mark
	log     *brokerLog
	closing sync.Once
	err     error // of Close
}

// Open starts a broker on a directory. The errors that a user can do something about
// are ErrUnclean and ErrInUse.
func Open(cfg Config) (_ *Broker, err error) {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	host, portText, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("broker address %q: write host:port: %w", cfg.Addr, err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return nil, fmt.Errorf("broker address %q: the port is no number", cfg.Addr)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the broker's folder: %w", err)
	}
	b := &Broker{log: &brokerLog{out: cfg.Logger}}
	if b.mark, err = take(cfg.Dir, cfg.Reset); err != nil {
		return nil, err
	}
	kafka := filepath.Join(cfg.Dir, "kafka")
	if cfg.Reset {
		if err := os.RemoveAll(kafka); err != nil {
			return nil, errors.Join(fmt.Errorf("reset the broker: %w", err), b.mark.keep())
		}
	}
	b.cluster, err = kfake.NewCluster(
		kfake.NumBrokers(1), kfake.Ports(port),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			return net.Listen(network, net.JoinHostPort(host, portText))
		}),
		kfake.DataDir(kafka),
		kfake.ClusterID(rand.Text()), // of a new directory; else the one that it had
		kfake.GroupMinSessionTimeout(sessionTimeoutMin),
		kfake.WithLogger(b.log),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the embedded broker on %s with %s: %w", cfg.Addr, cfg.Dir, err), b.mark.free())
	}
	b.addr = b.cluster.ListenAddrs()[0]
	return b, nil
}

// Addr is the bootstrap address, host:port.
func (b *Broker) Addr() string { return b.addr }

// Close writes what is in memory and ends the broker. It is idempotent. After an
// error the directory counts as not closed (D3).
func (b *Broker) Close() error {
	b.closing.Do(func() {
		b.log.collect()
		b.cluster.Close()
		if err := b.log.collected(); err != nil {
			b.err = errors.Join(fmt.Errorf("close the embedded broker: %w", err), b.mark.keep())
			return
		}
		b.err = b.mark.free()
	})
	return b.err
}

// brokerLog passes kfake's complaints on. kfake's Close has no error: it logs.
type brokerLog struct {
	out *slog.Logger

	mu         sync.Mutex
	collecting bool
	errs       []error
}

// Logf is kfake's.
func (l *brokerLog) Logf(level kfake.LogLevel, msg string, args ...any) {
	if level > kfake.LogLevelWarn {
		return
	}
	text := fmt.Sprintf(msg, args...)
	l.mu.Lock()
	if l.collecting && level == kfake.LogLevelError {
		l.errs = append(l.errs, errors.New(text))
	}
	l.mu.Unlock()
	if l.out == nil {
		return
	}
	if level == kfake.LogLevelError {
		l.out.Error("embedded broker", "err", text)
	} else {
		l.out.Warn("embedded broker", "err", text)
	}
}

func (l *brokerLog) collect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.collecting = true
}

func (l *brokerLog) collected() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}
