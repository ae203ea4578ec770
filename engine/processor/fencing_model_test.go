package processor

import (
	"slices"
	"testing"
)

// P1 cannot be found by running: no random run on a real broker ever showed that
// another order of initialisation commits a batch twice. This model finds it in
// milliseconds. It searches all interleavings of several owners of one partition,
// each with one life (a restart is one more owner).
//
// The broker is a log of transactions and, per transactional ID, the owner that
// initialised it last. An owner initialises its IDs, lists the end of the log,
// waits until nothing before the end is open, and then commits batches: batch n of
// the partition is right only if n batches are committed before it.

const (
	modelOwners = 3
	modelIDs    = 3
	modelLog    = 6
)

type txnState int8

const (
	txnOpen txnState = iota
	txnCommitted
	txnAborted
)

type modelTxn struct {
	owner, id, batch int8
	state            txnState
}

type modelOwner struct {
	inited    uint8 // bit per ID
	end       int8  // of the log as it was listed; -1: not listed
	base      int8  // batches found committed; -1: not restored
	produced  int8
	committed int8
	id        int8 // of the last transaction
	fenced    bool
}

type modelState struct {
	log    [modelLog]modelTxn
	n      int8
	holder [modelIDs]int8
	owner  [modelOwners]modelOwner
}

func (s *modelState) txns() []modelTxn { return s.log[:s.n] }

// fence is a new holder of an ID, or none: what was open with it is aborted.
func (s *modelState) fence(id int, holder int8) {
	s.holder[id] = holder
	for i := range s.txns() {
		if t := &s.log[i]; t.state == txnOpen && int(t.id) == id {
			t.state = txnAborted
		}
	}
}

// protocol is the rules under test.
type protocol struct {
	owners, ids, batches int
	// mayInit says whether an owner that has initialised some IDs may go on with id.
	mayInit func(owner int, inited uint8, id int) bool
	first   int  // ID of the first transaction
	anyID   bool // later transactions go to any free ID, not to the next
	anyEnd  bool // EndTransaction does not wait for the batch before
	lazy    bool // an ID other than 0 is initialised with its first transaction
}

// move is one thing that can happen next.
type move struct {
	to    modelState
	wrong bool
}

// moves lists all that can happen in a state.
func (p *protocol) moves(s modelState) (out []move) {
	for _, t := range s.txns() { // a transaction may time out
		if t.state == txnOpen {
			to := s
			to.fence(int(t.id), -1)
			out = append(out, move{to: to})
		}
	}
	for o := range p.owners {
		switch me := s.owner[o]; {
		case me.fenced:
		case me.end < 0:
			out = append(out, p.init(s, o)...)
		case me.base < 0:
			out = append(out, restoreMove(s, o)...)
		default:
			out = append(out, p.produce(s, o)...)
			out = append(out, p.end(s, o)...)
		}
	}
	return out
}

func (p *protocol) needed() uint8 {
	if p.lazy {
		return 1
	}
	return 1<<p.ids - 1
}

func (p *protocol) init(s modelState, o int) (out []move) {
	me := s.owner[o]
	for id := range p.ids {
		if bit := uint8(1) << id; p.needed()&bit != 0 && me.inited&bit == 0 && p.mayInit(o, me.inited, id) {
			to := s
			to.fence(id, int8(o))
			to.owner[o].inited |= bit
			out = append(out, move{to: to})
		}
	}
	if me.inited&p.needed() == p.needed() {
		to := s
		to.owner[o].end = s.n
		out = append(out, move{to: to})
	}
	return out
}

func restoreMove(s modelState, o int) []move {
	base := int8(0)
	for _, t := range s.log[:s.owner[o].end] {
		switch t.state {
		case txnOpen:
			return nil // the last stable offset has not passed it
		case txnCommitted:
			base = t.batch + 1
		}
	}
	to := s
	to.owner[o].base = base
	return []move{{to: to}}
}

// unsettled are the places in the log of what an owner has on its way.
func unsettled(s *modelState, o int) (at []int) {
	for i, t := range s.txns() {
		if int(t.owner) == o {
			at = append(at, i)
		}
	}
	return at[s.owner[o].committed:]
}

func (p *protocol) produce(s modelState, o int) (out []move) {
	me, open := s.owner[o], unsettled(&s, o)
	if int(me.produced) == p.batches || s.n == modelLog || len(open) == p.ids {
		return nil
	}
	for id := range p.ids {
		if me.produced == 0 && id != p.first || me.produced > 0 && !p.anyID && id != (int(me.id)+1)%p.ids {
			continue
		}
		if slices.ContainsFunc(open, func(i int) bool { return int(s.log[i].id) == id }) {
			continue
		}
		to := s
		if bit := uint8(1) << id; p.lazy && me.inited&bit == 0 {
			to.fence(id, int8(o))
			to.owner[o].inited |= bit
		}
		if to.holder[id] != int8(o) {
			to.owner[o].fenced = true
		} else {
			to.log[to.n] = modelTxn{owner: int8(o), id: int8(id), batch: me.base + me.produced}
			to.n++
			to.owner[o].produced++
			to.owner[o].id = int8(id)
		}
		out = append(out, move{to: to})
	}
	return out
}

func (p *protocol) end(s modelState, o int) (out []move) {
	for nth, i := range unsettled(&s, o) {
		if nth > 0 && !p.anyEnd {
			break
		}
		t, to := s.log[i], s
		switch {
		case t.state == txnOpen && s.holder[t.id] == int8(o):
			before, after := int8(0), false
			for j, x := range s.txns() {
				if x.state == txnCommitted {
					before++
					after = after || j > i
				}
			}
			to.log[i].state = txnCommitted
			if nth == 0 {
				to.owner[o].committed++
			}
			out = append(out, move{to: to, wrong: before != t.batch || after})
		case t.state == txnCommitted && nth == 0:
			to.owner[o].committed++
			out = append(out, move{to: to})
		case t.state == txnAborted:
			to.owner[o].fenced = true
			out = append(out, move{to: to})
		}
	}
	return out
}

// search visits every state that can be reached and reports whether a wrong commit
// is among the moves.
func (p *protocol) search() (states int, wrong bool) {
	var start modelState
	for i := range start.holder {
		start.holder[i] = -1
	}
	for i := range start.owner {
		start.owner[i].end, start.owner[i].base = -1, -1
	}
	seen, todo := map[modelState]bool{start: true}, []modelState{start}
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, m := range p.moves(s) {
			switch {
			case m.wrong:
				wrong = true
			case !seen[m.to]:
				seen[m.to] = true
				todo = append(todo, m.to)
			}
		}
	}
	return len(seen), wrong
}

// Orders of initialisation.
func inOrder(_ int, inited uint8, id int) bool    { return inited == 1<<id-1 }
func firstAlone(_ int, inited uint8, id int) bool { return id == 0 || inited&1 != 0 }
func atOnce(int, uint8, int) bool                 { return true }
func reversed(_ int, inited uint8, id int) bool   { return inited|(1<<(id+1)-1) == 7 }
func disagreed(o int, inited uint8, id int) bool {
	if o == 0 {
		return inOrder(o, inited, id)
	}
	return reversed(o, inited, id)
}

func TestFencingModel(t *testing.T) {
	t.Parallel()
	sizes := []struct{ owners, batches int }{{2, 3}, {3, 2}}
	for _, c := range []struct {
		name string
		p    protocol
		safe bool
	}{
		{"ours: in order, first transaction on the first ID, rotation", protocol{mayInit: inOrder}, true},
		{"first ID alone and answered, then the rest at once", protocol{mayInit: firstAlone}, true},
		{"the same, later transactions on any free ID", protocol{mayInit: firstAlone, anyID: true}, true},
		{"all IDs at once", protocol{mayInit: atOnce}, false},
		{"last ID first", protocol{mayInit: reversed}, false},
		{"owners with different orders", protocol{mayInit: disagreed}, false},
		{"in order, first transaction on the last ID", protocol{mayInit: inOrder, first: modelIDs - 1}, false},
		{"other IDs initialised at first use", protocol{mayInit: inOrder, lazy: true}, false},
		{"EndTransaction out of order", protocol{mayInit: inOrder, anyEnd: true}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			found := false
			for _, size := range sizes {
				p := c.p
				p.ids, p.owners, p.batches = producersPerLane, size.owners, size.batches
				states, wrong := p.search()
				t.Logf("%d owners, %d batches: %d states, wrong commit: %v", size.owners, size.batches, states, wrong)
				if states < 1000 {
					t.Errorf("%d states are no search", states)
				}
				found = found || wrong
			}
			if found == c.safe {
				t.Errorf("safe is %v, but a wrong commit was found: %v", c.safe, found)
			}
		})
	}
}
