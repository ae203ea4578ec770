package partition

import (
	"container/list"
	"time"

	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/engine/replay"
	"github.com/odradek/odradek/record"
	"github.com/odradek/odradek/workflow"
)

// entry is a run in memory: its state, and its code parked in a coroutine.
type entry struct {
	state *machine.State
	live  *replay.Live // nil: cold
	def   workflow.Definition
	coded bool // def is the run's code

	used    record.Millis // when it was last looked for
	touched bool          // by the open batch
	chunks  []*chunk      // what the open batch adds to its history
	pinned  uint64        // last batch that changed it: it stays until that one settled
	place   *list.Element
}

// chunk is one chunk in the making.
type chunk struct {
	no     uint32
	events []record.HistoryEvent
	bytes  int
}

// cache holds runs by workflow ID, the least recently used at the back. Entries
// that a batch in flight has changed cannot leave (S-1), so that the bound is
// exceeded by what is in flight, which is bounded itself.
type cache struct {
	byID   map[string]*entry
	order  *list.List
	rested record.Millis // last call of rest that looked
}

func (c *cache) reset() {
	if c.order != nil {
		for at := c.order.Front(); at != nil; at = at.Next() {
			at.Value.(*entry).drop()
		}
	}
	c.byID, c.order = map[string]*entry{}, list.New()
}

func (c *cache) len() int { return len(c.byID) }

func (c *cache) get(workflowID string, now record.Millis) *entry {
	e := c.byID[workflowID]
	if e != nil {
		e.used = now
		c.order.MoveToFront(e.place)
	}
	return e
}

// put takes an entry in; it replaces one whose workflow is no longer known.
func (c *cache) put(e *entry, now record.Millis) {
	e.used = now
	if old := c.byID[e.state.Run.WorkflowID]; old != nil {
		c.remove(old)
	}
	e.place = c.order.PushFront(e)
	c.byID[e.state.Run.WorkflowID] = e
}

func (c *cache) settle(e *entry, seq uint64) { e.pinned = seq }

// evict keeps at most limit entries; whatever is pinned or closed-over by the
// open batch stays.
func (c *cache) evict(limit int, settled uint64) {
	limit = max(limit, 0)
	for at := c.order.Back(); at != nil && c.order.Len() > limit; {
		e := at.Value.(*entry)
		at = at.Prev()
		if e.pinned > settled || e.touched {
			continue
		}
		c.remove(e)
	}
}

// How long a run that waits keeps its code. The code costs a goroutine, whose stack every
// collection of garbage reads; to get it back costs a replay, some microseconds an event.
// Each event therefore pays for a second: replays take less than a millionth of the time
// that they save the memory for, however long the histories are.
const (
	codeKeptMin      = 10 * time.Second
	codeKeptPerEvent = time.Second
	restEvery        = time.Second
	restMax          = 2000 // runs at a time: the step waits meanwhile
)

// rest leaves the code of runs that have waited for long. Their states stay.
func (c *cache) rest(now record.Millis) {
	if now < c.rested.Add(restEvery) {
		return
	}
	c.rested = now
	dropped := 0
	for at := c.order.Back(); at != nil && dropped < restMax; at = at.Prev() {
		e := at.Value.(*entry)
		if now < e.used.Add(codeKeptMin) {
			return // so are those before it
		}
		if e.live != nil && now >= e.used.Add(time.Duration(e.state.Run.Events)*codeKeptPerEvent) {
			e.drop()
			dropped++
		}
	}
}

func (c *cache) remove(e *entry) {
	e.drop()
	c.order.Remove(e.place)
	if c.byID[e.state.Run.WorkflowID] == e {
		delete(c.byID, e.state.Run.WorkflowID)
	}
}

// drop leaves the run's code: the next input replays it.
func (e *entry) drop() {
	if e.live != nil {
		e.live.Drop()
		e.live = nil
	}
}
