package processor

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/statestore"
)

// sentMax bounds the attempts whose offsets a lane remembers, about 150 bytes each. Beyond
// it, those that are out are known by their time alone.
const sentMax = 1 << 16

// sent is what a tenure knows of the attempts that are out: where their records lie, so
// that a commit of a service's group can be held against them (W4). The step's goroutine
// tells what goes out and what is answered; the lost watch asks.
//
// An offset is known from its ack on, and lost with the tenure. Of what went out before,
// and of what is too much to remember, it is known that it went out by some time, and that
// the task topic ended somewhere after that: the attempts of an older. Times of batches
// never go back and no tenure uses the last time of the one before, so each attempt that
// is out is either in tasks or covered by the older of its service.
type sent struct {
	max  int
	wake chan struct{} // there are lost attempts to be stepped

	mu    sync.Mutex
	tasks map[record.TaskID]sentTask
	older map[string]*older // by service
	scan  *sentScan
	lost  []lostTasks
}

// sentTask is an attempt that is out.
type sentTask struct {
	workflowID string
	service    string
	attempt    uint32
	sending    uint32
	out        record.Millis // time of its batch
	partition  int32
	offset     int64 // of its record; -1: its batch has not settled
}

// older stands for attempts of a service that went out by a time.
type older struct {
	out  record.Millis
	ends map[int32]int64 // below which their records lie, by task partition; nil: nobody has looked yet
}

// sentScan looks for the attempts of services whose older is behind, a part at a time.
type sentScan struct {
	services map[string]*older
	cursor   statestore.Cursor
}

// lostTasks are to be stepped once the inputs have been stepped up to at.
type lostTasks struct {
	at      inputEnds
	records []*record.Record
}

// inputEnds are offsets in the lane's inputs.
type inputEnds struct{ commands, events, internal int64 }

func (e inputEnds) reached(p *record.Positions) bool {
	return p.Commands.Offset >= e.commands && p.Events.Offset >= e.events && p.Internal.Offset >= e.internal
}

// newSent begins a tenure: before, attempts of the services went out up to a time.
func newSent(services map[string]int32, out record.Millis) *sent {
	s := &sent{max: sentMax, wake: make(chan struct{}, 1), tasks: map[record.TaskID]sentTask{}, older: map[string]*older{}}
	for service := range services {
		s.older[service] = &older{out: out}
	}
	return s
}

// launched notes the attempts of a batch that is on its way.
func (s *sent) launched(b *batch) {
	if b.unstepped || b.Counts.Tasks == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range b.Outputs {
		if o := &b.Outputs[i]; o.Topic == record.TopicTasks && o.Task > 0 { // not a dead letter's
			s.tasks[record.TaskID{Run: o.Run, No: o.Task}] = sentTask{o.WorkflowID, o.Service, o.Attempt, o.Sending, b.Now, o.Partition, -1}
		}
	}
}

// settled notes where the attempts of a batch lie that are not answered yet.
func (s *sent) settled(b *batch) {
	if b.unstepped || b.Counts.Tasks == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range b.Outputs {
		o := &b.Outputs[i]
		id := record.TaskID{Run: o.Run, No: o.Task}
		if t, ok := s.tasks[id]; o.Topic == record.TopicTasks && ok && t.attempt == o.Attempt && t.sending == o.Sending {
			t.offset = b.records[i].Offset
			s.tasks[id] = t
		}
	}
	if len(s.tasks) > s.max {
		s.forget(b.Now)
	}
}

// forget lets olders stand for the attempts that went out before now, the time of the batch
// that has settled last: their batches have settled too.
func (s *sent) forget(now record.Millis) {
	ends := map[string]map[int32]int64{}
	for id, t := range s.tasks {
		if t.out < now {
			if ends[t.service] == nil {
				ends[t.service] = map[int32]int64{}
			}
			ends[t.service][t.partition] = max(ends[t.service][t.partition], t.offset+1)
			delete(s.tasks, id)
		}
	}
	for service, at := range ends {
		o := &older{out: now - 1, ends: at}
		if was := s.older[service]; was != nil {
			if was.ends == nil {
				o.ends = nil
			}
			for n, end := range was.ends {
				o.ends[n] = max(o.ends[n], end)
			}
		}
		s.older[service] = o
	}
}

// answered forgets an attempt of which an event tells that nothing more is to be done with
// its record.
func (s *sent) answered(b record.Body) {
	var id record.TaskID
	attempt, sending := uint32(0), uint32(0) // any
	switch b := b.(type) {
	case *record.TaskCompleted:
		id = b.Task
	case *record.TaskFailed:
		id, attempt, sending = b.Task, b.Attempt, b.Sending
	case *record.TaskBeat:
		if !b.Pending {
			return
		}
		id, attempt, sending = b.Task, b.Attempt, b.Sending
	default:
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.tasks[id]; ok && (attempt == 0 || attempt == t.attempt) && (sending == 0 || sending == t.sending) {
		delete(s.tasks, id)
	}
}

// behind takes out up to n attempts whose records lie below what their services' groups
// have left behind, by service and task partition, in the order of their offsets.
func (s *sent) behind(low map[string]map[int32]int64, n int) []*record.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []record.TaskID
	for id, t := range s.tasks {
		if t.offset >= 0 && t.offset < low[t.service][t.partition] {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b record.TaskID) int {
		x, y := s.tasks[a], s.tasks[b]
		return cmp.Or(cmp.Compare(x.service, y.service), cmp.Compare(x.offset, y.offset))
	})
	var out []*record.Record
	for _, id := range ids[:min(n, len(ids))] {
		t := s.tasks[id]
		out = append(out, lostRecord(t.workflowID, &record.TaskLost{Task: id, Attempt: t.attempt, OutBy: t.out}))
		delete(s.tasks, id)
	}
	return out
}

func lostRecord(workflowID string, b *record.TaskLost) *record.Record {
	return &record.Record{WorkflowID: workflowID, Body: b, Raw: record.Raw{Key: []byte(workflowID)}}
}

// unlooked are the services of whose older attempts it is not known where the records lie.
func (s *sent) unlooked() (services []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for service, o := range s.older {
		if o.ends == nil {
			services = append(services, service)
		}
	}
	return services
}

// looked says where the task partitions of a service ended after the tenure began.
func (s *sent) looked(service string, ends map[int32]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.older[service]; o != nil && o.ends == nil {
		s.older[service] = &older{o.out, maps.Clone(ends)}
	}
}

// scanning gives the scan that is under way, or begins one of the services whose older is
// behind; nil: there is nothing to look for.
func (s *sent) scanning(low map[string]map[int32]int64) *sentScan {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.scan != nil {
		return s.scan
	}
	found := map[string]*older{}
	for service, o := range s.older {
		behind := o.ends != nil && low[service] != nil
		for n, end := range o.ends {
			behind = behind && low[service][n] >= end
		}
		if behind {
			found[service] = o
		}
	}
	if len(found) > 0 {
		s.scan = &sentScan{services: found}
	}
	return s.scan
}

// scanned goes on behind cursor; at the end the olders are forgotten that it looked for.
func (s *sent) scanned(cursor statestore.Cursor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.scan.cursor = cursor; cursor != "" {
		return
	}
	for service, o := range s.scan.services {
		if s.older[service] == o {
			delete(s.older, service)
		}
	}
	s.scan = nil
}

// hand gives attempts that are lost to the step.
func (s *sent) hand(l lostTasks) {
	s.mu.Lock()
	s.lost = append(s.lost, l)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// ready reports whether there are lost attempts whose time has come.
func (s *sent) ready(p *record.Positions) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lost) > 0 && s.lost[0].at.reached(p)
}

// take gives up to n of them.
func (s *sent) take(p *record.Positions, n int) (out []*record.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.lost) > 0 && n > len(out) && s.lost[0].at.reached(p) {
		l := &s.lost[0]
		k := min(n-len(out), len(l.records))
		out = append(out, l.records[:k]...)
		if l.records = l.records[k:]; len(l.records) == 0 {
			s.lost = s.lost[1:]
		}
	}
	return out
}
