package partition

import (
	"container/heap"

	"github.com/odradek/odradek/engine/machine"
	"github.com/odradek/odradek/record"
)

// The due queue holds the next entries of the due index in memory, however many
// the index has.
const (
	dueLoad = 1024     // entries read at a time
	dueMax  = 16 << 10 // entries held; beyond, the later half is left to the store
)

type dueEntry struct {
	record.Due
	seq uint64 // batch that wrote it; it is in the store once that has settled
}

// dueQueue is a window on the due index: heap has every entry up to and including
// horizon, settled or not; beyond it, far has those that are not in the store yet.
// An entry may be stale or there twice: whoever pops it asks the run's state.
type dueQueue struct {
	heap     dueHeap
	horizon  record.Due
	complete bool // the store has nothing beyond horizon: the heap has it all
	far      []dueEntry
	done     uint64 // last settled batch

	// Runs that do not go on and are to be tried: by another build (S3), or because
	// their type is not paused any more.
	woken []record.Due
	wakes []wakeRange // of the index, whose entries are not woken yet
	woke  bool        // the last entry that was taken was a woken one
}

// wakeRange is what comes after an entry of the index, up to the last of a kind.
type wakeRange struct {
	after record.Due
	kind  record.DueKind
}

func (q *dueQueue) add(d record.Due, seq uint64) {
	e := dueEntry{d, seq}
	if !q.complete && machine.CompareDue(d, q.horizon) > 0 {
		q.far = append(q.far, e)
		return
	}
	heap.Push(&q.heap, e)
	if len(q.heap) > dueMax {
		q.shrink()
	}
}

// wake lets entries be taken now.
func (q *dueQueue) wake(ds []record.Due) { q.woken = append(q.woken, ds...) }

// wakeAll is wake for what the store has after an entry, up to the last of a kind.
func (q *dueQueue) wakeAll(after record.Due, kind record.DueKind) {
	q.wakes = append(q.wakes, wakeRange{after, kind})
}

// anyWoken reports whether an entry is woken. It reads on, a page at a time: there may be
// any number.
func (q *dueQueue) anyWoken(view machine.View) (bool, error) {
	for len(q.woken) == 0 && len(q.wakes) > 0 {
		w := &q.wakes[0]
		ds, err := view.DueAfter(w.after, dueLoad)
		if err != nil {
			return false, err
		}
		for _, d := range ds {
			if d.Kind <= w.kind {
				q.woken = append(q.woken, d)
			}
			w.after = d
		}
		if len(ds) < dueLoad || w.after.Kind > w.kind {
			q.wakes = q.wakes[1:]
		}
	}
	return len(q.woken) > 0, nil
}

// take gives what is to be stepped at a time. Woken entries and those that have come due
// take turns, so that neither waits for all of the others.
func (q *dueQueue) take(view machine.View, now record.Millis) (record.Due, bool, error) {
	woken, err := q.anyWoken(view)
	if err != nil {
		return record.Due{}, false, err
	}
	d, due, err := q.peek(view)
	if err != nil {
		return record.Due{}, false, err
	}
	due = due && d.At <= now
	switch q.woke = woken && !(q.woke && due); {
	case q.woke:
		d, q.woken = q.woken[0], q.woken[1:]
	case due:
		q.pop()
	default:
		return record.Due{}, false, nil
	}
	return d, true, nil
}

// shrink keeps the earlier half in the heap.
func (q *dueQueue) shrink() {
	kept := make(dueHeap, 0, dueMax)
	for len(kept) < dueMax/2 {
		kept = append(kept, heap.Pop(&q.heap).(dueEntry)) // ascending: a heap as it is
	}
	q.horizon, q.complete = kept[len(kept)-1].Due, false
	for _, e := range q.heap {
		if e.seq > q.done {
			q.far = append(q.far, e)
		}
	}
	q.heap = kept
}

// settled forgets far entries that the store now has.
func (q *dueQueue) settled(seq uint64) {
	q.done = seq
	kept := q.far[:0]
	for _, e := range q.far {
		if e.seq > seq {
			kept = append(kept, e)
		}
	}
	q.far = kept
}

// peek gives the earliest entry, after reading on where the window is empty.
func (q *dueQueue) peek(view machine.View) (record.Due, bool, error) {
	for len(q.heap) == 0 && !q.complete {
		ds, err := view.DueAfter(q.horizon, dueLoad)
		if err != nil {
			return record.Due{}, false, err
		}
		if len(ds) < dueLoad {
			q.complete = true
		} else {
			q.horizon = ds[len(ds)-1]
		}
		for _, d := range ds {
			heap.Push(&q.heap, dueEntry{Due: d})
		}
		far := q.far
		q.far = nil
		for _, e := range far {
			q.add(e.Due, e.seq)
		}
	}
	if len(q.heap) == 0 {
		return record.Due{}, false, nil
	}
	return q.heap[0].Due, true, nil
}

func (q *dueQueue) pop() { heap.Pop(&q.heap) }

type dueHeap []dueEntry

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return machine.CompareDue(h[i].Due, h[j].Due) < 0 }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(dueEntry)) }
func (h *dueHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
