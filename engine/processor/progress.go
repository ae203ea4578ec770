package processor

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/odradek/odradek/record"
)

// State of a lane. doc.go draws how they follow one another.
type State uint8

// The states.
const (
	StateWaiting   State = iota // for its turn, or for a pause to end
	StateOpening                // the store
	StateFencing                // InitProducerID
	StateRestoring              // reading the tail of the changelog
	StateRunning                // processing input
	StateFenced                 // another owner has the IDs; asking the group (P3)
	StateIncident               // standing until an operator decides
	StateReleased               // ended
)

// String is the state as /status shows it.
func (s State) String() string {
	switch s {
	case StateOpening:
		return "opening"
	case StateFencing:
		return "fencing"
	case StateRestoring:
		return "restoring"
	case StateRunning:
		return "running"
	case StateFenced:
		return "fenced"
	case StateIncident:
		return "incident"
	case StateReleased:
		return "released"
	}
	return "waiting"
}

// progress is what others may know of a lane. Any goroutine may use it.
type progress struct {
	clock func() time.Time
	lags  [record.TopicStatus + 1]atomic.Int64
	left  atomic.Int64 // changelog offsets that a restore has to read

	mu      sync.Mutex
	now     State
	since   time.Time
	err     error // why the last tenure ended
	settle  record.Positions
	log     int64     // changelog position of the store
	commit  time.Time // of the last commit
	history []settledAt
	takes   int
	inputs  [record.TopicStatus + 1]InputStatus
}

// settledAt is a sample of the settled positions, for the purge.
type settledAt struct {
	at  time.Time
	pos record.Positions
}

const (
	sampleEvery = 30 * time.Second // between samples of the positions
	samplesMax  = 120              // an hour of them
)

func (p *progress) init(clock func() time.Time) { p.clock, p.since = clock, clock() }

func (p *progress) lag(t record.Topic) *atomic.Int64 { return &p.lags[t] }

func (p *progress) state(s State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now != s {
		p.now, p.since = s, p.clock()
	}
}

func (p *progress) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *progress) restoring(left int64) { p.left.Store(left) }

// recovered notes the positions that a takeover found.
func (p *progress) recovered(cp record.Checkpoint) {
	p.left.Store(0)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle, p.log = cp.Inputs, cp.Changelog.Offset
	p.takes++
	p.sample()
}

// settled notes the positions of a batch that is in the store.
func (p *progress) settled(b *batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle, p.log, p.commit, p.err = b.positions, b.end.Load()+1, p.clock(), nil
	p.sample()
}

func (p *progress) sample() {
	now := p.clock()
	if n := len(p.history); n > 0 && now.Sub(p.history[n-1].at) < sampleEvery {
		return
	}
	if len(p.history) == samplesMax {
		p.history = p.history[:copy(p.history, p.history[1:])]
	}
	p.history = append(p.history, settledAt{now, p.settle})
}

func (p *progress) positions() record.Positions {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.settle
}

// changelog is how far the store is.
func (p *progress) changelog() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log
}

// failure is why the last tenure ended.
func (p *progress) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// behind gives the newest positions that had settled before t.
func (p *progress) behind(t time.Time) (record.Positions, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.commit.IsZero() && !p.commit.After(t) { // there was none since
		return p.settle, true
	}
	for i := len(p.history) - 1; i >= 0; i-- {
		if !p.history[i].at.After(t) {
			return p.history[i].pos, true
		}
	}
	return record.Positions{}, false
}

// stall notes since when a topic's last stable offset stands below its end.
func (p *progress) stall(t record.Topic, since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inputs[t].Stalled = since
}

// age notes the time of a topic's oldest record that is not processed.
func (p *progress) age(t record.Topic, oldest time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inputs[t].Oldest = oldest
}

// at gives the settled position in an input topic; false for other topics, and before
// the first takeover.
func (p *progress) at(t record.Topic) (int64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.takes == 0 {
		return 0, false
	}
	switch t {
	case record.TopicCommands:
		return p.settle.Commands.Offset, true
	case record.TopicEvents:
		return p.settle.Events.Offset, true
	case record.TopicInternal:
		return p.settle.Internal.Offset, true
	}
	return 0, false
}

// running reports whether the lane processes input.
func (p *progress) running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now == StateRunning
}

func (p *progress) status(partition int32) LaneStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := LaneStatus{
		Partition: partition, State: p.now, Since: p.since, LastCommit: p.commit, Takeovers: p.takes,
		Positions: p.settle, RestoreLeft: p.left.Load(), Inputs: map[record.Topic]InputStatus{},
		LagCommands: p.lags[record.TopicCommands].Load(), LagEvents: p.lags[record.TopicEvents].Load(), LagInternal: p.lags[record.TopicInternal].Load(),
	}
	for _, t := range watched {
		s.Inputs[t] = p.inputs[t]
	}
	if p.err != nil {
		s.Error = p.err.Error()
	}
	return s
}
