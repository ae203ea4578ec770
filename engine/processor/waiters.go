package processor

import (
	"sync"

	"github.com/odradek/odradek/record"
)

// waiters are those who wait for a lane: for the outcome of a command, or for the
// close of a run. Replies are never kept (I1): what is not delivered to a waiter
// is forgotten, and after a takeover a waiter asks again with the same command ID.
type waiters struct {
	mu       sync.Mutex
	commands map[string]*commandWaiter // by command ID
	closes   map[string][]chan struct{}
	consumed int64 // commands before this offset were consumed at the last takeover
	ended    chan struct{}
}

// commandWaiter waits for one command.
type commandWaiter struct {
	id     string
	reply  chan record.Reply // one answer
	again  chan struct{}     // one hint: the answer may be lost, ask again
	offset int64             // of the record; -1: not acked yet
}

func newWaiters() *waiters {
	return &waiters{commands: map[string]*commandWaiter{}, closes: map[string][]chan struct{}{}, ended: make(chan struct{})}
}

// command registers a waiter; false if somebody waits for that ID already.
func (w *waiters) command(id string) (*commandWaiter, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, taken := w.commands[id]; taken {
		return nil, false
	}
	c := &commandWaiter{id: id, reply: make(chan record.Reply, 1), again: make(chan struct{}, 1), offset: -1}
	w.commands[id] = c
	return c, true
}

func (w *waiters) forget(c *commandWaiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.commands, c.id)
}

// sent notes where the waiter's record is.
func (w *waiters) sent(c *commandWaiter, offset int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.offset = offset
	if offset < w.consumed {
		c.hint()
	}
}

// unsent: the record is on its way once more.
func (w *waiters) unsent(c *commandWaiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.offset = -1
}

func (c *commandWaiter) hint() {
	select {
	case c.again <- struct{}{}:
	default:
	}
}

// reply answers whoever waits for the command.
func (w *waiters) reply(r *record.Reply) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.commands[r.CommandID]; c != nil {
		select {
		case c.reply <- *r:
		default: // a repeat of a command that was answered
		}
	}
}

// recovered tells those whose command was consumed by a batch of which nobody
// knows the replies.
func (w *waiters) recovered(commands int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.consumed = commands
	for _, c := range w.commands {
		if c.offset >= 0 && c.offset < commands {
			c.hint()
		}
	}
	for id, list := range w.closes { // the close may be among what was restored
		for _, ch := range list {
			close(ch)
		}
		delete(w.closes, id)
	}
}

// close ends the waiting of everybody: the lane is over.
func (w *waiters) close() { close(w.ended) }

// closing registers a waiter for the close of the workflow's run. The channel is
// closed when it may have closed: look at the state. forget must be called.
func (w *waiters) closing(workflowID string) (ch chan struct{}, forget func()) {
	ch = make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closes[workflowID] = append(w.closes[workflowID], ch)
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		list := w.closes[workflowID]
		for i := range list {
			if list[i] == ch {
				list = append(list[:i], list[i+1:]...)
				break
			}
		}
		if len(list) == 0 {
			delete(w.closes, workflowID)
			return
		}
		w.closes[workflowID] = list
	}
}

// closed tells those who wait for the workflow.
func (w *waiters) closed(workflowID string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, ch := range w.closes[workflowID] {
		close(ch)
	}
	delete(w.closes, workflowID)
}
