package processor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/odradek/odradek/codec"
	"github.com/odradek/odradek/record"
)

const (
	// servicesFor is how long what was found of the services serves for other readers.
	servicesFor = 2 * time.Second
	// workerFresh is how old a worker's row may be: it writes one every five seconds.
	workerFresh = 30 * time.Second
	// workerKept is when a row is forgotten whose worker did not take it back.
	workerKept = time.Hour
)

var errNoAnswer = errors.New("no answer")

// ErrServiceUnknown is returned for a service that no workflow type uses.
var ErrServiceUnknown = errors.New("no workflow type uses the service")

// Service is what is known of a service of tasks.
type Service struct {
	Name       string
	Partitions int32   // of its topic
	Members    int     // of its group; -1: not known
	Lag        []int64 // by partition: offsets behind what was committed, up to the last task; -1: not known
	Trouble    string  // why something is not known; empty: nothing
	Workers    []Worker
	Row        record.ServiceRow // what operators did
}

// Worker is a fresh row of a worker of the service.
type Worker struct {
	Instance, Build string
	Age             time.Duration
	record.WorkerService
}

// workerSeen is a worker's row, with the broker's time of it.
type workerSeen struct {
	row *record.WorkerRow
	at  time.Time
}

// takeWorker keeps a worker's row; o.mu is held.
func (o *owners) takeWorker(r *kgo.Record) {
	id, row, ok, err := codec.DecodeWorkerRow(r.Key, r.Value)
	switch {
	case !ok || err != nil: // nobody's but people's
	case row == nil:
		delete(o.workers, id)
	default:
		o.workers[id] = workerSeen{row, r.Timestamp}
	}
}

// takeService keeps what operators did to a service; o.mu is held.
func (o *owners) takeService(r *kgo.Record) {
	name, row, ok, err := codec.DecodeServiceRow(r.Key, r.Value)
	switch {
	case !ok:
	case err != nil:
		tell(o.cfg.Listener.Warning, WarningInfo{"read " + o.topic, err})
	case row == nil:
		delete(o.services, name)
	default:
		o.services[name] = *row
	}
}

// workersOf are the fresh rows of a service's workers. Ages are by the newest record of the
// topic, which running instances write: no clock of ours is asked.
func (o *owners) workersOf(service string) (out []Worker) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(o.workers)) {
		w := o.workers[id]
		age := max(0, o.newest.Sub(w.at))
		switch {
		case age > workerKept:
			delete(o.workers, id)
			continue
		case age > workerFresh:
			continue
		}
		for _, s := range w.row.Services {
			if s.Service == service {
				out = append(out, Worker{id, w.row.Build, age, s})
			}
		}
	}
	return out
}

func (o *owners) service(name string) record.ServiceRow {
	o.mu.Lock()
	defer o.mu.Unlock()
	row := o.services[name]
	row.Acts = slices.Clone(row.Acts)
	return row
}

// servicesLook is what the brokers said of the services a moment ago.
type servicesLook struct {
	mu  sync.Mutex
	at  time.Time
	all []Service
}

// Services says what is known of the services that the workflow types use, by name. What the
// brokers do not say is left out, and told in Trouble.
func (i *Instance) Services(ctx context.Context) ([]Service, error) {
	i.services.mu.Lock()
	defer i.services.mu.Unlock()
	if i.services.all == nil || time.Since(i.services.at) > servicesFor {
		all, err := i.lookAtServices(ctx)
		if err != nil {
			return nil, err
		}
		i.services.all, i.services.at = all, time.Now()
	}
	out := slices.Clone(i.services.all)
	for n := range out {
		out[n].Workers, out[n].Row = i.owners.workersOf(out[n].Name), i.owners.service(out[n].Name)
	}
	return out, nil
}

// lookAtServices asks the brokers for members, commits and ends.
func (i *Instance) lookAtServices(ctx context.Context) ([]Service, error) {
	names := slices.Sorted(maps.Keys(i.cfg.Partition.Services))
	if len(names) == 0 {
		return []Service{}, nil
	}
	adm := kadm.NewClient(i.plain)
	topics, groups := make([]string, len(names)), make([]string, len(names))
	for n, name := range names {
		topics[n], groups[n] = i.names.of(record.TopicTasks, name), i.cfg.Names.ServiceGroup(name)
	}
	starts, err := adm.ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("list where the task topics begin: %w", err)
	}
	// Behind the last record: the markers of transactions that follow it are nobody's to read.
	tails, err := newLostWatch(&i.cfg, i.names, i.plain).tails(ctx, names)
	if err != nil {
		return nil, err
	}
	commits := adm.FetchManyOffsets(ctx, groups...)
	described, describeErr := adm.DescribeGroups(ctx, groups...)
	out := make([]Service, len(names))
	for n, name := range names {
		s := Service{Name: name, Partitions: i.cfg.Partition.Services[name], Members: -1}
		trouble := func(what string, err error) {
			if s.Trouble == "" {
				s.Trouble = fmt.Sprintf("%s: %v", what, err)
			}
		}
		group, ok := described[groups[n]]
		switch {
		case ok && errors.Is(group.Err, kerr.GroupIDNotFound): // nobody ever was
			s.Members = 0
		case ok && group.Err == nil:
			s.Members = len(group.Members)
		case ok:
			trouble("describe group "+groups[n], group.Err)
		case describeErr != nil:
			trouble("describe group "+groups[n], describeErr)
		}
		commit := commits[groups[n]]
		known := commit.Err == nil || errors.Is(commit.Err, kerr.GroupIDNotFound)
		if !known {
			trouble("fetch the offsets of group "+groups[n], commit.Err)
		}
		for p := range s.Partitions {
			lag := int64(-1)
			start, ok := starts.Lookup(topics[n], p)
			end, ok2 := tails[name][p]
			switch {
			case !ok || !ok2 || start.Err != nil:
				trouble("list the offsets of "+topics[n], cmp.Or(start.Err, errNoAnswer))
			case known:
				at := start.Offset
				if o, ok := commit.Fetched.Lookup(topics[n], p); ok && o.Err == nil {
					at = max(at, o.At)
				}
				lag = max(0, end-at)
			}
			s.Lag = append(s.Lag, lag)
		}
		out[n] = s
	}
	return out, nil
}

// OperateService lets a service's tasks wait at its workers, or go on. It returns when that is
// written; the workers follow at once. changed: it was not so already.
func (i *Instance) OperateService(ctx context.Context, service string, act record.ServiceAct) (changed bool, err error) {
	if _, ok := i.cfg.Partition.Services[service]; !ok {
		names := slices.Sorted(maps.Keys(i.cfg.Partition.Services))
		return false, fmt.Errorf("%w %q; they use %s", ErrServiceUnknown, service, orNone(strings.Join(names, ", ")))
	}
	row := i.owners.service(service)
	if row.Paused == act.Paused {
		return false, nil
	}
	act.At = record.MillisOf(i.cfg.Clock())
	row.Paused, row.Acts = act.Paused, append(row.Acts, act)
	row.Acts = row.Acts[max(0, len(row.Acts)-record.ServiceActsMax):]
	key, value := codec.EncodeServiceRow(service, &row)
	r := &kgo.Record{Topic: i.owners.topic, Key: key, Value: value}
	if err := i.plain.ProduceSync(ctx, r).FirstErr(); err != nil {
		return false, fmt.Errorf("write to %s: %w", i.owners.topic, err)
	}
	i.owners.mu.Lock()
	i.owners.services[service] = row // as it will be read
	i.owners.mu.Unlock()
	return true, nil
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
